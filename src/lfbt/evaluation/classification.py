"""The classification task that probe and fine-tuning share: labelled records, their splits, and the encoder."""

from __future__ import annotations

import copy
import dataclasses
import functools
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from lfbt.audit.leakage import check_leakage
from lfbt.data.dataset import Dataset
from lfbt.data.layouts import open_dataset
from lfbt.data.splits import patient_folds, stratified_fraction
from lfbt.errors import LfbtError
from lfbt.evaluation.settings import Classifier, ClassifySettings, FinetuneSettings, ProbeSettings, Rival
from lfbt.models.encoder import EncoderConfig, LeadEncoders, random_encoder
from lfbt.models.feature_maps import feature_map
from lfbt.models.hub import checkpoint_name, take_checkpoint
from lfbt.models.pretrained import load_with_history, match, weights_hash
from lfbt.runs.results import EncoderOrigin
from lfbt.sources.listing import SPLITS
from lfbt.utils.device import describe_device, load_hint
from lfbt.utils.figures import format_count, format_names
from lfbt.utils.settings import Affects, describe_changes, names_affecting, to_dict

_CLASSIFIERS: dict[Classifier, str] = {
    "adam": "a linear layer by Adam", "logistic": "logistic regression", "knn": "nearest neighbours",
    "boosting": "gradient boosting",
}  # fmt: skip

SettingsT = TypeVar("SettingsT", ProbeSettings, FinetuneSettings)

#: The rows of a data set that are train, val and test. Validation may be empty where nothing is chosen on it.
Rows = dict[str, NDArray[np.int64]]


@dataclasses.dataclass(frozen=True)
class Task:
    """Labelled records, the encoder to start from, and the splits to train and score on.

    Parameters
    ----------
    dataset
        The records.
    targets
        Which classes each has ``[records, classes]``.
    config
        The form of the encoder.
    loaded, origin
        The encoder of the checkpoint and where it is from; None where encoders are random.
    folds
        The rows of each fold; a single one for the data set's own splits.
    device
        Where encoders and heads are.
    """

    dataset: Dataset
    targets: NDArray[np.bool_]
    config: EncoderConfig
    loaded: LeadEncoders | None
    origin: EncoderOrigin | None
    folds: tuple[Rows, ...]
    device: torch.device

    @functools.cached_property
    def exclusive(self) -> bool:
        """Whether a record has exactly one class; otherwise it may have several (multi-label)."""
        return self.dataset.exclusive

    @functools.cached_property
    def weights_hash(self) -> str | None:
        """Hash of the weights of the checkpoint; None for random encoders."""
        return None if self.loaded is None else weights_hash(self.loaded)

    def encoder(self, seed: int) -> LeadEncoders:
        """Return the encoder to start from, on the device: a copy of the checkpoint's, or one drawn from `seed`."""
        encoder = random_encoder(self.config, seed) if self.loaded is None else copy.deepcopy(self.loaded)
        return encoder.to(self.device)

    def rows(self, fold: int, fraction: float, seed: int) -> Rows:
        """Return the rows of a fold, of the training ones a stratified fraction.

        Raises LfbtError where the training records left are all of one class.
        """
        train = self.folds[fold]["train"]
        patients = [self.dataset.patients[row] for row in train]
        chosen = train[stratified_fraction(patients, self.targets[train], fraction, seed)]
        counts = self.targets[chosen].sum(axis=0)
        if not ((counts > 0) & (counts < len(chosen))).any():
            only = ", ".join(name for name, n in zip(self.dataset.classes, counts, strict=True) if n)
            raise LfbtError(
                f"{self.dataset.folder}: the training records are all of class {only}; a classifier needs two classes"
            )
        return self.folds[fold] | {"train": chosen}


def with_checkpoint(settings: SettingsT, shown: bool = True) -> SettingsT:
    """Put the files of a checkpoint of the hub in place of its name. Raises LfbtError as `take_checkpoint` does."""
    if settings.task.checkpoint is None:
        return settings
    found = take_checkpoint(settings.task.checkpoint, shown)
    return dataclasses.replace(settings, task=dataclasses.replace(settings.task, checkpoint=found))


