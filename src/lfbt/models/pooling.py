"""Statistics over the time of activations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def pool_over_time(
    x: Tensor, statistics: Sequence[str], dims: tuple[int, ...], dtype: torch.dtype | None = None
) -> list[Tensor]:
    """Compute statistics of activations, each without the dimensions in `dims`.

    Parameters
    ----------
    x : Tensor
        Activations.
    statistics : sequence of str
        Each ``mean`` or ``max``.
    dims : tuple of int
        Those of time.
    dtype : torch.dtype, optional
        Of means and maxima, and of the sums; that of `x` by default.

    Examples
    --------
    >>> pool_over_time(torch.tensor([[0.0, 4.0], [1.0, 2.0]]), ("mean", "max"), (0,))
    [tensor([0.5000, 3.0000]), tensor([1., 4.])]
    """
    known: dict[str, Any] = {
        "mean": lambda: x.mean(dim=dims, dtype=dtype),
        "max": lambda: x.amax(dim=dims).to(dtype or x.dtype),
    }
    return [known[name]() for name in statistics]
