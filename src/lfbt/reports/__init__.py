"""Runs side by side: lists, tables, pages."""

__all__ = ["comparison", "page", "run_list"]
