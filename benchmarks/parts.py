"""Time of each part of several steps, and the time its multiplications would take at the matrix-product peak."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import statistics
import tempfile
import threading
import unittest.mock
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks import ours, reference
from benchmarks.measure import matmul_peak, seconds_of
from benchmarks.sizes import Sizes, StepSize
from benchmarks.tasks import packed_batch
from lfbt.losses.lfbt import lfbt_loss
from lfbt.models.cpu import fused
from lfbt.models.encoder import EncoderConfig
from lfbt.training.augmentation import random_views
from lfbt.training.train_state import create_train_state

Precision = Literal["fp32", "bf16"]
PRECISIONS: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}
_CONVOLUTIONS = "encoders: convolutions"
_INSIDE = {
    _CONVOLUTIONS: ("_convolve", "_convolve_backward"),
    "encoders: batch norm, ReLU, pooling": ("moments", "activate", "gradient_sums", "input_gradient"),
}


@dataclasses.dataclass(frozen=True)
class Part:
    """Median seconds of a part of a step, its share of the total, and the seconds its multiplications take at the peak.

    The peak is that of products of matrices of the step's precision.
    """

    step: str
    part: str
    seconds: float
    share: float
    at_peak: float | None


def parts(sizes: Sizes) -> list[Part]:
    """Measure the parts of the paper's step and of the small preset's, each in both precisions."""
    found = []
    for name, size in (("paper", sizes.step), ("preset small", sizes.small_step)):
        for precision in PRECISIONS:
            found += _parts_of_step(f"{name}, {precision}", size, precision, sizes)
    return found


def _parts_of_step(name: str, size: StepSize, precision: Precision, sizes: Sizes) -> list[Part]:
    # Without gradients that are freed early, Adam comes after everything else, and its time is its own.
    config = EncoderConfig(tuple(size.leads), size.n_samples / 10, size.n_samples)
    model = create_train_state(config, size.projector, learning_rate=1e-3)
    lead = reference.encoder_multiply_adds(size.n_samples)
    whole = reference.multiply_adds(reference.Reference(size.n_leads, size.projector), size.n_samples)
    multiplications = {_CONVOLUTIONS: size.n_leads * lead, "projectors": whole - size.n_leads * lead}
    peaks, found = [], []
    with tempfile.TemporaryDirectory() as folder:
        dataset, draws = packed_batch(Path(folder) / "packed", size)
        signals = ours.read_batch(dataset, np.arange(size.batch))
        for _ in range(2):
            seconds_of_parts(model, signals, draws, precision)
        for _ in range(sizes.rounds):
            peaks.append(matmul_peak(sizes.matmul, dtype=PRECISIONS[precision]))
            found.append(seconds_of_parts(model, signals, draws, precision))
    # Forward once, backward twice the arithmetic of forward, two views.
    giga = {part: 3 * 2 * size.batch * n / 1e9 for part, n in multiplications.items()}
    at_peak = {part: n / statistics.median(peaks) for part, n in giga.items()}
    medians = {part: statistics.median(one[part] for one in found) for part in found[0]}
    total = sum(medians.values())
    return [Part(name, part, seconds, seconds / total, at_peak.get(part)) for part, seconds in medians.items()]


def seconds_of_parts(
    model: ours.TrainState, signals: Tensor, draws: NDArray[np.float64], precision: Precision
) -> dict[str, float]:
    """Seconds of each part of one step.

    Times inside the encoders are summed over the threads that compute leads in parallel, then divided by their number.
    """
    inside: dict[str, float] = collections.defaultdict(float)
    with contextlib.ExitStack() as stack:
        for part, names in _INSIDE.items():
            for name in names:
                timed = _timed(getattr(fused, name), part, inside)
                stack.enter_context(unittest.mock.patch.object(fused, name, timed))
        of_views, views = seconds_of(lambda: random_views(signals, draws))
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            forward, features = seconds_of(lambda: model.encoder(views))
            at_features = features.detach().requires_grad_()
            projection, z = seconds_of(lambda: model.projectors(at_features))
        at_z = z.detach().requires_grad_()
        loss, _ = seconds_of(lambda: lfbt_loss(*at_z).total.backward())
        projection += seconds_of(lambda: z.backward(at_z.grad))[0]
        backward, _ = seconds_of(lambda: features.backward(at_features.grad))
        adam, _ = seconds_of(model.optimizer.step)
        model.optimizer.zero_grad(set_to_none=True)
    threads = min(torch.get_num_threads(), 2 * len(model.encoder.config.leads))
    within = {part: inside[part] / threads for part in _INSIDE}
    rest = {"encoders: the rest": forward + backward - sum(within.values())}
    return within | rest | {"projectors": projection, "loss": loss, "views": of_views, "Adam": adam}


def _timed(function: Callable[..., Any], part: str, spent: dict[str, float]) -> Callable[..., Any]:
    lock = threading.Lock()

    def timed(*arguments: Any, **options: Any) -> Any:
        seconds, result = seconds_of(lambda: function(*arguments, **options))
        with lock:
            spent[part] += seconds
        return result

    return timed
