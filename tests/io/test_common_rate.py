"""Leads of different sampling rates: against scipy, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
import scipy.signal
from hypothesis import given
from hypothesis import strategies as st
from tests.published_files import taken_up

from lfbt.errors import UnreadableError
from lfbt.io.common_rate import to_common_rate

RNG = np.random.default_rng(0)


def test_to_common_rate_makes_infinite_what_float32_cannot_hold():
    resampled, _ = to_common_rate(Path("f"), ("I", "II"), [np.full(100, 1e60), np.ones(400)], [50.0, 200.0])
    assert np.isinf(resampled[0]).all()
    np.testing.assert_array_equal(resampled[1], np.ones(400))


@given(counts=st.lists(st.sampled_from([1, 2, 3, 4, 5, 8]), min_size=2, max_size=5), frames=st.integers(4, 60))
def test_to_common_rate_equals_scipy_of_mirrored_leads_and_keeps_the_highest(counts, frames):
    signals = [RNG.normal(size=frames * count) for count in counts]
    leads = [f"V{number}" for number in range(len(counts))]
    resampled, note = to_common_rate(Path("f"), leads, signals, [125.0 * count for count in counts])
    n_samples = frames * max(counts)
    assert resampled.shape == (len(counts), n_samples)
    for row, signal in zip(resampled, signals, strict=True):
        if len(signal) == n_samples:
            np.testing.assert_array_equal(row, signal)
        else:
            np.testing.assert_allclose(row, taken_up(signal, n_samples), atol=1e-5)
    assert note.count(" from ") == sum(count < max(counts) for count in counts)


def resample(wave, seconds=4):
    """What a lead of 125 Hz becomes beside one of 500 Hz, and what it is."""
    slow, fast = (wave(np.arange(seconds * rate) / rate) for rate in (125, 500))
    resampled, note = to_common_rate(Path("f"), ("I", "II"), [slow, fast], [125.0, 500.0])
    assert note == "leads resampled to 500 Hz: I from 125 Hz"
    return resampled[0], fast


@pytest.mark.parametrize(("slope", "start"), [(0.5, 0.0), (-3.0, 40.0), (0.0, 2.5)])
def test_to_common_rate_keeps_a_ramp_to_its_ends(slope, start):
    """A lead that drifts by 2 or 12 mV: the ends do not meet."""
    found, true = resample(lambda t: start + slope * t)
    np.testing.assert_allclose(found, true, atol=1e-5)


@pytest.mark.parametrize(("hertz", "bound"), [(0.13, 2e-5), (0.7, 1e-3), (3.3, 0.02)])
def test_to_common_rate_keeps_a_slow_wave_of_no_whole_number_of_periods_to_its_ends(hertz, bound):
    """A lead taken for periodic is wrong by up to half of the jump where the ends meet."""
    found, true = resample(lambda t: np.sin(2 * np.pi * hertz * t + 0.4))
    np.testing.assert_allclose(found, true, atol=bound)
    np.testing.assert_allclose(found[100:-100], true[100:-100], atol=bound / 10)
    periodic = scipy.signal.resample(true[::4], len(true))
    assert np.abs(periodic - true).max() > 10 * bound


def test_to_common_rate_keeps_a_lead_of_one_sample():
    resampled, _ = to_common_rate(Path("f"), ("I", "II"), [np.ones(1), np.zeros(4)], [1.0, 4.0])
    np.testing.assert_array_equal(resampled[0], np.ones(4))


@pytest.mark.parametrize("n_slow", [99, 101, 50])
def test_to_common_rate_refuses_leads_of_other_durations(n_slow):
    with pytest.raises(
        UnreadableError, match=rf"^file f: .* not recorded together \(seconds: I {n_slow / 50:g}, II 2\)"
    ):
        to_common_rate(Path("f"), ("I", "II"), [np.ones(n_slow), np.ones(400)], [50.0, 200.0])
    with pytest.raises(UnreadableError, match=r"\(seconds: I 2, II 2, V1 1\.995\)"):
        to_common_rate(Path("f"), ("I", "II", "V1"), [np.ones(n) for n in (100, 400, 399)], [50.0, 200.0, 200.0])


def test_to_common_rate_refuses_invalid_samples_only_where_it_resamples():
    slow, fast = np.ones(100), np.ones(400)
    fast[3] = np.nan
    assert np.isnan(to_common_rate(Path("f"), ("I", "II"), [slow, fast], [50.0, 200.0])[0]).sum() == 1
    slow[3] = np.nan
    with pytest.raises(
        UnreadableError, match=r"^file f: lead I of 50 Hz has invalid samples and cannot be taken to 200 Hz"
    ):
        to_common_rate(Path("f"), ("I", "II"), [slow, fast], [50.0, 200.0])
