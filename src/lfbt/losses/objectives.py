"""The objectives that an encoder can be pretrained by: their names, and how to compute them. Free of PyTorch."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

Objective = Literal["lfbt", "simclr", "vicreg", "lead-contrastive"]

#: The display name of each objective, as in the history of an encoder.
METHODS: dict[Objective, str] = {
    "lfbt": "LFBT",
    "simclr": "SimCLR",
    "vicreg": "VICReg",
    "lead-contrastive": "lead-contrastive",
}

#: Takes projections ``[records, leads, D]`` of two views and, where several processes share the batch, the number of
#: records of each; returns the loss first, then its parts, if it has any.
LossFunction = Callable[["Tensor", "Tensor", "Sequence[int] | None"], "Sequence[Tensor]"]


def build_loss(objective: Objective, gamma: float, lambd: float, temperature: float) -> LossFunction:
    """Build the loss of an objective.

    Parameters
    ----------
    objective : {"lfbt", "simclr", "vicreg", "lead-contrastive"}
        Its name.
    gamma, lambd : float
        Of lfbt: the weights of `lfbt_loss`.
    temperature : float
        Of simclr and lead-contrastive.

    Returns
    -------
    LossFunction
        ``loss(z1, z2, sizes)``, which returns `LossTerms` for lfbt and one tensor in a tuple for the others.

    Examples
    --------
    >>> import torch
    >>> loss = build_loss("simclr", gamma=0.8, lambd=0.0051, temperature=0.1)
    >>> (total,) = loss(torch.randn(4, 2, 8), torch.randn(4, 2, 8), None)
    """
    # The command line needs the names only, without the seconds that PyTorch takes to import.
    from lfbt.losses.lead_contrastive import lead_contrastive_loss
    from lfbt.losses.lfbt import lfbt_loss
    from lfbt.losses.simclr import simclr_loss
    from lfbt.losses.vicreg import vicreg_loss

    losses: dict[Objective, LossFunction] = {
        "lfbt": lambda z1, z2, sizes: lfbt_loss(z1, z2, gamma, lambd, sizes),
        "simclr": lambda z1, z2, sizes: (simclr_loss(z1, z2, temperature, sizes),),
        "vicreg": lambda z1, z2, sizes: (vicreg_loss(z1, z2, sizes),),
        "lead-contrastive": lambda z1, z2, sizes: (lead_contrastive_loss(z1, z2, temperature, sizes),),
    }
    return losses[objective]


def mean_over_pairs(loss: LossFunction, views: Tensor, sizes: Sequence[int] | None = None) -> list[Tensor]:
    """Compute the mean of a loss over all unordered pairs of views; of two views it is the loss itself.

    Parameters
    ----------
    loss : LossFunction
        Of two views.
    views : Tensor
        Projections ``[views, records, leads, D]`` of two views or more.
    sizes : sequence of int, optional
        Number of records of each process, where several share the batch.

    Returns
    -------
    list of Tensor
        What `loss` returns, each the mean over pairs.

    Examples
    --------
    >>> import torch
    >>> views = torch.tensor([0.0, 1.0, 3.0])[:, None, None, None]
    >>> mean_over_pairs(lambda z1, z2, sizes: ((z1 - z2).abs().sum(),), views)  # (1 + 3 + 2) / 3
    [tensor(2.)]
    """
    of_pairs = [loss(z1, z2, sizes) for z1, z2 in itertools.combinations(views.unbind(), 2)]
    return [sum(terms[1:], terms[0]) / len(of_pairs) for terms in zip(*of_pairs, strict=True)]
