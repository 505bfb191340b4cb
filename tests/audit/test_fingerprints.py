"""Fingerprints: literal forms of sums and matching, invariances, and records that must not match."""

import functools

import numpy as np
import pytest
import scipy.signal
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.audit.helpers import write
from tests.outputs import contents

import lfbt.audit.fingerprints as module
from lfbt.audit.fingerprints import (
    FINGERPRINTS,
    FREQUENCIES,
    Fingerprints,
    compute_bits,
    compute_correlations,
    compute_fingerprints,
    compute_pair_correlations,
    compute_spectra,
    concatenate,
    count_frequencies,
    find_matches,
    load_fingerprints,
    save_fingerprints,
)
from lfbt.data.dataset import from_arrays
from lfbt.data.layouts import open_dataset
from lfbt.errors import LfbtError
from lfbt.recording import PAPER_LEADS, STANDARD_LEADS
from lfbt.sources.synthesis import make_record
from lfbt.utils.tensors import save_tensors

N_RECORDS = 60


@functools.cache
def generate_ecg():
    """Synthetic ECG ``[records, 12 leads, 5000 samples]`` at 500 Hz in mV."""
    return np.stack([make_record(3, number).signal for number in range(1, N_RECORDS + 1)]).astype(np.float32)


def fingerprints_of(signals, rate=500.0, leads=STANDARD_LEADS):
    dataset = from_arrays(np.asarray(signals, dtype=np.float32), leads, rate)
    return compute_fingerprints(dataset, np.arange(len(dataset)))


def resample(signals, n_samples):
    return scipy.signal.resample(signals, n_samples, axis=-1)


def literal_sums(signal, rate):
    """Real and imaginary parts of a lead's Fourier sums, sum by sum."""
    n = min(len(signal), round(10 * rate))
    centred = signal[:n].astype(np.float64) - signal[:n].astype(np.float64).mean()
    sums = []
    for frequency in np.arange(2.0, 14.7, 0.2):
        total = 0j
        for k in range(n):
            if frequency < rate / 2:
                t = k / rate
                total += centred[k] * np.sin(np.pi * t / 10) ** 2 * np.exp(-2j * np.pi * frequency * t)
        sums += [total.real, total.imag]
    return np.array(sums)


@pytest.mark.parametrize(("n_samples", "rate"), [(512, 51.2), (200, 20.0), (256, 51.2), (700, 51.2)])
def test_compute_spectra_equals_sums_over_ten_seconds(n_samples, rate):
    signals = np.random.default_rng(0).standard_normal((2, n_samples)).astype(np.float32) + 3
    expected = np.stack([literal_sums(signal, rate) for signal in signals])
    np.testing.assert_allclose(compute_spectra(signals, rate), expected, rtol=0, atol=1e-3)
    assert count_frequencies(rate) == len([f for f in FREQUENCIES if f < rate / 2])
    assert (expected[:, 2 * count_frequencies(rate) :] == 0).all()


def literal_matches(first, second, within):
    """Matching pairs, bit by bit."""
    leads = [lead for lead in first.leads if lead in second.leads]
    n_bits = 2 * min(first.n_frequencies, second.n_frequencies)
    found = {}
    for i in range(len(first)):
        for j in range(i + 1 if within else 0, len(second)):
            equal = compared = n_leads = 0
            for lead in leads:
                mine, other = first.bits[i, first.leads.index(lead)], second.bits[j, second.leads.index(lead)]
                if mine.any() and other.any():
                    n_leads += 1
                    compared += n_bits
                    pairs = zip(np.unpackbits(mine)[:n_bits], np.unpackbits(other)[:n_bits], strict=True)
                    equal += sum(a == b for a, b in pairs)
            least = 0.9 if n_leads > 2 else 0.95
            if compared >= 64 and (equal / compared >= least - 1e-9 or equal / compared <= 1 - least + 1e-9):
                found[i, j] = equal / compared
    return found


