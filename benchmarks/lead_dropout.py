"""Recordings that lack leads: a head of all leads, one with lead dropout, and one of each subset, on PTB-XL's records.

    python -m benchmarks.lead_dropout --data ../shared/data --out lead-dropout

The 415 records with exactly one superclass, in ten folds of patients: each is the test once, the next is validation.
Every head is `lfbt probe`'s, a linear layer by Adam with its defaults. In a row are recordings that have the named
leads only: macro AUROC and AUPRC over all of them, each by the head that has not seen its patient.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.bundled_figures import prepared
from lfbt.data.dataset import Dataset
from lfbt.data.splits import patient_folds
from lfbt.evaluation.classifiers import Fold, fit
from lfbt.evaluation.lead_dropout import SubsetInputs
from lfbt.evaluation.metrics import evaluate
from lfbt.evaluation.settings import FittingSettings
from lfbt.models.config import LeadDropout
from lfbt.models.encoder import LeadEncoders
from lfbt.models.features import compute_embeddings
from lfbt.models.pretrained import load_encoder, match
from lfbt.recording import PAPER_LEADS, STANDARD_LEADS
from lfbt.runs.encoder_folder import BUNDLED
from lfbt.utils.tables import as_markdown

_N_FOLDS = 10
_CPU = torch.device("cpu")
_PUBLISHED = "encoder_group_gamma_0.8.pth"
_SUBSETS = {
    BUNDLED: {"I": ("I",), "II": ("II",), "limb": STANDARD_LEADS[:6], "chest": STANDARD_LEADS[6:]},
    _PUBLISHED: {"II": ("II",), "limb": PAPER_LEADS[:2], "chest": PAPER_LEADS[2:], "II,V1,V5": ("II", "V1", "V5")},
}

#: Probabilities ``[records, classes]`` by the leads that the recordings have.
Probabilities = dict[str, NDArray[np.float64]]


def embeddings_of(encoder: LeadEncoders, dataset: Dataset, leads: Sequence[str]) -> torch.Tensor:
    """Embeddings ``[records, leads × 64]`` of recordings that have some leads only."""
    part, chosen = match(encoder, dataset, leads)
    return compute_embeddings(part, chosen, np.arange(len(dataset)), _CPU, 1)


def columns_of(encoder: LeadEncoders, leads: Sequence[str]) -> torch.Tensor:
    """The columns of some leads in embeddings of all of the encoder's."""
    n = encoder.config.n_features
    return torch.cat([torch.arange(n) + n * encoder.config.leads.index(lead) for lead in leads])


def predict(
    encoder: LeadEncoders,
    dataset: Dataset,
    subsets: dict[str, tuple[str, ...]],
    dropout: LeadDropout | None,
    seed: int,
    n_epochs: int,
) -> Probabilities:
    """Probabilities of all records by heads of all leads, where the records have all or a subset."""
    targets, whole = dataset.targets(), embeddings_of(encoder, dataset, encoder.config.leads)
    of_subsets = {name: embeddings_of(encoder, dataset, leads) for name, leads in subsets.items()}
    columns = {name: columns_of(encoder, leads) for name, leads in subsets.items()}
    fold_of = patient_folds(list(dataset.patients), targets, _N_FOLDS, seed)
    # A head that was not trained for subsets is given them by the same rule.
    rule = dropout or LeadDropout(0.0, subsets)
    found = {name: np.empty(targets.shape) for name in ("all", *subsets)}
    for k in range(_N_FOLDS):
        val = fold_of == (k + 1) % _N_FOLDS
        where = {"train": (fold_of != k) & ~val, "val": val, "test": fold_of == k}
        rows = {split: np.flatnonzero(chosen) for split, chosen in where.items()}
        divided = {split: whole[at] for split, at in rows.items()}
        parts = {
            name: SubsetInputs(columns[name], {split: of_subsets[name][at] for split, at in rows.items()})
            for name in (subsets if dropout else ())
        }
        of_splits = {split: targets[at] for split, at in rows.items()}
        fold = Fold(rows, divided, of_splits, dataset.exclusive, dropout, parts)
        fitted = fit(fold, FittingSettings(epochs=n_epochs), seed)
        found["all"][rows["test"]] = fitted.probabilities["test"]
        head = fitted.head
        if head is None:
            raise TypeError("Adam fits a head")
        head.lead_dropout = rule
        for name in subsets:
            part = SubsetInputs(columns[name], {"test": of_subsets[name][rows["test"]]})
            with torch.no_grad():
                logits = head(part.spread("test", slice(None), whole.shape[1]))
            found[name][rows["test"]] = head.probabilities(logits)
    return found


def figures(data: Path, out: Path, seeds: Sequence[int], n_epochs: int = 100) -> str:
    """The tables of both encoders as Markdown, means over seeds of folds and heads."""
    ours, published = prepared(data, out)
    return "\n\n".join(
        [
            f"{BUNDLED}:\n\n{_table(load_encoder(BUNDLED), ours, _SUBSETS[BUNDLED], seeds, n_epochs)}",
            f"Published γ 0.8:\n\n"
            f"{_table(load_encoder(data / 'weights' / _PUBLISHED), published, _SUBSETS[_PUBLISHED], seeds, n_epochs)}",
        ]
    )


def _table(
    encoder: LeadEncoders, dataset: Dataset, subsets: dict[str, tuple[str, ...]], seeds: Sequence[int], n_epochs: int
) -> str:
    heads: dict[str, list[Probabilities]] = {
        title: [predict(encoder, dataset, subsets, dropout, seed, n_epochs) for seed in seeds]
        for title, dropout in {
            "one head, no dropout": None,
            "one head, dropout 0.5": LeadDropout(0.5, subsets),
            "one head, dropout 0.8": LeadDropout(0.8, subsets),
        }.items()
    }
    alone = [{name: predict(encoder.select_leads(leads), dataset.select_leads(leads), {}, None, seed, n_epochs)["all"]
              for name, leads in subsets.items()} for seed in seeds]  # fmt: skip
    heads["a head of each subset"] = [
        of_all | of_seed
        for of_seed, of_all in zip(alone, ({"all": one["all"]} for one in heads["one head, no dropout"]), strict=True)
    ]
    lines = [["leads of the recordings", *heads]]
    for name in ("all", *subsets):
        cells = []
        for of_seeds in heads.values():
            scores = [
                evaluate(one[name], dataset.targets(), dataset.classes, None, dataset.exclusive) for one in of_seeds
            ]
            means = [np.mean([getattr(score, metric) for score in scores]) for metric in ("auroc", "auprc")]
            cells.append(" / ".join(f"{mean:.3f}" for mean in means))
        lines.append([name, *cells])
    return as_markdown(lines)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the real recordings")
    parser.add_argument("--out", type=Path, required=True, help="folder for the prepared data sets")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of folds and heads")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", "The least populated class", UserWarning)
    torch.set_num_threads(1)
    print(figures(arguments.data, arguments.out, arguments.seeds))


if __name__ == "__main__":
    main()
