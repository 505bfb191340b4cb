"""The search behind the preset `small`: encoders by other settings, scored on validation folds of real ECGs.

    python -m benchmarks.small_preset --data ../shared/data --out small-preset

Every candidate learns from the same records without labels as in `benchmarks.objectives`. The score is that of a
logistic regression (C = 0.01, standardised features) in ten patient-disjoint folds of PTB-XL's folds 1 to 9, the mean
over ten deals of the patients; fold 10 is not looked at. What is there already is left as it is, so that the same
command goes on after a stop. Ends with the table.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.objectives import prepared
from lfbt.dataset import DataSet, open_dataset
from lfbt.features import compute_embeddings
from lfbt.output import read_json
from lfbt.prepare import PrepareSettings
from lfbt.pretrain import PretrainSettings, preset_settings, pretrain
from lfbt.runfolder import ENCODER_FOLDER
from lfbt.splits import patient_folds
from lfbt.tables import as_markdown
from lfbt.weights import load_encoder, match

#: Four of the eight leads cost half the time.
FOUR = ("II", "V1", "V3", "V5")
ALL = PrepareSettings().leads
N_DEALS = 10


@dataclasses.dataclass(frozen=True)
class Candidate:
    """What a run learns from, and in what its settings differ from those that the search began with."""

    epochs: int
    changes: dict[str, Any] = dataclasses.field(default_factory=dict)
    n_samples: int = 1024
    leads: tuple[str, ...] = FOUR


# What the search began with: the preset `small` of the time, but for its epochs.
_START: dict[str, Any] = {
    "batch_size": 64,
    "learning_rate": 2e-3,
    "schedule": "cosine",
    "warmup_epochs": 3.0,
    "projector": "512-512-512",
    "save_minutes": 0.0,
    "quality_every": 0,
}

CANDIDATES = {
    "start": Candidate(50),
    "seed 1": Candidate(50, {"seed": 1}),
    "25 epochs": Candidate(25),
    "100 epochs": Candidate(100),
    "2048 samples": Candidate(50, n_samples=2048),
    "γ 0.6": Candidate(50, {"gamma": 0.6}),
    "γ 1": Candidate(50, {"gamma": 1.0}),
    "rate 4e-3": Candidate(50, {"learning_rate": 4e-3}),
    "projector 1024": Candidate(50, {"projector": "1024-1024-1024"}),
    "crop from 0.25": Candidate(50, {"shortest_crop": 0.25}),
    "crop from 0.75": Candidate(50, {"shortest_crop": 0.75}),
    "time-out to 0.25": Candidate(50, {"longest_time_out": 0.25}),
    "time-out to 0.7": Candidate(50, {"longest_time_out": 0.7}),
    "normalised per lead": Candidate(50, {"normalisation": "lead"}),
    "not normalised": Candidate(50, {"normalisation": "none"}),
    "512 samples, 80 epochs": Candidate(80, n_samples=512, leads=ALL),
    "512 samples, 80 epochs, batch 32": Candidate(80, {"batch_size": 32}, n_samples=512, leads=ALL),
    "80 epochs": Candidate(80, leads=ALL),
    "seed 1, 50 epochs": Candidate(50, {"seed": 1}, leads=ALL),
}


def run(out: Path, name: str) -> Path:
    """The run folder of a candidate, which learns if it has not."""
    candidate = CANDIDATES[name]
    folder = out / "runs" / name.replace(",", "").replace(" ", "-")
    if _epochs_done(folder) < candidate.epochs:
        data = out / str(candidate.n_samples) / "data"
        base = preset_settings("small", (data / "cinc2011", data / "challenge"), folder)
        changes = {"epochs": candidate.epochs, "leads": candidate.leads, "resume": True} | candidate.changes
        pretrain(PretrainSettings(**(vars(base) | _START | changes)))
    return folder


def _epochs_done(folder: Path) -> int:
    config = folder / ENCODER_FOLDER / "config.json"
    return int(read_json(config)["history"]["epochs_done"]) if config.is_file() else 0


@dataclasses.dataclass(frozen=True)
class Score:
    """AUROC and AUPRC of each class ``[classes]``, means over deals of the patients."""

    classes: Sequence[str]
    auroc: NDArray[np.float64]
    auprc: NDArray[np.float64]

    def macro(self, without: str = "") -> tuple[float, float]:
        """Means over classes but one."""
        kept = np.array([name != without for name in self.classes])
        return float(self.auroc[kept].mean()), float(self.auprc[kept].mean())


def score(checkpoint: Path, dataset: DataSet, keep: Sequence[str] = ()) -> Score:
    """The encoder's features scored on the training and validation records; those of some leads only, if named."""
    encoder, dataset = match(load_encoder(checkpoint), dataset)
    rows = dataset.rows("train", "val")
    features = compute_embeddings(encoder, dataset, rows, torch.device("cpu"), 1).numpy()
    if keep:
        of_leads = features.reshape(len(rows), len(dataset.leads), -1)
        features = of_leads[:, [dataset.leads.index(lead) for lead in keep]].reshape(len(rows), -1)
    targets = dataset.targets()[rows]
    patients = [dataset.patients[row] for row in rows]
    deals = [_score(features, targets, patient_folds(patients, targets, 10, seed)) for seed in range(N_DEALS)]
    auroc, auprc = np.mean(deals, axis=0)
    return Score(dataset.classes, auroc, auprc)


