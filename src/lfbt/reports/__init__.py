"""Runs side by side: lists, tables, pages."""
