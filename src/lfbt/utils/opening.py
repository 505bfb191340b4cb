"""Files that a user gives are opened here: regular files only, and no larger than what reads them can take."""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path
from typing import BinaryIO, Literal, TextIO

from lfbt.errors import UnreadableError
from lfbt.utils.limits import MAX_FILE_BYTES, most_bytes

#: How many bytes a file may have: "whole" for what any that is read as a whole may (`limits.most_bytes`), None for one
#: that is not.
Most = int | Literal["whole"] | None

_KINDS = (
    (stat.S_ISDIR, "folder"),
    (stat.S_ISFIFO, "named pipe"),
    (stat.S_ISCHR, "device"),
    (stat.S_ISBLK, "device"),
    (stat.S_ISSOCK, "socket"),
)


def check_regular(path: Path, most: Most = "whole") -> int:
    """Return the bytes of a file.

    Parameters
    ----------
    path : Path
        The file, or a link to it.
    most : int, "whole" or None
        How many bytes it may have, as `Most` has it.

    Raises
    ------
    UnreadableError
        For a named pipe, a device, a socket or a folder, of which the first three may never end, and for a larger file.
    LfbtError
        For a variable LFBT_MAX_FILE_BYTES that is no number of bytes.
    OSError
        As `os.stat` does.
    """
    return _check(path, os.stat(path), most)  # noqa: PTH116 - also of a name with bytes that are no UTF-8


def _check(path: Path, found: os.stat_result, most: Most) -> int:
    if not stat.S_ISREG(found.st_mode):
        kind = next((name for is_kind, name in _KINDS if is_kind(found.st_mode)), "special file")
        raise UnreadableError(f"file {path}: is a {kind}, and not a regular file; give a file")
    bound = most_bytes() if most == "whole" else most
    if bound is not None and found.st_size > bound:
        way = f", or set the environment variable {MAX_FILE_BYTES}" if most == "whole" else ""
        raise UnreadableError(
            f"file {path}: has {found.st_size:,} bytes, over the {bound:,} that are read; cut it into several "
            f"files{way}"
        )
    return found.st_size


def open_regular(path: Path, most: Most = "whole") -> BinaryIO:
    """Open a file to read its bytes. Raises UnreadableError and OSError as `check_regular` does; it never waits."""
    check_regular(path, most)
    # Something else may be there by now, such as a pipe without a writer.
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    try:
        _check(path, os.fstat(file.fileno()), most)
    except UnreadableError:
        file.close()
        raise
    return file


def open_text(path: Path, encoding: str = "utf-8", newline: str | None = None) -> TextIO:
    """Open a file to read its text. Raises as `open_regular` does."""
    return io.TextIOWrapper(open_regular(path), encoding=encoding, newline=newline)


def read_bytes(path: Path, most: Most = "whole") -> bytes:
    """Read a file as a whole. Raises as `open_regular` does."""
    with open_regular(path, most) as file:
        return file.read()


def read_text(path: Path, encoding: str = "utf-8", errors: str = "strict") -> str:
    """Read a file of text as a whole. Raises as `open_regular` does, and UnicodeDecodeError."""
    return io.TextIOWrapper(io.BytesIO(read_bytes(path)), encoding=encoding, errors=errors).read()


def shown_name(name: str) -> str:
    r"""Return the name of a file as it can be written: bytes that are no UTF-8 become escapes.

    >>> shown_name("ecg-\udcff.npy")
    'ecg-\\xff.npy'
    """
    return os.fsencode(name).decode("utf-8", "backslashreplace")
