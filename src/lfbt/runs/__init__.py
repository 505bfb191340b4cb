"""Run folders and the files in them: settings, history, results, predictions; trackers."""

__all__ = ["encoder_folder", "history", "loading", "predictions", "results", "run_folder", "trackers"]
