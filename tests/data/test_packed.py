"""The packed layout: files that are absent, corrupt, or do not agree with each other."""

import numpy as np
import pytest
from tests.data.helpers import ROWS, noise, write_packed

from lfbt.data.dataset import open_dataset, open_datasets
from lfbt.errors import LfbtError
from lfbt.signal import normalise


def _cut_signals(folder):
    data = (folder / "signals.npy").read_bytes()
    (folder / "signals.npy").write_bytes(data[:-10])


def _objects(folder):
    np.save(folder / "signals.npy", np.array([{"a": 1}] * 4, dtype=object), allow_pickle=True)


def _rewrite_records(folder, text):
    (folder / "records.csv").write_text(text)


PACKED_FAULTS = {
    "cut": (_cut_signals, "is not a complete packed data set .*prepare it again"),
    "objects": (_objects, "is not a complete packed data set"),
    "empty": (lambda d: (d / "signals.npy").write_bytes(b""), "is not a complete packed data set"),
    "text": (lambda d: (d / "signals.npy").write_text("not numpy"), "is not a complete packed data set"),
    "more": (
        lambda d: np.save(d / "signals.npy", noise(5, 3, 64)),
        r"shape \[5, 3, 64\] but records.csv has 4 records",
    ),
    "leads": (lambda d: np.save(d / "signals.npy", noise(4, 2, 64)), "dataset.json 3 leads"),
    "axes": (lambda d: np.save(d / "signals.npy", noise(4, 64)), r"shape \[4, 64\]"),
    "no table": (lambda d: (d / "records.csv").unlink(), "is not a complete packed data set"),
    "empty table": (lambda d: _rewrite_records(d, ""), "is not a complete packed data set"),
    "no column": (lambda d: _rewrite_records(d, "id,patient,labels\n"), "is not a complete packed data set .*split"),
    "no JSON": (lambda d: (d / "dataset.json").write_text("{"), "is not JSON"),
    "a list": (lambda d: (d / "dataset.json").write_text("[]"), "not a JSON object"),
    "no leads": (lambda d: write_packed(d, leads=None), r"dataset\.json: has no leads; prepare it again"),
    "no rate": (lambda d: write_packed(d, sampling_rate="fast"), r"dataset\.json: field sampling_rate: .*`str`"),
    "no names": (lambda d: write_packed(d, leads=5), r"dataset\.json: field leads: .*`int`; prepare it again"),
    "no split": (lambda d: write_packed(d, rows=[*ROWS[:3], ("r3", "p2", "", "dev")]), "not one of train, val, test"),
    "shared": (lambda d: write_packed(d, rows=[*ROWS[:3], ("r3", "p1", "", "test")]), "a patient is in two splits"),
}


@pytest.mark.parametrize("fault", PACKED_FAULTS)
def test_read_packed_names_the_fault_of_incomplete_data_sets(tmp_path, fault):
    corrupt, message = PACKED_FAULTS[fault]
    write_packed(tmp_path)
    corrupt(tmp_path)
    with pytest.raises(LfbtError, match=f"^{tmp_path}.*{message}"):
        open_dataset(tmp_path)


def test_read_packed_gives_float32_of_float16(tmp_path):
    write_packed(tmp_path)
    signals = np.load(tmp_path / "signals.npy")
    np.save(tmp_path / "signals.npy", signals.astype(np.float16))
    dataset = open_dataset(tmp_path)
    rounded = signals.astype(np.float16).astype(np.float32)
    batch = dataset.batch(np.array([2, 0]), "none")
    assert batch.dtype == dataset[1].signal.dtype == np.float32
    np.testing.assert_array_equal(batch, rounded[[2, 0]])
    # The mean and the deviation are those of float32, not of float16.
    np.testing.assert_array_equal(dataset.batch(np.arange(4), "record"), normalise(rounded, "record"))
    joined = open_datasets([tmp_path, tmp_path])
    np.testing.assert_array_equal(joined.batch(np.array([5]), "none"), rounded[[1]])


def save_zip(folder):
    np.savez(folder / "signals.npz", np.zeros(3))
    (folder / "signals.npz").rename(folder / "signals.npy")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (save_zip, "not a complete packed data set"),
        (lambda folder: np.save(folder / "signals.npy", np.full((4, 2, 64), "x")), "holds <U1, not float32"),
        (
            lambda folder: np.save(folder / "signals.npy", np.zeros((4, 2, 64), complex)),
            "holds complex128, not float32",
        ),
    ],
)
def test_read_packed_refuses_signals_of_another_kind(tmp_path, damage, message):
    write_packed(tmp_path)
    damage(tmp_path)
    with pytest.raises(LfbtError, match=message):
        open_dataset(tmp_path)


def test_read_packed_refuses_a_label_that_is_not_a_class(tmp_path):
    write_packed(tmp_path, classes=["NORM", "MI"])
    with pytest.raises(LfbtError, match=r"label CD of records\.csv is not a class of dataset\.json"):
        open_dataset(tmp_path)
