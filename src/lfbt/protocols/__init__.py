"""The field's protocols on frozen encoders, and published figures beside ours."""

__all__ = ["benchmarking"]
