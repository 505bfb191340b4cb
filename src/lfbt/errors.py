"""Errors that a user can cause, each naming the thing, the value received and what to do."""

from __future__ import annotations


class LfbtError(ValueError):
    """Something that the user can mend: names the thing, the value received, what is allowed and what to do."""


class UnreadableError(LfbtError):
    """One file that cannot be read as the ECG it should be."""


class AbsentLeadError(LfbtError):
    """A lead that a recording does not have and that cannot be derived."""
