"""Recordings answered over HTTP: an API and one page."""

__all__ = ["server", "settings"]
