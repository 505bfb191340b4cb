"""The reader of CSV files: header rows, units, and where a file is wrong."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.published_files import write

from lfbt.errors import UnreadableError
from lfbt.io.csv import holds_voltages, read_csv, read_csv_header
from lfbt.recording import STANDARD_LEADS


@pytest.mark.parametrize(
    "text",
    [
        "I,aVR\n1,-4\n2.5,5\n,6\n",
        "1,-4\n2.5,5\n,6\n",
        '\ufeff"I", "avr"\r\n1,-4\r\n2.5,5\r\n,6\r\n',
        ",I,AVR\n0,1,-4\n1,2.5,5\n2,,6\n",
    ],
)
def test_read_csv_gives_mv_with_and_without_header(tmp_path, text):
    (tmp_path / "a.csv").write_bytes(text.encode())
    recording = read_csv(tmp_path / "a.csv", ["I", "aVR"], 500.0, "uV")
    assert recording.leads == ("I", "aVR")
    np.testing.assert_array_equal(
        recording.signal, np.array([[0.001, 0.0025, np.nan], [-0.004, 0.005, 0.006]], dtype=np.float32)
    )


def test_read_csv_prefers_the_header_to_given_leads(tmp_path):
    write(tmp_path / "a.csv", "V2,V1\n1,2\n")
    assert read_csv(tmp_path / "a.csv", ["I", "II"], 500.0, "mV").leads == ("V2", "V1")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("I,II\n1,2\n3,x\n", "line 3, column 2 holds 'x'"),
        ("1,2\noff,2\n", "line 2, column 1 holds 'off'"),
        ("I;II\n1;2\n3;x\n", "line 3, column 2 holds 'x'"),
        ("I;II\n1,5;2\n3;x,5\n", "line 3, column 2 holds 'x,5'"),
        ("# c\nI,II\n# c\n1,2\n3,x\n", "line 5, column 2 holds 'x'"),
        ("I,,II\n1,2,3\n", "column 2 has no name"),
        ("time,sample\n0,1\n0.002,2\n", "none of its columns is a lead: time, sample"),
        ("I,II\n1,5,2,5\n", "header has 2 names for 4 columns"),
        ("time,I,II\n0,1,2\n0.002,x,3\n", "line 3, column 2 holds 'x'"),
        ("I,II\n1,2\n1,2,3\n", "line 3 has 3 cells, not 2"),
        ("1,2,3\n", r"shape \[3, 1\], not \[2 leads"),
        ("I,i\n1,2\n", "two of its leads are named I"),
        ("I,II\n", "it holds no samples"),
        ("", "it holds no samples"),
        ("time,I\n\n", "it holds no samples"),
        ("I,II\n1,2_0\n", "line 2, column 2 holds '2_0'"),
        ('I,II\n1,"2\n', "it cannot be read as a table of numbers$"),
    ],
)
def test_read_csv_locates_faults(tmp_path, text, message):
    write(tmp_path / "a.csv", text)
    with pytest.raises(UnreadableError, match=rf"a\.csv: .*{message}"):
        read_csv(tmp_path / "a.csv", ["I", "II"], 500.0, "mV")


def test_read_csv_refuses_files_without_lead_names(tmp_path):
    with pytest.raises(UnreadableError, match="no header row"):
        read_csv(write(tmp_path / "a.csv", "1,2\n"), None, 500.0, "mV")
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe1")
    with pytest.raises(UnreadableError, match="codec"):
        read_csv(tmp_path / "b.csv", ["I"], 500.0, "mV")


EXPECTED = np.array([[1.5, 2.5, -3], [-4, 5.25, 6]], dtype=np.float32)


@pytest.mark.parametrize(
    "text",
    [
        "I;aVR\n1,5;-4\n2,5;5,25\n-3;6\n",
        "sep=;\nI;aVR\n1,5;-4\n2,5;5,25\n-3;6\n",
        "I;aVR\n1.5;-4\n2.5;5.25\n-3;6\n",
        "I\taVR\n1,5\t-4\n2,5\t5,25\n-3\t6\n",
        "I aVR\n1.5 -4\n2.5  5.25\n -3 6\n",
        "# made by hand; 1,2\n% x\n\nI,aVR\n# then\n1.5,-4\n2.5,5.25\n-3,6\n",
        "0,1\n1.5,-4\n2.5,5.25\n-3,6\n",
        "1,2\n1.5,-4\n2.5,5.25\n-3,6\n",
        ",0,1\n0,1.5,-4\n1,2.5,5.25\n2,-3,6\n",
        ",1,2\n0,1.5,-4\n1,2.5,5.25\n2,-3,6\n",
        "I,aVR,\n1.5,-4,\n2.5,5.25,\n-3,6,\n",
        "I,aVR\n1.5,-4,\n2.5,5.25,\n-3,6,\n",
        "1.5,-4,\n2.5,5.25,\n-3,6,\n",
        "time,I,aVR\n0,1.5,-4\n0.002,2.5,5.25\n0.004,-3,6\n",
        "Time (ms),I,aVR\n10,1.5,-4\n12,2.5,5.25\n14,-3,6\n",
        "I,aVR,t\n1.5,-4,0\n2.5,5.25,2\n-3,6,4\n",
        "ms;I;aVR\n0;1,5;-4\n2;2,5;5,25\n4;-3;6\n",
        "sample,seconds,I,aVR\n0,0,1.5,-4\n1,0.002,2.5,5.25\n2,0.004,-3,6\n",
        "timestamp,I,aVR\n2020-01-01T00:00:00.000,1.5,-4\n2020-01-01T00:00:00.002,2.5,5.25\n"
        "2020-01-01T00:00:00.004,-3,6\n",
        "time,0,1\n0,1.5,-4\n0.002,2.5,5.25\n0.004,-3,6\n",
        "I,aVR\nmV,mV\n1.5,-4\n2.5,5.25\n-3,6\n",
        "I,aVR\nuV,mV\n1500,-4\n2500,5.25\n-3000,6\n",
        "time,I,aVR\n[s],[uV],[uV]\n0,1500,-4000\n0.002,2500,5250\n0.004,-3000,6000\n",
        "I (µV),aVR [mV]\n1500,-4\n2500,5.25\n-3000,6\n",
        "1.5,2.5,-3\n-4,5.25,6\n",
    ],
)
def test_read_csv_reads_files_as_tools_write_them(tmp_path, text):
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    recording = read_csv(tmp_path / "a.csv", ["I", "aVR"], 500.0, "mV")
    assert recording.leads == ("I", "aVR")
    np.testing.assert_array_equal(recording.signal, EXPECTED)


def test_read_csv_notes_a_transposed_table(tmp_path):
    write(tmp_path / "a.csv", "1.5,2.5,-3\n-4,5.25,6\n")
    assert read_csv(tmp_path / "a.csv", ["I", "aVR"], 500.0, "mV").notes == ("transposed from samples × leads",)


def test_read_csv_reads_one_lead_per_line(tmp_path):
    write(tmp_path / "a.csv", "Lead I\n1.5\n2.5\n")
    assert read_csv(tmp_path / "a.csv", None, 500.0, "mV").signal.tolist() == [[1.5, 2.5]]
    write(tmp_path / "a.csv", "0\n1.5\n2.5\n")
    assert read_csv(tmp_path / "a.csv", ["I"], 500.0, "mV").signal.tolist() == [[1.5, 2.5]]


def test_read_csv_takes_the_stated_leads_for_columns_that_name_none(tmp_path):
    """As wearables write them: ecg, channel 1; a column that names a lead is believed."""
    write(tmp_path / "a.csv", "timestamp [ms],ecg [uV],hr\n0,1500,60\n2,2500,60\n")
    recording = read_csv(tmp_path / "a.csv", ["I"], 500.0, "mV")
    assert (recording.signal.tolist(), recording.leads) == ([[1.5, 2.5]], ("I",))
    assert "leads as stated: I of the columns ecg" in recording.notes
    write(tmp_path / "a.csv", "CH1,CH2\n1,2\n3,4\n")
    assert read_csv(tmp_path / "a.csv", ["V1", "II"], 500.0, "mV").leads == ("V1", "II")
    assert read_csv(tmp_path / "a.csv", ["I"], 500.0, "mV").leads == ("CH1", "CH2")
    write(tmp_path / "a.csv", "ecg,II\n1,2\n3,4\n")
    assert read_csv(tmp_path / "a.csv", ["I", "II"], 500.0, "mV").leads == ("ecg", "II")


def test_read_csv_takes_twelve_column_numbers_for_a_header(tmp_path):
    """As pandas writes a table without names; of whole numbers, too."""
    for start in (0, 1):
        header = ",".join(str(start + i) for i in range(12))
        write(tmp_path / "a.csv", f"{header}\n" + "7,7,7,7,7,7,7,7,7,7,7,7\n" * 5)
        signal = read_csv(tmp_path / "a.csv", STANDARD_LEADS, 500.0, "mV").signal
        assert (signal.shape, signal.min()) == ((12, 5), 7)
        with pytest.raises(UnreadableError, match="no header row"):
            read_csv(tmp_path / "a.csv", None, 500.0, "mV")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0,1\n5,7\n", "may be column numbers or a sample"),
        ("1\n5\n", "may be column numbers or a sample"),
        ("I;II\n1,250;2,500\n", "'1,250' may have a decimal comma or one of thousands; state it with --file-decimal"),
        ("I;II\n1,5;2.5\n", "both . and , in cells between ';'"),
        ("I;II\n1,5,2;2\n", "'1,5,2' in cells between ';'"),
        ("time,I\n0,1\n0.004,2\n", "column time is one of 250 Hz or .*, not of 500 Hz"),
        ("ms,I\n0,1\n4,2\n", "column ms is one of 250 Hz, not of 500 Hz"),
        ("time_s,I\n0,1\n2,2\n", "column time_s is one of 0.5 Hz, not of 500 Hz"),
        ("time,I\n0,1\n0,2\n", "column time does not rise from 0 to 0"),
        ("time,I\n0.004,1\n0,2\n", "column time does not rise"),
        ("time,I\n,1\n0.002,2\n", "line 2 has no time in its column time"),
        ("time,I\n0,1\nNaT,2\n", "line 3 holds 'NaT'; expected numbers or dates in its column time"),
        ("time,I\n0,1\nnoon,2\n", "line 3 holds 'noon'; expected numbers or dates in its column time$"),
        ("time,I\n2020-01-01T00:00:00,1\nnoon,2\n", "line 3 holds 'noon'; expected numbers or dates"),
        ("time,I\nnoon,1\none,2\n", "expected numbers or dates in its column time"),
        (
            "time,I\n" + "\n".join(f"{t / 500},1" for t in [*range(600), *range(603, 900)]),
            "is not regular: 1.198, then",
        ),
    ],
)
def test_read_csv_refuses_what_can_be_read_in_two_ways_or_contradicts_itself(tmp_path, text, message):
    write(tmp_path / "a.csv", text)
    with pytest.raises(UnreadableError, match=rf"a\.csv: .*{message}"):
        read_csv(tmp_path / "a.csv", None if "I" in text else ["I"], 500.0, "mV")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("I\n1\n\n3\n", "line 3 is blank, between samples"),
        ("I\n1\n  \t\n3\n", "line 3 is blank, between samples"),
        ("I\r\n1\r\n\r\n3\r\n", "line 3 is blank, between samples"),
        ("I,II\n1,2\n\n3,4\n", "line 3 is blank, between samples"),
        ("I II V1\n1 2 3\n4  6\n7 8 9\n", "line 3 has 2 cells, not 3"),
        ("I,II,V1\n1,2,3\n4,5\n7,8,9\n", "line 3 has 2 cells, not 3"),
        ("I\tII\n1\t2\n1\t2\t\n", "line 3 has 3 cells, not 2"),
        ("I,II\n1,True\n2,False\n", "line 2 holds 'True', which is not a number"),
        ("time,I,II\n0,1,TRUE\n0.002,2,\n", "line 2 holds 'TRUE', which is not a number"),
        (
            "time,I\n99999999999999999000,1\n99999999999999999002,2\n",
            "'99999999999999999000'; expected numbers or dates",
        ),
        ("time,I\n0,1\n0.002,x\n", "line 3, column 2 holds 'x', which is not a number"),
        ("I (uV),II\n1,2\n", "states the unit uV, but none for II"),
        ("I,II (mV)\n1,2\n", "states the unit mV, but none for I;"),
    ],
)
def test_read_csv_refuses_rows_that_would_move_or_lose_samples(tmp_path, text, message):
    (tmp_path / "a.csv").write_bytes(text.encode())
    with pytest.raises(UnreadableError, match=rf"a\.csv: .*{message}"):
        read_csv(tmp_path / "a.csv", None, 500.0, "uV")


@pytest.mark.parametrize(
    "text",
    ["I\n1\nnan\n3\n\n \n", 'I\r\n1\r\n""\r\n3\r\n\r\n', "I\n1\nNA\n3"],
)
def test_read_csv_keeps_missing_samples_and_passes_over_blank_lines_at_the_end(tmp_path, text):
    (tmp_path / "a.csv").write_bytes(text.encode())
    signal = read_csv(tmp_path / "a.csv", None, 500.0, "mV").signal
    np.testing.assert_array_equal(signal, np.array([[1, np.nan, 3]], dtype=np.float32))


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_read_csv_keeps_rows_of_empty_cells(tmp_path, separator):
    text = "I,II\n1,2\n,\n3,4\n,\n".replace(",", separator)
    signal = read_csv(write(tmp_path / "a.csv", text), None, 500.0, "mV").signal
    np.testing.assert_array_equal(signal, np.array([[1, np.nan, 3, np.nan], [2, np.nan, 4, np.nan]], np.float32))


@pytest.mark.parametrize(
    ("header", "numbers", "message"),
    [
        ("sample", "0 1 3", "column sample does not count the rows: 1, then 3"),
        ("sample", "0 2 1", "column sample does not count the rows: 0, then 2"),
        ("Sample", "5 5 6", "column Sample does not count the rows: 5, then 5"),
        ("row", "0 nan 2", "column row does not count the rows: 0, then nan"),
        ("index", "0.5 1.5 2.5", "column index does not count the rows: 0.5"),
        ("", "-12 40 7", "first column, without a name, does not count the rows: -12, then 40"),
        ("", "0 0.002 0.004", "first column, without a name, does not count the rows: 0, then 0.002"),
    ],
)
def test_read_csv_takes_for_row_numbers_only_what_counts_rows(tmp_path, header, numbers, message):
    rows = "".join(f"{number},1,2\n" for number in numbers.split())
    with pytest.raises(UnreadableError, match=rf"a\.csv: .*{message}"):
        read_csv(write(tmp_path / "a.csv", f"{header},I,II\n{rows}"), None, 500.0, "mV")
    rows = "".join(f"{number},1,2\n" for number in range(7, 12))
    recording = read_csv(write(tmp_path / "a.csv", f"{header},I,II\n{rows}"), None, 500.0, "mV")
    assert (recording.leads, recording.signal.shape) == (("I", "II"), (2, 5))


def test_read_csv_reads_the_form_of_physionet(tmp_path):
    text = "'Elapsed time','II','V1'\n'seconds','mV','uV'\n0.000,-0.145,7\n0.002,0.5,8\n"
    recording = read_csv(write(tmp_path / "a.csv", text), None, 500.0, "mV")
    assert recording.leads == ("II", "V1")
    np.testing.assert_array_equal(recording.signal, np.array([[-0.145, 0.5], [0.007, 0.008]], dtype=np.float32))


def test_read_csv_compares_the_unit_that_the_header_states(tmp_path):
    write(tmp_path / "a.csv", "I (uV),II (uV)\n1,2\n")
    assert read_csv(tmp_path / "a.csv", None, 500.0, "uV").signal[0, 0] == np.float32(0.001)
    with pytest.raises(UnreadableError, match=r"a\.csv: its header states the unit uV, not V"):
        read_csv(tmp_path / "a.csv", None, 500.0, "V")


@pytest.mark.parametrize(
    ("text", "separator", "decimal"),
    [
        ("I;II\n1,250;2,500\n", None, ","),
        ("I;II\n1,250;2,500\n", ";", ","),
        ("I II\n1,25 2,5\n", " ", ","),
        ("I II\n1,25 2,5\n", None, ","),
        ("I|II\n1.25|2.5\n", "|", None),
    ],
)
def test_read_csv_takes_separator_and_decimal_sign_as_given(tmp_path, text, separator, decimal):
    write(tmp_path / "a.csv", text)
    recording = read_csv(tmp_path / "a.csv", None, 500.0, "mV", separator, decimal)
    assert (recording.leads, recording.signal.tolist()) == (("I", "II"), [[1.25], [2.5]])


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_read_csv_reads_utf_16_with_and_without_its_mark(tmp_path, encoding):
    (tmp_path / "a.csv").write_text("I,II (µV)\n1,2\n3,4\n".replace("I,", "I (µV),"), encoding=encoding)
    recording = read_csv(tmp_path / "a.csv", None, 500.0, "mV")
    assert recording.leads == ("I", "II")
    np.testing.assert_array_equal(recording.signal, np.array([[1, 3], [2, 4]], np.float32) / np.float32(1000))


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"PK\3\4rest", "a workbook, not text.*save the sheet as CSV"), (b"I,II\n1,\0\n", "zero bytes")],
)
def test_read_csv_names_what_is_no_text(tmp_path, data, message):
    (tmp_path / "a.csv").write_bytes(data)
    with pytest.raises(UnreadableError, match=rf"a\.csv: cannot be read .*{message}"):
        read_csv(tmp_path / "a.csv", None, 500.0, "mV")


@pytest.mark.parametrize("separator", [",", ";", "\t", " "])
@pytest.mark.parametrize("decimal", [".", ","])
@given(values=st.lists(st.floats(-9, 9).map(lambda x: round(x, 4)), min_size=4, max_size=40), data=st.data())
def test_read_csv_inverts_writing(tmp_path_factory, separator, decimal, values, data):
    """Whatever the separator and the decimal sign are, the file is read rightly or refused."""
    n_leads = data.draw(st.integers(1, 3))
    table = np.resize(values, (max(5, len(values) // n_leads), n_leads))
    header = data.draw(st.booleans())
    rows = [[f"{value:.4f}".replace(".", decimal) for value in row] for row in table]
    lines = [list(STANDARD_LEADS[:n_leads])] * header + rows
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    path.write_text("\n".join(map(separator.join, lines)) + "\n")
    try:
        signal = read_csv(path, STANDARD_LEADS[:n_leads], 500.0, "mV").signal
    except UnreadableError:
        # Commas that separate decimals and cells alike, or that a single column of decimals has.
        assert decimal == ","
        assert separator in ", " or n_leads == 1
        return
    np.testing.assert_array_equal(signal, table.T.astype(np.float32))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("I,aVR\n1,2\n", ["I", "aVR"]),
        ("time;I (mV);aVR\n0;1;2\n", ["I", "aVR"]),
        (",I\n0,1\n", ["I"]),
        ("0,1,2\n5,6,7\n", None),
        ("1.5,2\n", None),
        ("", None),
    ],
)
def test_read_csv_header_gives_the_names_of_the_leads(tmp_path, text, names):
    assert read_csv_header(write(tmp_path / "a.csv", text)).leads == names


def test_read_csv_header_states_the_rate_only_with_a_unit_of_time(tmp_path):
    headers = {"time (s),I\n": True, "ms,I\n": True, "time,I\n": False, "I,II\n": False, "timestamp,I\n": False}
    for header, expected in headers.items():
        assert read_csv_header(write(tmp_path / "a.csv", f"{header}0,1\n1,2\n")).states_rate is expected
    assert read_csv_header(write(tmp_path / "a.csv", "timestamp,I\n2020-01-01T00:00:00.000,1\n")).states_rate


def test_read_csv_reads_the_encoding_of_windows(tmp_path):
    (tmp_path / "a.csv").write_bytes("Zeit [s];I [µV];aVR [µV]\n0;1500;-4\n0,002;2,5;7\n".encode("cp1252"))
    recording = read_csv(tmp_path / "a.csv", None, 500.0, "mV")
    assert recording.leads == ("I", "aVR")
    np.testing.assert_array_equal(recording.signal, np.array([[1.5, 0.0025], [-0.004, 0.007]], dtype=np.float32))


@pytest.mark.parametrize("end", ["\r\r\n", "\n\n"])
def test_read_csv_reads_double_spaced_files(tmp_path, end):
    (tmp_path / "a.csv").write_bytes(end.join(["I,II", "1,2", "3,4", "5,6", ""]).encode())
    assert read_csv(tmp_path / "a.csv", None, 500.0, "mV").signal.tolist() == [[1, 3, 5], [2, 4, 6]]
    (tmp_path / "a.csv").write_bytes((end.join(["I,II", "1,2", "3,4", "5,6"]) + "\n7,8\n").encode())
    with pytest.raises(UnreadableError, match="is blank, between samples"):
        read_csv(tmp_path / "a.csv", None, 500.0, "mV")


@pytest.mark.parametrize("name", ["X", "I", "aika"])
def test_read_csv_refuses_times_and_row_numbers_under_the_name_of_a_lead(tmp_path, name):
    rows = [f"{name},II", *(f"{i / 500},{i % 7}" for i in range(200))]
    with pytest.raises(
        UnreadableError, match=rf"lead {name} rises from each sample to the next, 0, 0.002, …, as times"
    ):
        read_csv(write(tmp_path / "a.csv", "\n".join(rows)), None, 500.0, "mV")


@pytest.mark.parametrize("header", ["Sample #", "sample no.", "Nr", "Row number", "Unnamed: 0"])
def test_read_csv_leaves_out_row_numbers(tmp_path, header):
    rows = [f"{header},II", *(f"{i},{i % 7}" for i in range(200))]
    assert read_csv(write(tmp_path / "a.csv", "\n".join(rows)), None, 500.0, "mV").leads == ("II",)


def test_read_csv_takes_counts_by_their_gain(tmp_path):
    assert read_csv(write(tmp_path / "a.csv", "I,II\n100,-200\n"), None, 500.0, "200/mV").signal.tolist() == [
        [0.5],
        [-1],
    ]


@pytest.mark.parametrize("separator", [";", "\t", ","])
def test_read_csv_refuses_points_that_may_be_of_thousands(tmp_path, separator):
    """As spreadsheets of some countries write whole numbers; far below the first lines, too."""
    rows = ["I,II", *["-345,12"] * 200, "1.050,999", "999,-2.160"]
    path = write(tmp_path / "a.csv", "\n".join(rows).replace(",", separator) + "\n")
    with pytest.raises(
        UnreadableError, match=r"'1\.050' beside whole numbers may have a decimal point or one of thous"
    ):
        read_csv(path, None, 500.0, "uV")
    assert read_csv(path, None, 500.0, "mV", decimal=".").signal[0, 200] == np.float32(1.05)


@pytest.mark.parametrize(
    "text", ["I,II\n1.050,2\n0.5,1\n", "I,II\n1.050,2.125\n1.999,1.000\n", "I,II\n1,1.050\n2,3.500\n"]
)
def test_read_csv_takes_points_for_decimal_where_only_that_fits(tmp_path, text):
    assert read_csv(write(tmp_path / "a.csv", text), None, 500.0, "mV").signal.max() < 4


@pytest.mark.parametrize("form", ["{}_uV", "{}/uV", "{} {{uV}}", "{} in uV", "{}(uV)", "ECG {} [µV]"])
def test_read_csv_knows_units_in_names_without_brackets(tmp_path, form):
    path = write(tmp_path / "a.csv", f"{form.format('I')},{form.format('II')}\n1000,2000\n")
    recording = read_csv(path, None, 500.0, "mV")
    assert (recording.leads, recording.signal.tolist()) == (("I", "II"), [[1], [2]])


@pytest.mark.parametrize("unit", ["(counts)", "[adu]", "(200/mV)", "(ADC)"])
def test_read_csv_refuses_counts_as_millivolts(tmp_path, unit):
    with pytest.raises(UnreadableError, match="holds counts, not a voltage"):
        read_csv(write(tmp_path / "a.csv", f"I {unit},II {unit}\n1000,2000\n"), None, 500.0, "mV")


def _samples(n=200):
    return [(f"{(i * 7 % 11) / 10 - 0.5:.1f}", f"{(i * 3 % 7) / 10 - 0.3:.1f}") for i in range(n)]


def _check_read(path, n=200, rate=500.0, unit="mV", notes=None):
    """Read a file of `_samples` in mV, and compare all of them."""
    recording = read_csv(path, None, rate, unit)
    assert recording.leads == ("I", "II")
    assert recording.sampling_rate == 500
    np.testing.assert_array_equal(recording.signal, np.array(_samples(n), dtype=np.float64).T.astype(np.float32))
    if notes is not None:
        assert recording.notes == notes


def _day_times(n=200, begin=86399.9):
    """Dates and clock times of 500 Hz, in the last and perhaps the first second of a day."""
    for i in range(n):
        day, second = divmod(begin + i / 500, 86400)
        yield 3 + int(day), f"{int(second // 3600):02}:{int(second // 60) % 60:02}:{second % 60:06.3f}"


@pytest.mark.parametrize("rate", [500.0, None])
@pytest.mark.parametrize("begin", [40000.0, 86399.9], ids=["noon", "midnight"])
@pytest.mark.parametrize(
    ("header", "form"),
    [
        ("Time,I,II", "{clock},{I},{II}"),
        ("Date,Time,I,II", "{day:02}.04.2021,{clock},{I},{II}"),
        ("Datum;Uhrzeit;I;II", "{day}/4/2021;{comma};{I};{II}"),
        ("date\ttime\tI\tII", "2021-04-{day:02}\t{clock}\t{I}\t{II}"),
        ("Time,I,II", "{day:02}.04.2021 {clock},{I},{II}"),
        ("Time,I,II", "4/{day}/2021 {clock},{I},{II}"),
        ("Time,I,II", "2021-04-{day:02} {clock},{I},{II}"),
        ("Time,I,II", '"{comma}",{I},{II}'),
        ("Time;I;II", "'{comma}';{I};{II}"),
    ],
)
def test_read_csv_reads_dates_and_clock_times_also_over_midnight(tmp_path, header, form, begin, rate):
    rows = [
        form.format(day=day, clock=clock, comma=clock.replace(".", ","), I=one, II=two)
        for (day, clock), (one, two) in zip(_day_times(begin=begin), _samples(), strict=True)
    ]
    _check_read(write(tmp_path / "a.csv", "\n".join([header, *rows])), rate=rate)


@pytest.mark.parametrize(
    ("date", "message"),
    [
        (lambda day: f"{3 if day == 3 else 5}.04.2021", "column Time: the date 5.04.2021 does not follow 3.04.2021"),
        (lambda day: "03.04.2021", r"column Time does not rise from 86399.9 to 0\.298"),
    ],
)
def test_read_csv_compares_dates_with_midnight(tmp_path, date, message):
    rows = [
        f"{date(day)},{clock},{one},{two}" for (day, clock), (one, two) in zip(_day_times(), _samples(), strict=True)
    ]
    with pytest.raises(UnreadableError, match=message):
        read_csv(write(tmp_path / "a.csv", "\n".join(["Date,Time,I,II", *rows])), None, 500.0, "mV")


@pytest.mark.parametrize(
    ("above", "rate", "notes"),
    [
        ("\n\nI,II", 500.0, ()),
        (",\nI,II", 500.0, None),
        ("Patient: 7\nRecorder X, of 2020\n\nI,II", 500.0, ("2 lines above the header left out",)),
        ("Name,7\nMade,2020\nI,II\nmV,mV", 500.0, ("2 lines above the header left out",)),
        (
            "Sampling rate: 500 Hz\nI,II",
            None,
            ("1 line above the header left out", "sampling rate 500 Hz by a line above the samples"),
        ),
        ("# fs = 0.5 kHz\nI,II", None, ("sampling rate 500 Hz by a line above the samples",)),
        ("Abtastrate [Hz],500\nEinheit,mV\nI,II", 500.0, None),
        ("# I,II", 500.0, ()),
        ("I,II\n# mV,mV", 500.0, ()),
    ],
)
def test_read_csv_reads_what_stands_above_the_samples(tmp_path, above, rate, notes):
    rows = [",".join(row) for row in _samples()]
    _check_read(write(tmp_path / "a.csv", "\n".join([above, *rows])), rate=rate, notes=notes)


@pytest.mark.parametrize("above", ["Units: uV\nI,II", "# unit=uV\nI,II", "I,II\n# uV,uV", "I,II\nuV,uV"])
def test_read_csv_takes_units_above_the_samples(tmp_path, above):
    path = write(tmp_path / "a.csv", f"{above}\n1000,2000\n-1000,0\n")
    assert read_csv(path, None, 500.0, "mV").signal.tolist() == [[1, -1], [2, 0]]
    with pytest.raises(UnreadableError, match="states the unit uV, not nV"):
        read_csv(path, None, 500.0, "nV")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Sampling rate: 250 Hz\nI,II\n1,2\n3,4\n", "a line above its samples states 250 Hz, not 500 Hz"),
        ("# fs=250\n# sampling rate 500 Hz\nI,II\n1,2\n3,4\n", "state two sampling rates, 250.0 and 500.0"),
        ("Recorder X\nI,II\n1,2,3\n4,5,6\n", "header has 2 names for 3 columns"),
        ("I,II\n1,2\noff,on\n3,4\n5,6\n", "line 3, column 1 holds 'off'"),
    ],
)
def test_read_csv_refuses_lines_above_the_samples_that_contradict_them(tmp_path, text, message):
    with pytest.raises(UnreadableError, match=message):
        read_csv(write(tmp_path / "a.csv", text), None, 500.0, "mV")


@pytest.mark.parametrize(
    ("header", "cells"),
    [
        ("HR", "72"),
        ("HF", "72,5".replace(",", ".")),
        ("SpO2 [%]", "98"),
        ("Marker", "True"),
        ("Event", "N"),
        ("Event", ""),
        ("Event", '"A, then B"'),
        ("annotation", "AF"),
        ("Puls (1/min)", "72"),
        ("heart rate", ""),
        ("acc_x", "0.1"),
        ("Temp [°C]", "36.5"),
    ],
)
def test_read_csv_leaves_out_what_is_no_lead(tmp_path, header, cells):
    rows = [f"{one},{cells},{two}" for one, two in _samples()]
    path = write(tmp_path / "a.csv", "\n".join([f"I,{header},II", *rows]))
    _check_read(path, notes=(f"left out as no leads: {header.split(' [')[0].split(' (')[0]}",))


def test_read_csv_refuses_text_and_truth_in_leads_beside_columns_that_may_have_them(tmp_path):
    with pytest.raises(UnreadableError, match="line 3 holds 'True', which is not a number"):
        read_csv(write(tmp_path / "a.csv", "I,Event\n0.5,x\nTrue,x\n"), None, 500.0, "mV")


@pytest.mark.parametrize(
    ("header", "leads"),
    [
        ("V 1,Ableitung I,aV R", ("V1", "I", "aVR")),
        ("V 1 [mV],Ableitung I [mV],aVR [mV]", ("V1", "I", "aVR")),
        ("I,II,C1,C2,C3,C4,C5,C6", ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")),
        ("I,C3,C4", ("I", "C3", "C4")),
    ],
)
def test_read_csv_reads_names_of_leads_as_people_write_them(tmp_path, header, leads):
    row = ",".join("0.5" for _ in leads)
    assert read_csv(write(tmp_path / "a.csv", f"{header}\n{row}\n{row}\n"), None, 500.0, "mV").leads == leads


@pytest.mark.parametrize("start", [0, 1])
def test_read_csv_refuses_a_first_row_that_may_be_a_sample(tmp_path, start):
    """Of counts near to those that follow; far from them it is a header."""
    first = f"{start},{start + 1},{start + 2}"
    near = "\n".join([first, *(f"{i % 7 - 3},{i % 5},{i % 4}" for i in range(50))])
    with pytest.raises(UnreadableError, match=f"its first row, {first}, may be column numbers or a sample"):
        read_csv(write(tmp_path / "a.csv", near), ["I", "II", "III"], 500.0, "uV")
    far = "\n".join([first, *(f"{900 + i % 7},{900 + i % 5},{900 + i % 4}" for i in range(50))])
    assert read_csv(write(tmp_path / "a.csv", far), ["I", "II", "III"], 500.0, "uV").signal.shape == (3, 50)


def test_read_csv_says_that_whole_values_may_be_microvolts(tmp_path):
    path = write(tmp_path / "a.csv", "I\n" + "".join(f"{i % 41 - 50}\n" for i in range(300)))
    with pytest.raises(UnreadableError, match=r"in µV, or as of counts .*; give the unit uV, or of counts 1\(-31\)/mV"):
        read_csv(path, None, 500.0, "mV")


@pytest.mark.parametrize(("unit", "offset"), [("200/mV", 2048), ("1000/mV", 32768), ("uV", 2048), ("200/mV", 1024)])
def test_read_csv_refuses_counts_with_an_offset_that_is_not_stated(tmp_path, unit, offset):
    rows = "".join(f"{offset + i % 41},{offset - i % 23}\n" for i in range(300))
    path = write(tmp_path / "a.csv", f"I,II\n{rows}")
    gain = unit.split("/")[0] if "/" in unit else "1000"
    with pytest.raises(UnreadableError, match=rf"as of counts with an offset; give the unit {gain}\({offset}\)/mV, or"):
        read_csv(path, None, 500.0, unit)
    signal = read_csv(path, None, 500.0, f"{gain}({offset})/mV").signal
    np.testing.assert_allclose(signal[:, 22], np.array([22, -22]) / float(gain), rtol=1e-6)
    kept = read_csv(path, None, 500.0, f"{gain}(0)/mV").signal
    np.testing.assert_allclose(kept[:, 0], offset / float(gain), rtol=1e-6)


def test_holds_voltages_tells_samples_from_a_table(tmp_path):
    assert holds_voltages(write(tmp_path / "a.csv", "ECG,annotation\n0.5,N\n-0.2,N\n"))
    assert not holds_voltages(write(tmp_path / "a.csv", "ECG,annotation\n12,N\n13,AF\n"))
    assert not holds_voltages(write(tmp_path / "a.csv", "ECG,annotation\na-1,N\nb.c,AF\n"))


_WATCH = """Name,"Ada, L."
Recorded Date,2021-03-04 10:11:12 +0100
Classification,Sinus Rhythm
Symptoms,
Device,"Watch6,1"
Sample Rate,512.414 hertz


