"""What a file may take to be read, and the environment variables that say otherwise.

They are variables and no options, since the processes that read files for a command inherit them.
"""

from __future__ import annotations

import os

from lfbt.errors import LfbtError

MAX_FILE_BYTES = "LFBT_MAX_FILE_BYTES"
MAX_READ_MEMORY = "LFBT_MAX_READ_MEMORY"
MAX_READ_SECONDS = "LFBT_MAX_READ_SECONDS"

_DEFAULTS = {
    MAX_FILE_BYTES: 4 << 30,  # a day of twelve leads at 1000 Hz has 2 GiB
    MAX_READ_MEMORY: 1 << 30,
    MAX_READ_SECONDS: 60,
}
# Each byte of the file adds to what it may take: Python's text of a sample takes 60 bytes.
_MEMORY_PER_BYTE, _SECONDS_PER_BYTE = 32, 1e-6
_MOST_DIGITS = 15


def most_bytes() -> int:
    """Return how many bytes a file may have that is read as a whole. Raises LfbtError for a bad variable."""
    return _stated(MAX_FILE_BYTES)


def most_memory(size: int) -> int:
    """Return how many bytes of memory a file of `size` bytes may take. Raises LfbtError for a bad variable."""
    return _stated(MAX_READ_MEMORY) + _MEMORY_PER_BYTE * size


def most_seconds(size: int) -> float:
    """Return how many seconds a file of `size` bytes may take. Raises LfbtError for a bad variable."""
    return _stated(MAX_READ_SECONDS) + _SECONDS_PER_BYTE * size


def _stated(variable: str) -> int:
    text = os.environ.get(variable, "")
    if not text:
        return _DEFAULTS[variable]
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS and int(text) > 0):
        raise LfbtError(
            f"{variable}: {text!r} is no whole number from 1 to {10**_MOST_DIGITS - 1}; set it to one, or unset it for "
            f"{_DEFAULTS[variable]}"
        )
    return int(text)
