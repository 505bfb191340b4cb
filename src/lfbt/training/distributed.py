"""One process or several, launched by torchrun or accelerate: device, precision, and what all must hear of.

Hugging Face Accelerate finds out how the process was launched, wraps the model and scales gradients of half precision.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

import torch
import torch.distributed as dist

from lfbt.errors import LfbtError
from lfbt.runs.trackers import finish_trackers
from lfbt.utils.collectives import shard_sizes
from lfbt.utils.device import resolve_device

if TYPE_CHECKING:
    import numpy as np
    from accelerate import Accelerator
    from numpy.typing import NDArray


Precision = Literal["fp32", "bf16", "fp16"]
BatchNorm = Literal["global", "process"]

_ResultT = TypeVar("_ResultT")

# What each of several processes may have its own of.
_OF_A_PROCESS = {"data_dir", "run_dir", "checkpoint", "quality_data", "quality_hash", "device", "workers"}

# Others wait while the main process saves, or looks at the encoder's quality.
_PATIENCE = datetime.timedelta(hours=2)

# Accelerate's own word for each precision.
_MIXED_PRECISION = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}


@dataclasses.dataclass(frozen=True)
class Launch:
    """How this process was launched.

    device: its own; rank: its number among the `n_processes`, the main one's is 0. `control` is a group on CPUs for
    messages, where there are several processes.
    """

    accelerator: Accelerator
    device: torch.device
    n_processes: int
    rank: int
    control: Any = None

    @property
    def is_main(self) -> bool:
        """Whether this is the one process that writes and prints."""
        return self.rank == 0

    def sizes(self, n_records: int) -> list[int] | None:
        """How many of a batch's records each process has; None where there is one process."""
        return shard_sizes(n_records, self.n_processes) if self.n_processes > 1 else None

    def share(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The part of a batch that this process has."""
        sizes = shard_sizes(len(rows), self.n_processes)
        start = sum(sizes[: self.rank])
        return rows[start : start + sizes[self.rank]]

    def together(self, function: Callable[[], _ResultT]) -> _ResultT:
        """What `function` returns, once it has returned in every process.

        Where it raises LfbtError in any of them, the first of these raises it, and the others end with status 2 in
        silence.
        """
        if self.n_processes == 1:
            return function()
        failure: LfbtError | None = None
        try:
            result = function()
        except LfbtError as error:
            failure = error
        failed: list[bool] = [False] * self.n_processes
        dist.all_gather_object(failed, failure is not None, group=self.control)
        if not any(failed):
            return result
        if failure is not None and failed.index(True) == self.rank:
            raise failure
        raise SystemExit(2)

    def from_main(self, value: _ResultT) -> _ResultT:
        """The main process's `value`, in every process."""
        values = [value] * self.n_processes
        if self.n_processes > 1:
            dist.all_gather_object(values, value, group=self.control)
        return values[0]

    def failure(self, text: str) -> BaseException:
        """What to raise in this process for what all of them have found: the main one tells of it."""
        return LfbtError(text) if self.is_main else SystemExit(2)

    def check_same(self, settings: Mapping[str, Any]) -> None:
        """Raise LfbtError where processes were given other settings, or have other data, than the main one.

        Paths, devices and readers may differ.
        """
        settings = {name: value for name, value in settings.items() if name not in _OF_A_PROCESS}

        def check() -> None:
            for name, value in settings.items():
                if value != all_settings[0][name]:
                    raise LfbtError(
                        f"{name} is {value} in process {self.rank} but {all_settings[0][name]} in the main one; "
                        "launch all with the same words, on the same data"
                    )

        if self.n_processes > 1:
            all_settings: list[dict[str, Any]] = [{}] * self.n_processes
            dist.all_gather_object(all_settings, settings, group=self.control)
            self.together(check)

    def ask(self, said_here: Callable[[], bool]) -> Callable[[], bool]:
        """A function that tells whether any process has said so; the answer travels while all compute."""
        if self.n_processes == 1:
            return said_here
        flag = torch.tensor([int(said_here())])
        work = dist.all_reduce(flag, op=dist.ReduceOp.MAX, group=self.control, async_op=True)

        def answer() -> bool:
            work.wait()
            return bool(flag.item())

        return answer

    def wait_for_all(self) -> None:
        """Go on when every process is here."""
        if self.n_processes > 1:
            dist.barrier(group=self.control)


def select_device(name: str) -> torch.device:
    """The device called `name`, as `resolve_device` has it; of several processes on a host each has its own GPU."""
    local_rank = os.environ.get("LOCAL_RANK")
    if name not in ("auto", "cpu", "cuda") and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise LfbtError(f"device: {name!r} is one device, but several processes were launched; take auto, cpu or cuda")
    if local_rank is not None and name in ("auto", "cuda") and torch.cuda.is_available():
        torch.cuda.set_device(int(local_rank) % torch.cuda.device_count())
    return resolve_device(name)


def check_batch_norm(batch_norm: str) -> None:
    """Raise LfbtError for a kind of batch normalisation that is none."""
    if batch_norm not in get_args(BatchNorm):
        raise LfbtError(f"batch-norm: {batch_norm!r} is not one of {', '.join(get_args(BatchNorm))}")


def check_precision(precision: str, device: torch.device) -> None:
    """Raise LfbtError for a precision that is none, or that the device or the launcher is at odds with."""
    if precision not in get_args(Precision):
        raise LfbtError(f"precision: {precision!r} is not one of {', '.join(get_args(Precision))}")
    if precision == "fp16" and device.type == "cpu":
        raise LfbtError("precision: fp16 needs a GPU; take bf16 or fp32 on a CPU")
    by_launcher = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    if by_launcher not in ("no", _MIXED_PRECISION[precision]):
        raise LfbtError(f"precision: accelerate launch was told {by_launcher}, lfbt {precision}; give both the same")


@contextlib.contextmanager
def init_distributed(
    device: torch.device, precision: Precision = "fp32", trackers: Sequence[str] = (), folder: Path | None = None
) -> Iterator[Launch]:
    """The launch that this process is part of, as torchrun or accelerate has described it in the environment.

    trackers: Accelerate's names of those that are to be told of the run; folder: where such a one may write.

    Raises LfbtError for a precision that cannot be had, for a launcher that was told to do what lfbt does not, and,
    while the block runs, when another process is lost.
    """
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState, GradientState
    from accelerate.utils import DistributedDataParallelKwargs, DistributedType, InitProcessGroupKwargs

    check_precision(precision, device)
    if "ACCELERATE_USE_CPU" in os.environ and "MASTER_ADDR" in os.environ and "RANK" not in os.environ:
        raise LfbtError(
            "accelerate launch without --multi_gpu starts one process only, whatever --num_processes says; say "
            "accelerate launch --multi_gpu --num_processes N -m lfbt … (on CPUs too), or torchrun --nproc-per-node N"
        )
    accelerator = Accelerator(
        cpu=device.type == "cpu",
        mixed_precision=_MIXED_PRECISION[precision],
        log_with=list(trackers) or None,
        project_dir=None if folder is None else str(folder),
        device_placement=False,
        kwargs_handlers=[
            DistributedDataParallelKwargs(gradient_as_bucket_view=True),
            InitProcessGroupKwargs(timeout=_PATIENCE),
        ],
    )
    n_processes = accelerator.num_processes
    several = n_processes > 1
    deterministic = torch.backends.cudnn.deterministic
    failure: BaseException | None = None
    try:
        # A run that goes on must equal one that was never stopped.
        torch.backends.cudnn.deterministic = True
        kind = accelerator.distributed_type
        if kind not in (DistributedType.NO, DistributedType.MULTI_CPU, DistributedType.MULTI_GPU):
            raise LfbtError(f"accelerate launch: {kind.value} is not supported; launch without it")
        control = dist.new_group(backend="gloo", timeout=_PATIENCE) if several else None
        here = accelerator.device if several else device
        launch = Launch(accelerator, here, n_processes, accelerator.process_index, control)
        yield launch
        launch.wait_for_all()
        if several:
            dist.destroy_process_group()
    except BaseException as error:
        failure = error
        if not (several and isinstance(error, RuntimeError) and _is_of_connection(error)):
            raise
        raise LfbtError(
            f"process {accelerator.process_index} of {n_processes} lost another one "
            f"({str(error).splitlines()[0][:120]}); what that one said last tells why"
        ) from error
    finally:
        finish_trackers(accelerator, failure)
        torch.backends.cudnn.deterministic = deterministic
        # Accelerate remembers the first launch of a process for good; the next one may be on another device.
        AcceleratorState._reset_state(reset_partial_state=True)
        GradientState._reset_state()


def _is_of_connection(error: RuntimeError) -> bool:
    """Whether other processes could not be reached; gloo has no class of errors of its own."""
    text = str(error).lower()
    return isinstance(error, dist.DistError) or any(word in text for word in ("gloo", "nccl", "connection", "peer"))


def check_shard_sizes(batch_sizes: Sequence[int], n_processes: int, least: int) -> None:
    """Raise LfbtError unless each process has at least `least` records of every batch."""
    if min(batch_sizes) // n_processes < least:
        raise LfbtError(
            f"batch-size: {n_processes} processes cannot have {least} or more each of a batch of {min(batch_sizes)} "
            "records; take a larger batch or fewer processes"
        )
