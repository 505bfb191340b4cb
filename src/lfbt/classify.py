"""What the linear probe and fine-tuning share: settings, the task at hand, the linear head, and the results."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import lfbt
from lfbt.dataset import DataSet, open_dataset
from lfbt.encoder import EncoderConfig, LeadEncoders, random_encoder, seeded
from lfbt.metrics import evaluate
from lfbt.output import HISTORY, new_folder, read_json, refuse_occupied, write_json
from lfbt.recording import LfbtError, check_range
from lfbt.runfolder import ENCODER_FOLDER, RESULTS
from lfbt.splits import SPLITS, stratified_fraction
from lfbt.weights import (
    load_encoder,
    load_history,
    load_state,
    load_tensors,
    match,
    save_encoder,
    save_tensors,
)

PREDICTIONS = "predictions.csv"
HEAD = "head"


@dataclasses.dataclass(frozen=True)
class ClassifySettings:
    """What every training of a classifier needs to be told."""

    data_dir: Path
    """Labelled data set: a packed one, or class folders of .npy files."""
    run_dir: Path
    """New folder for the results."""
    checkpoint: Path | None = None
    """Encoder to start from: a run folder, an encoder folder, or a .pth file of the authors."""
    leads: tuple[str, ...] = ()
    """Use the encoders of these leads only, by name, comma-separated."""
    allow_mismatch: bool = False
    """Use a data set although its leads, sampling rate or samples are not the encoder's."""
    num_classes: int | None = None
    """How many classes the data set must have, if it is to be checked."""
    fraction: float = 1.0
    """Part of the training records whose labels are used, stratified and seeded."""
    epochs: int = 100
    """Passes over the training records; the one with the lowest validation loss is kept."""
    batch_size: int = 128
    """Records of a batch, at most."""
    learning_rate: float = 1e-3
    """Adam's rate, constant."""
    seed: int = 0
    """Seed of weights, order and fraction."""
    split_seed: int = 0
    """Seed of the split of class folders without split folders."""
    device: str = "auto"
    """auto, cpu or cuda."""
    workers: int = 2
    """Threads that read batches ahead."""


@dataclasses.dataclass(frozen=True)
class Task:
    """An encoder and labelled records that fit it: class numbers and rows of each split."""

    encoder: LeadEncoders
    dataset: DataSet
    targets: NDArray[np.int64]
    rows: dict[str, NDArray[np.int64]]
    device: torch.device

    def targets_of(self, split: str) -> Tensor:
        """The class numbers of a split on the device ``[records]``."""
        return torch.from_numpy(self.targets[self.rows[split]]).to(self.device)


def open_task(settings: ClassifySettings, random_start: bool, device: torch.device) -> Task:
    """The task that `settings` describe, its encoder on `device`.

    `random_start` draws the weights of an encoder of the paper's width and normalisation instead of loading one.

    Raises LfbtError for settings out of range, an occupied run folder, a data set or checkpoint that is none, labels
    that do not fit, and an empty split.
    """
    check_range("epochs", settings.epochs, "[1, inf)")
    check_range("batch-size", settings.batch_size, "[2, inf)")
    check_range("learning-rate", settings.learning_rate, "(0, 1000]")
    check_range("seed", settings.seed, "[0, inf)")
    check_range("workers", settings.workers, "[0, inf)")
    if random_start == (settings.checkpoint is not None):
        raise LfbtError(
            "checkpoint: give either --checkpoint, or --random-encoder (probe) or --from-scratch (finetune)"
        )
    refuse_occupied(settings.run_dir)
    dataset = open_dataset(settings.data_dir, settings.split_seed)
    targets = dataset.targets()
    if settings.num_classes is not None and settings.num_classes != len(dataset.classes):
        raise LfbtError(
            f"num-classes: {settings.num_classes} contradicts the {len(dataset.classes)} classes of "
            f"{settings.data_dir}: {', '.join(dataset.classes)}"
        )
    if settings.checkpoint is None:
        dataset = dataset.select_leads(settings.leads) if settings.leads else dataset
        config = EncoderConfig(dataset.leads, dataset.sampling_rate, dataset.n_samples)
        encoder = random_encoder(config, settings.seed)
    else:
        encoder = load_encoder(settings.checkpoint)
        encoder, dataset = match(encoder, dataset, settings.leads, settings.allow_mismatch)
    rows = {split: dataset.rows(split) for split in SPLITS}
    for split, chosen in rows.items():
        if not len(chosen):
            raise LfbtError(
                f"{settings.data_dir}: split {split} has no records; prepare the data set with all three splits"
            )
    rows["train"] = rows["train"][stratified_fraction(targets[rows["train"]], settings.fraction, settings.seed)]
    if len(np.unique(targets[rows["train"]])) < 2:
        only = dataset.classes[targets[rows["train"]][0]]
        raise LfbtError(
            f"{settings.data_dir}: the training records are all of class {only}; a classifier needs two classes"
        )
    return Task(encoder.to(device), dataset, targets, rows, device)


