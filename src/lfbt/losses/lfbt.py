"""The lead-fusion Barlow Twins loss, without any D × D matrix where that is cheaper; of one process or several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lfbt.utils.collectives import all_gather_rows, all_reduce_sum
from lfbt.utils.validation import check_range


class LfbtLoss(NamedTuple):
    """total = γ · intra + (1 − γ) · inter; intra is L_r, inter is L_t (0 with one lead)."""

    total: Tensor
    intra: Tensor
    inter: Tensor


def check_gamma(gamma: float) -> None:
    """Raise LfbtError unless `gamma` is in [0, 1]."""
    check_range("gamma", gamma, "[0, 1]", "the paper has 0.8 and 0.6, 1 is plain Barlow Twins per lead")


def lfbt_loss(
    z1: Tensor, z2: Tensor, gamma: float = 0.8, lambd: float = 0.0051, sizes: Sequence[int] | None = None
) -> LfbtLoss:
    """The loss of standardised projections ``[B, leads, D]`` of two views (method, section 4).

    With ``C_ij = z1_iᵀ z2_j / B``: ``L_ij = Σ_a (C_ij[a,a] − 1)² + λ Σ_{a≠b} C_ij[a,b]²``; intra is the mean of the
    L_ii, inter that of the L_ij with i ≠ j. B is the number of records in the batch. Raises LfbtError for γ outside
    [0, 1].

    sizes: how many records of the batch each process has, where several share it. Every process gets the loss of the
    whole batch and, of its gradient, the part of the records that it has.
    """
    check_gamma(gamma)
    losses = lead_pair_losses(z1, z2, lambd, sizes)
    n_leads = losses.shape[0]
    intra = losses.diagonal().mean()
    if n_leads == 1:
        return LfbtLoss(intra, intra, torch.zeros_like(intra))
    inter = (losses.sum() - losses.diagonal().sum()) / (n_leads * (n_leads - 1))
    return LfbtLoss(gamma * intra + (1 - gamma) * inter, intra, inter)


def lead_pair_losses(z1: Tensor, z2: Tensor, lambd: float, sizes: Sequence[int] | None = None) -> Tensor:
    """L_ij for all pairs of leads ``[leads, leads]``, of projections ``[B, leads, D]``; `sizes` as in `lfbt_loss`."""
    n_records, n_leads, n_dims = z1.shape
    gram_cost = 2 * n_leads * n_records**2 * n_dims + n_leads**2 * n_records**2
    literal_cost = n_leads**2 * n_records * n_dims**2
    # Several processes never send a D × D matrix, and each computes its own rows of the Gram matrices only.
    if sizes is not None or gram_cost < literal_cost:
        return _LossesByGram.apply(z1, z2, lambd, sizes)  # type: ignore[no-any-return, no-untyped-call]
    return _losses(_diagonals(z1, z2) / n_records, _squares_by_products(z1, z2) / n_records**2, lambd)


def _losses(diagonals: Tensor, squares: Tensor, lambd: float) -> Tensor:
    """L_ij from the diagonals ``[leads, leads, D]`` and the ``‖C_ij‖²_F``."""
    on_diagonal = (diagonals - 1).square().sum(dim=2)
    off_diagonal = squares - diagonals.square().sum(dim=2)
    return on_diagonal + lambd * off_diagonal


def _diagonals(z1: Tensor, z2: Tensor) -> Tensor:
    """What stands on the diagonals of all B C_ij ``[leads, leads, D]``; products of matrices would be tiny ones."""
    return torch.stack([(lead[:, None] * z2).sum(dim=0) for lead in z1.unbind(1)])


class _LossesByGram(torch.autograd.Function):
    """L_ij with ``‖C_ij‖²_F = ⟨z1_i z1_iᵀ, z2_j z2_jᵀ⟩ / B²``: 2L products of B × B instead of L² of D × D.

    The gradient is written out because autograd would hold several times what it needs:
    ``∂L_ij / ∂z1_i = 2 ((1 − λ) diag C_ij − 1) · z2_j / B + 2 λ z2_j z2_jᵀ z1_i / B²``, and alike for z2. A process has
    the rows of its own records of all that is as long as the batch, so that backward needs nothing from the others.
    """

    @staticmethod
    def forward(ctx: Any, z1: Tensor, z2: Tensor, lambd: float, sizes: Sequence[int] | None) -> Tensor:
        all_1, all_2 = (z1, z2) if sizes is None else all_gather_rows(torch.stack([z1, z2], dim=1), sizes).unbind(1)
        grams = [_grams(z1, all_1), _grams(z2, all_2)]
        diagonals, squares = _diagonals(z1, z2), _squares_by_gram(*grams)
        if sizes is not None:
            sums = all_reduce_sum(torch.cat([diagonals, squares[:, :, None]], dim=2))
            diagonals, squares = sums[:, :, :-1], sums[:, :, -1]
        diagonals = diagonals / len(all_1)
        ctx.save_for_backward(z1, z2, all_1, all_2, *grams, diagonals)
        ctx.lambd = lambd
        return _losses(diagonals, squares / len(all_1) ** 2, lambd)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        z1, z2, all_1, all_2, gram_1, gram_2, diagonals = ctx.saved_tensors
        n_records = all_1.shape[0]
        of_diagonals = 2 / n_records * gradient[:, :, None] * ((1 - ctx.lambd) * diagonals - 1)
        factor = 2 * ctx.lambd / n_records**2
        d_z1 = _gradient(all_1, z2, factor * gradient, gram_2, of_diagonals)
        return d_z1, _gradient(all_2, z1, factor * gradient.T, gram_1, of_diagonals.transpose(0, 1)), None, None


def _grams(z: Tensor, all_z: Tensor) -> Tensor:
    """The rows of ``z_i z_iᵀ`` of each lead that are those of the process's records ``[leads, rows, B]``."""
    return torch.bmm(z.transpose(0, 1), all_z.permute(1, 2, 0))


def _squares_by_gram(gram_1: Tensor, gram_2: Tensor) -> Tensor:
    """``‖B C_ij‖²_F`` from the Gram matrices of both views, or the part of it that is of some of their rows."""
    return gram_1.flatten(1) @ gram_2.flatten(1).T


def _gradient(all_own: Tensor, other: Tensor, weights: Tensor, grams: Tensor, of_diagonals: Tensor) -> Tensor:
    """The gradient ``[rows, leads, D]`` of one view; weights, of_diagonals: ``[its leads, the other's, …]``."""
    mixed = (weights @ grams.flatten(1)).view_as(grams)
    gradient = torch.bmm(mixed, all_own.transpose(0, 1)).transpose(0, 1)
    for of_lead, factors in zip(gradient.unbind(1), of_diagonals, strict=True):
        of_lead += (factors * other).sum(dim=1)
    return gradient


def _squares_by_products(z1: Tensor, z2: Tensor) -> Tensor:
    """``‖B C_ij‖²_F`` from the matrices themselves, one at a time."""
    rows = [torch.stack([(a.T @ b).square().sum() for b in z2.unbind(1)]) for a in z1.unbind(1)]
    return torch.stack(rows)
