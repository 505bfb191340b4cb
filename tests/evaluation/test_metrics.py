"""The metrics: by hand, against literal counts of pairs and thresholds, and with classes that are not there."""

import dataclasses
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    f1_score,
    multilabel_confusion_matrix,
    roc_auc_score,
    roc_curve,
)

from lfbt.errors import LfbtError
from lfbt.evaluation.bootstrap import intervals
from lfbt.evaluation.metrics import choose_thresholds, evaluate
from lfbt.runs.results import ClassScores


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


def literal_rates(positive, called):
    """Sensitivity, specificity, F1."""
    tp, fp = (positive & called).sum(), (~positive & called).sum()
    fn, tn = (positive & ~called).sum(), (~positive & ~called).sum()
    return tp / (tp + fn), tn / (tn + fp), 2 * tp / (2 * tp + fp + fn)


def literal_ece(confidences, right):
    """Bin by bin: its share of records times the distance of mean confidence and share of right ones."""
    error = 0.0
    for b in range(15):
        inside = [i for i, c in enumerate(confidences) if b / 15 < c <= (b + 1) / 15 or (b == 0 and c == 0)]
        if inside:
            gap = abs(np.mean([confidences[i] for i in inside]) - np.mean([right[i] for i in inside]))
            error += len(inside) / len(confidences) * gap
    return error


def literal_j(positive, scores, threshold):
    sensitivity, specificity, _ = literal_rates(positive, scores >= threshold)
    return sensitivity + specificity - 1


def some_probabilities(n_records, n_classes, seed):
    """Probabilities in steps, so that there are ties."""
    p = np.random.default_rng(seed).integers(1, 6, (n_records, n_classes)).astype(float)
    return p / p.sum(axis=1, keepdims=True)


def some_scores(n_records, n_classes, seed):
    """Independent probabilities of classes, in steps that are no limit of a bin."""
    return np.random.default_rng(seed).integers(0, 8, (n_records, n_classes)) / 7.3


def of_numbers(numbers, n_classes):
    return np.eye(n_classes, dtype=bool)[np.asarray(numbers)]


def some_thresholds(n_classes, seed):
    """A few of them NaN."""
    rng = np.random.default_rng(seed + 100)
    return np.where(rng.random(n_classes) < 0.2, np.nan, rng.integers(1, 8, n_classes) / 7.3)


def known_mean(figures):
    known = [figure for figure in figures if figure is not None]
    return pytest.approx(np.mean(known)) if known else None


def test_evaluate_by_hand():
    """The four records of scikit-learn's manual: AUROC 3/4, average precision 5/6 = (1 + 2/3) / 2."""
    p = np.array([0.1, 0.4, 0.35, 0.8])
    targets = of_numbers([0, 0, 1, 1], 2)
    result = evaluate(np.column_stack([1 - p, p]), targets, ("no", "yes"), np.array([0.65, np.nan]))
    # Called by the higher: no, no, no, yes. F1: 2·2/(2 + 3) and 2·1/(2 + 1).
    # "no" at 0.65 is called on the first and third record: of its two one, and of the others one.
    # Confidences 0.9, 0.6, 0.65, 0.8; the third is wrong, alone in its bin of (9/15, 10/15]; 0.6 is in the one below.
    areas = {"auroc": pytest.approx(3 / 4), "auprc": pytest.approx(5 / 6)}
    no = {"threshold": 0.65, "sensitivity": 0.5, "specificity": 0.5, "f1": pytest.approx(4 / 5)}
    yes = {"threshold": None, "sensitivity": None, "specificity": None, "f1": pytest.approx(2 / 3)}
    assert dataclasses.asdict(result) == {
        "records": 4,
        **areas,
        "prior": 0.5,
        "accuracy": 3 / 4,
        "f1": pytest.approx((4 / 5 + 2 / 3) / 2),
        "balanced_accuracy": 3 / 4,
        "sensitivity": 0.5,
        "specificity": 0.5,
        "ece": pytest.approx((0.1 + 0.4 + 0.65 + 0.2) / 4),
        "absent_classes": [],
        "per_class": {
            "no": {"records": 2, "prior": 0.5, **areas, **no},
            "yes": {"records": 2, "prior": 0.5, **areas, **yes},
        },
        "confusion_matrix": [[2, 0], [1, 1]],
        "intervals": None,
    }


