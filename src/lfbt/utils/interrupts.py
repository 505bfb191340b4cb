"""SIGTERM and SIGINT as a request to save and end, instead of the end."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

#: What a run that was asked to stop, and has saved, ends with: sysexits.h's "temporary failure, try again".
STOPPED_STATUS = 75

# Ctrl-C reaches a launcher too, which passes it on: the second signal of one press of a key is no second request.
_SECONDS_APART = 1.0


class StoppedError(Exception):
    """A run ended because it was asked to; the text says how to go on."""


class StopRequest:
    """Whether a signal has come, and which."""

    def __init__(self) -> None:
        self.signal: str | None = None
        self._time = 0.0

    def receive(self, number: int, _: FrameType | None) -> None:
        """Take note of the signal; a second SIGINT ends at once."""
        again = self.signal is not None and time.monotonic() - self._time > _SECONDS_APART
        if number == signal.SIGINT and again:
            raise KeyboardInterrupt
        if self.signal is None:
            self.signal, self._time = signal.Signals(number).name, time.monotonic()


@contextlib.contextmanager
def catch_stop_signals() -> Iterator[StopRequest]:
    """Signals that ask to stop, while the block runs. Only a process's main thread can be told of them."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.signal(number, request.receive) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
