"""A contrast between leads after CLOCS, an objective to compare LFBT with."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from lfbt.errors import LfbtError
from lfbt.losses.simclr import check_temperature
from lfbt.utils.collectives import gather_batch
from lfbt.utils.figures import format_count


def check_several_leads(n_leads: int) -> None:
    """Raise LfbtError unless there are two leads or more to contrast with each other."""
    if n_leads < 2:
        raise LfbtError(
            f"objective: lead-contrastive was given {format_count(n_leads, 'lead')} but needs two or more; name more "
            "in --leads, or "
            "take another objective"
        )


def lead_contrastive_loss(
    z1: Tensor, z2: Tensor, temperature: float = 0.1, sizes: Sequence[int] | None = None
) -> Tensor:
    """Compute InfoNCE between different leads, after CLOCS's contrast between leads (CMLC).

    Equation 2 of Kiyasseh et al. (2021), arXiv:2005.13249: lead i in view 1 of a record has to find the record's lead
    j ≠ i in view 2 among those of B records, ``−log(exp(s(z1_i, z2_j) / τ) / Σ exp(s(z1_i, z2'_j) / τ))`` with the
    cosine s, and lead j likewise lead i; the loss is the mean of both, over records and pairs of leads. Equation 3, by
    which the patient's other records are positives too, is left out: not all data sets identify patients.

    Parameters
    ----------
    z1, z2 : Tensor
        Projections ``[records, leads, D]`` of two views, of two leads or more.
    temperature : float
        τ, in [0.001, 100].
    sizes : sequence of int, optional
        As in `simclr_loss`.

    Returns
    -------
    Tensor
        The loss, a scalar.

    Raises
    ------
    LfbtError
        For one lead, and for a temperature out of range.

    Examples
    --------
    >>> z = torch.eye(2)[:, None].expand(2, 3, 2)  # two records of three leads that are alike
    >>> round(lead_contrastive_loss(z, z, temperature=1.0).item(), 4)  # log(1 + 1 / e)
    0.3133
    """
    check_temperature(temperature)
    check_several_leads(z1.shape[1])
    z1, z2 = (F.normalize(z, dim=2).transpose(0, 1) for z in gather_batch(z1, z2, sizes))  # L B D each
    similarities = torch.einsum("ibd,jcd->ijbc", z1, z2) / temperature
    of_same_record = similarities.diagonal(dim1=2, dim2=3)  # L L B
    losses = (similarities.logsumexp(dim=3) + similarities.logsumexp(dim=2)) / 2 - of_same_record
    n_leads = len(z1)
    # All but the diagonal. A mask would make a GPU wait, and could not be recorded: each entry of the diagonal begins a
    # row here, the last one left out.
    different: Tensor = losses.flatten(0, 1)[:-1].unflatten(0, (n_leads - 1, n_leads + 1))[:, 1:]
    return different.mean()
