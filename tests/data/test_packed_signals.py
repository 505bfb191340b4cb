"""Signals of a packed data set: what is compared with hashes, when, and what of a changed file is refused."""

import hashlib
import os
import threading
from typing import Any

import numpy as np
import pytest
from tests.data.helpers import LEADS, ROWS, noise, write_packed

from lfbt.data.layouts import SIGNALS, open_dataset, open_datasets
from lfbt.data.packed_signals import PackedSignals, hash_signal
from lfbt.errors import LfbtError

CHANGED = "is not the one that was written, whose hash records.csv has; prepare the data set again$"


def sha256(signal):
    return hashlib.sha256(signal.astype("<f4").tobytes()).hexdigest()


def write_hashed(folder, signals=None, hashes=None, dtype=np.float32):
    """A packed data set with hashes, written by hand; the signals are returned."""
    signals = noise(len(ROWS), len(LEADS), 64).astype(dtype) if signals is None else signals
    hashes = [sha256(signal) for signal in signals] if hashes is None else hashes
    write_packed(folder, signals)
    columns, *rows = (folder / "records.csv").read_text().splitlines()
    lines = [f"{columns},hash", *(f"{row},{hash}" for row, hash in zip(rows, hashes, strict=True))]
    (folder / "records.csv").write_text("\n".join(lines) + "\n")
    return signals


def edit(folder, row, value, lead=1, sample=7):
    """Change one number in place, as an editor of the file would; the time of writing moves on."""
    before = (folder / SIGNALS).stat()
    stored = np.lib.format.open_memmap(folder / SIGNALS, mode="r+")
    stored[row, lead, sample] = value
    stored.flush()
    os.utime(folder / SIGNALS, ns=(before.st_atime_ns, before.st_mtime_ns + 1_000_000))


def test_hash_signal_is_sha256_of_float32_in_any_layout():
    signal = noise(3, 64)
    assert hash_signal(signal) == hash_signal(np.asfortranarray(signal)) == sha256(signal)
    half = signal.astype(np.float16)
    assert hash_signal(half) == sha256(half)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_packed_signals_are_those_of_the_file_in_the_order_of_the_rows(tmp_path, dtype):
    signals = write_hashed(tmp_path, dtype=dtype)
    dataset = open_dataset(tmp_path)
    assert dataset.compared
    rows = np.array([3, 0, 3, -1])
    for _ in range(2):
        np.testing.assert_array_equal(dataset.signals[rows], signals[rows])
    np.testing.assert_array_equal(dataset.batch(rows, "none"), signals[rows].astype(np.float32))


def test_packed_signals_take_a_row_a_slice_a_mask_and_all_as_an_array_does(tmp_path):
    signals = write_hashed(tmp_path)
    stored: Any = open_dataset(tmp_path).signals
    for index in (0, -1, slice(1, 3), slice(None, None, -2), signals[:, 0, 0] > 0, [2, 0], np.int64(3)):
        np.testing.assert_array_equal(stored[index], signals[index])
    np.testing.assert_array_equal(np.asarray(stored), signals)
    for beyond in (4, -5, np.array([1, 4])):
        with pytest.raises(IndexError):
            stored[beyond]
    edit(tmp_path, 3, 0.5)
    with pytest.raises(LfbtError, match=CHANGED):
        stored[3]


@pytest.mark.parametrize("value", [0.5, 1e30])
def test_packed_signals_refuse_an_edited_record_by_name_and_read_the_others(tmp_path, value):
    signals = write_hashed(tmp_path)
    edit(tmp_path, 2, value)
    dataset = open_dataset(tmp_path)
    np.testing.assert_array_equal(dataset.batch(np.array([3, 1]), "none"), signals[[3, 1]])
    for _ in range(2):
        with pytest.raises(LfbtError, match=f"^{tmp_path}: record {ROWS[2][0]} {CHANGED}"):
            dataset.batch(np.array([1, 2]), "none")
        with pytest.raises(LfbtError, match=CHANGED):
            dataset.select_leads(LEADS[:1]).batch(np.array([2]), "record")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_packed_signals_say_that_a_record_is_not_finite(tmp_path, value):
    write_hashed(tmp_path)
    edit(tmp_path, 2, value)
    with pytest.raises(LfbtError, match=f"record {ROWS[2][0]} holds NaN or infinity; remove it or prepare"):
        open_dataset(tmp_path).batch(np.arange(4), "none")


def test_packed_signals_refuse_records_in_another_order(tmp_path):
    signals = write_hashed(tmp_path)
    np.save(tmp_path / SIGNALS, signals[[0, 2, 1, 3]])
    dataset = open_dataset(tmp_path)
    dataset.batch(np.array([0, 3]), "none")
    with pytest.raises(LfbtError, match=f"record {ROWS[1][0]} {CHANGED}"):
        dataset.batch(np.array([1]), "none")


