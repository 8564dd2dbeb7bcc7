"""The run that ships with nr-vqm, as an export: `nr-vqm score VIDEO` uses it where no run is named."""

from pathlib import Path

FOLDER = Path(__file__).parent / "default"
