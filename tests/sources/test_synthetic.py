"""Synthetic ECG as a source: its folder is written once."""

import pytest
from tests.published_files import write

from lfbt.errors import LfbtError
from lfbt.sources import Synthetic


def test_synthetic_writes_a_folder_once_and_lists_it_again(tmp_path):
    folder = tmp_path / "new" / "download"
    listing = Synthetic(records=14, seed=3).listing(folder)
    before = {file: file.stat().st_mtime_ns for file in folder.rglob("*")}
    assert listing.label_rule.startswith("SYNTHETIC")
    assert len(listing.entries) == 14
    assert listing.classes == ("NORM", "MI", "STTC", "CD", "HYP")
    assert [*(tmp_path / "new").iterdir()] == [folder]
    assert Synthetic(records=14, seed=3).listing(folder) == listing
    assert {file: file.stat().st_mtime_ns for file in folder.rglob("*")} == before
    assert listing.entries[0].read().signal.shape == (12, 5000)
    unlabelled = Synthetic(records=14, seed=3, labels="none").listing(folder)
    assert (unlabelled.classes, unlabelled.label_rule[:9]) == ((), "SYNTHETIC")


def test_synthetic_refuses_other_folders(tmp_path):
    Synthetic(records=2).listing(tmp_path / "a")
    with pytest.raises(LfbtError, match="records 2, seed 0, not version 1, records 3, seed 0"):
        Synthetic(records=3).listing(tmp_path / "a")
    with pytest.raises(LfbtError, match="seed 0, not version 1, records 2, seed 1"):
        Synthetic(records=2, seed=1).listing(tmp_path / "a")
    write(tmp_path / "b" / "x.txt", "")
    with pytest.raises(LfbtError, match=r"holds no synthetic records \(no synthetic\.json\)"):
        Synthetic().listing(tmp_path / "b")
    with pytest.raises(LfbtError, match="records: 0 is not 1 to"):
        Synthetic(records=0).listing(tmp_path / "c")
    assert not (tmp_path / "c").exists()