class Head(nn.Module):
    """The linear classifier: embeddings ``[records, leads × 64]`` → logits ``[records, classes]``.

    Embeddings are standardised first with `mean` and `std`, which are 0 and 1 unless `standardise` sets them.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, n_inputs: int, n_classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(n_inputs, n_classes)
        self.register_buffer("mean", torch.zeros(n_inputs))
        self.register_buffer("std", torch.ones(n_inputs))

    def standardise(self, embeddings: Tensor) -> None:
        """Take mean and standard deviation of the training embeddings; a constant feature is only centred."""
        self.mean = embeddings.mean(dim=0)
        std = embeddings.std(dim=0, correction=0)
        self.std = torch.where(std > 0, std, torch.ones_like(std))

    def standardised(self, embeddings: Tensor) -> Tensor:
        """What the linear layer takes."""
        return (embeddings - self.mean) / self.std

    def forward(self, embeddings: Tensor) -> Tensor:
        """Logits ``[records, classes]``."""
        logits: Tensor = self.linear(self.standardised(embeddings))
        return logits


def new_head(task: Task, seed: int) -> Head:
    """An untrained head for `task`, drawn from `seed`."""
    config = task.encoder.config
    with seeded(seed):
        return Head(len(config.leads) * config.n_features, len(task.dataset.classes)).to(task.device)


def save_head(folder: Path, head: Head, classes: Sequence[str]) -> None:
    """Write a head and the names of its classes in column order."""
    folder.mkdir(parents=True, exist_ok=True)
    save_tensors(folder / "model.safetensors", head.state_dict())
    content = {"lfbt_version": lfbt.__version__, "classes": list(classes), "n_inputs": head.linear.in_features}
    write_json(folder / "config.json", content)


def load_head(folder: Path) -> tuple[Head, tuple[str, ...]]:
    """The head in `folder` and its classes. Raises LfbtError when it is not whole."""
    content = read_json(folder / "config.json")
    try:
        classes = tuple(content["classes"])
        head = Head(int(content["n_inputs"]), len(classes))
    except (KeyError, TypeError, ValueError) as error:
        raise LfbtError(f"{folder}: does not describe a classifier ({type(error).__name__}: {error})") from error
    load_state(head, load_tensors(folder / "model.safetensors"), folder / "model.safetensors")
    return head.eval(), classes


@dataclasses.dataclass(frozen=True)
class Fitted:
    """A trained classifier: logits ``[records, classes]`` of the scored splits, and how it came to be."""

    head: Head
    logits: dict[str, Tensor]
    history: list[dict[str, float]]
    best_epoch: int


def encoder_start(checkpoint: Path | None, seed: int) -> dict[str, Any]:
    """Where an encoder came from: the checkpoint's name and history, or the seed of random weights."""
    if checkpoint is None:
        return {"checkpoint": None, "history": {"method": "random", "seed": seed}}
    return {"checkpoint": checkpoint.resolve().name, "history": load_history(checkpoint)}


def write_results(
    kind: str, settings: ClassifySettings, task: Task, fitted: Fitted, arrays: Mapping[str, NDArray[Any]] | None = None
) -> dict[str, Any]:
    """Score validation and test once each and write the run folder, whole or not at all; returns the results.

    The folder holds ``results.json``, ``predictions.csv`` (test records), ``history.jsonl``, ``splits.csv``, the
    encoder and the head, and each of `arrays` as ``.npy``.
    """
    import pandas as pd

    dataset, classes = task.dataset, task.dataset.classes
    probabilities = {split: logits.softmax(dim=1).cpu().numpy() for split, logits in fitted.logits.items()}
    scores = {split: evaluate(p, task.targets[task.rows[split]], classes) for split, p in probabilities.items()}
    counts = {
        split: {name: int((task.targets[rows] == k).sum()) for k, name in enumerate(classes)}
        for split, rows in task.rows.items()
    }
    start = encoder_start(settings.checkpoint, settings.seed)
    results = {
        "kind": kind,
        "lfbt_version": lfbt.__version__,
        "synthetic": dataset.synthetic,
        "data": {
            "folder": dataset.folder.name,
            "hash": dataset.hash,
            "names_assumed": dataset.names_assumed,
            "classes": list(classes),
            "counts": counts,
        },
        "leads": list(task.encoder.config.leads),
        "encoder": start,
        "settings": dataclasses.asdict(settings),
        "best_epoch": fitted.best_epoch,
        "val_loss": fitted.history[fitted.best_epoch - 1]["val_loss"],
        **scores,
    }
    rows = task.rows["test"]
    predictions = pd.DataFrame(probabilities["test"], columns=[f"p_{name}" for name in classes])
    predictions.insert(0, "id", [dataset.ids[row] for row in rows])
    predictions.insert(1, "patient", [dataset.patients[row] for row in rows])
    predictions.insert(2, "label", [classes[k] for k in task.targets[rows]])
    used = [(dataset.ids[row], split) for split, chosen in task.rows.items() for row in chosen]
    with new_folder(settings.run_dir) as folder:
        for name, array in (arrays or {}).items():
            np.save(folder / f"{name}.npy", array)
        predictions.to_csv(folder / PREDICTIONS, index=False)
        pd.DataFrame(used, columns=["id", "split"]).to_csv(folder / "splits.csv", index=False)
        (folder / HISTORY).write_text("".join(json.dumps(line) + "\n" for line in fitted.history), encoding="utf-8")
        save_encoder(folder / ENCODER_FOLDER, task.encoder, {"kind": kind, "start": start})
        save_head(folder / HEAD, fitted.head, classes)
        write_json(folder / RESULTS, results)
    return results
