"""Errors caused by user input."""

from __future__ import annotations


class LfbtError(ValueError):
    """An error caused by user input: its message names the thing, the value, what is allowed and the remedy."""


class UnreadableError(LfbtError):
    """A file that cannot be read as an ECG recording."""


class AbsentLeadError(LfbtError):
    """A lead that a recording does not have and that cannot be derived from others."""