def flip_bits(rng, bits, share):
    """`bits` with about that share of them flipped."""
    return bits ^ np.packbits(rng.random((*bits.shape[:-1], bits.shape[-1] * 8)) < share, axis=-1)


@pytest.mark.parametrize("within", [False, True])
@pytest.mark.parametrize("rows", [3, 2048])
def test_find_matches_equals_a_literal_form(monkeypatch, rows, within):
    monkeypatch.setattr(module, "_BLOCK_ROWS", rows)
    rng = np.random.default_rng(1)
    bits = rng.integers(0, 256, (5, 4, 16), dtype=np.uint8)
    # Copies that differ in up to a fifth of the bits or in the sign, and leads that have nothing.
    others = np.concatenate([flip_bits(rng, bits, share) for share in (0, 0.04, 0.08, 0.12, 0.2)] + [~bits])
    others[1, 2] = bits[3, 0] = others[7] = others[11, 1:] = 0
    first, second = Fingerprints(tuple("abcd"), 64, bits), Fingerprints(tuple("dbxc"), 50, others[:, [3, 1, 0, 2]])
    if within:
        both = np.concatenate([bits, others])
        first = second = Fingerprints(tuple("abcd"), 64, both)
    matches = find_matches(first, None if within else second)
    expected = literal_matches(first, second, within)
    assert len(expected) > 10
    assert dict(zip(zip(matches.first.tolist(), matches.second.tolist(), strict=True), matches.share, strict=True)) == (
        pytest.approx(expected)
    )


def test_find_matches_needs_more_equal_bits_of_two_leads_than_of_three():
    bits = np.random.default_rng(2).integers(0, 256, (1, 3, 16), dtype=np.uint8)
    other = bits.copy()
    other[:, :, 0] ^= 0xFF  # 8 of 128 in each lead: 93.75 % are equal
    three = [Fingerprints(tuple("abc"), 64, some) for some in (bits, other)]
    assert len(find_matches(*three)) == 1
    two = [Fingerprints(tuple("ab"), 64, some[:, :2]) for some in (bits, other)]
    assert len(find_matches(*two)) == 0


def test_find_matches_needs_a_common_lead_and_64_bits():
    bits = np.random.default_rng(3).integers(0, 256, (2, 2, 16), dtype=np.uint8)
    assert len(find_matches(Fingerprints(("a", "b"), 64, bits), Fingerprints(("c", "d"), 64, bits))) == 0
    assert len(find_matches(Fingerprints(("a", "b"), 16, bits), Fingerprints(("a", "b"), 64, bits))) == 2
    assert len(find_matches(Fingerprints(("a", "b"), 15, bits), Fingerprints(("a", "b"), 64, bits))) == 0
    nobody = Fingerprints(("a", "b"), 64, bits[:0])
    assert len(find_matches(nobody, Fingerprints(("a", "b"), 64, bits))) == len(find_matches(nobody)) == 0


# --- invariance ---

PREPARATIONS = {
    "512 samples": lambda x: (resample(x, 512), 51.2),
    "1024 samples": lambda x: (resample(x, 1024), 102.4),
    "2048 samples": lambda x: (resample(x, 2048), 204.8),
    "z-score": lambda x: ((x - x.mean()) / x.std(), 500.0),
    "z-score per lead": lambda x: ((x - x.mean(2, keepdims=True)) / x.std(2, keepdims=True), 500.0),
    "wander": lambda x: (x + np.sin(2 * np.pi * 0.3 * np.arange(5000) / 500 + 1), 500.0),
    "hum": lambda x: (x + 0.1 * np.sin(2 * np.pi * 50 * np.arange(5000) / 500), 500.0),
    "steps of 5 µV": lambda x: (np.round(x / 0.005) * 0.005, 500.0),
    "25 Hz low-pass": lambda x: (apply_filter(x, 25, "lowpass"), 500.0),
    "0.67 Hz high-pass": lambda x: (apply_filter(x, 0.67, "highpass"), 500.0),
    "transient at the end": lambda x: (x + 2 * np.exp((np.arange(5000) - 5000) / 20), 500.0),
}


