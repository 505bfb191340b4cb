"""HDF5 files: one array a file, and one row of an array of recordings."""

import sys
from typing import Any

import numpy as np
import pytest
from tests.published_files import write, write_hdf5

from lfbt.errors import LfbtError, UnreadableError
from lfbt.io import read_hdf5, read_hdf5_ids, read_hdf5_row
from lfbt.io.hdf5 import open_hdf5

OPTIONS: dict[str, Any] = {"dataset": "ecg", "leads": ("I", "v1"), "sampling_rate": 400.0, "unit": "uV"}


def test_read_hdf5_gives_mv_from_float16(tmp_path):
    steps = np.array([[500, -250, 0], [1000, 2, 4]], dtype=np.float16)
    recording = read_hdf5(write_hdf5(tmp_path / "a.h5", ecg=steps), **OPTIONS)
    assert (recording.leads, recording.sampling_rate) == (("I", "V1"), 400.0)
    assert recording.signal.dtype == np.float32
    np.testing.assert_array_equal(recording.signal, np.array([[0.5, -0.25, 0], [1, 0.002, 0.004]], np.float32))


def test_read_hdf5_row_leaves_out_zeros_at_both_ends_of_all_leads_only(tmp_path):
    signals = np.zeros((3, 6, 2), dtype=np.float32)
    # Lead I begins after V1, and both are zero once in between.
    signals[1, 1:5] = [[0, 1000], [0, 0], [3000, 0], [4000, 0]]
    path = write_hdf5(tmp_path / "a.hdf5", ecg=signals)
    recording = read_hdf5_row(path, row=1, **OPTIONS)
    np.testing.assert_array_equal(recording.signal, [[0, 0, 3, 4], [1, 0, 0, 0]])
    np.testing.assert_array_equal(read_hdf5_row(path, row=2, **OPTIONS).signal, np.zeros((2, 6)))
    for row in (-1, 3):
        with pytest.raises(UnreadableError, match=rf"ecg has 3 recordings, and no recording {row}"):
            read_hdf5_row(path, row=row, **OPTIONS)


def test_read_hdf5_row_keeps_nan(tmp_path):
    signals = np.full((1, 3, 2), np.nan)
    signals[0, 0] = 0
    recording = read_hdf5_row(write_hdf5(tmp_path / "a.hdf5", ecg=signals), row=0, **OPTIONS)
    np.testing.assert_array_equal(recording.signal, np.full((2, 2), np.nan))


def test_read_hdf5_ids_reads_whole_numbers(tmp_path):
    path = write_hdf5(tmp_path / "a.hdf5", exam_id=np.array([7, 0], dtype=np.int32), age=np.array([1.5, 2]))
    assert read_hdf5_ids(path, "exam_id").tolist() == [7, 0]
    with pytest.raises(UnreadableError, match="age holds float64, not whole numbers"):
        read_hdf5_ids(path, "age")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 4)), r"ecg is an array of float64 of shape \[3, 4\], not numbers of shape \[2, samples\]"),
        (np.zeros(4), r"of shape \[4\], not numbers"),
        (np.zeros((2, 4), dtype=complex), "ecg is an array of complex128"),
        (np.zeros((2, 0)), r"shape \[2, 0\]"),
    ],
)
def test_read_hdf5_refuses_other_arrays(tmp_path, array, message):
    with pytest.raises(UnreadableError, match=message):
        read_hdf5(write_hdf5(tmp_path / "a.h5", ecg=array), **OPTIONS)


def test_read_hdf5_names_what_else_a_file_holds(tmp_path):
    path = write_hdf5(tmp_path / "a.h5", **{"tracings": np.zeros(3), "ecg/deep": np.zeros(3)})
    with pytest.raises(UnreadableError, match=r"a\.h5: holds ecg, tracings, but not an array ecg; download it again"):
        read_hdf5(path, **OPTIONS)


def test_open_hdf5_refuses_foreign_truncated_and_absent_files_in_one_line(tmp_path):
    whole = write_hdf5(tmp_path / "whole.h5", ecg=np.zeros((2, 5000))).read_bytes()
    (tmp_path / "cut.h5").write_bytes(whole[: len(whole) // 2])
    for path in (write(tmp_path / "text.h5", "ecg"), write(tmp_path / "empty.h5", ""), tmp_path / "cut.h5"):
        with pytest.raises(UnreadableError, match=rf"{path.name}: cannot be read .*; expected an HDF5 file") as caught:
            read_hdf5(path, **OPTIONS)
        assert "\n" not in str(caught.value)
    with pytest.raises(UnreadableError, match="cannot be read"):
        read_hdf5(tmp_path / "absent.h5", **OPTIONS)


def test_open_hdf5_names_the_extra_where_h5py_is_absent(tmp_path, monkeypatch):
    path = write_hdf5(tmp_path / "a.h5", ecg=np.zeros((2, 4)))
    monkeypatch.setitem(sys.modules, "h5py", None)
    message = r"HDF5 needs the package h5py, which is not installed .*; pip install 'lfbt\[hdf5\]'"
    with pytest.raises(LfbtError, match=message) as caught, open_hdf5(path, "ecg", (2, "samples")):
        pass
    assert not isinstance(caught.value, UnreadableError)
