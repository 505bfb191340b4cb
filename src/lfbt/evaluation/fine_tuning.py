"""Fine-tuning: encoder and linear classifier trained together, from pretrained or from random weights."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lfbt.data.loader import epoch_batches, prefetch_batches, sequential_batches
from lfbt.evaluation.classification import ClassifySettings, Rows, Task, new_head, open_task
from lfbt.evaluation.trials import (
    Fitted,
    Trial,
    finished,
    list_trials,
    results_of,
    series_folder,
    write_results,
    write_series,
)
from lfbt.models.encoder import LeadEncoders
from lfbt.models.heads import Head
from lfbt.training.distributed import MixedPrecision, World, check_shard_sizes, init_distributed, select_device
from lfbt.training.settings import BatchNorm, Precision
from lfbt.utils.collectives import all_gather_rows, all_reduce_sum, broadcast_buffers
from lfbt.utils.progress import progress_bar
from lfbt.utils.validation import check_range


@dataclasses.dataclass(frozen=True)
class FinetuneSettings(ClassifySettings):
    """How an encoder is fine-tuned. Defaults are the paper's."""

    batch_size: int = 128
    """Records of a batch over all processes, at most."""
    learning_rate: float = 1e-4
    """Adam's rate, constant."""
    from_scratch: bool = False
    """Start from random weights instead of a checkpoint: the paper's baseline."""
    precision: Precision = "fp32"
    """fp32, or bf16 or fp16 for the products of matrices in training; scores are computed in fp32."""
    batch_norm: BatchNorm = "global"
    """With several processes: statistics of the whole batch, or of each process's part of it."""


def finetune(settings: FinetuneSettings) -> list[dict[str, Any]]:
    """Train encoder and classifier together for every trial, and write and return their results.

    The epoch with the lowest validation loss is kept, and the test records are scored once, with it. Where several
    processes share the work, the main one writes, and the others return nothing. Raises LfbtError as `open_task` does,
    and for a loss that is not finite.
    """
    check_range("learning-rate", settings.learning_rate, "(0, 1000]")
    kind = "scratch" if settings.from_scratch else "finetune"
    with init_distributed(select_device(settings.device)) as world, contextlib.ExitStack() as held:
        trials = world.run_on_all(lambda: list_trials(settings))
        task = world.run_on_all(lambda: _open(settings, world))
        values = dataclasses.asdict(settings) | {"data_hash": task.dataset.hash, "kind of device": task.device.type}
        own = ("data_dir", "run_dir", "checkpoint", "device", "workers")
        world.check_same({name: value for name, value in values.items() if name not in own})
        series = series_folder(kind, settings, task, trials)
        world.run_on_all(lambda: held.enter_context(series) if world.is_main else None)
        done = world.broadcast_object([finished(trial) for trial in trials])
        for trial, is_done in zip(trials, done, strict=True):
            if not is_done:
                _run(kind, settings, task, trial, world)
        if world.is_main:
            write_series(settings.run_dir, trials)
    return [results_of(trial) for trial in trials] if world.is_main else []


class _Classifier(nn.Module):
    """Signals ``[B, leads, samples]`` → logits ``[B, classes]``."""

    def __init__(self, encoder: LeadEncoders, head: Head) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head

    def forward(self, signals: Tensor) -> Tensor:
        logits: Tensor = self.head(self.encoder(signals).flatten(1))
        return logits


def _open(settings: FinetuneSettings, world: World) -> Task:
    task = open_task(settings, settings.from_scratch, world.device)
    MixedPrecision(settings.precision, world.device)  # refused before any work
    for fraction in settings.fraction:
        for seed in settings.seeds:
            for fold in range(len(task.folds)):
                train = task.rows(fold, fraction, seed)["train"]
                sizes = [len(batch) for batch in epoch_batches(train, settings.batch_size, seed, 0)]
                check_shard_sizes(sizes, world, settings.batch_norm)
    return task


