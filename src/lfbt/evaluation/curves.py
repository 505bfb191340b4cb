"""Curves of a classifier's probabilities: ROC, precision–recall, and how far they can be believed (calibration)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lfbt.evaluation.metrics import Probabilities, predict_most_probable

Array = NDArray[np.float64]

# Points of a curve: hundredths, as finely as it is drawn.
_GRID = np.linspace(0, 1, 101)
# Of a normal distribution, for intervals of 95 %.
_Z = 1.959963984540054


@dataclasses.dataclass(frozen=True)
class Curve:
    """A curve ``[points]`` with its band over draws of patients."""

    x: Array
    y: Array
    low: Array
    high: Array


@dataclasses.dataclass(frozen=True)
class Calibration:
    """Bins of probabilities that are not empty ``[bins]``.

    Parameters
    ----------
    predicted
        Mean probability.
    observed
        Share of what is so.
    low, high
        Its interval of 95 % (Wilson, 1927).
    counts
        How many there are.
    """

    predicted: Array
    observed: Array
    low: Array
    high: Array
    counts: NDArray[np.int64]


def roc_curve(
    scores: Sequence[Probabilities], positive: NDArray[np.bool_], weights: NDArray[np.int32], level: float = 0.95
) -> Curve:
    """Compute a class's ROC curve, the mean over seeds: sensitivity over the false positive rate.

    Parameters
    ----------
    scores
        Of each seed, the probabilities of the class ``[records]``.
    positive
        Which records have the class ``[records]``: some, and not all.
    weights
        How often each record is in each draw of patients ``[draws, records]``.
    level
        Share of the draws that the band holds, at each point by itself.

    Returns
    -------
    Curve
        At hundredths of the false positive rate, with straight lines between thresholds.

    Examples
    --------
    >>> scores, positive = np.array([0.9, 0.8, 0.3, 0.1]), np.array([True, False, True, False])
    >>> curve = roc_curve([scores], positive, np.ones((1, 4), dtype=np.int32))
    >>> float(curve.y[0]), float(curve.y[50]), float(curve.y[100])
    (0.5, 1.0, 1.0)
    """
    return _curve([_roc(one, positive, weights) for one in scores], level)


def precision_recall_curve(
    scores: Sequence[Probabilities], positive: NDArray[np.bool_], weights: NDArray[np.int32], level: float = 0.95
) -> Curve:
    """Compute a class's precision over its recall, the mean over seeds; parameters as of `roc_curve`.

    The precision at a recall is that of the highest threshold that reaches it, with no line between thresholds.

    Examples
    --------
    >>> scores, positive = np.array([0.9, 0.8, 0.3, 0.1]), np.array([True, False, True, False])
    >>> curve = precision_recall_curve([scores], positive, np.ones((1, 4), dtype=np.int32))
    >>> float(curve.y[50]), round(float(curve.y[51]), 3)
    (1.0, 0.667)
    """
    return _curve([_precision_recall(one, positive, weights) for one in scores], level)


def calibrate(
    probabilities: Sequence[Probabilities], targets: NDArray[np.bool_], exclusive: bool, n_bins: int = 10
) -> Calibration:
    """Compare probabilities with what came true, in bins ``(low, high]`` of equal width, all seeds together.

    Parameters
    ----------
    probabilities
        Of each seed ``[records, classes]``.
    targets
        Which classes each record has ``[records, classes]``.
    exclusive
        Whether each has exactly one: then the probability of the predicted class counts, and whether it was right;
        otherwise that of every class, and whether the record has it.
    n_bins
        Number of bins.

    Examples
    --------
    >>> found = calibrate([np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]])], np.eye(2, dtype=bool)[[0, 1, 1]], True, 2)
    >>> found.predicted.round(3).tolist(), found.observed.round(3).tolist(), found.counts.tolist()
    ([0.8], [0.667], [3])
    """
    stated, true = [], []
    for of_seed in probabilities:
        if exclusive:
            stated.append(of_seed.max(axis=1))
            true.append(targets[predict_most_probable(of_seed)])
        else:
            stated.append(of_seed.ravel())
            true.append(targets.ravel())
    p, is_true = np.concatenate(stated).astype(np.float64), np.concatenate(true)
    bins = np.clip(np.ceil(p * n_bins).astype(int) - 1, 0, n_bins - 1)
    counts = np.bincount(bins, minlength=n_bins)
    kept = counts > 0
    predicted = np.bincount(bins, weights=p, minlength=n_bins)[kept] / counts[kept]
    observed = np.bincount(bins, weights=is_true, minlength=n_bins)[kept] / counts[kept]
    # Records, as seeds are no further evidence.
    low, high = wilson(observed, counts[kept] / len(probabilities))
    return Calibration(predicted, observed, low, high, counts[kept])


def wilson(share: Array, n: Array) -> tuple[Array, Array]:
    """Return the interval of 95 % of shares of `n` (Wilson, 1927).

    >>> low, high = wilson(np.array([0.5]), np.array([10.0]))
    >>> float(low[0].round(4)), float(high[0].round(4))
    (0.2366, 0.7634)
    """
    centre = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z / (1 + _Z**2 / n) * np.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2))
    return centre - half, centre + half


def _curve(of_seeds: Sequence[Array], level: float) -> Curve:
    """The mean over seeds of ``[1 + draws, points]``, the first row of all records, the others of draws."""
    mean = np.mean(of_seeds, axis=0)
    drawn = mean[1:][~np.isnan(mean[1:]).any(axis=1)]
    if not len(drawn):
        return Curve(_GRID, mean[0], mean[0], mean[0])
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return Curve(_GRID, mean[0], low, high)


def _count_positives(
    scores: Probabilities, positive: NDArray[np.bool_], weights: NDArray[np.int32]
) -> tuple[Array, Array]:
    """True and false positives ``[1 + draws, thresholds]``, from the highest threshold down to none."""
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    all_weights = np.concatenate([np.ones((1, len(scores)), dtype=np.int32), weights])[:, order]
    true_positives = np.cumsum(all_weights * positive[order], axis=1, dtype=np.float64)[:, ends]
    return true_positives, np.cumsum(all_weights, axis=1, dtype=np.float64)[:, ends] - true_positives


def _roc(scores: Probabilities, positive: NDArray[np.bool_], weights: NDArray[np.int32]) -> Array:
    true_positives, false_positives = _count_positives(scores, positive, weights)
    rows = np.full((len(true_positives), len(_GRID)), np.nan)
    for row, true, false in zip(rows, true_positives, false_positives, strict=True):
        if true[-1] and false[-1]:
            x, y = np.append(0, false / false[-1]), np.append(0, true / true[-1])
            row[:] = np.interp(_GRID, x, y)
            # At one false positive rate the highest sensitivity, where the curve rises straight up.
            row[0] = y[np.searchsorted(x, 0, side="right") - 1]
    return rows


def _precision_recall(scores: Probabilities, positive: NDArray[np.bool_], weights: NDArray[np.int32]) -> Array:
    true_positives, false_positives = _count_positives(scores, positive, weights)
    rows = np.full((len(true_positives), len(_GRID)), np.nan)
    for row, true, false in zip(rows, true_positives, false_positives, strict=True):
        if true[-1] and false[-1]:
            n = np.maximum(true + false, 1)
            # At the recall 0 that of the first threshold with a true positive.
            place = np.searchsorted(true / true[-1], np.maximum(_GRID, 1e-6) - 1e-9)
            row[:] = (true / n)[np.minimum(place, len(n) - 1)]
    return rows
