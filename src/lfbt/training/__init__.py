"""Pretraining of encoders."""

__all__ = ["augmentation", "distributed", "pretraining", "settings", "train_state"]
