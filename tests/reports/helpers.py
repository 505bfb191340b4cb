"""Run folders of classifiers with hand-made predictions, as far as reports read them."""

import dataclasses
import json

import numpy as np
import pandas as pd

from lfbt.evaluation.metrics import choose_thresholds, evaluate
from lfbt.reports.comparison_rows import table_rows
from lfbt.reports.scored_trials import open_trials

CLASSES = ["MI", "NORM", "STTC"]
N = 90
NUMBERS = np.random.default_rng(0).integers(0, 3, N)
TARGETS = np.eye(3, dtype=bool)[NUMBERS]
PATIENTS = [f"p{i}" for i in np.random.default_rng(1).integers(0, 60, N)]
IDS = [f"r{i}" for i in range(N)]


def predictions(skill, noise_seed, targets=TARGETS):
    """Probabilities that are right the more often the greater `skill`."""
    logits = skill * targets + np.random.default_rng(noise_seed).standard_normal(targets.shape)
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def write_trial(
    folder, probabilities, *, targets=TARGETS, patients=PATIENTS, ids=IDS, order=None, exclusive=True, **changes
):
    """A run folder as probe and fine-tuning write it, as far as it is read; `order` that its records stand in."""
    order = range(len(ids)) if order is None else order
    names = [";".join(c for c, has in zip(CLASSES, row, strict=True) if has) for row in targets]
    table = pd.DataFrame(probabilities, columns=[f"p_{name}" for name in CLASSES])
    table.insert(0, "id", ids)
    table.insert(1, "patient", patients)
    table.insert(2, "label", names)
    folder.mkdir(parents=True)
    table.iloc[list(order)].to_csv(folder / "predictions.csv", index=False)
    thresholds = choose_thresholds(probabilities, targets)
    results = {
        "kind": "probe",
        "lfbt_version": "0.1.0",
        "synthetic": False,
        "data": {
            "hash": "h",
            "classes": CLASSES,
            "folder": "data",
            "names_assumed": False,
            "counts": {},
            "training_records": 500,
        },
        "task": "single-label" if exclusive else "multi-label",
        "leads": ["II", "V1"],
        "encoder": {"checkpoint": "pretrain", "history": {"method": "LFBT"}},
        "fraction": 1.0,
        "seed": 0,
        "lead_subset": None,
        "folds": None,
        "classifier": "adam",
        "settings": {},
        "chosen": {"epoch": 3, "learning_rate": 0.001},
        "val_loss": 0.5,
        "test": evaluate(probabilities, targets, CLASSES, thresholds, exclusive),
        "val": None,
    }
    # Of nested objects only the changed keys are given.
    nested = {name: results[name] | changes.pop(name) for name in ("data", "encoder") if name in changes}
    text = json.dumps(results | changes | nested, default=dataclasses.asdict)
    (folder / "results.json").write_text(text)
    return folder


def write_series(folder, skill, seeds=(0, 1, 2), noise=0, **changes):
    """A run of a trial a seed."""
    for seed in seeds:
        p = predictions(skill, [seed, int(10 * skill), noise])
        write_trial(folder / f"seed-{seed}", p, seed=seed, **changes)
    return folder


def rows_of(*runs, **options):
    return table_rows([trial for run in runs for trial in open_trials(run)], **options)
