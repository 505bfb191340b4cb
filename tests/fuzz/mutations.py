"""Changes of bytes, as damage, other programs and malice make them."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

_NUMBER = re.compile(rb"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
# In place of a number in a text.
_NUMBERS = (
    *(b"0", b"-1", b"1", b"255", b"65536", b"2147483648", b"9223372036854775808", b"1e20", b"1e308", b"1e-300"),
    *(b"nan", b"inf", b"-inf", b"1e400", b"0x10", b"5OO", b".5e3", b"1_000", b"true", b"null", b'"a"', b"[[]]", b"{}"),
)
# In place of some bytes of a binary file.
_WORDS = (b"\0", b"\xff", b"\x7f", b"\0\0\0\0", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\n", b'"')


def mutate(data: bytes, draw: random.Random) -> bytes:
    """Change bytes in one to four ways that `draw` chooses."""
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        data = draw.choice(_CHANGES)(data, draw)
    return data


def _place(data: bytes, draw: random.Random) -> int:
    # Headers are at the start of most files.
    return draw.randrange(min(len(data), 512) + 1) if draw.random() < 0.5 else draw.randrange(len(data) + 1)


def _flip(data: bytes, draw: random.Random) -> bytes:
    place = _place(data, draw)
    return data[:place] + bytes(byte ^ (1 << draw.randrange(8)) for byte in data[place : place + 1]) + data[place + 1 :]


def _overwrite(data: bytes, draw: random.Random) -> bytes:
    place, word = _place(data, draw), draw.choice((*_WORDS, draw.randbytes(draw.randrange(1, 9))))
    return data[:place] + word + data[place + len(word) :]


def _insert(data: bytes, draw: random.Random) -> bytes:
    place, start = _place(data, draw), _place(data, draw)
    piece = draw.choice((data[start : start + draw.randrange(1, 65)], draw.randbytes(draw.randrange(1, 17))))
    return data[:place] + piece * draw.choice((1, 1, 1, 50)) + data[place:]


def _remove(data: bytes, draw: random.Random) -> bytes:
    place = _place(data, draw)
    return data[:place] + data[place + draw.randrange(1, 65) :]


def _cut(data: bytes, draw: random.Random) -> bytes:
    return data[: _place(data, draw)]


def _splice(data: bytes, draw: random.Random) -> bytes:
    return data[: _place(data, draw)] + data[_place(data, draw) :]


def _number(data: bytes, draw: random.Random) -> bytes:
    numbers = list(_NUMBER.finditer(data, 0, 4096))
    if not numbers:
        return _overwrite(data, draw)
    found = draw.choice(numbers)
    return data[: found.start()] + draw.choice(_NUMBERS) + data[found.end() :]


_CHANGES: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    *(_flip, _overwrite, _insert, _remove, _cut, _splice),
    *(_number, _number),
)
