"""The readers of ``.npy`` files: units, one row of several, and arrays of other kinds."""

import functools
import os
from typing import Any

import numpy as np
import pytest
from tests.published_files import RNG

from lfbt.errors import UnreadableError
from lfbt.io import arrays
from lfbt.io.arrays import read_npy, read_npy_row


@pytest.mark.parametrize("dtype", ["float64", "int32", "uint16"])
def test_read_npy_refuses_a_row_of_times(tmp_path, dtype):
    array = np.stack([np.arange(200), np.arange(200) % 7]).astype(dtype)
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(UnreadableError, match="lead I rises from each sample to the next, 0, 1, …, as times"):
        read_npy(tmp_path / "a.npy", ("I", "II"), 500.0, "mV")
    np.save(tmp_path / "a.npy", array[1:])
    assert read_npy(tmp_path / "a.npy", ("II",), 500.0, "mV").leads == ("II",)


@pytest.mark.parametrize(("dtype", "unit", "scale"), [("<f4", "mV", 1.0), (">i2", "uV", 1e-3), ("f8", "V", 1e3)])
def test_read_npy_gives_mv(tmp_path, dtype, unit, scale):
    array = (RNG.normal(size=(2, 30)) * 50).astype(dtype)
    np.save(tmp_path / "a.npy", array)
    recording = read_npy(tmp_path / "a.npy", ["ii", "V1"], 250.0, unit)
    assert (recording.leads, recording.sampling_rate) == (("II", "V1"), 250.0)
    np.testing.assert_array_equal(recording.signal, (array.astype(float) * scale).astype(np.float32))


def test_read_npy_turns_samples_by_leads_where_only_that_fits(tmp_path):
    array = RNG.normal(size=(30, 2)).astype(np.float32)
    np.save(tmp_path / "a.npy", array)
    recording = read_npy(tmp_path / "a.npy", ["I", "II"], 100.0, "mV")
    assert recording.notes == ("transposed from samples × leads",)
    np.testing.assert_array_equal(recording.signal, array.T)
    np.save(tmp_path / "b.npy", array[None])
    row = read_npy_row(tmp_path / "b.npy", row=0, leads=["I", "II"], sampling_rate=100.0, unit="mV")
    assert row.notes == recording.notes
    np.testing.assert_array_equal(row.signal, array.T)
    np.save(tmp_path / "c.npy", array[:2])
    square = read_npy(tmp_path / "c.npy", ["I", "II"], 100.0, "mV")
    assert square.notes == ()
    np.testing.assert_array_equal(square.signal, array[:2])


def test_read_npy_takes_one_axis_for_one_lead(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(5.0))
    assert read_npy(tmp_path / "a.npy", ["II"], 100.0, "mV").signal.tolist() == [[0, 1, 2, 3, 4]]


def test_read_npy_names_an_archive_of_arrays(tmp_path):
    np.savez(tmp_path / "a.npz", np.zeros((2, 5)))
    (tmp_path / "a.npz").rename(tmp_path / "a.npy")
    with pytest.raises(UnreadableError, match=r"a\.npy: cannot be read .*; an \.npz holds several arrays; save one"):
        read_npy(tmp_path / "a.npy", ["I", "II"], 100.0, "mV")


def test_read_npy_row_reads_one_record(tmp_path):
    array = RNG.normal(size=(3, 2, 30)).astype(np.float32)
    np.save(tmp_path / "a.npy", array)
    options: dict[str, Any] = {"leads": ["I", "II"], "sampling_rate": 100.0, "unit": "mV"}
    np.testing.assert_array_equal(read_npy_row(tmp_path / "a.npy", row=2, **options).signal, array[2])
    with pytest.raises(UnreadableError, match=r"shape \[3, 2, 30\].*record 3"):
        read_npy_row(tmp_path / "a.npy", row=3, **options)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(5), r"shape \[5\], not \[2 leads"),
        (np.zeros((3, 5)), r"shape \[3, 5\]"),
        (np.zeros((2, 5), dtype=complex), "array of complex128"),
        (np.full((2, 5), "x"), "array of <U1"),
        (np.full((2, 5), {}, dtype=object), "Python objects"),
        (np.zeros((2, 0)), r"an empty array of shape \[2, 0\]"),
    ],
)
def test_read_npy_refuses_other_arrays(tmp_path, array, message):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(UnreadableError, match=rf"a\.npy: .*{message}"):
        read_npy(tmp_path / "a.npy", ["I", "II"], 100.0, "mV")


def test_read_npy_refuses_corrupt_files(tmp_path):
    np.save(tmp_path / "whole.npy", np.zeros((2, 500)))
    whole = (tmp_path / "whole.npy").read_bytes()
    path = tmp_path / "a.npy"
    for content in (b"", whole[:10], whole[:90], whole[: len(whole) // 2], b"just text", b"PK\x03\x04zip",
                    whole.replace(b"}", b" ")):  # fmt: skip
        path.write_bytes(content)
        with pytest.raises(UnreadableError, match=r"a\.npy: cannot be read"):
            read_npy(path, ["I", "II"], 100.0, "mV")


@pytest.mark.parametrize(("dtype", "offset"), [(np.uint16, 2048), (np.uint16, 32768), (np.int32, 32768)])
@pytest.mark.parametrize("axes", [2, 3])
def test_read_npy_reads_counts_with_an_offset_only_where_it_is_stated(tmp_path, dtype, offset, axes):
    counts = (offset + np.arange(600).reshape(2, 300) % 90).astype(dtype)
    np.save(tmp_path / "a.npy", counts if axes == 2 else counts[None])
    read: Any = read_npy if axes == 2 else functools.partial(read_npy_row, row=0)
    options = {"leads": ("I", "II"), "sampling_rate": 500.0}
    signal = read(tmp_path / "a.npy", **options, unit=f"200({offset})/mV").signal
    np.testing.assert_array_equal(signal, ((counts.astype(float) - offset) / 200).astype(np.float32))
    with pytest.raises(UnreadableError, match=rf"a\.npy: lead I.* give the unit 200\({offset}\)/mV"):
        read(tmp_path / "a.npy", **options, unit="200/mV")


@pytest.mark.parametrize("order", ["C", "F"])
def test_read_npy_reads_arrays_and_rows_in_either_order(tmp_path, order):
    signals = np.random.default_rng(0).normal(size=(3, 2, 40))
    np.save(tmp_path / "all.npy", np.asarray(signals, order=order))
    np.save(tmp_path / "one.npy", np.asarray(signals[1], order=order))
    expected = signals[1].astype(np.float32)
    np.testing.assert_array_equal(read_npy(tmp_path / "one.npy", ["I", "II"], 500, "mV").signal, expected)
    row = read_npy_row(tmp_path / "all.npy", row=1, leads=["I", "II"], sampling_rate=500, unit="mV")
    np.testing.assert_array_equal(row.signal, expected)


def test_read_npy_of_a_file_that_is_cut_meanwhile_does_not_end_the_process(tmp_path, monkeypatch):
    path = tmp_path / "a.npy"
    np.save(path, np.ones((2, 5000)))
    mapped = arrays.open_npy(path)
    monkeypatch.setattr(arrays, "open_npy", lambda _: mapped)
    os.truncate(path, 1000)
    with pytest.raises(UnreadableError, match=r"a\.npy: ends before all of its \[2, 5000\] values"):
        read_npy(path, ["I", "II"], 500, "mV")
