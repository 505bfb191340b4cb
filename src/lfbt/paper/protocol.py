"""The paper's protocol: its data sets, its trials, and its published figures and split sizes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

from lfbt.audit.reference_counts import PTBXL_SIZES

Kind = Literal["probe", "finetune", "scratch"]

#: The labelled data sets by the name of their source, and all downloads.
LABELLED = {"ptbxl": "PTB-XL", "cpsc2018": "CPSC2018", "chapman": "Chapman"}
DOWNLOADS = ("ningbo", *LABELLED)
#: The γ of the encoder that the paper scores on each data set, all γ, and the fractions of the training labels.
GAMMA_OF = {"ptbxl": 0.8, "cpsc2018": 0.8, "chapman": 0.6}
GAMMAS = (0.8, 0.6)
FRACTIONS = (0.1, 0.2, 0.5, 1.0)

#: Records in train, val and test as published; the paper's come first.
SIZES: dict[str, dict[str, tuple[int, int, int]]] = {
    "ningbo": {"the paper": (34905, 0, 0)},
    "ptbxl": {"the paper (release 1.0.1)": PTBXL_SIZES["1.0.1"], "release 1.0.3": PTBXL_SIZES["1.0.3"]},
    "cpsc2018": {"the paper": (8958, 1303, 2598)},
    "chapman": {"the paper": (7651, 851, 2126), "the whole download": (7664, 852, 2130)},
}
#: Macro AUROC and AUPRC of the paper on the test split, by data set and kind, with all training labels.
FIGURES: dict[tuple[str, Kind], tuple[float, float]] = {
    ("ptbxl", "probe"): (0.9082, 0.6923),
    ("ptbxl", "finetune"): (0.9178, 0.7257),
    ("cpsc2018", "probe"): (0.9360, 0.7258),
    ("cpsc2018", "finetune"): (0.9536, 0.7892),
    ("chapman", "probe"): (0.9934, 0.9801),
    ("chapman", "finetune"): (0.9970, 0.9910),
}


@dataclasses.dataclass(frozen=True)
class Cell:
    """A row of the paper's tables: a data set and how a classifier is trained on it.

    Parameters
    ----------
    data
        Name of the source of the labelled data set.
    kind
        Kind of classifier.
    gamma
        γ of the encoder's pretraining; None from scratch.
    fraction
        Share of the training labels.
    """

    data: str
    kind: Kind
    gamma: float | None
    fraction: float = 1.0

    @property
    def name(self) -> str:
        """Name of its folders, without the seed."""
        gamma = "" if self.gamma is None else f"-gamma-{self.gamma}"
        fraction = "" if self.kind == "probe" else f"-fraction-{self.fraction:g}"
        return f"{self.data}{gamma}{fraction}"

    @property
    def paper(self) -> tuple[float, float] | None:
        """The paper's macro AUROC and AUPRC; None where it has none."""
        same = self.gamma == GAMMA_OF[self.data] and self.fraction == 1
        return FIGURES.get((self.data, self.kind)) if same else None


def list_cells(names: Sequence[str]) -> list[Cell]:
    """List the rows of these data sets: probes at the paper's γ and the other, fine-tuning, from scratch."""
    found = []
    for name in names:
        own = GAMMA_OF[name]
        found += [Cell(name, "probe", gamma) for gamma in (own, *(gamma for gamma in GAMMAS if gamma != own))]
        found += [Cell(name, "finetune", own, fraction) for fraction in FRACTIONS]
        found += [Cell(name, "scratch", None, fraction) for fraction in FRACTIONS]
    return found


def compare_sizes(name: str, sizes: tuple[int, int, int], n_excluded: int = 0) -> tuple[bool, str]:
    """Compare the split sizes of a data set with the published ones.

    Official splits (PTB-XL's) must agree one by one, those drawn by chance in their sum only.

    Parameters
    ----------
    name
        Name of the source.
    sizes
        Records in train, val and test.
    n_excluded
        Records that were excluded for their signal quality, which may be missing from the sum.

    Returns
    -------
    bool
        Whether they agree.
    str
        The verdict as text.
    """
    for where, published in SIZES[name].items():
        if sizes == published:
            return True, f"as in {where}"
        fewer = all(n <= m for n, m in zip(sizes, published, strict=True))
        if sum(sizes) + n_excluded == sum(published) and (fewer or name != "ptbxl"):
            but = f", but for {n_excluded} left out for their quality" if n_excluded else ", split otherwise"
            return True, f"as in {where}{but}"
    where, published = next(iter(SIZES[name].items()))
    return False, f"{sum(sizes)} records, not the {sum(published)} of {where}"
