"""The reader of WFDB records: units, lead names, invalid samples, and messages about corrupt files."""

import re
import sys
import warnings

import numpy as np
import pytest
import wfdb
from tests.published_files import RNG, taken_up, write_wfdb

from lfbt.errors import LfbtError, UnreadableError
from lfbt.io import isolation
from lfbt.io.wfdb import read_wfdb


def write_stated(folder, name, steps, leads, *, formats="16", before=b"", order="<i2", rate="500", n=None, data=None):
    """A record whose header states the first values and checksums of `steps` ``[leads, samples]``."""
    lines = [f"{name} {len(leads)} {rate} {steps.shape[1] if n is None else n}"]
    for row, lead in zip(steps, leads, strict=True):
        checksum = int(np.int64(row.sum()).astype(np.int16))
        lines.append(f"{name}.dat {formats} 1000(0)/mV 16 0 {row[0]} {checksum} 0 {lead}")
    (folder / f"{name}.hea").write_text("\n".join(lines) + "\n")
    (folder / f"{name}.dat").write_bytes(before + steps.T.astype(order).tobytes() if data is None else data)
    return folder / f"{name}.hea"


STEPS = RNG.integers(-2000, 2000, (3, 40))
LEADS = ("I", "II", "V1")


def packed212(steps):
    """Samples of format 212: pairs of 12 bits in three bytes."""
    a, b = (steps.T.ravel() & 0xFFF).reshape(-1, 2).T
    return np.stack([a & 0xFF, (a >> 8) | ((b >> 8) << 4), b & 0xFF], axis=1).astype(np.uint8).tobytes()


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


@pytest.mark.parametrize("gain", ["1000", "-3", "4880", "0.1", "1e-5", "200.7"])
@pytest.mark.parametrize("baseline", [0, -512, 2**23 - 1, 2**23])
def test_read_wfdb_rounds_once_whatever_the_step(tmp_path, gain, baseline):
    """As float64 arithmetic that is rounded to float32 at the end does, for each value of 16 bits."""
    steps = np.arange(-(2**15), 2**15, dtype=np.int16)
    (tmp_path / "a.hea").write_text(f"a 1 500 {len(steps)}\na.dat 16 {gain}({baseline})/mV 16 0 -32768 -32768 0 II\n")
    (tmp_path / "a.dat").write_bytes(steps.astype("<i2").tobytes())
    expected = ((steps.astype(np.float64) - baseline) / float(gain)).astype(np.float32)
    found = read_wfdb(tmp_path / "a.hea").signal[0]
    assert np.isnan(found[0])
    assert found[1:].tobytes() == expected[1:].tobytes()


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
    monkeypatch.setattr(isolation, "_is_reader", True)
    monkeypatch.setitem(sys.modules, "wfdb", None)
    with pytest.raises(LfbtError, match=r"package wfdb, which is not installed .* 'lfbt\[formats\]'") as caught:
        read_wfdb(tmp_path / "r.hea")
    assert not isinstance(caught.value, UnreadableError)


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
@pytest.mark.parametrize(
    ("rate", "format", "lead", "data"),
    [
        ("500", "16", "I", None),
        ("500", "16", "ECG I", None),
        ("500/500", "16", "I", None),
        ("5e2", "16", "I", None),
        ("500", "212", "I", packed212(np.array([[100, -200]]))),
    ],
)
def test_read_wfdb_gives_mv_of_microvolts_in_every_form(tmp_path, encoding, rate, format, lead, data):
    text = f"r 1 {rate} 2\nr.dat {format} 2/µV 12 0 100 -100 0 {lead}\n"
    (tmp_path / "r.hea").write_bytes(text.encode(encoding))
    (tmp_path / "r.dat").write_bytes(np.array([100, -200], "<i2").tobytes() if data is None else data)
    recording = read_wfdb(tmp_path / "r.hea")
    assert (recording.leads, recording.sampling_rate) == (("I",), 500)
    np.testing.assert_array_equal(recording.signal, np.array([[0.05, -0.1]], np.float32))


@pytest.mark.parametrize("gain", ["0/mV 16 0 0 0 0 II", "0(5)/mV 16 0 0 0 0 II"])
@pytest.mark.parametrize("format", ["16", "212"])
def test_read_wfdb_refuses_a_lead_without_gain(tmp_path, gain, format):
    (tmp_path / "r.hea").write_text(f"r 1 500 2\nr.dat {format} {gain}\n")
    (tmp_path / "r.dat").write_bytes(bytes(4 if format == "16" else 3))
    with pytest.raises(UnreadableError, match="signal II is not calibrated"):
        read_wfdb(tmp_path / "r.hea")


