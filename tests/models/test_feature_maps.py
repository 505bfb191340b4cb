"""Feature maps: amplitudes by hand, their weights, and names."""

import dataclasses

import numpy as np
import pytest

from lfbt.errors import LfbtError
from lfbt.models.feature_maps import PAPER, RICH, FeatureMap, feature_map, measure_amplitudes


def test_measure_amplitudes_is_the_logarithm_of_the_deviation_and_the_peak_to_peak_of_each_lead():
    signals = np.array([[[0, 0, 4, 4], [-1, 1, -1, 1]], [[3, 3, 3, 3], [0, 2, 0, 0]]], np.float32)
    measured = measure_amplitudes(signals, RICH)
    # Deviations 2, 1, 0 (taken for 1 µV) and √0.75.
    expected = [[[np.log(2), 4], [0, 2]], [[np.log(1e-3), 0], [np.log(0.75) / 2, 2]]]
    np.testing.assert_allclose(measured, expected, atol=1e-6)
    assert measured.dtype == np.float32


def test_measure_amplitudes_are_in_the_order_of_the_feature_map():
    signals = np.array([[0.0, 2.0]])
    reverse = FeatureMap("rich", (5,), ("mean",), ("peak_to_peak", "log_std"))
    np.testing.assert_allclose(measure_amplitudes(signals, reverse), [[2, 0]], atol=1e-7)


def test_measure_amplitudes_of_an_absent_lead_are_nan():
    assert np.isnan(measure_amplitudes(np.full((1, 8), np.nan, np.float32), RICH)).all()


def test_weights_are_those_of_the_last_columns_of_each_lead():
    assert RICH.weights(2, 8).tolist() == [1, 1, 3, 3, 1, 1, 3, 3]
    assert PAPER.weights(2, 4).tolist() == [1, 1, 1, 1]


def test_feature_map_refuses_another_name():
    assert (feature_map("paper"), feature_map("rich")) == (PAPER, RICH)
    with pytest.raises(LfbtError, match="features: 'poor' is not one of paper, rich"):
        feature_map("poor")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"blocks": (5, 4)}, r"blocks: \[5, 4\] are not some of 1 to 5, ascending"),
        ({"blocks": (4, 6)}, r"blocks: \[4, 6\] are not"),
        ({"blocks": (5, 5)}, r"blocks: \[5, 5\] are not"),
        ({"blocks": ()}, r"blocks: \[\] are not"),
        ({"statistics": ()}, r"statistics: \[\]; one or more are due"),
        ({"statistics": ("max", "max")}, "statistics: .* each once"),
        ({"amplitudes": ("log_std", "log_std")}, "amplitudes: .* each once"),
    ],
)
def test_feature_map_check_refuses_what_an_encoder_cannot_give(changes, message):
    PAPER.check(5)
    RICH.check(5)
    with pytest.raises(LfbtError, match=message):
        dataclasses.replace(RICH, **changes).check(5)
