"""Signal functions against literal references: lead algebra, pieces, resampling, z-score."""

import math

import numpy as np
import pytest
import scipy.signal
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lfbt.errors import AbsentLeadError, LfbtError
from lfbt.recording import PAPER_LEADS, STANDARD_LEADS
from lfbt.signal import (
    available_leads,
    choose_leads,
    cut_pieces,
    fit_samples,
    limb_leads_used,
    normalise,
    resample_lead,
)

LIMB = STANDARD_LEADS[:6]
#: ECG values in mV that float32 holds.
MILLIVOLTS = st.floats(-5, 5, width=32)


def f32(values):
    return np.array(values, dtype=np.float32)


def limb_leads(i, ii):
    """All limb leads of I and II, each by its own equation."""
    return {"I": i, "II": ii, "III": ii - i, "aVR": -(i + ii) / 2, "aVL": i - ii / 2, "aVF": ii - i / 2}


@st.composite
def limb_pairs(draw):
    """I and II as float64, two distinct limb leads to be known, and where V1 stands among them."""
    i, ii = (draw(hnp.arrays(np.float64, 6, elements=MILLIVOLTS)) for _ in range(2))
    known = draw(st.permutations(LIMB))[:2]
    order = draw(st.permutations([*known, "V1"]))
    return i, ii, order


# --- lead algebra ---


@given(limb_pairs())
def test_choose_leads_derives_every_limb_lead_from_any_two_in_any_order(pair):
    i, ii, order = pair
    expected = limb_leads(i, ii) | {"V1": np.arange(6.0)}
    signal = np.array([expected[lead] for lead in order], dtype=np.float32)
    found = choose_leads(signal, order, (*LIMB, "V1"))
    assert found.dtype == np.float32
    for row, lead in zip(found, (*LIMB, "V1"), strict=True):
        np.testing.assert_allclose(row, expected[lead], rtol=0, atol=1e-5)


@given(st.permutations(STANDARD_LEADS), st.permutations(STANDARD_LEADS), st.integers(1, 12))
def test_choose_leads_takes_present_leads_by_name_bit_for_bit(order, wanted, n):
    rows = np.random.default_rng(0).normal(size=(12, 5)).astype(np.float32)
    by_name = dict(zip(STANDARD_LEADS, rows, strict=True))
    signal = np.stack([by_name[lead] for lead in order])
    found = choose_leads(signal, order, wanted[:n])
    np.testing.assert_array_equal(found, [by_name[lead] for lead in wanted[:n]])


def test_choose_leads_derives_the_same_whatever_other_leads_there_are():
    rows = np.random.default_rng(1).normal(size=(2, 50)).astype(np.float32)
    alone = choose_leads(rows, ("I", "II"), ("III", "aVF"))
    more = np.concatenate([rows[::-1], np.full((1, 50), 9, dtype=np.float32)])
    np.testing.assert_array_equal(choose_leads(more, ("II", "I", "X"), ("III", "aVF")), alone)


def test_choose_leads_does_not_derive_a_present_limb_lead():
    signal = f32([[1, 1], [5, 5], [100, 100]])
    np.testing.assert_array_equal(choose_leads(signal, ("I", "II", "III"), ("III",)), [[100, 100]])


@pytest.mark.parametrize(
    ("leads", "wanted", "absent"),
    [
        (("I", "II", "V1"), ("V2", "II", "V6"), "V2,V6"),
        (("II", "V1"), ("II", "III"), "III"),
        (("V1", "V2"), ("I",), "I"),
        (("I", "II"), ("iii",), "iii"),
    ],
)
def test_choose_leads_names_absent_leads_and_those_present(leads, wanted, absent):
    with pytest.raises(LfbtError, match=f"^absent lead {absent} \\(the recording has {','.join(leads)}\\)$"):
        choose_leads(np.zeros((len(leads), 4), dtype=np.float32), leads, wanted)


def test_choose_leads_refuses_a_duplicate_name():
    with pytest.raises(LfbtError, match="leads II,V1,II: a name is a duplicate"):
        choose_leads(np.zeros((3, 4), dtype=np.float32), ("II", "V1", "II"), ("V1",))


# --- pieces and resampling ---


@given(st.integers(1, 40), st.integers(1, 50))
def test_cut_pieces_keeps_the_order_and_only_the_last_is_shorter(n_raw, n):
    signal = np.arange(2 * n, dtype=np.float32).reshape(2, n)
    pieces = cut_pieces(signal, n_raw, "all")
    np.testing.assert_array_equal(np.concatenate(pieces, axis=1), signal)
    assert all(piece.shape == (2, n_raw) for piece in pieces[:-1])
    assert 1 <= pieces[-1].shape[1] <= n_raw
    (first,) = cut_pieces(signal, n_raw, "first")
    np.testing.assert_array_equal(first, signal[:, :n_raw])