def test_read_wfdb_keeps_each_signal_at_its_own_rate(tmp_path):
    """Frames of 125 Hz with four samples of each ECG and one of breathing, as in MIMIC."""
    ecg, breath = RNG.integers(-500, 500, (2, 40)), RNG.integers(0, 9, (1, 10))
    frames = np.concatenate([ecg[0].reshape(10, 4), ecg[1].reshape(10, 4), breath.T], axis=1)
    lines = [
        f"r.dat 16{x} 1000/{unit} 16 0 {row[0]} {int(np.int64(row.sum()).astype(np.int16))} 0 {lead}"
        for x, unit, row, lead in (("x4", "mV", ecg[0], "II"), ("x4", "mV", ecg[1], "V"), ("", "NU", breath[0], "RESP"))
    ]
    (tmp_path / "r.hea").write_text("\n".join(["r 3 125 10", *lines]))
    (tmp_path / "r.dat").write_bytes(frames.astype("<i2").tobytes())
    recording = read_wfdb(tmp_path / "r.hea")
    assert (recording.leads, recording.sampling_rate) == (("II", "V"), 500)
    np.testing.assert_array_equal(recording.signal, (ecg / 1000).astype(np.float32))
    assert recording.notes == ("left out signal RESP (NU)",)
    (tmp_path / "r.hea").write_text((tmp_path / "r.hea").read_text().replace("/NU", "/mV"))
    with pytest.raises(
        UnreadableError, match=r"rates \(Hz: II 500, V 500, RESP 125\); resample_leads=True .* --resample-leads"
    ):
        read_wfdb(tmp_path / "r.hea")
    resampled = read_wfdb(tmp_path / "r.hea", resample_leads=True)
    assert (resampled.leads, resampled.sampling_rate) == (("II", "V", "RESP"), 500)
    np.testing.assert_array_equal(resampled.signal[:2], (ecg / 1000).astype(np.float32))
    np.testing.assert_allclose(resampled.signal[2], taken_up(breath[0] / 1000, 40), atol=1e-6)
    assert resampled.notes == ("leads resampled to 500 Hz: RESP from 125 Hz",)


def test_read_wfdb_reads_one_frame_of_all_samples(tmp_path):
    """`16x500` at one frame a second is 500 Hz."""
    steps = RNG.integers(-500, 500, 1000)
    (tmp_path / "r.hea").write_text(f"r 1 1 2\nr.dat 16x500 1000/mV 16 0 {steps[0]} 0 0 II\n")
    (tmp_path / "r.dat").write_bytes(steps.astype("<i2").tobytes())
    recording = read_wfdb(tmp_path / "r.hea")
    assert recording.sampling_rate == 500
    np.testing.assert_array_equal(recording.signal[0], (steps / 1000).astype(np.float32))


def test_read_wfdb_reads_a_record_whose_evidence_agrees(tmp_path):
    for data in ({}, {"formats": "212", "data": packed212(STEPS)}, {"formats": "16+5", "before": b"12345"}):
        header = write_stated(tmp_path, "r", STEPS, LEADS, **data)
        np.testing.assert_array_equal(read_wfdb(header).signal, (STEPS / 1000).astype(np.float32))


def one_changed(steps):
    steps = steps.copy()
    steps[1, 7] += 1
    return steps.T.astype("<i2").tobytes()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (STEPS.T.astype(">i2").tobytes(), "signal I has the first value"),
        (STEPS.astype("<i2").tobytes(), "signal II has the first value"),
        (one_changed(STEPS), "signal II has the checksum"),
        (STEPS[:, ::-1].T.astype("<i2").tobytes(), "signal I has the first value"),
    ],
    ids=["big-endian", "leads one after another", "one sample", "backwards"],
)
def test_read_wfdb_refuses_samples_that_are_not_those_of_the_header(tmp_path, data, message):
    header = write_stated(tmp_path, "r", STEPS, LEADS, data=data)
    with pytest.raises(UnreadableError, match=rf"^file {header}: {message} .*, not .* as its header states; r\.dat"):
        read_wfdb(header)


def test_read_wfdb_compares_checksums_of_other_formats_and_of_what_is_no_voltage(tmp_path):
    header = write_stated(tmp_path, "r", STEPS, LEADS, formats="212", data=packed212(STEPS[:, ::-1]))
    with pytest.raises(UnreadableError, match="signal I has the first value"):
        read_wfdb(header)
    header = write_stated(tmp_path, "r", STEPS, LEADS, data=one_changed(STEPS))
    header.write_text(header.read_text().replace("/mV", "/NU").replace("/NU", "/mV", 1))
    with pytest.raises(UnreadableError, match="signal II has the checksum"):
        read_wfdb(header)


