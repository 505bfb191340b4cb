"""Chapman-Shaoxing, on a tiny download in its published form."""

import numpy as np
import openpyxl
import pytest
from tests.published_files import RNG, drops, ids, sent, write

from lfbt.errors import LfbtError
from lfbt.recording import STANDARD_LEADS
from lfbt.sources import Chapman


def write_diagnostics(path, rows, columns=("FileName", "Rhythm", "Beat")):
    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    for row in (columns, *rows):
        sheet.append(row)
    path.parent.mkdir(parents=True, exist_ok=True)
    book.save(path)


ELEVEN = ["SB", "SR", "AFIB", "ST", "SVT", "AF", "SA", "AT", "AVNRT", "AVRT", "SAAWR"]


def test_chapman_merges_rhythms_and_gives_mv(tmp_path):
    write_diagnostics(tmp_path / "Diagnostics.xlsx", [(f"R{n}", rhythm, "NONE") for n, rhythm in enumerate(ELEVEN)])
    steps = RNG.integers(-900, 900, (12, 30))
    body = "\n".join(",".join(map(str, row)) for row in steps.T) + "\n"
    for n in range(10):
        header = ",".join(lead.upper() for lead in STANDARD_LEADS[::-1]) + "\n"
        write(tmp_path / "ECGData" / f"R{n}.csv", (header if n % 2 else "") + body)
    listing = Chapman().listing(tmp_path)
    assert listing.classes == ("AFIB", "GSVT", "SB", "SR")
    merged = ["SB", "SR", "AFIB", "GSVT", "GSVT", "AFIB", "SR", "GSVT", "GSVT", "GSVT"]
    assert [entry.labels for entry in listing.entries] == [(name,) for name in merged]
    assert ids(listing) == [entry.patient for entry in listing.entries] == [f"R{n}" for n in range(10)]
    assert drops(listing) == [("R10", "R10.csv", "file absent")]
    first, second = (sent(entry).read() for entry in listing.entries[:2])
    assert (first.leads, second.leads) == (STANDARD_LEADS, STANDARD_LEADS[::-1])
    assert first.sampling_rate == 500
    for recording in (first, second):
        np.testing.assert_array_equal(recording.signal, (steps / 1000).astype(np.float32))
    rhythms = Chapman(labels="rhythm").listing(tmp_path)
    assert set(rhythms.classes) == set(ELEVEN)
    assert [entry.labels for entry in rhythms.entries] == [(name,) for name in ELEVEN[:10]]
    assert Chapman(labels="none").listing(tmp_path).classes == ()


def test_chapman_accepts_both_names_of_sinus_irregularity(tmp_path):
    write_diagnostics(tmp_path / "Diagnostics.xlsx", [("R0", "SI", "")])
    write(tmp_path / "R0.csv", "")
    assert Chapman(labels="rhythm").listing(tmp_path).entries[0].labels == ("SA",)


def test_chapman_refuses_incomplete_downloads_and_bad_tables(tmp_path):
    table = tmp_path / "Diagnostics.xlsx"
    write_diagnostics(table, [("R0", "SB", "")])
    with pytest.raises(LfbtError, match=r"not any record that Diagnostics\.xlsx names.*complete the download"):
        Chapman().listing(tmp_path)
    for folder in ("ECGData", "ECGDataDenoised"):
        write(tmp_path / folder / "R0.csv", "")
    with pytest.raises(LfbtError, match=r"R0 is a duplicate, as .*ECGData/R0\.csv and .*Denoised/R0\.csv; move one"):
        Chapman().listing(tmp_path)
    for rows, columns, message in (
        ([("R0", "VF", "")], ("FileName", "Rhythm", "Beat"), "record R0 has rhythm 'VF'; allowed: AFIB"),
        ([("R0", "SB"), ("R0", "SB")], ("FileName", "Rhythm"), "record R0 is a duplicate"),
        ([("R0", "SB")], ("File", "Rhythm"), "no column FileName among File, Rhythm"),
    ):
        write_diagnostics(table, rows, columns)
        with pytest.raises(LfbtError, match=message):
            Chapman().listing(tmp_path)
    for content in (b"", b"text"):
        table.write_bytes(content)
        with pytest.raises(LfbtError, match="cannot be read as a workbook"):
            Chapman().listing(tmp_path)
