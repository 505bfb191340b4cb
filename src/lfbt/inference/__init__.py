"""Encoders put to use."""
