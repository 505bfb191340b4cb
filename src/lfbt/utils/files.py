"""Atomic writing: files and folders appear when they are complete, and never over other results."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from lfbt.errors import LfbtError

#: Pattern of the names of files and folders that are not complete yet.
PARTIAL = ".*.partial-*"


def check_unoccupied(folder: Path) -> None:
    """Raise LfbtError unless `folder` is absent or an empty folder."""
    if folder.exists() and not folder.is_dir():
        raise LfbtError(f"{folder}: is a file, not a folder; name a new or empty folder")
    if folder.is_dir() and any(folder.iterdir()):
        raise LfbtError(f"{folder}: holds other results already; name a new or empty folder")


def check_distinct(name: str, paths: Iterable[Path]) -> None:
    """Raise LfbtError where two of `paths` are the same place; `name` is the setting that has them."""
    seen: set[Path] = set()
    for path in paths:
        if path.resolve() in seen:
            raise LfbtError(f"{name}: {path} is named twice; name each once")
        seen.add(path.resolve())


@contextlib.contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder that is renamed to `folder` when the block succeeds, and removed otherwise.

    Parameters
    ----------
    folder
        Absent, or an empty folder.

    Yields
    ------
    Path
        A folder beside it to write to.

    Raises
    ------
    LfbtError
        When `folder` exists and is not empty.
    """
    check_unoccupied(folder)
    folder = folder.absolute()
    partial = folder.with_name(f".{folder.name}.partial-{os.getpid()}")
    partial.mkdir(parents=True)
    try:
        yield partial
        if folder.exists():
            folder.rmdir()
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path that replaces `path` when the block succeeds; the file has then reached the disk.

    Parameters
    ----------
    path
        The file to write; one that is there is replaced, in one step.

    Yields
    ------
    Path
        A path beside it to write to.

    Raises
    ------
    LfbtError
        When the file cannot be written.
    """
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        yield partial
        _sync(partial)
        partial.replace(path)
        _sync(path.parent)
    except OSError as error:
        raise write_error(path, error) from error
    finally:
        partial.unlink(missing_ok=True)


def write_error(path: Path, error: Exception) -> LfbtError:
    """Describe a full disk or missing permissions as an error to raise."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else error
    return LfbtError(f"{path}: cannot be written ({reason}); make room there, or fix its permissions")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
