"""The search behind ``--features rich``: what is pooled from a frozen encoder, scored in folds of patients.

    python -m benchmarks.rich_features --data ../shared/data --out rich-features

Three tasks: PTB-XL's superclasses (single-label), its form and rhythm statements (of ten records or more), and the
Challenge's diagnoses (records that are no copies of PTB-XL's, codes of ten records or more). In every deal of the
patients each of ten folds is the test once, and the next is validation, on which C of a logistic regression is chosen.
The choice is made on PTB-XL's folds 1 to 9 and all of the Challenge's records. Finished scores are kept: the same
command resumes. ``--final`` compares `rich` with the paper's features as `benchmarks.bundled_figures` does, on all
records with exactly one superclass; nine tenths of these are those of the choice.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score
from torch import Tensor

from benchmarks.bundled_figures import Areas, differences, table
from benchmarks.objectives import link_challenge
from benchmarks.small_preset import N_ASSIGNMENTS
from lfbt.data.dataset import Dataset
from lfbt.data.layouts import open_dataset
from lfbt.data.preparation import prepare_dataset
from lfbt.data.records import PrepareSettings
from lfbt.data.splits import patient_folds
from lfbt.evaluation.bootstrap import bootstrap_weights, class_areas
from lfbt.models.encoder import LeadEncoders
from lfbt.models.feature_maps import PAPER as PAPER_FEATURES
from lfbt.models.feature_maps import RICH
from lfbt.models.features import compute_embeddings
from lfbt.models.pretrained import load_encoder, match
from lfbt.runs.encoder_folder import BUNDLED
from lfbt.signal import normalise
from lfbt.sources import Challenge, PtbXl
from lfbt.utils.files import read_json, write_json
from lfbt.utils.tables import as_markdown

_N_FOLDS = 10
_FEWEST = 10
_BATCH = 64
_C = (0.0003, 0.001, 0.003, 0.01)
_TINY = 1e-9
_RAREST = "HYP"
PAPER = "mean, block 5 (paper)"

Where = NDArray[np.bool_]

#: Functions of activations ``[records, channels, samples]``.
STATISTICS: dict[str, Callable[[Tensor], Tensor]] = {
    "mean": lambda x: x.mean(dim=2),
    "max": lambda x: x.amax(dim=2),
    "std": lambda x: x.std(dim=2, correction=0),
    "q10": lambda x: x.quantile(0.1, dim=2),
    "q50": lambda x: x.quantile(0.5, dim=2),
    "q90": lambda x: x.quantile(0.9, dim=2),
}


@dataclasses.dataclass(frozen=True)
class Candidate:
    """Statistics over time of blocks counted from 1, and the weight of the amplitudes (0: without them)."""

    blocks: tuple[int, ...] = (5,)
    statistics: tuple[str, ...] = ("mean",)
    amplitude: float = 0.0


CANDIDATES = {
    PAPER: Candidate(),
    "paper + amplitudes": Candidate(amplitude=1.0),
    "paper + amplitudes, 3 times": Candidate(amplitude=3.0),
    "mean, max, block 5": Candidate(statistics=("mean", "max")),
    "mean, max, blocks 4–5": Candidate((4, 5), ("mean", "max")),
    "mean, std, blocks 4–5": Candidate((4, 5), ("mean", "std")),
    "mean, max, std, blocks 4–5": Candidate((4, 5), ("mean", "max", "std")),
    "quantiles, blocks 4–5": Candidate((4, 5), ("q10", "q50", "q90")),
    "mean, max, blocks 3–5": Candidate((3, 4, 5), ("mean", "max")),
    "mean, max, blocks 4–5 + amplitudes": Candidate((4, 5), ("mean", "max"), 1.0),
    "mean, max, blocks 4–5 + amplitudes, 3 times": Candidate((4, 5), ("mean", "max"), 3.0),
    "mean, std, blocks 4–5 + amplitudes, 3 times": Candidate((4, 5), ("mean", "std"), 3.0),
    "mean, max, blocks 3–5 + amplitudes, 3 times": Candidate((3, 4, 5), ("mean", "max"), 3.0),
}


@dataclasses.dataclass(frozen=True)
class Pooled:
    """Statistics of each block ``[records, leads, channels]``, and amplitudes ``[records, leads, 2]``."""

    of_blocks: dict[tuple[int, str], Tensor]
    amplitudes: Tensor

    def columns(self, candidate: Candidate) -> tuple[Tensor, Tensor]:
        """Features ``[records, columns]`` lead by lead, and the weights ``[columns]`` that go with them."""
        parts = [self.of_blocks[block, name] for block in candidate.blocks for name in candidate.statistics]
        weights = [torch.ones(part.shape[1:]) for part in parts]
        if candidate.amplitude:
            parts.append(self.amplitudes)
            weights.append(torch.full(self.amplitudes.shape[1:], candidate.amplitude))
        return torch.cat(parts, dim=2).flatten(1), torch.cat(weights, dim=1).flatten()


@torch.no_grad()
def pool(encoder: LeadEncoders, dataset: Dataset) -> Pooled:
    """Pool every statistic of every block, one lead after the other."""
    encoder, dataset = match(encoder, dataset)
    leads: list[Any] = list(encoder.encoders.values())
    found: dict[tuple[int, str], list[Tensor]] = {}
    amplitudes = []
    for rows in np.array_split(np.arange(len(dataset)), -(-len(dataset) // _BATCH)):
        signals = dataset.batch(rows, "none")
        deviation = signals.std(axis=2, dtype=np.float64).clip(min=1e-3)
        amplitudes.append(torch.from_numpy(np.stack([np.log(deviation), np.ptp(signals, axis=2)], axis=2)).float())
        of_batch: dict[tuple[int, str], list[Tensor]] = {}
        for lead, one in enumerate(leads):
            x = torch.from_numpy(normalise(signals, encoder.config.normalisation))[:, lead, None]
            block = 0
            for i, (convolution, norm) in enumerate(one.pairs()):
                x = F.relu(norm(convolution(x)))
                if i in one.block_ends:
                    x = F.max_pool1d(x, 2)
                    block += 1
                    for name, function in STATISTICS.items():
                        if block >= 3:
                            of_batch.setdefault((block, name), []).append(function(x))
        for key, of_leads in of_batch.items():
            found.setdefault(key, []).append(torch.stack(of_leads, dim=1))
    return Pooled({key: torch.cat(parts) for key, parts in found.items()}, torch.cat(amplitudes))


def areas(
    features: Tensor, weights: Tensor, targets: NDArray[np.bool_], patients: Sequence[str], seeds: Sequence[int]
) -> NDArray[np.float64]:
    """AUROC and AUPRC of each class ``[2, classes]``, pooled over folds, means over deals of patients."""
    figures = []
    for seed in seeds:
        probabilities = predict(features, weights, targets, patients, seed)
        pairs = list(zip(targets.T, probabilities.T, strict=True))
        figures.append([[score(*pair) for pair in pairs] for score in (roc_auc_score, average_precision_score)])
    return np.asarray(np.mean(figures, axis=0))


def predict(
    features: Tensor, weights: Tensor, targets: NDArray[np.bool_], patients: Sequence[str], seed: int
) -> NDArray[np.float64]:
    """Probabilities ``[records, classes]``, each by a model that has not seen the patient, of one deal of patients."""
    fold_of = patient_folds(list(patients), targets, _N_FOLDS, seed)
    probabilities = np.zeros(targets.shape)
    for k in range(_N_FOLDS):
        val = fold_of == (k + 1) % _N_FOLDS
        train = (fold_of != k) & ~val
        known = features[train]
        deviation = known.std(dim=0, correction=0)
        scaled = (features - known.mean(dim=0)) / torch.where(deviation > 0, deviation, 1.0) * weights
        # As many columns as records: a rotation, which changes no penalised regression, but its time.
        _, _, rotation = torch.linalg.svd(scaled[train].double(), full_matrices=False)
        x = (scaled.double() @ rotation.T).numpy()
        probabilities[fold_of == k] = _predict(x, targets, train, val, fold_of == k)
    return probabilities


def _predict(
    x: NDArray[np.float64], targets: NDArray[np.bool_], train: Where, val: Where, test: Where
) -> NDArray[np.float64]:
    """Probabilities ``[tested, classes]`` by logistic regression, at the C with the lowest validation loss."""
    exclusive = bool((targets.sum(axis=1) == 1).all())
    found = []
    for c in _C:
        if exclusive:
            model = LogisticRegression(C=c, max_iter=1000).fit(x[train], targets[train].argmax(axis=1))
            p = np.full(targets.shape, _TINY)
            p[:, model.classes_] = model.predict_proba(x)
        else:
            p = np.stack([_predict_one(x, known, train, c) for known in targets.T], axis=1)
        p = np.clip(p, _TINY, 1 - _TINY)
        wrong = 0.0 if exclusive else np.log(1 - p)
        found.append((-np.where(targets, np.log(p), wrong)[val].mean(), p[test]))
    return np.asarray(min(found, key=lambda one: one[0])[1])


def _predict_one(x: NDArray[np.float64], known: NDArray[np.bool_], train: Where, c: float) -> NDArray[np.float64]:
    if not known[train].any():
        return np.zeros(len(x))
    model = LogisticRegression(C=c, max_iter=1000, solver="newton-cholesky").fit(x[train], known[train])
    return np.asarray(model.predict_proba(x)[:, 1])


@dataclasses.dataclass(frozen=True)
class Task:
    """Records of a task, of which `rows` are scored in deals of these `seeds`, and the classes that count."""

    source: PtbXl | Challenge
    seeds: tuple[int, ...]

    def prepared(self, data: Path, out: Path, name: str, leads: Sequence[str], n_samples: int) -> Dataset:
        """Its records as an encoder takes them."""
        is_ptbxl = isinstance(self.source, PtbXl)
        folder = out / f"{name}-{n_samples}"
        if not folder.exists():
            settings = PrepareSettings(leads=tuple(leads), n_samples=n_samples, keep_multi_label=name != "superclasses")
            where = data / "ptbxl" if is_ptbxl else link_challenge(data, out / "links")
            prepare_dataset(self.source, "ptbxl" if is_ptbxl else "challenge", where, folder, settings)
        return open_dataset(folder)


TASKS = {
    "superclasses": Task(PtbXl(), (0, 1, 2)),
    "form and rhythm": Task(PtbXl(labels="statements"), (0, 1)),
    "Challenge": Task(Challenge(labels="codes"), (0, 1, 2)),
}
FORM_AND_RHYTHM = ("NDT", "NST_", "ABQRS", "PVC", "STD_", "VCLVH", "QWAVE", "LOWT", "NT_", "SR", "AFIB", "SARRH")


def score(pooled: Pooled, dataset: Dataset, name: str, candidate: Candidate) -> list[float]:
    """Macro AUROC and AUPRC of a task, and of the superclasses the same without the rarest."""
    rows = dataset.rows("train", "val") if name != "Challenge" else np.arange(len(dataset))
    targets = dataset.targets()[rows]
    counted = [i for i, one in enumerate(dataset.classes) if name != "form and rhythm" or one in FORM_AND_RHYTHM]
    if name == "Challenge":
        counted = [i for i in counted if targets[:, i].sum() >= _FEWEST]
    features, weights = pooled.columns(candidate)
    patients = [dataset.patients[row] for row in rows]
    found = areas(features[rows], weights, targets[:, counted], patients, TASKS[name].seeds)
    means = [*found.mean(axis=1)]
    if name == "superclasses":
        means += [*found[:, [one != _RAREST for one in dataset.classes]].mean(axis=1)]
    return [float(mean) for mean in means]


def search(data: Path, out: Path, encoder: str) -> dict[str, dict[str, list[float]]]:
    """Scores of every candidate on every task; those in the file of `out` are kept."""
    file = out / f"{encoder}.json"
    known: dict[str, dict[str, list[float]]] = read_json(file) if file.is_file() else {}
    loaded = _load(data, encoder)
    for name, task in TASKS.items():
        dataset = task.prepared(data, out, name, loaded.config.leads, loaded.config.n_samples)
        pooled = None
        for title, candidate in CANDIDATES.items():
            if title in known.get(name, {}):
                continue
            pooled = pooled or pool(loaded, dataset)
            known.setdefault(name, {})[title] = score(pooled, dataset, name, candidate)
            write_json(file, known)
            print(encoder, name, title, known[name][title], file=sys.stderr, flush=True)
    return known


def final(data: Path, out: Path, encoder: str, seeds: Sequence[int]) -> str:
    """The chosen features and the paper's, as the library computes them, on all records of the superclasses."""
    loaded = _load(data, encoder)
    dataset = TASKS["superclasses"].prepared(data, out, "superclasses", loaded.config.leads, loaded.config.n_samples)
    loaded, dataset = match(loaded, dataset)
    targets, patients = dataset.targets(), list(dataset.patients)
    draws = np.concatenate([np.ones((1, len(dataset)), dtype=np.int32), bootstrap_weights(patients)])
    rows = {}
    for features in (RICH, PAPER_FEATURES):
        x = compute_embeddings(loaded, dataset, np.arange(len(dataset)), torch.device("cpu"), 1, features=features)
        weights = torch.from_numpy(features.weights(len(loaded.config.leads), x.shape[1]))
        runs = [class_areas(predict(x, weights, targets, patients, seed), targets, draws) for seed in seeds]
        of_classes = {metric: np.stack([run[metric] for run in runs]) for metric in runs[0]}
        rows[f"{encoder}, {features.name}"] = Areas(dataset.classes, of_classes)
    return f"{table(rows)}\n\n{differences(rows)}"


