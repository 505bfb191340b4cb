"""Checks of data sets: copies, leakage, bad leads, unexpected counts."""

__all__ = ["checks", "fingerprints", "leakage", "reference_counts"]
