"""Fit the 3D-CNN; save, validate and resume its training."""
