"""The synthetic database: synthetic scenes, real codecs and distortions, simulated raters (decision 0003)."""
