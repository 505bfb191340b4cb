"""What every reader of a file goes through: a regular file of a bearable size, and one line for whatever is raised."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from lfbt.errors import LfbtError, UnreadableError
from lfbt.io.isolation import in_own_process, is_reader
from lfbt.utils.opening import Most, check_regular

P = ParamSpec("P")
T = TypeVar("T")

#: A function of a file and whatever else.
Reader = Callable[Concatenate[Path, P], T]


def unreadable(path: Path, error: BaseException, expected: str = "") -> UnreadableError:
    """Make the UnreadableError that names the file, what a reader raised, and what was expected."""
    reason = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, FileNotFoundError) and error.filename:
        reason = f"{error.filename} is absent"
    if isinstance(error, MemoryError):
        reason = "it needs more memory than there is for a file of its size"
    return UnreadableError(f"file {path}: cannot be read ({reason})" + (f"; {expected}" if expected else ""))


@contextlib.contextmanager
def reading(path: Path, expected: str = "") -> Iterator[None]:
    """Turn whatever a library raises in the block into one UnreadableError that names the file and what was expected.

    Parsers raise about anything on files that are cut, changed or another program's.
    """
    try:
        yield
    except LfbtError:
        raise
    except Exception as error:
        raise unreadable(path, error, expected) from error


def guarded(*, most: Most = "whole") -> Callable[[Reader[P, T]], Reader[P, T]]:
    """Have a function of a file refuse what is no regular file, and raise LfbtError only.

    most: as of `check_regular`; None for functions that read a part of the file.
    """

    def decorate(read: Reader[P, T]) -> Reader[P, T]:
        @functools.wraps(read)
        def checked(path: Path, /, *args: P.args, **options: P.kwargs) -> T:
            with reading(path):
                check_regular(path, most)
                return read(path, *args, **options)

        return checked

    return decorate


def isolated(*, most: Most = "whole") -> Callable[[Reader[P, T]], Reader[P, T]]:
    """As `guarded`, in the process that reads files: for formats that native code, or much of others' code, parses.

    A crash, a hang and a file that unpacks to gigabytes are an UnreadableError then.
    """

    def decorate(read: Reader[P, T]) -> Reader[P, T]:
        here = guarded(most=most)(read)

        @functools.wraps(read)
        def elsewhere(path: Path, /, *args: P.args, **options: P.kwargs) -> T:
            if is_reader():
                return here(path, *args, **options)
            with reading(path):
                size = check_regular(path, most)
            # Sent by its name, which in the other process is this function, too.
            result: T = in_own_process(elsewhere, path, 0 if most is None else size, *args, **options)
            return result

        return elsewhere

    return decorate
