"""The trials of a benchmark, one a task, fraction and seed: fitted, scored, and each written into a folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import lfbt
from lfbt.data.dataset import Dataset
from lfbt.data.splits import stratified_fraction
from lfbt.evaluation.bootstrap import intervals
from lfbt.evaluation.classifiers import Fitted
from lfbt.evaluation.metrics import evaluate
from lfbt.models.encoder import LeadEncoders
from lfbt.models.feature_maps import feature_map
from lfbt.models.heads import Head
from lfbt.protocols.fitting import WindowClassifier, fit
from lfbt.protocols.pooler import AttentivePooler
from lfbt.protocols.settings import PROTOCOLS, BenchmarkSettings
from lfbt.protocols.tasks import LabelledTask
from lfbt.protocols.windows import cut_windows, embed_windows, map_windows
from lfbt.runs.history import write_history
from lfbt.runs.predictions import Predictions
from lfbt.runs.results import RESULTS, EncoderOrigin, LabelledData, Results
from lfbt.sources.listing import SPLITS
from lfbt.utils.files import atomic_folder
from lfbt.utils.settings import to_dict
from lfbt.utils.tensors import seeded

#: The kind of these results.
KIND = "benchmark"
# Features of a head of attention.
_HEAD_FEATURES = 8


@dataclasses.dataclass(frozen=True)
class Trial:
    """One training of a classifier, and the folder of its results."""

    folder: Path
    task: LabelledTask
    fraction: float
    seed: int

    @property
    def is_done(self) -> bool:
        """Whether its folder is there: it is written completely or not at all."""
        return (self.folder / RESULTS).is_file()

    @property
    def description(self) -> str:
        """The trial in words."""
        return f"{self.task.name}, fraction {self.fraction:g}, seed {self.seed}"


def list_trials(settings: BenchmarkSettings, tasks: list[LabelledTask]) -> list[Trial]:
    """List the trials, task by task, then by fraction and seed."""
    trials = []
    for task in tasks:
        for fraction in settings.fraction:
            part = np.format_float_positional(fraction, trim="-")
            for seed in settings.seeds:
                folder = settings.out / f"{task.name}-{settings.variant}-fraction-{part}-seed-{seed}"
                trials.append(Trial(folder, task, fraction, seed))
    return trials


def compute_inputs(
    settings: BenchmarkSettings, dataset: Dataset, encoder: LeadEncoders, device: torch.device
) -> Tensor:
    """Compute what a classifier takes of all records: ``[records, windows, columns]``, or a feature map of each."""
    windows, n = cut_windows(dataset, settings.window, PROTOCOLS[settings.protocol].stride)
    encoder = encoder.to(device)
    if settings.protocol == "attentive":
        return map_windows(encoder, windows, n, device)
    return embed_windows(encoder, windows, n, feature_map(settings.features), device)


def run_trial(
    settings: BenchmarkSettings,
    trial: Trial,
    dataset: Dataset,
    encoder: tuple[LeadEncoders, EncoderOrigin],
    inputs: Callable[[], Tensor],
) -> None:
    """Fit a classifier, score the test records once, and write the trial's folder, completely or not at all.

    Raises LfbtError for a loss that is not finite.
    """
    task, protocol, x = trial.task, PROTOCOLS[settings.protocol], inputs()
    train = task.rows["train"]
    patients = [dataset.patients[row] for row in train]
    train = train[stratified_fraction(patients, task.targets[train], trial.fraction, trial.seed)]
    model = create_model(settings, task, x, train, len(encoder[0].config.leads), trial.seed)
    fitted = fit(model, x, task, train, protocol, settings.epochs or protocol.rounds, trial.seed)
    with atomic_folder(trial.folder) as folder:
        _predictions(dataset, task, fitted).save(folder)
        write_history(folder, fitted.history)
        _results(settings, trial, dataset, encoder, fitted).save(folder)


def create_model(
    settings: BenchmarkSettings, task: LabelledTask, inputs: Tensor, train: NDArray[np.int64], n_leads: int, seed: int
) -> WindowClassifier:
    """Create the classifier of a protocol, its weights drawn from `seed`; features are standardised by `train`."""
    n_columns = inputs.shape[-1]
    with seeded(seed):
        attentive = settings.protocol == "attentive"
        pooler = AttentivePooler(n_columns, max(1, n_columns // _HEAD_FEATURES)) if attentive else nn.Identity()
        head = Head(n_columns, len(task.classes), task.exclusive).to(inputs.device)
    features = feature_map(settings.features)
    if settings.standardise or features.amplitudes:
        weights = torch.from_numpy(features.weights(n_leads, n_columns)).to(inputs.device)
        head.standardise(inputs[torch.from_numpy(train)].flatten(0, 1), weights)
    return WindowClassifier(pooler, head).to(inputs.device)


def _predictions(dataset: Dataset, task: LabelledTask, fitted: Fitted) -> Predictions:
    rows = fitted.rows["test"]
    return Predictions(
        ids=tuple(dataset.ids[row] for row in rows),
        patients=tuple(dataset.patients[row] for row in rows),
        labels=tuple(tuple(task.classes[k] for k in np.flatnonzero(task.targets[row])) for row in rows),
        classes=task.classes,
        probabilities=fitted.probabilities["test"],
    )


def _results(
    settings: BenchmarkSettings,
    trial: Trial,
    dataset: Dataset,
    encoder: tuple[LeadEncoders, EncoderOrigin],
    fitted: Fitted,
) -> Results:
    task, origin = trial.task, encoder[1]
    targets = {split: task.targets[fitted.rows[split]] for split in SPLITS}
    scores = {
        split: evaluate(p, targets[split], task.classes, exclusive=task.exclusive)
        for split, p in fitted.probabilities.items()
    }
    patients = [dataset.patients[row] for row in fitted.rows["test"]]
    bounds = intervals(fitted.probabilities["test"], targets["test"], patients, task.exclusive, classes=task.classes)
    return Results(
        kind=KIND,
        lfbt_version=lfbt.__version__,
        synthetic=dataset.synthetic,
        data=LabelledData(
            folder=dataset.folder.name,
            hash=dataset.hash,
            names_assumed=dataset.names_assumed,
            classes=list(task.classes),
            training_records=len(fitted.rows["train"]),
            counts={
                split: dict(zip(task.classes, known.sum(axis=0).tolist(), strict=True))
                for split, known in targets.items()
            },
        ),
        task="single-label" if task.exclusive else "multi-label",
        leads=list(encoder[0].config.leads),
        lead_subset=None,
        encoder=origin,
        classifier=settings.protocol,
        fraction=trial.fraction,
        seed=trial.seed,
        folds=None,
        settings=to_dict(settings) | {"tasks": [task.name], "epochs": len(fitted.history)},
        chosen=fitted.chosen,
        val_loss=fitted.val_loss,
        test=dataclasses.replace(scores["test"], intervals=bounds),
        val=scores["val"],
    )
