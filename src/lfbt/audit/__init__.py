"""Checks of data sets: copies, leakage, bad leads, unexpected counts."""

__all__ = ["checks", "fingerprints", "lead_placement", "leakage", "reference_counts"]
