"""One process or several, launched by torchrun or accelerate: ranks, devices, data parallelism."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import torch
import torch.distributed as dist
from torch import nn

from lfbt.errors import FinishedError, LfbtError
from lfbt.training.settings import BatchNorm
from lfbt.utils.collectives import shard_sizes
from lfbt.utils.device import resolve_device
from lfbt.utils.figures import format_count

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ResultT = TypeVar("ResultT")

# Others wait while the main process saves, or evaluates the encoder.
_TIMEOUT = datetime.timedelta(hours=2)

# How accelerate launch asks for what lfbt does not do.
_UNSUPPORTED = {
    "ACCELERATE_USE_DEEPSPEED": "DEEPSPEED",
    "ACCELERATE_USE_FSDP": "FSDP",
    "ACCELERATE_USE_MEGATRON_LM": "MEGATRON_LM",
}


@dataclasses.dataclass(frozen=True)
class World:
    """The processes that compute together, seen from one of them.

    device: that of this process; rank: its number among `size`, the main one's is 0; control: a group on CPUs for
    messages, where there are several.
    """

    device: torch.device
    rank: int = 0
    size: int = 1
    control: Any = None

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes and prints."""
        return self.rank == 0

    def shard_sizes(self, n_records: int) -> list[int] | None:
        """Records of a batch in each process; None for one process."""
        return shard_sizes(n_records, self.size) if self.size > 1 else None

    def shard(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The rows of a batch that this process computes with."""
        sizes = shard_sizes(len(rows), self.size)
        start = sum(sizes[: self.rank])
        return rows[start : start + sizes[self.rank]]

    def parallelise(self, model: nn.Module) -> nn.Module:
        """Wrap a model so that gradients are averaged over the processes; one process has it as it is."""
        if self.size == 1:
            return model
        ids = [self.device.index] if self.device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(model, device_ids=ids, gradient_as_bucket_view=True)

    def run_on_all(self, function: Callable[[], ResultT]) -> ResultT:
        """Call `function` in every process and return its result once all have.

        Where it raises LfbtError in any process, the first of these raises it, and the others exit silently with
        status 2, or 0 where that one is a FinishedError.
        """
        if self.size == 1:
            return function()
        failure: LfbtError | None = None
        try:
            result = function()
        except LfbtError as error:
            failure = error
        statuses: list[int | None] = [None] * self.size
        status = None if failure is None else 0 if isinstance(failure, FinishedError) else 2
        dist.all_gather_object(statuses, status, group=self.control)
        first = next((rank for rank, status in enumerate(statuses) if status is not None), None)
        if first is None:
            return result
        if failure is not None and first == self.rank:
            raise failure
        raise SystemExit(statuses[first])

    def broadcast_object(self, value: ResultT) -> ResultT:
        """The main process's `value`, in every process."""
        values = [value] * self.size
        if self.size > 1:
            dist.all_gather_object(values, value, group=self.control)
        return values[0]

    def error(self, message: str) -> BaseException:
        """What to raise in this process for an error that all have found: the main one reports it."""
        return LfbtError(message) if self.is_main else SystemExit(2)

    def check_same(self, values: Mapping[str, Any]) -> None:
        """Raise LfbtError where processes were launched with other settings, or have other data, than the main one."""

        def check() -> None:
            for name, value in values.items():
                if value != all_values[0][name]:
                    raise LfbtError(
                        f"{name} is {value} in process {self.rank} but {all_values[0][name]} in the main one; "
                        "launch all with the same words, on the same data"
                    )

        if self.size > 1:
            all_values: list[dict[str, Any]] = [{}] * self.size
            dist.all_gather_object(all_values, dict(values), group=self.control)
            self.run_on_all(check)

    def any_rank(self, here: Callable[[], bool]) -> Callable[[], bool]:
        """A function that returns whether `here` is true in any process; the answer travels while all compute."""
        if self.size == 1:
            return here
        flag = torch.tensor([int(here())])
        work = dist.all_reduce(flag, op=dist.ReduceOp.MAX, group=self.control, async_op=True)

        def answer() -> bool:
            work.wait()
            return bool(flag.item())

        return answer

    def barrier(self) -> None:
        """Wait for every process."""
        if self.size > 1:
            dist.barrier(group=self.control)


@contextlib.contextmanager
def init_distributed(device: torch.device) -> Iterator[World]:
    """Join the processes that torchrun or accelerate launch has described in the environment.

    Raises LfbtError for a launcher that was asked for what lfbt does not do and, while the block runs, when another
    process is lost.
    """
    size = dist.get_world_size() if dist.is_initialized() else _read_environment()
    if size == 1:
        with _deterministic():
            yield World(device)
        return
    if not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_TIMEOUT)
    world = World(device, dist.get_rank(), size, dist.new_group(backend="gloo", timeout=_TIMEOUT))
    try:
        with _deterministic():
            yield world
        world.barrier()
        dist.destroy_process_group()
    except RuntimeError as error:
        if not _is_lost_connection(error):
            raise
        raise LfbtError(
            f"process {world.rank} of {size} lost another one ({str(error).splitlines()[0][:120]}); what that one "
            "printed last tells why"
        ) from error


