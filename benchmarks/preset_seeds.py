"""Runs of candidates of the preset's search with several seeds, beside the published weights, on PTB-XL's records.

    python -m benchmarks.preset_seeds --data ../shared/data --out preset-search

The 415 records with exactly one superclass, features and classifiers as in `benchmarks.rich_features`: ten folds of
patients, C chosen within, ten assignments of the patients to folds. Intervals are over 1000 draws of patients and, of
rows with several runs, of seeds, the same draws for every row. Runs that are not there yet are made first; of the
preset `lfbt-small` is the first, with seed 0, in float32 from 849 recordings as they were prepared then.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.bundled_figures import COLUMNS, N_SAMPLES, Areas
from benchmarks.preset_search import CANDIDATES, pretrain_settings, trained
from benchmarks.rich_features import TASKS, predict
from benchmarks.small_preset import N_ASSIGNMENTS
from lfbt.evaluation.bootstrap import (
    bootstrap_seeds,
    bootstrap_weights,
    class_areas,
    interval,
    mean_over_drawn_seeds,
)
from lfbt.models.encoder import LeadEncoders
from lfbt.models.feature_maps import PAPER, RICH, FeatureMap
from lfbt.models.features import compute_embeddings
from lfbt.models.pretrained import load_encoder, match
from lfbt.recording import STANDARD_LEADS
from lfbt.runs.encoder_folder import BUNDLED
from lfbt.utils.tables import as_markdown

_PUBLISHED = "encoder_group_gamma_0.8.pth"
_PRESET = "the preset"
_TASK = "superclasses"

#: Whose row it is, and what it is of.
Key = tuple[str, str]


@dataclasses.dataclass(frozen=True)
class Row:
    """Figures of runs ``[columns, runs, draws]``; the first draw is that of every record once."""

    figures: NDArray[np.float64]

    def draws(self) -> NDArray[np.float64]:
        """Means over runs ``[columns, draws]``: over all in the first, over drawn ones in the others."""
        of_runs = self.figures.swapaxes(0, 1)
        drawn = bootstrap_seeds(range(len(of_runs)), of_runs.shape[2] - 1)
        others = mean_over_drawn_seeds(of_runs[:, :, 1:], drawn)
        return np.concatenate([of_runs[:, :, :1].mean(axis=0), others], axis=1)


def probabilities(encoder: LeadEncoders, data: Path, out: Path, features: FeatureMap) -> NDArray[np.float64]:
    """Probabilities ``[assignments, records, classes]``, each by a classifier that has not seen the patient."""
    config = encoder.config
    dataset = TASKS[_TASK].prepared(data, out / "tasks", _TASK, STANDARD_LEADS, config.n_samples)
    encoder, dataset = match(encoder, dataset, config.leads)
    x = compute_embeddings(encoder, dataset, np.arange(len(dataset)), torch.device("cpu"), 1, features=features)
    weights = torch.from_numpy(features.weights(len(config.leads), x.shape[1]))
    targets, patients = dataset.targets(), list(dataset.patients)
    return np.stack([predict(x, weights, targets, patients, seed) for seed in range(N_ASSIGNMENTS)])


def row(of_runs: Sequence[NDArray[np.float64]], data: Path, out: Path) -> Row:
    """Score probabilities ``[assignments, records, classes]`` of each run."""
    dataset = TASKS[_TASK].prepared(data, out / "tasks", _TASK, STANDARD_LEADS, N_SAMPLES)
    targets = dataset.targets()
    draws = np.concatenate([np.ones((1, len(dataset)), dtype=np.int32), bootstrap_weights(list(dataset.patients))])
    figures = []
    for of_run in of_runs:
        found = [class_areas(p, targets, draws) for p in of_run]
        areas = Areas(dataset.classes, {metric: np.stack([one[metric] for one in found]) for metric in found[0]})
        figures.append([areas.macro(metric, without).mean(axis=0) for _, metric, without in COLUMNS])
    return Row(np.array(figures).swapaxes(0, 1))


def rows(data: Path, out: Path, names: Sequence[str], seeds: Sequence[int]) -> dict[Key, Row]:
    """The rows of the table: the published weights first, then of each candidate, and of each set of features."""
    published = load_encoder(data / "weights" / _PUBLISHED)
    found: dict[Key, Row] = {}
    for features in (PAPER, RICH):
        print(f"{features.name} features", file=sys.stderr, flush=True)
        found["published γ 0.8", features.name] = row([probabilities(published, data, out, features)], data, out)
        for name in names:
            of_runs = [probabilities(one, data, out, features) for one in _runs(data, out, name, seeds)]
            found[name, f"{len(of_runs)} runs, {features.name}"] = row(of_runs, data, out)
            if len(of_runs) > 1:
                together = np.mean(of_runs, axis=0)
                found[name, f"mean answer, {features.name}"] = row([together], data, out)
    return found


def _runs(data: Path, out: Path, name: str, seeds: Sequence[int]) -> list[LeadEncoders]:
    """The encoders of a candidate; of the preset that of seed 0 is the one that comes with lfbt."""
    runs = []
    for seed in seeds:
        if (name, seed) == (_PRESET, 0):
            runs.append(load_encoder(BUNDLED))
        else:
            runs.append(load_encoder(trained(pretrain_settings(data, out, name, seed), CANDIDATES[name])))
    return runs


def tables(found: Mapping[Key, Row], names: Sequence[str]) -> str:
    """Means ± SD over runs with their intervals, and differences from the first row, and between candidates."""
    means = [["", *(title for title, *_ in COLUMNS)]]
    for key, one in found.items():
        of_draws = one.draws()
        of_runs = one.figures[:, :, 0]
        spreads = [f" ± {runs.std(ddof=1):.3f}" if len(runs) > 1 else "" for runs in of_runs]
        cells = [f"{draws[0]:.3f}{spread}" for draws, spread in zip(of_draws, spreads, strict=True)]
        means.append([", ".join(key), *_with_intervals(cells, of_draws, ".3f")])
    first = next(iter(found))
    parts = [as_markdown(means), differences(found, ", ".join(first), {key: first for key in found if key != first})]
    for name in names[1:]:
        pairs = {(own, kind): (names[0], kind) for own, kind in found if own == name}
        parts.append(differences(found, f"{names[0]}, the same of it", pairs))
    return "\n\n".join(parts)


def differences(found: Mapping[Key, Row], less: str, of: Mapping[Key, Key]) -> str:
    """What rows have more than others, which are called `less`, with intervals."""
    lines = [[f"less {less}", *(title for title, *_ in COLUMNS)]]
    for key, other in of.items():
        apart = found[key].draws() - found[other].draws()
        lines.append([", ".join(key), *_with_intervals([f"{draws[0]:+.3f}" for draws in apart], apart, "+.3f")])
    return as_markdown(lines)


def _with_intervals(cells: Sequence[str], of_draws: NDArray[np.float64], form: str) -> list[str]:
    bounds = [interval(draws[1:]) or (np.nan, np.nan) for draws in of_draws]
    return [f"{cell} [{low:{form}}, {high:{form}}]" for cell, (low, high) in zip(cells, bounds, strict=True)]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the real recordings")
    parser.add_argument("--out", type=Path, required=True, help="folder of `benchmarks.preset_search`")
    parser.add_argument("--candidates", nargs="+", default=[_PRESET], choices=list(CANDIDATES), help="of the search")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    words = parser.parse_args()
    warnings.filterwarnings("ignore", "The least populated class", UserWarning)
    torch.set_num_threads(1)
    print(tables(rows(words.data, words.out, words.candidates, words.seeds), words.candidates))


if __name__ == "__main__":
    main()
