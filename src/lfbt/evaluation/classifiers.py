"""Classifiers on frozen features: a linear layer by Adam, logistic regression, nearest neighbours."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lfbt.data.loader import epoch_batches
from lfbt.errors import LfbtError
from lfbt.evaluation.classification import Rows
from lfbt.evaluation.lead_dropout import SubsetInputs, draw_subsets
from lfbt.evaluation.settings import FittingSettings
from lfbt.models.config import LeadDropout
from lfbt.models.feature_maps import PAPER, FeatureMap
from lfbt.models.heads import Head, create_head
from lfbt.runs.history import FittingStep

# The logit, or its negative, of a class that all training records lack, or have.
_NEVER = -30.0

# Rounds of boosting, of which one is kept.
_ROUNDS = 100
# Columns a record from which on the space that the records span is cheaper.
_WIDE = 8


@dataclasses.dataclass(frozen=True)
class Fold:
    """What a classifier is fitted on and scored on, of each split; validation may be empty.

    Parameters
    ----------
    rows
        The records' rows in the data set.
    inputs
        Their embeddings ``[records, columns]``.
    targets
        Which classes each record has ``[records, classes]``.
    exclusive
        Whether a record has exactly one class.
    lead_dropout
        The subsets of leads that the classifier has to serve, too.
    subsets
        The embeddings of each of them, by name.
    features
        What the embeddings consist of.
    weights
        What standardised embeddings are multiplied by ``[columns]``; None where they are not standardised for it.
    """

    rows: Rows
    inputs: dict[str, Tensor]
    targets: dict[str, NDArray[np.bool_]]
    exclusive: bool
    lead_dropout: LeadDropout | None = None
    subsets: dict[str, SubsetInputs] = dataclasses.field(default_factory=dict)
    features: FeatureMap = PAPER
    weights: Tensor | None = None

    @property
    def has_val(self) -> bool:
        """Whether there are validation records."""
        return len(self.rows["val"]) > 0

    def standardised(self, head: Head) -> Fold:
        """Return the fold with its embeddings standardised by those of the head."""
        subsets = {}
        for name, one in self.subsets.items():
            mean, std = head.mean[one.columns], head.std[one.columns]
            inputs = {split: (x - mean) / std for split, x in one.inputs.items()}
            subsets[name] = dataclasses.replace(one, inputs=inputs)
        inputs = {split: head.standardised(x) for split, x in self.inputs.items()}
        return dataclasses.replace(self, inputs=inputs, subsets=subsets)

    def of_subset(self, name: str, split: str, records: Tensor | slice = slice(None)) -> Tensor:
        """Return embeddings of records that have a subset's leads only, as of all leads, absent ones NaN."""
        return self.subsets[name].spread(split, records, self.inputs[split].shape[1])

    def drop_leads(self, inputs: Tensor, records: Tensor, numbers: NDArray[np.int64]) -> Tensor:
        """Replace embeddings of training records by those of the subsets whose numbers were drawn (0: of none)."""
        for number, name in enumerate(self.subsets, start=1):
            drawn = torch.from_numpy(numbers == number).to(inputs.device)
            inputs[drawn] = self.of_subset(name, "train", records[drawn])
        return inputs


@dataclasses.dataclass(frozen=True)
class Fitted:
    """A trained classifier of one fold.

    Parameters
    ----------
    rows
        The records of the fold.
    probabilities
        ``[records, classes]`` of the rows of validation, if there are any, and of the test.
    history
        One step an epoch, or a candidate.
    chosen
        What was chosen on validation, by name.
    val_loss
        The validation loss of that; None without validation records.
    head
        None where the classifier is not linear.
    by_subset
        Probabilities as above, where the records have a subset of the leads only, by its name.
    """

    rows: Rows
    probabilities: dict[str, NDArray[np.floating[Any]]]
    history: list[FittingStep]
    chosen: dict[str, int | float]
    val_loss: float | None
    head: Head | None = None
    by_subset: dict[str, dict[str, NDArray[np.floating[Any]]]] = dataclasses.field(default_factory=dict)