def literal_resample(x, n):
    """Fourier resampling written out, where the smaller of the two numbers of samples is odd.

    The frequencies that both can hold, as one polynomial of sines and cosines, taken at `n` equidistant places.
    """
    half = (min(n, len(x)) - 1) // 2
    out = np.zeros(n, dtype=complex)
    for k in range(-half, half + 1):
        coefficient = sum(x[t] * np.exp(-2j * math.pi * k * t / len(x)) for t in range(len(x))) / len(x)
        out += coefficient * np.exp(2j * math.pi * k * np.arange(n) / n)
    return out.real


@given(
    hnp.arrays(np.float32, st.tuples(st.integers(1, 3), st.integers(1, 24)), elements=MILLIVOLTS),
    st.integers(0, 8),
    st.integers(2, 40),
)
def test_fit_samples_equals_scipy_after_zeros_at_the_end(piece, missing, n_samples):
    n_raw = piece.shape[1] + missing
    padded = np.concatenate([piece.astype(float), np.zeros((len(piece), missing))], axis=1)
    found = fit_samples(piece, n_raw, n_samples)
    assert found.shape == (len(piece), n_samples)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, scipy.signal.resample(padded, n_samples, axis=1), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("n_raw", "n_samples"), [(15, 40), (40, 15), (33, 41), (41, 33), (16, 15)])
def test_fit_samples_evaluates_the_trigonometric_polynomial(n_raw, n_samples):
    piece = np.random.default_rng(n_raw).normal(size=(2, n_raw)).astype(np.float32)
    expected = [literal_resample(row.astype(float), n_samples) for row in piece]
    np.testing.assert_allclose(fit_samples(piece, n_raw, n_samples), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("rate", "n_samples"), [(500, 2048), (1000, 2048), (257, 2048), (100, 2048), (500, 1024)])
@pytest.mark.parametrize("hertz", [1.0, 12.3, 40.0])
def test_fit_samples_keeps_frequency_and_amplitude_of_a_sine(rate, n_samples, hertz):
    times = np.arange(10 * rate) / rate
    piece = f32([1.7 * np.sin(2 * np.pi * hertz * times + 0.4)])
    expected = 1.7 * np.sin(2 * np.pi * hertz * np.arange(n_samples) * 10 / n_samples + 0.4)
    np.testing.assert_allclose(fit_samples(piece, 10 * rate, n_samples)[0], expected, atol=2e-6)


def test_fit_samples_keeps_a_short_piece_at_the_start_with_its_rate():
    times = np.arange(2500) / 500
    bump = np.exp(-((times - 2.5) ** 2) / 0.08)
    found = fit_samples(f32([bump]), 5000, 2048)[0]
    new_times = np.arange(2048) / 204.8
    np.testing.assert_allclose(found, np.exp(-((new_times - 2.5) ** 2) / 0.08), atol=2e-6)


def test_fit_samples_does_not_change_what_needs_no_resampling():
    piece = np.random.default_rng(0).normal(size=(2, 30)).astype(np.float32)
    np.testing.assert_array_equal(fit_samples(piece, 30, 30), piece)
    np.testing.assert_array_equal(fit_samples(piece[:, :20], 30, 30)[:, 20:], np.zeros((2, 10)))


# --- z-score ---

# Multiples of 1/64, so that sums are exact in float32 and a constant lead has no spread.
SIGNALS = hnp.arrays(
    np.int64, st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 12)), elements=st.integers(-300, 300)
).map(lambda steps: (steps / 64).astype(np.float32))


def literal_z(values):
    mean = sum(values) / len(values)
    std = math.sqrt(sum((value - mean) ** 2 for value in values) / len(values))
    return [(value - mean) / (std + 1e-5) for value in values]


