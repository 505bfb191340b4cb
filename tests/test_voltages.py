"""Voltages that no ECG has."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lfbt.errors import LfbtError
from lfbt.signal import normalise
from lfbt.voltages import (
    check_offset,
    find_implausible_leads,
    find_offset,
    implausible_span,
    is_standardised,
    measure_spans,
)


def test_implausible_span_is_none_within_its_ends():
    for span in (0.05, 1.0, 10.0):
        assert implausible_span([span]) is None
    assert implausible_span([]) is None
    assert implausible_span([0.01, 1.0, 500.0]) is None


@pytest.mark.parametrize(
    ("span", "likely"),
    [
        (0.049, "not an ECG"),
        (0.01, "in V"),
        (2e-4, "in V"),
        (1e-6, "not an ECG"),
        (10.1, "raw counts"),
        (49.0, "raw counts"),
        (50.0, "in µV"),
        (9e3, "in µV"),
        (9e5, "in nV"),
        (9e7, "raw counts"),
    ],
)
def test_implausible_span_names_the_likely_unit(span, likely):
    assert f"likely {likely}" in str(implausible_span([span]))


def test_measure_spans_is_from_lowest_to_highest():
    np.testing.assert_array_equal(measure_spans(np.array([[[1.0, -2.0, 0.5], [3.0, 3.0, 3.0]]])), [[3.0, 0.0]])


@pytest.mark.parametrize(
    ("values", "unit", "offset"),
    [
        (2048 + np.arange(200) % 90, "200/mV", 2048),
        (32768 + np.arange(200) % 90, "uV", 32768),
        (1024 + np.arange(200) % 90, "500/mV", 1024),
        (-8000 + np.arange(200) % 90, "1000/mV", -7960),
        (np.arange(200) % 90 - 45, "200/mV", None),
        (2048.5 + np.arange(200) % 90, "200/mV", None),
        (np.full(200, 2048), "200/mV", None),
        (3000 + np.arange(200) % 90, "uV", None),
        (2048 + np.arange(99) % 90, "200/mV", None),
        (2048 + np.arange(200) % 90, "200(0)/mV", None),
        (np.where(np.arange(200) % 9, 2048.0 + np.arange(200) % 90, np.nan), "200/mV", 2048),
        (np.full(200, np.nan), "200/mV", None),
        (np.repeat([0, 2048], [100, 100]), "200/mV", 1024),
        (np.repeat([0, 2048], [101, 99]), "200/mV", None),
    ],
)
def test_find_offset_names_the_likely_one(values, unit, offset):
    fault = find_offset(values[None], unit, ("II",))
    assert fault is None if offset is None else f"({offset})/mV" in str(fault)


def test_check_offset_names_the_array():
    with pytest.raises(LfbtError, match=r"^signals: record 3: lead II lies at 20\d\d"):
        check_offset("signals: record 3", 2048 + np.arange(200)[None] % 40, "200/mV", ("II",))


def far(*, width, height=31.0, start=2500, shape="flat"):
    """Two leads of 10 s at 500 Hz, the second displaced for `width` samples."""
    piece = np.random.default_rng(0).normal(0, 0.3, (2, 5000)).astype(np.float32)
    away = np.full(width, height) if shape == "flat" else height * np.sin(np.linspace(0, np.pi, width))
    piece[1, start : start + width] = away
    return piece


@pytest.mark.parametrize("scale", [100, 200, 1000])
def test_find_implausible_leads_names_a_lead_in_another_unit(scale):
    piece = np.random.default_rng(0).normal(0, 0.3, (2, 5000)).astype(np.float32)
    assert find_implausible_leads(piece, ("II", "V1"), 500.0) is None
    piece[1] *= scale
    assert find_implausible_leads(piece, ("II", "V1"), 500.0) == f"V1 spans {np.ptp(piece[1]):.3g} mV"


@pytest.mark.parametrize(("width", "start"), [(1, 2500), (3, 2500), (700, 2500), (1, 0), (40, 0), (40, 4960)])
@pytest.mark.parametrize("code", [-32.768, 32.767, 327.67])
def test_find_implausible_leads_names_a_lead_with_codes_for_invalid_samples(width, start, code):
    assert "V1 spans" in str(find_implausible_leads(far(width=width, start=start, height=code), ("II", "V1"), 500.0))


@pytest.mark.parametrize(("width", "height"), [(80, 40.0), (400, 150.0), (2000, 80.0)])
def test_find_implausible_leads_takes_a_lead_that_an_electrode_displaces(width, height):
    assert find_implausible_leads(far(width=width, height=height, shape="sine"), ("II", "V1"), 500.0) is None


def test_find_implausible_leads_takes_a_step_that_decays():
    piece = far(width=1)
    piece[1, 1000:] = 80 * np.exp(-np.arange(4000) / 300) + piece[0, 1000:]
    assert find_implausible_leads(piece, ("II", "V1"), 500.0) is None


def test_find_implausible_leads_leaves_out_seconds_that_do_not_move():
    """A piece that is padded for most of its length."""
    piece = np.pad(np.random.default_rng(0).normal(0, 60, (1, 1500)), ((0, 0), (0, 3500))).astype(np.float32)
    assert "II spans" in str(find_implausible_leads(piece, ("II",), 500.0))
    assert find_implausible_leads(np.zeros((1, 5000), dtype=np.float32), ("II",), 500.0) is None
    assert "II spans" in str(find_implausible_leads(piece[:, :100], ("II",), 500.0))


@pytest.mark.parametrize("how", ["record", "lead"])
def test_is_standardised_tells_z_scores_from_millivolts(how):
    signal = np.random.default_rng(0).normal(0.1, 0.3, (3, 500)).astype(np.float32)
    assert not is_standardised(signal)
    assert is_standardised(normalise(signal, how))
    signal[1] = 0
    assert is_standardised(normalise(signal, how))


def test_is_standardised_says_nothing_of_flat_and_broken_signals():
    assert not is_standardised(np.zeros((2, 9), np.float32))
    assert not is_standardised(np.full((2, 9), np.nan, np.float32))
    assert not is_standardised(np.array([[np.inf, -np.inf, 1e30]], np.float32))


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 2e-4, 4e-4, 5e-3, 0.02, 0.3]), st.booleans(), st.booleans())
def test_is_standardised_is_what_means_and_deviations_say(seed, off, by_lead, flat):
    signal = np.random.default_rng(seed).normal(size=(3, 400)).astype(np.float32)
    signal[0] *= not flat
    rows = np.ptp(signal, axis=1) > 0
    axis = 1 if by_lead else None
    signal[rows] = (signal - signal.mean(axis, keepdims=True))[rows] / signal[rows].std(axis, keepdims=True)
    signal = np.asarray(signal * (1 + off) + off, np.float32)
    near = [
        np.all(np.abs(one.mean(1, dtype=float)) < 3e-4) and np.all(np.abs(one.std(1, dtype=float) - 1) < 3e-4)
        for one in (signal.reshape(1, -1), signal[np.ptp(signal, axis=1) != 0])
    ]
    assert is_standardised(signal) == any(near)
