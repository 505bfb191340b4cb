"""What a file may take to be read, and the environment variables that say otherwise.

They are variables and no options, since the processes that read files for a command inherit them.
"""

from __future__ import annotations

import os

from lfbt.errors import LfbtError

MAX_FILE_BYTES = "LFBT_MAX_FILE_BYTES"
MAX_READ_MEMORY = "LFBT_MAX_READ_MEMORY"
MAX_READ_SECONDS = "LFBT_MAX_READ_SECONDS"

# Of each variable the least, the value without it, and the most.
_RANGES = {
    MAX_FILE_BYTES: (1, 4 << 30, 10**15),  # a day of twelve leads at 1000 Hz has 2 GiB
    MAX_READ_MEMORY: (1 << 28, 1 << 30, 10**15),  # with less, importing a package may fail
    MAX_READ_SECONDS: (1, 60, 10**6),
}
# Each byte of the file adds to what it may take: Python's text of a sample takes 60 bytes.
_MEMORY_PER_BYTE, _SECONDS_PER_BYTE = 32, 1e-6
# Timers of the system count milliseconds to 2³¹, 24 days.
_MOST_SECONDS = 2 * 10**6
_LONGEST_SHOWN = 40


def most_bytes() -> int:
    """Return how many bytes a file may have that is read as a whole. Raises LfbtError for a bad variable."""
    return _stated(MAX_FILE_BYTES)


def most_memory(size: int) -> int:
    """Return how many bytes of memory a file of `size` bytes may take. Raises LfbtError for a bad variable."""
    return _stated(MAX_READ_MEMORY) + _MEMORY_PER_BYTE * size


def most_seconds(size: int) -> float:
    """Return how many seconds a file of `size` bytes may take. Raises LfbtError for a bad variable."""
    return min(_stated(MAX_READ_SECONDS) + _SECONDS_PER_BYTE * size, _MOST_SECONDS)


def check_limits() -> None:
    """Raise LfbtError for a variable that is no number in its range."""
    for variable in _RANGES:
        _stated(variable)


def _stated(variable: str) -> int:
    least, default, most = _RANGES[variable]
    text = os.environ.get(variable, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(most)) and least <= int(text) <= most):
        shown = text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"
        raise LfbtError(
            f"{variable}: {shown!r} is no whole number from {least} to {most}; set it to one, or unset it for {default}"
        )
    return int(text)
