"""ECGs drawn as people read them."""

__all__ = ["ecg_paper", "files", "layout"]
