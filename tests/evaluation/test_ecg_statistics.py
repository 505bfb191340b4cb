"""Statistics, rhythm and median beats of signals of which they are known."""

import numpy as np
import pytest

from lfbt.evaluation.ecg_statistics import BANDS, QUANTILES, compute_statistics, find_median_beats, measure_rhythm

RATE = 100


def pulses(period, n_samples=1000, height=1.0, first=60):
    """One lead with a triangle of seven samples every `period` samples."""
    signal = np.zeros(n_samples, dtype=np.float32)
    for start in range(first, n_samples - 7, period):
        signal[start : start + 7] = height * np.array([1, 2, 3, 4, 3, 2, 1]) / 4
    return signal


def test_compute_statistics_of_a_sine():
    """2 mV of 10 Hz on 0.5 mV: a standard deviation of √2, quartiles at ± √2, and power in one band only."""
    t = np.arange(1000) / RATE
    signal = (0.5 + 2 * np.sin(2 * np.pi * 10 * t + 0.3)).astype(np.float32)
    found = compute_statistics(signal[None, None], RATE)[0]
    n_statistics = 3 + len(QUANTILES) + len(BANDS) - 1
    assert len(found) == n_statistics + 2
    assert found[:3] == pytest.approx([0.5, np.sqrt(2), 4], abs=0.2)
    quartiles = found[3:10][[QUANTILES.index(0.25), QUANTILES.index(0.75)]]
    assert quartiles == pytest.approx([0.5 - np.sqrt(2), 0.5 + np.sqrt(2)], abs=0.25)
    bands = found[10:16]
    # |Fourier|² / n at 10 Hz is (2 · 1000 / 2)² / 1000 = 1000, of 70 frequencies from 8 to 15 Hz.
    assert bands[3] == pytest.approx(np.log10(1000 / 70), abs=0.01)
    assert (np.delete(bands, 3) < -3).all()


def test_compute_statistics_are_of_each_lead_and_record():
    signals = np.random.default_rng(0).standard_normal((3, 2, 500)).astype(np.float32)
    found = compute_statistics(signals, RATE)
    assert found.shape == (3, 2 * 16 + 2)
    np.testing.assert_allclose(found[:, 16:32], compute_statistics(signals[:, 1:], RATE)[:, :16], rtol=1e-6)
    np.testing.assert_allclose(found[1:2], compute_statistics(signals[1:2], RATE), rtol=1e-6)
    assert np.isfinite(compute_statistics(np.zeros((1, 2, 500), dtype=np.float32), RATE)).all()
    # Rates too low for the highest bands leave these empty.
    assert np.isfinite(compute_statistics(signals, 10)).all()


@pytest.mark.parametrize(("period", "rate"), [(80, 75), (50, 120), (120, 50)])
def test_measure_rhythm_of_regular_pulses(period, rate):
    rates, regularity = measure_rhythm(np.stack([pulses(period), -2 * pulses(period)])[None], RATE)
    assert rates == pytest.approx([rate])
    assert regularity[0] > 0.9
    irregular = np.zeros(1000, dtype=np.float32)
    for start in np.cumsum([60, 50, 110, 70, 95, 130, 55, 85, 125]):
        irregular[start : start + 7] = np.array([1, 2, 3, 4, 3, 2, 1])
    assert measure_rhythm(irregular[None, None], RATE)[1][0] < 0.7


def test_measure_rhythm_without_slope_or_time_is_nothing():
    for signal in (np.ones((1, 1, 500)), np.random.default_rng(0).random((1, 1, 20))):
        assert [values.tolist() for values in measure_rhythm(signal.astype(np.float32), RATE)] == [[0], [0]]


def test_find_median_beats_has_the_pulse_and_not_one_extrasystole():
    usual = pulses(80)
    signal = usual.copy()
    signal[460:467] *= 2
    (beat,) = find_median_beats(np.stack([signal, 3 + 0 * signal])[None], RATE)
    first, second = beat.reshape(2, 70)
    assert first.max() == pytest.approx(1)
    assert first[15:35].sum() == pytest.approx(usual[60:67].sum())
    assert (first[:15] == 0).all()
    # The other lead is level.
    assert (second == 0).all()


def test_find_median_beats_without_a_beat_is_zero():
    assert (find_median_beats(np.ones((2, 1, 500), dtype=np.float32), RATE) == 0).all()
    assert find_median_beats(np.ones((2, 1, 30), dtype=np.float32), RATE).shape == (2, 70)