def apply_filter(signals, frequency, kind):
    return scipy.signal.sosfiltfilt(scipy.signal.butter(2, frequency, kind, fs=500, output="sos"), signals, axis=2)


@pytest.mark.parametrize("name", PREPARATIONS)
def test_find_matches_finds_copies_however_prepared_and_nothing_else(name):
    signals, rate = PREPARATIONS[name](generate_ecg().astype(np.float64))
    order = np.random.default_rng(4).permutation(12)
    leads = [STANDARD_LEADS[i] for i in order][:8]
    copies = from_arrays(signals[::-1][:, order[:8]].astype(np.float32), leads, rate)
    matches = find_matches(fingerprints_of(generate_ecg()), compute_fingerprints(copies, np.arange(N_RECORDS)))
    assert matches.first.tolist() == list(range(N_RECORDS))
    assert matches.second.tolist() == list(range(N_RECORDS))[::-1]
    assert matches.share.min() > 0.95
    originals = from_arrays(generate_ecg(), STANDARD_LEADS, 500.0)
    assert compute_pair_correlations(originals, matches.first, copies, matches.second).min() > 0.99


def test_find_matches_finds_nothing_among_different_recordings():
    many = np.stack([make_record(5, number).signal for number in range(1, 401)])
    original = fingerprints_of(many)
    assert len(find_matches(original)) == 0
    for leads in (("II",), ("V1", "V5")):
        rows = [STANDARD_LEADS.index(lead) for lead in leads]
        assert len(find_matches(Fingerprints(leads, 64, original.bits[:, rows]))) == 0


def test_find_matches_finds_a_copy_of_changed_sign():
    matches = find_matches(fingerprints_of(generate_ecg()), fingerprints_of(-generate_ecg()[5:6]))
    assert (matches.first.tolist(), matches.second.tolist()) == ([5], [0])
    assert matches.share[0] < 0.01
    dataset, other = (from_arrays(signals, STANDARD_LEADS, 500.0) for signals in (generate_ecg(), -generate_ecg()))
    assert compute_pair_correlations(dataset, np.array([5]), other, np.array([5])) == pytest.approx(-1)


def test_compute_pair_correlations_tolerates_a_bad_lead():
    """One of eight leads is noise, or two are swapped."""
    rng, original = np.random.default_rng(0), generate_ecg()[:, [1, 2, *range(6, 12)]]
    noisy, swapped = original.copy(), original.copy()
    noisy[:, 4] = rng.standard_normal(noisy[:, 4].shape)
    swapped[:, [2, 3]] = original[:, [3, 2]]
    for copies in (noisy, swapped):
        first, second = (from_arrays(signals.astype(np.float32), PAPER_LEADS, 500.0) for signals in (original, copies))
        rows = np.arange(len(original))
        assert (compute_pair_correlations(first, rows, second, rows) > 0.99).all()
        assert (np.abs(compute_pair_correlations(first, rows[1:], second, rows[:-1])) < 0.95).all()


def test_find_matches_skips_records_below_five_seconds():
    """Beats are too similar to recognise a record of less than five seconds."""
    dataset = from_arrays(generate_ecg()[:, :, :2499], STANDARD_LEADS, 500.0)
    fingerprints = compute_fingerprints(dataset, np.arange(len(dataset)))
    assert fingerprints.n_frequencies == 0
    assert len(find_matches(fingerprints, fingerprints)) == 0
    longer = fingerprints_of(generate_ecg()[:5, :, :2500])
    assert len(find_matches(longer, longer)) == 5


def test_find_matches_compares_the_first_ten_seconds():
    twenty = np.concatenate([generate_ecg()[:3], generate_ecg()[3:6]], axis=2)
    matches = find_matches(fingerprints_of(generate_ecg()), fingerprints_of(twenty))
    assert list(zip(matches.first, matches.second, strict=True)) == [(0, 0), (1, 1), (2, 2)]
    # A record of eight seconds, as it is and filled up with zeros.
    short = np.where(np.arange(5000) < 4000, generate_ecg()[:5], np.float32(0))
    matches = find_matches(fingerprints_of(generate_ecg()[:5, :, :4000]), fingerprints_of(short))
    assert list(zip(matches.first, matches.second, strict=True)) == [(i, i) for i in range(5)]