def reflected(lead):
    """A lead without the line between its ends, and what continues it: half of it after its end, half before it."""
    n = len(lead)
    level = lead - np.linspace(lead[0], lead[-1], n)
    after = [-level[n - 1 - k] for k in range(1, n - n // 2 + 1)]
    return np.array([*level, *after, *(-level[k] for k in range(n // 2, 0, -1))])


@pytest.mark.parametrize(("n", "n_samples"), [(2, 3), (7, 12), (8, 5), (50, 200), (51, 33)])
def test_resample_lead_equals_scipy_on_the_lead_reflected_at_its_ends(n, n_samples):
    lead = np.random.default_rng(n).laplace(0.3, 0.2, n) + np.linspace(0, 2, n)
    line = lead[0] + (lead[-1] - lead[0]) / (n - 1) * np.arange(n_samples) * n / n_samples
    expected = line + scipy.signal.resample(reflected(lead), 2 * n_samples)[:n_samples]
    np.testing.assert_allclose(resample_lead(lead, n_samples), expected, rtol=0, atol=1e-6)


def test_resample_lead_of_one_sample_and_beyond_float32():
    assert resample_lead(f32([0.75]), 4).tolist() == [0.75] * 4
    assert np.isposinf(resample_lead(np.full(4, 1e39), 6)).all()


def test_normalise_equals_z_scores_by_hand():
    signal = f32([[1, 3], [5, 7]])
    root5 = np.sqrt(5)
    record = (signal - 4) / (root5 + 1e-5)
    np.testing.assert_allclose(normalise(signal, "record"), record, rtol=1e-6)
    np.testing.assert_allclose(normalise(signal, "lead"), np.array([[-1, 1], [-1, 1]]) / (1 + 1e-5), rtol=1e-6)
    assert normalise(signal, "none") is signal


@given(SIGNALS)
def test_normalise_takes_each_record_or_lead_by_itself(signals):
    by_record = [literal_z(record.ravel().tolist()) for record in signals]
    by_lead = [[literal_z(lead.tolist()) for lead in record] for record in signals]
    for found, expected in ((normalise(signals, "record"), by_record), (normalise(signals, "lead"), by_lead)):
        assert found.dtype == np.float32
        assert found.shape == signals.shape
        np.testing.assert_allclose(found, np.reshape(expected, signals.shape), rtol=0, atol=5e-4)


@given(st.integers(0, 2**32 - 1), st.floats(1e-2, 10), st.floats(-5, 5), st.sampled_from(["record", "lead"]))
def test_normalise_does_not_depend_on_scale_and_offset(seed, scale, offset, how):
    signals = np.random.default_rng(seed).normal(size=(2, 3, 200))
    one = normalise(signals.astype(np.float32), how)
    other = normalise((scale * signals + offset).astype(np.float32), how)
    np.testing.assert_allclose(other, one, atol=5e-3)


@given(st.integers(0, 2**32 - 1), st.sampled_from(["record", "lead"]))
def test_normalise_twice_is_normalise_once(seed, how):
    once = normalise(np.random.default_rng(seed).normal(0.3, 2.0, (2, 3, 100)).astype(np.float32), how)
    np.testing.assert_allclose(normalise(once, how), once, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("how", ["record", "lead", "none"])
def test_normalise_takes_a_batch_as_its_records(how):
    signals = np.random.default_rng(2).normal(size=(4, 3, 64)).astype(np.float32)
    one_by_one = np.stack([normalise(record, how) for record in signals])
    np.testing.assert_allclose(normalise(signals, how), one_by_one, rtol=0, atol=1e-6)


@pytest.mark.parametrize("how", ["record", "lead"])
@pytest.mark.parametrize("value", [0.0, 0.35, -7.3, -1024.0])
def test_normalise_makes_a_constant_record_zeros(how, value):
    signals = np.full((2, len(PAPER_LEADS), 2048), value, dtype=np.float32)
    np.testing.assert_array_equal(normalise(signals, how), np.zeros_like(signals))


def test_normalise_refuses_other_kinds():
    with pytest.raises(LfbtError, match="normalisation: 'minmax' is not one of record, lead, none"):
        normalise(np.zeros((1, 2), dtype=np.float32), "minmax")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("leads", "wanted", "used"),
    [
        (("I", "II", "V1"), ("I", "V1"), []),
        (("I", "II"), ("II", "V2"), []),
        (("I", "V1"), ("II",), []),
        (("V1", "aVF", "I"), ("II", "V1"), ["I", "aVF"]),
        (("III", "II", "I"), ("aVR",), ["I", "II"]),
    ],
)
def test_limb_leads_used_are_two_where_one_is_derived(leads, wanted, used):
    assert limb_leads_used(leads, wanted) == used


@given(st.sets(st.sampled_from(STANDARD_LEADS), min_size=1), st.lists(st.sampled_from(STANDARD_LEADS), unique=True))
def test_available_leads_are_those_that_choose_leads_gives(leads, wanted):
    """Each of them by itself, too; of the others none."""
    names = sorted(leads)
    signal = np.ones((len(names), 3), np.float32)
    present = available_leads(names, wanted)
    assert choose_leads(signal, names, present).shape == (len(present), 3)
    assert list(present) == [lead for lead in wanted if lead in present]
    for lead in wanted:
        if lead not in present:
            with pytest.raises(AbsentLeadError, match=lead):
                choose_leads(signal, names, [lead])
