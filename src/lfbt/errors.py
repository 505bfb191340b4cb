"""Errors caused by user input."""

from __future__ import annotations

import re
from pathlib import Path

# A word that is longer, such as a value that was pasted by mistake, is cut in its middle; paths are shorter.
_LONGEST_WORD = 250
_KEPT = 100


class LfbtError(ValueError):
    """An error caused by user input: its message names the thing, the value, what is allowed and the remedy."""

    def __init__(self, message: str) -> None:
        # What a library said may have several lines.
        line = re.sub(r"\s*[\r\n]\s*", " ", message)
        super().__init__(re.sub(rf"\S{{{_LONGEST_WORD + 1},}}", _cut, line))


def _cut(word: re.Match[str]) -> str:
    text = word[0]
    return f"{text[:_KEPT]}...{text[-_KEPT:]}"


class FinishedError(LfbtError):
    """Results that a command would write are there already: nothing is left to do, and its status is 0.

    Parameters
    ----------
    place : Path
        The file or the folder of the results.
    """

    def __init__(self, place: Path) -> None:
        super().__init__(
            f"{place}: finished before, with the same settings and data; for results anew give --overwrite, for others "
            "another name"
        )
        self.place = place


class UnreadableError(LfbtError):
    """A file that cannot be read as an ECG recording."""


class AbsentLeadError(LfbtError):
    """A lead that a recording does not have and that cannot be derived from others."""
