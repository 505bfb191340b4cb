"""Metrics of a classifier's probabilities, and the thresholds above which it calls a class."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Probabilities = NDArray[np.floating[Any]]

# Of the expected calibration error.
_BINS = 15


def evaluate(
    probabilities: Probabilities,
    targets: NDArray[np.bool_],
    classes: Sequence[str],
    thresholds: NDArray[np.float64] | None = None,
    exclusive: bool = True,
) -> dict[str, Any]:
    """Metrics of `probabilities` ``[records, classes]`` against `targets` ``[records, classes]``.

    `exclusive`: each record has exactly one class, and the most probable is called (of equals the first). Otherwise
    (multi-label) each class whose probability reaches its threshold is called: 0.5 unless `thresholds` ``[classes]``
    are given, and never where that is NaN.

    - ``auroc``, ``auprc`` (average precision), ``prior`` (the share of positives, which is the AUPRC of a coin),
      ``f1``: one class against the rest, mean over classes.
    - ``accuracy``: the share of records called right; multi-label: right in every class.
    - ``sensitivity``, ``specificity``: of each class at its threshold, mean over classes; of exclusive classes None
      without `thresholds`.
    - ``balanced_accuracy``: mean recall over classes; multi-label: the mean of sensitivity and specificity.
    - ``ece``: expected calibration error in 15 equal bins (Guo et al., 2017) of the probability of the class called;
      multi-label: of every class's probability, mean over classes.
    - ``confusion_matrix``: rows true, columns called classes; multi-label: ``[[tn, fp], [fn, tp]]`` of each class.

    A mean over classes is of those with records on either side, which have the class and which lack it; at thresholds,
    of those that have one, too. Others have None for figures, and so has a mean over no class. ``absent_classes`` have
    no record. The calibration error is of all classes, as it needs no side.
    """
    from sklearn.metrics import average_precision_score, confusion_matrix, roc_auc_score

    counts = targets.sum(axis=0)
    scored = (counts > 0) & (counts < len(targets))
    if not exclusive and thresholds is None:
        thresholds = np.full(len(classes), 0.5)
    called = predict_most_probable(probabilities) if exclusive else above_threshold(probabilities, thresholds)
    decided = scored if exclusive else scored & has_threshold(thresholds, len(classes))
    at_threshold = _rates(
        targets, above_threshold(probabilities, thresholds), scored & has_threshold(thresholds, len(classes))
    )
    of_called = _rates(targets, called, decided)
    per_class = {}
    for k, name in enumerate(classes):
        threshold = None if thresholds is None or np.isnan(thresholds[k]) else float(thresholds[k])
        per_class[name] = {
            "records": int(counts[k]),
            "prior": float(counts[k] / len(targets)),
            "auroc": float(roc_auc_score(targets[:, k], probabilities[:, k])) if scored[k] else None,
            "auprc": float(average_precision_score(targets[:, k], probabilities[:, k])) if scored[k] else None,
            "threshold": threshold,
            "sensitivity": at_threshold[k]["sensitivity"],
            "specificity": at_threshold[k]["specificity"],
            "f1": of_called[k]["f1"],
        }
    figures = list(per_class.values())
    if exclusive:
        matrix = confusion_matrix(targets.argmax(axis=1), called.argmax(axis=1), labels=np.arange(len(classes)))
    else:
        matrix = _counts(targets, called)
    return {
        "records": len(targets),
        "auroc": _mean(row["auroc"] for row in figures),
        "auprc": _mean(row["auprc"] for row in figures),
        "prior": _mean(row["prior"] if scored[k] else None for k, row in enumerate(figures)),
        "f1": _mean(row["f1"] for row in figures),
        "accuracy": float((called == targets).all(axis=1).mean()),
        "balanced_accuracy": _mean(row["sensitivity" if exclusive else "balanced"] for row in of_called),
        "sensitivity": _mean(row["sensitivity"] for row in figures),
        "specificity": _mean(row["specificity"] for row in figures),
        "ece": _calibration_error(probabilities, targets, exclusive),
        "absent_classes": [name for name, row in per_class.items() if row["records"] == 0],
        "per_class": per_class,
        "confusion_matrix": matrix.tolist(),
    }


def choose_thresholds(probabilities: Probabilities, targets: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The threshold ``[classes]`` of each class with the greatest sensitivity + specificity − 1 (Youden's J).

    To be chosen on validation; a probability that reaches it is called positive. Of several that are as good the
    highest is taken. It stands half-way between the lowest probability called positive and the next below it; where
    all are called, it is the lowest. NaN for a class without records on either side.
    """
    from sklearn.metrics import roc_curve

    thresholds = np.full(targets.shape[1], np.nan)
    for k, positive in enumerate(targets.T):
        n_positive, n_negative = int(positive.sum()), int((~positive).sum())
        if not n_positive or not n_negative:
            continue
        fpr, tpr, candidates = roc_curve(positive, probabilities[:, k].astype(np.float64), drop_intermediate=False)
        # In whole numbers, so that equals are equal. The first candidate calls none.
        gain = np.rint(tpr * n_positive) * n_negative - np.rint(fpr * n_negative) * n_positive
        best = 1 + int(gain[1:].argmax())
        lowest, below = candidates[best], candidates[min(best + 1, len(candidates) - 1)]
        middle = (lowest + below) / 2
        thresholds[k] = middle if middle > below else lowest
    return thresholds


