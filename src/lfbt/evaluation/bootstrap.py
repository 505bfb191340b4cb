"""Intervals of test metrics: a bootstrap over patients, and over seeds, all draws at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from lfbt.errors import LfbtError
from lfbt.evaluation.metrics import (
    Probabilities,
    above_threshold,
    check_scored,
    has_threshold,
    predict_most_probable,
)
from lfbt.runs.results import ClassIntervals, Interval, Intervals, are_rare
from lfbt.utils.figures import format_count

Array = NDArray[np.float64]

#: The metrics that have intervals.
Metric = Literal["auroc", "auprc", "accuracy", "f1", "balanced_accuracy", "sensitivity", "specificity"]
METRICS: tuple[str, ...] = get_args(Metric)
#: Those of each class by itself, too.
CLASS_METRICS = ("auroc", "auprc")

# Weights per block: a few MB, whatever the number of records.
_BLOCK = 2**20


def bootstrap_weights(patients: Sequence[str], n_draws: int = 1000, seed: int = 0) -> NDArray[np.int32]:
    """Draw patients with replacement, and count how often each record is in each draw.

    A draw takes as many patients as there are, each with all their records. The weights of a patient's records follow
    from the set of patients and the seed, whatever the order of the records.

    Parameters
    ----------
    patients
        The patient of each record.
    n_draws, seed
        Number of draws, and their seed.

    Returns
    -------
    ndarray
        ``[draws, records]``.

    Examples
    --------
    >>> bootstrap_weights(["a", "b", "a"], n_draws=2)
    array([[0, 2, 0],
           [1, 1, 1]], dtype=int32)
    """
    names, of_record = np.unique(np.asarray(patients, dtype=str), return_inverse=True)
    rng = np.random.default_rng(seed)
    weights = np.empty((n_draws, len(of_record)), dtype=np.int32)
    for row in weights:
        row[:] = np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names))[of_record]
    return weights


def bootstrap_seeds(seeds: Sequence[int], n_draws: int = 1000, seed: int = 0) -> NDArray[np.int64]:
    """Draw training seeds with replacement, one fewer than there are.

    With n − 1 of n, the variance of a mean over the drawn is that of a mean over n seeds, s² / n, without the bias of a
    draw of all n (McCarthy and Snowden, 1985): with three seeds that one would be a third too small.

    Parameters
    ----------
    seeds
        Of the trials of a row. Rows of the same seeds have the same draws, so that a difference between them is paired.
    n_draws, seed
        Number of draws, and their seed.

    Returns
    -------
    ndarray
        Positions in `seeds` ``[draws, max(1, seeds - 1)]``; a single seed is in every draw.

    Examples
    --------
    >>> bootstrap_seeds([3, 4, 5], n_draws=3).shape, bootstrap_seeds([7], n_draws=2).tolist()
    ((3, 2), [[0], [0]])
    """
    # Of a stream of their own, so that they do not follow from the draws of patients.
    rng = np.random.default_rng((seed, 1, *seeds))
    return rng.integers(len(seeds), size=(n_draws, max(1, len(seeds) - 1)))


def mean_over_drawn_seeds(values: Array, drawn: NDArray[np.int64]) -> Array:
    """Average over the seeds of each draw: patients and seeds are drawn independently of each other.

    Parameters
    ----------
    values
        Of each seed, under the same draws of patients ``[seeds, ..., draws]``.
    drawn
        As of `bootstrap_seeds` ``[draws, drawn seeds]``.

    Returns
    -------
    ndarray
        ``[..., draws]``.
    """
    draws = np.arange(len(drawn))
    means: Array = np.mean([values[of_draw, ..., draws] for of_draw in drawn.T], axis=0)
    return np.moveaxis(means, 0, -1)


def find_rare(targets: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which classes ``[classes]`` a mean is shown without, too, as `Scores.rare_classes` names them."""
    counts = targets.sum(axis=0)
    return np.array(are_rare(counts.tolist(), ((counts > 0) & (counts < len(targets))).tolist()), dtype=bool)


def means_without(areas: dict[str, Array], left_out: NDArray[np.bool_]) -> dict[str, Array]:
    """Average the areas of classes ``[draws, classes]`` over those that are not left out ``[draws]``."""
    return {name: _mean(values[:, ~left_out]) for name, values in areas.items()}


