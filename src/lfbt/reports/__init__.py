"""Runs side by side: lists, tables, pages."""

__all__ = ["comparison", "comparison_rows", "page", "run_list", "run_table", "scored_trials"]
