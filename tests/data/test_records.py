"""One recording becomes records: pieces, padding, and the quality of leads that others are derived from."""

import hashlib

import numpy as np
import pytest
from tests.data.helpers import CLASSES, LABELLED, ecg, entry, make
from tests.outputs import read_table

from lfbt.data.layouts import open_dataset
from lfbt.data.records import PrepareSettings, prepare_entry
from lfbt.errors import LfbtError
from lfbt.recording import STANDARD_LEADS, Recording
from lfbt.sources.listing import Entry


def test_prepare_settings_refuse_several_labels_in_class_folders(tmp_path):
    with pytest.raises(LfbtError, match="does not go with --keep-multi-label"):
        make(tmp_path / "to", *LABELLED, classes=CLASSES, layout="npy", keep_multi_label=True)


def test_prepare_entry_pads_a_short_recording_at_its_end(tmp_path):
    make(tmp_path / "to", entry("a", ecg(1, 2500)), n_samples=5000)
    (found,) = np.load(tmp_path / "to" / "signals.npy")
    np.testing.assert_array_equal(found[0, :2500], ecg(1)[1, :2500].astype(np.float32))
    np.testing.assert_array_equal(found[:, 2500:], np.zeros((8, 2500)))


def test_prepare_entry_keeps_the_first_piece_only(tmp_path):
    make(tmp_path / "all", entry("a", ecg(1, 12_500)))
    make(tmp_path / "first", entry("a", ecg(1, 12_500)), pieces="first")
    np.testing.assert_array_equal(np.load(tmp_path / "first/signals.npy"), np.load(tmp_path / "all/signals.npy")[:1])
    assert [row["id"] for row in read_table(tmp_path / "all/records.csv")] == ["a-0", "a-1", "a-2"]
    assert [row["id"] for row in read_table(tmp_path / "first/records.csv")] == ["a"]


def test_prepare_entry_takes_duration_and_leads_of_the_settings(tmp_path):
    make(tmp_path / "to", entry("a", ecg(1)), duration=2.5, leads=("V2", "aVR"), n_samples=1250)
    dataset = open_dataset(tmp_path / "to")
    assert (dataset.leads, dataset.sampling_rate, dataset.n_samples, len(dataset)) == (("V2", "aVR"), 500, 1250, 4)
    joined = np.concatenate(list(dataset.batch(np.arange(4), "none")), axis=1)
    np.testing.assert_array_equal(joined, ecg(1)[[7, 3]].astype(np.float32))


def test_prepare_entry_ignores_faults_of_other_leads(tmp_path):
    signal = ecg(1).copy()
    signal[[0, 3, 8]] = np.nan
    make(tmp_path / "to", entry("a", signal), leads=("II", "V1"))
    assert len(open_dataset(tmp_path / "to")) == 1


def test_prepare_entry_refuses_a_rate_too_low_for_the_duration(tmp_path):
    slow = Recording(ecg(1).astype(np.float32), 0.1, STANDARD_LEADS)
    with pytest.raises(
        LfbtError, match=r"^duration: 10 s is less than two samples at the 0\.1 Hz of .*; give 20 or more, or correct"
    ):
        make(tmp_path / "to", entry("a", slow))


def test_prepare_entry_drops_records_whose_derived_leads_depend_on_a_fault(tmp_path):
    """I is flat: III = II − I would be II under another name."""
    rng = np.random.default_rng(0)
    recording = Recording(rng.laplace(size=(3, 5000)).astype(np.float32), 500.0, ("I", "II", "V1"))
    recording.signal[0] = 0.3
    entry = Entry("a", "a", tmp_path / "a", lambda _: recording)
    done = prepare_entry(entry, PrepareSettings(leads=("II", "III", "V1")))
    assert [item.reason for item in done.dropped] == ["flat: I"]
    assert not done.pieces
    # Where it is not needed it is not looked at.
    assert len(prepare_entry(entry, PrepareSettings(leads=("II", "V1"))).pieces) == 1


