"""The search behind the preset `small`: encoders with different settings, scored on validation folds of real ECGs.

    python -m benchmarks.small_preset --data ../shared/data --out small-preset

Every candidate is trained on the same unlabelled records as in `benchmarks.objectives`. The score is that of a
logistic regression (C = 0.01, standardised features) in ten patient-disjoint folds of PTB-XL's folds 1 to 9, averaged
over ten random assignments of the patients to folds; fold 10 is not used. Finished parts are kept: the same command
resumes after an interruption. Ends with the table or, with ``--final NAME``, with the figures of the chosen candidate
and of the published weights on all PTB-XL records available, most of which it was chosen on; fold 10 was not part of
the search.
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
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.objectives import prepared
from lfbt.data.dataset import Dataset
from lfbt.data.layouts import open_dataset
from lfbt.data.records import PrepareSettings
from lfbt.data.splits import patient_folds
from lfbt.models.features import compute_embeddings
from lfbt.models.pretrained import load_encoder, match
from lfbt.runs.run_folder import ENCODER_FOLDER
from lfbt.training.pretraining import Pretrainer
from lfbt.training.settings import PretrainSettings
from lfbt.utils.files import read_json
from lfbt.utils.tables import as_markdown

#: Four of the eight leads cost half the time.
FOUR = ("II", "V1", "V3", "V5")
ALL = PrepareSettings().leads
N_ASSIGNMENTS = 10


@dataclasses.dataclass(frozen=True)
class Candidate:
    """The data of a run, and its settings that differ from those the search started with."""

    epochs: int
    changes: dict[str, Any] = dataclasses.field(default_factory=dict)
    n_samples: int = 1024
    leads: tuple[str, ...] = FOUR


# Where the search started: the preset `small` as it was then except for its epochs, and every other setting varied.
_START: dict[str, Any] = {
    "gamma": 0.8,
    "normalisation": "record",
    "shortest_crop": 0.5,
    "longest_time_out": 0.5,
    "seed": 0,
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
    "not normalised": Candidate(50, {"normalisation": "none"}),
    "not normalised, time-out to 0.6, 100 epochs": Candidate(100, {"normalisation": "none", "longest_time_out": 0.6}),
    "512 samples, 80 epochs": Candidate(80, n_samples=512, leads=ALL),
    "512 samples, 80 epochs, batch 32": Candidate(80, {"batch_size": 32}, n_samples=512, leads=ALL),
    "80 epochs": Candidate(80, leads=ALL),
    "seed 1, 50 epochs": Candidate(50, {"seed": 1}, leads=ALL),
    "not normalised, seed 1, 50 epochs": Candidate(50, {"normalisation": "none", "seed": 1}, leads=ALL),
    "300 epochs": Candidate(300, leads=ALL),
    "not normalised, 120 epochs": Candidate(120, {"normalisation": "none"}, leads=ALL),
}


def run(out: Path, name: str) -> Path:
    """Pretrain a candidate unless that is done already; return its run folder."""
    settings = pretrain_settings(out, name)
    if _epochs_done(settings.run_dir) < settings.optimizer.epochs:
        Pretrainer(settings).run()
    return settings.run_dir


def pretrain_settings(out: Path, name: str) -> PretrainSettings:
    """The settings of a candidate."""
    candidate = CANDIDATES[name]
    data = out / str(candidate.n_samples) / "data"
    folder = out / "runs" / name.replace(",", "").replace(" ", "-")
    changes = {"epochs": candidate.epochs, "leads": candidate.leads, "resume": True} | candidate.changes
    return PretrainSettings.create((data / "cinc2011", data / "challenge"), folder, "small", **(_START | changes))


def _epochs_done(folder: Path) -> int:
    config = folder / ENCODER_FOLDER / "config.json"
    return int(read_json(config)["history"]["epochs_done"]) if config.is_file() else 0


@dataclasses.dataclass(frozen=True)
class Score:
    """AUROC and AUPRC of each class ``[classes]``, means over assignments of the patients to folds."""

    classes: Sequence[str]
    auroc: NDArray[np.float64]
    auprc: NDArray[np.float64]

    def macro(self, without: str = "") -> tuple[float, float]:
        """Means over all classes except `without`."""
        kept = np.array([name != without for name in self.classes])
        return float(self.auroc[kept].mean()), float(self.auprc[kept].mean())


def score(checkpoint: Path, dataset: Dataset, keep: Sequence[str] = ()) -> Score:
    """Score the encoder's features on the training and validation records, of the leads in `keep` only if named."""
    encoder, dataset = match(load_encoder(checkpoint), dataset)
    rows = dataset.rows("train", "val")
    features = compute_embeddings(encoder, dataset, rows, torch.device("cpu"), 1).numpy()
    if keep:
        of_leads = features.reshape(len(rows), len(dataset.leads), -1)
        features = of_leads[:, [dataset.leads.index(lead) for lead in keep]].reshape(len(rows), -1)
    targets = dataset.targets()[rows]
    patients = [dataset.patients[row] for row in rows]
    assignments = [patient_folds(patients, targets, 10, seed) for seed in range(N_ASSIGNMENTS)]
    auroc, auprc = np.mean([score_in_folds(features, targets, fold_of) for fold_of in assignments], axis=0)
    return Score(dataset.classes, auroc, auprc)


