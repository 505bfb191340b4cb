"""Fine-tuning: encoder and linear classifier trained together, from pretrained or from random weights."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from lfbt.batches import epoch_batches, in_order, read_ahead
from lfbt.classify import ClassifySettings, Fitted, Head, Task, new_head, open_task, write_results
from lfbt.encoder import LeadEncoders
from lfbt.launch import BatchNorm, Launch, Precision, check_batch_norm, check_shares, launched, own_device
from lfbt.output import progress_bar
from lfbt.processes import all_gather_rows, all_reduce_sum


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


def finetune(settings: FinetuneSettings) -> dict[str, Any]:
    """Train encoder and classifier together, and write and return the results.

    The epoch with the lowest validation loss is kept, and the test records are scored once, with it. Where several
    processes share the work, the main one writes, and the others return nothing. Raises LfbtError as `open_task` does,
    and for a loss that is not finite.
    """
    check_batch_norm(settings.batch_norm)
    with launched(own_device(settings.device), settings.precision) as launch:
        task = launch.together(lambda: _open(settings, launch))
        launch.check_same(
            dataclasses.asdict(settings) | {"data_hash": task.dataset.hash, "kind of device": task.device.type}
        )
        fitted = _fit(task, settings, launch)
        kind = "scratch" if settings.from_scratch else "finetune"
        return launch.together(lambda: write_results(kind, settings, task, fitted) if launch.is_main else {})


class _Classifier(nn.Module):
    """Signals ``[B, leads, samples]`` → logits ``[B, classes]``."""

    def __init__(self, encoder: LeadEncoders, head: Head) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head

    def forward(self, signals: Tensor) -> Tensor:
        logits: Tensor = self.head(self.encoder(signals).flatten(1))
        return logits


def _open(settings: FinetuneSettings, launch: Launch) -> Task:
    task = open_task(settings, settings.from_scratch, launch.device)
    shared = launch.n_processes > 1 and settings.batch_norm == "global"
    sizes = [len(batch) for batch in epoch_batches(task.rows["train"], settings.batch_size, settings.seed, 0)]
    check_shares(sizes, launch.n_processes, least=1 if shared or launch.n_processes == 1 else 2)
    task.encoder.shared_statistics = shared
    return task


def _fit(task: Task, settings: FinetuneSettings, launch: Launch) -> Fitted:
    """Train the encoder of `task` in place, together with a new head; both end as in the kept epoch."""
    classifier = _Classifier(task.encoder, new_head(task, settings.seed))
    optimizer = torch.optim.Adam(classifier.parameters(), lr=settings.learning_rate, fused=True)
    model, optimizer = launch.accelerator.prepare(classifier, optimizer)
    normalisation = task.encoder.config.normalisation
    targets = torch.from_numpy(task.targets).to(task.device)
    val_targets = task.targets_of("val")
    train_rows = task.rows["train"]
    n_steps = len(epoch_batches(train_rows, settings.batch_size, settings.seed, 0)) * settings.epochs
    history: list[dict[str, float]] = []
    with progress_bar(n_steps, "finetune", launch.is_main) as bar:
        for epoch in range(settings.epochs):
            batches = epoch_batches(train_rows, settings.batch_size, settings.seed, epoch)
            shares = [launch.share(batch) for batch in batches]
            losses = torch.zeros((), device=task.device)
            model.train()
            signals_of = read_ahead(task.dataset, shares, normalisation, task.device, settings.workers)
            for batch, share, signals in zip(batches, shares, signals_of, strict=True):
                loss = F.cross_entropy(model(signals), targets[torch.from_numpy(share)])
                optimizer.zero_grad(set_to_none=True)
                # The mean of the processes' gradients is that of the whole batch then.
                launch.accelerator.backward(loss * (len(share) * launch.n_processes / len(batch)))
                optimizer.step()
                losses += loss.detach() * len(share)
                bar.advance()
            if launch.n_processes > 1:
                all_reduce_sum(losses)
            train_loss = losses.item() / len(train_rows)
            val_loss = F.cross_entropy(_logits(task, classifier, "val", settings.workers, launch), val_targets).item()
            if not np.isfinite(train_loss) or not np.isfinite(val_loss):
                raise launch.failure(f"epoch {epoch + 1}: the loss is not finite; try a lower --learning-rate")
            if not history or val_loss < min(line["val_loss"] for line in history):
                best, best_epoch = copy.deepcopy(classifier.state_dict()), epoch + 1
            history.append({"epoch": epoch + 1, "train_loss": train_loss, "val_loss": val_loss})
            bar.say(f"epoch {epoch + 1}/{settings.epochs}  train loss {train_loss:.4f}  validation loss {val_loss:.4f}")
    classifier.load_state_dict(best)
    logits = {split: _logits(task, classifier, split, settings.workers, launch) for split in ("val", "test")}
    return Fitted(classifier.head, logits, history, best_epoch)


@torch.no_grad()
def _logits(task: Task, classifier: _Classifier, split: str, workers: int, launch: Launch) -> Tensor:
    """Logits ``[records, classes]`` of a split, the encoder in evaluation mode; each process has computed its part."""
    classifier.eval()
    rows: NDArray[np.int64] = task.rows[split]
    batches = in_order(launch.share(rows))
    signals_of = read_ahead(task.dataset, batches, task.encoder.config.normalisation, task.device, workers)
    parts = [classifier.head(task.encoder(signals).flatten(1)) for signals in signals_of]
    logits = torch.cat(parts) if parts else torch.zeros(0, len(task.dataset.classes), device=task.device)
    sizes = launch.sizes(len(rows))
    return logits if sizes is None else all_gather_rows(logits, sizes)
