"""What probe and fine-tuning share: settings, the task at hand, its trials, and the linear head."""

from __future__ import annotations

import copy
import dataclasses
import functools
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from lfbt.audit.leakage import check_leakage
from lfbt.data.dataset import Dataset, open_dataset
from lfbt.data.splits import patient_folds, stratified_fraction
from lfbt.errors import LfbtError
from lfbt.models.encoder import EncoderConfig, LeadEncoders, random_encoder
from lfbt.models.heads import Head
from lfbt.models.pretrained import load_encoder, match
from lfbt.sources.listing import SPLITS
from lfbt.utils.tensors import seeded
from lfbt.utils.validation import check_range


@dataclasses.dataclass(frozen=True)
class ClassifySettings:
    """What every training of a classifier needs to be told."""

    data_dir: Path
    """Labelled data set: a packed one, or class folders of .npy files."""
    run_dir: Path
    """New folder for the results; with several fractions, seeds or lead subsets each has a folder in it."""
    checkpoint: Path | None = None
    """Encoder to start from: a run folder, an encoder folder, or a .pth file of the authors."""
    leads: tuple[str, ...] = ()
    """Use the encoders of these leads only, by name, comma-separated."""
    allow_mismatch: bool = False
    """Use a data set although its leads, sampling rate or samples are not the encoder's."""
    allow_test_records: bool = False
    """Score an encoder on test records that it was pretrained on."""
    num_classes: int | None = None
    """How many classes the data set must have, if it is to be checked."""
    fraction: tuple[float, ...] = (1.0,)
    """Parts of the training patients whose labels are used, stratified, seeded, a smaller one within a larger."""
    seeds: tuple[int, ...] = (0,)
    """Seeds of weights, order and fraction: each is a trial of its own."""
    folds: int = 0
    """Cross-validate all records in so many patient-disjoint folds instead of the data set's splits; 0 does not."""
    epochs: int = 100
    """Passes over the training records; the one with the lowest validation loss is kept."""
    batch_size: int = 128
    """Records of a batch, at most."""
    split_seed: int = 0
    """Seed of the folds, and of the split of class folders without split folders."""
    device: str = "auto"
    """auto, cpu or cuda."""
    workers: int = 2
    """Threads that read batches ahead."""
    resume: bool = False
    """Go on with several trials in the run folder: those that are there already stay as they are."""


#: The rows of a data set that are train, val and test. Validation may be empty where nothing is chosen on it.
Rows = dict[str, NDArray[np.int64]]


