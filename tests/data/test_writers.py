"""The two layouts: the array that grows in place, and the authors' folders."""

import json
import tracemalloc

import numpy as np
import pytest
import scipy.signal
from tests.data.helpers import CLASSES, LABELLED, ecg, entry, make, noise
from tests.outputs import contents, read_table

from lfbt.data.layouts import open_dataset
from lfbt.data.writers import PackedWriter
from lfbt.errors import LfbtError
from lfbt.recording import PAPER_LEADS, STANDARD_LEADS, Recording


@pytest.mark.parametrize("n", [1, 10, 1000])
def test_packed_writer_grows_in_place_to_any_number_of_records(tmp_path, n):
    recording = Recording(ecg(1)[:1, :320].astype(np.float32), 32.0, ("II",))
    report = make(tmp_path / "to", *(entry(str(i), recording) for i in range(n)), leads=("II",), n_samples=32)
    signals = np.load(tmp_path / "to" / "signals.npy", mmap_mode="r")
    assert (signals.shape, report.records) == ((n, 1, 32), n)
    assert (tmp_path / "to" / "signals.npy").stat().st_size == 128 + n * 32 * 4
    np.testing.assert_array_equal(signals[0], signals[-1])
    np.testing.assert_allclose(signals[0], scipy.signal.resample(recording.signal, 32, axis=1), atol=1e-6)


def test_packed_writer_needs_no_memory_for_more_records(tmp_path):
    def peak(n):
        tracemalloc.start()
        try:
            make(tmp_path / str(n), *(entry(str(i), recording) for i in range(n)), n_samples=5000)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    recording = Recording(ecg(1).astype(np.float32), 500.0, STANDARD_LEADS)
    peak(1)
    size = 8 * 5000 * 4
    assert peak(65) - peak(5) < 10 * size


def literal_z(signal):
    signal = signal.astype(np.float64)
    return (signal - signal.mean()) / (signal.std() + 1e-5)


def test_npy_writer_writes_one_z_scored_file_a_record(tmp_path):
    entries = [entry(str(n), ecg(n)) for n in range(11)]
    make(tmp_path / "npy", *entries, layout="npy", leads=("V1", "II"))
    make(tmp_path / "packed", *entries, leads=("V1", "II"))
    assert {path.name for path in (tmp_path / "npy").iterdir()} == {
        "samples",
        "records.csv",
        "dropped.csv",
        "dataset.json",
    }
    packed = np.load(tmp_path / "packed" / "signals.npy")
    assert len(list((tmp_path / "npy" / "samples").iterdir())) == 11
    for n, signal in enumerate(packed):
        found = np.load(tmp_path / "npy" / "samples" / f"sample_{n}.npy")
        assert (found.shape, found.dtype) == ((2, 128), np.float32)
        np.testing.assert_allclose(found, literal_z(signal), rtol=0, atol=1e-5)
    dataset = open_dataset(tmp_path / "npy")
    assert (dataset.leads, dataset.sampling_rate, dataset.names_assumed) == (("V1", "II"), 12.8, False)
    assert (len(dataset), dataset.classes) == (11, ())


def test_npy_writer_sorts_into_split_and_class_folders(tmp_path):
    make(tmp_path / "npy", *LABELLED, classes=("HYP", *CLASSES), layout="npy")
    rows = read_table(tmp_path / "npy" / "records.csv")
    expected = {f"{row['split']}/{row['labels']}/sample_{n}" for n, row in enumerate(rows)}
    assert {name.removesuffix(".npy") for name in contents(tmp_path / "npy") if name.endswith(".npy")} == expected
    assert not (tmp_path / "npy" / "samples").exists()
    dataset = open_dataset(tmp_path / "npy")
    assert set(dataset.ids) == expected
    assert (dataset.leads, dataset.classes) == (PAPER_LEADS, ("HYP", *CLASSES))
    assert json.loads((tmp_path / "npy" / "dataset.json").read_text())["unit"] == "z-score (record)"


def test_writers_give_an_encoder_the_same_batch(tmp_path):
    make(tmp_path / "npy", *LABELLED, classes=CLASSES, layout="npy")
    make(tmp_path / "packed", *LABELLED, classes=CLASSES)
    npy, packed = open_dataset(tmp_path / "npy"), open_dataset(tmp_path / "packed")
    row_of = {int(name.rpartition("_")[2]): row for row, name in enumerate(npy.ids)}
    rows = np.array([row_of[n] for n in range(24)])
    assert npy.split[rows].tolist() == packed.split.tolist()
    assert npy.targets()[rows].tolist() == packed.targets().tolist()
    for how in ("record", "lead"):
        expected = packed.batch(np.arange(24), how)
        np.testing.assert_allclose(npy.batch(rows, how), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["a/b", ".hidden", ".."])
def test_npy_writer_is_refused_for_classes_that_cannot_name_a_folder(tmp_path, name):
    with pytest.raises(LfbtError, match="cannot name a folder; use --layout packed"):
        make(tmp_path / "to", entry("a", labels=(name,)), classes=(name, "b"), layout="npy")
    assert list(tmp_path.iterdir()) == []


def test_packed_writer_goes_on_after_the_records_that_stay(tmp_path):
    signals = noise(5, 2, 7)
    whole, again = PackedWriter(tmp_path / "whole.npy", (2, 7)), PackedWriter(tmp_path / "again.npy", (2, 7))
    for signal in signals:
        whole.append(signal)
    whole.close()
    for signal in (*signals[:3], signals[0] * 9):
        again.append(signal)
    again.flush()
    again.file.close()
    # Its header says that there are none, and the fourth is written again.
    again = PackedWriter(tmp_path / "again.npy", (2, 7), n=3)
    for signal in signals[3:]:
        again.append(signal)
    again.close()
    assert (tmp_path / "again.npy").read_bytes() == (tmp_path / "whole.npy").read_bytes()
