"""The reader of CSV files: header rows, units, and where a file is wrong."""

import numpy as np
import pytest
from tests.published_files import write

from lfbt.errors import UnreadableError
from lfbt.io.csv import read_csv


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
        ("I;II\n1;2\n", "line 2, column 1 holds '1;2'"),
        ("I,II\n1,2\n1,2,3\n", "Expected 2 fields in line 3, saw 3"),
        ("1,2,3\n", r"shape \[3, 1\], not \[2 leads"),
        ("I,i\n1,2\n", "two of its leads are named I"),
        ("I,II\n", "No columns"),
        ("", "No columns"),
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
