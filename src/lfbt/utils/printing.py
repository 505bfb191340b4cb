"""Text on a terminal: names in files of others must not steer it."""

from __future__ import annotations

import re

# Control characters but for tab and newline, and marks that turn the direction of text; the colours that lfbt has stay.
_COLOUR = "\x1b\\[(?:0|1|31|32|33)m"
_STEERING = "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]"


def printable(text: str) -> str:
    r"""Return the text with escapes for characters that would steer the terminal.

    >>> printable("II\x1b]0;title\x07\tV1\n")
    'II\\x1b]0;title\\x07\tV1\n'
    """
    return re.sub(f"({_COLOUR})|{_STEERING}", lambda match: match[1] or escape(match[0]), text)


def escape(sign: str) -> str:
    """Write one character as its code; one that stands for a byte of a name that is no UTF-8, as that byte."""
    code = ord(sign) - 0xDC00 if "\udc80" <= sign <= "\udcff" else ord(sign)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