@contextlib.contextmanager
def _deterministic() -> Iterator[None]:
    """A resumed run must equal one that was never stopped."""
    before = torch.backends.cudnn.deterministic
    torch.backends.cudnn.deterministic = True
    try:
        yield
    finally:
        torch.backends.cudnn.deterministic = before


def _read_environment() -> int:
    """The number of processes. Raises LfbtError for a launch that lfbt cannot be part of."""
    environment = os.environ
    for variable, name in _UNSUPPORTED.items():
        if environment.get(variable, "false").lower() in ("1", "true"):
            raise LfbtError(f"accelerate launch: {name} is not supported; launch without it")
    if "ACCELERATE_USE_CPU" in environment and "MASTER_ADDR" in environment and "RANK" not in environment:
        raise LfbtError(
            "accelerate launch without --multi_gpu starts one process only, whatever --num_processes says; say "
            "accelerate launch --multi_gpu --num_processes N -m lfbt … (on CPUs too), or torchrun --nproc-per-node N"
        )
    size = _integer("WORLD_SIZE", 1)
    if size < 1:
        raise LfbtError("WORLD_SIZE: 0 is outside [1, inf); launch by torchrun, or unset WORLD_SIZE")
    if size > 1:
        _integer("LOCAL_RANK", 0)
        if _integer("RANK") >= size:
            raise LfbtError(
                f"RANK: {environment['RANK']} is outside [0, {size}), as WORLD_SIZE is {size}; launch by torchrun"
            )
        if not 0 < _integer("MASTER_PORT") < 2**16:
            raise LfbtError(
                f"MASTER_PORT: {environment['MASTER_PORT']} is outside [1, 65535]; give a port that is free"
            )
        if "MASTER_ADDR" not in environment:
            raise LfbtError("MASTER_ADDR: not set, but WORLD_SIZE is; launch by torchrun, or unset WORLD_SIZE")
    return size


def _integer(variable: str, default: int | None = None) -> int:
    text = os.environ.get(variable)
    if text is None and default is not None:
        return default
    if text is None or not text.isdecimal():
        raise LfbtError(
            f"{variable}: {text!r} is not the number that torchrun sets; launch by torchrun, or unset WORLD_SIZE"
        )
    return int(text)


def select_device(name: str) -> torch.device:
    """The device called `name`, as `resolve_device` has it; of several processes on a host each has its own GPU."""
    if name not in ("auto", "cpu", "cuda") and _integer("WORLD_SIZE", 1) > 1:
        raise LfbtError(f"device: {name!r} is one device, but several processes were launched; take auto, cpu or cuda")
    if "LOCAL_RANK" in os.environ and name in ("auto", "cuda") and torch.cuda.is_available():
        device = torch.device("cuda", _integer("LOCAL_RANK") % torch.cuda.device_count())
        torch.cuda.set_device(device)
        return device
    return resolve_device(name)


def _is_lost_connection(error: RuntimeError) -> bool:
    """Whether other processes could not be reached; gloo has no class of errors of its own."""
    text = str(error).lower()
    return isinstance(error, dist.DistError) or any(word in text for word in ("gloo", "nccl", "connection", "peer"))


def check_shard_sizes(batch_sizes: Sequence[int], world: World, batch_norm: BatchNorm) -> None:
    """Raise LfbtError unless each process has enough records of every batch: two for statistics of its own."""
    least = 2 if world.size > 1 and batch_norm == "process" else 1
    if min(batch_sizes) // world.size < least:
        raise LfbtError(
            f"batch_size: {world.size} processes cannot have {least} or more each of a batch of "
            f"{format_count(min(batch_sizes), 'record')}; take a larger batch or fewer processes"
        )