def test_read_wfdb_takes_zeros_of_every_signal_for_nothing_stated(tmp_path):
    header = write_stated(tmp_path, "r", STEPS, LEADS)
    lines = [re.sub(r" -?\d+ -?\d+ 0 (\S+)$", r" 0 0 0 \1", line) for line in header.read_text().splitlines()]
    header.write_text("\n".join(lines))
    np.testing.assert_array_equal(read_wfdb(header).signal, (STEPS / 1000).astype(np.float32))
    # One that is stated shows that the zeros of the others are meant.
    header.write_text("\n".join([*lines[:-1], lines[-1].replace(" 0 0 V1", " 7 0 V1")]))
    with pytest.raises(UnreadableError, match="signal I has the checksum"):
        read_wfdb(header)


@pytest.mark.parametrize("version", ["5", "7.3"])
def test_read_wfdb_names_a_mat_file_of_another_version(tmp_path, version):
    write_stated(tmp_path, "r", STEPS, LEADS, formats="16+24", before=bytes(24))
    start = f"MATLAB {version}{'.0' if version == '5' else ''} MAT-file, Platform: GLNXA64".encode()
    (tmp_path / "r.dat").write_bytes(start.ljust(128) + bytes(1000))
    with pytest.raises(UnreadableError, match=rf"r\.dat is a MATLAB {version} file, not the samples"):
        read_wfdb(tmp_path / "r.hea")


