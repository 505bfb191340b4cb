"""The reader of WFDB records: units, lead names, invalid samples, and messages about corrupt files."""

import sys

import numpy as np
import pytest
from tests.published_files import write_wfdb

from lfbt.errors import LfbtError, UnreadableError
from lfbt.io.wfdb import read_wfdb


def test_read_wfdb_gives_mv_by_gain_and_unit_and_standard_lead_names(tmp_path):
    steps = write_wfdb(
        tmp_path, "a", gains=[1000, 200, 1, 4880], units=["mV", "uV", "V", "mv"], leads=["AVR", "lead i", "v1", "X"]
    )
    recording = read_wfdb(tmp_path / "a.hea")
    expected = steps / np.array([[1000], [200], [1], [4880]]) * np.array([[1], [1e-3], [1e3], [1]])
    assert recording.leads == ("aVR", "I", "V1", "X")
    assert recording.sampling_rate == 500
    assert recording.signal.dtype == np.float32
    np.testing.assert_array_equal(recording.signal, expected.astype(np.float32))


def test_read_wfdb_gives_nan_for_invalid_samples(tmp_path):
    steps = np.full((1, 5), 100, dtype=np.int16)
    steps[0, 2] = -32768
    write_wfdb(tmp_path, "a", steps, leads=["II"])
    np.testing.assert_array_equal(
        read_wfdb(tmp_path / "a.hea").signal[0], np.array([0.1, 0.1, np.nan, 0.1, 0.1], dtype=np.float32)
    )


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("record", ["a.dat", "other", "b-2.mat"])
def test_read_wfdb_accepts_record_names_other_than_the_files(tmp_path, record, newline):
    steps = write_wfdb(tmp_path, "a", record=record)
    header = tmp_path / "a.hea"
    header.write_bytes(("# made by hand\n" + header.read_text()).replace("\n", newline).encode())
    before = sorted(tmp_path.iterdir())
    np.testing.assert_array_equal(read_wfdb(header).signal, (steps / 1000).astype(np.float32))
    assert sorted(tmp_path.iterdir()) == before


def _cut(folder, size):
    data = (folder / "a.dat").read_bytes()
    (folder / "a.dat").write_bytes(data[: int(len(data) * size)])


@pytest.mark.parametrize("record", ["a", "a.dat"])
@pytest.mark.parametrize(
    ("corrupt", "message"),
    [
        (lambda d: _cut(d, 0), "cannot be read .*download it"),
        (lambda d: _cut(d, 0.5), "cannot be read .*again"),
        (lambda d: (d / "a.dat").unlink(), r"a\.dat is absent"),
        (lambda d: (d / "a.hea").write_text(""), "not a WFDB record line"),
        (lambda d: (d / "a.hea").write_text("hello world\n"), "cannot be read"),
        (lambda d: (d / "a.hea").write_text("a/3 12 500 5000\n"), "3 segments"),
        (lambda d: (d / "a.hea").write_text("a 0 500 40\n"), "no signal"),
        (lambda d: (d / "a.hea").unlink(), r"a\.hea is absent"),
    ],
)
def test_read_wfdb_names_the_corrupt_file(tmp_path, corrupt, message, record):
    write_wfdb(tmp_path, "a", record=record)
    corrupt(tmp_path)
    with pytest.raises(UnreadableError, match=rf"^file {tmp_path}/a\.hea: .*{message}") as caught:
        read_wfdb(tmp_path / "a.hea")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"units": ["mmHg", "NU"]}, "none of its signals is a voltage, but (mmHg, NU|NU, mmHg)"),
        ({"leads": ["II", "ii"]}, "two of its leads are named II"),
        ({"leads": ["II", ""]}, "no lead name"),
    ],
)
def test_read_wfdb_refuses_headers_of_other_signals(tmp_path, options, message):
    write_wfdb(tmp_path, "a", **({"leads": ["I", "II"]} | options))
    with pytest.raises(UnreadableError, match=message):
        read_wfdb(tmp_path / "a.hea")


def test_read_wfdb_leaves_out_signals_that_are_not_voltages(tmp_path):
    write_wfdb(tmp_path, "a", leads=["II", "RESP", "V1"], units=["mV", "NU", "mV"])
    without = read_wfdb(tmp_path / "a.hea")
    (tmp_path / "a.hea").write_text((tmp_path / "a.hea").read_text().replace("/NU", "/mV"))
    whole = read_wfdb(tmp_path / "a.hea")
    assert whole.leads == ("II", "RESP", "V1")
    assert without.leads == ("II", "V1")
    np.testing.assert_array_equal(without.signal, whole.signal[[0, 2]])


def test_read_wfdb_names_the_extra_where_wfdb_is_absent(tmp_path, monkeypatch):
    """A header of unusual form, here of format 212, needs the package; this is no reason to skip the file."""
    (tmp_path / "r.hea").write_text("r 1 500 2\nr.dat 212 200/mV 12 0 0 0 0 II\n")
    (tmp_path / "r.dat").write_bytes(bytes(3))
    monkeypatch.setitem(sys.modules, "wfdb", None)
    with pytest.raises(LfbtError, match=r"package wfdb, which is not installed .* 'lfbt\[formats\]'") as caught:
        read_wfdb(tmp_path / "r.hea")
    assert not isinstance(caught.value, UnreadableError)
