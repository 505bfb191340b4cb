"""Faults of leads: by hand, on sound synthetic ECG, and on the same with each fault put in."""

import functools
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lfbt.audit.lead_quality import MAX_LIMB_RESIDUAL, find_flat_and_saturated, find_limb_lead_faults
from lfbt.recording import STANDARD_LEADS
from lfbt.signal import fit_samples
from lfbt.sources.synthesis import make_record

LIMB = STANDARD_LEADS[:6]


@functools.cache
def generate_ecg(n_samples=2048):
    """Synthetic ECG ``[records, 12 leads, samples]``, ten seconds in mV."""
    signals = [make_record(2, number).signal.astype(np.float32) for number in range(1, 31)]
    return np.stack([fit_samples(signal, 5000, n_samples) for signal in signals])


# --- limb leads ---


def test_find_limb_lead_faults_finds_none_in_sound_leads():
    residuals, causes = find_limb_lead_faults(generate_ecg()[:, :6], LIMB)
    assert residuals.max() < 0.01
    assert causes == [[]] * 30


def column(*values):
    return np.array(values, dtype=np.float32)[None, :, None]


def test_find_limb_lead_faults_residual_by_hand():
    wave = np.sin(np.arange(100) * 2 * np.pi / 25)
    # I - II + III is the wave: a third of the sum of squares, 1, contradicts by (1/√3)².
    same = np.stack([wave, wave, wave])[None].astype(np.float32)
    assert find_limb_lead_faults(same, ("I", "II", "III"))[0] == pytest.approx([1 / 3])
    assert find_limb_lead_faults(same * column(1, 2, 1), ("I", "II", "III"))[0] == pytest.approx([0], abs=1e-3)
    # All of it: I = -II = III.
    assert find_limb_lead_faults(same * column(1, -1, 1), ("I", "II", "III"))[0] == pytest.approx([1])
    # aVR = -(I + II) / 2, so here it is -1 times the wave.
    sound = same * column(1, 1, -1)
    assert find_limb_lead_faults(sound, ("I", "II", "aVR"))[0] == pytest.approx([0], abs=1e-3)


FAULTS = [(f"{lead} inverted", (i, i)) for i, lead in enumerate(LIMB)] + [
    (f"{LIMB[i]} and {LIMB[j]} swapped", (i, j)) for i, j in itertools.combinations(range(6), 2)
]


@pytest.mark.parametrize(("cause", "leads"), FAULTS)
def test_find_limb_lead_faults_names_inverted_and_swapped_leads(cause, leads):
    i, j = leads
    signals = generate_ecg()[:, :6].copy()
    if i == j:
        signals[:, i] *= -1
    else:
        signals[:, [i, j]] = signals[:, [j, i]]
    residuals, causes = find_limb_lead_faults(signals, LIMB)
    # A few records have two leads that are nearly alike, whose swap changes nothing.
    found = residuals > MAX_LIMB_RESIDUAL
    assert found.mean() > 0.7
    assert all(cause in named for named, was in zip(causes, found, strict=True) if was)
    assert np.mean([len(named) == 1 for named, was in zip(causes, found, strict=True) if was]) > 0.7


def test_find_limb_lead_faults_names_all_explanations_of_three_leads():
    signals = generate_ecg()[:, :3].copy()
    signals[:, 2] *= -1
    residuals, causes = find_limb_lead_faults(signals, LIMB[:3])
    found = residuals > MAX_LIMB_RESIDUAL
    assert found.any()
    assert all({"III inverted", "I and II swapped"} <= set(causes[row]) for row in np.flatnonzero(found))


def test_find_limb_lead_faults_names_no_cause_for_another_fault():
    signals = generate_ecg()[:, :6].copy()
    signals[:, 0] = signals[::-1, 0]  # lead I of another record
    residuals, causes = find_limb_lead_faults(signals, LIMB)
    assert (residuals > MAX_LIMB_RESIDUAL).mean() > 0.7
    assert np.mean([named == [] for named in causes]) > 0.7


@given(gain=st.floats(1e-3, 1e3), offsets=st.lists(st.floats(-10, 10), min_size=6, max_size=6))
def test_find_limb_lead_faults_ignores_gain_and_offsets(gain, offsets):
    signals = generate_ecg()[:4, :6].copy()
    signals[:, 4] *= -1
    changed = (gain * (signals.astype(np.float64) + np.array(offsets)[None, :, None])).astype(np.float32)
    expected, _ = find_limb_lead_faults(signals, LIMB)
    np.testing.assert_allclose(find_limb_lead_faults(changed, LIMB)[0], expected, rtol=0.01, atol=1e-3)


# --- flat and saturated leads ---


@pytest.mark.parametrize("n_samples", [512, 1024, 2048, 5000])
def test_find_flat_and_saturated_finds_none_in_sound_leads(n_samples):
    flat, saturated = find_flat_and_saturated(generate_ecg(n_samples), n_samples / 10, in_mv=True)
    assert not flat.any()
    assert not saturated.any()


def test_find_flat_and_saturated_finds_flat_leads():
    signals = generate_ecg()[:3].copy()
    signals[0, 3] = 0.7
    signals[1, 5] = 0.7 + 0.0024 * np.sin(np.arange(2048))
    flat, saturated = find_flat_and_saturated(signals, 204.8, in_mv=True)
    assert np.argwhere(flat).tolist() == [[0, 3], [1, 5]]
    assert not saturated.any()
    # Without a unit a thousandth of the liveliest lead counts.
    flat, _ = find_flat_and_saturated(signals * 1000, 204.8, in_mv=False)
    assert np.argwhere(flat).tolist() == [[0, 3]]


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("n_samples", [512, 2048, 5000])
def test_find_flat_and_saturated_finds_saturation_after_resampling(sign, n_samples):
    raw = make_record(2, 1).signal.astype(np.float32)
    raw[7, 1000:1150] = sign * 5  # 0.3 s at the end of the range
    raw[8, 1000:1050] = sign * 5  # 0.1 s: a spike
    raw[9, 2000:3000] += sign * 1.5 * np.sin(np.arange(1000) * np.pi / 1000)  # a slow wave
    signals = fit_samples(raw, 5000, n_samples)[None]
    _, saturated = find_flat_and_saturated(signals, n_samples / 10, in_mv=True)
    assert np.argwhere(saturated).tolist() == [[0, 7]]


def test_find_flat_and_saturated_ignores_zero_padding():
    raw = make_record(2, 1).signal.astype(np.float32)
    raw += 5  # zero is the lowest value of each lead, far from its median
    signals = fit_samples(raw[:, :4000], 5000, 2048)[None]
    assert not find_flat_and_saturated(signals, 204.8, in_mv=True)[1].any()
    # A single padded lead looks like a saturated one.
    assert find_flat_and_saturated(signals[:, :1], 204.8, in_mv=True)[1].all()
