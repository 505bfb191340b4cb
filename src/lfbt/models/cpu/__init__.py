"""The encoders' layers on a CPU."""

__all__ = ["fused", "layer_ops", "linear"]
