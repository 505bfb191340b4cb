"""Features of rivals: of every record, fitted to training records only."""

import numpy as np
import pytest

from lfbt.data.dataset import from_arrays
from lfbt.evaluation import rivals
from lfbt.evaluation.ecg_statistics import compute_statistics, find_median_beats
from lfbt.evaluation.minirocket import MiniRocket
from lfbt.evaluation.rivals import compute_rival_features, project_on_components

TRAIN = np.arange(8)


def dataset_of(signals):
    return from_arrays(signals, ("II", "V1"), 100)


@pytest.fixture
def signals():
    return np.random.default_rng(0).standard_normal((12, 2, 200)).astype(np.float32)


def test_compute_rival_features_are_those_of_each_record(signals, monkeypatch):
    dataset = dataset_of(signals)
    np.testing.assert_array_equal(
        compute_rival_features("statistics", dataset, TRAIN, 0), compute_statistics(signals, 100)
    )
    order = np.random.default_rng(3).permutation(TRAIN)
    expected = MiniRocket.fit(signals[order], 3).transform(signals)
    np.testing.assert_array_equal(compute_rival_features("minirocket", dataset, TRAIN, 3), expected)
    whole = compute_rival_features("beats", dataset, TRAIN, 0)
    beats = project_on_components(find_median_beats(signals, 100), TRAIN, 100)
    np.testing.assert_array_equal(whole, beats)
    monkeypatch.setattr(rivals, "_BLOCK", 5)
    for rival in ("statistics", "beats"):
        found = compute_rival_features(rival, dataset, TRAIN, 0)
        np.testing.assert_allclose(
            found, whole if rival == "beats" else compute_statistics(signals, 100), rtol=1e-5, atol=1e-5
        )


@pytest.mark.parametrize("rival", ["minirocket", "statistics", "beats"])
def test_compute_rival_features_do_not_depend_on_other_test_records(rival, signals):
    one = compute_rival_features(rival, dataset_of(signals), TRAIN, 0)
    changed = signals.copy()
    changed[9:] *= 5
    other = compute_rival_features(rival, dataset_of(changed), TRAIN, 0)
    np.testing.assert_array_equal(one[:9], other[:9])
    assert (one[9:] != other[9:]).any()


def test_project_on_components_keeps_the_distances_of_training_rows():
    """All components keep them; the first is the direction of most variance."""
    columns = np.random.default_rng(0).standard_normal((10, 30)).astype(np.float32)
    found = project_on_components(columns, TRAIN, 100)
    assert found.shape == (10, 7)
    before, after = (np.linalg.norm(x[TRAIN][:, None] - x[TRAIN][None], axis=2) for x in (columns, found))
    np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-4)
    variances = found[TRAIN].var(axis=0)
    assert (np.diff(variances) < 0).all()
    np.testing.assert_allclose(project_on_components(columns, TRAIN, 2), found[:, :2], rtol=1e-5)


def test_dataset_in_other_units_is_taken_as_it_is(signals):
    """Statistics of a signal ten times as large are ten times as large."""
    once, tenfold = (compute_rival_features("statistics", dataset_of(k * signals), TRAIN, 0) for k in (1, 10))
    np.testing.assert_allclose(tenfold[:, :3], 10 * once[:, :3], rtol=1e-5)
