"""The loss and the step of both sides, each a function without arguments with its own data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from benchmarks import ours, reference
from benchmarks.data import write_npy, write_packed
from benchmarks.sizes import StepSize

Task = Callable[[], object]


def projections(size: StepSize) -> tuple[Tensor, Tensor]:
    """Standardised projections ``[B, leads, D]`` of two views that resemble each other."""
    generator = torch.Generator().manual_seed(0)
    shape = (size.batch, size.n_leads, size.projector[-1])
    common = torch.randn(shape, generator=generator)
    first, second = (common + torch.randn(shape, generator=generator) for _ in range(2))
    return standardised(first), standardised(second)


def standardised(z: Tensor) -> Tensor:
    """`z` with zero mean and unit variance over the batch."""
    return (z - z.mean(dim=0)) / z.std(dim=0, correction=0)


def literal_loss(size: StepSize) -> Callable[[], Tensor]:
    """Loss and gradients from explicit matrices."""
    z1, z2 = ([z.contiguous().requires_grad_() for z in view.unbind(1)] for view in projections(size))

    def run() -> Tensor:
        for z in (*z1, *z2):
            z.grad = None
        loss = reference.lfbt_loss(z1, z2)
        loss.backward()
        return loss.detach()

    return run


def our_loss(size: StepSize) -> Callable[[], Tensor]:
    """Loss and gradients from lfbt."""
    z1, z2 = (z.requires_grad_() for z in projections(size))

    def run() -> Tensor:
        z1.grad = z2.grad = None
        return ours.loss_alone(z1, z2)

    return run


def packed_batch(folder: Path, size: StepSize) -> tuple[ours.Dataset, NDArray[np.float64]]:
    """A data set of one batch in `folder`, written if absent, and the random draws of its views."""
    if not folder.exists():
        write_packed(folder, size.batch, size.leads, size.n_samples)
    return ours.open_dataset(folder), ours.draw_views(0, 0, size.batch)


def literal_views(folder: Path, size: StepSize) -> DataLoader[tuple[Tensor, Tensor]]:
    """The same batch and draws, read from .npy files."""
    _, draws = packed_batch(folder / "packed", size)
    files = write_npy(folder / "packed", folder / "npy")
    return DataLoader(reference.Views(files, draws), size.batch)


def literal_step(folder: Path, size: StepSize, model: reference.Reference) -> Task:
    """A complete step: files, views, encoders, projectors, loss, gradients, Adam."""
    views = literal_views(folder, size)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    return lambda: reference.step(model, optimizer, views)


def our_step(folder: Path, size: StepSize, model: ours.TrainState, precision: ours.Precision = "fp32") -> Task:
    """The same from lfbt, from a packed data set."""
    dataset, draws = packed_batch(folder / "packed", size)
    rows = np.random.default_rng(0).permutation(size.batch)
    return lambda: ours.step(model, ours.read_batch(dataset, rows), draws[rows], precision)


def _new_literal(folder: Path, size: StepSize, _low_memory: bool) -> Task:
    return literal_step(folder, size, reference.Reference(size.n_leads, size.projector))


def _new_ours(folder: Path, size: StepSize, low_memory: bool) -> Task:
    return our_step(folder, size, ours.new_model(size.leads, size.n_samples, size.projector, low_memory))


def _new_ours_in_bf16(folder: Path, size: StepSize, low_memory: bool) -> Task:
    return our_step(folder, size, ours.new_model(size.leads, size.n_samples, size.projector, low_memory), "bf16")


#: The tasks of `benchmarks.memory`: functions of a folder to write to, a size, and whether to use low memory.
TASKS: dict[str, Callable[[Path, StepSize, bool], Task]] = {
    "literal-loss": lambda _folder, size, _low_memory: literal_loss(size),
    "our-loss": lambda _folder, size, _low_memory: our_loss(size),
    "literal-step": _new_literal,
    "our-step": _new_ours,
    "our-step-bf16": _new_ours_in_bf16,
}
