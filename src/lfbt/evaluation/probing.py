"""The probe: a linear classifier, or the nearest neighbours, on the features of a frozen encoder."""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lfbt.data.loader import INFERENCE_BATCH, epoch_batches, prefetch_batches
from lfbt.errors import LfbtError
from lfbt.evaluation.classification import ClassifySettings, Rows, Task, new_head, open_task
from lfbt.evaluation.trials import (
    Fitted,
    Subset,
    Trial,
    finished,
    list_trials,
    results_of,
    series_folder,
    write_results,
    write_series,
)
from lfbt.models.encoder import LeadEncoders, estimate_batch_norm
from lfbt.models.features import compute_embeddings
from lfbt.models.heads import Head
from lfbt.recording import STANDARD_LEADS
from lfbt.sources.listing import SPLITS
from lfbt.utils.device import resolve_device
from lfbt.utils.validation import check_range

Classifier = Literal["adam", "logistic", "knn"]

#: Leads by one name, of which a subset has those that the encoder has; besides there is "all".
NAMED_SUBSETS = {"limb": STANDARD_LEADS[:6], "chest": STANDARD_LEADS[6:]}

# The logit, or its negative, of a class that all training records lack, or have.
_NEVER = -30.0


@dataclasses.dataclass(frozen=True)
class ProbeSettings(ClassifySettings):
    """How a frozen encoder is probed. Defaults are the paper's."""

    classifier: Classifier = "adam"
    """adam: a linear layer trained by Adam, as the paper has it. logistic: scikit-learn's logistic regression. knn: the
    nearest training records by cosine."""
    learning_rate: tuple[float, ...] = (1e-3,)
    """For adam: its rate, constant; of several the one with the lowest validation loss is kept."""
    c: tuple[float, ...] = (0.001, 0.01, 0.1, 1.0)
    """For logistic: the inverse of the L2 penalty; of several the one with the lowest validation loss is kept."""
    neighbours: tuple[int, ...] = (5, 10, 20, 50)
    """For knn: how many neighbours; of several numbers the one with the lowest validation loss is kept."""
    standardise: bool = False
    """For adam: standardise every feature by mean and standard deviation over the training records. The others do."""
    lead_subsets: tuple[tuple[str, ...], ...] = ()
    """Probe subsets of the encoder's leads, each a trial, from the same features: II,V1 or each (every lead alone),
    limb, chest, all. The z-score stays that of all leads."""
    random_encoder: bool = False
    """Probe a random encoder, its batch-norm statistics estimated on the training records: the baseline."""


def probe(settings: ProbeSettings) -> list[dict[str, Any]]:
    """Compute features once, fit a classifier for every trial, and write and return their results.

    What has the lowest validation loss is kept, and the test records are scored once, with it. The folder of a single
    trial without folds holds the features ``X_{train,val,test}.npy`` ``[records, leads × 64]`` and the classes
    ``y_*.npy`` (class numbers; multi-label: ``[records, classes]``) besides what `write_results` writes.

    Raises LfbtError as `open_task` does, and for a loss that is not finite.
    """
    candidates = _candidates(settings)
    needs_val = settings.classifier == "adam" or len(candidates) > 1
    task = open_task(settings, settings.random_encoder, resolve_device(settings.device), needs_val)
    trials = list_trials(settings, _subsets(settings.lead_subsets, task.config.leads))
    frozen = functools.lru_cache(maxsize=max(1, settings.folds))(functools.partial(_frozen, task, settings))
    with series_folder("probe", settings, task, trials):
        # Trials that share a random encoder follow each other.
        for trial in sorted(trials, key=lambda trial: trial.seed):
            if not finished(trial):
                _run(task, settings, trial, frozen, len(trials))
        write_series(settings.run_dir, trials)
    return [results_of(trial) for trial in trials]


def _run(task: Task, settings: ProbeSettings, trial: Trial, frozen: Any, n_trials: int) -> None:
    """Fit and score one trial, and write its folder."""
    folds = []
    for fold in range(len(task.folds)):
        rows = task.rows(fold, trial.fraction, trial.seed)
        # A checkpoint gives the same features for all seeds and folds; a random encoder does not.
        encoder, embeddings = frozen(*((trial.seed, fold) if settings.random_encoder else (0, 0)))
        chosen = embeddings if trial.subset is None else embeddings[:, _columns(task, trial.subset)]
        inputs = {split: chosen[torch.from_numpy(where)] for split, where in rows.items()}
        folds.append(fit(task, rows, inputs, settings, trial.seed))
    arrays = {}
    if n_trials == len(folds) == 1:
        arrays = {f"X_{split}": x.cpu().numpy() for split, x in inputs.items()}
        arrays |= {f"y_{split}": _known(task, where) for split, where in rows.items()}
    write_results("probe", settings, task, trial, folds, encoder, arrays)


def _known(task: Task, rows: NDArray[np.int64]) -> NDArray[Any]:
    return task.targets[rows].argmax(axis=1) if task.exclusive else task.targets[rows]


