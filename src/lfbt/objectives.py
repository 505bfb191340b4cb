"""Objectives to hold LFBT against, of the same projections: SimCLR, VICReg, and contrast between leads."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from lfbt.processes import all_gather_rows
from lfbt.recording import LfbtError, check_range

Objective = Literal["lfbt", "simclr", "vicreg", "lead-contrastive"]

#: What the history of an encoder calls the method of each objective.
METHODS: dict[Objective, str] = {
    "lfbt": "LFBT",
    "simclr": "SimCLR",
    "vicreg": "VICReg",
    "lead-contrastive": "lead-contrastive",
}

# VICReg's weights of invariance, variance and covariance in its equation 6, and the ε of its equation 2.
_INVARIANCE, _VARIANCE, _COVARIANCE = 25.0, 25.0, 1.0
_EPSILON = 1e-4


def check_temperature(temperature: float) -> None:
    """Raise LfbtError unless `temperature` is in [0.001, 100]."""
    check_range("temperature", temperature, "[0.001, 100]", "SimCLR and CLOCS have 0.1")


def check_several_leads(n_leads: int) -> None:
    """Raise LfbtError unless there are two leads or more, to contrast with each other."""
    if n_leads < 2:
        raise LfbtError(
            f"objective: lead-contrastive was given {n_leads} lead but needs two or more; name more in --leads, or "
            "take another objective"
        )


def simclr_loss(z1: Tensor, z2: Tensor, temperature: float = 0.1, sizes: Sequence[int] | None = None) -> Tensor:
    """NT-Xent of projections ``[B, leads, D]`` of two views: equation 1 of Chen et al. (2020), arXiv:2002.05709.

    Of the 2B views, each a record's leads side by side with norm 1, each has to find the other one of its record among
    the 2B − 1 others: the mean of ``−log(exp(s(z, z⁺) / τ) / Σ exp(s(z, z') / τ))``, s the cosine. Raises LfbtError for
    a temperature τ outside [0.001, 100].

    sizes: how many records of the batch each process has, where several share it. Every process gets the loss of the
    whole batch and, of its gradient, the part of the records that it has.
    """
    check_temperature(temperature)
    z1, z2 = _whole_batch(z1, z2, sizes)
    n_records = len(z1)
    z = F.normalize(torch.cat([z1, z2]).flatten(1), dim=1)  # 2B L·D
    similarities = (z @ z.T / temperature).fill_diagonal_(-math.inf)
    others = torch.arange(2 * n_records, device=z.device).roll(n_records)
    return F.cross_entropy(similarities, others)


def lead_contrastive_loss(
    z1: Tensor, z2: Tensor, temperature: float = 0.1, sizes: Sequence[int] | None = None
) -> Tensor:
    """InfoNCE between different leads of projections ``[B, leads, D]``, after CLOCS's contrast between leads (CMLC).

    Equation 2 of Kiyasseh et al. (2021), arXiv:2005.13249: lead i in view 1 of a record has to find the record's lead
    j ≠ i in view 2 among those of B records, ``−log(exp(s(z1_i, z2_j) / τ) / Σ exp(s(z1_i, z2'_j) / τ))`` with the
    cosine s, and lead j likewise lead i; the mean of both, over records and pairs of leads. Equation 3, by which other
    records of the patient are to be found too, is left out: not all data sets know patients.

    `sizes` as in `simclr_loss`. Raises LfbtError for one lead, and for a temperature τ outside [0.001, 100].
    """
    check_temperature(temperature)
    check_several_leads(z1.shape[1])
    z1, z2 = (F.normalize(z, dim=2).transpose(0, 1) for z in _whole_batch(z1, z2, sizes))  # L B D each
    similarities = torch.einsum("ibd,jcd->ijbc", z1, z2) / temperature
    of_same_record = similarities.diagonal(dim1=2, dim2=3)  # L L B
    losses = (similarities.logsumexp(dim=3) + similarities.logsumexp(dim=2)) / 2 - of_same_record
    different = ~torch.eye(len(z1), dtype=torch.bool, device=z1.device)
    return losses[different].mean()


def vicreg_loss(z1: Tensor, z2: Tensor, sizes: Sequence[int] | None = None) -> Tensor:
    """VICReg of projections ``[B, leads, D]``, which must not be standardised: Bardes et al. (2022), arXiv:2105.04906.

    Equation 6, of each record's leads side by side: 25 · the mean square of what the views differ by, 25 · the mean of
    both views' `variance_term`, 1 · the sum of their `covariance_term`. Means over dimensions, where equation 5 has
    sums, and the mean over views are those of the authors' code, for which these weights are.

    `sizes` as in `simclr_loss`.
    """
    z1, z2 = (z.flatten(1) for z in _whole_batch(z1, z2, sizes))  # B L·D each
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


def _whole_batch(z1: Tensor, z2: Tensor, sizes: Sequence[int] | None) -> tuple[Tensor, Tensor]:
    """The projections of all processes, of which the process's own have a gradient."""
    if sizes is None:
        return z1, z2
    own = torch.stack([z1, z2], dim=1)
    parts = list(all_gather_rows(own.detach(), sizes).split(list(sizes)))
    parts[dist.get_rank()] = own
    all_1, all_2 = torch.cat(parts).unbind(1)
    return all_1, all_2
