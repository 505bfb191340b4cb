"""Progress bars on a terminal."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, TypeVar

from lfbt.utils.printing import printable

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


ItemT = TypeVar("ItemT")

# Where no bar shows the time that is left, a line says it once: after so long, and if that much is left.
_SECONDS_BEFORE_ESTIMATE, _LEAST_SECONDS = 30.0, 60.0


_is_quiet = ContextVar("is_quiet", default=False)


@contextlib.contextmanager
def quiet(asked: bool = True) -> Iterator[None]:
    """Let no bar and no line be printed while the block runs, where that is `asked`."""
    token = _is_quiet.set(asked)
    try:
        yield
    finally:
        _is_quiet.reset(token)


class Bar:
    """A progress bar that lines can be printed above."""

    def __init__(self, bar: Progress, task: TaskID, total: int) -> None:
        self._bar, self._task = bar, task
        self._began, self._left, self._done = time.monotonic(), total, 0
        self._has_estimate = False

    def advance(self, n_steps: int = 1, message: str = "") -> None:
        """Count `n_steps` more as done, and show `message` beside the bar."""
        self._bar.update(self._task, advance=n_steps, message=message)
        self._done += n_steps
        self._left -= n_steps
        if self._bar.disable and not self._has_estimate:
            self._write_estimate()

    def begin_at(self, n_steps: int) -> None:
        """Count `n_steps` as done before; the remaining time is estimated without them."""
        self._bar.reset(self._task, completed=n_steps)
        self._began = time.monotonic()
        self._left -= n_steps

    def write(self, line: str) -> None:
        """Print a line above the bar."""
        self._bar.console.print(printable(line), highlight=False, markup=False, soft_wrap=True)

    def _write_estimate(self) -> None:
        """Write the time to the end, once there has been enough of it to tell."""
        seconds = time.monotonic() - self._began
        if seconds >= _SECONDS_BEFORE_ESTIMATE:
            self._has_estimate = True
            left = seconds / self._done * self._left
            if left >= _LEAST_SECONDS:
                self.write(f"about {format_duration(left)} to the end")


def format_duration(seconds: float) -> str:
    """Format a duration in minutes, or in hours where these are many.

    >>> format_duration(600), format_duration(12_000)
    ('10 min', '3.3 h')
    """
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def write_line(line: str, shown: bool = True) -> None:
    """Print a line on stderr, as a bar's `write` does where there is no bar; nothing unless it is `shown`."""
    if shown and not _is_quiet.get():
        print(printable(line), file=sys.stderr, flush=True)


@contextlib.contextmanager
def progress_bar(total: int, what: str, shown: bool = True) -> Iterator[Bar]:
    """Show a progress bar on stderr; where that is no terminal, print lines above it, and once the time that is left.

    Parameters
    ----------
    total
        Number of steps.
    what
        Label in front of the bar.
    shown
        Without it, as within `quiet`, nothing is printed at all.

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

    shown = shown and not _is_quiet.get()
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
        yield Bar(bar, bar.add_task(what, total=total, message=""), total)


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
