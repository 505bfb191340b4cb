"""SimCLR's loss, to hold LFBT against."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from lfbt.utils.collectives import gather_batch
from lfbt.utils.validation import check_range


def check_temperature(temperature: float) -> None:
    """Raise LfbtError unless `temperature` is in [0.001, 100]."""
    check_range("temperature", temperature, "[0.001, 100]", "SimCLR and CLOCS have 0.1")


def simclr_loss(z1: Tensor, z2: Tensor, temperature: float = 0.1, sizes: Sequence[int] | None = None) -> Tensor:
    """NT-Xent of projections ``[B, leads, D]`` of two views: equation 1 of Chen et al. (2020), arXiv:2002.05709.

    Of the 2B views, each a record's leads side by side with norm 1, each has to find the other one of its record among
    the 2B − 1 others: the mean of ``−log(exp(s(z, z⁺) / τ) / Σ exp(s(z, z') / τ))``, s the cosine. Raises LfbtError for
    a temperature τ outside [0.001, 100].

    sizes: how many records of the batch each process has, where several share it. Every process gets the loss of the
    whole batch and, of its gradient, the part of the records that it has.
    """
    check_temperature(temperature)
    z1, z2 = gather_batch(z1, z2, sizes)
    n_records = len(z1)
    z = F.normalize(torch.cat([z1, z2]).flatten(1), dim=1)  # 2B L·D
    similarities = (z @ z.T / temperature).fill_diagonal_(-math.inf)
    others = torch.arange(2 * n_records, device=z.device).roll(n_records)
    return F.cross_entropy(similarities, others)