def test_read_wfdb_refuses_a_file_that_is_cut_at_a_frame(tmp_path):
    for formats, data in (("16", STEPS.T.astype("<i2").tobytes()), ("212", packed212(STEPS))):
        header = write_stated(tmp_path, "r", STEPS, LEADS, formats=formats, data=data[: len(data) // 2])
        with pytest.raises(UnreadableError, match=r"r\.dat holds 20 samples a signal, not 40\)"):
            read_wfdb(header)


def test_read_wfdb_takes_the_start_of_a_longer_file_only_by_its_checksums(tmp_path):
    header = write_stated(tmp_path, "r", STEPS, LEADS, data=np.c_[STEPS, STEPS].T.astype("<i2").tobytes())
    np.testing.assert_array_equal(read_wfdb(header).signal, (STEPS / 1000).astype(np.float32))
    write_wfdb(tmp_path, "s", STEPS.astype(np.int16), leads=LEADS)
    (tmp_path / "s.dat").write_bytes((tmp_path / "s.dat").read_bytes() * 2)
    with pytest.raises(UnreadableError, match="holds 40 samples a signal more than the 40 stated"):
        read_wfdb(tmp_path / "s.hea")


def test_read_wfdb_takes_the_length_of_the_file_where_none_is_stated(tmp_path):
    for formats, data in (("16", None), ("212", packed212(STEPS))):
        header = write_stated(tmp_path, "r", STEPS, LEADS, formats=formats, data=data, n=0)
        assert read_wfdb(header).signal.shape == (3, 40)


def test_read_wfdb_reads_signals_of_several_files(tmp_path):
    first, second = write_stated(tmp_path, "a", STEPS[:2], LEADS[:2]), write_stated(tmp_path, "b", STEPS[2:], LEADS[2:])
    lines = [*first.read_text().splitlines()[1:], *second.read_text().splitlines()[1:]]
    (tmp_path / "r.hea").write_text("\n".join(["r 3 500 40", *lines]))
    np.testing.assert_array_equal(read_wfdb(tmp_path / "r.hea").signal, (STEPS / 1000).astype(np.float32))


def test_read_wfdb_moves_a_skewed_signal_to_its_time(tmp_path):
    write_wfdb(tmp_path, "r", STEPS.astype(np.int16), leads=LEADS)
    text = (tmp_path / "r.hea").read_text().splitlines()
    text[2] = text[2].replace(" 16 ", " 16:3 ", 1)
    (tmp_path / "r.hea").write_text("\n".join(text))
    signal = read_wfdb(tmp_path / "r.hea").signal
    np.testing.assert_array_equal(signal[1, :-3], (STEPS[1, 3:] / 1000).astype(np.float32))
    assert np.isnan(signal[1, -3:]).all()
    np.testing.assert_array_equal(signal[[0, 2]], (STEPS[[0, 2]] / 1000).astype(np.float32))


def test_read_wfdb_gives_nan_for_the_invalid_samples_of_other_formats(tmp_path):
    header = tmp_path / "r.hea"
    header.write_text("r 1 500 2\nr.dat 212 1000/mV 12 0 -2048 0 0 II\n")
    (tmp_path / "r.dat").write_bytes(packed212(np.array([[-2048, 5]])))
    np.testing.assert_array_equal(read_wfdb(header).signal, np.array([[np.nan, 0.005]], np.float32))


@pytest.mark.parametrize("part", [0.3, 0.6, 0.95])
def test_read_wfdb_refuses_a_cut_flac_file_in_one_line(tmp_path, part):
    soundfile = pytest.importorskip("soundfile")
    steps = RNG.integers(-2000, 2000, (2, 9000)).astype(np.int16)
    header = write_stated(tmp_path, "r", steps, LEADS[:2], formats="516", data=b"")
    with (tmp_path / "r.dat").open("wb") as file:
        soundfile.write(file, steps.T, 500, format="FLAC", subtype="PCM_16")
    np.testing.assert_array_equal(read_wfdb(header).signal, (steps / 1000).astype(np.float32))
    whole = (tmp_path / "r.dat").read_bytes()
    (tmp_path / "r.dat").write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(UnreadableError, match=rf"^file {header}: ") as caught:
        read_wfdb(header)
    assert "\n" not in str(caught.value)


def test_read_wfdb_names_an_unknown_format(tmp_path):
    header = write_stated(tmp_path, "r", STEPS, LEADS, formats="999")
    with pytest.raises(UnreadableError, match="signal format 999 is not known; known are 8, 16"):
        read_wfdb(header)


def test_read_wfdb_refuses_signal_files_elsewhere(tmp_path):
    write_stated(tmp_path, "r", STEPS, LEADS)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "r.hea").write_text((tmp_path / "r.hea").read_text().replace("r.dat", "../r.dat"))
    with pytest.raises(UnreadableError, match=r"r\.dat is absent"):
        read_wfdb(tmp_path / "sub" / "r.hea")


@pytest.mark.parametrize("format", ["80", "212", "16", "24", "32", "516", "524"])
def test_read_wfdb_equals_wfdb_in_every_format_that_it_writes(tmp_path, format):
    """The header is parsed by lfbt and the samples are decoded by wfdb, which takes the gain and the unit as well."""
    steps = RNG.integers(-100, 100, (50, 3))
    with warnings.catch_warnings():
        # Of pandas, about how wfdb writes headers.
        warnings.simplefilter("ignore")
        wfdb.wrsamp(
            "r",
            fs=257.5,
            units=["mV"] * 3,
            sig_name=["I", "aVF", "V6"],
            d_signal=steps,
            fmt=[format] * 3,
            adc_gain=[200, 4.88, 1000],
            baseline=[0, 7, -30],
            write_dir=str(tmp_path),
        )
    expected = wfdb.rdrecord(str(tmp_path / "r")).p_signal.T
    recording = read_wfdb(tmp_path / "r.hea")
    assert (recording.leads, recording.sampling_rate) == (("I", "aVF", "V6"), 257.5)
    assert np.abs(expected - (steps.T - [[0], [7], [-30]]) / np.array([[200], [4.88], [1000]])).max() < 1e-9
    np.testing.assert_array_equal(recording.signal, expected.astype(np.float32))


@pytest.mark.parametrize("frame", ["", "x2"])
@pytest.mark.parametrize("offset", [0, 7])
def test_read_wfdb_reads_format_61_which_is_big_endian(tmp_path, frame, offset):
    frames = np.random.default_rng(0).integers(-3000, 3000, (40, 4 if frame else 2))
    (tmp_path / "r.dat").write_bytes(b"x" * offset + frames.astype(">i2").tobytes())
    signals = [frames[:, :2].ravel(), frames[:, 2:].ravel()] if frame else list(frames.T)
    lines = ["r 2 250 40"]
    for signal, lead in zip(signals, ("II", "V1"), strict=True):
        checksum = int(signal.sum() + 2**15) % 2**16 - 2**15
        place = f"+{offset}" if offset else ""
        lines.append(f"r.dat 61{frame}{place} 200(5)/uV 16 0 {signal[0]} {checksum} 0 {lead}")
    (tmp_path / "r.hea").write_text("\n".join(lines) + "\n")
    recording = read_wfdb(tmp_path / "r.hea")
    assert (recording.leads, recording.sampling_rate) == (("II", "V1"), 500 if frame else 250)
    np.testing.assert_allclose(recording.signal, (np.array(signals) - 5) / 200e3, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("forms", [("16", "212"), ("212", "16"), ("16+24", "16"), ("16", "16+24")])
def test_read_wfdb_refuses_several_formats_or_offsets_in_one_file(tmp_path, forms):
    (tmp_path / "r.dat").write_bytes(bytes(600))
    lines = [
        "r 2 250 40",
        *(f"r.dat {form} 200/mV 16 0 0 0 0 {lead}" for form, lead in zip(forms, ("II", "V1"), strict=True)),
    ]
    (tmp_path / "r.hea").write_text("\n".join(lines) + "\n")
    with pytest.raises(UnreadableError, match=r"signals in r\.dat have different formats or offsets"):
        read_wfdb(tmp_path / "r.hea")


@pytest.mark.parametrize("form", ["16", "212", "16x2"])
@pytest.mark.parametrize("offset", [600, 601, 10**12])
def test_read_wfdb_refuses_samples_that_begin_after_the_file(tmp_path, form, offset):
    (tmp_path / "r.dat").write_bytes(bytes(600))
    for n in ("", " 40"):
        (tmp_path / "r.hea").write_text(f"r 1 250{n}\nr.dat {form}+{offset} 200/mV 16 0 0 0 0 II\n")
        with pytest.raises(UnreadableError, match=rf"begin at byte {offset} of r\.dat, which has 600 bytes"):
            read_wfdb(tmp_path / "r.hea")


def test_read_wfdb_refuses_a_renamed_header_that_names_the_samples_of_another_record(tmp_path):
    for name, first in (("a", 1), ("b", 5)):
        (tmp_path / f"{name}.dat").write_bytes(np.arange(first, first + 4, dtype="<i2").tobytes())
    header = "{0} 1 500 4\n{1}.dat 16 200/mV 16 0 1 10 0 I\n"
    (tmp_path / "b.hea").write_text(header.format("a", "a"))
    with pytest.raises(
        UnreadableError, match=r"b\.hea: it is the header of record a with its samples a\.dat, but b\.dat"
    ):
        read_wfdb(tmp_path / "b.hea")
    (tmp_path / "b.dat").rename(tmp_path / "c.dat")
    assert read_wfdb(tmp_path / "b.hea").signal.tolist() == [(np.arange(1, 5, dtype=np.float32) / 200).tolist()]
    (tmp_path / "a.hea").write_text(header.format("a", "a"))
    with pytest.raises(UnreadableError, match=r"a\.dat, but a\.hea is beside it"):
        read_wfdb(tmp_path / "b.hea")
    # A header of its own that takes signals of others is meant so.
    (tmp_path / "b.hea").write_text(header.format("b", "a"))
    assert read_wfdb(tmp_path / "b.hea").leads == ("I",)


def test_read_wfdb_refuses_a_skew_of_format_8(tmp_path):
    (tmp_path / "a.hea").write_text("a 2 500 4\na.dat 8:2 200/mV 16 0 0 0 0 I\na.dat 8 200/mV 16 0 0 0 0 II\n")
    (tmp_path / "a.dat").write_bytes(bytes(range(8)))
    with pytest.raises(UnreadableError, match="signals of format 8 cannot mark what a skew leaves out"):
        read_wfdb(tmp_path / "a.hea")


@pytest.mark.parametrize("frames", ["", " 10"])
@pytest.mark.parametrize(("format", "bytes_of_sample"), [("16", 2), ("16x2", 2), ("80", 1), ("32", 4), ("24", 3)])
def test_read_wfdb_refuses_a_file_that_ends_within_a_frame(tmp_path, frames, format, bytes_of_sample):
    frame = 2 * bytes_of_sample * (2 if format == "16x2" else 1)
    signals = "".join(f"a.dat {format}+4 200/mV 16 0 0 {{}} 0 {lead}\n" for lead in ("I", "II"))
    header = f"a 2 500{frames}\n{signals}"
    (tmp_path / "a.hea").write_text(header.format(0, 0))
    for rest in range(frame):
        (tmp_path / "a.dat").write_bytes(bytes(4 + 10 * frame + rest))
        if rest == 0:
            assert read_wfdb(tmp_path / "a.hea").leads == ("I", "II")
            continue
        with pytest.raises(UnreadableError, match=rf"a\.dat ends with {rest} bytes? of a sample of all 2 signals"):
            read_wfdb(tmp_path / "a.hea")
