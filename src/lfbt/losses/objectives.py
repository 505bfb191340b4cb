"""The objectives that an encoder can be pretrained by."""

from __future__ import annotations

from typing import Literal

Objective = Literal["lfbt", "simclr", "vicreg", "lead-contrastive"]

#: What the history of an encoder calls the method of each objective.
METHODS: dict[Objective, str] = {
    "lfbt": "LFBT",
    "simclr": "SimCLR",
    "vicreg": "VICReg",
    "lead-contrastive": "lead-contrastive",
}
