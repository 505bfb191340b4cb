"""A Dask cluster that is there already: its workers do what local processes would do, results in order."""

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

# Seconds that a scheduler has to answer, and to have a worker.
_ANSWER_S, _WORKER_S = 10.0, 30.0
_CHUNK = 16


def in_chunks(items: Sequence[_Item], workers: int) -> list[Sequence[_Item]]:
    """`items` in parts that are worth sending to one of so many workers."""
    size = max(1, min(_CHUNK, len(items) // max(1, workers)))
    return [items[start : start + size] for start in range(0, len(items), size)]


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The workers of the Dask scheduler at `address`."""

    client: distributed.Client
    address: str

    def n_threads(self) -> int:
        """How many threads the workers have that are there now."""
        return sum(self.client.nthreads().values())

    def map(
        self,
        function: Callable[[Sequence[_Item]], _Result],
        items: Sequence[_Item],
        name_of: Callable[[_Item], str],
    ) -> Iterator[_Result]:
        """`function` of chunks of `items`, in order, with few results held at a time.

        What a worker was doing when it died is done again by another. Raises what `function` raises, and LfbtError when
        there is no worker any more, the same chunk kills several, or the scheduler is lost.
        """
        import distributed
        from distributed.comm.core import CommClosedError

        waiting: collections.deque[tuple[distributed.Future[_Result], str]] = collections.deque()
        try:
            with ThreadPool(1) as thread:
                for chunk in in_chunks(items, self.n_threads()):
                    # Not pure: nothing that an earlier run left at the workers is taken for its result.
                    names = f"{name_of(chunk[0])} to {name_of(chunk[-1])}"
                    waiting.append((self.client.submit(function, chunk, pure=False), names))
                    while len(waiting) > 2 * self.n_threads():
                        yield self._received(thread, *waiting.popleft())
                while waiting:
                    yield self._received(thread, *waiting.popleft())
        except LfbtError:
            raise
        except Exception as error:
            if not isinstance(error, distributed.CancelledError | CommClosedError) and self.client.status == "running":
                raise
            raise LfbtError(f"dask-scheduler: the connection to {self.address} was lost; start again") from error

    def _received(self, thread: ThreadPool, future: distributed.Future[_Result], names: str) -> _Result:
        import distributed

        # In a thread: without workers Dask waits for ever, and its own time limit leaves a traceback on stderr.
        result = thread.apply_async(future.result)
        while not result.ready():
            result.wait(_WORKER_S)
            if not result.ready():
                self.wait_for_worker()
        try:
            return result.get()
        except distributed.KilledWorker as error:
            raise LfbtError(
                f"dask-scheduler: several workers of {self.address} died over {names}, perhaps for want of memory; "
                "their logs may say why"
            ) from error

    def wait_for_worker(self) -> None:
        """Raise LfbtError unless there is a worker soon."""
        try:
            self.client.wait_for_workers(1, timeout=_WORKER_S)
        except TimeoutError as error:
            raise LfbtError(
                f"dask-scheduler: {self.address} has no workers; start some with `dask worker {self.address}`"
            ) from error

    def check_versions(self) -> None:
        """Raise LfbtError unless the scheduler, which reads all that it hands on, and the workers have this lfbt."""
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
                    f"dask-scheduler: the {who} at {self.address} does not have lfbt {lfbt.__version__} ({version}); "
                    "install the same version there"
                )


@contextlib.contextmanager
def connected(address: str) -> Iterator[Cluster]:
    """The cluster of the scheduler at `address`, which has workers; all there have this version of lfbt.

    Raises LfbtError otherwise. When the block ends, the scheduler drops whatever is not done.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise LfbtError(f"dask-scheduler: no package to reach it ({error}); pip install 'lfbt[dask]'") from error
    # A lost connection is told by an LfbtError, not by Dask's lines and tracebacks as well.
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
    """A client of the scheduler at `address`. Raises LfbtError when it does not answer."""
    options = {"timeout": _ANSWER_S, "set_as_default": False}
    try:
        # In a thread, for a Client waits for ever where something else listens, such as the scheduler's dashboard.
        with ThreadPool(1) as thread:
            return thread.apply_async(client, (address,), options).get(2 * _ANSWER_S)
    except Exception as error:  # noqa: BLE001
        reason = str(error) or "no answer"
    # At exit Dask would wait for a Client that failed to start; here it is closed at once.
    gc.collect()
    raise LfbtError(
        f"dask-scheduler: {address!r} cannot be reached ({reason}); give host:port as `dask scheduler` prints it, and "
        "have the same version of Dask there and here"
    )
