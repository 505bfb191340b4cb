"""Files and folders written whole or not at all, never over another's results."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from lfbt.errors import LfbtError

if TYPE_CHECKING:
    pass


#: What the names of files are like that are not whole yet.
PARTIAL = ".*.partial-*"


def check_unoccupied(folder: Path) -> None:
    """Raise LfbtError unless `folder` is absent or an empty folder."""
    if folder.exists() and not folder.is_dir():
        raise LfbtError(f"{folder}: is a file, not a folder; name a new or empty folder")
    if folder.is_dir() and any(folder.iterdir()):
        raise LfbtError(f"{folder}: holds other results already; name a new or empty folder")


@contextlib.contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder beside `folder` that takes its name when the block ends well, and is removed otherwise.

    Raises LfbtError when `folder` exists and is not empty.
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
    """A temporary name beside `path` to write to; it replaces `path` when the block ends well.

    What `path` names is on the disk then, whatever happens to the machine.
    """
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        yield partial
        _to_disk(partial)
        partial.replace(path)
        _to_disk(path.parent)
    except OSError as error:
        raise write_error(path, error) from error
    finally:
        partial.unlink(missing_ok=True)


def write_error(path: Path, error: Exception) -> LfbtError:
    """The error to raise where a disk is full, or a folder not to be written to."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else error
    return LfbtError(f"{path}: cannot be written ({reason}); make room there, or mend its permissions")


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
