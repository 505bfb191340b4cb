"""Figures of the bundled encoder on PTB-XL's records 1 to 500, beside a random encoder and the published weights.

    python -m benchmarks.bundled_figures --data ../shared/data --out bundled

The 415 records with exactly one superclass; logistic regression (C = 0.01, standardised features) in ten folds of
patients, the probabilities of all folds pooled; means over ten random assignments of the patients to folds, their
standard deviation, and 95 % intervals over 1000 draws of patients, the same draws for every row.
"""

from __future__ import annotations

import argparse
import dataclasses
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.small_preset import N_ASSIGNMENTS, predict_in_folds
from lfbt.audit.leakage import check_leakage
from lfbt.data.dataset import Dataset
from lfbt.data.layouts import open_dataset
from lfbt.data.loader import epoch_batches, prefetch_batches
from lfbt.data.preparation import prepare_dataset
from lfbt.data.records import PrepareSettings
from lfbt.data.splits import patient_folds
from lfbt.evaluation.bootstrap import bootstrap_weights, class_areas, interval
from lfbt.models.encoder import LeadEncoders, estimate_batch_norm, random_encoder
from lfbt.models.features import compute_embeddings
from lfbt.models.pretrained import load_encoder, match
from lfbt.recording import PAPER_LEADS, STANDARD_LEADS
from lfbt.runs.encoder_folder import BUNDLED
from lfbt.sources import PtbXl
from lfbt.utils.tables import as_markdown

N_SAMPLES = 1024
_RANDOM_SEEDS = (0, 1, 2)
_N_FOLDS = 10
_RAREST = "HYP"
_CPU = torch.device("cpu")


@dataclasses.dataclass(frozen=True)
class Areas:
    """AUROC and AUPRC of the classes by name, each ``[runs, draws, classes]``.

    A run is one assignment of the patients to folds of one encoder. The first draw is that of every record once.
    """

    classes: Sequence[str]
    of_classes: dict[str, NDArray[np.float64]]

    def macro(self, metric: str, without: str = "") -> NDArray[np.float64]:
        """Means over classes except `without`, of those with records in a draw ``[runs, draws]``."""
        kept = np.array([name != without for name in self.classes])
        means: NDArray[np.float64] = np.nanmean(self.of_classes[metric][..., kept], axis=2)
        return means


def prepared(data: Path, out: Path) -> tuple[Dataset, Dataset]:
    """PTB-XL's records as the bundled encoder takes them, and as the published weights do."""
    forms = (("ptbxl", STANDARD_LEADS, N_SAMPLES), ("ptbxl-published", PAPER_LEADS, PrepareSettings().n_samples))
    for name, leads, n_samples in forms:
        if not (out / name).exists():
            settings = PrepareSettings(n_samples=n_samples, leads=leads)
            prepare_dataset(PtbXl(), "ptbxl", data / "ptbxl", out / name, settings)
    ours, published = (open_dataset(out / name) for name, *_ in forms)
    return ours, published


def features_of(encoder: LeadEncoders, dataset: Dataset) -> NDArray[np.float32]:
    """Embeddings ``[records, leads × 64]`` of all records."""
    encoder, dataset = match(encoder, dataset)
    features: NDArray[np.float32] = compute_embeddings(encoder, dataset, np.arange(len(dataset)), _CPU, 1).numpy()
    return features


def random_features(like: LeadEncoders, dataset: Dataset, seed: int) -> NDArray[np.float32]:
    """Those of a random encoder of the same size, its batch-norm statistics estimated on the same records."""
    encoder = random_encoder(like.config, seed)
    batches = epoch_batches(np.arange(len(dataset)), 64, seed, 0)
    estimate_batch_norm(encoder, prefetch_batches(dataset, batches, encoder.config.normalisation, _CPU, 1))
    return features_of(encoder, dataset)


