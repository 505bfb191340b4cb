"""Prepared data sets: written from a source, opened, split and read in batches."""

__all__ = ["dataset", "joining", "layouts", "loader", "manifest", "npy_folders", "preparation", "records", "splits"]
