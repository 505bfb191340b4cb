"""Encoders, projectors and heads, and their files."""

__all__ = ["config", "cpu", "encoder", "feature_maps", "features", "heads", "hub", "pretrained", "projector"]
