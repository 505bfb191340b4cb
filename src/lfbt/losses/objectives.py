"""The objectives that an encoder can be pretrained by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

Objective = Literal["lfbt", "simclr", "vicreg", "lead-contrastive"]

#: What the history of an encoder calls the method of each objective.
METHODS: dict[Objective, str] = {
    "lfbt": "LFBT",
    "simclr": "SimCLR",
    "vicreg": "VICReg",
    "lead-contrastive": "lead-contrastive",
}

#: Projections ``[B, leads, D]`` of two views, and the records that each process has of the batch, to the loss, followed
#: by its terms.
LossFunction = Callable[["Tensor", "Tensor", "Sequence[int] | None"], "Sequence[Tensor]"]


def build_loss(objective: Objective, gamma: float, lambd: float, temperature: float) -> LossFunction:
    """Build the loss function of an objective; each takes what it needs of the settings."""
    from lfbt.losses.lead_contrastive import lead_contrastive_loss
    from lfbt.losses.lfbt import lfbt_loss
    from lfbt.losses.simclr import simclr_loss
    from lfbt.losses.vicreg import vicreg_loss

    losses: dict[Objective, LossFunction] = {
        "lfbt": lambda z1, z2, sizes: lfbt_loss(z1, z2, gamma, lambd, sizes),
        "simclr": lambda z1, z2, sizes: [simclr_loss(z1, z2, temperature, sizes)],
        "vicreg": lambda z1, z2, sizes: [vicreg_loss(z1, z2, sizes)],
        "lead-contrastive": lambda z1, z2, sizes: [lead_contrastive_loss(z1, z2, temperature, sizes)],
    }
    return losses[objective]
