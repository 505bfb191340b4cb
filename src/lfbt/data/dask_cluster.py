"""A running Dask cluster, whose workers do the work of local processes; results come in order."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import gc
import logging
import pkgutil
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.pool import ThreadPool
from typing import TYPE_CHECKING, Any, TypeVar

import lfbt
from lfbt.errors import LfbtError

if TYPE_CHECKING:
    import distributed


_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

# Seconds to wait for an answer of the scheduler, and for a worker.
_ANSWER_S, _WORKER_S = 10.0, 30.0
_CHUNK = 16


def in_chunks(items: Sequence[_Item], workers: int) -> list[Sequence[_Item]]:
    """Divide `items` into chunks of a size that is worth sending to one of `workers`."""
    size = max(1, min(_CHUNK, len(items) // max(1, workers)))
    return [items[start : start + size] for start in range(0, len(items), size)]


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The workers of the Dask scheduler at `address`."""

    client: distributed.Client
    address: str

    def n_threads(self) -> int:
        """Count the threads of the present workers."""
        return sum(self.client.nthreads().values())

    def map(
        self,
        function: Callable[[Sequence[_Item]], _Result],
        items: Sequence[_Item],
        name_of: Callable[[_Item], str],
    ) -> Iterator[_Result]:
        """Apply a function to chunks of items, with few results in memory at a time.

        When a worker dies, another one repeats its work.

        Parameters
        ----------
        function : callable
            Takes a chunk; a function of a module, or a partial of one.
        items : sequence
            What chunks are made of.
        name_of : callable
            The name of an item, for messages.

        Yields
        ------
        The result of each chunk, in order.

        Raises
        ------
        LfbtError
            If there is no worker any more, the same chunk kills several, or the scheduler is lost; also whatever
            `function` raises.
        """
        import distributed
        from distributed.comm.core import CommClosedError

        waiting: collections.deque[tuple[distributed.Future[_Result], str]] = collections.deque()
        try:
            with ThreadPool(1) as thread:
                for chunk in in_chunks(items, self.n_threads()):
                    # Not pure: a result that an earlier run left on the workers must not be taken for this one.
                    names = f"{name_of(chunk[0])} to {name_of(chunk[-1])}"
                    waiting.append((self.client.submit(function, chunk, pure=False), names))
                    while len(waiting) > 2 * self.n_threads():
                        yield self._receive(thread, *waiting.popleft())
                while waiting:
                    yield self._receive(thread, *waiting.popleft())
        except LfbtError:
            raise
        except Exception as error:
            if not isinstance(error, distributed.CancelledError | CommClosedError) and self.client.status == "running":
                raise
            raise LfbtError(f"dask_scheduler: the connection to {self.address} was lost; start again") from error

    def _receive(self, thread: ThreadPool, future: distributed.Future[_Result], names: str) -> _Result:
        import distributed

        # In a thread: without workers Dask waits forever, and its own time limit leaves a traceback on stderr.
        result = thread.apply_async(future.result)
        while not result.ready():
            result.wait(_WORKER_S)
            if not result.ready():
                self.wait_for_worker()
        try:
            return result.get()
        except distributed.KilledWorker as error:
            raise LfbtError(
                f"dask_scheduler: several workers of {self.address} died over {names}, perhaps for lack of memory; "
                "their logs may say why"
            ) from error

    def wait_for_worker(self) -> None:
        """Wait until there is a worker. Raises LfbtError if there is none after 30 s."""
        try:
            self.client.wait_for_workers(1, timeout=_WORKER_S)
        except TimeoutError as error:
            raise LfbtError(
                f"dask_scheduler: {self.address} has no workers; start some with `dask worker {self.address}`"
            ) from error

    def check_versions(self) -> None:
        """Raise LfbtError unless scheduler and workers have this version of lfbt: all of them unpickle its objects."""
        question = (pkgutil.resolve_name, "lfbt:__version__")
        answers: dict[str, Any] = self.client.run(*question, on_error="return")
        found = {f"worker {worker}": answer for worker, answer in answers.items()}
        try:
            found["scheduler"] = self.client.run_on_scheduler(*question)
        except ImportError as error:
            found["scheduler"] = error
        for who, version in found.items():
            if version != lfbt.__version__:
                raise LfbtError(
                    f"dask_scheduler: the {who} at {self.address} does not have lfbt {lfbt.__version__} ({version}); "
                    "install the same version there"
                )


@contextlib.contextmanager
def connected(address: str) -> Iterator[Cluster]:
    """Connect to a Dask cluster; when the block ends, the scheduler drops whatever is not done.

    Parameters
    ----------
    address : str
        Of the scheduler, ``host:port``.

    Yields
    ------
    Cluster
        With at least one worker, and this version of lfbt everywhere.

    Raises
    ------
    LfbtError
        If there is no such cluster, or Dask is not installed.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise LfbtError(f"dask_scheduler: no package to reach it ({error}); pip install 'lfbt[dask]'") from error
    # A lost connection is reported by an LfbtError, not by Dask's messages and tracebacks as well.
    logs = [logging.getLogger(name) for name in ("distributed", "distributed.client")]
    levels = [log.level for log in logs]
    try:
        for log in logs:
            log.setLevel(logging.CRITICAL)
        with _client(Client, address) as client:
            cluster = Cluster(client, address)
            cluster.wait_for_worker()
            cluster.check_versions()
            yield cluster
    finally:
        for log, level in zip(logs, levels, strict=True):
            log.setLevel(level)


def _client(client: type[distributed.Client], address: str) -> distributed.Client:
    """Create a client of the scheduler at `address`. Raises LfbtError if it does not answer."""
    options = {"timeout": _ANSWER_S, "set_as_default": False}
    try:
        # In a thread: a Client waits forever where something else listens, such as the scheduler's dashboard.
        with ThreadPool(1) as thread:
            return thread.apply_async(client, (address,), options).get(2 * _ANSWER_S)
    except Exception as error:  # noqa: BLE001
        reason = str(error) or "no answer"
    # At exit Dask would wait for a Client that failed to start; here it is closed at once.
    gc.collect()
    raise LfbtError(
        f"dask_scheduler: {address!r} cannot be reached ({reason}); give host:port as `dask scheduler` prints it, and "
        "have the same version of Dask there and here"
    )