def test_evaluate_of_several_classes_a_record_by_hand():
    """Four records of classes a and b, each called at 0.5 but for b, which is called at 0.2."""
    p = np.array([[0.9, 0.3], [0.6, 0.1], [0.4, 0.25], [0.2, 0.05]])
    targets = np.array([[1, 1], [1, 1], [0, 0], [1, 0]], dtype=bool)
    result = evaluate(p, targets, ("a", "b"), np.array([0.5, 0.2]), exclusive=False)
    # a: called on 1 and 2, missed on 4. b: called on 1 and wrongly on 3, missed on 2.
    assert result.confusion_matrix == [[[1, 0], [1, 2]], [[1, 1], [1, 1]]]
    assert result.accuracy == 1 / 4
    assert result.sensitivity == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert result.specificity == pytest.approx((1 + 1 / 2) / 2)
    assert result.balanced_accuracy == pytest.approx((5 / 6 + 1 / 2) / 2)
    assert result.f1 == pytest.approx((4 / 5 + 1 / 2) / 2)
    assert result.prior == pytest.approx((3 / 4 + 1 / 2) / 2)
    # Pairs in order: a 2 of 3, b 3 of 4. At its positives the precision of b is 1 and 2/3.
    assert result.auroc == pytest.approx((2 / 3 + 3 / 4) / 2)
    assert result.per_class["b"].auprc == pytest.approx((1 + 2 / 3) / 2)
    # Every probability is alone in its bin.
    a, b = (0.1 + 0.4 + 0.4 + 0.8) / 4, (0.7 + 0.9 + 0.25 + 0.05) / 4
    assert result.ece == pytest.approx((a + b) / 2)


def test_evaluate_of_a_perfect_and_a_useless_classifier():
    numbers = [0, 1, 2, 0]
    targets = of_numbers(numbers, 3)
    perfect = evaluate(np.eye(3)[numbers], targets, ("a", "b", "c"), np.full(3, 0.5))
    best = ("auroc", "auprc", "accuracy", "f1", "balanced_accuracy", "sensitivity", "specificity")
    assert [getattr(perfect, name) for name in best] == [1] * 7
    assert perfect.ece == 0
    assert perfect.confusion_matrix == [[2, 0, 0], [0, 1, 0], [0, 0, 1]]
    useless = evaluate(np.full((4, 3), 1 / 3), targets, ("a", "b", "c"))
    assert useless.auroc == 0.5
    # Average precision of a score that says nothing is the prior: 1/2, 1/4 and 1/4.
    assert useless.auprc == useless.prior == pytest.approx(1 / 3)
    # All are called the first class.
    assert useless.accuracy == 0.5
    assert useless.balanced_accuracy == pytest.approx(1 / 3)
    assert useless.confusion_matrix == [[2, 0, 0], [1, 0, 0], [1, 0, 0]]
    # Without thresholds nothing is said of them.
    assert useless.sensitivity is useless.specificity is None
    assert useless.per_class["a"].threshold is None


