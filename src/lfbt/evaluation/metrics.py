"""Metrics of a classifier's probabilities, and the thresholds from which on a class is predicted."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lfbt.errors import LfbtError
from lfbt.runs.results import ClassScores, Scores

Probabilities = NDArray[np.floating[Any]]

# Bins of the expected calibration error.
_BINS = 15


def check_scored(probabilities: ArrayLike, targets: ArrayLike) -> tuple[Probabilities, NDArray[np.bool_]]:
    """Check what is scored against what is true.

    Parameters
    ----------
    probabilities
        Numbers ``[records, classes]``.
    targets
        Which classes each record has ``[records, classes]``: booleans, or numbers 0 and 1.

    Returns
    -------
    tuple of ndarray
        The probabilities, and the targets as booleans.

    Raises
    ------
    LfbtError
        For other targets, such as class numbers; for shapes that differ, no records, and a probability that is NaN.

    Examples
    --------
    >>> check_scored([[0.9, 0.1]], [[1, 0]])[1]
    array([[ True, False]])
    """
    scores, known = np.asarray(probabilities), np.asarray(targets)
    if scores.dtype.kind not in "fiu":
        raise LfbtError(f"probabilities: {scores.dtype} are not numbers")
    if known.ndim != 2 or scores.shape != known.shape or not known.size:
        raise LfbtError(
            f"targets: shape {list(known.shape)} for probabilities of shape {list(scores.shape)}; both must be "
            "[records, classes], with one record or more"
        )
    if np.isnan(scores).any():
        raise LfbtError(f"probabilities: NaN for record {np.flatnonzero(np.isnan(scores).any(axis=1))[0]}")
    if known.dtype.kind not in "biuf" or not np.isin(known, (0, 1)).all():
        raise LfbtError("targets: are not booleans or numbers 0 and 1; give a column for each class")
    return scores, known.astype(bool)


def evaluate(
    probabilities: Probabilities,
    targets: NDArray[np.bool_],
    classes: Sequence[str],
    thresholds: NDArray[np.float64] | None = None,
    exclusive: bool = True,
) -> Scores:
    """Compute the metrics of `probabilities` against `targets`.

    - ``auroc``, ``auprc`` (average precision), ``prior`` (the share of positives, which is the AUPRC of guessing),
      ``f1``: one class against the rest, mean over classes.
    - ``accuracy``: the share of records predicted right; multi-label: right in every class.
    - ``sensitivity``, ``specificity``: of each class at its threshold, mean over classes; of exclusive classes None
      without `thresholds`.
    - ``balanced_accuracy``: mean recall over classes; multi-label: the mean of sensitivity and specificity.
    - ``ece``: expected calibration error in 15 equal bins (Guo et al., 2017) of the probability of the predicted class;
      multi-label: of every class's probability, mean over classes.
    - ``confusion_matrix``: rows true, columns predicted classes; multi-label: ``[[tn, fp], [fn, tp]]`` of each class.

    A mean over classes is of those with records on either side, which have the class and which lack it; at thresholds,
    of those that have one, too. The metrics of others are None, and so is a mean over no class. ``absent_classes`` have
    no record. The calibration error is of all classes, as it needs no side.

    Parameters
    ----------
    probabilities
        ``[records, classes]``.
    targets
        Which classes each record has ``[records, classes]``.
    classes
        The names of the columns.
    thresholds
        The probability of each class ``[classes]`` from which on it is predicted, never where it is NaN; in a
        multi-label task 0.5 by default.
    exclusive
        Whether each record has exactly one class, so that the most probable is predicted (of equals the first);
        otherwise (multi-label) each class is whose probability reaches its threshold.

    Returns
    -------
    Scores
        Without intervals; for these see `lfbt.evaluation.bootstrap.intervals`.

    Raises
    ------
    LfbtError
        As `check_scored` does.

    Examples
    --------
    >>> evaluate(np.array([[0.9, 0.1], [0.4, 0.6]]), np.eye(2, dtype=bool), ["a", "b"]).accuracy
    1.0
    """
    from sklearn.metrics import average_precision_score, confusion_matrix, roc_auc_score

    probabilities, targets = check_scored(probabilities, targets)
    counts = targets.sum(axis=0)
    scored = (counts > 0) & (counts < len(targets))
    if not exclusive and thresholds is None:
        thresholds = np.full(len(classes), 0.5)
    predicted = predict_most_probable(probabilities) if exclusive else above_threshold(probabilities, thresholds)
    decided = scored & has_threshold(thresholds, len(classes))
    at_threshold = _rates(targets, above_threshold(probabilities, thresholds), decided)
    of_predicted = _rates(targets, predicted, scored if exclusive else decided)
    per_class = {
        name: ClassScores(
            records=int(counts[k]),
            prior=float(counts[k] / len(targets)),
            auroc=float(roc_auc_score(targets[:, k], probabilities[:, k])) if scored[k] else None,
            auprc=float(average_precision_score(targets[:, k], probabilities[:, k])) if scored[k] else None,
            threshold=None if thresholds is None or np.isnan(thresholds[k]) else float(thresholds[k]),
            sensitivity=at_threshold[k].sensitivity,
            specificity=at_threshold[k].specificity,
            f1=of_predicted[k].f1,
        )
        for k, name in enumerate(classes)
    }
    if exclusive:
        matrix = confusion_matrix(targets.argmax(axis=1), predicted.argmax(axis=1), labels=np.arange(len(classes)))
    else:
        matrix = _counts(targets, predicted)
    rows = list(per_class.values())
    return Scores(
        records=len(targets),
        auroc=_mean(row.auroc for row in rows),
        auprc=_mean(row.auprc for row in rows),
        prior=_mean(row.prior if is_scored else None for row, is_scored in zip(rows, scored, strict=True)),
        f1=_mean(row.f1 for row in rows),
        accuracy=float((predicted == targets).all(axis=1).mean()),
        balanced_accuracy=_mean(rates.sensitivity if exclusive else rates.balanced for rates in of_predicted),
        sensitivity=_mean(row.sensitivity for row in rows),
        specificity=_mean(row.specificity for row in rows),
        ece=_calibration_error(probabilities, targets, exclusive),
        absent_classes=[name for name, row in per_class.items() if row.records == 0],
        per_class=per_class,
        confusion_matrix=matrix.tolist(),
    )


def choose_thresholds(probabilities: Probabilities, targets: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Choose the threshold of each class with the greatest sensitivity + specificity − 1 (Youden's J, 1950).

    A probability that reaches the threshold is predicted positive. Of several that are as good the highest is taken. It
    is half-way between the lowest probability predicted positive and the next below it; where all are predicted
    positive, it is the lowest.

    Parameters
    ----------
    probabilities, targets
        Of validation records ``[records, classes]``.

    Returns
    -------
    ndarray
        ``[classes]``; NaN for a class without records on either side.

    Raises
    ------
    LfbtError
        As `check_scored` does.
    """
    from sklearn.metrics import roc_curve

    probabilities, targets = check_scored(probabilities, targets)
    thresholds = np.full(targets.shape[1], np.nan)
    for k, positive in enumerate(targets.T):
        n_positive, n_negative = int(positive.sum()), int((~positive).sum())
        if not n_positive or not n_negative:
            continue
        fpr, tpr, candidates = roc_curve(positive, probabilities[:, k].astype(np.float64), drop_intermediate=False)
        # In integers, so that ties are exact. The first candidate predicts no record positive.
        gain = np.rint(tpr * n_positive) * n_negative - np.rint(fpr * n_negative) * n_positive
        best = 1 + int(gain[1:].argmax())
        lowest, below = candidates[best], candidates[min(best + 1, len(candidates) - 1)]
        middle = (lowest + below) / 2
        thresholds[k] = middle if middle > below else lowest
    return thresholds


