"""One step of pretraining."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lfbt.losses.objectives import LossFunction
from lfbt.training.precision import MixedPrecision


def train_step(
    views: Tensor,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    loss_function: LossFunction,
    sizes: Sequence[int] | None = None,
    precision: MixedPrecision | None = None,
) -> list[float]:
    """Learn from two views ``[2, B, leads, samples]`` of a batch; returns what `loss_function` does, the loss first.

    sizes: records of the batch in each process, where several share it and `model` averages their gradients.

    Raises FloatingPointError, and learns nothing, when the loss is not finite.
    """
    precision = precision or MixedPrecision("fp32", views.device)
    z1, z2 = precision.forward(model, views)  # B L D each
    losses = loss_function(z1, z2, sizes)
    terms: list[float] = torch.stack(tuple(losses)).tolist()
    if not math.isfinite(terms[0]):
        raise FloatingPointError(terms[0])
    # Each process has the part of the gradient of its records: their sum is wanted, not their mean.
    precision.step(losses[0] * len(sizes) if sizes else losses[0], optimizer)
    optimizer.zero_grad(set_to_none=True)
    return terms
