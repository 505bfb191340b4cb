"""Encoders, projectors and heads, and their files."""

__all__ = ["config", "cpu", "encoder", "features", "heads", "hub", "pretrained", "projector"]
