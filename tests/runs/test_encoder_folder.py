"""Where an encoder's files are: in run folders, in folders of their own, and in the package by name."""

from pathlib import Path

import pytest

import lfbt
from lfbt.errors import LfbtError
from lfbt.runs.encoder_folder import BUNDLED, encoder_folder, is_bundled


def test_encoder_folder_of_a_run_folder_is_inside(tmp_path):
    (tmp_path / "encoder").mkdir()
    assert encoder_folder(tmp_path) == tmp_path / "encoder"
    assert encoder_folder(tmp_path / "encoder") == tmp_path / "encoder"


def test_encoder_folder_leaves_files_and_what_is_absent_as_they_are(tmp_path):
    (tmp_path / "x.pth").touch()
    for path in (tmp_path / "x.pth", tmp_path / "absent", tmp_path):
        assert encoder_folder(path) == path


def test_encoder_folder_of_the_name_is_in_the_package(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = encoder_folder(Path(BUNDLED))
    assert folder.is_relative_to(Path(lfbt.__file__).parent)
    assert (folder / "model.safetensors").is_file()
    assert not is_bundled(tmp_path / BUNDLED)


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_is_bundled_refuses_a_name_that_is_also_a_path(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / BUNDLED
    path.touch() if kind == "file" else path.mkdir()
    for find in (is_bundled, encoder_folder):
        with pytest.raises(LfbtError, match=f"checkpoint: {BUNDLED} is the encoder .* also a path .*; give {path} to"):
            find(Path(BUNDLED))
    assert encoder_folder(path) == path
