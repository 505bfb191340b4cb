"""VICReg's loss, to hold LFBT against."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from lfbt.utils.collectives import gather_batch

# VICReg's weights of invariance, variance and covariance in its equation 6, and the ε of its equation 2.
_INVARIANCE, _VARIANCE, _COVARIANCE = 25.0, 25.0, 1.0
_EPSILON = 1e-4


def vicreg_loss(z1: Tensor, z2: Tensor, sizes: Sequence[int] | None = None) -> Tensor:
    """VICReg of projections ``[B, leads, D]``, which must not be standardised: Bardes et al. (2022), arXiv:2105.04906.

    Equation 6, of each record's leads side by side: 25 · the mean square of what the views differ by, 25 · the mean of
    both views' `variance_term`, 1 · the sum of their `covariance_term`. Means over dimensions, where equation 5 has
    sums, and the mean over views are those of the authors' code, for which these weights are.

    `sizes` as in `simclr_loss`.
    """
    z1, z2 = (z.flatten(1) for z in gather_batch(z1, z2, sizes))  # B L·D each
    variance = (variance_term(z1) + variance_term(z2)) / 2
    covariance = covariance_term(z1) + covariance_term(z2)
    return _INVARIANCE * F.mse_loss(z1, z2) + _VARIANCE * variance + _COVARIANCE * covariance


def variance_term(z: Tensor) -> Tensor:
    """By how much the standard deviations of projections ``[B, D]`` are below 1, on average (equations 1 and 2)."""
    return F.relu(1 - (z.var(dim=0) + _EPSILON).sqrt()).mean()


def covariance_term(z: Tensor) -> Tensor:
    """The sum of squares off the diagonal of the covariance of projections ``[B, D]``, over D (equations 3 and 4).

    From the Gram matrix B × B where that is the smaller one: ``‖ZᵀZ‖_F = ‖ZZᵀ‖_F``.
    """
    n_records, n_dims = z.shape
    z = z - z.mean(dim=0)
    products = z @ z.T if n_records < n_dims else z.T @ z
    off_diagonal = products.square().sum() - z.square().sum(dim=0).square().sum()
    return off_diagonal / ((n_records - 1) ** 2 * n_dims)