def score_in_folds(
    features: NDArray[np.float32], targets: NDArray[np.bool_], fold_of: NDArray[np.int64], folds: Sequence[int] = ()
) -> NDArray[np.float64]:
    """Compute AUROC and AUPRC of each class ``[2, classes]``, pooling probabilities over `folds` (default: all).

    NaN for a class without records in these folds.
    """
    folds = folds or range(fold_of.max() + 1)
    probabilities = predict_in_folds(features, targets, fold_of, folds)
    scored = np.isin(fold_of, folds)
    of_classes = zip(targets[scored].T, probabilities[scored].T, strict=True)
    figures = [
        (roc_auc_score(*pair), average_precision_score(*pair)) if pair[0].any() else 2 * (np.nan,)
        for pair in of_classes
    ]
    return np.array(figures).T


def predict_in_folds(
    features: NDArray[np.float32], targets: NDArray[np.bool_], fold_of: NDArray[np.int64], folds: Sequence[int]
) -> NDArray[np.float64]:
    """Probabilities ``[records, classes]`` of the records in `folds`, by models of all other records; 0 for others."""
    classes, probabilities = targets.argmax(axis=1), np.zeros(targets.shape)
    for fold in folds:
        tested = fold_of == fold
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
        model.fit(features[~tested], classes[~tested])
        probabilities[np.ix_(tested, model.classes_)] = model.predict_proba(features[tested])
    return probabilities


def final(checkpoint: Path, dataset: Dataset) -> list[str]:
    """Macro AUROC and AUPRC on all records: ten folds of records, ten of patients, and fold 10 against the rest."""
    encoder, dataset = match(load_encoder(checkpoint), dataset)
    rows = dataset.rows("train", "val", "test")
    features = compute_embeddings(encoder, dataset, rows, torch.device("cpu"), 1).numpy()
    targets = dataset.targets()[rows]
    patients = [dataset.patients[row] for row in rows]
    by_record = np.zeros(len(rows), dtype=np.int64)
    split = StratifiedKFold(10, shuffle=True, random_state=0).split(rows, targets.argmax(axis=1))
    for fold, (_, tested) in enumerate(split):
        by_record[tested] = fold
    assignments = [by_record, patient_folds(patients, targets, 10, 0)]
    figures = [score_in_folds(features, targets, fold_of) for fold_of in assignments]
    is_test = np.isin(rows, dataset.rows("test"))
    figures.append(score_in_folds(features, targets, is_test.astype(np.int64), folds=(1,)))
    return [" / ".join(f"{value:.3f}" for value in np.nanmean(figure, axis=1)) for figure in figures]


def _line(name: str, scored: Score) -> list[str]:
    without = " / ".join(f"{value:.3f}" for value in scored.macro(without="HYP"))
    macro = " / ".join(f"{value:.3f}" for value in scored.macro())
    of_classes = (f"{auroc:.3f} / {auprc:.3f}" for auroc, auprc in zip(scored.auroc, scored.auprc, strict=True))
    return [name, without, macro, *of_classes]


def main() -> None:
    """Run every part that is not finished yet, then print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the real recordings")
    parser.add_argument("--out", type=Path, required=True, help="folder for all results")
    parser.add_argument("--only", nargs="+", default=list(CANDIDATES), choices=list(CANDIDATES), help="these rows only")
    parser.add_argument("--final", choices=list(CANDIDATES), help="instead, score this candidate on all records")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", "The least populated class", UserWarning)
    out: Path = arguments.out
    names: list[str] = [arguments.final] if arguments.final else arguments.only
    for n_samples in sorted({CANDIDATES[name].n_samples for name in names}):
        prepared(arguments.data, out / str(n_samples), n_samples)
    published = open_dataset(out / str(CANDIDATES[names[0]].n_samples) / "data" / "ptbxl-published")
    weights = {path.stem.rpartition("_")[2]: path for path in sorted((arguments.data / "weights").glob("*.pth"))}
    heads, lines = ["", "without HYP", "all classes", *published.classes], []
    if arguments.final:
        heads = ["", "folds of records", "folds of patients", "fold 10"]
    for name in names:
        candidate, folder = CANDIDATES[name], run(out, name)
        dataset = open_dataset(out / str(candidate.n_samples) / "data" / "ptbxl").select_leads(candidate.leads)
        if arguments.final:
            lines.append([name, *final(folder, dataset)])
        else:
            lines.append(_line(f"{name}, {len(candidate.leads)} leads", score(folder, dataset)))
    for gamma, path in weights.items():
        if arguments.final:
            lines.append([f"published γ {gamma}", *final(path, published)])
        else:
            lines.append(_line(f"published γ {gamma}, 4 leads", score(path, published, FOUR)))
            lines.append(_line(f"published γ {gamma}, 8 leads", score(path, published)))
    if arguments.final or names == list(CANDIDATES):
        with (out / ("final.csv" if arguments.final else "table.csv")).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([heads, *lines])
    print(as_markdown([heads, *lines]))


if __name__ == "__main__":
    main()
