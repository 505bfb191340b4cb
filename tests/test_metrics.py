"""The metrics: by hand, against literal counts of pairs and thresholds, and with classes that are not there."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from lfbt.metrics import evaluate


def literal_auroc(positive, scores):
    """The share of pairs of a positive and a negative that are in order; a tie counts half."""
    pairs = [(p > n) + 0.5 * (p == n) for p in scores[positive] for n in scores[~positive]]
    return sum(pairs) / len(pairs)


def literal_auprc(positive, scores):
    """The sum over thresholds, from high to low, of precision times the recall gained."""
    area, recall = 0.0, 0.0
    for threshold in sorted(set(scores.tolist()), reverse=True):
        chosen = scores >= threshold
        found = (positive & chosen).sum() / positive.sum()
        area += (found - recall) * (positive & chosen).sum() / chosen.sum()
        recall = found
    return area


def literal_f1(targets, predicted, k):
    right = ((targets == k) & (predicted == k)).sum()
    return 2 * right / ((targets == k).sum() + (predicted == k).sum())


def some_probabilities(n_records, n_classes, seed):
    """Probabilities in steps, so that there are ties."""
    p = np.random.default_rng(seed).integers(1, 6, (n_records, n_classes)).astype(float)
    return p / p.sum(axis=1, keepdims=True)


def test_by_hand():
    """The four records of scikit-learn's manual: AUROC 3/4, average precision 5/6 = (1 + 2/3) / 2."""
    p = np.array([0.1, 0.4, 0.35, 0.8])
    result = evaluate(np.column_stack([1 - p, p]), np.array([0, 0, 1, 1]), ("no", "yes"))
    # Predicted: no, no, no, yes. F1: 2·2/(2 + 3) and 2·1/(2 + 1).
    assert result == {
        "records": 4,
        "auroc": pytest.approx(3 / 4),
        "auprc": pytest.approx(5 / 6),
        "accuracy": 3 / 4,
        "f1": pytest.approx((4 / 5 + 2 / 3) / 2),
        "absent_classes": [],
        "per_class": {
            "no": {"records": 2, "prior": 0.5, "auroc": pytest.approx(3 / 4), "auprc": pytest.approx(5 / 6)},
            "yes": {"records": 2, "prior": 0.5, "auroc": pytest.approx(3 / 4), "auprc": pytest.approx(5 / 6)},
        },
        "confusion_matrix": [[2, 0], [1, 1]],
    }


def test_a_perfect_and_a_useless_classifier():
    targets = np.array([0, 1, 2, 0])
    perfect = evaluate(np.eye(3)[targets], targets, ("a", "b", "c"))
    assert [perfect[name] for name in ("auroc", "auprc", "accuracy", "f1")] == [1, 1, 1, 1]
    assert perfect["confusion_matrix"] == [[2, 0, 0], [0, 1, 0], [0, 0, 1]]
    useless = evaluate(np.full((4, 3), 1 / 3), targets, ("a", "b", "c"))
    assert useless["auroc"] == 0.5
    # Average precision of a score that says nothing is the prior: 1/2, 1/4 and 1/4.
    assert useless["auprc"] == pytest.approx(1 / 3)
    # All are called the first class.
    assert useless["accuracy"] == 0.5
    assert useless["confusion_matrix"] == [[2, 0, 0], [1, 0, 0], [1, 0, 0]]


@settings(max_examples=50)
@given(st.integers(2, 4), st.integers(4, 25), st.integers(0, 50), st.booleans())
def test_equals_literal_counts(n_classes, n_records, seed, single_precision):
    classes = [f"c{k}" for k in range(n_classes)]
    targets = np.random.default_rng(seed).integers(0, n_classes, n_records)
    p = some_probabilities(n_records, n_classes, seed)
    if single_precision:
        p = p.astype(np.float32)
    result = evaluate(p, targets, classes)
    # The first of the highest.
    predicted = np.array([row.tolist().index(row.max()) for row in p])
    present = sorted(set(targets.tolist()))
    scored = [k for k in present if len(present) > 1]
    for k, name in enumerate(classes):
        figures = result["per_class"][name]
        positive = targets == k
        assert figures["records"] == positive.sum()
        assert figures["prior"] == pytest.approx(positive.sum() / n_records)
        assert figures["auroc"] == (pytest.approx(literal_auroc(positive, p[:, k])) if k in scored else None)
        assert figures["auprc"] == (pytest.approx(literal_auprc(positive, p[:, k])) if k in scored else None)
    for name in ("auroc", "auprc"):
        mean = np.mean([result["per_class"][classes[k]][name] for k in scored]) if scored else None
        assert result[name] == (pytest.approx(mean) if scored else None)
    assert result["absent_classes"] == [name for k, name in enumerate(classes) if k not in present]
    assert result["accuracy"] == pytest.approx((predicted == targets).mean())
    assert result["f1"] == pytest.approx(np.mean([literal_f1(targets, predicted, k) for k in present]))
    counts = [[int(((targets == a) & (predicted == b)).sum()) for b in range(n_classes)] for a in range(n_classes)]
    assert result["confusion_matrix"] == counts
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_equals_scikit_learns_macro_means():
    targets = np.arange(40) % 4
    p = some_probabilities(40, 4, 3)
    result = evaluate(p, targets, "abcd")
    assert result["auroc"] == pytest.approx(roc_auc_score(targets, p, multi_class="ovr", average="macro"))
    assert result["auprc"] == pytest.approx(average_precision_score(np.eye(4)[targets], p, average="macro"))
    assert result["f1"] == pytest.approx(f1_score(targets, p.argmax(axis=1), average="macro"))


def test_a_class_without_records_is_named_and_left_out():
    """Class b has no record, though it is predicted once: the means are those of a and c."""
    p = np.array([[0.8, 0.1, 0.1], [0.2, 0.6, 0.2], [0.1, 0.2, 0.7], [0.3, 0.1, 0.6]])
    targets = np.array([0, 0, 2, 2])
    result = evaluate(p, targets, ("a", "b", "c"))
    assert result["absent_classes"] == ["b"]
    assert result["per_class"]["b"] == {"records": 0, "prior": 0, "auroc": None, "auprc": None}
    # a: the second record scores below the fourth: 3 of 4 pairs, precision 1 and 2/3. c: in order.
    assert result["auroc"] == pytest.approx((3 / 4 + 1) / 2)
    assert result["auprc"] == pytest.approx((5 / 6 + 1) / 2)
    assert result["accuracy"] == 3 / 4
    assert result["f1"] == pytest.approx((2 / 3 + 1) / 2)
    assert result["confusion_matrix"] == [[1, 1, 0], [0, 0, 0], [0, 0, 2]]


def test_records_of_one_class_only():
    """There is nothing to rank: no AUROC and no AUPRC, and (as everywhere here) no warning."""
    result = evaluate(np.array([[0.8, 0.2], [0.3, 0.7]]), np.array([0, 0]), ("a", "b"))
    assert (result["auroc"], result["auprc"], result["absent_classes"]) == (None, None, ["b"])
    assert result["per_class"]["a"] == {"records": 2, "prior": 1, "auroc": None, "auprc": None}
    assert result["accuracy"] == 0.5
    assert result["confusion_matrix"] == [[1, 1], [0, 0]]
    assert json.loads(json.dumps(result, allow_nan=False)) == result
