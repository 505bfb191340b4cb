"""The linear probe: a linear classifier on the features of a frozen encoder."""

from __future__ import annotations

import copy
import dataclasses
import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lfbt.batches import INFERENCE_BATCH, epoch_batches, read_ahead
from lfbt.classify import ClassifySettings, Fitted, Head, Task, new_head, open_task, write_results
from lfbt.encoder import estimate_batch_norm, resolve_device
from lfbt.features import compute_embeddings
from lfbt.recording import LfbtError
from lfbt.splits import SPLITS


@dataclasses.dataclass(frozen=True)
class ProbeSettings(ClassifySettings):
    """How a frozen encoder is probed. Defaults are the paper's."""

    random_encoder: bool = False
    """Probe a random encoder, its batch-norm statistics estimated on the training records: the baseline."""
    standardise: bool = False
    """Standardise every feature by its mean and standard deviation over the training records."""


def probe(settings: ProbeSettings) -> dict[str, Any]:
    """Compute features once, fit a linear classifier, and write and return its results.

    The epoch with the lowest validation loss is kept, and the test records are scored once, with it. The run folder
    holds the features ``X_{train,val,test}.npy`` ``[records, leads × 64]`` and classes ``y_*.npy`` besides what
    `write_results` writes. Raises LfbtError as `open_task` does.
    """
    task = open_task(settings, settings.random_encoder, resolve_device(settings.device))
    if settings.random_encoder:
        # In an order by chance: in class folders a batch would be of one class.
        batches = epoch_batches(task.rows["train"], INFERENCE_BATCH, settings.seed, 0)
        normalisation = task.encoder.config.normalisation
        estimate_batch_norm(
            task.encoder, read_ahead(task.dataset, batches, normalisation, task.device, settings.workers)
        )
    embeddings = {
        split: compute_embeddings(task.encoder, task.dataset, task.rows[split], task.device, settings.workers, split)
        for split in SPLITS
    }
    fitted = fit_head(task, embeddings, settings)
    arrays = {f"X_{split}": x.cpu().numpy() for split, x in embeddings.items()}
    arrays |= {f"y_{split}": task.targets[task.rows[split]] for split in SPLITS}
    return write_results("probe", settings, task, fitted, arrays)


def fit_head(task: Task, embeddings: dict[str, Tensor], settings: ProbeSettings) -> Fitted:
    """Fit a linear head on the training embeddings with Adam; keep the epoch with the lowest validation loss."""
    head = new_head(task, settings.seed)
    if settings.standardise:
        head.standardise(embeddings["train"])
    optimizer = torch.optim.Adam(head.parameters(), lr=settings.learning_rate, fused=True)
    inputs = {split: head.standardised(embeddings[split]) for split in ("train", "val")}
    train, val = task.targets_of("train"), task.targets_of("val")
    positions = torch.arange(len(train)).numpy()
    history: list[dict[str, float]] = []
    best: Head = head
    for epoch in range(settings.epochs):
        losses = torch.zeros((), device=task.device)
        for batch in epoch_batches(positions, settings.batch_size, settings.seed, epoch):
            chosen = torch.from_numpy(batch).to(task.device)
            loss = F.cross_entropy(head.linear(inputs["train"][chosen]), train[chosen])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            losses += loss.detach() * len(batch)
        with torch.no_grad():
            val_loss = F.cross_entropy(head.linear(inputs["val"]), val).item()
        if not math.isfinite(val_loss):
            raise LfbtError(f"epoch {epoch + 1}: the loss is not finite; try a lower --learning-rate")
        if not history or val_loss < min(line["val_loss"] for line in history):
            best = copy.deepcopy(head)
            best_epoch = epoch + 1
        history.append({"epoch": epoch + 1, "train_loss": losses.item() / len(train), "val_loss": val_loss})
    with torch.no_grad():
        logits = {split: best(embeddings[split]) for split in ("val", "test")}
    return Fitted(best, logits, history, best_epoch)
