"""The Lead-Fusion Barlow Twins loss, without any D × D matrix where that is cheaper; for one process or several.

Axes: B records, L leads, D projection width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lfbt.errors import LfbtError
from lfbt.utils.collectives import all_gather_rows, all_reduce_sum
from lfbt.utils.settings import check_range
from lfbt.utils.tensors import to_full_precision


class LossTerms(NamedTuple):
    """The LFBT loss and its parts: total = γ · intra + (1 − γ) · inter; with one lead inter is 0 and total is intra."""

    total: Tensor
    intra: Tensor
    inter: Tensor


class LFBTLoss(nn.Module):
    """The Lead-Fusion Barlow Twins loss, for a training loop of your own.

    With ``C_ij = z1_iᵀ z2_j / B`` for leads i and j of two views z1 and z2, standardised over the batch:

    - ``L_ij = Σ_a (C_ij[a,a] − 1)² + λ Σ_{a≠b} C_ij[a,b]²``
    - intra-lead loss: the mean of all L_ii; inter-lead loss: the mean of all L_ij with i ≠ j
    - loss = γ · intra + (1 − γ) · inter

    Parameters
    ----------
    gamma : float
        Weight γ of the intra-lead loss, in [0, 1]; 1 is plain Barlow Twins per lead.
    lambd : float
        Weight λ of the off-diagonal terms, at least 0.
    standardise : bool
        Standardise projections over the batch first, to zero mean and unit variance (biased, plus 1e-5), as a batch
        normalisation without affine parameters does. Not needed behind `lfbt.models.projector.Projectors`, whose
        projections are standardised already; applied to these it changes the loss by rounding only.

    Raises
    ------
    LfbtError
        For γ or λ out of range.

    See Also
    --------
    lfbt_loss : The function, which returns the intra-lead and inter-lead loss as well, and takes a batch that several
        processes share.

    Examples
    --------
    >>> z1, z2 = torch.randn(2, 16, 8, 32, generator=torch.Generator().manual_seed(0)).requires_grad_()
    >>> loss = LFBTLoss(gamma=0.8)(z1, z2)  # projections of two views: 16 records, 8 leads, 32 dimensions
    >>> loss.backward()
    >>> loss.shape
    torch.Size([])
    """

    def __init__(self, gamma: float = 0.8, lambd: float = 0.0051, standardise: bool = True) -> None:
        super().__init__()
        check_gamma(gamma)
        check_range("lambd", lambd, "[0, inf)")
        self.gamma = gamma
        self.lambd = lambd
        self.standardise = standardise

    def forward(self, z1: Tensor, z2: Tensor) -> Tensor:
        """Compute the loss of two views of a batch.

        Parameters
        ----------
        z1, z2 : Tensor
            Projections ``[records, leads, D]``, of two records or more.

        Returns
        -------
        Tensor
            The total loss, a scalar.

        Raises
        ------
        LfbtError
            For projections of another or of different shapes, and for what is no tensor.
        """
        if not all(isinstance(z, Tensor) for z in (z1, z2)):
            raise LfbtError(
                f"projections: {type(z1).__name__} and {type(z2).__name__} are not both tensors; give these"
            )
        if z1.ndim != 3 or z1.shape != z2.shape or len(z1) < 2:
            raise LfbtError(
                f"projections: shapes {list(z1.shape)} and {list(z2.shape)} are not both [records, leads, D] with two "
                "records or more"
            )
        if self.standardise:
            z1, z2 = _standardise(z1), _standardise(z2)
        return lfbt_loss(z1, z2, self.gamma, self.lambd).total

    def extra_repr(self) -> str:
        """Show the settings."""
        return f"gamma={self.gamma}, lambd={self.lambd}, standardise={self.standardise}"


def _standardise(z: Tensor) -> Tensor:
    """Zero mean and unit variance over the records of ``[B, L, D]``, as the projectors' last batch normalisation."""
    return F.batch_norm(to_full_precision(z).flatten(1), None, None, training=True).view_as(z)


def check_gamma(gamma: float) -> None:
    """Raise LfbtError unless `gamma` is in [0, 1]."""
    check_range("gamma", gamma, "[0, 1]", "the paper has 0.8 and 0.6, 1 is plain Barlow Twins per lead")


