"""The bootstrap over patients: draw by draw the same as drawn records that scikit-learn scores, and what follows."""

import dataclasses
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from lfbt.evaluation import bootstrap
from lfbt.evaluation.bootstrap import (
    CLASS_METRICS,
    METRICS,
    bootstrap_metrics,
    bootstrap_seeds,
    bootstrap_weights,
    class_areas,
    find_rare,
    interval,
    intervals,
    mean_over_drawn_seeds,
)
from lfbt.evaluation.metrics import evaluate


@dataclasses.dataclass(frozen=True)
class Case:
    """Records of patients who have one to several, with ties between scores and a rare class."""

    probabilities: np.ndarray
    targets: np.ndarray
    patients: list
    thresholds: Any
    exclusive: bool

    def intervals(self, **options):
        return intervals(self.probabilities, self.targets, self.patients, self.exclusive, self.thresholds, **options)


def some_case(seed, n_records=24, n_classes=3, exclusive=True, with_thresholds=True, dtype=np.float64):
    rng = np.random.default_rng(seed)
    numbers = np.where(rng.random(n_records) < 0.1, 0, rng.integers(1, n_classes, n_records))
    targets = np.eye(n_classes, dtype=bool)[numbers]
    p = rng.integers(1, 7, (n_records, n_classes)).astype(float)
    if exclusive:
        p = p / p.sum(axis=1, keepdims=True)
    else:
        p, targets = p / 7.3, targets | (rng.random(targets.shape) < 0.2)
    thresholds: Any = rng.integers(1, 7, n_classes) / 7.3 if with_thresholds else None
    if with_thresholds and seed % 3 == 0:
        thresholds[1] = np.nan
    patients = [f"p{i}" for i in rng.integers(0, max(2, n_records // 2), n_records)]
    return Case(p.astype(dtype), targets, patients, thresholds, exclusive)


def literal_draws(patients, n_draws, seed):
    """The rows of each draw's records: as many patients as there are, with replacement, each with all their records."""
    names = sorted(set(patients))
    rng = np.random.default_rng(seed)
    for _ in range(n_draws):
        chosen = rng.integers(len(names), size=len(names))
        yield [row for k in chosen for row, patient in enumerate(patients) if patient == names[k]]


def as_nan(value):
    return np.nan if value is None else value


def test_bootstrap_weights_are_of_complete_patients():
    patients = ["b", "a", "b", "c", "a", "b"]
    weights = bootstrap_weights(patients, 200, seed=3)
    assert weights.shape == (200, 6)
    # All records of a patient are in a draw equally often.
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights[:, 0] == weights[:, 5]).all()
    assert (weights[:, 1] == weights[:, 4]).all()
    # As many patients as there are.
    np.testing.assert_array_equal(weights[:, [0, 1, 3]].sum(axis=1), 3)
    for weight, rows in zip(weights, literal_draws(patients, 200, 3), strict=True):
        np.testing.assert_array_equal(weight, np.bincount(rows, minlength=6))
    # Each is drawn once on average; of 200 draws the mean has a standard error of 0.06.
    np.testing.assert_allclose(weights.mean(axis=0), 1, atol=0.25)


def test_bootstrap_weights_follow_from_the_seed_and_the_patients():
    patients = ["b", "a", "b", "c", "a", "b"]
    weights = bootstrap_weights(patients, 50, seed=3)
    np.testing.assert_array_equal(weights, bootstrap_weights(patients, 50, seed=3))
    assert (weights != bootstrap_weights(patients, 50, seed=4)).any()
    # The first draws of many are those of few.
    np.testing.assert_array_equal(weights[:10], bootstrap_weights(patients, 10, seed=3))
    order = [5, 3, 0, 1, 4, 2]
    np.testing.assert_array_equal(weights[:, order], bootstrap_weights([patients[i] for i in order], 50, seed=3))


@settings(max_examples=40)
@given(st.integers(0, 500), st.booleans(), st.booleans(), st.sampled_from([np.float32, np.float64]))
def test_bootstrap_metrics_equal_a_loop_over_draws_of_records(seed, exclusive, with_thresholds, dtype):
    """Records drawn one by one, as often as they are, and scored by `evaluate`, which is scikit-learn's."""
    case = some_case(seed, exclusive=exclusive, with_thresholds=with_thresholds, dtype=dtype)
    classes = ("a", "b", "c")
    weights = bootstrap_weights(case.patients, 8, seed)
    means, of_classes = bootstrap_metrics(case.probabilities, case.targets, weights, exclusive, case.thresholds)
    assert list(means) == list(CLASS_METRICS) + [name for name in METRICS if name not in CLASS_METRICS]
    for draw, rows in enumerate(literal_draws(case.patients, 8, seed)):
        expected = evaluate(case.probabilities[rows], case.targets[rows], classes, case.thresholds, exclusive)
        for name in METRICS:
            assert means[name][draw] == pytest.approx(as_nan(getattr(expected, name)), abs=1e-12, nan_ok=True), name
        for name in CLASS_METRICS:
            of_draw = [as_nan(getattr(expected.per_class[k], name)) for k in classes]
            assert of_classes[name][draw].tolist() == pytest.approx(of_draw, abs=1e-12, nan_ok=True), name


def test_class_areas_equal_scikit_learns_with_sample_weights():
    """Also of weights that are no draws, and with every score the same."""
    rng = np.random.default_rng(1)
    for levels in (1, 2, 10, 1000):
        p = rng.integers(0, levels, (80, 4)) / levels
        targets = rng.random((80, 4)) < [0.02, 0.2, 0.5, 0.9]
        targets[0], targets[1] = True, False
        weights = rng.integers(0, 5, (15, 80)).astype(np.int32)
        weights[:, :2] = 1
        areas = class_areas(p, targets, weights)
        for draw, weight in enumerate(weights):
            for k in range(4):
                given_to = (targets[:, k], p[:, k])
                auroc = roc_auc_score(*given_to, sample_weight=weight)
                auprc = average_precision_score(*given_to, sample_weight=weight)
                assert areas["auroc"][draw, k] == pytest.approx(auroc, abs=1e-12)
                assert areas["auprc"][draw, k] == pytest.approx(auprc, abs=1e-12)


@pytest.mark.parametrize("exclusive", [True, False])
def test_bootstrap_metrics_of_every_record_once_equal_evaluate(exclusive):
    case = some_case(4, n_records=200, n_classes=5, exclusive=exclusive)
    once = np.ones((1, 200), dtype=np.int32)
    means, of_classes = bootstrap_metrics(case.probabilities, case.targets, once, exclusive, case.thresholds)
    expected = evaluate(case.probabilities, case.targets, "abcde", case.thresholds, exclusive)
    for name in METRICS:
        assert means[name][0] == pytest.approx(getattr(expected, name))
    for name in CLASS_METRICS:
        assert of_classes[name][0] == pytest.approx([getattr(expected.per_class[k], name) for k in "abcde"])


def test_intervals_do_not_depend_on_blocks(monkeypatch):
    case = some_case(5, n_records=40)
    whole = case.intervals(n_draws=30)
    monkeypatch.setattr(bootstrap, "_BLOCK", 40 * 7)
    assert case.intervals(n_draws=30) == whole
    monkeypatch.setattr(bootstrap, "_BLOCK", 1)
    assert case.intervals(n_draws=30) == whole


def test_intervals_are_percentiles_of_the_draws():
    case = some_case(7, n_records=60, exclusive=False)
    found = case.intervals(n_draws=80, seed=2, level=0.9, classes=("a", "b", "c"))
    n_patients = len(set(case.patients))
    assert (found.level, found.n_draws, found.seed, found.patients) == (0.9, 80, 2, n_patients)
    rows_of = list(literal_draws(case.patients, 80, 2))
    results = [evaluate(case.probabilities[r], case.targets[r], "abc", case.thresholds, False) for r in rows_of]
    for name in METRICS:
        values = [value for result in results if (value := getattr(result, name)) is not None]
        assert getattr(found, name) == pytest.approx(np.percentile(values, [5, 95]))
        assert found.counted[name] == len(values)
    for k in "abc":
        for name in CLASS_METRICS:
            values = [row for result in results if (row := getattr(result.per_class[k], name)) is not None]
            assert getattr(found.per_class[k], name) == pytest.approx(np.percentile(values, [5, 95]))
            assert found.per_class[k].counted == len(values)
    json.dumps(dataclasses.asdict(found), allow_nan=False)


def test_bootstrap_metrics_leave_a_class_out_of_draws_without_it():
    """Class 0 is one patient's: where they are not drawn, the mean is that of the other two classes."""
    p = np.random.default_rng(0).dirichlet(np.ones(3), 12)
    targets = np.eye(3, dtype=bool)[[0, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1]]
    patients = [f"p{i:02}" for i in range(12)]
    weights = bootstrap_weights(patients, 300, 0)
    means, of_classes = bootstrap_metrics(p, targets, weights, True)
    without = weights[:, 0] == 0
    assert 60 < without.sum() < 160
    np.testing.assert_array_equal(np.isnan(of_classes["auroc"][:, 0]), without)
    np.testing.assert_allclose(means["auroc"][without], of_classes["auroc"][without, 1:].mean(axis=1))
    np.testing.assert_allclose(means["auroc"][~without], of_classes["auroc"][~without].mean(axis=1))
    found = intervals(p, targets, patients, True, n_draws=300)
    assert found.per_class["0"].counted == 300 - without.sum()
    assert found.counted["auroc"] == 300


def test_intervals_do_not_count_draws_of_one_class():
    """Two patients, each of a class: in half of the draws there is nothing to tell apart."""
    p, targets = np.array([[0.9, 0.1], [0.2, 0.8]]), np.eye(2, dtype=bool)
    found: Any = intervals(p, targets, ["x", "y"], True, n_draws=400)
    both = int((bootstrap_weights(["x", "y"], 400) == 1).all(axis=1).sum())
    assert 150 < both < 250
    assert found.counted == dict.fromkeys(METRICS, both) | {"accuracy": 400, "sensitivity": 0, "specificity": 0}
    assert found.auroc == (1, 1)
    # Without thresholds there is no sensitivity.
    assert found.sensitivity is found.specificity is None
    # One patient only: there is one draw, and of one class no figure.
    alone: Any = intervals(p, targets, ["x", "x"], True, n_draws=10)
    assert alone.auroc == alone.accuracy == (1, 1)
    one = intervals(p, np.array([[True, False]] * 2), ["x", "y"], True, n_draws=10)
    assert one.auroc is one.per_class["0"].auprc is None
    assert one.counted["auroc"] == 0


def test_intervals_are_wider_for_records_of_the_same_patients():
    """The same records, once ten a patient and once each a patient's own, agreeing within patients."""
    rng = np.random.default_rng(3)
    of_patient = np.repeat(np.arange(30), 10)
    numbers = rng.integers(0, 2, 30)[of_patient]
    score = np.clip(0.5 + 0.15 * (numbers - 0.5) + 0.2 * rng.standard_normal(30)[of_patient], 0, 1)
    p, targets = np.column_stack([1 - score, score]), np.eye(2, dtype=bool)[numbers]

    def width(patients):
        bounds = intervals(p, targets, patients, True).auroc
        assert bounds is not None
        return bounds[1] - bounds[0]

    # Thirty independent records against three hundred: about the root of ten.
    assert width([f"p{i}" for i in of_patient]) > 2 * width([f"r{i}" for i in range(300)])


def test_intervals_do_not_depend_on_the_order_of_records():
    case, order = some_case(8, n_records=50), np.random.default_rng(8).permutation(50)
    moved = dataclasses.replace(
        case,
        probabilities=case.probabilities[order],
        targets=case.targets[order],
        patients=[case.patients[i] for i in order],
    )
    one, other = (of.intervals(n_draws=100) for of in (case, moved))
    assert one.counted == other.counted
    for name in METRICS:
        assert getattr(one, name) == pytest.approx(getattr(other, name), abs=1e-12)


def test_intervals_cover_at_their_level():
    """Of 120 samples of 150 records, whose AUROC is known, about 95 % of the intervals hold it."""
    rng = np.random.default_rng(9)
    # Two normal distributions one standard deviation apart: Φ(1/√2).
    truth, inside = 0.7602, 0
    for seed in range(120):
        numbers = np.arange(150) % 2
        score = numbers + rng.standard_normal(150)
        p, targets = np.column_stack([-score, score]), np.eye(2, dtype=bool)[numbers]
        bounds = intervals(p, targets, [str(i) for i in range(150)], True, n_draws=200, seed=seed).auroc
        assert bounds is not None
        inside += bounds[0] <= truth <= bounds[1]
    # Binomial: 114 expected, standard deviation 2.4.
    assert 105 <= inside <= 120


def test_interval_by_hand():
    values = np.array([3.0, 1, np.nan, 2, 5, 4])
    assert interval(values, 0.5) == (2, 4)
    assert interval(values, 1) == (1, 5)
    assert interval(np.array([np.nan])) is None


def test_mean_over_drawn_seeds_has_the_variance_of_a_mean_over_seeds():
    """Values 0, 3 and 9 have s² = 21; the mean of three varies by 21 / 3."""
    values = np.array([0.0, 3.0, 9.0])
    assert np.var([(a + b) / 2 for a in values for b in values]) == pytest.approx(7)
    drawn = bootstrap_seeds([4, 5, 6], n_draws=40_000, seed=1)
    found = mean_over_drawn_seeds(np.tile(values[:, None], 40_000), drawn)
    assert found.mean() == pytest.approx(4, abs=0.05)
    assert found.var() == pytest.approx(7, rel=0.02)


def test_mean_over_drawn_seeds_is_that_of_each_draw():
    """Against a loop over draws: three seeds, two metrics, five draws of patients."""
    values = np.random.default_rng(0).random((3, 2, 5))
    values[1, 0, 3] = np.nan
    drawn = bootstrap_seeds([1, 2, 3], n_draws=5, seed=2)
    expected = [[np.mean([values[k, m, i] for k in drawn[i]]) for i in range(5)] for m in range(2)]
    np.testing.assert_allclose(mean_over_drawn_seeds(values, drawn), expected, rtol=1e-12)
    # A single seed is itself in every draw, bit for bit.
    alone = mean_over_drawn_seeds(values[:1], bootstrap_seeds([1], n_draws=5))
    np.testing.assert_array_equal(alone, values[0])


def test_bootstrap_seeds_follow_from_the_seeds_and_not_from_the_draws_of_patients():
    one, again = bootstrap_seeds([1, 2, 3], 50, seed=3), bootstrap_seeds([1, 2, 3], 50, seed=3)
    np.testing.assert_array_equal(one, again)
    assert (one != bootstrap_seeds([1, 2, 4], 50, seed=3)).any()
    assert (one != bootstrap_seeds([1, 2, 3], 50, seed=4)).any()
    assert set(one.ravel()) == {0, 1, 2}


def test_intervals_without_rare_classes_are_of_the_draws_without_these():
    """Against a loop over draws; the rare class has nine records, one with ten is no rare one."""
    targets = np.eye(3, dtype=bool)[np.repeat([0, 1, 2], [9, 10, 30])]
    assert find_rare(targets).tolist() == [True, False, False]
    # A class that all records lack is not in the mean, and over one class there is none.
    assert not find_rare(targets[:19]).any()
    assert not find_rare(targets[:18]).any()
    p = np.random.default_rng(0).random(targets.shape)
    patients = [f"p{i // 2}" for i in range(len(p))]
    found = intervals(p, targets, patients, False, n_draws=40, seed=3)
    draws = [
        [
            np.mean([score(targets[rows, k], p[rows, k]) for k in (1, 2)])
            for score in (roc_auc_score, average_precision_score)
        ]
        for rows in literal_draws(patients, 40, 3)
    ]
    low, high = np.percentile(draws, [2.5, 97.5], axis=0)
    assert found.without_rare is not None
    assert found.without_rare.auroc == pytest.approx((low[0], high[0]))
    assert found.without_rare.auprc == pytest.approx((low[1], high[1]))
    assert found.without_rare.counted == 40
    assert intervals(p[:18], targets[:18], patients[:18], False, n_draws=5).without_rare is None