def predict_most_probable(probabilities: Probabilities) -> NDArray[np.bool_]:
    """Predict the most probable class of each record ``[records, classes]``: of equals the first."""
    predicted = np.zeros(probabilities.shape, dtype=bool)
    predicted[np.arange(len(predicted)), probabilities.argmax(axis=1)] = True
    return predicted


def above_threshold(probabilities: Probabilities, thresholds: NDArray[np.float64] | None) -> NDArray[np.bool_]:
    """Return where probabilities reach their thresholds ``[records, classes]``: nowhere without one."""
    if thresholds is None:
        return np.zeros(probabilities.shape, dtype=bool)
    at_least: NDArray[np.bool_] = probabilities >= thresholds
    return at_least


def has_threshold(thresholds: NDArray[np.float64] | None, n_classes: int) -> NDArray[np.bool_]:
    """Return which classes have a threshold ``[classes]``."""
    return np.zeros(n_classes, dtype=bool) if thresholds is None else ~np.isnan(thresholds)


def _counts(targets: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> NDArray[np.int64]:
    """``[[tn, fp], [fn, tp]]`` of each class ``[classes, 2, 2]``."""
    rows = [[(true & guess).sum(axis=0) for guess in (~predicted, predicted)] for true in (~targets, targets)]
    return np.moveaxis(np.array(rows), 2, 0)


@dataclasses.dataclass(frozen=True)
class _Rates:
    """Rates of one class's predictions; balanced: the mean of sensitivity and specificity."""

    sensitivity: float | None = None
    specificity: float | None = None
    f1: float | None = None
    balanced: float | None = None


def _rates(targets: NDArray[np.bool_], predicted: NDArray[np.bool_], known: NDArray[np.bool_]) -> list[_Rates]:
    """The rates of each class; None for the classes that are not `known`."""
    rates = []
    for ((tn, fp), (fn, tp)), is_known in zip(_counts(targets, predicted), known, strict=True):
        if is_known:
            sensitivity, specificity = float(tp / (tp + fn)), float(tn / (tn + fp))
            f1 = float(2 * tp / (2 * tp + fp + fn))
            rates.append(_Rates(sensitivity, specificity, f1, (sensitivity + specificity) / 2))
        else:
            rates.append(_Rates())
    return rates


def _calibration_error(probabilities: Probabilities, targets: NDArray[np.bool_], exclusive: bool) -> float:
    probabilities = probabilities.astype(np.float64)
    if exclusive:
        right = targets[predict_most_probable(probabilities)]
        return _gap(probabilities.max(axis=1), right)
    return float(np.mean([_gap(p, positive) for p, positive in zip(probabilities.T, targets.T, strict=True)]))


def _gap(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """Mean over records of the distance, within a bin ``(low, high]``, of mean confidence and share of right ones."""
    bins = np.clip(np.ceil(confidence * _BINS).astype(int) - 1, 0, _BINS - 1)
    gaps = np.bincount(bins, weights=confidence - right, minlength=_BINS)
    return float(np.abs(gaps).sum() / len(confidence))


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
