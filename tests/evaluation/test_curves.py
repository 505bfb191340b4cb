"""Curves against scikit-learn, and by hand."""

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from lfbt.evaluation.curves import calibrate, precision_recall_curve, roc_curve, wilson

NO_DRAWS = np.empty((0, 40), dtype=np.int32)


def case(seed):
    rng = np.random.default_rng(seed)
    positive = rng.random(40) < 0.4
    positive[:2] = True, False
    return np.round(rng.random(40), 1), positive


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000))
def test_roc_curve_goes_through_the_points_of_scikit_learn(seed):
    scores, positive = case(seed)
    curve = roc_curve([scores], positive, NO_DRAWS)
    x, y, _ = sklearn.metrics.roc_curve(positive, scores, drop_intermediate=False)
    np.testing.assert_allclose(curve.y[1:], np.interp(curve.x[1:], x, y), atol=1e-12)
    assert curve.y[0] == y[x == 0].max()


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000))
def test_precision_is_that_of_the_highest_threshold_that_reaches_the_recall(seed):
    scores, positive = case(seed)
    curve = precision_recall_curve([scores], positive, NO_DRAWS)
    precision, recall, _ = sklearn.metrics.precision_recall_curve(positive, scores)
    # Of scikit-learn recall falls from 1 to 0; the last point has no threshold.
    for point in (0.1, 0.5, 1.0):
        expected = precision[:-1][recall[:-1] >= point - 1e-9][-1]
        assert curve.y[round(100 * point)] == pytest.approx(expected)


def test_curve_is_the_mean_over_seeds_and_its_band_holds_draws():
    positive = np.array([True, True, False, False])
    right, wrong = np.array([0.9, 0.8, 0.2, 0.1]), np.array([0.1, 0.2, 0.8, 0.9])
    draws = np.array([[1, 1, 1, 1], [2, 0, 1, 1]], dtype=np.int32)
    curve = roc_curve([right, wrong], positive, draws)
    # One is 1 everywhere; the other 0, but for the end.
    assert curve.y[50] == 0.5
    assert curve.low[50] == curve.high[50] == 0.5


def test_band_leaves_out_draws_without_the_class():
    positive, scores = np.array([True, False, False]), np.array([0.9, 0.8, 0.1])
    draws = np.array([[0, 2, 1], [1, 1, 1]], dtype=np.int32)
    curve = roc_curve([scores], positive, draws)
    assert np.isfinite(curve.low).all()
    assert (curve.y == 1).all()


def test_calibration_of_several_classes_counts_every_class():
    p = np.array([[0.05, 0.95], [0.05, 0.85]])
    found = calibrate([p], np.array([[False, True], [True, False]]), exclusive=False)
    assert found.counts.tolist() == [2, 1, 1]
    assert found.observed.tolist() == [0.5, 0.0, 1.0]
    assert found.predicted.tolist() == pytest.approx([0.05, 0.85, 0.95])


def test_calibration_of_seeds_has_the_interval_of_the_records_once():
    p = np.array([[0.9, 0.1]] * 10)
    targets = np.eye(2, dtype=bool)[[0] * 5 + [1] * 5]
    once, twice = calibrate([p], targets, True), calibrate([p, p], targets, True)
    assert twice.counts.tolist() == [20]
    np.testing.assert_allclose((once.low, once.high), (twice.low, twice.high))


def test_wilson_equals_scipy():
    from scipy.stats import binomtest

    expected = binomtest(3, 12).proportion_ci(method="wilson")
    low, high = wilson(np.array([0.25]), np.array([12.0]))
    assert (low[0], high[0]) == pytest.approx((expected.low, expected.high))
