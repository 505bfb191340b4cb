"""SimCLR's loss, an objective to compare LFBT with."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from lfbt.utils.collectives import gather_batch
from lfbt.utils.settings import check_range


def check_temperature(temperature: float) -> None:
    """Raise LfbtError unless `temperature` is in [0.001, 100]."""
    check_range("temperature", temperature, "[0.001, 100]", "SimCLR and CLOCS have 0.1")


def simclr_loss(z1: Tensor, z2: Tensor, temperature: float = 0.1, sizes: Sequence[int] | None = None) -> Tensor:
    """Compute SimCLR's NT-Xent loss: equation 1 of Chen et al. (2020), arXiv:2002.05709.

    A view is a record's leads side by side with norm 1. Each of the 2B views z has to find the record's other view z⁺
    among the 2B − 1 others: the mean of ``−log(exp(s(z, z⁺) / τ) / Σ exp(s(z, z') / τ))``, s the cosine.

    Parameters
    ----------
    z1, z2 : Tensor
        Projections ``[records, leads, D]`` of two views.
    temperature : float
        τ, in [0.001, 100].
    sizes : sequence of int, optional
        Number of records of each process, where several share the batch. Every process gets the loss of the complete
        batch and, of its gradient, the rows of its own records.

    Returns
    -------
    Tensor
        The loss, a scalar.

    Raises
    ------
    LfbtError
        For a temperature out of range.

    Examples
    --------
    >>> z = torch.eye(2)[:, None]  # two records, one lead; cosines 1 of their own views, 0 of the others
    >>> round(simclr_loss(z, z, temperature=1.0).item(), 4)  # log(1 + 2 / e)
    0.5514
    """
    check_temperature(temperature)
    z1, z2 = gather_batch(z1, z2, sizes)
    n_records = len(z1)
    z = F.normalize(torch.cat([z1, z2]).flatten(1), dim=1)  # 2B L·D
    similarities = (z @ z.T / temperature).fill_diagonal_(-math.inf)
    others = torch.arange(2 * n_records, device=z.device).roll(n_records)
    return F.cross_entropy(similarities, others)
