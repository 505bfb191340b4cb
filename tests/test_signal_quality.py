"""Quality of leads: hand-made faults at the limits of each, and none in ECGs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lfbt.recording import STANDARD_LEADS
from lfbt.signal import fit_samples
from lfbt.signal_quality import measure_quality, quality_fault
from lfbt.sources.synthesis import make_record

NOISE = np.random.default_rng(0).standard_normal(60_000)


def f32(values):
    return np.array(values, dtype=np.float32)


def ecg(n=5000):
    return make_record(0, 1).signal[:, :n].astype(np.float32)


def fault(signal, rate=500.0):
    return quality_fault(signal, STANDARD_LEADS, rate)


@pytest.mark.parametrize("number", range(1, 21))
def test_quality_fault_finds_none_in_a_noisy_ecg(number):
    steps = np.round(make_record(5, number).signal / 0.005) * 0.005
    assert fault(steps.astype(np.float32)) is None


def test_quality_fault_finds_none_in_an_ecg_that_rests_at_its_baseline():
    # A monophasic lead without noise, its baseline the lowest value for most of the time.
    times = np.arange(5000) / 500
    beats = np.exp(-(((times % 0.8) - 0.4) ** 2) / 2e-4).astype(np.float32)
    signal = np.tile(np.where(beats < 0.01, np.float32(0), beats), (12, 1))
    assert fault(signal) is None
    assert fault(-signal) is None


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@settings(max_examples=20)
@given(lead=st.integers(0, 11), sample=st.integers(0, 4999))
def test_quality_fault_finds_one_value_that_is_not_finite(value, lead, sample):
    signal = ecg().copy()
    signal[lead, sample] = value
    assert fault(signal) == f"not finite: {STANDARD_LEADS[lead]}"


@pytest.mark.parametrize("level", [0.0, 3.2, -1.0])
def test_quality_fault_names_flat_leads(level):
    signal = ecg().copy()
    signal[[2, 7]] = level
    assert fault(signal) == "flat: III,V2"


def test_quality_fault_is_flat_up_to_5_microvolts():
    signal = ecg().copy()
    signal[3] = np.tile(f32([0, 0.005]), 2500)
    assert fault(signal) == "flat: aVR"
    signal[3] = np.tile(f32([0, 0.01]), 2500)
    assert fault(signal) is None


def clipped(signal, lead, start, n, value):
    signal = signal.copy()
    signal[lead, start : start + n] = value
    return signal


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("rate", "n"), [(500.0, 100), (250.0, 50), (1000.0, 200)])
def test_quality_fault_is_saturated_from_a_plateau_of_a_fifth_of_a_second(sign, rate, n):
    for start in (0, 1234, 5000 - n):
        signal = clipped(ecg(), 4, start, n, sign * 5.0)
        assert fault(signal, rate) == "saturated: aVL"
        signal = clipped(ecg(), 4, start, n - 1, sign * 5.0)
        assert fault(signal, rate) is None


def test_quality_fault_does_not_add_up_two_short_plateaus():
    signal = clipped(clipped(ecg(), 1, 500, 99, 5.0), 1, 700, 99, 5.0)
    assert fault(signal) is None


def test_quality_fault_is_saturated_for_a_clipped_lead():
    times = np.arange(5000) / 500
    wander = np.tile(f32(3 * np.sin(2 * np.pi * 0.3 * times)), (12, 1))
    assert fault(wander) is None
    assert fault(np.clip(wander, -2, 9)) == "saturated: " + ",".join(STANDARD_LEADS)
    assert fault(np.clip(wander, -9, 2)) == "saturated: " + ",".join(STANDARD_LEADS)


def test_quality_fault_gives_the_worst_fault():
    signal = clipped(ecg(), 5, 0, 500, 9.0)
    assert fault(signal) == "saturated: aVF"
    signal[0] = 0
    assert fault(signal) == "flat: I"
    signal[1, 0] = np.nan
    assert fault(signal) == "not finite: II"


def test_quality_fault_is_saturated_for_a_lead_at_the_rail_most_of_the_time():
    """The rail is then the median as well; no skin has 40 mV."""
    piece = ecg()[:2].copy()
    piece[1, 1000:] = 40.0
    assert quality_fault(piece, ("I", "II"), 500.0) == "saturated: II"
    # At rest within the heart's own range, in place of a baseline: seen in paced and in clean recordings.
    piece[1] = np.where(np.arange(5000) % 500 < 400, 0, np.abs(ecg()[1]))
    assert quality_fault(piece, ("I", "II"), 500.0) is None


# --- noise, hum, interruptions, size ---


@pytest.mark.parametrize("rate", [100.0, 204.8, 250.0, 500.0])
@pytest.mark.parametrize("deviation", [0.02, 1.0])
def test_quality_fault_names_a_lead_of_white_noise(rate, deviation):
    signal = fit_samples(ecg(), 5000, round(10 * rate))
    signal[7] = deviation * NOISE[: signal.shape[1]]
    assert fault(signal, rate) == "noise: V2"


def test_quality_fault_accepts_an_ecg_with_noise_of_half_its_size():
    signal = ecg() + 0.5 * ecg().std(axis=1, keepdims=True) * NOISE[:60_000].reshape(12, 5000)
    assert fault(signal.astype(np.float32)) is None


@pytest.mark.parametrize("frequency", [49.8, 50.0, 60.0, 60.2])
def test_quality_fault_is_hum_where_mains_are_more_than_the_rest(frequency):
    signal = ecg().copy()
    hum = np.sin(2 * np.pi * frequency * np.arange(5000) / 500)
    power = np.var(signal[3].reshape(10, 500), axis=1).mean()
    for share, expected in ((0.4, None), (0.6, "hum: aVR")):
        signal[3] = ecg()[3] + np.sqrt(2 * power * share / (1 - share)) * hum
        assert fault(signal) == expected


def test_hum_of_less_than_a_tenth_of_a_millivolt_is_none_in_a_lead_that_is_small_for_its_direction():
    times = np.arange(5000) / 500
    for amplitude, expected in ((0.09, None), (0.11, "hum: aVL")):
        signal = ecg().copy()
        signal[4] = 0.01 * ecg()[4] + amplitude * np.sin(2 * np.pi * 50 * times)
        assert fault(signal) == expected


def test_hum_is_the_share_of_its_power():
    times = np.arange(4000) / 400
    signal = f32([np.sin(2 * np.pi * 50 * times) + np.sin(2 * np.pi * 7 * times), np.sin(2 * np.pi * 13 * times)])
    np.testing.assert_allclose(measure_quality(signal, 400.0).hum, [0.5, 0], atol=1e-5)


@pytest.mark.parametrize(
    ("start", "n", "expected"), [(1500, 1500, "interrupted: V1"), (0, 1499, None), (3500, 1500, "interrupted: V1")]
)
def test_quality_fault_is_interrupted_for_a_lead_at_rest_for_three_whole_seconds(start, n, expected):
    signal = ecg().copy()
    signal[6, start : start + n] = signal[6].mean()
    assert fault(signal) == expected


def test_quality_fault_accepts_a_rest_of_all_leads():
    # Zeros at the end of a short recording.
    signal = ecg().copy()
    signal[:, 2500:] = 0
    assert fault(signal) is None


@pytest.mark.parametrize("sign", [1, -1])
def test_quality_fault_is_clipped_where_the_peaks_of_beats_are_cut_off(sign):
    signal = ecg().copy()
    end = 0.6 * signal[10].max()
    signal[10] = np.minimum(signal[10], end)
    assert fault(sign * signal) == "clipped: V5"
    # Four peaks of one height are no evidence.
    later = np.arange(5000) >= np.flatnonzero(np.diff((ecg()[10] >= end).astype(int)) == 1)[4]
    signal[10, later] = ecg()[10, later]
    signal[10, later] = np.minimum(signal[10, later], end - 0.1)
    assert fault(sign * signal) is None


def test_quality_fault_accepts_flat_peaks_of_a_small_lead_in_coarse_steps():
    signal = ecg().copy()
    spectrum = np.fft.rfft(0.1 * signal)
    spectrum[:, 250:] = 0  # 25 Hz
    low = np.round(np.fft.irfft(spectrum) / 0.005) * 0.005
    assert fault(low.astype(np.float32)) is None


def test_quality_fault_is_oversized_for_a_lead_in_another_unit():
    signal = ecg().copy()
    signal[2] *= 1000 * np.ptp(signal[1]) / np.ptp(signal[2])
    assert fault(signal) == "oversized: III"
    # Of two leads none is the odd one.
    assert quality_fault(signal[1:3], ("II", "III"), 500.0) is None


def test_measure_quality_is_that_of_each_record_by_itself():
    signals = np.stack([make_record(5, number).signal for number in (1, 2, 3)]).astype(np.float32)
    signals[1, 4] = 0.1 * NOISE[:5000]
    together = measure_quality(signals, 500.0)
    for i, signal in enumerate(signals):
        alone = measure_quality(signal, 500.0)
        np.testing.assert_allclose(together.hum[i], alone.hum, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(together.seconds_at_rest[i], alone.seconds_at_rest)
        np.testing.assert_allclose(together.size[i], alone.size, rtol=1e-6)
    assert np.argwhere(together.noise).tolist() == [[1, 4]]


@pytest.mark.parametrize(("rate", "n"), [(500.0, 499), (0.5, 100), (1.0, 100), (500.0, 1)])
def test_measure_quality_finds_nothing_in_less_than_a_second_and_at_rates_that_show_nothing(rate, n):
    quality = measure_quality(np.tile(f32([[0.1], [0.2]]), n) * NOISE[: 2 * n].reshape(2, n).astype(np.float32), rate)
    assert not quality.noise.any()
    assert not quality.hum.any()
    assert (quality.seconds_at_rest == 0).all()
    assert (quality.size == 1).all()


@settings(max_examples=30)
@given(
    hnp.arrays(np.float32, st.tuples(st.integers(1, 3), st.integers(1, 300)), elements=st.floats(-1e4, 1e4, width=32)),
    st.sampled_from([0.3, 2.0, 49.0, 51.2, 100.0, 128.5]),
)
def test_quality_fault_is_a_fault_or_none_for_any_finite_signal(signal, rate):
    found = quality_fault(signal, ("I", "II", "III")[: len(signal)], rate)
    assert found is None or found.split(":")[0] in (
        "flat", "saturated", "clipped", "interrupted", "noise", "hum", "oversized",
    )  # fmt: skip
