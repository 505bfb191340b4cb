"""Progress bars on a terminal."""

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

    def advance(self, n_steps: int = 1, message: str = "") -> None:
        """Count `n_steps` more as done, and show `message` beside the bar."""
        self._bar.update(self._task, advance=n_steps, message=message)

    def begin_at(self, n_steps: int) -> None:
        """Count `n_steps` as done before; the remaining time is estimated without them."""
        self._bar.reset(self._task, completed=n_steps)

    def write(self, line: str) -> None:
        """Print a line above the bar."""
        self._bar.console.print(line, highlight=False, markup=False, soft_wrap=True)


@contextlib.contextmanager
def progress_bar(total: int, what: str, shown: bool = True) -> Iterator[Bar]:
    """Show a progress bar on stderr; where that is no terminal, only lines written above the bar are printed.

    Parameters
    ----------
    total
        Number of steps.
    what
        Label in front of the bar.
    shown
        Without it, nothing is printed at all.

    Yields
    ------
    Bar
        To advance, and to write lines above.
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
        TextColumn("{task.fields[message]}"),
    )
    with Progress(*columns, console=console, disable=not (shown and console.is_terminal)) as bar:
        yield Bar(bar, bar.add_task(what, total=total, message=""))


def track(items: Iterable[ItemT], total: int, what: str) -> Iterator[ItemT]:
    """Yield `items` one by one with a progress bar of `total` steps.

    Examples
    --------
    >>> list(track("abc", 3, "letters"))
    ['a', 'b', 'c']
    """
    with progress_bar(total, what) as bar:
        for item in items:
            yield item
            bar.advance()