@dataclasses.dataclass(frozen=True)
class Task:
    """Labelled records, an encoder that fits them or the form of a random one, and the splits to score on.

    targets: ``[records, classes]``; loaded: None where encoders are random; folds: one for the data set's own splits.
    """

    dataset: Dataset
    targets: NDArray[np.bool_]
    config: EncoderConfig
    loaded: LeadEncoders | None
    folds: tuple[Rows, ...]
    device: torch.device

    @functools.cached_property
    def exclusive(self) -> bool:
        """Whether a record has one class; otherwise it may have several, each a task of its own (multi-label)."""
        return self.dataset.exclusive

    def encoder(self, seed: int) -> LeadEncoders:
        """The encoder to begin with, on the device: the checkpoint's, or one drawn from `seed`."""
        encoder = random_encoder(self.config, seed) if self.loaded is None else copy.deepcopy(self.loaded)
        return encoder.to(self.device)

    def rows(self, fold: int, fraction: float, seed: int) -> Rows:
        """The rows of a fold, of the training ones a stratified fraction."""
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

    def loss_targets(self, rows: NDArray[np.int64]) -> Tensor:
        """What `loss` takes of `rows`, on the device: class numbers; in a multi-label task ``[records, classes]``."""
        targets = self.targets[rows]
        if self.exclusive:
            return torch.from_numpy(targets.argmax(axis=1)).to(self.device)
        return torch.from_numpy(targets).to(self.device, torch.get_default_dtype())

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy; in a multi-label task binary cross-entropy, the mean over records and classes."""
        if self.exclusive:
            return F.cross_entropy(logits, targets)
        return F.binary_cross_entropy_with_logits(logits, targets)


def open_task(settings: ClassifySettings, random_start: bool, device: torch.device, needs_val: bool = True) -> Task:
    """The task that `settings` describe.

    `random_start` takes encoders of the paper's width and normalisation with random weights instead of a checkpoint's.
    Of the K folds one is the test, the next validation where that `needs_val`, the others training.

    Raises LfbtError for settings out of range, a data set or checkpoint that is none, labels that do not fit, an empty
    split, and test records that the encoder was pretrained on, unless told.
    """
    check_range("epochs", settings.epochs, "[1, inf)")
    check_range("batch-size", settings.batch_size, "[2, inf)")
    check_range("workers", settings.workers, "[0, inf)")
    for name, values in (("fraction", settings.fraction), ("seeds", settings.seeds)):
        if not values or len(set(values)) < len(values):
            raise LfbtError(f"{name}: {' '.join(map(str, values)) or 'none given'}; give one or more, each once")
    for seed in settings.seeds:
        check_range("seeds", seed, "[0, 4294967295]")
    for fraction in settings.fraction:
        check_range("fraction", fraction, "(0, 1]")
    if random_start == (settings.checkpoint is not None):
        raise LfbtError(
            "checkpoint: give either --checkpoint, or --random-encoder (probe) or --from-scratch (finetune)"
        )
    dataset = open_dataset(settings.data_dir, settings.split_seed)
    targets = dataset.targets()
    if settings.num_classes is not None and settings.num_classes != len(dataset.classes):
        raise LfbtError(
            f"num-classes: {settings.num_classes} contradicts the {len(dataset.classes)} classes of "
            f"{settings.data_dir}: {', '.join(dataset.classes)}"
        )
    loaded = None
    if settings.checkpoint is None:
        dataset = dataset.select_leads(settings.leads) if settings.leads else dataset
        config = EncoderConfig(dataset.leads, dataset.sampling_rate, dataset.n_samples)
    else:
        tested = np.arange(len(dataset)) if settings.folds else dataset.rows("test")
        check_leakage(settings.checkpoint, dataset, tested, settings.allow_test_records)
        loaded = load_encoder(settings.checkpoint)
        loaded, dataset = match(loaded, dataset, settings.leads, settings.allow_mismatch)
        config = loaded.config
    folds = _folds(dataset, targets, settings, needs_val) if settings.folds else (_own_splits(dataset),)
    return Task(dataset, targets, config, loaded, folds, device)


def _own_splits(dataset: Dataset) -> Rows:
    rows = {split: dataset.rows(split) for split in SPLITS}
    for split, chosen in rows.items():
        if not len(chosen):
            raise LfbtError(
                f"{dataset.folder}: split {split} has no records; prepare the data set with all three splits, or "
                "cross-validate with --folds"
            )
    return rows


def _folds(
    dataset: Dataset, targets: NDArray[np.bool_], settings: ClassifySettings, needs_val: bool
) -> tuple[Rows, ...]:
    check_range("folds", settings.folds, "[3, inf)" if needs_val else "[2, inf)", "one is the test, one validation")
    fold_of = patient_folds(dataset.patients, targets, settings.folds, settings.split_seed)
    folds = []
    for fold in range(settings.folds):
        val = (fold + 1) % settings.folds if needs_val else -1
        where = {"train": (fold_of != fold) & (fold_of != val), "val": fold_of == val, "test": fold_of == fold}
        folds.append({split: np.flatnonzero(chosen) for split, chosen in where.items()})
    return tuple(folds)


def new_head(task: Task, n_inputs: int, seed: int) -> Head:
    """An untrained head for `task`, drawn from `seed`."""
    with seeded(seed):
        return Head(n_inputs, len(task.dataset.classes), task.exclusive).to(task.device)
