"""The operations between two convolutions, batch normalisation, ReLU and max-pooling, in few passes over memory.

With x = max-pool(ReLU(scale · y + shift)), where scale and shift include the batch statistics, training needs four
functions of a convolution's output y ``[B, T, channels]``: `moments`, `activate` and, backward,
`gradient_sums` and `input_gradient`. Nothing but y has to be kept for them. In bfloat16 y, x and the gradients are
stored so; scale and shift, sums and all arithmetic are in single precision. On a CPU with Numba each is one compiled
loop (`lfbt.models.cpu.numba_ops`), elsewhere a few calls of PyTorch.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor

from lfbt.utils.tensors import to_full_precision


def moments(y: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased variance of each channel, in double precision."""
    if _compiled(y):
        return _numba_ops().moments(y)  # type: ignore[no-any-return]
    y = to_full_precision(y)
    mean = y.mean(dim=(0, 1), dtype=torch.float64)
    centred = y - mean.to(y.dtype)
    square = centred.square().mean(dim=(0, 1), dtype=torch.float64)
    return mean, square - centred.mean(dim=(0, 1), dtype=torch.float64).square()


def activate(y: Tensor, scale: Tensor, shift: Tensor, pool: bool) -> Tensor:
    """``ReLU(scale · y + shift)``; with `pool` the maximum of each pair of samples, an odd last one left out."""
    if _compiled(y):
        return _numba_ops().activate(y, scale, shift, pool)  # type: ignore[no-any-return]
    out = torch.addcmul(shift, y.to(scale.dtype), scale).relu_()
    return (torch.maximum(*_pairs(out)) if pool else out).to(y.dtype)


def gradient_sums(y: Tensor, gradient: Tensor, scale: Tensor, shift: Tensor, pool: bool) -> tuple[Tensor, Tensor]:
    """The sums of g and of g · y of each channel, in double precision, where g is the gradient before the ReLU.

    gradient: of the output of `activate` for the same arguments.
    """
    if _compiled(y):
        return _numba_ops().gradient_sums(y, gradient, scale, shift, pool)  # type: ignore[no-any-return]
    g = _before_relu(y, gradient, scale, shift, pool)
    sums = g.sum(dim=(0, 1), dtype=torch.float64)
    return sums, g.mul_(y.to(g.dtype)).sum(dim=(0, 1), dtype=torch.float64)


def input_gradient(
    y: Tensor, gradient: Tensor, scale: Tensor, shift: Tensor, factor: Tensor, offset: Tensor, pool: bool
) -> Tensor:
    """``scale · g + factor · y + offset`` with the g of `gradient_sums`: the gradient of y.

    Without pooling it may overwrite `gradient`.
    """
    if _compiled(y):
        return _numba_ops().input_gradient(y, gradient, scale, shift, factor, offset, pool)  # type: ignore[no-any-return]
    g = _before_relu(y, gradient, scale, shift, pool)
    return torch.addcmul(offset, y.to(scale.dtype), factor).addcmul_(g, scale).to(y.dtype)


@functools.cache
def has_numba() -> bool:
    """Whether the compiled loops are available: Numba is installed, and fits the installed NumPy."""
    try:
        _numba_ops()
    except ImportError:
        return False
    return True


def _compiled(y: Tensor) -> bool:
    return y.device.type == "cpu" and y.dtype in (torch.float32, torch.float64, torch.bfloat16) and has_numba()


def _numba_ops() -> Any:
    from lfbt.models.cpu import numba_ops  # a quarter of a second to import

    return numba_ops


def _pairs(x: Tensor) -> tuple[Tensor, Tensor]:
    """First and second samples of each pair ``[B, T // 2, channels]``."""
    end = x.shape[1] // 2 * 2
    return x[:, 0:end:2], x[:, 1:end:2]


def _before_relu(y: Tensor, gradient: Tensor, scale: Tensor, shift: Tensor, pool: bool) -> Tensor:
    """The gradient before the ReLU, of all samples of y."""
    out = torch.addcmul(shift, y.to(scale.dtype), scale).relu_()
    gradient = gradient.to(scale.dtype)
    if not pool:
        return gradient * (out > 0)
    g = torch.zeros_like(out)
    for of_g, mask in zip(_pairs(g), _winners(*_pairs(out)), strict=True):
        torch.mul(gradient, mask, out=of_g)
    return g


def _winners(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Masks of the samples that are the positive maximum of their pair; of two equal ones it is the first."""
    return (first >= second) & (first > 0), (second > first) & (second > 0)