@settings(max_examples=50)
@given(st.integers(2, 4), st.integers(4, 25), st.integers(0, 50), st.booleans(), st.booleans())
def test_evaluate_equals_literal_counts(n_classes, n_records, seed, single_precision, with_thresholds):
    classes = [f"c{k}" for k in range(n_classes)]
    numbers = np.random.default_rng(seed).integers(0, n_classes, n_records)
    targets = of_numbers(numbers, n_classes)
    p = some_probabilities(n_records, n_classes, seed)
    if single_precision:
        p = p.astype(np.float32)
    thresholds: Any = some_thresholds(n_classes, seed) if with_thresholds else None
    result = evaluate(p, targets, classes, thresholds)
    # The first of the highest.
    called = np.array([row.tolist().index(row.max()) for row in p])
    present = sorted(set(numbers.tolist()))
    scored = [k for k in present if len(present) > 1]
    recalls = []
    for k, name in enumerate(classes):
        figures = result.per_class[name]
        positive = targets[:, k]
        assert figures.records == positive.sum()
        assert figures.prior == pytest.approx(positive.sum() / n_records)
        assert figures.auroc == (pytest.approx(literal_auroc(positive, p[:, k])) if k in scored else None)
        assert figures.auprc == (pytest.approx(literal_auprc(positive, p[:, k])) if k in scored else None)
        if k in scored:
            recall, _, f1 = literal_rates(positive, called == k)
            recalls.append(recall)
            assert figures.f1 == pytest.approx(f1)
        if k in scored and with_thresholds and not np.isnan(thresholds[k]):
            sensitivity, specificity, _ = literal_rates(positive, p[:, k] >= thresholds[k])
            assert figures.threshold == thresholds[k]
            assert figures.sensitivity == pytest.approx(sensitivity)
            assert figures.specificity == pytest.approx(specificity)
        else:
            assert figures.sensitivity is figures.specificity is None
    for name in ("auroc", "auprc", "f1", "sensitivity", "specificity"):
        assert getattr(result, name) == known_mean([getattr(figures, name) for figures in result.per_class.values()])
    assert result.prior == known_mean([targets[:, k].mean() for k in scored])
    assert result.balanced_accuracy == known_mean(recalls)
    assert result.absent_classes == [name for k, name in enumerate(classes) if k not in present]
    assert result.accuracy == pytest.approx((called == numbers).mean())
    counts = [[int(((numbers == a) & (called == b)).sum()) for b in range(n_classes)] for a in range(n_classes)]
    assert result.confusion_matrix == counts
    json.dumps(dataclasses.asdict(result), allow_nan=False)


@settings(max_examples=50)
@given(st.integers(1, 4), st.integers(3, 25), st.integers(0, 50), st.booleans())
def test_evaluate_of_several_classes_a_record_equals_literal_counts(n_classes, n_records, seed, with_thresholds):
    """Among them classes that no record has, or all, and thresholds that are not there."""
    classes = [f"c{k}" for k in range(n_classes)]
    rng = np.random.default_rng(seed)
    targets = rng.random((n_records, n_classes)) < rng.choice([0, 0.3, 0.6, 1], n_classes)
    p = some_scores(n_records, n_classes, seed)
    given_thresholds = some_thresholds(n_classes, seed) if with_thresholds else None
    thresholds: Any = given_thresholds if with_thresholds else np.full(n_classes, 0.5)
    result = evaluate(p, targets, classes, given_thresholds, exclusive=False)
    called = np.array([[p[i, k] >= thresholds[k] for k in range(n_classes)] for i in range(n_records)])
    balanced = []
    for k, name in enumerate(classes):
        figures, positive = result.per_class[name], targets[:, k]
        scored = 0 < positive.sum() < n_records
        assert figures.auroc == (pytest.approx(literal_auroc(positive, p[:, k])) if scored else None)
        assert figures.auprc == (pytest.approx(literal_auprc(positive, p[:, k])) if scored else None)
        if scored and not np.isnan(thresholds[k]):
            rates = literal_rates(positive, called[:, k])
            balanced.append((rates[0] + rates[1]) / 2)
            assert [getattr(figures, rate) for rate in ("sensitivity", "specificity", "f1")] == pytest.approx(rates)
        else:
            assert figures.sensitivity is figures.specificity is figures.f1 is None
    for name in ("auroc", "auprc", "f1", "sensitivity", "specificity"):
        assert getattr(result, name) == known_mean([getattr(figures, name) for figures in result.per_class.values()])
    assert result.balanced_accuracy == known_mean(balanced)
    assert result.accuracy == pytest.approx(np.mean([(called[i] == targets[i]).all() for i in range(n_records)]))
    if n_classes > 1:
        assert result.confusion_matrix == multilabel_confusion_matrix(targets, called).tolist()
    assert result.ece == pytest.approx(np.mean([literal_ece(p[:, k], targets[:, k]) for k in range(n_classes)]))
    json.dumps(dataclasses.asdict(result), allow_nan=False)