def score(features: Sequence[NDArray[np.float32]], dataset: Dataset) -> Areas:
    """Score features of the same records by one encoder or several, in every assignment of the patients to folds."""
    targets, patients = dataset.targets(), list(dataset.patients)
    weights = np.concatenate([np.ones((1, len(dataset)), dtype=np.int32), bootstrap_weights(patients)])
    runs = []
    for seed in range(N_ASSIGNMENTS):
        fold_of = patient_folds(patients, targets, _N_FOLDS, seed)
        for of_encoder in features:
            probabilities = predict_in_folds(of_encoder, targets, fold_of, range(_N_FOLDS))
            runs.append(class_areas(probabilities, targets, weights))
    return Areas(dataset.classes, {metric: np.stack([run[metric] for run in runs]) for metric in runs[0]})


def figures(data: Path, out: Path, run: Path | None = None) -> str:
    """The two tables as Markdown; `run` is the run folder with the bundled encoder's weights in float32."""
    ours, published = prepared(data, out)
    check_leakage(Path(BUNDLED), ours, np.arange(len(ours)), allowed=False)
    bundled = load_encoder(BUNDLED)
    of_bundled = features_of(bundled, ours)
    of_leads = of_bundled.reshape(len(ours), len(STANDARD_LEADS), -1)
    eight = of_leads[:, [STANDARD_LEADS.index(lead) for lead in PAPER_LEADS]].reshape(len(ours), -1)
    rows = {f"{BUNDLED}, 12 leads": score([of_bundled], ours)}
    if run is not None:
        rows["its weights in float32"] = score([features_of(load_encoder(run), ours)], ours)
    rows[f"{BUNDLED}, 8 leads"] = score([eight], ours)
    rows["random, 12 leads, 3 seeds"] = score([random_features(bundled, ours, seed) for seed in _RANDOM_SEEDS], ours)
    for path in sorted((data / "weights").glob("*.pth"), reverse=True):
        name = f"published γ {path.stem.rpartition('_')[2]}, 8 leads"
        rows[name] = score([features_of(load_encoder(path), published)], published)
    return f"{table(rows)}\n\n{differences(rows)}"


COLUMNS = [
    (f"{metric.upper()}{f' without {without}' if without else ''}", metric, without)
    for without in ("", _RAREST)
    for metric in ("auroc", "auprc")
]


def table(rows: dict[str, Areas]) -> str:
    """Means over runs, their standard deviation, and intervals over draws of patients, as Markdown."""
    lines = [["", *(title for title, *_ in COLUMNS)]]
    for name, areas in rows.items():
        cells = []
        for _, metric, without in COLUMNS:
            of_runs = areas.macro(metric, without)
            low, high = interval(of_runs[:, 1:].mean(axis=0)) or (np.nan, np.nan)
            cells.append(f"{of_runs[:, 0].mean():.3f} ± {of_runs[:, 0].std(ddof=1):.3f} [{low:.3f}, {high:.3f}]")
        lines.append([name, *cells])
    return as_markdown(lines)


def differences(rows: dict[str, Areas]) -> str:
    """The first row less each other one, with intervals over the same draws, as Markdown."""
    (first, ours), *others = rows.items()
    lines = [[f"{first}, less", *(title for title, *_ in COLUMNS)]]
    for name, areas in others:
        cells = []
        for _, metric, without in COLUMNS:
            of_draws = ours.macro(metric, without).mean(axis=0) - areas.macro(metric, without).mean(axis=0)
            low, high = interval(of_draws[1:]) or (np.nan, np.nan)
            cells.append(f"{of_draws[0]:+.4f} [{low:+.4f}, {high:+.4f}]")
        lines.append([name, *cells])
    return as_markdown(lines)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the real recordings")
    parser.add_argument("--out", type=Path, required=True, help="folder for the prepared data sets")
    parser.add_argument("--run", type=Path, help="run folder with the weights before they were rounded to float16")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", "The least populated class", UserWarning)
    print(figures(arguments.data, arguments.out, arguments.run))


if __name__ == "__main__":
    main()
