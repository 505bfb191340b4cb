"""Pretraining of encoders."""

__all__ = ["augmentation", "distributed", "precision", "pretraining", "settings", "train_state"]
