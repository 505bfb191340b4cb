"""Progress on a terminal."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


ItemT = TypeVar("ItemT")


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