def bootstrap_metrics(
    probabilities: Probabilities,
    targets: NDArray[np.bool_],
    weights: NDArray[np.int32],
    exclusive: bool,
    thresholds: Array | None = None,
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Compute the metrics of every draw, as `evaluate` would of its records.

    Parameters
    ----------
    probabilities, targets, exclusive, thresholds
        As in `evaluate`.
    weights
        How often each record is in each draw ``[draws, records]``.

    Returns
    -------
    means
        The means over classes of `METRICS` ``[draws]``; NaN for a mean over no class.
    of_classes
        The `CLASS_METRICS` of each class ``[draws, classes]``; NaN where a class has no records on either side in a
        draw, which that draw's mean leaves out.

    Raises
    ------
    LfbtError
        As `check_scored` does.
    """
    probabilities, targets = check_scored(probabilities, targets)
    if not exclusive and thresholds is None:
        thresholds = np.full(targets.shape[1], 0.5)
    areas = class_areas(probabilities, targets, weights)
    means = {name: _mean(values) for name, values in areas.items()}
    return means | _prediction_metrics(probabilities, targets, weights, exclusive, thresholds), areas


def class_areas(
    probabilities: Probabilities, targets: NDArray[np.bool_], weights: NDArray[np.int32]
) -> dict[str, Array]:
    """Compute AUROC and AUPRC of each class against the rest ``[draws, classes]``.

    Those of scikit-learn's ``roc_auc_score`` and ``average_precision_score`` with `weights` ``[draws, records]`` as
    sample weights; NaN without weight on either side.
    """
    areas = {name: np.full((len(weights), targets.shape[1]), np.nan) for name in CLASS_METRICS}
    ranks = [_Ranks(scores, positive) for scores, positive in zip(probabilities.T, targets.T, strict=True)]
    for block in _blocks(weights):
        by_record = np.ascontiguousarray(weights[block].T)
        for k, of_class in enumerate(ranks):
            if targets[:, k].any():
                areas["auroc"][block, k], areas["auprc"][block, k] = of_class.areas(by_record)
    return areas


class _Ranks:
    """The order of one class's scores, from high to low; only the groups of equal scores with a positive matter."""

    def __init__(self, scores: Probabilities, positive: NDArray[np.bool_]) -> None:
        order = np.argsort(-scores, kind="stable")
        ranked = scores[order]
        begins = np.append(True, ranked[1:] != ranked[:-1])
        group = np.cumsum(begins) - 1
        first = np.flatnonzero(begins)
        end = np.append(first[1:], len(scores))
        of_positives = group[positive[order]]
        groups = np.unique(of_positives)
        self.order, self.positives = order, order[positive[order]]
        # Records ranked above each group, above its end, and positives above its end.
        self.first, self.end = first[groups], end[groups]
        self.n_positives = np.searchsorted(of_positives, groups, side="right")

    def areas(self, weights: NDArray[np.int32]) -> tuple[Array, Array]:
        """AUROC and AUPRC ``[draws]`` under weights ``[records, draws]``."""
        all_above, positives_above = _running_sums(weights[self.order]), _running_sums(weights[self.positives])
        found = positives_above[self.n_positives]
        before = np.concatenate([found[:1] * 0, found[:-1]])
        gained = found - before
        total, n_positive = all_above[self.end], positives_above[-1].astype(np.float64)
        n_negative = all_above[-1] - n_positive
        # A negative in the group counts half: the mean of those above its end and those above its beginning.
        wrong = (total - found + all_above[self.first] - before) / 2
        auroc = _ratio((gained * (n_negative - wrong)).sum(axis=0), n_positive * n_negative)
        precision = found / np.maximum(total, 1)
        # Added up one by one, so that the last digits do not depend on the number of draws.
        auprc = _ratio(np.cumsum(gained * precision, axis=0)[-1], n_positive)
        return auroc, np.where(n_negative > 0, auprc, np.nan)


def _running_sums(weights: NDArray[np.int32]) -> NDArray[np.int64]:
    """Sums of the first 0, 1, … all rows ``[rows + 1, draws]``."""
    sums = np.zeros((len(weights) + 1, weights.shape[1]), dtype=np.int64)
    np.cumsum(weights, axis=0, out=sums[1:])
    return sums


def _prediction_metrics(
    probabilities: Probabilities,
    targets: NDArray[np.bool_],
    weights: NDArray[np.int32],
    exclusive: bool,
    thresholds: Array | None,
) -> dict[str, Array]:
    above = above_threshold(probabilities, thresholds)
    predicted = predict_most_probable(probabilities) if exclusive else above
    right = (predicted == targets).all(axis=1, keepdims=True)
    n_classes = targets.shape[1]
    everything = np.ones((len(targets), 1), dtype=bool)
    counted = [everything, right, targets, predicted, predicted & targets, above, above & targets]
    columns = np.concatenate(counted, axis=1, dtype=np.float64)
    sums = np.concatenate([weights[block].astype(np.float64) @ columns for block in _blocks(weights)])
    total, n_right = sums[:, :1], sums[:, 1]
    positives, n_predicted, hits, n_above, hits_above = np.split(sums[:, 2:], 5, axis=1)
    negatives = total - positives
    scored = (positives > 0) & (negatives > 0)
    decided = scored & has_threshold(thresholds, n_classes)
    sensitivity = np.where(decided, _ratio(hits_above, positives), np.nan)
    specificity = np.where(decided, _ratio(negatives - n_above + hits_above, negatives), np.nan)
    f1 = np.where(scored if exclusive else decided, _ratio(2 * hits, positives + n_predicted), np.nan)
    recall = np.where(scored, _ratio(hits, positives), np.nan)
    return {
        "accuracy": n_right / total[:, 0],
        "f1": _mean(f1),
        "balanced_accuracy": _mean(recall if exclusive else (sensitivity + specificity) / 2),
        "sensitivity": _mean(sensitivity),
        "specificity": _mean(specificity),
    }


def intervals(
    probabilities: Probabilities,
    targets: NDArray[np.bool_],
    patients: Sequence[str],
    exclusive: bool,
    thresholds: Array | None = None,
    n_draws: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    classes: Sequence[str] | None = None,
) -> Intervals:
    """Compute percentile intervals of the `METRICS`, and of each class's `CLASS_METRICS`, over draws of patients.

    Parameters
    ----------
    probabilities, targets, exclusive, thresholds
        As in `evaluate`.
    patients
        The patient of each record.
    n_draws, seed
        Number of draws, and their seed.
    level
        Share of the draws that an interval holds.
    classes
        Names of the classes; their numbers by default.

    Raises
    ------
    LfbtError
        As `check_scored` does, and for another number of patients than of records.
    """
    if len(patients) != len(targets):
        raise LfbtError(f"patients: {len(patients)} for {format_count(len(targets), 'record')}; give one for each")
    weights = bootstrap_weights(patients, n_draws, seed)
    means, of_classes = bootstrap_metrics(probabilities, targets, weights, exclusive, thresholds)
    auroc, auprc = of_classes["auroc"], of_classes["auprc"]
    names = [str(k) for k in range(auroc.shape[1])] if classes is None else classes
    rare = find_rare(np.asarray(targets, dtype=bool))
    others = means_without(of_classes, rare)
    return Intervals(
        level=level,
        n_draws=n_draws,
        seed=seed,
        patients=len(set(patients)),
        **{metric: interval(means[metric], level) for metric in METRICS},
        counted={metric: n_counted(means[metric]) for metric in METRICS},
        per_class={
            name: ClassIntervals(interval(auroc[:, k], level), interval(auprc[:, k], level), n_counted(auroc[:, k]))
            for k, name in enumerate(names)
        },
        without_rare=ClassIntervals(
            interval(others["auroc"], level), interval(others["auprc"], level), n_counted(others["auroc"])
        )
        if rare.any()
        else None,
    )


def interval(values: Array, level: float = 0.95) -> Interval:
    """Return the percentiles ``(low, high)`` that hold `level` of the `values` ``[draws]``, NaN left out.

    >>> interval(np.array([1.0, 2.0, 3.0, np.nan]), level=1)
    (1.0, 3.0)
    """
    known = values[~np.isnan(values)]
    if not len(known):
        return None
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def n_counted(values: Array) -> int:
    """Return in how many draws a metric exists."""
    return int((~np.isnan(values)).sum())


def _blocks(weights: NDArray[np.int32]) -> list[slice]:
    n_draws, n_records = weights.shape
    size = max(1, _BLOCK // n_records)
    return [slice(start, start + size) for start in range(0, n_draws, size)]


def _ratio(part: Array, total: Array) -> Array:
    ratio = np.full(total.shape, np.nan)
    np.divide(part, total, out=ratio, where=total > 0)
    return ratio


def _mean(values: Array) -> Array:
    """Means over classes ``[draws]`` of ``[draws, classes]``, of those that are known."""
    known = ~np.isnan(values)
    return _ratio(np.where(known, values, 0).sum(axis=1), known.sum(axis=1))