@pytest.mark.parametrize(
    ("samples", "options", "kept", "reasons"),
    [
        # At 500 Hz, ten seconds a record.
        (5001, {}, 1, ["short: 0.002 s (piece 2 of 2)"]),
        (7499, {}, 1, ["short: 5 s (piece 2 of 2)"]),
        (7500, {}, 2, []),
        (7499, {"shortest": 0.0}, 2, []),
        (12_000, {"shortest": 4.5}, 2, ["short: 4 s (piece 3 of 3)"]),
        (2499, {}, 0, ["short: 5 s"]),
        (2500, {}, 1, []),
        (2500, {"shortest": 10.0}, 0, ["short: 5 s"]),
        # Of 30 s a piece has half, and a whole recording five seconds.
        (22_000, {"duration": 30.0}, 1, ["short: 14 s (piece 2 of 2)"]),
        (2500, {"duration": 30.0}, 1, []),
        (1000, {"duration": 4.0}, 1, []),
    ],
)
def test_prepare_entry_drops_pieces_that_are_too_short(tmp_path, samples, options, kept, reasons):
    recording = Recording(ecg(1, samples).astype(np.float32), 500.0, STANDARD_LEADS)
    done = prepare_entry(Entry("a", "a", tmp_path / "a", lambda _: recording), PrepareSettings(**options))
    assert (len(done.pieces), [item.reason for item in done.dropped]) == (kept, reasons)


def test_prepare_settings_refuse_pieces_longer_than_the_duration(tmp_path):
    with pytest.raises(LfbtError, match=r"^shortest: 11 s is more than the duration of 10 s"):
        make(tmp_path / "to", entry("a"), shortest=11.0)


def test_prepare_entry_rounds_to_float16_before_the_hash(tmp_path):
    for dtype in ("float32", "float16"):
        make(tmp_path / dtype, entry("a", ecg(1)), dtype=dtype)
    whole, half = (np.load(tmp_path / dtype / "signals.npy") for dtype in ("float32", "float16"))
    assert (whole.dtype, half.dtype) == (np.float32, np.float16)
    np.testing.assert_array_equal(half, whole.astype(np.float16))
    np.testing.assert_allclose(half.astype(np.float32), whole, rtol=2**-11, atol=2**-25)
    (row,) = read_table(tmp_path / "float16" / "records.csv")
    assert row["hash"] == hashlib.sha256(half.astype(np.float32).tobytes()).hexdigest()


def test_prepare_entry_refuses_voltages_beyond_float16(tmp_path):
    recording = Recording((ecg(1) * 1e5).astype(np.float32), 500.0, STANDARD_LEADS)
    with pytest.raises(LfbtError, match=r"dtype: float16 ends at 65504 mV, but record a reaches \d{6} mV; use float32"):
        make(tmp_path / "to", entry("a", recording), dtype="float16", allow_implausible=True)
    assert list(tmp_path.iterdir()) == []


def test_prepare_settings_refuse_float16_in_the_folders_of_the_authors(tmp_path):
    with pytest.raises(LfbtError, match="--dtype float16 goes with --layout packed only"):
        make(tmp_path / "to", entry("a"), layout="npy", dtype="float16")


@pytest.mark.parametrize(("scale", "reason"), [(1000, "implausible"), (1e-3, "flat")])
def test_prepare_entry_names_the_likely_unit_of_one_file_among_others(tmp_path, scale, reason):
    """A folder of files in mV with one in another unit, whose median does not show in that of all."""
    unit = {1000: "µV, or raw counts", 1e-3: "V"}[scale]
    report = make(tmp_path / "to", entry("a", ecg(0)), entry("b", ecg(1) * scale), entry("c", ecg(2)))
    assert report.dropped == {reason: 1}
    (lost,) = read_table(tmp_path / "to" / "dropped.csv")
    assert lost["reason"].startswith(f"{reason}: II")
    assert lost["reason"].endswith(f"the values are likely in {unit}")
