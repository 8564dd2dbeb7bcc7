"""Metrics, confidence intervals and the comparison of heads."""
