"""What every reader goes through: regular files, and one error for whatever a library raises."""

import os
import pickle
import re
import struct
from typing import Any

import numpy as np
import pytest
from tests.hostile_readers import fail, fail_here
from tests.published_files import write, write_wfdb

import lfbt
from lfbt.errors import LfbtError, UnreadableError
from lfbt.io.guarding import guarded, reading, unreadable

OPTIONS: dict[str, Any] = {"leads": "II,V1", "sampling_rate": 500}
SUFFIXES = ("hea", "npy", "csv", "mat", "dcm", "xml", "scp", "edf", "ecg", "mwf")


def refusal(path, **options):
    """The one line with which `lfbt.read` refuses a file, which it names."""
    with pytest.raises(LfbtError) as caught:
        lfbt.read(path, **options)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("target", ["pipe", "/dev/zero", "loop"])
def test_read_refuses_what_is_no_file_under_every_suffix(tmp_path, suffix, target):
    path = tmp_path / f"a.{suffix}"
    if target == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(path.name if target == "loop" else target)
    options = OPTIONS if suffix in ("npy", "csv") else {}
    words = {"pipe": "is a named pipe", "/dev/zero": "is a device", "loop": "does not exist|Too many levels"}[target]
    assert re.search(words, refusal(path, **options))


@pytest.mark.parametrize("format", ["16", "212", "516"])
def test_read_refuses_a_signal_file_that_is_none(tmp_path, format):
    write(tmp_path / "r.hea", f"r 1 500 2\nr.dat {format} 200/mV 12 0 0 0 0 II\n")
    os.mkfifo(tmp_path / "r.dat")
    with pytest.raises(UnreadableError, match=r"r\.dat: is a named pipe"):
        lfbt.read(tmp_path / "r.hea")


def test_read_names_a_file_whose_name_is_not_utf_8(tmp_path):
    path = tmp_path / os.fsdecode(b"\xff.npy")
    np.save(path, np.ones((3, 4)))
    assert "an array of shape [3, 4], not [2 leads, samples]" in refusal(path, **OPTIONS)
    np.save(path, np.ones((2, 4)))
    assert lfbt.read(path, **OPTIONS).signal.shape == (2, 4)


def npy(path, shape, n_bytes=100):
    """A file whose header states any shape."""
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    path.write_bytes(b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text + bytes(n_bytes))
    return path


@pytest.mark.parametrize(
    "shape", ["(2, 10000000000)", "(4294967296, 4294967296)", f"(2, {2**63 - 1})", f"(2, {2**63})", f"({10**30}, 2)"]
)
def test_read_refuses_shapes_that_a_file_cannot_have(tmp_path, shape):
    assert "cannot be read" in refusal(npy(tmp_path / "a.npy", shape), **OPTIONS)


def test_read_refuses_an_array_that_has_more_bytes_than_are_read(tmp_path):
    path = npy(tmp_path / "a.npy", f"(2, {10**9})")
    with path.open("r+b") as file:
        file.truncate(8 * 10**9 + 128)  # takes no room
    assert "bytes, over the" in refusal(path, **OPTIONS)


def test_read_refuses_a_header_of_more_signals_than_any_ecg_has(tmp_path):
    write_wfdb(tmp_path, "r", leads=["II"])
    first, signal, *_ = (tmp_path / "r.hea").read_text().splitlines()
    for n, words in ((257, "states 257 signals, over the 256"), (200_000, "bytes, over the 1,048,576")):
        write(tmp_path / "r.hea", "\n".join([first.replace("r 1 ", f"r {n} "), *[signal] * n, ""]))
        assert words in refusal(tmp_path / "r.hea")


@pytest.mark.parametrize("step", [1e-300, 1e-20, 1e20, 1e300])
def test_read_refuses_times_that_tell_no_rate_of_an_ecg(tmp_path, step):
    rows = [f"{i * step!r},{i % 7 / 10},{i % 5 / 10}" for i in range(200)]
    write(tmp_path / "a.csv", "\n".join(["time (s),II,V1", *rows, ""]))
    assert re.search("column time: .* Hz is (none of an ECG|not above 0)", refusal(tmp_path / "a.csv"))


def test_read_refuses_a_line_of_more_cells_than_a_table_has_columns(tmp_path):
    write(tmp_path / "a.csv", "II,V1\n" + "1," * 10**5 + "1\n")
    assert "one of its lines has 100001 cells, over 100000" in refusal(tmp_path / "a.csv", sampling_rate=500)


@pytest.mark.parametrize("error", [RecursionError("deep"), MemoryError(), SystemError("x"), UnboundLocalError("y")])
def test_reading_turns_any_error_into_one_that_names_the_file(tmp_path, error):
    with pytest.raises(UnreadableError, match=r"file .*a\.x: cannot be read \(.*\); expected b"):  # noqa: SIM117
        with reading(tmp_path / "a.x", "expected b"):
            raise error


def test_reading_leaves_errors_of_lfbt_and_what_ends_the_process(tmp_path):
    for error in (LfbtError("a: b"), KeyboardInterrupt(), SystemExit(3)):
        with pytest.raises(type(error)) as caught, reading(tmp_path):
            raise error
        assert caught.value is error


def test_guarded_and_isolated_functions_raise_errors_of_lfbt_only(tmp_path):
    path = write(tmp_path / "a.x", "")
    with pytest.raises(UnreadableError, match=r"a\.x: cannot be read \(division by zero\)"):
        fail_here(path)
    with pytest.raises(UnreadableError, match=r"a\.x: cannot be read \(a b\)"):
        fail(path)
    with pytest.raises(UnreadableError, match=r"absent\.x: cannot be read \(.*absent\.x is absent\)"):
        fail(tmp_path / "absent.x")


@pytest.mark.parametrize("reader", [fail, fail_here])
def test_guarded_and_isolated_functions_are_sent_by_name(reader):
    assert pickle.loads(pickle.dumps(reader)) is reader  # noqa: S301
    assert reader.__doc__


def test_guarded_bounds_the_bytes(tmp_path):
    path = write(tmp_path / "a.x", "abcd")
    assert guarded(most=4)(lambda path: path.read_text())(path) == "abcd"
    with pytest.raises(UnreadableError, match="has 4 bytes, over the 3"):
        guarded(most=3)(lambda path: path.read_text())(path)


def test_unreadable_says_what_a_lack_of_memory_means(tmp_path):
    assert "it needs more memory than there is for a file of its size" in str(unreadable(tmp_path, MemoryError("x")))
