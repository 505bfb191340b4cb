"""Recognising the source whose published form a folder has."""

import pytest
from tests.published_files import write, write_wfdb

from lfbt.errors import LfbtError
from lfbt.sources import Challenge, PtbXl
from lfbt.sources.finding import files_below


@pytest.mark.parametrize(
    ("file", "fitting"),
    [
        ("ptbxl_database.csv", "ptbxl"),
        ("REFERENCE.csv", "cpsc2018"),
        ("Diagnostics.xlsx", "chapman"),
        ("x.npy", "folder"),
        ("synthetic.json", "synthetic"),
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


def test_files_below_follows_links_once_and_without_loops(tmp_path):
    write(tmp_path / "elsewhere" / "b" / "x.csv", "")
    write(tmp_path / "root" / "a" / "y.csv", "")
    root = tmp_path / "root"
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "again").symlink_to(tmp_path / "elsewhere" / "b")
    (root / "A").symlink_to(root / "a")
    (root / "a" / "loop").symlink_to(root)
    (tmp_path / "elsewhere" / "back").symlink_to(tmp_path)
    found = [file.relative_to(root).as_posix() for file in files_below(root)]
    assert found == ["a/y.csv", "again/x.csv"]


def test_files_below_lists_linked_files(tmp_path):
    write(tmp_path / "elsewhere" / "x.csv", "")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "x.csv").symlink_to(tmp_path / "elsewhere" / "x.csv")
    (tmp_path / "root" / "sub").symlink_to(tmp_path / "elsewhere")
    assert files_below(tmp_path / "root") == [tmp_path / "root" / "sub" / "x.csv", tmp_path / "root" / "x.csv"]
