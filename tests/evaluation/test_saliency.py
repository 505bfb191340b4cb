"""Leaving out leads and time, with classifiers whose reasons are known."""

import numpy as np
import pytest

from lfbt.evaluation.saliency import (
    deletion_test,
    falls_by_window,
    occlude,
    probabilities_without_leads,
    split_time,
)


def of_part(start, stop):
    """A classifier that sees nothing but the mean square of these samples of the first lead."""

    def compute(signals):
        p = np.clip((signals[:, 0, start:stop] ** 2).mean(axis=1), 0, 1)
        return np.stack([p, 1 - p], axis=1).astype(np.float64)

    return compute


def test_a_lead_that_the_classifier_needs_changes_its_answer_and_others_do_not():
    embeddings = np.random.default_rng(0).standard_normal((50, 3 * 2)).astype(np.float32)

    def classify(x):
        # The features of the second lead only.
        p = 1 / (1 + np.exp(-x[:, 2:4].sum(axis=1)))
        return np.stack([p, 1 - p], axis=1).astype(np.float64)

    whole = classify(embeddings)
    first, second, third = probabilities_without_leads(embeddings, 3, classify)
    np.testing.assert_array_equal(first, whole)
    np.testing.assert_array_equal(third, whole)
    # Its features are their means: every record gets the same.
    assert np.ptp(second, axis=0) == pytest.approx(0, abs=1e-6)


def test_occlude_puts_the_mean_of_each_lead_into_the_windows_only():
    signal = np.array([[1.0, 2.0, 3.0, 6.0], [0.0, 0.0, 4.0, 0.0]], dtype=np.float32)
    hidden = occlude(signal, [(0, 1), (3, 4)])
    assert hidden.tolist() == [[3.0, 2.0, 3.0, 3.0], [1.0, 0.0, 4.0, 1.0]]
    assert signal[0, 0] == 1


def test_windows_cover_all_samples_once():
    for n_samples, n in ((1024, 20), (7, 3), (5, 5)):
        covered = [i for start, stop in split_time(n_samples, n) for i in range(start, stop)]
        assert covered == list(range(n_samples))


def test_the_fall_is_in_the_window_that_the_classifier_sees():
    signals = np.tile(np.tile([1.0, -1.0], 50), (2, 2, 1)).astype(np.float32)
    falls = falls_by_window(signals, np.array([0, 1]), of_part(20, 30), 10)
    expected = np.zeros(10)
    expected[2] = 1
    np.testing.assert_allclose(falls, [expected, -expected], atol=1e-6)


def test_deletion_test_believes_a_saliency_that_explains():
    signals = np.tile(np.tile([1.0, -1.0], 50), (12, 2, 1)).astype(np.float32)
    numbers, compute = np.zeros(12, dtype=np.int64), of_part(20, 30)
    test = deletion_test(signals, numbers, falls_by_window(signals, numbers, compute, 10), compute, n_deleted=1)
    assert test.salient == pytest.approx(1)
    assert test.random < 0.5
    assert test.explains
    assert (test.records, test.windows, test.deleted) == (12, 10, 1)


def test_deletion_test_does_not_believe_one_that_explains_nothing():
    rng = np.random.default_rng(1)
    signals = rng.standard_normal((30, 2, 100)).astype(np.float32)

    def blind(views):
        return np.full((len(views), 2), 0.5)

    falls = rng.random((30, 10))
    test = deletion_test(signals, np.zeros(30, dtype=np.int64), falls, blind)
    assert test.difference == 0
    assert not test.explains
    # Windows that have nothing to do with what the classifier sees.
    numbers, compute = np.zeros(30, dtype=np.int64), of_part(0, 100)
    assert not deletion_test(signals, numbers, falls, compute, seed=3).explains
