"""The lead-fusion Barlow Twins loss, without any D × D matrix where that is cheaper."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from lfbt.recording import check_range


class LfbtLoss(NamedTuple):
    """total = γ · intra + (1 − γ) · inter; intra is L_r, inter is L_t (0 with one lead)."""

    total: Tensor
    intra: Tensor
    inter: Tensor


def check_gamma(gamma: float) -> None:
    """Raise LfbtError unless `gamma` is in [0, 1]."""
    check_range("gamma", gamma, "[0, 1]", "the paper has 0.8 and 0.6, 1 is plain Barlow Twins per lead")


def lfbt_loss(z1: Tensor, z2: Tensor, gamma: float = 0.8, lambd: float = 0.0051) -> LfbtLoss:
    """The loss of standardised projections ``[B, leads, D]`` of two views (method, section 4).

    With ``C_ij = z1_iᵀ z2_j / B``: ``L_ij = Σ_a (C_ij[a,a] − 1)² + λ Σ_{a≠b} C_ij[a,b]²``; intra is the mean of the
    L_ii, inter that of the L_ij with i ≠ j. B is the number of records in the batch. Raises LfbtError for γ outside
    [0, 1].
    """
    check_gamma(gamma)
    losses = lead_pair_losses(z1, z2, lambd)
    n_leads = losses.shape[0]
    intra = losses.diagonal().mean()
    if n_leads == 1:
        return LfbtLoss(intra, intra, torch.zeros_like(intra))
    inter = (losses.sum() - losses.diagonal().sum()) / (n_leads * (n_leads - 1))
    return LfbtLoss(gamma * intra + (1 - gamma) * inter, intra, inter)


def lead_pair_losses(z1: Tensor, z2: Tensor, lambd: float) -> Tensor:
    """L_ij for all pairs of leads ``[leads, leads]``, of projections ``[B, leads, D]``."""
    n_records, n_leads, n_dims = z1.shape
    # L L D: what stands on the diagonals of all C_ij, feature by feature. As products of matrices these would be
    # thousands of tiny ones.
    diagonals = torch.stack([(lead[:, None] * z2).sum(dim=0) for lead in z1.unbind(1)]) / n_records
    gram_cost = 2 * n_leads * n_records**2 * n_dims + n_leads**2 * n_records**2
    literal_cost = n_leads**2 * n_records * n_dims**2
    squares = _squares_by_gram(z1, z2) if gram_cost < literal_cost else _squares_by_products(z1, z2)
    on_diagonal = (diagonals - 1).square().sum(dim=2)
    off_diagonal = squares - diagonals.square().sum(dim=2)
    return on_diagonal + lambd * off_diagonal


def _squares_by_gram(z1: Tensor, z2: Tensor) -> Tensor:
    """``‖C_ij‖²_F`` as ``⟨z1_i z1_iᵀ, z2_j z2_jᵀ⟩ / B²``: 2L products of B × B instead of L² of D × D."""
    by_lead_1, by_lead_2 = z1.transpose(0, 1), z2.transpose(0, 1)
    gram_1 = torch.bmm(by_lead_1, by_lead_1.transpose(1, 2)).flatten(1)
    gram_2 = torch.bmm(by_lead_2, by_lead_2.transpose(1, 2)).flatten(1)
    return gram_1 @ gram_2.T / z1.shape[0] ** 2


def _squares_by_products(z1: Tensor, z2: Tensor) -> Tensor:
    """``‖C_ij‖²_F`` from the matrices themselves, one at a time."""
    rows = [torch.stack([(a.T @ b).square().sum() for b in z2.unbind(1)]) for a in z1.unbind(1)]
    return torch.stack(rows) / z1.shape[0] ** 2
