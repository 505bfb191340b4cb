"""What all sources have in common: they refuse other folders, and their import is light."""

import subprocess
import sys

import pytest
from tests.published_files import write

from lfbt.errors import LfbtError
from lfbt.sources import SOURCES, published_as


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
    code = "import sys, lfbt.sources; print(sorted({'h5py', 'pandas', 'wfdb', 'scipy', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize("name", [name for name in SOURCES if name not in ("folder", "synthetic")])
def test_published_as_has_plausible_numbers_of_every_published_source(name):
    published = published_as(name)
    assert published is not None
    assert published.where.startswith("http")
    assert published.records >= (published.patients or 1) > 0
    # The default comes first.
    default = getattr(SOURCES[name](), "labels", "none")
    assert published.labels.replace(",", "").split()[0] == default


def test_published_as_has_nothing_of_own_and_synthetic_records():
    assert published_as("folder") is published_as("synthetic") is None
