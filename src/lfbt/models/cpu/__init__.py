"""The encoders' layers on a CPU."""
