"""What all sources have in common: they refuse other folders, and their import is light."""

import subprocess
import sys

import pytest
from tests.published_files import write

from lfbt.errors import LfbtError
from lfbt.sources import SOURCES


@pytest.mark.parametrize("name", [name for name in SOURCES if name != "synthetic"])
def test_listing_refuses_other_folders_with_what_they_hold(tmp_path, name):
    with pytest.raises(LfbtError, match=r"absent does not exist; give the folder"):
        SOURCES[name]().listing(tmp_path / "absent")
    with pytest.raises(LfbtError, match=r"is a file; give the folder"):
        SOURCES[name]().listing(write(tmp_path / "file.txt", ""))
    write(tmp_path / "full" / "a.pdf", "")
    write(tmp_path / "full" / "b.pdf", "")
    write(tmp_path / "full" / ".hidden" / "a.hea", "")
    with pytest.raises(LfbtError, match=rf"^source {name}: .*full holds 2 \.pdf, but not .*; give another folder"):
        SOURCES[name]().listing(tmp_path / "full")


def test_sources_import_no_heavy_package():
    code = "import sys, lfbt.sources; print(sorted({'pandas', 'wfdb', 'scipy', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