def _load(data: Path, encoder: str) -> LeadEncoders:
    return load_encoder(BUNDLED if encoder == BUNDLED else data / "weights" / f"encoder_group_gamma_{encoder}.pth")


def main() -> None:
    """Print a table an encoder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the real recordings")
    parser.add_argument("--out", type=Path, required=True, help="folder for the prepared data sets and the scores")
    parser.add_argument("--encoders", nargs="+", default=["0.8", BUNDLED], help="γ of published weights, or lfbt-small")
    parser.add_argument("--final", action="store_true", help="compare the chosen features with the paper's instead")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", "The least populated class", UserWarning)
    arguments.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    for encoder in arguments.encoders:
        if arguments.final:
            print(f"{final(arguments.data, arguments.out, encoder, range(N_ASSIGNMENTS))}\n", flush=True)
            continue
        found = search(arguments.data, arguments.out, encoder)
        heads = ["superclasses", "without HYP", "form and rhythm", "Challenge"]
        lines = [["", *(f"{head}, AUROC / AUPRC" for head in heads)]]
        for title in CANDIDATES:
            figures = [value for name in TASKS for value in found[name][title]]
            pairs = zip(figures[::2], figures[1::2], strict=True)
            lines.append([title, *(f"{auroc:.3f} / {auprc:.3f}" for auroc, auprc in pairs)])
        print(f"{encoder}:\n\n{as_markdown(lines)}\n")


if __name__ == "__main__":
    main()
