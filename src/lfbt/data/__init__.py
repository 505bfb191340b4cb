"""Prepared data sets: written from a source, opened, split and read in batches."""

__all__ = [
    "dataset",
    "disk_space",
    "layouts",
    "loader",
    "manifest",
    "people",
    "preparation",
    "record_hash",
    "records",
    "splits",
]