def _run(kind: str, settings: FinetuneSettings, task: Task, trial: Trial, world: World) -> None:
    """Train and score one trial; the main process writes its folder."""
    folds = []
    for fold in range(len(task.folds)):
        sync_batch_norm = world.size > 1 and settings.batch_norm == "global"
        encoder = task.encoder(trial.seed).with_options(sync_batch_norm=sync_batch_norm)
        rows = task.rows(fold, trial.fraction, trial.seed)
        what = kind if len(task.folds) == 1 else f"{kind}, fold {fold + 1}/{len(task.folds)}"
        folds.append(_fit(task, encoder, rows, settings, trial.seed, world, what))
    world.run_on_all(lambda: write_results(kind, settings, task, trial, folds, encoder) if world.is_main else None)


def _fit(
    task: Task, encoder: LeadEncoders, rows: Rows, settings: FinetuneSettings, seed: int, world: World, what: str
) -> Fitted:
    """Train `encoder` in place, together with a new head; it ends as in the kept epoch."""
    config = encoder.config
    classifier = _Classifier(encoder, new_head(task, len(config.leads) * config.n_features, seed))
    optimizer = torch.optim.Adam(classifier.parameters(), lr=settings.learning_rate, fused=True)
    model, precision = world.parallelise(classifier), MixedPrecision(settings.precision, world.device)
    targets = task.loss_targets(np.arange(len(task.dataset)))
    val_targets = task.loss_targets(rows["val"])
    n_steps = len(epoch_batches(rows["train"], settings.batch_size, seed, 0)) * settings.epochs
    history: list[dict[str, float]] = []
    with progress_bar(n_steps, what, world.is_main) as bar:
        for epoch in range(settings.epochs):
            batches = epoch_batches(rows["train"], settings.batch_size, seed, epoch)
            shares = [world.shard(batch) for batch in batches]
            losses = torch.zeros((), device=task.device)
            model.train()
            signals_of = prefetch_batches(task.dataset, shares, config.normalisation, task.device, settings.workers)
            for batch, share, signals in zip(batches, shares, signals_of, strict=True):
                loss = task.loss(precision.forward(model, signals), targets[torch.from_numpy(share)])
                optimizer.zero_grad(set_to_none=True)
                # The mean of the processes' gradients is that of the whole batch then.
                precision.step(loss * (len(share) * world.size / len(batch)), optimizer)
                losses += loss.detach() * len(share)
                bar.advance()
            if world.size > 1:
                all_reduce_sum(losses)
                broadcast_buffers(classifier)
            train_loss = losses.item() / len(rows["train"])
            val_loss = task.loss(_logits(task, classifier, rows["val"], settings.workers, world), val_targets).item()
            if not np.isfinite(train_loss) or not np.isfinite(val_loss):
                raise world.error(f"epoch {epoch + 1}: the loss is not finite; try a lower --learning-rate")
            if not history or val_loss < min(line["val_loss"] for line in history):
                best, best_epoch = copy.deepcopy(classifier.state_dict()), epoch + 1
            history.append({"epoch": epoch + 1, "train_loss": train_loss, "val_loss": val_loss})
            bar.write(
                f"epoch {epoch + 1}/{settings.epochs}  train loss {train_loss:.4f}  validation loss {val_loss:.4f}"
            )
    classifier.load_state_dict(best)
    probabilities = {
        split: classifier.head.probabilities(_logits(task, classifier, rows[split], settings.workers, world))
        for split in ("val", "test")
    }
    lowest = history[best_epoch - 1]["val_loss"]
    return Fitted(rows, probabilities, history, {"epoch": best_epoch}, lowest, classifier.head)


@torch.no_grad()
def _logits(task: Task, classifier: _Classifier, rows: NDArray[np.int64], workers: int, world: World) -> Tensor:
    """Logits ``[records, classes]`` of `rows`, the encoder in evaluation mode; each process has computed its part."""
    classifier.eval()
    batches = sequential_batches(world.shard(rows))
    signals_of = prefetch_batches(task.dataset, batches, classifier.encoder.config.normalisation, task.device, workers)
    parts = [classifier.head(classifier.encoder(signals).flatten(1)) for signals in signals_of]
    logits = torch.cat(parts) if parts else torch.zeros(0, len(task.dataset.classes), device=task.device)
    sizes = world.shard_sizes(len(rows))
    return logits if sizes is None else all_gather_rows(logits, sizes)
