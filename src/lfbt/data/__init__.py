"""Prepared data sets: written from a source, opened, split and read in batches."""
