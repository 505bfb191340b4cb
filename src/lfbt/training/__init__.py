"""Pretraining of encoders."""

__all__ = ["augmentation", "distributed", "precision", "pretraining", "settings", "steps", "train_state"]