def test_evaluate_equals_scikit_learns_macro_means():
    numbers = np.arange(40) % 4
    targets = of_numbers(numbers, 4)
    p = some_probabilities(40, 4, 3)
    result = evaluate(p, targets, "abcd")
    called = p.argmax(axis=1)
    assert result.auroc == pytest.approx(roc_auc_score(numbers, p, multi_class="ovr", average="macro"))
    assert result.auprc == pytest.approx(average_precision_score(targets, p, average="macro"))
    assert result.f1 == pytest.approx(f1_score(numbers, called, average="macro"))
    assert result.balanced_accuracy == pytest.approx(balanced_accuracy_score(numbers, called))
    scores = some_scores(40, 3, 4)
    several = np.random.default_rng(4).random((40, 3)) < 0.4
    result = evaluate(scores, several, "abc", exclusive=False)
    assert result.auroc == pytest.approx(roc_auc_score(several, scores, average="macro"))
    assert result.accuracy == pytest.approx(accuracy_score(several, scores >= 0.5))
    assert result.f1 == pytest.approx(f1_score(several, scores >= 0.5, average="macro"))


@settings(max_examples=50)
@given(st.integers(0, 200), st.integers(1, 60), st.booleans())
def test_evaluate_calibration_error_equals_bin_by_bin(seed, n_records, exclusive):
    rng = np.random.default_rng(seed)
    if exclusive:
        p = rng.dirichlet(np.ones(4), n_records)
        numbers = rng.integers(0, 4, n_records)
        expected = literal_ece(p.max(axis=1), p.argmax(axis=1) == numbers)
        found = evaluate(p, of_numbers(numbers, 4), "abcd").ece
    else:
        p, targets = rng.random((n_records, 3)), rng.random((n_records, 3)) < 0.4
        expected = np.mean([literal_ece(p[:, k], targets[:, k]) for k in range(3)])
        found = evaluate(p, targets, "abc", exclusive=False).ece
    assert found == pytest.approx(expected, abs=1e-12)


def test_evaluate_calibration_error_of_constant_confidence():
    """80 % sure and right in half of the records: 0.3 too sure. Right in 80 %: none."""
    p = np.tile([0.8, 0.2], (10, 1))
    assert evaluate(p, of_numbers([0] * 5 + [1] * 5, 2), "ab").ece == pytest.approx(0.3)
    assert evaluate(p, of_numbers([0] * 8 + [1] * 2, 2), "ab").ece == pytest.approx(0, abs=1e-12)
    # Certain, at the ends of the first and the last bin.
    ends = np.array([[0.0], [1.0], [1.0], [0.0]])
    assert evaluate(ends, np.array([[0], [1], [1], [0]], dtype=bool), "a", exclusive=False).ece == 0
    assert evaluate(ends, np.array([[1], [1], [1], [0]], dtype=bool), "a", exclusive=False).ece == 0.25


def test_evaluate_does_not_depend_on_the_order_of_records():
    p, numbers = some_probabilities(60, 4, 5), np.random.default_rng(5).integers(0, 4, 60)
    targets, order = of_numbers(numbers, 4), np.random.default_rng(6).permutation(60)
    thresholds = choose_thresholds(p, targets)
    np.testing.assert_array_equal(thresholds, choose_thresholds(p[order], targets[order]))
    for exclusive in (True, False):
        one = evaluate(p, targets, "abcd", thresholds, exclusive)
        other = evaluate(p[order], targets[order], "abcd", thresholds, exclusive)
        for name, value in vars(one).items():
            assert getattr(other, name) == (pytest.approx(value) if isinstance(value, float) else value), name


# --- classes that are not there ---


