"""Encoders and classifiers applied to recordings: embeddings and predictions."""

__all__ = ["answering", "classifier", "embedding", "embedding_table"]