Lead,Lead I
Unit,µV

"""
_UHR = _WATCH.replace("Sample Rate,512.414 hertz", 'Messrate,"512,414 Hertz"').replace(
    "Lead,Lead", "Ableitung,Ableitung"
)


@pytest.mark.parametrize(
    ("above", "values"),
    [
        (_WATCH, "1000.5\n-20\n0.25\n"),
        (_UHR.replace("Unit", "Einheit"), "1000,5\n-20\n0,25\n"),
        (_UHR.replace("Unit", "Einheit"), '"1000,5"\n"-20"\n"0,25"\n'),
        (_WATCH.replace(",", ";"), "1000.5\n-20\n0.25\n"),
    ],
)
def test_read_csv_reads_the_ecg_of_a_watch(tmp_path, above, values):
    recording = read_csv(write(tmp_path / "a.csv", above + values), None, None, "mV")
    assert (recording.leads, recording.sampling_rate) == (("I",), 512.414)
    np.testing.assert_allclose(recording.signal, [[1.0005, -0.02, 0.00025]], rtol=1e-6)


def test_read_csv_compares_the_rate_of_a_watch(tmp_path):
    with pytest.raises(UnreadableError, match=r"states 512\.414 Hz, not 512 Hz"):
        read_csv(write(tmp_path / "a.csv", _WATCH + "1.5\n2\n"), ["I"], 512.0, "mV")


def test_read_csv_leaves_out_times_of_arrival_beside_those_of_samples(tmp_path):
    rows = [f"2023-05-04T10:00:0{i // 73};{599616217123456789 + i * 7692308};{i};{i % 7}" for i in range(200)]
    text = "\n".join(["Phone timestamp;sensor timestamp [ns];Sample #;ecg [uV]", *rows])
    recording = read_csv(write(tmp_path / "a.csv", text), None, None, "mV")
    assert (recording.leads, recording.sampling_rate) == (("ecg",), 130.0)
    assert recording.notes == ("left out as no leads: Phone timestamp", "sampling rate 130 Hz by its times")


def test_read_csv_takes_columns_without_unit_for_no_leads(tmp_path):
    text = "Clock\tECG\tECG status\nms\tuV\tno_units\n0\t1000\t128\n2\t-1000\t128\n"
    recording = read_csv(write(tmp_path / "a.csv", text), None, 500.0, "mV")
    assert recording.leads == ("ECG",)
    assert recording.signal.tolist() == [[1, -1]]


@pytest.mark.parametrize("name", ["record", "patient_id", "ID", "Exam No", "beat"])
def test_read_csv_refuses_several_recordings_in_one_file(tmp_path, name):
    alike = read_csv(write(tmp_path / "a.csv", f"{name},I,class\n7,1,0\n7,2,1\n"), None, 500.0, "mV")
    assert alike.leads == ("I",)
    assert alike.notes == (f"left out as no leads: {name}, class",)
    with pytest.raises(UnreadableError, match=f"its column {name} has 7 and 8, as of several recordings"):
        read_csv(write(tmp_path / "b.csv", f"{name},I\n7,1\n8,2\n"), None, 500.0, "mV")


def test_read_csv_names_a_table_of_one_recording_a_line(tmp_path):
    line = ",".join(["0.5"] * 187) + ",0\n"
    with pytest.raises(UnreadableError, match=r"its lines hold 188 numbers, not 1 lead.*records, 1, samples"):
        read_csv(write(tmp_path / "a.csv", line * 3), ["II"], 125.0, "mV")


def test_read_csv_takes_the_minus_of_typography(tmp_path):
    recording = read_csv(write(tmp_path / "a.csv", "\u2160,\u2161\n\u22121.5,2\n1,\u22122\n"), None, 500.0, "mV")
    assert recording.leads == ("I", "II")
    assert recording.signal.tolist() == [[-1.5, 1], [2, -2]]


def test_read_csv_refuses_counts_whose_gain_stands_above_them(tmp_path):
    path = write(tmp_path / "a.csv", "Resolution: 5 uV/bit\nI,II\n100,200\n-100,0\n")
    assert read_csv(path, None, 500.0, "0.2/uV").signal.tolist() == [[0.5, -0.5], [1, 0]]
    for unit in ("mV", "uV", "100/mV"):
        with pytest.raises(UnreadableError, match=f"states the gain 0.2/uV.*not {unit}; give the unit 0.2/uV"):
            read_csv(path, None, 500.0, unit)
    # Voltages, not counts.
    path = write(tmp_path / "b.csv", "Resolution: 5 uV/bit\nI,II\n0.1,0.2\n-0.1,0\n")
    assert read_csv(path, None, 500.0, "mV").signal[0, 0] == np.float32(0.1)


@pytest.mark.parametrize(("above", "unit"), [("# Unit: mV\n", "mV"), ("", "200/mV")])
def test_read_csv_refuses_more_columns_than_names_also_of_counts_with_an_offset(tmp_path, above, unit):
    rows = "".join(f"{number % 7 - 3},{number % 5 - 2},{2048 + number % 90}\n" for number in range(120))
    write(tmp_path / "a.csv", above + rows)
    with pytest.raises(UnreadableError, match=r"its signal has shape \[3, 120\], not \[2 leads, samples\]"):
        read_csv(tmp_path / "a.csv", ["I", "II"], 500.0, unit)


def written(tmp_path, *above, scale=1.0, header="I,II"):
    """A CSV file of 200 samples of two leads below some lines; of whole numbers with the scale 1."""
    samples = np.random.default_rng(0).integers(-300, 300, (200, 2)) * scale
    rows = [",".join(f"{value:g}" for value in row) for row in samples]
    (tmp_path / "a.csv").write_text("\n".join([*above, header, *rows, ""]))
    return tmp_path / "a.csv"


@pytest.mark.parametrize("above", ["# 250 Hz", "Rate: 250", "Sampling,250", "ECG 250 Hz, filter 150 Hz"])
def test_read_csv_compares_what_is_likely_a_rate_with_the_one_given(tmp_path, above):
    path = written(tmp_path, above, scale=0.001)
    assert read_csv(path, None, 250.0, "mV").sampling_rate == 250
    with pytest.raises(
        UnreadableError, match=r"a line above its samples has 250, likely their rate in Hz, and not 500 Hz"
    ):
        read_csv(path, None, 500.0, "mV")


def test_read_csv_believes_a_stated_rate_before_a_likely_one(tmp_path):
    path = written(tmp_path, "# board of 250 Hz", "Sampling rate: 500 Hz", scale=0.001)
    assert read_csv(path, None, 500.0, "mV").sampling_rate == 500


def test_read_csv_refuses_whole_numbers_below_a_gain_without_a_unit(tmp_path):
    path = written(tmp_path, "ADC gain: 200")
    with pytest.raises(UnreadableError, match=r"states the gain 200, and these are whole numbers, counts, not uV"):
        read_csv(path, None, 500.0, "uV")
    signal = read_csv(path, None, 500.0, "200/mV").signal
    assert np.array_equal(signal, read_csv(written(tmp_path), None, 500.0, "200/mV").signal)
    assert read_csv(written(tmp_path, "ADC gain: 200", scale=0.001), None, 500.0, "mV").signal.shape == (2, 200)
    assert read_csv(written(tmp_path, "Gain: 24", header="I (uV),II (uV)"), None, 500.0, "mV").signal.shape == (2, 200)