def lfbt_loss(
    z1: Tensor, z2: Tensor, gamma: float = 0.8, lambd: float = 0.0051, sizes: Sequence[int] | None = None
) -> LossTerms:
    """Compute the LFBT loss of standardised projections of two views; see `LFBTLoss` for the equations.

    Parameters
    ----------
    z1, z2 : Tensor
        Projections ``[records, leads, D]``, standardised over the batch.
    gamma : float
        Weight γ of the intra-lead loss, in [0, 1].
    lambd : float
        Weight λ of the off-diagonal terms.
    sizes : sequence of int, optional
        Number of records of each process, where several share the batch. Every process gets the loss of the complete
        batch and, of its gradient, the rows of its own records.

    Returns
    -------
    LossTerms
        Total, intra-lead and inter-lead loss.

    Raises
    ------
    LfbtError
        For γ out of range.

    Examples
    --------
    >>> z = torch.tensor([[[1.0]], [[-1.0]]])  # two records, one lead, one dimension: C = 1
    >>> lfbt_loss(z, z).total.item(), lfbt_loss(z, -z).total.item()
    (0.0, 4.0)
    """
    check_gamma(gamma)
    losses = lead_pair_losses(z1, z2, lambd, sizes)
    n_leads = losses.shape[0]
    intra = losses.diagonal().mean()
    if n_leads == 1:
        return LossTerms(intra, intra, torch.zeros_like(intra))
    inter = (losses.sum() - losses.diagonal().sum()) / (n_leads * (n_leads - 1))
    return LossTerms(gamma * intra + (1 - gamma) * inter, intra, inter)


def lead_pair_losses(z1: Tensor, z2: Tensor, lambd: float, sizes: Sequence[int] | None = None) -> Tensor:
    """Compute L_ij of all pairs of leads ``[L, L]`` from projections ``[B, L, D]``; `sizes` as in `lfbt_loss`."""
    n_records, n_leads, n_dims = z1.shape
    gram_cost = 2 * n_leads * n_records**2 * n_dims + n_leads**2 * n_records**2
    literal_cost = n_leads**2 * n_records * n_dims**2
    # In several processes no D × D matrix is sent, and each computes only its own rows of the Gram matrices.
    if sizes is not None or gram_cost < literal_cost:
        return _LossesByGram.apply(z1, z2, lambd, sizes)  # type: ignore[no-any-return, no-untyped-call]
    return _losses(_diagonals(z1, z2) / n_records, _squares_by_products(z1, z2) / n_records**2, lambd)


def _losses(diagonals: Tensor, squares: Tensor, lambd: float) -> Tensor:
    """L_ij from the diagonals ``[L, L, D]`` and the ``‖C_ij‖²_F``."""
    on_diagonal = (diagonals - 1).square().sum(dim=2)
    off_diagonal = squares - diagonals.square().sum(dim=2)
    return on_diagonal + lambd * off_diagonal


def _diagonals(z1: Tensor, z2: Tensor) -> Tensor:
    """The diagonals of all B · C_ij ``[L, L, D]``; as products of matrices these would be tiny ones."""
    return torch.stack([(lead[:, None] * z2).sum(dim=0) for lead in z1.unbind(1)])


class _LossesByGram(torch.autograd.Function):
    """L_ij with ``‖C_ij‖²_F = ⟨z1_i z1_iᵀ, z2_j z2_jᵀ⟩ / B²``: 2L products of B × B instead of L² of D × D.

    The gradient is written out because autograd would keep several times the memory that it needs:
    ``∂L_ij / ∂z1_i = 2 ((1 − λ) diag C_ij − 1) · z2_j / B + 2 λ z2_j z2_jᵀ z1_i / B²``, and alike for z2. A process has
    its own records' rows of everything that is as long as the batch, so that backward needs nothing from the others.
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
    """The process's own rows of each lead's ``z_i z_iᵀ`` ``[L, rows, B]``."""
    return torch.bmm(z.transpose(0, 1), all_z.permute(1, 2, 0))


def _squares_by_gram(gram_1: Tensor, gram_2: Tensor) -> Tensor:
    """``‖B C_ij‖²_F`` from the Gram matrices of both views, or the part of it that comes from some of their rows."""
    return gram_1.flatten(1) @ gram_2.flatten(1).T


def _gradient(all_own: Tensor, other: Tensor, weights: Tensor, grams: Tensor, of_diagonals: Tensor) -> Tensor:
    """The gradient ``[rows, L, D]`` of one view; weights, of_diagonals: ``[its leads, the other view's leads, …]``."""
    mixed = (weights @ grams.flatten(1)).view_as(grams)
    gradient = torch.bmm(mixed, all_own.transpose(0, 1)).transpose(0, 1)
    for of_lead, factors in zip(gradient.unbind(1), of_diagonals, strict=True):
        of_lead += (factors * other).sum(dim=1)
    return gradient


def _squares_by_products(z1: Tensor, z2: Tensor) -> Tensor:
    """``‖B C_ij‖²_F`` from the matrices themselves, one at a time."""
    rows = [torch.stack([(a.T @ b).square().sum() for b in z2.unbind(1)]) for a in z1.unbind(1)]
    return torch.stack(rows)
