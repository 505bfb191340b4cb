"""Encoders applied to recordings: embeddings."""

__all__ = ["embedding"]
