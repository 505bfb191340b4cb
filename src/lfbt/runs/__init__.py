"""Run folders and the files in them: settings, history, results, predictions; trackers."""

__all__ = ["history", "predictions", "results", "run_folder", "settings", "trackers"]