def test_packed_signals_compare_again_after_the_file_was_written_to(tmp_path):
    write_hashed(tmp_path)
    dataset = open_dataset(tmp_path)
    dataset.batch(np.arange(4), "none")
    edit(tmp_path, 1, 0.5)
    dataset.batch(np.array([0, 2]), "none")
    with pytest.raises(LfbtError, match=f"record {ROWS[1][0]} {CHANGED}"):
        dataset.batch(np.array([1]), "none")


def test_packed_signals_compare_a_record_once(tmp_path, monkeypatch):
    write_hashed(tmp_path)
    dataset, compared = open_dataset(tmp_path), []
    of_one = PackedSignals._compare

    def noted(self, signal, hash, row):
        compared.append(row)
        of_one(self, signal, hash, row)

    monkeypatch.setattr(PackedSignals, "_compare", noted)
    for rows in ([0, 2], [2, 0], [0, 1, 2, 3], [3, 1]):
        dataset.batch(np.array(rows), "record")
    assert compared == [0, 2, 1, 3]


def test_packed_signals_refuse_a_file_that_was_cut_while_it_was_open(tmp_path):
    write_hashed(tmp_path)
    dataset, path = open_dataset(tmp_path), tmp_path / SIGNALS
    size = path.stat().st_size
    os.truncate(path, 200)
    with pytest.raises(LfbtError, match=f"has 200 bytes, and had {size:,} when it was opened; prepare it again"):
        dataset.batch(np.array([3]), "none")


def test_packed_signals_that_are_cut_while_they_are_read_do_not_end_the_process(tmp_path, monkeypatch):
    """A mapped file would, by SIGBUS, where it is cut after its size was looked at."""
    write_hashed(tmp_path)
    dataset, path = open_dataset(tmp_path), tmp_path / SIGNALS
    os.truncate(path, 200)
    monkeypatch.setattr("lfbt.data.packed_signals._state", lambda _: None)
    with pytest.raises(LfbtError, match=rf"signals\.npy: ends before record {ROWS[3][0]}; prepare it again"):
        dataset.batch(np.array([3]), "none")


def test_packed_signals_in_the_order_of_fortran_are_read(tmp_path):
    signals = noise(len(ROWS), len(LEADS), 64)
    write_packed(tmp_path, signals)
    np.save(tmp_path / SIGNALS, np.asfortranarray(signals))
    np.testing.assert_array_equal(open_dataset(tmp_path).batch(np.array([3, 0, 1]), "none"), signals[[3, 0, 1]])


@pytest.mark.parametrize("how", ["moved", "removed", "replaced"])
def test_packed_signals_keep_the_file_that_was_opened(tmp_path, how):
    folder = tmp_path / "data"
    signals = write_hashed(folder)
    dataset, path = open_dataset(folder), folder / SIGNALS
    if how == "moved":
        folder.rename(tmp_path / "elsewhere")
    elif how == "removed":
        path.unlink()
    else:
        np.save(tmp_path / "other.npy", signals + 1)
        (tmp_path / "other.npy").replace(path)
    np.testing.assert_array_equal(dataset.batch(np.arange(4), "none"), signals)


@pytest.mark.parametrize("hashes", [["", "", "", ""], ["a" * 32] * 4, ["z" * 64] * 4])
def test_data_sets_with_other_hashes_are_looked_through_at_every_read(tmp_path, hashes):
    write_hashed(tmp_path, hashes=hashes)
    dataset = open_dataset(tmp_path)
    assert not dataset.compared
    dataset.batch(np.arange(4), "none")
    edit(tmp_path, 1, np.nan)
    with pytest.raises(LfbtError, match="holds NaN or infinity"):
        dataset.batch(np.arange(4), "none")


def test_data_sets_joined_are_compared_where_all_are(tmp_path):
    write_hashed(tmp_path / "one")
    write_hashed(tmp_path / "two", signals=noise(4, 3, 64, seed=1))
    write_packed(tmp_path / "plain")
    assert open_datasets([tmp_path / "one", tmp_path / "two"]).compared
    joined = open_datasets([tmp_path / "one", tmp_path / "plain"])
    assert not joined.compared
    edit(tmp_path / "one", 1, 0.5)
    with pytest.raises(LfbtError, match=f"^{tmp_path / 'one'}: record {ROWS[1][0]} {CHANGED}"):
        joined.batch(np.arange(8), "none")


def test_packed_signals_are_read_by_several_threads(tmp_path):
    signals = write_hashed(tmp_path)
    dataset, found = open_dataset(tmp_path), []
    threads = [threading.Thread(target=lambda: found.append(dataset.batch(np.arange(4), "none"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert all(np.array_equal(one, signals) for one in found)


def test_hashes_of_some_records_only_are_refused(tmp_path):
    write_hashed(tmp_path, hashes=["a" * 64] * 3 + [""])
    with pytest.raises(LfbtError, match=r"the hash of row 3 of records.csv is '', and not as the others are"):
        open_dataset(tmp_path)
