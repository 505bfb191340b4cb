"""How good an encoder is while it learns, cheaply: the rank and spread of its features, and a closed-form probe."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lfbt.data.dataset import Dataset
from lfbt.data.layouts import open_dataset
from lfbt.errors import LfbtError
from lfbt.models.encoder import LeadEncoders
from lfbt.models.feature_maps import PAPER, FeatureMap
from lfbt.models.features import check_voltages_known, compute_embeddings
from lfbt.models.pretrained import match
from lfbt.training.records import TrainingRecords

# Records without labels that rank and spread are measured on.
_SAMPLE = 1024
# Of ridge regression's weights; the one with the lowest leave-one-out error on the training records is taken.
_PENALTIES = np.logspace(-1, 5, 7)

#: Before so many steps, the running statistics of the norms still remember what they were at first.
STEPS_BEFORE_QUALITY = 50

#: Below these features have collapsed: hardly any differs between records, or all lie along one line.
LEAST_SPREAD = 0.01
LEAST_RANK = 2.0


@dataclasses.dataclass(frozen=True)
class Quality:
    """What frozen features are worth.

    rank: RankMe, the number of directions that the embeddings fill; spread: of each lead, the features' standard
    deviation over records, relative to their size; auroc: macro AUROC of a ridge classifier on the validation records
    of a labelled data set, where there is one.
    """

    rank: float
    spread: dict[str, float]
    auroc: float | None = None

    def __str__(self) -> str:
        found = "" if self.auroc is None else f"validation AUROC {self.auroc:.4f}, "
        return f"{found}rank {self.rank:.1f}, least spread {min(self.spread.values()):.2f}"

    def collapse(self) -> str | None:
        """Describe what has collapsed, if something has."""
        flat = [lead for lead, value in self.spread.items() if value < LEAST_SPREAD]
        if flat:
            return f"the features of {', '.join(flat)} hardly differ between records"
        return f"the features fill {self.rank:.1f} directions only" if self.rank < LEAST_RANK else None


@dataclasses.dataclass(frozen=True)
class QualityMonitor:
    """Evaluates the encoder now and then while it learns.

    records: without labels, for rank and spread; labelled: a data set with the encoder's leads, or None; every: epochs
    between evaluations; features: what the labelled records are probed with.
    """

    records: TrainingRecords
    labelled: Dataset | None
    every: int
    device: torch.device
    workers: int
    features: FeatureMap = PAPER

    def should_evaluate(self, epoch: int, n_epochs: int, steps_done: int) -> bool:
        """Whether to evaluate after `epoch`: the first, the last and every so many, from step 50 on.

        With labelled data the last in any case: a run without a figure would have no best encoder.
        """
        if epoch == n_epochs and self.labelled is not None:
            return True
        return steps_done >= STEPS_BEFORE_QUALITY and (epoch in (1, n_epochs) or epoch % self.every == 0)

    def evaluate(self, encoder: LeadEncoders, should_stop: Callable[[], bool] = lambda: False) -> Quality | None:
        """Measure the quality of `encoder`, which is in evaluation mode afterwards; None once `should_stop`."""

        def embed(dataset: Dataset, rows: NDArray[np.int64], features: FeatureMap = PAPER) -> Tensor:
            return compute_embeddings(
                encoder, dataset, rows, self.device, self.workers, give_up=should_stop, features=features
            )

        sample = sample_rows(self.records.rows, self.records.seed)
        embeddings = embed(self.records.dataset, sample)
        auroc = None
        if self.labelled is not None and not should_stop():
            targets = self.labelled.targets()
            train, val = self.labelled.rows("train"), self.labelled.rows("val")
            x_train, x_val = (embed(self.labelled, rows, self.features).cpu() for rows in (train, val))
            if not should_stop():
                weights = self.features.weights(len(encoder.config.leads), x_train.shape[1])
                auroc = ridge_auroc(x_train, targets[train], x_val, targets[val], weights)
        if should_stop():
            return None
        leads = encoder.config.leads
        spread = feature_spread(embeddings.unflatten(1, (len(leads), -1)))
        return Quality(rank_me(embeddings), dict(zip(leads, spread, strict=True)), auroc)


def open_quality_data(folder: Path, split_seed: int, encoder: LeadEncoders, features: FeatureMap = PAPER) -> Dataset:
    """Open the labelled data set that quality is measured with; its test records are not used.

    Raises LfbtError where it does not fit the encoder or the features, has no labels, or lacks records for training or
    validation.
    """
    _, labelled = match(encoder, open_dataset(folder, split_seed).select_leads(encoder.config.leads))
    check_voltages_known(labelled, features)
    labelled.targets()
    for split in ("train", "val"):
        if not len(labelled.rows(split)):
            raise LfbtError(f"quality_data: {folder} has no records in split {split}; it needs some")
    return labelled


def sample_rows(rows: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """At most 1024 of `rows`, in ascending order, which follow from the seed."""
    if len(rows) <= _SAMPLE:
        return rows
    return np.sort(np.random.default_rng((seed, 2)).choice(rows, _SAMPLE, replace=False))


def rank_me(embeddings: Tensor) -> float:
    """RankMe of ``[records, features]`` (Garrido et al., 2023): e to the entropy of the singular values' shares.

    Between 1, all records along one line, and the number of features; 0 where all are zero.
    """
    values = torch.linalg.svdvals(embeddings.double())
    if not values.any():
        return 0.0
    shares = values / values.sum() + 1e-7
    return float(torch.exp(-(shares * shares.log()).sum()))


def feature_spread(features: Tensor) -> list[float]:
    """Of each lead of ``[records, leads, features]``: standard deviation over records by mean size, of all features."""
    deviation = features.std(dim=0, correction=0).mean(dim=1)
    size = features.abs().mean(dim=(0, 2))
    return (deviation / size.clamp(min=torch.finfo(size.dtype).tiny)).tolist()


def ridge_auroc(
    train: Tensor,
    train_targets: NDArray[np.bool_],
    val: Tensor,
    val_targets: NDArray[np.bool_],
    weights: NDArray[np.float32] | float = 1.0,
) -> float | None:
    """Macro AUROC of `val` ``[records, features]`` by ridge regression of the classes on standardised `train`.

    Targets are ``[records, classes]``; weights ``[features]`` are of the standardised ones. In closed form: no step
    size, no epochs, no seed.
    None where validation has no class with records on either side.
    """
    from sklearn.linear_model import RidgeCV
    from sklearn.metrics import roc_auc_score
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(train.numpy())
    model = RidgeCV(_PENALTIES).fit(scaler.transform(train.numpy()) * weights, train_targets.astype(np.float64))
    scores = model.predict(scaler.transform(val.numpy()) * weights)
    aurocs = [roc_auc_score(y, p) for y, p in zip(val_targets.T, scores.T, strict=True) if 0 < y.sum() < len(y)]
    return float(np.mean(aurocs)) if aurocs else None
