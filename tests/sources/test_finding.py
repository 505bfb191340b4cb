"""Recognising the source whose published form a folder has."""

import pytest
from tests.published_files import write, write_wfdb

from lfbt.errors import LfbtError
from lfbt.sources import Challenge, PtbXl


@pytest.mark.parametrize(
    ("file", "fitting"),
    [
        ("ptbxl_database.csv", "ptbxl"),
        ("REFERENCE.csv", "cpsc2018"),
        ("Diagnostics.xlsx", "chapman"),
        ("x.npy", "folder"),
        ("synthetic.json", "synthetic"),
        ("record_list.csv", "mimic-iv-ecg"),
        ("exams_part17.hdf5", "code15"),
        ("exams_part3.zip", "code15"),
        ("ecg_tracings.hdf5", "code-test"),
        ("exams.hdf5", "sami-trop"),
        ("patient001/s0010_re.hea", "ptb"),
        ("I01.hea", "incart"),
    ],
)
def test_not_found_names_the_source_that_might_fit(tmp_path, file, fitting):
    write(tmp_path / "sub" / file, "")
    with pytest.raises(LfbtError, match=f"the source {fitting} might fit|is a download of {fitting}; prepare it with"):
        Challenge().listing(tmp_path)
    write_wfdb(tmp_path / "wfdb", "A1")
    write(tmp_path / "wfdb" / "A1.mat", "")
    with pytest.raises(LfbtError, match="the source challenge might fit"):
        PtbXl().listing(tmp_path / "wfdb")