def fit(fold: Fold, settings: FittingSettings, seed: int) -> Fitted:
    """Fit every candidate on training embeddings, and keep the one with the lowest validation loss.

    Of several rates those whose loss is not finite are skipped.

    Parameters
    ----------
    fold
        Embeddings and classes of each split.
    settings
        The classifier and its candidates.
    seed
        Seed of weights and order.

    Raises
    ------
    LfbtError
        Where no candidate's loss is finite.
    """
    n_inputs, n_classes = fold.inputs["train"].shape[1], fold.targets["train"].shape[1]
    head = create_head(n_inputs, n_classes, fold.exclusive, seed, fold.lead_dropout, fold.features)
    head = head.to(fold.inputs["train"].device)
    if settings.standardise or settings.classifier != "adam" or fold.weights is not None:
        head.standardise(fold.inputs["train"], fold.weights)
    fold = fold.standardised(head)
    y = {split: head.encode_targets(known) for split, known in fold.targets.items()}
    if settings.classifier == "logistic":
        fitted = [_fit_logistic(fold, y, copy.deepcopy(head), c) for c in settings.c]
    elif settings.classifier == "boosting":
        fitted = [_fit_boosting(fold, seed)]
    elif settings.classifier == "knn":
        fitted = [_fit_neighbours(fold, n) for n in settings.neighbours if n <= len(fold.inputs["train"])]
    else:
        fitted = []
        for learning_rate in settings.learning_rate:
            try:
                fitted.append(_fit_adam(fold, y, copy.deepcopy(head), settings, seed, learning_rate))
            except FloatingPointError as error:
                failure = error
        if not fitted:
            raise LfbtError(f"{failure}: the loss is not finite; try a lower --learning-rate")
    best = min(fitted, key=lambda one: 0.0 if one.val_loss is None else one.val_loss)
    return dataclasses.replace(best, history=[step for one in fitted for step in one.history])


def _fit_adam(
    fold: Fold, y: dict[str, Tensor], head: Head, settings: FittingSettings, seed: int, learning_rate: float
) -> Fitted:
    """A linear head, by Adam; the epoch with the lowest validation loss is kept, the mean over all leads and subsets.

    y: targets as `Head.loss` takes them.

    Raises FloatingPointError, naming the epoch, for a loss that is not finite.
    """
    optimizer = torch.optim.Adam(head.parameters(), lr=learning_rate, fused=True)
    x = fold.inputs
    positions = np.arange(len(x["train"]))
    history: list[FittingStep] = []
    best, lowest = head, np.inf
    for epoch in range(settings.epochs):
        losses = torch.zeros((), device=x["train"].device)
        if fold.lead_dropout is not None:
            drawn = draw_subsets(len(positions), len(fold.subsets), fold.lead_dropout.probability, seed, epoch)
        for batch in epoch_batches(positions, settings.batch_size, seed, epoch):
            picked = torch.from_numpy(batch).to(x["train"].device)
            inputs = x["train"][picked]
            if fold.lead_dropout is not None:
                inputs = head.without_absent(fold.drop_leads(inputs, picked, drawn[batch]))
            loss = head.loss(head.linear(inputs), y["train"][picked])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            losses += loss.detach() * len(batch)
        with torch.no_grad():
            views = [x["val"], *(head.without_absent(fold.of_subset(name, "val")) for name in fold.subsets)]
            val_loss = float(np.mean([head.loss(head.linear(view), y["val"]).item() for view in views]))
        if not np.isfinite(val_loss):
            raise FloatingPointError(f"epoch {epoch + 1}")
        if val_loss < lowest:
            best, lowest, best_epoch = copy.deepcopy(head), val_loss, epoch + 1
        rate = None if len(settings.learning_rate) == 1 else learning_rate
        history.append(FittingStep(losses.item() / len(positions), val_loss, epoch + 1, learning_rate=rate))
    chosen = {"epoch": best_epoch, "learning_rate": learning_rate}
    by_subset = {name: _probabilities_of_subset(best, fold, name) for name in fold.subsets}
    return Fitted(fold.rows, _evaluate(best, fold, y)[1], history, chosen, lowest, best, by_subset)


