"""Fine-tuning: encoder and linear classifier trained together, from pretrained or from random weights."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from lfbt.batches import epoch_batches, in_order, read_ahead
from lfbt.classify import ClassifySettings, Fitted, Head, Task, new_head, open_task, write_results
from lfbt.output import progress_bar
from lfbt.recording import LfbtError


@dataclasses.dataclass(frozen=True)
class FinetuneSettings(ClassifySettings):
    """How an encoder is fine-tuned. Defaults are the paper's."""

    learning_rate: float = 1e-4
    """Adam's rate, constant."""
    from_scratch: bool = False
    """Start from random weights instead of a checkpoint: the paper's baseline."""


def finetune(settings: FinetuneSettings) -> dict[str, Any]:
    """Train encoder and classifier together, and write and return the results.

    The epoch with the lowest validation loss is kept, and the test records are scored once, with it. Raises LfbtError
    as `open_task` does, and for a loss that is not finite.
    """
    task = open_task(settings, random_start=settings.from_scratch)
    fitted = _fit(task, settings)
    return write_results("scratch" if settings.from_scratch else "finetune", settings, task, fitted)


def _fit(task: Task, settings: FinetuneSettings) -> Fitted:
    """Train the encoder of `task` in place, together with a new head; both end as in the kept epoch."""
    encoder, head = task.encoder, new_head(task, settings.seed)
    optimizer = torch.optim.Adam([*encoder.parameters(), *head.parameters()], lr=settings.learning_rate, fused=True)
    normalisation = encoder.config.normalisation
    targets = torch.from_numpy(task.targets).to(task.device)
    val_targets = task.targets_of("val")
    train_rows = task.rows["train"]
    n_steps = len(epoch_batches(train_rows, settings.batch_size, settings.seed, 0)) * settings.epochs
    history: list[dict[str, float]] = []
    with progress_bar(n_steps, "finetune") as bar:
        for epoch in range(settings.epochs):
            batches = epoch_batches(train_rows, settings.batch_size, settings.seed, epoch)
            losses = torch.zeros((), device=task.device)
            encoder.train()
            signals_of = read_ahead(task.dataset, batches, normalisation, task.device, settings.workers)
            for batch, signals in zip(batches, signals_of, strict=True):
                loss = F.cross_entropy(head(encoder(signals).flatten(1)), targets[torch.from_numpy(batch)])
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                losses += loss.detach() * len(batch)
                bar.advance()
            train_loss = losses.item() / len(train_rows)
            val_loss = F.cross_entropy(_logits(task, head, task.rows["val"], settings.workers), val_targets).item()
            if not np.isfinite(train_loss) or not np.isfinite(val_loss):
                raise LfbtError(f"epoch {epoch + 1}: the loss is not finite; try a lower --learning-rate")
            if not history or val_loss < min(line["val_loss"] for line in history):
                best, best_epoch = copy.deepcopy((encoder.state_dict(), head.state_dict())), epoch + 1
            history.append({"epoch": epoch + 1, "train_loss": train_loss, "val_loss": val_loss})
            bar.say(f"epoch {epoch + 1}/{settings.epochs}  train loss {train_loss:.4f}  validation loss {val_loss:.4f}")
    encoder.load_state_dict(best[0])
    head.load_state_dict(best[1])
    logits = {split: _logits(task, head, task.rows[split], settings.workers) for split in ("val", "test")}
    return Fitted(head, logits, history, best_epoch)


@torch.no_grad()
def _logits(task: Task, head: Head, rows: NDArray[np.int64], workers: int) -> torch.Tensor:
    """Logits ``[records, classes]`` of `rows`, the encoder in evaluation mode."""
    task.encoder.eval()
    batches = in_order(rows)
    signals_of = read_ahead(task.dataset, batches, task.encoder.config.normalisation, task.device, workers)
    return torch.cat([head(task.encoder(signals).flatten(1)) for signals in signals_of])
