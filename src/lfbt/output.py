"""What is written: whole folders and files or none, never over another's results; and progress on a terminal."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from lfbt.recording import LfbtError

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

ItemT = TypeVar("ItemT")

#: What the names of files are like that are not whole yet.
PARTIAL = ".*.partial-*"

#: The file of a run folder with a JSON line an epoch.
HISTORY = "history.jsonl"


def refuse_occupied(folder: Path) -> None:
    """Raise LfbtError unless `folder` is absent or an empty folder."""
    if folder.exists() and not folder.is_dir():
        raise LfbtError(f"{folder}: is a file, not a folder; name a new or empty folder")
    if folder.is_dir() and any(folder.iterdir()):
        raise LfbtError(f"{folder}: holds other results already; name a new or empty folder")


@contextlib.contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder beside `folder` that takes its name when the block ends well, and is removed otherwise.

    Raises LfbtError when `folder` exists and is not empty.
    """
    refuse_occupied(folder)
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
def new_file(path: Path) -> Iterator[Path]:
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
        raise cannot_write(path, error) from error
    finally:
        partial.unlink(missing_ok=True)


def cannot_write(path: Path, error: Exception) -> LfbtError:
    """The error to raise where a disk is full, or a folder not to be written to."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else error
    return LfbtError(f"{path}: cannot be written ({reason}); make room there, or mend its permissions")


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write `content` as indented JSON, whole or not at all."""
    with new_file(path) as partial:
        partial.write_text(json.dumps(content, indent=2, ensure_ascii=False, default=str) + "\n", encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in `path`. Raises LfbtError, naming the file, when it is absent or holds none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise LfbtError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise LfbtError(f"{path}: is not JSON ({error}); it was cut short or edited") from error
    if not isinstance(content, dict):
        raise LfbtError(f"{path}: holds {type(content).__name__}, not a JSON object")
    return content


class Bar:
    """A progress bar that lines can be printed above."""

    def __init__(self, bar: Progress, task: TaskID) -> None:
        self._bar, self._task = bar, task

    def advance(self, n_steps: int = 1, told: str = "") -> None:
        """So many more steps are done; `told` stands beside the bar from now on."""
        self._bar.update(self._task, advance=n_steps, told=told)

    def begin_at(self, n_steps: int) -> None:
        """So many steps were done before: they do not count for the time that is left."""
        self._bar.reset(self._task, completed=n_steps)

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        self._bar.console.print(line, highlight=False, markup=False, soft_wrap=True)


@contextlib.contextmanager
def progress_bar(total: int, what: str, shown: bool = True) -> Iterator[Bar]:
    """A bar of `total` steps on stderr where that is a terminal; without one only what it says is printed.

    Where it is not to be `shown` nothing is.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True, quiet=not shown)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[told]}"),
    )
    with Progress(*columns, console=console, disable=not (shown and console.is_terminal)) as bar:
        yield Bar(bar, bar.add_task(what, total=total, told=""))


def progress(items: Iterable[ItemT], total: int, what: str) -> Iterator[ItemT]:
    """`items` one by one, with a progress bar."""
    with progress_bar(total, what) as bar:
        for item in items:
            yield item
            bar.advance()
