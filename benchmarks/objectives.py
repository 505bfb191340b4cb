"""LFBT against other objectives, the published weights, a random encoder and training from scratch, on real ECGs.

    python -m benchmarks.objectives --data ../shared/data --out objectives

Every objective is trained on the same unlabelled records (CinC 2011 set-a and the Challenge 2020/2021 samples without
their PTB-XL records) with the same encoder, views, batch size, learning rate and epochs, once per seed. Every encoder
is probed on the PTB-XL records by logistic regression in patient-disjoint folds, at each fraction of the training
labels. Finished parts are kept: the same command resumes after an interruption. Ends with the table of `lfbt compare`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from lfbt.data.preparation import prepare_dataset
from lfbt.data.records import PrepareSettings
from lfbt.evaluation.fine_tuning import run_finetune
from lfbt.evaluation.probing import run_probe
from lfbt.evaluation.settings import FinetuneSettings, ProbeSettings
from lfbt.reports.comparison import CompareSettings, run_comparison
from lfbt.runs.results import RESULTS
from lfbt.sources import Challenge, Folder, PtbXl
from lfbt.training.pretraining import Pretrainer
from lfbt.training.settings import PretrainSettings

#: The settings in which the objectives differ; γ = 1 is plain Barlow Twins per lead.
OBJECTIVES: dict[str, dict[str, Any]] = {
    "lfbt-0.8": {"gamma": 0.8},
    "lfbt-0.6": {"gamma": 0.6},
    "barlow": {"gamma": 1.0},
    "simclr": {"objective": "simclr"},
    "vicreg": {"objective": "vicreg"},
    "lead-contrastive": {"objective": "lead-contrastive"},
}
# Prefix of the Challenge records that are copies of PTB-XL records.
_OVERLAP = "HR"


def prepared(data: Path, out: Path, n_samples: int) -> None:
    """Prepare the unlabelled and the labelled records; the published weights take another number of samples."""
    challenge = link_challenge(data, out / "challenge")
    for source, kind, folder, target, samples in (
        (Folder(), "folder", data / "cinc2011" / "acceptable", "cinc2011", n_samples),
        (Challenge(), "challenge", challenge, "challenge", n_samples),
        (PtbXl(), "ptbxl", data / "ptbxl", "ptbxl", n_samples),
        (PtbXl(), "ptbxl", data / "ptbxl", "ptbxl-published", PrepareSettings().n_samples),
    ):
        if not (out / "data" / target).exists():
            # All pieces and voltages: the published figures are of these.
            settings = PrepareSettings(n_samples=samples, shortest=0.0, allow_implausible=True)
            prepare_dataset(source, kind, folder, out / "data" / target, settings)


def link_challenge(data: Path, folder: Path) -> Path:
    """Fill `folder` with links to the Challenge's files without copies of PTB-XL records, unless it is there."""
    if not folder.exists():
        folder.mkdir(parents=True)
        for file in sorted((data / "challenge").iterdir()):
            if not file.name.startswith(_OVERLAP):
                (folder / file.name).symlink_to(file.resolve())
    return folder


def pretrain_settings(out: Path, name: str, seed: int, epochs: int) -> PretrainSettings:
    """The settings of the objective called `name`."""
    return PretrainSettings.create(
        (out / "data" / "cinc2011", out / "data" / "challenge"),
        out / "pretrain" / f"{name}-seed-{seed}",
        "small",
        epochs=epochs,
        seed=seed,
        normalisation="record",
        resume=True,
        quality_every=0,
        **OBJECTIVES[name],
    )


def scored(out: Path, name: str, seed: int, arguments: argparse.Namespace, **start: Any) -> None:
    """Probe an encoder at every fraction or, with `from_scratch`, train one."""
    for fraction in arguments.fractions:
        folder = out / "scores" / name / f"fraction-{fraction:g}-seed-{seed}"
        # With all labels, a probe of published weights does not depend on the seed.
        independent_of_seed = name.startswith("published") and fraction == 1 and seed != arguments.seeds[0]
        if (folder / RESULTS).is_file() or independent_of_seed:
            continue
        common: dict[str, Any] = {
            "data_dir": out / "data" / ("ptbxl-published" if name.startswith("published") else "ptbxl"),
            "run_dir": folder,
            "fraction": (fraction,),
            "seeds": (seed,),
            "folds": arguments.folds,
        }
        if start.get("from_scratch"):
            settings = {"epochs": arguments.scratch_epochs, "batch_size": 64, "learning_rate": 1e-3}
            run_finetune(FinetuneSettings.create(**common, **settings, from_scratch=True))
        else:
            run_probe(ProbeSettings.create(**common, **start, classifier="logistic", c=(0.01,)))


def main() -> None:
    """Run every part that is not finished yet, then print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the real recordings")
    parser.add_argument("--out", type=Path, required=True, help="folder for all results")
    parser.add_argument("--epochs", type=int, default=40, help="epochs of every objective")
    parser.add_argument("--scratch-epochs", type=int, default=20, help="epochs of training from scratch")
    parser.add_argument("--n-samples", type=int, default=512, help="samples of a record")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--fractions", type=float, nargs="+", default=[0.1, 1.0])
    parser.add_argument("--folds", type=int, default=10)
    parser.add_argument("--only", nargs="+", default=[], help="compute these rows only, and no table")
    arguments = parser.parse_args()
    out = arguments.out
    prepared(arguments.data, out, arguments.n_samples)
    weights = sorted((arguments.data / "weights").glob("*.pth"))
    rows = [*OBJECTIVES, *(f"published-{path.stem.rpartition('_')[2]}" for path in weights), "random", "scratch"]
    unknown = sorted(set(arguments.only) - set(rows))
    if unknown:
        parser.error(f"--only: {unknown[0]} is not one of {', '.join(rows)}")
    for seed in arguments.seeds:
        for name in arguments.only or rows:
            if name in OBJECTIVES:
                start: dict[str, Any] = {
                    "checkpoint": Pretrainer(pretrain_settings(out, name, seed, arguments.epochs)).run()
                }
            elif name in ("random", "scratch"):
                start = {"random_encoder": True} if name == "random" else {"from_scratch": True}
            else:
                path = next(path for path in weights if path.stem.endswith(name.rpartition("-")[2]))
                start = {"checkpoint": path}
            scored(out, name, seed, arguments, **start)
    if not arguments.only:
        number = len(list(out.glob("compare*")))
        table, _ = run_comparison(
            CompareSettings(tuple(out / "scores" / name for name in rows), out / f"compare-{number}")
        )
        print(table)


if __name__ == "__main__":
    main()