def _fit_logistic(fold: Fold, y: dict[str, Tensor], head: Head, c: float) -> Fitted:
    """Logistic regression: multinomial, or of each class by itself in a multi-label task."""
    x, known = fold.inputs["train"].cpu().numpy(), fold.targets["train"]
    weights, biases = _logistic(x, known, c) if fold.exclusive else _logistic_each(x, known, c)
    with torch.no_grad():
        head.linear.weight.copy_(torch.from_numpy(weights))
        head.linear.bias.copy_(torch.from_numpy(biases))
    losses, probabilities = _evaluate(head, fold, y)
    step = FittingStep(losses["train"], losses.get("val"), c=c)
    return Fitted(fold.rows, probabilities, [step], {"c": c}, losses.get("val"), head)


def _logistic(x: NDArray[np.float32], known: NDArray[np.bool_], c: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """Weights ``[classes, columns]`` and biases of exclusive classes; those without a training record get no weight."""
    from sklearn.linear_model import LogisticRegression

    x, back = _in_their_span(x)
    model = LogisticRegression(C=c, max_iter=10_000).fit(x, known.argmax(axis=1))
    weights = np.zeros((known.shape[1], x.shape[1]))
    biases = np.full(known.shape[1], _NEVER)
    # Of two classes the model has the second one's logit, and the first one's is zero.
    both = len(model.classes_) == 2
    weights[model.classes_] = np.concatenate([0 * model.coef_, model.coef_]) if both else model.coef_
    biases[model.classes_] = [0, model.intercept_[0]] if both else model.intercept_
    return weights if back is None else weights @ back, biases


def _logistic_each(x: NDArray[np.float32], known: NDArray[np.bool_], c: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """Weights ``[classes, columns]`` and biases of classes of which a record may have several."""
    from sklearn.linear_model import LogisticRegression

    x, back = _in_their_span(x)
    weights, biases = np.zeros((known.shape[1], x.shape[1])), np.zeros(known.shape[1])
    for k, positive in enumerate(known.T):
        if positive.all() or not positive.any():
            biases[k] = -_NEVER if positive.all() else _NEVER
            continue
        model = LogisticRegression(C=c, max_iter=10_000).fit(x, positive)
        weights[k], biases[k] = model.coef_[0], model.intercept_[0]
    return weights if back is None else weights @ back, biases


def _in_their_span(x: NDArray[np.float32]) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Coordinates of records with very many columns in the space that they span, and the way back.

    A penalised fit has its weights there (Hastie and Tibshirani, 2004): the same classifier from fewer columns.
    """
    if x.shape[1] < _WIDE * len(x):
        return x, None
    wide = x.astype(np.float64)
    squares, directions = np.linalg.eigh(wide @ wide.T)
    kept = squares > 1e-9 * squares[-1]
    lengths = np.sqrt(squares[kept])
    return directions[:, kept] * lengths, (directions[:, kept] / lengths).T @ wide


def _fit_neighbours(fold: Fold, neighbours: int) -> Fitted:
    """Shares of the classes among the nearest training records, and one more record that has those of all of them."""
    from sklearn.neighbors import NearestNeighbors

    known = fold.targets["train"]
    x = {split: inputs.cpu().numpy() for split, inputs in fold.inputs.items()}
    index = NearestNeighbors(n_neighbors=neighbours, metric="cosine", algorithm="brute").fit(x["train"])
    probabilities = {}
    for split in ("val", "test"):
        if len(x[split]):
            nearest = index.kneighbors(x[split], return_distance=False)
            probabilities[split] = (known[nearest].sum(axis=1) + known.mean(axis=0)) / (neighbours + 1)
    val_loss = _log_loss(probabilities["val"], fold) if fold.has_val else None
    step = FittingStep(val_loss=val_loss, neighbours=neighbours)
    return Fitted(fold.rows, probabilities, [step], {"neighbours": neighbours}, val_loss)


def _fit_boosting(fold: Fold, seed: int) -> Fitted:
    """Gradient boosting, its round with the lowest validation loss: of exclusive classes, or of each by itself."""
    known = fold.targets["train"]
    x = {split: inputs.cpu().numpy() for split, inputs in fold.inputs.items() if len(inputs)}
    numbers = [known.argmax(axis=1)] if fold.exclusive else list(known.T)
    # Of one class alone there is nothing to learn; its share is the answer.
    models = [_boosted(x["train"], y, seed) if len(np.unique(y)) > 1 else None for y in numbers]
    staged: dict[str, list[NDArray[np.floating[Any]]]] = {}
    for split in ("val", "test"):
        if split in x:
            staged[split] = []
            stages = [iter(()) if model is None else model.staged_predict_proba(x[split]) for model in models]
            for _ in range(_ROUNDS):
                p = np.tile(known.mean(axis=0), (len(x[split]), 1))
                for k, (model, stage) in enumerate(zip(models, stages, strict=True)):
                    if model is not None and fold.exclusive:
                        p[:] = 0
                        p[:, model.classes_] = next(stage)
                    elif model is not None:
                        p[:, k] = next(stage)[:, 1]
                staged[split].append(p)
    losses = [_log_loss(p, fold) for p in staged["val"]]
    best = int(np.argmin(losses))
    probabilities = {split: stages[best] for split, stages in staged.items()}
    history = [FittingStep(val_loss=loss, epoch=n + 1) for n, loss in enumerate(losses)]
    return Fitted(fold.rows, probabilities, history, {"epoch": best + 1}, losses[best])


def _boosted(x: NDArray[np.float32], y: NDArray[Any], seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    # Small trees with small leaves, as a tenth of the labels may be 40 records.
    return HistGradientBoostingClassifier(
        learning_rate=0.1,
        max_iter=_ROUNDS,
        max_leaf_nodes=8,
        min_samples_leaf=5,
        early_stopping=False,
        random_state=seed,
    ).fit(x, y)


def _log_loss(probabilities: NDArray[np.floating[Any]], fold: Fold) -> float:
    """`Head.loss` of probabilities of validation; those of a class without training records are clipped above zero."""
    known = fold.targets["val"]
    p = np.clip(probabilities, np.exp(_NEVER), 1 - np.exp(_NEVER))
    if fold.exclusive:
        return float(-np.log(p[known]).mean())
    return float(-np.where(known, np.log(p), np.log1p(-p)).mean())


@torch.no_grad()
def _evaluate(
    head: Head, fold: Fold, y: dict[str, Tensor]
) -> tuple[dict[str, float], dict[str, NDArray[np.floating[Any]]]]:
    """Losses of training and validation, and probabilities of validation and test; validation may be empty."""
    logits = {split: head.linear(x) for split, x in fold.inputs.items() if len(x)}
    losses = {split: head.loss(values, y[split]).item() for split, values in logits.items() if split != "test"}
    return losses, {split: head.probabilities(values) for split, values in logits.items() if split != "train"}


@torch.no_grad()
def _probabilities_of_subset(head: Head, fold: Fold, name: str) -> dict[str, NDArray[np.floating[Any]]]:
    """Probabilities of validation and test where the records have a subset's leads only."""
    inputs = {split: head.without_absent(fold.of_subset(name, split)) for split in ("val", "test")}
    return {split: head.probabilities(head.linear(x)) for split, x in inputs.items() if len(x)}
