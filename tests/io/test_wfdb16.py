"""The fast reader of WFDB records: what it reads, wfdb reads alike, and what it cannot read it leaves to wfdb."""

from pathlib import Path

import numpy as np
import pytest
import wfdb
from hypothesis import given
from hypothesis import strategies as st

from lfbt.errors import UnreadableError
from lfbt.io import wfdb as files
from lfbt.io.wfdb import read_wfdb
from lfbt.io.wfdb16 import checksums16, read_samples16
from lfbt.io.wfdb_header import read_header
from lfbt.recording import lead_name, unit_in_mv

STEPS = np.array([[10, 7, -32768], [-20, 100, 0], [30, -32767, 32767]])
LINE = "r.dat 16 1000/mV 16 0 0 0 0 "


def write(folder, *signals, record="r {n} 500 3", file="r.dat", before=b"", steps=STEPS):
    """A record of signal lines and their samples ``[signals, samples]``."""
    folder.mkdir(exist_ok=True)
    signals = signals or (LINE + "II", LINE + "V1", LINE + "V6")
    header = folder / "r.hea"
    header.write_text("\n".join([record.format(n=len(signals)), *signals, "# Age: 60", ""]))
    (folder / file).write_bytes(before + steps.T.astype("<i2").tobytes())
    return header


def read(header):
    return read_samples16(header.parent, read_header(header))


def assert_as_wfdb(header):
    mine, digital = read(header), wfdb.rdrecord(str(header.with_suffix("")), physical=False)
    assert mine is not None
    np.testing.assert_array_equal(mine, digital.d_signal.T)
    recording, physical = read_wfdb(header), wfdb.rdrecord(str(header.with_suffix("")))
    in_mv = physical.p_signal.T * np.array([[unit_in_mv(unit)] for unit in physical.units])
    assert recording.signal.tobytes() == in_mv.astype(np.float32).tobytes()
    assert recording.leads == tuple(map(lead_name, physical.sig_name))
    assert recording.sampling_rate == physical.fs


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"record": "r {n} 500 3 12:33:59.5 12/05/2020"},
        {"record": "# a comment first\n\nr {n} 500 3"},
    ],
)
def test_read_samples16_equals_wfdb(tmp_path, options):
    assert_as_wfdb(write(tmp_path, **options))


def test_read_samples16_accepts_a_date_in_words(tmp_path):
    """As in the Challenge's CPSC part; wfdb reads it too, with a warning or not by version."""
    assert read_wfdb(write(tmp_path, record="r {n} 257.5 3 12-May-2020 12:33:59")).sampling_rate == 257.5


def test_read_wfdb_names_the_file_of_a_baseline_beyond_all_numbers(tmp_path):
    header = write(tmp_path, LINE.replace("1000", "1000(99999999999999999999)") + "II", steps=STEPS[:1])
    with pytest.raises(UnreadableError, match=r"r\.hea"):
        read_wfdb(header)


@pytest.mark.parametrize(
    "start",
    [
        "r.dat 16 200 16 0 0 0 0 ",
        "r.dat 16 200(5)/uV 16 0 0 0 0 ",
        "r.dat 16 1000.0(-7)/mV 12 3 0 0 0 ",
        "r.dat 16 4.88e2/mV 16 -1024 0 0 0 ",
        "r.dat 16x1 0.5e3/mV 16 0 0 0 0 ",
    ],
)
def test_read_samples16_equals_wfdb_for_gain_baseline_and_unit(tmp_path, start):
    assert_as_wfdb(write(tmp_path, start + "II", start + "V1", start + "V6"))


def test_read_samples16_equals_wfdb_behind_a_matlab_header(tmp_path):
    lines = [f"r.mat 16+24 1000/mV 16 0 0 0 0 {lead}" for lead in ("I", "II", "III")]
    assert_as_wfdb(write(tmp_path, *lines, file="r.mat", before=b"MATLAB".ljust(24, b"\0")))


def test_read_wfdb_gives_nan_for_invalid_samples(tmp_path):
    signal = read_wfdb(write(tmp_path)).signal
    assert np.isnan(signal).sum() == 1
    np.testing.assert_array_equal(signal[0], np.array([0.01, 0.007, np.nan], np.float32))


@given(
    steps=st.lists(st.integers(-32768, 32767), min_size=2, max_size=40),
    gain=st.floats(1e-3, 1e6, allow_nan=False),
    baseline=st.integers(-(2**15), 2**15),
)
def test_read_samples16_equals_wfdb_for_any_samples_gain_and_baseline(tmp_path_factory, steps, gain, baseline):
    folder = tmp_path_factory.mktemp("record")
    line = f"r.dat 16 {gain}({baseline})/mV 16 0 0 0 0 II"
    record = f"r {{n}} 500 {len(steps)}"
    assert_as_wfdb(write(folder, line, record=record, steps=np.array([steps])))


@pytest.mark.parametrize(
    ("lines", "options"),
    [
        ((LINE.replace("16 1000", "212 1000") + "II",), {}),
        ((LINE.replace("16 1000", "16x2 1000") + "II",), {}),
        ((LINE.replace("16 1000", "16:3 1000") + "II",), {}),
        ((LINE + "II", LINE.replace("16 1000", "16+2 1000") + "V1"), {}),
        ((LINE + "II", LINE.replace("r.dat", "s.dat") + "V1"), {}),
        ((LINE + "II",), {"record": "r {n} 500"}),
        ((LINE + "II",), {"record": "r {n} 500 0"}),
    ],
)
def test_read_samples16_leaves_other_forms_to_wfdb(tmp_path, lines, options):
    assert read(write(tmp_path, *lines, steps=STEPS[: len(lines)], **options)) is None


@pytest.mark.parametrize("steps", [STEPS[:, :2], np.c_[STEPS, STEPS]])
def test_read_samples16_leaves_a_file_of_another_size_to_wfdb(tmp_path, steps):
    assert read(write(tmp_path, steps=steps)) is None


@given(n_samples=st.integers(1, 350), n_signals=st.integers(1, 13), seed=st.integers(0, 9))
def test_checksums16_are_sums_modulo_65536(n_samples, n_signals, seed):
    steps = np.random.default_rng(seed).integers(-32768, 32768, (n_samples, n_signals), dtype=np.int16)
    assert checksums16(steps.T) == [int(row.sum(dtype=np.int64)) % 65536 for row in steps.T]


def test_read_wfdb_gives_the_same_by_wfdb(tmp_path, monkeypatch):
    """The same recording either way."""
    header = write(tmp_path)
    fast = read_wfdb(header)
    monkeypatch.setattr(files, "read_samples16", lambda *_: None)
    slow = read_wfdb(header)
    assert fast.signal.tobytes() == slow.signal.tobytes()
    assert (fast.leads, fast.sampling_rate) == (slow.leads, slow.sampling_rate)


@pytest.mark.real
def test_read_samples16_equals_wfdb_for_real_records(shared_data: Path):
    """Every third header of PTB-XL, the Challenge and the others but the few that wfdb itself refuses."""
    n_read = 0
    for header in sorted(shared_data.rglob("*.hea"))[::3]:
        if not read_header(header).signals[0].file.startswith("E00009.mat") or header.stem == "E00009":
            try:
                assert_as_wfdb(header)
            except wfdb.io._header.HeaderSyntaxError:
                continue
            n_read += 1
    assert n_read > 600
