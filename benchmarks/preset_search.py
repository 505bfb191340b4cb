"""A second search for the preset `small`, on more than one task and with two sets of features.

    python -m benchmarks.preset_search --data ../shared/data --out preset-search

Every candidate learns without labels from the records that `benchmarks.bundled_encoder` takes (CinC 2011 and the
Challenge without its copies of PTB-XL), in bf16, on one thread. It is scored like a row of `benchmarks.rich_features`:
PTB-XL's superclasses, its form and rhythm statements, and the Challenge's diagnoses, in ten folds of patients, C chosen
within; fold 10 of PTB-XL is not used. Finished runs and scores are kept: the same command resumes, and the table has
every seed of a row that was measured.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata

from benchmarks import rich_features
from benchmarks.bundled_encoder import prepared
from benchmarks.other_views import MixedPretrainer, OneAugmentedPretrainer
from benchmarks.rich_features import PAPER, TASKS
from lfbt.data.preparation import prepare_dataset
from lfbt.data.records import PrepareSettings
from lfbt.models.encoder import LeadEncoders
from lfbt.models.pretrained import load_encoder, load_history, match
from lfbt.recording import PAPER_LEADS, STANDARD_LEADS
from lfbt.runs.encoder_folder import BUNDLED
from lfbt.runs.run_folder import ENCODER_FOLDER
from lfbt.sources import Cpsc2018
from lfbt.sources.synthetic_downloads import write_cpsc2018
from lfbt.training.pretraining import Pretrainer
from lfbt.training.settings import PretrainSettings
from lfbt.utils.files import read_json, write_json
from lfbt.utils.tables import as_markdown

#: Four leads cost a third of the time of twelve.
FOUR = ("II", "V1", "V3", "V5")
#: The paper's features, and those of ``--features rich``.
FEATURES = {"paper": PAPER, "rich": "mean, max, blocks 4–5 + amplitudes, 3 times"}
COLUMNS = ("superclasses", "without HYP", "form and rhythm", "Challenge")


@dataclasses.dataclass(frozen=True)
class Candidate:
    """The data of a run, and its settings that differ from those of all."""

    changes: dict[str, Any]
    n_samples: int = 2048
    leads: tuple[str, ...] = FOUR
    epochs: int = 50
    synthetic: int = 0
    mixed: float = 0.0
    one_augmented: bool = False


# What all candidates share: the first search varied these.
_SHARED: dict[str, Any] = {
    "gamma": 0.8,
    "lambd": 0.0051,
    "batch_size": 64,
    "learning_rate": 2e-3,
    "schedule": "cosine",
    "warmup_epochs": 3.0,
    "projector": "512-512-512",
    "precision": "bf16",
    "save_minutes": 0.0,
    "quality_every": 0,
}
_FIXED: dict[str, Any] = {"normalisation": "record", "crop": "fixed"}
_DISTORTED: dict[str, Any] = _FIXED | {"noise": 0.3, "scale": 0.3}
_PRESET: dict[str, Any] = {"normalisation": "none"}
_GAINED: dict[str, Any] = _PRESET | {"scale": 0.3, "lead_dropout": 0.25, "noise": 0.1}

CANDIDATES = {
    "start": Candidate(_DISTORTED),
    "1024 samples, 100 epochs": Candidate(_DISTORTED, 1024, epochs=100),
    "600 synthetic recordings beside": Candidate(_DISTORTED, synthetic=600),
    "12 leads, 600 synthetic recordings beside": Candidate(_DISTORTED, leads=STANDARD_LEADS, synthetic=600),
    "the preset": Candidate(_PRESET, 1024, STANDARD_LEADS, epochs=120),
    # As many steps as the preset.
    "the preset, 600 synthetic recordings beside": Candidate(_PRESET, 1024, STANDARD_LEADS, epochs=65, synthetic=600),
    "4 leads": Candidate(_PRESET, 1024),
    # As much time: a third view for two thirds of the epochs, four for half of them.
    "4 leads, mixed samples": Candidate(_PRESET, 1024, epochs=33, mixed=4.0),
    "4 leads, four views": Candidate(_PRESET | {"views": 4}, 1024, epochs=25),
    "4 leads, one view as it is": Candidate(_PRESET, 1024, one_augmented=True),
    "4 leads, noise 0.1": Candidate(_PRESET | {"noise": 0.1}, 1024),
    "4 leads, scale 0.3": Candidate(_PRESET | {"scale": 0.3}, 1024),
    "4 leads, wander and hum 0.2": Candidate(_PRESET | {"wander": 0.2, "hum": 0.2}, 1024),
    "4 leads, lead dropout 0.25": Candidate(_PRESET | {"lead_dropout": 0.25}, 1024),
    "4 leads, EMA 0.99": Candidate(_PRESET | {"ema": 0.99}, 1024),
    "4 leads, weight decay 1e-4": Candidate(_PRESET | {"weight_decay": 1e-4}, 1024),
    "4 leads, λ 0.0025": Candidate(_PRESET | {"lambd": 0.0025}, 1024),
    "4 leads, λ 0.01": Candidate(_PRESET | {"lambd": 0.01}, 1024),
    "4 leads, width 0.25": Candidate(_PRESET | {"width": 0.25}, 1024, epochs=20),
    "4 leads, z-score of the record": Candidate({"normalisation": "record"}, 1024),
    # What gained alone, together.
    "4 leads, scale, lead dropout": Candidate(_GAINED | {"noise": 0.0}, 1024),
    "4 leads, scale, lead dropout, noise": Candidate(_GAINED, 1024),
    "4 leads, scale, lead dropout, noise, one view as it is": Candidate(_GAINED, 1024, one_augmented=True),
    "the preset, scale 0.3": Candidate(_PRESET | {"scale": 0.3}, 1024, STANDARD_LEADS, epochs=120),
    "the preset, scale, lead dropout, noise": Candidate(_GAINED, 1024, STANDARD_LEADS, epochs=120),
    # Rotation needs the leads of a vectorcardiogram.
    "8 leads": Candidate(_PRESET, 1024, PAPER_LEADS, epochs=25),
    "8 leads, rotation 30°": Candidate(_PRESET | {"vcg_rotation": 30.0}, 1024, PAPER_LEADS, epochs=25),
}


def pretrain_settings(data: Path, out: Path, name: str, seed: int) -> PretrainSettings:
    """The settings of a candidate."""
    candidate = CANDIDATES[name]
    place = out / f"{candidate.n_samples}-samples"
    targets = [*prepared(data, place, candidate.n_samples)]
    if candidate.synthetic:
        targets.append(_synthetic(place, candidate))
    folder = out / "runs" / f"{name.replace(',', '').replace(' ', '-')}-seed-{seed}"
    shared = {"epochs": candidate.epochs, "leads": candidate.leads, "seed": seed, "resume": True}
    return PretrainSettings.create(tuple(targets), folder, "paper", **(_SHARED | shared | candidate.changes))


def _synthetic(place: Path, candidate: Candidate) -> Path:
    """Synthetic recordings of nine diagnoses and rhythms, prepared like the others."""
    download, target = place / "synthetic", place / "data" / "synthetic"
    if not target.exists():
        download.mkdir(parents=True)
        write_cpsc2018(download, candidate.synthetic, seed=0)
        settings = PrepareSettings(n_samples=candidate.n_samples, leads=STANDARD_LEADS)
        prepare_dataset(Cpsc2018(labels="none"), "cpsc2018", download, target, settings)
    return target


def trained(settings: PretrainSettings, candidate: Candidate) -> Path:
    """Pretrain unless that is done already; return the run folder."""
    folder = settings.run_dir
    is_done = (folder / ENCODER_FOLDER / "config.json").is_file()
    if not is_done or load_history(folder)["epochs_done"] < settings.optimizer.epochs:
        _pretrainer(settings, candidate).run()
    return folder


def _pretrainer(settings: PretrainSettings, candidate: Candidate) -> Pretrainer:
    if candidate.mixed:
        return MixedPretrainer(settings, candidate.mixed)
    return OneAugmentedPretrainer(settings) if candidate.one_augmented else Pretrainer(settings)


def scores(data: Path, out: Path, encoder: LeadEncoders, leads: Sequence[str]) -> dict[str, list[float]]:
    """AUROC and AUPRC in the order of `COLUMNS`, by each set of features."""
    n_samples = encoder.config.n_samples
    found: dict[str, list[float]] = {name: [] for name in FEATURES}
    for name, task in TASKS.items():
        dataset = task.prepared(data, out / "tasks", name, STANDARD_LEADS, n_samples)
        own, dataset = match(encoder, dataset, leads)
        pooled = rich_features.pool(own, dataset)
        for features, title in FEATURES.items():
            found[features] += rich_features.score(pooled, dataset, name, rich_features.CANDIDATES[title])
    return found


def measured(data: Path, out: Path, name: str, seed: int) -> dict[str, list[float]]:
    """The scores of a candidate, which are computed once."""
    file = out / "scores" / f"{name}, seed {seed}.json"
    if not file.is_file():
        settings = pretrain_settings(data, out, name, seed)
        found = scores(data, out, load_encoder(trained(settings, CANDIDATES[name])), settings.data.leads)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, found)
        print(file.stem, found, file=sys.stderr, flush=True)
    found_before: dict[str, list[float]] = read_json(file)
    return found_before


def scored(out: Path, name: str) -> list[dict[str, list[float]]]:
    """The scores of every seed of a candidate that was measured, now or before."""
    found: list[dict[str, list[float]]] = [read_json(file) for file in sorted(out.glob(f"scores/{name}, seed *.json"))]
    return found


def others(data: Path, out: Path) -> dict[str, list[dict[str, list[float]]]]:
    """The scores of the preset as it is, by the bundled encoder, and of the authors' weights."""
    weights = data / "weights" / "encoder_group_gamma_0.8.pth"
    rows: dict[str, tuple[str | Path, tuple[str, ...]]] = {
        f"{BUNDLED}, {len(STANDARD_LEADS)} leads": (BUNDLED, STANDARD_LEADS),
        f"published γ 0.8, {len(PAPER_LEADS)} leads": (weights, PAPER_LEADS),
        f"published γ 0.8, {len(FOUR)} leads": (weights, FOUR),
    }
    found = {}
    for name, (checkpoint, leads) in rows.items():
        file = out / "scores" / f"{name}.json"
        if not file.is_file():
            file.parent.mkdir(parents=True, exist_ok=True)
            write_json(file, scores(data, out, load_encoder(checkpoint), leads))
        found[name] = [read_json(file)]
    return found


