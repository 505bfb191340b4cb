"""VICReg's loss, an objective to compare LFBT with."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from lfbt.utils.collectives import gather_batch

# VICReg's weights of invariance, variance and covariance in its equation 6, and the ε of its equation 2.
_INVARIANCE, _VARIANCE, _COVARIANCE = 25.0, 25.0, 1.0
_EPSILON = 1e-4


def vicreg_loss(z1: Tensor, z2: Tensor, sizes: Sequence[int] | None = None) -> Tensor:
    """Compute VICReg's loss: equation 6 of Bardes et al. (2022), arXiv:2105.04906.

    Of each record's leads side by side: 25 · the mean squared difference of the views + 25 · the mean of both views'
    `variance_term` + 1 · the sum of their `covariance_term`. Means over dimensions, where equation 5 has sums, and the
    mean over views are those of the authors' code, which these weights belong to.

    Parameters
    ----------
    z1, z2 : Tensor
        Projections ``[records, leads, D]`` of two views, not standardised.
    sizes : sequence of int, optional
        As in `simclr_loss`.

    Returns
    -------
    Tensor
        The loss, a scalar.

    Examples
    --------
    >>> import torch
    >>> z = torch.ones(4, 2, 8)  # collapsed: only the variance term is left
    >>> round(vicreg_loss(z, z).item(), 4)  # 25 · (1 − √1e-4)
    24.75
    """
    z1, z2 = (z.flatten(1) for z in gather_batch(z1, z2, sizes))  # B L·D each
    variance = (variance_term(z1) + variance_term(z2)) / 2
    covariance = covariance_term(z1) + covariance_term(z2)
    return _INVARIANCE * F.mse_loss(z1, z2) + _VARIANCE * variance + _COVARIANCE * covariance


def variance_term(z: Tensor) -> Tensor:
    """Mean shortfall below 1 of the standard deviations of projections ``[B, D]`` (equations 1 and 2)."""
    return F.relu(1 - (z.var(dim=0) + _EPSILON).sqrt()).mean()


def covariance_term(z: Tensor) -> Tensor:
    """Sum of squares off the diagonal of the covariance of projections ``[B, D]``, over D (equations 3 and 4).

    From the Gram matrix B × B where that is the smaller one: ``‖ZᵀZ‖_F = ‖ZZᵀ‖_F``.
    """
    n_records, n_dims = z.shape
    z = z - z.mean(dim=0)
    products = z @ z.T if n_records < n_dims else z.T @ z
    off_diagonal = products.square().sum() - z.square().sum(dim=0).square().sum()
    return off_diagonal / ((n_records - 1) ** 2 * n_dims)
