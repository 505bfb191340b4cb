"""A classifier on windows: trained, and the round kept that ranks the validation records best."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lfbt.data.loader import epoch_batches
from lfbt.errors import LfbtError
from lfbt.evaluation.bootstrap import class_areas
from lfbt.evaluation.classifiers import Fitted
from lfbt.models.heads import Head
from lfbt.protocols.settings import Protocol
from lfbt.protocols.tasks import LabelledTask
from lfbt.runs.history import FittingStep

_LEARNING_RATE = 1e-3
# Records at a time where no gradient is needed.
_RECORDS = 256


class WindowClassifier(nn.Module):
    """A pooler of a window's inputs, and the linear layer on what it returns.

    Parameters
    ----------
    pooler : nn.Module
        From inputs ``[..., tokens, features]`` to ``[..., columns]``, or `nn.Identity` for inputs ``[..., columns]``.
    head : Head
        The linear layer.
    """

    def __init__(self, pooler: nn.Module, head: Head) -> None:
        super().__init__()
        self.pooler = pooler
        self.head = head

    def forward(self, inputs: Tensor) -> Tensor:
        """Compute the logits ``[..., classes]`` of windows."""
        logits: Tensor = self.head(self.pooler(inputs))
        return logits

    @torch.no_grad()
    def classify(self, inputs: Tensor, protocol: Protocol) -> tuple[NDArray[np.floating[Any]], Tensor]:
        """Average over the windows of each record.

        Parameters
        ----------
        inputs : Tensor
            ``[records, windows, ...]``.
        protocol : Protocol
            What is averaged.

        Returns
        -------
        ndarray
            Probabilities ``[records, classes]``.
        Tensor
            Mean logits ``[records, classes]``.
        """
        logits = torch.cat([self(part) for part in inputs.split(_RECORDS)])
        mean = logits.mean(dim=1)
        if protocol.average == "logits":
            return self.head.probabilities(mean), mean
        of_windows = self.head.probabilities(logits.flatten(0, 1))
        return of_windows.reshape(logits.shape).mean(axis=1), mean


def fit(
    model: WindowClassifier,
    inputs: Tensor,
    task: LabelledTask,
    train: NDArray[np.int64],
    protocol: Protocol,
    rounds: int,
    seed: int,
) -> Fitted:
    """Train a classifier by AdamW, and keep the round with the highest macro AUROC of the validation records.

    Parameters
    ----------
    model : WindowClassifier
        Trained in place; on the device of `inputs`.
    inputs : Tensor
        Of all records of the data set ``[records, windows, ...]``.
    task : LabelledTask
        Classes and splits.
    train : ndarray of int
        The training rows whose labels are used.
    protocol : Protocol
        Batches, steps and weight decay.
    rounds : int
        How many times validation is asked.
    seed : int
        Of the order of records, and of the window that each gives to an epoch.

    Returns
    -------
    Fitted
        Probabilities of validation and test, a record a row.

    Raises
    ------
    LfbtError
        For a loss that is not finite.
    """
    y, head, device = model.head.encode_targets(task.targets), model.head, inputs.device
    optimizer = _optimizer(model, protocol)
    drawn = _batches(train, inputs.shape[1], protocol.batch_size, seed)
    n_steps = protocol.steps or -(-len(train) // protocol.batch_size)
    val = torch.from_numpy(task.rows["val"]).to(device)
    history: list[FittingStep] = []
    best, highest = model, -1.0
    for number in range(1, rounds + 1):
        losses = torch.zeros((), device=device)
        for rows, windows in itertools.islice(drawn, n_steps):
            picked = torch.from_numpy(rows).to(device)
            loss = head.loss(model(inputs[picked, torch.from_numpy(windows).to(device)]), y[picked])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            if protocol.clip is not None:
                nn.utils.clip_grad_norm_(model.parameters(), protocol.clip)
            optimizer.step()
            losses += loss.detach()
        probabilities, logits = model.classify(inputs[val], protocol)
        val_loss = head.loss(logits, y[val]).item()
        if not np.isfinite(val_loss):
            raise LfbtError(f"{task.name}: the loss of round {number} is not finite; try --standardise")
        auroc = macro_auroc(probabilities, task.targets[task.rows["val"]])
        if auroc > highest:
            best, highest, kept = copy.deepcopy(model), auroc, FittingStep(val_loss=val_loss, epoch=number)
        history.append(FittingStep(losses.item() / n_steps, val_loss, number))
    rows_of = {"train": train, "val": task.rows["val"], "test": task.rows["test"]}
    scored = {split: best.classify(inputs[torch.from_numpy(rows_of[split])], protocol)[0] for split in ("val", "test")}
    chosen: dict[str, int | float] = {"epoch": kept.epoch or 0, "val_auroc": highest}
    return Fitted(rows_of, scored, history, chosen, kept.val_loss)


def macro_auroc(probabilities: NDArray[np.floating[Any]], targets: NDArray[np.bool_]) -> float:
    """Average the AUROC over the classes with records on either side.

    >>> macro_auroc(np.array([[0.1, 0.5], [0.9, 0.5]]), np.array([[False, False], [True, False]]))
    1.0
    """
    areas = class_areas(probabilities, targets, np.ones((1, len(targets)), np.int32))["auroc"]
    return float(np.nanmean(areas))


def _optimizer(model: nn.Module, protocol: Protocol) -> torch.optim.Optimizer:
    """AdamW that decays weights, and neither biases nor the query."""
    weights = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in model.parameters() if parameter.ndim < 2]
    groups: list[dict[str, Any]] = [{"params": weights}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=_LEARNING_RATE, weight_decay=protocol.weight_decay)


def _batches(
    rows: NDArray[np.int64], n_windows: int, batch_size: int, seed: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Rows of batches and a window of each, epoch after epoch without an end."""
    for epoch in itertools.count():
        windows = np.random.default_rng((seed, epoch, 2))
        for batch in epoch_batches(rows, batch_size, seed, epoch):
            yield batch, windows.integers(n_windows, size=len(batch))
