"""Readers that crash, hang, take memory and raise, for the process that reads files."""

import ctypes
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from lfbt.errors import LfbtError
from lfbt.io.guarding import guarded, isolated


@isolated()
def crash(path: Path) -> None:
    """As native code on a changed byte."""
    ctypes.string_at(0)


@isolated()
def hang(path: Path) -> None:
    """For ever, as far as a test goes."""
    time.sleep(600)


@isolated()
def fill(path: Path, n_bytes: int) -> int:
    """As what a small file unpacks to."""
    return int(np.ones(n_bytes, np.uint8)[-1])


@isolated()
def fail(path: Path) -> None:
    """As a library does, in two lines."""
    raise UnboundLocalError("a\nb")


@isolated()
def recurse(path: Path) -> None:
    """As on deep nesting."""
    _without_end(path)


def _without_end(path: Path) -> None:
    _without_end(path)


@isolated()
def refuse(path: Path) -> None:
    """As a reader of lfbt."""
    raise LfbtError(f"file {path}: is not mine; give another")


@isolated()
def reader_process(path: Path, value: object = None) -> tuple[int, Any]:
    """Which process it is, and what was sent."""
    return os.getpid(), value


@guarded()
def fail_here(path: Path) -> None:
    """In the process of the caller."""
    raise ZeroDivisionError("division by zero")
