"""The probe: a linear classifier, or the nearest neighbours, on the features of a frozen encoder."""

from __future__ import annotations

import copy
import dataclasses
import functools
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lfbt.data.loader import INFERENCE_BATCH, epoch_batches, prefetch_batches
from lfbt.errors import LfbtError
from lfbt.evaluation.classification import Rows, Task, new_head, open_task
from lfbt.evaluation.settings import FittingSettings, ProbeSettings
from lfbt.evaluation.trials import (
    Fitted,
    Subset,
    Trial,
    is_finished,
    list_trials,
    load_results,
    series_folder,
    write_results,
    write_series,
)
from lfbt.models.encoder import LeadEncoders, estimate_batch_norm
from lfbt.models.features import compute_embeddings
from lfbt.models.heads import Head
from lfbt.recording import STANDARD_LEADS
from lfbt.runs.history import FittingStep
from lfbt.runs.results import Results
from lfbt.sources.listing import SPLITS
from lfbt.utils.device import resolve_device
from lfbt.utils.settings import validate

#: Names for several leads; a subset has those of them that the encoder has. There are "all" and "each", too.
NAMED_SUBSETS = {"limb": STANDARD_LEADS[:6], "chest": STANDARD_LEADS[6:]}

# The logit, or its negative, of a class that all training records lack, or have.
_NEVER = -30.0


def probe(
    data: str | os.PathLike[str],
    run_dir: str | os.PathLike[str],
    encoder: str | os.PathLike[str] | None = None,
    **settings: Any,
) -> list[Results]:
    """Score a frozen encoder with a classifier on its features.

    Parameters
    ----------
    data
        Labelled data set: a folder made by `lfbt.prepare`, or class folders of ``.npy`` files.
    run_dir
        New folder for the results; with several fractions, seeds or lead subsets each trial has a folder in it.
    encoder
        Run folder of `lfbt.pretrain`, encoder folder, or a ``.pth`` file of the authors. Without one give
        ``random_encoder=True``, the baseline.
    **settings
        Any option of ``lfbt probe`` by its name, with ``_`` for ``-``: ``classifier="logistic"``,
        ``fraction=[0.1, 1]``, ``seeds=[0, 1, 2]``, ``folds=10``.

    Returns
    -------
    list of Results
        One a trial: ``results.test.auroc``, ``results.test.intervals.auroc``, ``results.test.per_class["MI"].auprc``.

    Raises
    ------
    LfbtError
        For settings out of range, data that does not fit the encoder, an occupied run folder, test records that the
        encoder was pretrained on unless allowed, and a loss that is not finite.
    """
    return run_probe(ProbeSettings.create(data, run_dir, encoder, **settings))


def run_probe(settings: ProbeSettings) -> list[Results]:
    """Compute features once, and fit, score and write a classifier for every trial.

    The candidate with the lowest validation loss is kept, and the test records are scored once, with it. The folder of
    a single trial without folds holds the features ``X_{train,val,test}.npy`` ``[records, leads × 64]`` and the classes
    ``y_*.npy`` (class numbers; multi-label: ``[records, classes]``) besides the files of `write_results`.

    Parameters
    ----------
    settings
        See `ProbeSettings.create`.

    Returns
    -------
    list of Results
        One a trial.

    Raises
    ------
    LfbtError
        For settings out of range, as `open_task` does, and for a loss that is not finite.
    """
    validate(settings)
    task = open_task(settings, resolve_device(settings.compute.device))
    trials = list_trials(settings.trials, _subsets(settings.lead_subsets, task.config.leads))
    # A checkpoint gives the same features for all seeds and folds; a random encoder does not.
    cache = functools.lru_cache(maxsize=max(1, settings.trials.folds))
    frozen = cache(functools.partial(_frozen, task, settings.compute.workers))
    with series_folder(settings, task, trials):
        # Trials that share a random encoder follow each other.
        for trial in sorted(trials, key=lambda trial: trial.seed):
            if not is_finished(trial):
                _run(task, settings, trial, frozen, with_features=len(trials) == 1)
        write_series(settings.trials.run_dir, trials)
    return load_results(trials)


def _run(
    task: Task,
    settings: ProbeSettings,
    trial: Trial,
    frozen: Callable[[int, int], tuple[LeadEncoders, Tensor]],
    with_features: bool,
) -> None:
    """Fit and score one trial, and write its folder; of a single fold also the features, if these are wanted."""
    folds = []
    for fold in range(len(task.folds)):
        rows = task.rows(fold, trial.fraction, trial.seed)
        encoder, embeddings = frozen(*((trial.seed, fold) if settings.random_encoder else (0, 0)))
        columns = embeddings if trial.subset is None else embeddings[:, _columns(task, trial.subset)]
        inputs = {split: columns[torch.from_numpy(where)] for split, where in rows.items()}
        folds.append(fit(task, rows, inputs, settings.fitting, trial.seed))
    arrays = {}
    if with_features and len(folds) == 1:
        arrays = {f"X_{split}": x.cpu().numpy() for split, x in inputs.items()}
        arrays |= {f"y_{split}": _known(task, where) for split, where in rows.items()}
    write_results(settings, task, trial, folds, encoder, arrays)


