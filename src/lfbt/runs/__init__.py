"""Run folders and the files in them: settings, history, results, predictions; trackers."""

__all__ = ["history", "loading", "predictions", "results", "run_folder", "trackers"]