def predict_most_probable(probabilities: Probabilities) -> NDArray[np.bool_]:
    """The one class of each record that is called ``[records, classes]``: of equals the first."""
    called = np.zeros(probabilities.shape, dtype=bool)
    called[np.arange(len(called)), probabilities.argmax(axis=1)] = True
    return called


def above_threshold(probabilities: Probabilities, thresholds: NDArray[np.float64] | None) -> NDArray[np.bool_]:
    """Where probabilities reach their thresholds ``[records, classes]``: nowhere without one."""
    if thresholds is None:
        return np.zeros(probabilities.shape, dtype=bool)
    at_least: NDArray[np.bool_] = probabilities >= thresholds
    return at_least


def has_threshold(thresholds: NDArray[np.float64] | None, n_classes: int) -> NDArray[np.bool_]:
    """Which classes have a threshold ``[classes]``."""
    return np.zeros(n_classes, dtype=bool) if thresholds is None else ~np.isnan(thresholds)


def _counts(targets: NDArray[np.bool_], called: NDArray[np.bool_]) -> NDArray[np.int64]:
    """``[[tn, fp], [fn, tp]]`` of each class ``[classes, 2, 2]``."""
    rows = [[(actual & said).sum(axis=0) for said in (~called, called)] for actual in (~targets, targets)]
    return np.moveaxis(np.array(rows), 2, 0)


def _rates(
    targets: NDArray[np.bool_], called: NDArray[np.bool_], known: NDArray[np.bool_]
) -> list[dict[str, float | None]]:
    """What each class's calls are worth; None for the classes that are not `known`."""
    rates: list[dict[str, float | None]] = []
    for ((tn, fp), (fn, tp)), is_known in zip(_counts(targets, called), known, strict=True):
        if is_known:
            sensitivity, specificity = float(tp / (tp + fn)), float(tn / (tn + fp))
            f1 = float(2 * tp / (2 * tp + fp + fn))
            balanced = (sensitivity + specificity) / 2
            rates.append({"sensitivity": sensitivity, "specificity": specificity, "f1": f1, "balanced": balanced})
        else:
            rates.append(dict.fromkeys(("sensitivity", "specificity", "f1", "balanced")))
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


def _mean(figures: Iterable[float | None]) -> float | None:
    known = [figure for figure in figures if figure is not None]
    return float(np.mean(known)) if known else None