def table(rows: dict[str, list[dict[str, list[float]]]]) -> str:
    """Means over seeds with their standard deviations, and the mean rank of each row over all columns."""
    figures = {
        name: np.array([np.concatenate([one[f] for f in FEATURES]) for one in seeds]) for name, seeds in rows.items()
    }
    means = np.array([of_seeds.mean(axis=0) for of_seeds in figures.values()])
    ranks = np.mean([rankdata(-column) for column in means.T], axis=0)
    lines = [["", *(f"{column}, {features}" for features in FEATURES for column in COLUMNS), "mean rank"]]
    for (name, of_seeds), rank in zip(figures.items(), ranks, strict=True):
        cells = [_cell(column) for column in of_seeds.T]
        lines.append([name, *(" / ".join(pair) for pair in zip(cells[::2], cells[1::2], strict=True)), f"{rank:.1f}"])
    return as_markdown(lines)


def _cell(values: NDArray[np.float64]) -> str:
    spread = f" ± {values.std(ddof=1):.3f}" if len(values) > 1 else ""
    return f"{values.mean():.3f}{spread}"


def main() -> None:
    """Run every part that is not finished yet, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the real recordings")
    parser.add_argument("--out", type=Path, required=True, help="folder for all results")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2], help="none: what was measured before")
    parser.add_argument("--only", nargs="+", default=list(CANDIDATES), choices=list(CANDIDATES), help="these rows only")
    words = parser.parse_args()
    warnings.filterwarnings("ignore", "The least populated class", UserWarning)
    torch.set_num_threads(1)
    for seed in words.seeds:
        for name in words.only:
            measured(words.data, words.out, name, seed)
    print(table({name: scored(words.out, name) for name in words.only} | others(words.data, words.out)))


if __name__ == "__main__":
    main()
