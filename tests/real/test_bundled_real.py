"""The encoder that comes with lfbt on real recordings: those that it learned from are refused, others are not."""

from pathlib import Path

import numpy as np
import pytest

from lfbt.audit.leakage import check_leakage, write_fingerprints
from lfbt.data.layouts import open_dataset
from lfbt.data.preparation import prepare_dataset
from lfbt.data.records import PrepareSettings
from lfbt.errors import LfbtError
from lfbt.runs.encoder_folder import BUNDLED
from lfbt.sources import Challenge, Folder, PtbXl

CHECKPOINT = Path(BUNDLED)


def links(files, folder):
    folder.mkdir()
    for file in files:
        (folder / file.name).symlink_to(file)
    return folder


def prepared(source, kind, folder, target):
    prepare_dataset(source, kind, folder, target, PrepareSettings(workers=1))
    dataset = open_dataset(target)
    return dataset, np.arange(len(dataset))


@pytest.mark.parametrize(
    ("source", "kind", "place"),
    [(Folder(), "folder", "cinc2011/acceptable"), (Challenge(), "challenge", "challenge")],
)
def test_check_leakage_refuses_records_of_its_training_in_another_form(shared_data, tmp_path, source, kind, place):
    """Eight leads and 2048 samples, where the encoder had twelve and 1024."""
    files = sorted(path for path in (shared_data / place).iterdir() if not path.name.startswith("HR"))[:8]
    dataset, rows = prepared(source, kind, links(files, tmp_path / "files"), tmp_path / "data")
    with pytest.raises(LfbtError, match=rf"{len(rows)} of {len(rows)} test records .* that {BUNDLED} has learned from"):
        check_leakage(CHECKPOINT, dataset, rows, allowed=False)
    # An encoder fine-tuned from it knows them, too.
    write_fingerprints(CHECKPOINT, tmp_path / "tuned" / "encoder", dataset, None)
    with pytest.raises(LfbtError, match="has learned from"):
        check_leakage(tmp_path / "tuned", dataset, rows, allowed=False)


def test_check_leakage_finds_none_of_ptb_xl(shared_data, tmp_path):
    dataset, rows = prepared(PtbXl(), "ptbxl", shared_data / "ptbxl", tmp_path / "data")
    assert len(rows) == 415
    check_leakage(CHECKPOINT, dataset, rows, allowed=False)