def test_evaluate_names_a_class_without_records_and_leaves_it_out():
    """Class b has no record, though it is called once: the means are those of a and c."""
    p = np.array([[0.8, 0.1, 0.1], [0.2, 0.6, 0.2], [0.1, 0.2, 0.7], [0.3, 0.1, 0.6]])
    result = evaluate(p, of_numbers([0, 0, 2, 2], 3), ("a", "b", "c"), np.full(3, 0.5))
    assert result.absent_classes == ["b"]
    nothing = dict.fromkeys(("auroc", "auprc", "sensitivity", "specificity", "f1"))
    assert result.per_class["b"] == ClassScores(records=0, prior=0, threshold=0.5, **nothing)
    # a: the second record scores below the fourth: 3 of 4 pairs, precision 1 and 2/3. c: in order.
    assert result.auroc == pytest.approx((3 / 4 + 1) / 2)
    assert result.auprc == pytest.approx((5 / 6 + 1) / 2)
    assert result.prior == 0.5
    assert result.accuracy == 3 / 4
    assert result.f1 == pytest.approx((2 / 3 + 1) / 2)
    assert result.balanced_accuracy == pytest.approx((1 / 2 + 1) / 2)
    assert result.sensitivity == pytest.approx((1 / 2 + 1) / 2)
    assert result.specificity == 1
    assert result.confusion_matrix == [[1, 1, 0], [0, 0, 0], [0, 0, 2]]


def test_evaluate_of_one_class_has_no_means():
    """There is nothing to tell apart: no mean over classes, and (as everywhere here) no warning."""
    result = evaluate(np.array([[0.8, 0.2], [0.3, 0.7]]), of_numbers([0, 0], 2), ("a", "b"))
    means = ("auroc", "auprc", "prior", "f1", "balanced_accuracy", "sensitivity", "specificity")
    assert [getattr(result, name) for name in means] == [None] * 7
    assert result.absent_classes == ["b"]
    assert result.per_class["a"].prior == 1
    assert result.per_class["a"].auroc is None
    assert result.accuracy == 0.5
    assert result.confusion_matrix == [[1, 1], [0, 0]]
    json.dumps(dataclasses.asdict(result), allow_nan=False)


def test_evaluate_never_predicts_a_class_without_a_threshold():
    """The second record has b, and so no record with b can be right in every class."""
    p = np.array([[0.9, 0.9], [0.9, 0.9], [0.1, 0.9]])
    targets = np.array([[1, 0], [1, 1], [0, 0]], dtype=bool)
    result = evaluate(p, targets, "ab", np.array([0.5, np.nan]), exclusive=False)
    assert result.confusion_matrix[1] == [[2, 0], [1, 0]]
    assert result.accuracy == pytest.approx(2 / 3)
    assert result.per_class["b"].f1 is result.per_class["b"].sensitivity is None
    assert (result.f1, result.sensitivity, result.balanced_accuracy) == (1, 1, 1)
    # What needs no threshold is there: all scores of b are equal.
    assert result.per_class["b"].auroc == 0.5


# --- thresholds ---


def test_choose_thresholds_by_hand():
    """Between the probabilities that are called and those that are not."""
    p = np.array([[0.9], [0.7], [0.6], [0.3], [0.1]])
    # At 0.6: sensitivity 1 and specificity 2/3; at 0.9 1/2 and 1.
    assert choose_thresholds(p, np.array([[1], [0], [1], [0], [0]], dtype=bool)) == pytest.approx([(0.6 + 0.3) / 2])
    # At 0.9 and at 0.6 sensitivity + specificity are as high, 3/2: the higher threshold.
    four = np.array([[1], [0], [1], [0]], dtype=bool)
    assert choose_thresholds(p[:4], four) == pytest.approx([(0.9 + 0.7) / 2])
    # The next below is the last of all.
    assert choose_thresholds(p[[0, 1, 3]], np.array([[1], [1], [0]], dtype=bool)) == pytest.approx([(0.7 + 0.3) / 2])
    # Worse than chance everywhere: the threshold with which all are called.
    assert choose_thresholds(p[:2], np.array([[0], [1]], dtype=bool)) == pytest.approx([0.7])
    assert np.isnan(choose_thresholds(p[:2], np.array([[1], [1]], dtype=bool)))
    assert np.isnan(choose_thresholds(p[:2], np.array([[0], [0]], dtype=bool)))


