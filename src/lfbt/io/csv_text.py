"""The text of a CSV file: its bytes in UTF-8, whatever encoding it has."""

from __future__ import annotations

from pathlib import Path

from lfbt.errors import UnreadableError
from lfbt.io.guarding import unreadable
from lfbt.utils.opening import open_regular, read_bytes

_CHUNK = 1 << 16
_WORKBOOKS = (b"PK\3\4", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")


def read_text(path: Path) -> bytes:
    r"""Read a text file in UTF-8, UTF-16 or else Windows-1252, whose µ many files have.

    Returns
    -------
    bytes
        In UTF-8, without a byte order mark, with ``\n`` for every end of a line.

    Raises
    ------
    UnreadableError
        If the file is no text.
    """
    try:
        return _to_utf8(path, read_bytes(path))
    except OSError as error:
        raise unreadable(path, error) from error


def read_first_lines(path: Path, n: int) -> list[str]:
    """Read the first `n` lines of a text file, without their ends. Raises UnreadableError if it is no text."""
    start, is_whole = bytearray(), False
    try:
        with open_regular(path) as file:
            while not is_whole and all(end_of_lines(start, n + 1, mark) == len(start) for mark in (b"\n", b"\r")):
                chunk = file.read(_CHUNK)
                is_whole = not chunk
                start += chunk
    except OSError as error:
        raise unreadable(path, error) from error
    if not is_whole:
        # The last line may be cut, in a character as well; that of UTF-16 ends with a byte of zero.
        end = max(start.rfind(b"\n"), start.rfind(b"\r")) + 1
        del start[end + (end % 2 if b"\0" in start[:_CHUNK] else 0) :]
    return first_lines(_to_utf8(path, bytes(start)), n)


def first_lines(text: bytes, n: int) -> list[str]:
    """Return the first `n` lines of what `read_text` gives, without their ends."""
    lines = text[: end_of_lines(text, n)].split(b"\n")[:n]
    if lines and not lines[-1]:
        lines.pop()
    return [line.decode() for line in lines]


def end_of_lines(text: bytes | bytearray, n: int, mark: bytes = b"\n") -> int:
    """Where the first `n` lines, which end with `mark`, end; the length of the text if it has no more."""
    end = 0
    for _ in range(n):
        end = text.find(mark, end) + 1
        if not end:
            return len(text)
    return end


def _to_utf8(path: Path, data: bytes) -> bytes:
    if data.startswith(_WORKBOOKS):
        raise UnreadableError(f"file {path}: cannot be read (a workbook, not text); save the sheet as CSV")
    encoding = _utf_16(data)
    if encoding or not data.isascii():
        data = data.removeprefix(b"\xef\xbb\xbf")
        try:
            data = data.decode(encoding or "utf-8").removeprefix("\ufeff").encode()
        except UnicodeDecodeError as error:
            if encoding:
                raise unreadable(path, error, "save it as UTF-8") from error
            try:
                data = data.decode("cp1252").encode()
            except UnicodeDecodeError as no_text:
                raise unreadable(path, no_text, "save it as UTF-8") from no_text
    if b"\0" in data[:_CHUNK]:
        raise UnreadableError(f"file {path}: cannot be read (it is not text, for it has zero bytes); save it as UTF-8")
    # The minus sign of typography.
    data = data.replace("\u2212".encode(), b"-") if encoding or not data.isascii() else data
    return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in data else data


def _utf_16(data: bytes) -> str:
    """The name of the encoding in two bytes a character, with or without a mark; empty for others."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    start = data[:1000]
    zeros = [start[place::2].count(0) for place in (0, 1)]
    if len(start) < 4 or min(zeros) or max(zeros) < 0.9 * (len(start) // 2):
        return ""
    return "utf-16-be" if zeros[0] else "utf-16-le"
