"""Encoders, projectors and heads, and how they are saved."""