def _known(task: Task, rows: NDArray[np.int64]) -> NDArray[Any]:
    return task.targets[rows].argmax(axis=1) if task.exclusive else task.targets[rows]


def _frozen(task: Task, workers: int, seed: int, fold: int) -> tuple[LeadEncoders, Tensor]:
    """The encoder, and the embeddings ``[records, leads × 64]`` of all records of the data set."""
    encoder = task.encoder(seed)
    if task.loaded is None:
        # In random order: in class folders a batch would be of one class.
        batches = epoch_batches(task.folds[fold]["train"], INFERENCE_BATCH, seed, 0)
        normalisation = encoder.config.normalisation
        estimate_batch_norm(encoder, prefetch_batches(task.dataset, batches, normalisation, task.device, workers))
    rows = np.arange(len(task.dataset))
    return encoder, compute_embeddings(encoder, task.dataset, rows, task.device, workers, "features")


def _subsets(wanted: Sequence[Sequence[str]], leads: Sequence[str]) -> list[Subset]:
    """The subsets of `leads` that are `wanted` by name. Raises LfbtError for leads that the encoder does not have."""
    found: dict[str, Subset] = {}
    named = NAMED_SUBSETS | {"all": tuple(leads)}
    for names in wanted:
        if tuple(names) == ("each",):
            found |= {lead: Subset(lead, (lead,)) for lead in leads}
            continue
        word = ",".join(names)
        chosen = [lead for lead in leads if lead in named[word]] if word in named else names
        absent = [lead for lead in chosen if lead not in leads]
        if absent or not chosen:
            raise LfbtError(
                f"lead-subsets: {word}: the encoder has {','.join(leads)}; name some of these, or each, limb, chest, "
                "all"
            )
        found[word] = Subset(word, tuple(chosen))
    return list(found.values())


def _columns(task: Task, subset: Subset) -> Tensor:
    """The columns of the embeddings that are of the subset's leads."""
    n = task.config.n_features
    starts = [n * task.config.leads.index(lead) for lead in subset.leads]
    return torch.cat([torch.arange(start, start + n) for start in starts])


def fit(task: Task, rows: Rows, inputs: dict[str, Tensor], settings: FittingSettings, seed: int) -> Fitted:
    """Fit every candidate on training embeddings, and keep the one with the lowest validation loss.

    Of several rates those whose loss is not finite are skipped.

    Parameters
    ----------
    task
        The classes and the loss.
    rows
        The records of each split.
    inputs
        Their embeddings ``[records, columns]``.
    settings
        The classifier and its candidates.
    seed
        Seed of weights and order.

    Raises
    ------
    LfbtError
        Where no candidate's loss is finite.
    """
    if settings.classifier == "logistic":
        fitted = [_fit_logistic(task, rows, inputs, c) for c in settings.c]
    elif settings.classifier == "knn":
        fitted = [_fit_neighbours(task, rows, inputs, n) for n in settings.neighbours]
    else:
        fitted = []
        for learning_rate in settings.learning_rate:
            try:
                fitted.append(_fit_adam(task, rows, inputs, settings, seed, learning_rate))
            except FloatingPointError as error:
                failure = error
        if not fitted:
            raise LfbtError(f"{failure}: the loss is not finite; try a lower --learning-rate")
    best = min(fitted, key=lambda one: 0.0 if one.val_loss is None else one.val_loss)
    return dataclasses.replace(best, history=[step for one in fitted for step in one.history])


def _fit_adam(
    task: Task, rows: Rows, inputs: dict[str, Tensor], settings: FittingSettings, seed: int, learning_rate: float
) -> Fitted:
    """A linear head, by Adam; the epoch with the lowest validation loss is kept.

    Raises FloatingPointError, naming the epoch, for a loss that is not finite.
    """
    head = new_head(task, inputs["train"].shape[1], seed)
    if settings.standardise:
        head.standardise(inputs["train"])
    optimizer = torch.optim.Adam(head.parameters(), lr=learning_rate, fused=True)
    x = {split: head.standardised(inputs[split]) for split in ("train", "val")}
    y = {split: task.loss_targets(rows[split]) for split in ("train", "val")}
    positions = np.arange(len(rows["train"]))
    history: list[FittingStep] = []
    best, lowest = head, np.inf
    for epoch in range(settings.epochs):
        losses = torch.zeros((), device=task.device)
        for batch in epoch_batches(positions, settings.batch_size, seed, epoch):
            picked = torch.from_numpy(batch).to(task.device)
            loss = task.loss(head.linear(x["train"][picked]), y["train"][picked])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            losses += loss.detach() * len(batch)
        with torch.no_grad():
            val_loss = task.loss(head.linear(x["val"]), y["val"]).item()
        if not np.isfinite(val_loss):
            raise FloatingPointError(f"epoch {epoch + 1}")
        if val_loss < lowest:
            best, lowest, best_epoch = copy.deepcopy(head), val_loss, epoch + 1
        rate = None if len(settings.learning_rate) == 1 else learning_rate
        history.append(FittingStep(losses.item() / len(positions), val_loss, epoch + 1, learning_rate=rate))
    chosen = {"epoch": best_epoch, "learning_rate": learning_rate}
    return Fitted(rows, _probabilities(best, inputs), history, chosen, lowest, best)