def _score(
    features: NDArray[np.float32], targets: NDArray[np.bool_], fold_of: NDArray[np.int64]
) -> NDArray[np.float64]:
    """AUROC and AUPRC of each class ``[2, classes]``, probabilities pooled over folds."""
    classes, probabilities = targets.argmax(axis=1), np.zeros(targets.shape)
    for fold in range(fold_of.max() + 1):
        tested = fold_of == fold
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
        model.fit(features[~tested], classes[~tested])
        probabilities[np.ix_(tested, model.classes_)] = model.predict_proba(features[tested])
    measures = (roc_auc_score, average_precision_score)
    return np.stack([measure(targets, probabilities, average=None) for measure in measures])


def _line(name: str, scored: Score) -> list[str]:
    without = " / ".join(f"{value:.3f}" for value in scored.macro(without="HYP"))
    macro = " / ".join(f"{value:.3f}" for value in scored.macro())
    of_classes = (f"{auroc:.3f} / {auprc:.3f}" for auroc, auprc in zip(scored.auroc, scored.auprc, strict=True))
    return [name, without, macro, *of_classes]


def main() -> None:
    """Do all that is not done yet, and print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the real recordings")
    parser.add_argument("--out", type=Path, required=True, help="folder for all that is made")
    parser.add_argument("--only", nargs="+", default=list(CANDIDATES), choices=list(CANDIDATES), help="these rows only")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", "The least populated class", UserWarning)
    out: Path = arguments.out
    for n_samples in sorted({CANDIDATES[name].n_samples for name in arguments.only}):
        prepared(arguments.data, out / str(n_samples), n_samples)
    lines = []
    for name in arguments.only:
        candidate, folder = CANDIDATES[name], run(out, name)
        dataset = open_dataset(out / str(candidate.n_samples) / "data" / "ptbxl").select_leads(candidate.leads)
        lines.append(_line(f"{name}, {len(candidate.leads)} leads", score(folder, dataset)))
    some = next(iter(CANDIDATES.values())).n_samples
    published = open_dataset(out / str(some) / "data" / "ptbxl-published")
    for weights in sorted((arguments.data / "weights").glob("*.pth")):
        name = f"published γ {weights.stem.rpartition('_')[2]}"
        lines.append(_line(f"{name}, 4 leads", score(weights, published, FOUR)))
        lines.append(_line(f"{name}, 8 leads", score(weights, published)))
    heads = ["", "without HYP", "all classes", *published.classes]
    with (out / "table.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([heads, *lines])
    print(as_markdown([heads, *lines]))


if __name__ == "__main__":
    main()
