"""Prepared data sets: made from a source, opened, split and read in batches."""