@settings(max_examples=100)
@given(st.integers(2, 30), st.integers(0, 500), st.sampled_from([np.float32, np.float64]))
def test_choose_thresholds_have_the_greatest_youdens_j(n_records, seed, dtype):
    rng = np.random.default_rng(seed)
    p = (rng.integers(0, 9, (n_records, 3)) / 8.7).astype(dtype)
    targets = rng.random((n_records, 3)) < 0.4
    thresholds = choose_thresholds(p, targets)
    for k in range(3):
        positive, scores = targets[:, k], p[:, k].astype(np.float64)
        if len(set(positive.tolist())) == 1:
            assert np.isnan(thresholds[k])
            continue
        candidates = {t: literal_j(positive, scores, t) for t in scores.tolist()}
        best = max(candidates.values())
        called = scores >= thresholds[k]
        assert literal_j(positive, scores, thresholds[k]) == pytest.approx(best, abs=1e-12)
        # The highest of those that are as good: no fewer records can be called for that.
        highest = max(t for t, j in candidates.items() if j > best - 1e-12)
        np.testing.assert_array_equal(called, scores >= highest)
        assert min(scores) <= thresholds[k] <= highest
        fpr, tpr, _ = roc_curve(positive, scores)
        assert best == pytest.approx((tpr - fpr)[1:].max())


def test_choose_thresholds_separates_neighbouring_numbers():
    """Half-way between two neighbouring numbers is one of them, and it must be the right one."""
    for low in (0.1, 0.3, 0.7, np.nextafter(1, 0)):
        high = np.nextafter(low, 2)
        threshold = choose_thresholds(np.array([[low], [high]]), np.array([[0], [1]], dtype=bool))[0]
        assert low < threshold <= high


P, Y = (
    np.array([[0.9, 0.2, 0.4], [0.4, 0.6, 0.1], [0.7, 0.8, 0.3], [0.1, 0.3, 0.9]]),
    np.array([[1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 1]]),
)


@pytest.mark.parametrize("kind", [np.int64, np.uint8, np.int8, np.float32, list])
def test_targets_of_another_type_give_what_booleans_give(kind):
    """With integers ``~targets`` would be -1 and -2."""
    known = Y.tolist() if kind is list else Y.astype(kind)
    patients = ["a", "b", "c", "d"]
    for exclusive in (True, False):
        expected = evaluate(P, Y.astype(bool), "xyz", exclusive=exclusive)
        assert evaluate(P, known, "xyz", exclusive=exclusive) == expected
        assert intervals(P, known, patients, exclusive) == intervals(P, Y.astype(bool), patients, exclusive)
    np.testing.assert_array_equal(choose_thresholds(P, known), choose_thresholds(P, Y.astype(bool)))


@pytest.mark.parametrize(
    ("probabilities", "targets", "message"),
    [
        (P, Y.argmax(axis=1), r"^targets: shape \[4\] for probabilities of shape \[4, 3\]"),
        (P, Y[:3], r"^targets: shape \[3, 3\] for probabilities of shape \[4, 3\]"),
        (P, Y * 2, "^targets: are not booleans or numbers 0 and 1"),
        (P, Y - 0.5, "^targets: are not booleans or numbers 0 and 1"),
        (P, Y.astype(str), "^targets: are not booleans or numbers 0 and 1"),
        (P[:0], Y[:0], "^targets: shape .* one record or more"),
        (np.where(Y == 1, np.nan, P), Y, "^probabilities: NaN for record 0"),
        (P.astype(str), Y, "^probabilities: <U32 are not numbers"),
    ],
)
def test_check_scored_refuses_what_cannot_be_scored(probabilities, targets, message):
    for score in (
        lambda: evaluate(probabilities, targets, "xyz"),
        lambda: choose_thresholds(probabilities, targets),
        lambda: intervals(probabilities, targets, ["a"] * len(targets), True),
    ):
        with pytest.raises(LfbtError, match=message):
            score()


def test_intervals_need_a_patient_for_each_record():
    with pytest.raises(LfbtError, match=r"^patients: 2 for 4 records"):
        intervals(P, Y, ["a", "b"], True)
