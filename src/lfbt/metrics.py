"""Metrics of a classifier's probabilities: AUROC, AUPRC, F1, accuracy, confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def evaluate(
    probabilities: NDArray[np.floating[Any]], targets: NDArray[np.int64], classes: Sequence[str]
) -> dict[str, Any]:
    """Metrics of `probabilities` ``[records, classes]`` against class numbers `targets` ``[records]``.

    AUROC is one class against the rest, AUPRC the average precision; both are macro means over the classes that have
    records on either side. A class without a record is named in ``absent_classes`` and has no figures of its own;
    where no class has any, the mean is None. Rows of the confusion matrix are true classes, columns predicted ones.
    """
    from sklearn.metrics import average_precision_score, confusion_matrix, f1_score, roc_auc_score

    numbers = np.arange(len(classes))
    predicted = probabilities.argmax(axis=1)
    per_class = {}
    for k, name in enumerate(classes):
        positive = targets == k
        scored = 0 < positive.sum() < len(targets)
        per_class[name] = {
            "records": int(positive.sum()),
            "prior": float(positive.mean()),
            "auroc": float(roc_auc_score(positive, probabilities[:, k])) if scored else None,
            "auprc": float(average_precision_score(positive, probabilities[:, k])) if scored else None,
        }
    present = [k for k in numbers if (targets == k).any()]
    return {
        "records": len(targets),
        "auroc": _mean([figures["auroc"] for figures in per_class.values()]),
        "auprc": _mean([figures["auprc"] for figures in per_class.values()]),
        "accuracy": float((predicted == targets).mean()),
        "f1": float(f1_score(targets, predicted, labels=present, average="macro", zero_division=0)),
        "absent_classes": [name for name, figures in per_class.items() if figures["records"] == 0],
        "per_class": per_class,
        "confusion_matrix": confusion_matrix(targets, predicted, labels=numbers).tolist(),
    }


def _mean(figures: Sequence[float | None]) -> float | None:
    known = [figure for figure in figures if figure is not None]
    return float(np.mean(known)) if known else None
