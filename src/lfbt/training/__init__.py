"""Pretraining of encoders."""

__all__ = ["augmentation", "distributed", "pretraining", "settings", "steps", "train_state"]