@given(gain=st.floats(1e-3, 1e4), offset=st.floats(-100, 100), row=st.integers(0, N_RECORDS - 1))
def test_compute_bits_hardly_depends_on_gain_and_offset(gain, offset, row):
    signal = generate_ecg()[row : row + 1, :, ::4]
    changed = (gain * (signal.astype(np.float64) + offset)).astype(np.float32)
    differ = np.unpackbits(compute_bits(signal, 125.0) ^ compute_bits(changed, 125.0))
    assert differ.mean() < 0.01
    spectra = [compute_spectra(of, 125.0) for of in (signal, changed)]
    assert compute_correlations(*spectra) == pytest.approx(1, abs=1e-4)


@given(order=st.permutations(range(12)), power=st.integers(-8, 8))
def test_find_matches_pairs_leads_by_name_whatever_the_gain(order, power):
    leads = [STANDARD_LEADS[i] for i in order]
    matches = find_matches(
        fingerprints_of(generate_ecg()[:4]),
        fingerprints_of(generate_ecg()[:4, order] * np.float32(2.0**power), leads=leads),
    )
    assert matches.first.tolist() == matches.second.tolist() == [0, 1, 2, 3]
    assert (matches.share == 1).all()


# --- signals without a fingerprint ---


@pytest.mark.parametrize("what", ["zero", "constant", "slow", "NaN", "infinite", "huge"])
def test_find_matches_ignores_signals_with_nothing_in_the_band(what):
    slow = np.sin(2 * np.pi * 0.1 * np.arange(5000) / 500)
    value = {"zero": 0, "constant": 1e3, "slow": slow, "NaN": np.nan, "infinite": np.inf, "huge": 3e38}[what]
    signals = np.full((3, 12, 5000), value, dtype=np.float32)
    assert len(find_matches(fingerprints_of(signals))) == 0
    assert not fingerprints_of(signals).bits.any()
    dataset = from_arrays(signals, STANDARD_LEADS, 500.0)
    assert (compute_pair_correlations(dataset, np.array([0, 1]), dataset, np.array([1, 2])) == 0).all()


def test_find_matches_leaves_out_flat_leads():
    damaged = generate_ecg()[:4].copy()
    damaged[0, 2:] = 0
    damaged[1, :11] = np.nan
    matches = find_matches(fingerprints_of(generate_ecg()[:4]), fingerprints_of(damaged))
    assert matches.first.tolist() == matches.second.tolist() == [0, 1, 2, 3]


def test_find_matches_finds_nothing_by_chance_at_slow_sampling():
    rng = np.random.default_rng(6)
    assert len(find_matches(fingerprints_of(rng.standard_normal((500, 2, 64)), 6.4, ("II", "V1")))) == 0


def test_compute_correlations_by_hand():
    first = np.array([[[3.0, 4.0], [1.0, 0.0], [0.0, 0.0]]], dtype=np.float32)
    second = np.array([[[4.0, 3.0], [0.0, 2.0], [1.0, 1.0]]], dtype=np.float32)
    # 24 / 25 and 0; the third lead has nothing in the first record.
    assert compute_correlations(first, second) == pytest.approx([24 / 25 / 2])


def test_compute_fingerprints_does_not_depend_on_blocks(monkeypatch):
    original = fingerprints_of(generate_ecg())
    monkeypatch.setattr(module, "_BLOCK_RECORDS", 7)
    parts = fingerprints_of(generate_ecg())
    # Products of other shapes may be rounded otherwise.
    assert np.unpackbits(original.bits ^ parts.bits).mean() < 1e-4
    dataset = from_arrays(generate_ecg(), STANDARD_LEADS, 500.0)
    assert compute_fingerprints(dataset.select_leads(["V1", "II"]), np.array([5, 3])).bits.shape == (2, 2, 16)


