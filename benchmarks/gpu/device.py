"""Calls that differ between a GPU and a CPU, and the switches of a GPU's arithmetic."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator

import torch

#: TF32 in convolutions and in matrix products. PyTorch's defaults have it in convolutions only.
TF32 = {"fp32": (False, False), "defaults": (True, False), "tf32": (True, True)}


@contextlib.contextmanager
def arithmetic(tf32: str = "fp32", free: bool = False) -> Iterator[None]:
    """Set TF32 as `TF32` names it, and cuDNN as training does: deterministic, or free to search for the fastest."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, matmul.allow_tf32, cudnn.deterministic, cudnn.benchmark
    cudnn.allow_tf32, matmul.allow_tf32 = TF32[tf32]
    cudnn.deterministic, cudnn.benchmark = not free, free
    try:
        yield
    finally:
        cudnn.allow_tf32, matmul.allow_tf32, cudnn.deterministic, cudnn.benchmark = before


def synchronize(device: torch.device) -> None:
    """Wait until the device has done all it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def milliseconds(function: Callable[[], object], device: torch.device, repeats: int, warm_up: int = 3) -> list[float]:
    """Times of calls in milliseconds, each from an idle device to an idle device, after some untimed ones."""
    for _ in range(min(warm_up, repeats)):
        function()
    found = []
    for _ in range(repeats):
        synchronize(device)
        began = time.perf_counter()
        function()
        synchronize(device)
        found.append(1e3 * (time.perf_counter() - began))
    return found


class Events:
    """Times between marks on the device's own clock; on a CPU on the machine's."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._marks: list[tuple[str, torch.cuda.Event | float]] = []

    def mark(self, name: str) -> None:
        """The part `name` has been given to the device."""
        if self._device.type == "cuda":
            event = torch.cuda.Event(enable_timing=True)
            event.record()
            self._marks.append((name, event))
        else:
            self._marks.append((name, time.perf_counter()))

    def milliseconds(self) -> dict[str, float]:
        """The time of each part since the mark before it; the first mark begins."""
        synchronize(self._device)
        found: dict[str, float] = {}
        for (_, begin), (name, end) in zip(self._marks, self._marks[1:], strict=False):
            if isinstance(begin, float) or isinstance(end, float):
                spent = 1e3 * (float(end) - float(begin))  # type: ignore[arg-type]
            else:
                spent = begin.elapsed_time(end)
            found[name] = found.get(name, 0.0) + spent
        return found


def medians(found: list[dict[str, float]]) -> dict[str, float]:
    """The median of each part over several rounds."""
    return {name: statistics.median(one[name] for one in found) for name in found[0]}


def reset_peak(device: torch.device) -> None:
    """Forget the peak of the device's memory."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def peak_gb(device: torch.device) -> float | None:
    """The peak of the device's memory since `reset_peak`; None on a CPU, where the process would be measured."""
    return torch.cuda.max_memory_allocated(device) / 1e9 if device.type == "cuda" else None


def describe(device: torch.device) -> dict[str, str | int | float]:
    """The GPU and the versions of its libraries; of a CPU only its kind."""
    if device.type != "cuda":
        return {"device": "cpu"}
    properties = torch.cuda.get_device_properties(device)
    return {
        "device": properties.name,
        "gpus": torch.cuda.device_count(),
        "memory_gb": round(properties.total_memory / 1e9, 1),
        "multiprocessors": properties.multi_processor_count,
        "capability": f"{properties.major}.{properties.minor}",
        "cuda": str(torch.version.cuda),
        "cudnn": int(torch.backends.cudnn.version() or 0),
    }