def _fit_logistic(task: Task, rows: Rows, inputs: dict[str, Tensor], c: float) -> Fitted:
    """Logistic regression on standardised features: multinomial, or of each class by itself in a multi-label task."""
    head = new_head(task, inputs["train"].shape[1], seed=0)
    head.standardise(inputs["train"])
    x = head.standardised(inputs["train"]).cpu().numpy()
    known = task.targets[rows["train"]]
    weights, biases = _logistic(x, known, c) if task.exclusive else _logistic_each(x, known, c)
    with torch.no_grad():
        head.linear.weight.copy_(torch.from_numpy(weights))
        head.linear.bias.copy_(torch.from_numpy(biases))
        train_loss = task.loss(head(inputs["train"]), task.loss_targets(rows["train"])).item()
        has_val = len(rows["val"]) > 0
        val_loss = task.loss(head(inputs["val"]), task.loss_targets(rows["val"])).item() if has_val else None
    step = FittingStep(train_loss, val_loss, c=c)
    return Fitted(rows, _probabilities(head, inputs), [step], {"c": c}, val_loss, head)


def _logistic(x: NDArray[np.float32], known: NDArray[np.bool_], c: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """Weights ``[classes, columns]`` and biases of exclusive classes; those without a training record get no weight."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=c, max_iter=10_000).fit(x, known.argmax(axis=1))
    weights = np.zeros((known.shape[1], x.shape[1]))
    biases = np.full(known.shape[1], _NEVER)
    # Of two classes the model has the second one's logit, and the first one's is zero.
    both = len(model.classes_) == 2
    weights[model.classes_] = np.concatenate([0 * model.coef_, model.coef_]) if both else model.coef_
    biases[model.classes_] = [0, model.intercept_[0]] if both else model.intercept_
    return weights, biases


def _logistic_each(x: NDArray[np.float32], known: NDArray[np.bool_], c: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """Weights ``[classes, columns]`` and biases of classes of which a record may have several."""
    from sklearn.linear_model import LogisticRegression

    weights, biases = np.zeros((known.shape[1], x.shape[1])), np.zeros(known.shape[1])
    for k, positive in enumerate(known.T):
        if positive.all() or not positive.any():
            biases[k] = -_NEVER if positive.all() else _NEVER
            continue
        model = LogisticRegression(C=c, max_iter=10_000).fit(x, positive)
        weights[k], biases[k] = model.coef_[0], model.intercept_[0]
    return weights, biases


def _fit_neighbours(task: Task, rows: Rows, inputs: dict[str, Tensor], neighbours: int) -> Fitted:
    """Shares of the classes among the nearest training records, and one more record that has those of all of them."""
    from sklearn.neighbors import NearestNeighbors

    n = min(neighbours, len(rows["train"]))
    scale = new_head(task, inputs["train"].shape[1], seed=0)
    scale.standardise(inputs["train"])
    x = {split: scale.standardised(inputs[split]).cpu().numpy() for split in SPLITS}
    index = NearestNeighbors(n_neighbors=n, metric="cosine", algorithm="brute").fit(x["train"])
    known = task.targets[rows["train"]]
    probabilities = {}
    for split in ("val", "test"):
        if len(rows[split]):
            nearest = index.kneighbors(x[split], return_distance=False)
            probabilities[split] = (known[nearest].sum(axis=1) + known.mean(axis=0)) / (n + 1)
    val_loss = _log_loss(task, probabilities["val"], rows["val"]) if len(rows["val"]) else None
    step = FittingStep(val_loss=val_loss, neighbours=neighbours)
    return Fitted(rows, probabilities, [step], {"neighbours": neighbours}, val_loss)


def _log_loss(task: Task, probabilities: NDArray[np.floating[Any]], rows: NDArray[np.int64]) -> float:
    """`Task.loss` of probabilities; those of a class without training records are clipped to more than zero."""
    known = task.targets[rows]
    p = np.clip(probabilities, np.exp(_NEVER), 1 - np.exp(_NEVER))
    if task.exclusive:
        return float(-np.log(p[known]).mean())
    return float(-np.where(known, np.log(p), np.log1p(-p)).mean())


def _probabilities(head: Head, inputs: dict[str, Tensor]) -> dict[str, NDArray[np.floating[Any]]]:
    with torch.no_grad():
        return {split: head.probabilities(head(inputs[split])) for split in ("val", "test") if len(inputs[split])}