# --- their file ---


@pytest.fixture
def data(tmp_path):
    return write(tmp_path / "data", leads=("II", "V1", "V5"))


def fingerprints_in(folder, *splits):
    dataset = open_dataset(folder)
    return compute_fingerprints(dataset, dataset.rows(*splits) if splits else np.arange(len(dataset)))


def test_load_fingerprints_returns_what_was_saved(tmp_path, data):
    seen = fingerprints_in(data)
    save_fingerprints(tmp_path / "encoder", seen)
    back = load_fingerprints(tmp_path / "encoder" / FINGERPRINTS)
    order = [back.leads.index(lead) for lead in seen.leads]
    assert sorted(back.leads) == sorted(seen.leads)
    assert np.array_equal(back.bits[:, order], seen.bits)
    assert back.n_frequencies == seen.n_frequencies
    # Nothing of the signals but their signs: 16 bytes a lead, and no names of records.
    assert (tmp_path / "encoder" / FINGERPRINTS).stat().st_size < 20 * 3 * 16 + 500


def test_save_fingerprints_keeps_an_existing_file(tmp_path, data):
    save_fingerprints(tmp_path, fingerprints_in(data))
    before = contents(tmp_path)
    save_fingerprints(tmp_path, fingerprints_in(data, "test"))
    assert before.items() <= contents(tmp_path).items()
    assert before[FINGERPRINTS] == contents(tmp_path)[FINGERPRINTS]


def test_save_fingerprints_writes_the_bytes_that_torch_would(tmp_path, data):
    """Files of earlier versions, which were written through torch, and new ones are the same, modes included."""
    seen = fingerprints_in(data)
    save_fingerprints(tmp_path, seen)
    tensors = {f"bits.{lead}": torch.from_numpy(seen.bits[:, i]) for i, lead in enumerate(seen.leads)}
    before = tmp_path / "before.safetensors"
    save_tensors(before, tensors | {"n_frequencies": torch.tensor(seen.n_frequencies)})
    after = tmp_path / FINGERPRINTS
    assert after.read_bytes() == before.read_bytes()
    assert after.stat().st_mode == before.stat().st_mode
    assert np.array_equal(load_fingerprints(before).bits, load_fingerprints(after).bits)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["before.safetensors", "data", FINGERPRINTS]


BITS = torch.zeros(3, 16, dtype=torch.uint8)


@pytest.mark.parametrize(
    "tensors",
    [
        {"bits.II": BITS},
        {"n_frequencies": torch.tensor(64)},
        {"bits.II": BITS, "bits.V1": BITS[:2].clone(), "n_frequencies": torch.tensor(64)},
        {"bits.II": BITS[:, :8], "n_frequencies": torch.tensor(64)},
        {"bits.II": BITS[0], "n_frequencies": torch.tensor(64)},
        {"bits.II": BITS.float(), "n_frequencies": torch.tensor(64)},
        {"bits.II": BITS.bfloat16(), "n_frequencies": torch.tensor(64)},
    ],
)
def test_load_fingerprints_refuses_another_file(tmp_path, tensors):
    save_tensors(tmp_path / FINGERPRINTS, tensors)
    with pytest.raises(LfbtError, match="holds no fingerprints of records; remove it"):
        load_fingerprints(tmp_path / FINGERPRINTS)


def test_concatenate_has_the_leads_of_all_parts_with_empty_bits_where_one_has_none():
    one = Fingerprints(("II", "V1"), 60, np.full((2, 2, 16), 1, np.uint8))
    other = Fingerprints(("V1", "V5"), 0, np.full((1, 2, 16), 2, np.uint8))
    both = concatenate([one, other])
    assert (both.leads, both.n_frequencies, len(both)) == (("II", "V1", "V5"), 60, 3)
    assert both.bits[:, :, 0].tolist() == [[1, 1, 0], [1, 1, 0], [0, 2, 2]]
