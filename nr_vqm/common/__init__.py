"""Files, locks, devices, parallel work, versions, plots and pages: what every other package may use."""
