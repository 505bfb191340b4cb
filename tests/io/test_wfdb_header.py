"""The one parser of WFDB headers: every field of header(5), and what is not one of its forms."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lfbt.errors import UnreadableError
from lfbt.io.wfdb_header import WfdbSignal, read_header


def header(folder, *lines, encoding="utf-8"):
    path = folder / "r.hea"
    path.write_bytes("\n".join(lines).encode(encoding))
    return path


def test_read_header_reads_every_field(tmp_path):
    path = header(
        tmp_path,
        "# before",
        "r.1 2 257.5/1e3(-10.5) 3 12:33:59.5 12/05/2020",
        "r.dat 212x4:3+24 4.88e2(-7)/uV 12 3 -10 23456 0 ECG lead I",
        "",
        "s.dat 16 200",
        "# after",
    )
    record = read_header(path)
    assert (record.frame_rate, record.n_frames) == (257.5, 3)
    assert record.signals == [
        WfdbSignal("r.dat", 212, 4, 3, 24, 488.0, -7, "uV", -10, 23456, "ECG lead I"),
        WfdbSignal("s.dat", 16, 1, 0, 0, 200.0, 0, "mV", None, None, ""),
    ]


def test_read_header_takes_the_zero_as_the_baseline_that_is_not_stated(tmp_path):
    signal = read_header(header(tmp_path, "r 1 500 3", "r.dat 16 200/mV 12 1024 0 0 0 II")).signals[0]
    assert signal.baseline == 1024


@pytest.mark.parametrize("rate", ["500", "500.", "500.0", "5e2", "0.5e3", "500/500", "500/500(0)", "500/360.5(-1)"])
def test_read_header_reads_rates(tmp_path, rate):
    record = read_header(header(tmp_path, f"r 1 {rate} 3", "r.dat 16 200"))
    assert (record.frame_rate, record.n_frames) == (500, 3)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_read_header_reads_a_micro_sign_in_any_encoding(tmp_path, encoding, newline):
    path = tmp_path / "r.hea"
    path.write_bytes(f"r 1 500 3{newline}r.dat 16 200/µV 16 0 0 0 0 II{newline}".encode(encoding))
    assert read_header(path).signals[0].unit == "µV"


@pytest.mark.parametrize(
    "rate", ["5OO", ".5e3", "nan", "inf", "1e308/1", "1e999", "0", "-500", "0x10", "500/", "500/x", "500(1)", "\u0665"]
)
def test_read_header_refuses_rates_that_are_not_numbers(tmp_path, rate):
    path = header(tmp_path, f"r 1 {rate} 3", "r.dat 16 200/mV 16 0 0 0 0 II")
    with pytest.raises(UnreadableError, match=rf"^file {path}: .*(not a WFDB record line|sampling rate of)"):
        read_header(path)


@pytest.mark.parametrize(
    "line",
    [
        "r.dat",
        "r.dat x 200",
        "r.dat 16 2OO/mV 16 0 0 0 0 II",
        "r.dat 16 .5e3/mV 16 0 0 0 0 II",
        "r.dat 16 nan/mV 16 0 0 0 0 II",
        "r.dat 16 1e308/mV 16 0 0 0 0 II",
        "r.dat 16 1e-308/mV 16 0 0 0 0 II",
        "r.dat 16 200(99999999999999999999)/mV 16 0 0 0 0 II",
        "r.dat 16 200(1.5)/mV 16 0 0 0 0 II",
        "r.dat 16 200(0) mV 16 0 0 0 0 II",
        "r.dat 16 200/mV 16 0 0x1 0 0 II",
        "r.dat 16 200/mV 16 0 0 0 II",
        "r.dat 16+x 200/mV 16 0 0 0 0 II",
    ],
)
def test_read_header_refuses_signal_lines_of_another_form(tmp_path, line):
    path = header(tmp_path, "r 1 500 3", line)
    with pytest.raises(
        UnreadableError, match=rf"^file {path}: .*{re.escape(repr(line[:60]))} is not a WFDB signal line"
    ):
        read_header(path)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ((), "not a WFDB record line"),
        (("hello world",), "not a WFDB record line"),
        (("r", "r.dat 16 200"), "not a WFDB record line"),
        (("r 1", "r.dat 16 200"), "states no sampling rate"),
        (("r 2 500 3", "r.dat 16 200"), "2 signals stated, 1 described"),
        (("r 1 500 3", "r.dat 16 200", "r.dat 16 200"), "1 signals stated, 2 described"),
        (("r/3 2 500 3", "a 1", "b 1", "c 1"), "record of 3 segments"),
        (("r 0 500 3",), "no signal, only annotations"),
        (("r 1 500 0", "~ 0 200/mV 0 0 0 0 0 II"), "a layout header"),
    ],
)
def test_read_header_says_what_a_header_is_not(tmp_path, lines, message):
    path = header(tmp_path, *lines)
    with pytest.raises(UnreadableError, match=rf"^file {path}: .*{message}"):
        read_header(path)


@pytest.mark.parametrize("zero", ["0", "00"])
def test_read_header_refuses_no_sample_a_frame(tmp_path, zero):
    path = header(tmp_path, "r 1 500 3", f"r.dat 16x{zero} 200/mV 16 0 0 0 0 II")
    with pytest.raises(UnreadableError, match=rf"^file {path}: signal II has the format 16x{zero}, which is 0 samples"):
        read_header(path)


def test_read_header_names_utf_16(tmp_path):
    with pytest.raises(UnreadableError, match="perhaps UTF-16"):
        read_header(header(tmp_path, "r 1 500 3", "r.dat 16 200", encoding="utf-16"))


def test_read_header_leaves_out_signals_without_a_file(tmp_path):
    record = read_header(header(tmp_path, "r 2 500 3", "~ 0 200/mV 0 0 0 0 0 II", "r.dat 16 200/mV 0 0 0 0 0 V1"))
    assert [signal.lead for signal in record.signals] == ["V1"]


@given(data=st.binary(max_size=200))
def test_read_header_reads_or_refuses_any_bytes_in_one_line(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("any") / "r.hea"
    path.write_bytes(data)
    message = ""
    try:
        read_header(path)
    except UnreadableError as error:
        message = str(error)
    assert not message or re.fullmatch(rf"file {path}: .*", message)


@given(
    gain=st.floats(1e-6, 1e9),
    baseline=st.integers(-(10**9), 10**9),
    first=st.integers(-(2**31), 2**31),
    checksum=st.integers(-(2**15), 2**16),
    lead=st.sampled_from(["II", "ECG I", "-aVR", "a name of words"]),
)
def test_read_header_reads_what_was_written(tmp_path_factory, gain, baseline, first, checksum, lead):
    path = tmp_path_factory.mktemp("any") / "r.hea"
    path.write_text(f"r 1 500 3\nr.dat 16 {gain!r}({baseline})/mV 16 0 {first} {checksum} 0 {lead}\n")
    signal = read_header(path).signals[0]
    assert (signal.gain, signal.baseline, signal.first, signal.checksum, signal.lead) == (
        gain, baseline, first, checksum, lead
    )  # fmt: skip
