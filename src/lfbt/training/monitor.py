"""How good an encoder is while it learns, cheaply: the rank and spread of its features, and a closed-form probe."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lfbt.data.dataset import Dataset
from lfbt.models.encoder import LeadEncoders
from lfbt.models.features import compute_embeddings

# Records without labels that rank and spread are measured on.
_SAMPLE = 1024
# Of ridge regression's weights; the one with the lowest leave-one-out error on the training records is taken.
_PENALTIES = np.logspace(-1, 5, 7)

#: Below these features have collapsed: hardly any differs between records, or all lie along one line.
LEAST_SPREAD = 0.01
LEAST_RANK = 2.0


@dataclasses.dataclass(frozen=True)
class Quality:
    """What frozen features are worth.

    rank: RankMe, the number of directions that the embeddings fill; spread: of each lead, the features' standard
    deviation over records, relative to their size; auroc: macro AUROC of a ridge classifier of the validation records
    of a labelled data set, where there is one.
    """

    rank: float
    spread: dict[str, float]
    auroc: float | None = None

    def __str__(self) -> str:
        found = "" if self.auroc is None else f"validation AUROC {self.auroc:.4f}, "
        return f"{found}rank {self.rank:.1f}, least spread {min(self.spread.values()):.2f}"

    def figures(self) -> dict[str, float]:
        """One name and number each, for the history and trackers."""
        named = {"rank": self.rank} | {f"spread_{lead}": value for lead, value in self.spread.items()}
        return named if self.auroc is None else {"val_auroc": self.auroc} | named

    def collapse(self) -> str | None:
        """What has collapsed, in words, if something has."""
        flat = [lead for lead, value in self.spread.items() if value < LEAST_SPREAD]
        if flat:
            return f"the features of {', '.join(flat)} hardly differ between records"
        return f"the features fill {self.rank:.1f} directions only" if self.rank < LEAST_RANK else None


@dataclasses.dataclass(frozen=True)
class QualityMonitor:
    """What quality is measured with: records without labels, and a labelled data set or none.

    rows: of the records without labels; the labelled data set has the encoder's leads.
    """

    dataset: Dataset
    rows: NDArray[np.int64]
    labelled: Dataset | None
    device: torch.device
    workers: int

    def measure(self, encoder: LeadEncoders, give_up: Callable[[], bool] = lambda: False) -> Quality | None:
        """The quality of `encoder`, which is in evaluation mode afterwards; None where `give_up` said so meanwhile."""

        def embeddings_of(dataset: Dataset, rows: NDArray[np.int64]) -> Tensor:
            return compute_embeddings(encoder, dataset, rows, self.device, self.workers, give_up=give_up)

        embeddings = embeddings_of(self.dataset, self.rows)
        auroc = None if self.labelled is None or give_up() else _auroc(self.labelled, embeddings_of, give_up)
        if give_up():
            return None
        by_lead = embeddings.unflatten(1, (len(encoder.config.leads), -1))
        return Quality(
            rank_me(embeddings),
            dict(zip(encoder.config.leads, feature_spread(by_lead), strict=True)),
            auroc,
        )


def _auroc(
    labelled: Dataset,
    embeddings_of: Callable[[Dataset, NDArray[np.int64]], Tensor],
    give_up: Callable[[], bool],
) -> float | None:
    targets = labelled.targets()
    train, val = labelled.rows("train"), labelled.rows("val")
    x_train, x_val = (embeddings_of(labelled, rows).cpu() for rows in (train, val))
    return None if give_up() else ridge_auroc(x_train, targets[train], x_val, targets[val])


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
    train: Tensor, train_targets: NDArray[np.bool_], val: Tensor, val_targets: NDArray[np.bool_]
) -> float | None:
    """Macro AUROC of `val` ``[records, features]`` by ridge regression of the classes on standardised `train`.

    Targets are ``[records, classes]``. In closed form: no step size, no epochs, no seed.
    None where validation has no class with records on either side.
    """
    from sklearn.linear_model import RidgeCV
    from sklearn.metrics import roc_auc_score
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(train.numpy())
    model = RidgeCV(_PENALTIES).fit(scaler.transform(train.numpy()), train_targets.astype(np.float64))
    scores = model.predict(scaler.transform(val.numpy()))
    aurocs = [roc_auc_score(y, p) for y, p in zip(val_targets.T, scores.T, strict=True) if 0 < y.sum() < len(y)]
    return float(np.mean(aurocs)) if aurocs else None
