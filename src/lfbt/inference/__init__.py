"""Encoders applied to recordings: embeddings, for scikit-learn too, and encoders to share."""

__all__ = ["embedding", "encoder", "estimators"]
