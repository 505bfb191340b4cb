"""Signals that stop a process: as requests to save first, or as an exception, so that it cleans up."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

#: Exit status of a run that was asked to stop and has saved: sysexits.h's "temporary failure, try again".
STOPPED_STATUS = 75

# Ctrl-C also reaches the launcher, which passes it on: signals closer than this come from one key press.
_MIN_SECONDS_APART = 1.0


class StoppedError(Exception):
    """A run stopped because it was asked to; the message says how to resume it."""


class TerminatedError(KeyboardInterrupt):
    """SIGTERM or SIGHUP has ended what was going on, as Ctrl-C does. Its notes say what is kept; `number`: the signal.

    Not an `Exception`, so that nothing takes it for an error.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number = number


@contextlib.contextmanager
def raising_terminated() -> Iterator[None]:
    """Raise `TerminatedError` in the block at the first SIGTERM or SIGHUP, where these would end the process at once.

    Later ones are passed over, because `timeout` and launchers send several: the first must be able to clean up.
    """
    # Python delivers signals to the main thread only; nohup has SIGHUP ignored, which stays so.
    in_main_thread = threading.current_thread() is threading.main_thread()
    numbers = (signal.SIGTERM, signal.SIGHUP) if in_main_thread else ()
    fatal = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]

    def receive(number: int, _: FrameType | None) -> None:
        for each in fatal:
            signal.signal(each, signal.SIG_IGN)
        raise TerminatedError(number)

    for number in fatal:
        signal.signal(number, receive)
    try:
        yield
    finally:
        for number in fatal:
            signal.signal(number, signal.SIG_DFL)


class StopRequest:
    """Whether a signal was received; `signal` is its name."""

    def __init__(self) -> None:
        self.signal: str | None = None
        self._time = 0.0

    def receive(self, number: int, _: FrameType | None) -> None:
        """Record the first signal. Raises KeyboardInterrupt for a later SIGINT."""
        repeated = self.signal is not None and time.monotonic() - self._time > _MIN_SECONDS_APART
        if number == signal.SIGINT and repeated:
            raise KeyboardInterrupt
        if self.signal is None:
            self.signal, self._time = signal.Signals(number).name, time.monotonic()


@contextlib.contextmanager
def catch_stop_signals() -> Iterator[StopRequest]:
    """Record SIGTERM, SIGHUP and SIGINT while the block runs; a second press of Ctrl-C interrupts it.

    SIGHUP that is ignored, as nohup has it, stays so.

    Python delivers signals to the main thread only, so in another one nothing is recorded.

    Yields
    ------
    StopRequest
        Its `signal` is None until one is received.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    numbers = [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, request.receive) for number in numbers}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def calling_on_hangup(end: Callable[[], None]) -> Iterator[None]:
    """Call `end` at SIGHUP while the block runs, and raise the signal again after it.

    For libraries that end in order on SIGTERM and SIGINT only. A signal that is ignored, as nohup has it, stays so.
    """
    before = signal.getsignal(signal.SIGHUP)
    if before is signal.SIG_IGN or threading.current_thread() is not threading.main_thread():
        yield
        return
    received = False

    def receive(_: int, __: FrameType | None) -> None:
        nonlocal received
        received = True
        end()

    signal.signal(signal.SIGHUP, receive)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)
    if received:
        signal.raise_signal(signal.SIGHUP)