def open_task(settings: ClassifySettings, device: torch.device) -> Task:
    """Open the data set and the encoder of `settings`, and divide the records.

    Without a checkpoint encoders are random, of the paper's width and normalisation. Of K folds one is the test, the
    next validation where something is chosen on it, the others training.

    Raises
    ------
    LfbtError
        For a folder that is not a data set or not a checkpoint, labels that do not fit, an empty split, and test
        records that the encoder was pretrained on, unless these are allowed.
    """
    data, n_folds = settings.task, settings.trials.folds
    dataset = open_dataset(data.data_dir, data.split_seed)
    targets = dataset.targets()
    if data.num_classes is not None and data.num_classes != len(dataset.classes):
        raise LfbtError(
            f"num_classes: {data.num_classes} contradicts the {len(dataset.classes)} classes of {data.data_dir}: "
            f"{format_names(dataset.classes, 10)}"
        )
    loaded, origin = None, None
    if data.checkpoint is None:
        dataset = dataset.select_leads(data.leads) if data.leads else dataset
        config = EncoderConfig(dataset.leads, dataset.sampling_rate, dataset.n_samples)
    else:
        tested = np.arange(len(dataset)) if n_folds else dataset.rows("test")
        check_leakage(data.checkpoint, dataset, tested, data.allow_test_records)
        encoder, history = load_with_history(data.checkpoint)
        loaded, dataset = match(encoder, dataset, data.leads, data.allow_mismatch)
        origin = EncoderOrigin(checkpoint_name(data.checkpoint), history)
        config = loaded.config
    if n_folds:
        fold_of = patient_folds(dataset.patients, targets, n_folds, data.split_seed)
        folds = tuple(_fold(fold_of, fold, n_folds, settings.needs_val) for fold in range(n_folds))
    else:
        folds = (_own_splits(dataset),)
    return Task(dataset, targets, config, loaded, origin, folds, device)


def rival_of(settings: ClassifySettings) -> Rival | None:
    """Return the rival whose features are probed; fine-tuning has none."""
    return settings.rival if isinstance(settings, ProbeSettings) else None


def has_encoder(settings: ClassifySettings) -> bool:
    """Whether features come from an encoder, and not from a rival alone."""
    alone = isinstance(settings, ProbeSettings) and settings.rival is not None and not settings.random_encoder
    return settings.task.checkpoint is not None or not alone


def describe_origin(settings: ClassifySettings, task: Task, seed: int) -> EncoderOrigin:
    """Return where the features come from: a checkpoint, random weights, a rival, or a rival beside one of these."""
    origin = task.origin or EncoderOrigin(None, {"method": "random", "seed": seed})
    rival = rival_of(settings)
    if rival is None:
        return origin
    method = origin.history.get("method") or origin.checkpoint
    return EncoderOrigin(
        origin.checkpoint,
        origin.history | {"method": f"{method} + {rival}"} if has_encoder(settings) else {"method": rival},
    )


def stated_settings(settings: ClassifySettings, task: Task) -> dict[str, Any]:
    """Return what the results of a single trial state of its settings and data."""
    values, names = to_dict(settings), names_affecting(type(settings), Affects.RESULT, Affects.TRIAL)
    return {
        "kind": settings.kind,
        "settings": {name: value for name, value in values.items() if name in names},
        "data": {"hash": task.dataset.hash},
        "weights_hash": task.weights_hash,
    }


def describe_task(settings: ClassifySettings, task: Task) -> str:
    """Describe in a line what is trained on which records, where, and which settings are not the defaults.

    A second line says that others compute there, where they do. Records are those of the first trial. Raises LfbtError
    as `Task.rows` does.
    """
    dataset = task.dataset
    rows = task.rows(0, settings.trials.fraction[0], settings.trials.seeds[0])
    records = ", ".join(f"{len(rows[split])} {split}" for split in SPLITS)
    if len(task.folds) > 1:
        records = f"{len(dataset)} in {len(task.folds)} folds"
    if isinstance(settings, ProbeSettings):
        n_inputs = len(task.config.leads) * task.config.columns_per_lead(feature_map(settings.features))
        frozen = [f"{n_inputs} frozen features a record"] if has_encoder(settings) else []
        beside = [] if settings.rival is None else [f"features of {settings.rival}"]
        fitted = f"{_CLASSIFIERS[settings.fitting.classifier]} on {' and '.join(frozen + beside)}"
    else:
        fitted = f"encoder and linear layer, {format_count(settings.training.epochs, 'epoch')}"
    defaults = type(settings).create(settings.task.data_dir, settings.trials.run_dir)
    changes = describe_changes(settings, defaults)
    line = (
        f"records: {records}; {format_count(len(task.config.leads), 'lead')}, "
        f"{format_count(len(dataset.classes), 'class', 'classes')}; {fitted}; {describe_device(task.device)}"
        f"{f'; unlike the defaults {changes}' if changes else ''}"
    )
    hint = load_hint(task.device)
    return line if hint is None else f"{line}\n{hint}"


def _own_splits(dataset: Dataset) -> Rows:
    rows = {split: dataset.rows(split) for split in SPLITS}
    for split, chosen in rows.items():
        if not len(chosen):
            raise LfbtError(
                f"{dataset.folder}: split {split} has no records; prepare the data set with all three splits, or "
                "cross-validate with --folds"
            )
    return rows


def _fold(fold_of: NDArray[np.int64], fold: int, n_folds: int, needs_val: bool) -> Rows:
    """The rows of one fold: those dealt to it are the test."""
    val = (fold + 1) % n_folds if needs_val else -1
    where = {"train": (fold_of != fold) & (fold_of != val), "val": fold_of == val, "test": fold_of == fold}
    return {split: np.flatnonzero(chosen) for split, chosen in where.items()}
