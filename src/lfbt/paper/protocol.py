"""The paper's protocol as a list of trials, its figures, and tables of what a reproduction came to beside them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from lfbt.audit.reference_counts import PTBXL_SIZES

if TYPE_CHECKING:
    import pandas as pd


Kind = Literal["probe", "finetune", "scratch"]

#: The labelled data sets by the name of their source, the γ of the encoder that the paper scores on each, all γ, and
#: the parts of the training labels.
LABELLED = {"ptbxl": "PTB-XL", "cpsc2018": "CPSC2018", "chapman": "Chapman"}
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
_METHODS: dict[Kind, str] = {"probe": "LP", "finetune": "FT", "scratch": "TFS"}
_METRICS = ("auroc", "auprc")
# What `prepare` leaves out although it has a label, by the reason's first words.
_FAULTS = ("not finite", "flat", "saturated")


@dataclasses.dataclass(frozen=True)
class Cell:
    """What a row of the table is about: a data set and how a classifier is trained. gamma: None from scratch."""

    data: str
    kind: Kind
    gamma: float | None
    fraction: float = 1.0

    @property
    def name(self) -> str:
        """As a folder is called."""
        gamma = "" if self.gamma is None else f"-gamma-{self.gamma}"
        fraction = "" if self.kind == "probe" else f"-fraction-{self.fraction:g}"
        return f"{self.data}{gamma}{fraction}"

    @property
    def paper(self) -> tuple[float, float] | None:
        """The paper's AUROC and AUPRC, where they are known."""
        same = self.gamma == GAMMA_OF[self.data] and self.fraction == 1
        return FIGURES.get((self.data, self.kind)) if same else None


def cells(names: Sequence[str]) -> list[Cell]:
    """The rows of the table of these data sets: probes at the paper's γ and the other, fine-tuning, from scratch."""
    found = []
    for name in names:
        own = GAMMA_OF[name]
        found += [Cell(name, "probe", gamma) for gamma in (own, *(gamma for gamma in GAMMAS if gamma != own))]
        found += [Cell(name, "finetune", own, fraction) for fraction in FRACTIONS]
        found += [Cell(name, "scratch", None, fraction) for fraction in FRACTIONS]
    return found


def compare_sizes(name: str, sizes: tuple[int, int, int], faulty: int = 0) -> tuple[bool, str]:
    """Whether `sizes` of train, val and test are the published ones of the data set `name`, and that in words.

    `faulty` records were left out for their quality: with these, as many as published is as published, too. The splits
    of PTB-XL are official; those of others are drawn by chance, so that only their sum is compared then.
    """
    for where, published in SIZES[name].items():
        if sizes == published:
            return True, f"as in {where}"
        fewer = all(n <= m for n, m in zip(sizes, published, strict=True))
        if sum(sizes) + faulty == sum(published) and (fewer or name != "ptbxl"):
            but = f", but for {faulty} left out for their quality" if faulty else ", split otherwise"
            return True, f"as in {where}{but}"
    where, published = next(iter(SIZES[name].items()))
    return False, f"{sum(sizes)} records, not the {sum(published)} of {where}"


def sizes_table(manifests: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """A row a data set: records in each split, the paper's, those left out for their quality, and the verdict."""
    import pandas as pd

    rows = []
    for name, manifest in manifests.items():
        train, val, test = (sum(manifest["counts"][split].values()) for split in ("train", "val", "test"))
        faulty = sum(n for reason, n in manifest["dropped"].items() if reason.startswith(_FAULTS))
        published = next(iter(SIZES[name].values()))
        as_published, verdict = compare_sizes(name, (train, val, test), faulty)
        rows.append((LABELLED.get(name, "Ningbo"), train, val, test, *published, faulty, as_published, verdict))
    own, paper = ("train", "val", "test"), ("paper_train", "paper_val", "paper_test")
    return pd.DataFrame(rows, columns=["data", *own, *paper, "faulty", "as_published", "verdict"])


def results_table(found: Mapping[Cell, Sequence[Mapping[str, Any]]]) -> pd.DataFrame:
    """A row a cell: the mean of its results over seeds, with the spread of several or the interval of one.

    Figures that there are not are NaN. `_sd` is the standard deviation over seeds, with n − 1; `_low` and `_high` are
    the 95 % interval over test patients.
    """
    import pandas as pd

    rows = []
    for cell, results in found.items():
        tests = [result["test"] for result in results]
        row: dict[str, Any] = {
            "data": LABELLED[cell.data],
            "method": _METHODS[cell.kind],
            "gamma": cell.gamma,
            "fraction": cell.fraction,
            "seeds": len(results),
            "test_records": tests[0]["records"],
        }
        for i, metric in enumerate(_METRICS):
            values = np.array([test[metric] for test in tests], dtype=float)
            interval = tests[0]["intervals"][metric] if len(tests) == 1 else None
            row[metric] = values.mean()
            row[f"{metric}_sd"] = values.std(ddof=1) if len(values) > 1 else np.nan
            row[f"{metric}_low"], row[f"{metric}_high"] = interval or (np.nan, np.nan)
            row[f"paper_{metric}"] = cell.paper[i] if cell.paper else np.nan
        rows.append(row)
    return pd.DataFrame(rows).astype({"gamma": float})


def shown_results(table: pd.DataFrame) -> list[list[str]]:
    """`results_table` as rows of words, the first of them its columns."""
    rows = [["data", "method", "γ", "labels", "AUROC", "paper's", "AUPRC", "paper's", "test records"]]
    for row in table.to_dict("records"):
        gamma = "-" if np.isnan(row["gamma"]) else f"{row['gamma']:g}"
        figures = [cell for metric in _METRICS for cell in (_figure(row, metric), _number(row[f"paper_{metric}"]))]
        rows.append([row["data"], row["method"], gamma, f"{row['fraction']:g}", *figures, str(row["test_records"])])
    return rows


def shown_sizes(table: pd.DataFrame) -> list[list[str]]:
    """`sizes_table` as rows of words, the first of them its columns."""
    rows = [["data", "train / val / test", "paper's", "left out for quality", "verdict"]]
    for row in table.to_dict("records"):
        own, paper = (" / ".join(str(row[of + split]) for split in ("train", "val", "test")) for of in ("", "paper_"))
        rows.append([row["data"], own, paper, str(row["faulty"]), row["verdict"]])
    return rows


def _figure(row: Mapping[Any, Any], metric: str) -> str:
    shown, sd, low, high = _number(row[metric]), *(row[f"{metric}_{name}"] for name in ("sd", "low", "high"))
    if not np.isnan(sd):
        return f"{shown} ± {sd:.4f}"
    return shown if np.isnan(low) else f"{shown} [{low:.3f}, {high:.3f}]"


def _number(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.4f}"
