"""Half precision: products of matrices by autocast, and whether it is faster on this machine."""

from __future__ import annotations

import dataclasses
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lfbt.errors import LfbtError
from lfbt.runs.run_folder import SETTINGS, RunSettings
from lfbt.training.distributed import World
from lfbt.training.settings import Precision, PretrainSettings

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}

# A convolution of an encoder in the middle: records, channels, samples.
_RECORDS, _CHANNELS, _SAMPLES = 32, 32, 512
_ROUNDS = 7
# What makes bf16 worth its rounding, and how far that may move the results of a convolution.
_LEAST_RATIO, _MOST_ERROR = 1.2, 0.02


def check_precision(precision: Precision, device: torch.device) -> None:
    """Raise LfbtError for a precision that the device or the launcher is at odds with."""
    if precision == "fp16" and device.type == "cpu":
        raise LfbtError("precision: fp16 needs a GPU; take bf16 or fp32 on a CPU")
    by_launcher = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    if by_launcher not in ("no", precision):
        raise LfbtError(f"precision: accelerate launch has {by_launcher}, lfbt {precision}; give both the same")


class MixedPrecision:
    """Products of matrices in half precision by autocast; for fp16 gradients are scaled, so that none underflow.

    In single precision all of it does nothing. scaler: None where gradients are not scaled.
    """

    def __init__(self, precision: Precision, device: torch.device) -> None:
        check_precision(precision, device)
        self._dtype = _DTYPES.get(precision)
        self._device = device.type
        self.scaler = torch.amp.GradScaler(device.type) if precision == "fp16" else None

    def forward(self, model: nn.Module, *inputs: Tensor) -> Tensor:
        """Call the model; its output is in single precision at least."""
        if self._dtype is None:
            output: Tensor = model(*inputs)
            return output
        with torch.autocast(self._device, self._dtype):
            output = model(*inputs)
        return output.float() if output.dtype == self._dtype else output

    def backward(self, loss: Tensor) -> None:
        """Backward pass."""
        (loss if self.scaler is None else self.scaler.scale(loss)).backward()

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        """Optimiser step by the gradients of `backward`."""
        if self.scaler is None:
            optimizer.step()
            return
        self.scaler.step(optimizer)
        self.scaler.update()


def with_precision(settings: PretrainSettings, world: World) -> tuple[PretrainSettings, str]:
    """Replace the precision auto in all processes by what the main one chooses; the second is a line that says why."""
    # Two processes that share a machine would disturb each other's timing.
    own = world.run_on_all(lambda: settle_precision(settings, world.device) if world.is_main else None)
    precision, reason = world.broadcast_object(own) or (settings.compute.precision, "")
    compute = dataclasses.replace(settings.compute, precision=precision)
    return dataclasses.replace(settings, compute=compute), reason


def settle_precision(settings: PretrainSettings, device: torch.device) -> tuple[Precision, str]:
    """Choose the precision for auto: what the run began with, or bf16 on a CPU that computes it faster and right.

    Returns
    -------
    str
        A precision other than auto.
    str
        A line that says why; empty where it was asked for.
    """
    if settings.compute.precision != "auto":
        return settings.compute.precision, ""
    begun = _begun_with(settings.run_dir) if settings.checkpoints.resume else None
    if begun is not None:
        return begun, f"precision {begun}: the run began with it"
    if device.type != "cpu":
        return "fp32", "precision fp32: auto chooses on CPUs only"
    ratio, error = probe_bf16()
    chosen: Precision = "bf16" if ratio >= _LEAST_RATIO and error <= _MOST_ERROR else "fp32"
    return chosen, f"precision {chosen}: a convolution in bf16 is {ratio:.1f} times as fast here"


def _begun_with(run_dir: Path) -> Precision | None:
    """The precision of the run in a folder; None where there is no run yet."""
    if not (run_dir / SETTINGS).is_file():
        return None
    precision = RunSettings.load(run_dir).to_dict().get("precision")
    return precision if precision in ("fp32", "bf16", "fp16") else None


def probe_bf16() -> tuple[float, float]:
    """Compute a convolution and its gradients on the CPU in fp32 and bf16 by turns.

    Returns
    -------
    float
        How many times as fast bf16 is.
    float
        By how much its results differ from those of fp32, relative to their norm; the largest of three.
    """
    n_threads = torch.get_num_threads()
    # As a lead is computed; the number of threads is that of the thread which sets it.
    with ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        found = pool.submit(_probe).result()
    torch.set_num_threads(n_threads)
    return found


def _probe() -> tuple[float, float]:
    generator = torch.Generator().manual_seed(0)
    tensors = [
        torch.randn(shape, generator=generator)
        for shape in ((_RECORDS, _SAMPLES, _CHANNELS), (_CHANNELS, _CHANNELS, 3), (_RECORDS, _SAMPLES, _CHANNELS))
    ]
    times = []
    for _ in range(_ROUNDS):
        seconds, results = zip(*(_convolve(tensors, dtype) for dtype in (torch.float32, torch.bfloat16)), strict=True)
        times.append(seconds)
    errors = [float((half.float() - single).norm() / single.norm()) for single, half in zip(*results, strict=True)]
    # The shortest, of the thread's own time: others may compute as well.
    single, half = map(min, zip(*times, strict=True))
    return single / half, max(errors)


def _convolve(tensors: list[Tensor], dtype: torch.dtype) -> tuple[float, list[Tensor]]:
    """Seconds, and the output and the gradients of input and weight of a convolution as the encoders have it."""
    x, weight, gradient = (tensor.to(dtype) for tensor in tensors)
    image = x[:, None].permute(0, 3, 1, 2).requires_grad_()
    kernel = weight.unsqueeze(2).contiguous(memory_format=torch.channels_last).requires_grad_()
    start = time.thread_time()
    y = F.conv2d(image, kernel, padding=(0, 1))
    gradients = torch.autograd.grad(y, (image, kernel), gradient[:, None].permute(0, 3, 1, 2))
    return time.thread_time() - start, [y.detach(), *gradients]
