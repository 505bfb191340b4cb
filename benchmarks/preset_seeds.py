"""Runs of one candidate of the preset's search with several seeds, beside the published weights, on PTB-XL's records.

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
from collections.abc import Sequence
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
_TASK = "superclasses"


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


def rows(data: Path, out: Path, name: str, seeds: Sequence[int]) -> dict[str, Row]:
    """The rows of the table: the published weights first."""
    published = load_encoder(data / "weights" / _PUBLISHED)
    runs = [load_encoder(BUNDLED)] if name == "the preset" else []
    runs += [load_encoder(trained(pretrain_settings(data, out, name, seed), CANDIDATES[name])) for seed in seeds]
    found = {}
    for features in (PAPER, RICH):
        print(f"{features.name} features", file=sys.stderr, flush=True)
        found[f"published γ 0.8, {features.name}"] = row([probabilities(published, data, out, features)], data, out)
        of_runs = [probabilities(one, data, out, features) for one in runs]
        found[f"{name}, {len(runs)} runs, {features.name}"] = row(of_runs, data, out)
        if len(runs) > 1:
            together = np.mean(of_runs, axis=0)
            found[f"mean answer of the {len(runs)}, {features.name}"] = row([together], data, out)
    return found


def tables(found: dict[str, Row]) -> str:
    """Means ± SD over runs with their intervals, then differences from the first row, as Markdown."""
    means, differences = ([["", *(title for title, *_ in COLUMNS)]] for _ in range(2))
    (first, reference), *_ = found.items()
    differences[0][0] = f"less {first}"
    for name, one in found.items():
        of_draws = one.draws()
        of_runs = one.figures[:, :, 0]
        spreads = [f" ± {runs.std(ddof=1):.3f}" if len(runs) > 1 else "" for runs in of_runs]
        cells = [f"{draws[0]:.3f}{spread}" for draws, spread in zip(of_draws, spreads, strict=True)]
        means.append([name, *_with_intervals(cells, of_draws, ".3f")])
        if name != first:
            apart = of_draws - reference.draws()
            cells = [f"{draws[0]:+.3f}" for draws in apart]
            differences.append([name, *_with_intervals(cells, apart, "+.3f")])
    return f"{as_markdown(means)}\n\n{as_markdown(differences)}"


def _with_intervals(cells: Sequence[str], of_draws: NDArray[np.float64], form: str) -> list[str]:
    bounds = [interval(draws[1:]) or (np.nan, np.nan) for draws in of_draws]
    return [f"{cell} [{low:{form}}, {high:{form}}]" for cell, (low, high) in zip(cells, bounds, strict=True)]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the real recordings")
    parser.add_argument("--out", type=Path, required=True, help="folder of `benchmarks.preset_search`")
    parser.add_argument("--candidate", default="the preset", choices=list(CANDIDATES), help="what was searched")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    words = parser.parse_args()
    warnings.filterwarnings("ignore", "The least populated class", UserWarning)
    torch.set_num_threads(1)
    print(tables(rows(words.data, words.out, words.candidate, words.seeds)))


if __name__ == "__main__":
    main()
