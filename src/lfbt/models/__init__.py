"""Encoders, projectors and heads, and their files."""