def _frozen(task: Task, settings: ProbeSettings, seed: int, fold: int) -> tuple[LeadEncoders, Tensor]:
    """The encoder, and the embeddings ``[records, leads × 64]`` of all records of the data set."""
    encoder = task.encoder(seed)
    if settings.random_encoder:
        # In an order by chance: in class folders a batch would be of one class.
        batches = epoch_batches(task.folds[fold]["train"], INFERENCE_BATCH, seed, 0)
        normalisation = encoder.config.normalisation
        estimate_batch_norm(
            encoder, prefetch_batches(task.dataset, batches, normalisation, task.device, settings.workers)
        )
    rows = np.arange(len(task.dataset))
    return encoder, compute_embeddings(encoder, task.dataset, rows, task.device, settings.workers, "features")


def _subsets(wanted: Sequence[Sequence[str]], leads: Sequence[str]) -> list[Subset]:
    """The subsets of `leads` that the words stand for. Raises LfbtError for leads that are not there."""
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


def _candidates(settings: ProbeSettings) -> tuple[float, ...]:
    """What is chosen between on validation: rates, penalties or numbers of neighbours.

    Raises LfbtError for one out of range.
    """
    if settings.classifier not in get_args(Classifier):
        raise LfbtError(f"classifier: {settings.classifier!r} is not one of {', '.join(get_args(Classifier))}")
    name, values, allowed = {
        "adam": ("learning-rate", settings.learning_rate, "(0, 1000]"),
        "logistic": ("c", settings.c, "(0, inf)"),
        "knn": ("neighbours", settings.neighbours, "[1, inf)"),
    }[settings.classifier]
    if not values:
        raise LfbtError(f"{name}: none given; give one or more")
    for value in values:
        check_range(name, value, allowed)
    return values


def fit(task: Task, rows: Rows, inputs: dict[str, Tensor], settings: ProbeSettings, seed: int) -> Fitted:
    """Fit a classifier on the training embeddings of `inputs`, ``[records, columns]`` a split.

    Of several rates those whose loss is not finite are passed over. Raises LfbtError where all are such.
    """

    def fitted(value: float) -> Fitted:
        if settings.classifier == "adam":
            return _fit_adam(task, rows, inputs, settings, seed, value)
        fit_one = _fit_logistic if settings.classifier == "logistic" else _fit_neighbours
        return fit_one(task, rows, inputs, value)

    found = []
    for value in _candidates(settings):
        try:
            found.append(fitted(value))
        except FloatingPointError as error:
            failure = error
    if not found:
        raise LfbtError(f"{failure}: the loss is not finite; try a lower --learning-rate")
    best = min(found, key=lambda one: 0.0 if one.val_loss is None else one.val_loss)
    return dataclasses.replace(best, history=[line for one in found for line in one.history])


def _fit_adam(
    task: Task, rows: Rows, inputs: dict[str, Tensor], settings: ProbeSettings, seed: int, learning_rate: float
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
    history: list[dict[str, float]] = []
    best, lowest = head, np.inf
    for epoch in range(settings.epochs):
        losses = torch.zeros((), device=task.device)
        for batch in epoch_batches(positions, settings.batch_size, seed, epoch):
            chosen = torch.from_numpy(batch).to(task.device)
            loss = task.loss(head.linear(x["train"][chosen]), y["train"][chosen])
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
        known = {} if len(settings.learning_rate) == 1 else {"learning_rate": learning_rate}
        train_loss = losses.item() / len(positions)
        history.append({**known, "epoch": epoch + 1, "train_loss": train_loss, "val_loss": val_loss})
    chosen_here = {"epoch": best_epoch, "learning_rate": learning_rate}
    return Fitted(rows, _probabilities(best, inputs), history, chosen_here, lowest, best)


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
    line = {"c": c, "train_loss": train_loss} | ({} if val_loss is None else {"val_loss": val_loss})
    return Fitted(rows, _probabilities(head, inputs), [line], {"c": c}, val_loss, head)


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


def _fit_neighbours(task: Task, rows: Rows, inputs: dict[str, Tensor], neighbours: float) -> Fitted:
    """How many of the nearest training records have a class, with one more that has the training records' shares."""
    from sklearn.neighbors import NearestNeighbors

    n = min(int(neighbours), len(rows["train"]))
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
    line = {"neighbours": neighbours} | ({} if val_loss is None else {"val_loss": val_loss})
    return Fitted(rows, probabilities, [line], {"neighbours": neighbours}, val_loss)


def _log_loss(task: Task, probabilities: NDArray[np.floating[Any]], rows: NDArray[np.int64]) -> float:
    """The cross-entropy that `Task.loss` has of logits, of probabilities.

    A class without training records counts as hardly possible, not as impossible.
    """
    known = task.targets[rows]
    p = np.clip(probabilities, np.exp(_NEVER), 1 - np.exp(_NEVER))
    if task.exclusive:
        return float(-np.log(p[known]).mean())
    return float(-np.where(known, np.log(p), np.log1p(-p)).mean())


def _probabilities(head: Head, inputs: dict[str, Tensor]) -> dict[str, NDArray[np.floating[Any]]]:
    with torch.no_grad():
        return {split: head.probabilities(head(inputs[split])) for split in ("val", "test") if len(inputs[split])}
