"""Encoders of the hub: which names are its repositories, what is downloaded and uploaded, and refusals in one line."""

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.factories import write_checkpoint
from tests.hub import FakeHub

from lfbt.errors import LfbtError
from lfbt.models.hub import checkpoint_name, locate_encoder, take_checkpoint, upload_encoder
from lfbt.models.pretrained import load_encoder

pytest.importorskip("huggingface_hub", reason="an extra: pip install 'lfbt[hub]'")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return FakeHub(tmp_path / "hub", monkeypatch)


@pytest.fixture
def published(hub):
    """A repository with an encoder, and with files that nobody needs."""
    folder = write_checkpoint(hub.folder / "owner" / "name")
    (folder / "README.md").write_text("An encoder.")
    for name in ("pytorch_model.bin", "model.pth", "weights.pkl", "code.py"):
        (folder / name).write_bytes(b"code to run")
    return folder


@pytest.mark.parametrize("name", ["owner/name", "hf://owner/name"])
def test_locate_encoder_downloads_weights_settings_and_card_only(hub, published, name):
    folder = locate_encoder(name)
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    assert load_encoder(folder).config.leads == ("II", "V1")
    assert hub.downloads == [("owner/name", None)]


def test_locate_encoder_asks_for_a_revision(hub, published):
    locate_encoder("owner/name", revision="v1")
    assert hub.downloads == [("owner/name", "v1")]


def test_locate_encoder_takes_a_folder_of_that_name_first(hub, published, tmp_path):
    write_checkpoint(tmp_path / "owner" / "name")
    assert locate_encoder("owner/name") == Path("owner/name")
    assert hub.downloads == []
    locate_encoder("hf://owner/name")
    assert hub.downloads == [("owner/name", None)]


@pytest.mark.parametrize("name", ["lfbt-small", "a/b/c", "./owner/name", "/owner/name", "~/name", Path("owner/name")])
def test_locate_encoder_leaves_paths_alone(hub, published, name):
    assert locate_encoder(name) == Path(name)
    assert hub.downloads == []


def test_locate_encoder_does_not_take_a_mistyped_path_for_a_repository(hub, tmp_path):
    (tmp_path / "runs").mkdir()
    message = r"^checkpoint: runs/pretrian does not exist, though runs does; .* write hf://runs/pretrian for the hub$"
    with pytest.raises(LfbtError, match=message):
        locate_encoder("runs/pretrian")
    assert hub.downloads == []


@pytest.mark.parametrize("name", ["hf://", "hf://name", "hf://owner/name/more", "hf://owner/../name"])
def test_locate_encoder_refuses_what_names_no_repository(hub, name):
    with pytest.raises(LfbtError, match=r"does not name a repository of the hub; write hf://owner/name"):
        locate_encoder(name)


def test_locate_encoder_refuses_a_revision_of_a_path(hub, tmp_path):
    with pytest.raises(LfbtError, match=r"^revision: v1 has no effect on a, which is not on the hub; leave it out$"):
        locate_encoder("a", revision="v1")


def test_locate_encoder_names_the_hubs_reason_in_one_line(hub):
    with pytest.raises(
        LfbtError, match=r"^checkpoint: owner/absent does not exist here, and .*: no repository owner/absent\)$"
    ):
        locate_encoder("owner/absent")


def test_names_of_the_hub_without_its_package_name_the_command(hub, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(LfbtError, match=r"^checkpoint: owner/name does not exist here, .*; pip install 'lfbt\[hub\]'$"):
        locate_encoder("owner/name")
    with pytest.raises(LfbtError, match=r"^repo_id: .* to upload owner/name .*; pip install 'lfbt\[hub\]'$"):
        upload_encoder(tmp_path, "owner/name", private=None, commit_message="")


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """The hub's own client without network, and its cache ``models--owner--name`` with one snapshot of an encoder."""
    cache, commit = tmp_path / "cache", "0" * 40
    folder = cache / "models--owner--name"
    write_checkpoint(folder / "snapshots" / commit)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(commit)
    constants = importlib.import_module("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.chdir(tmp_path)
    return folder / "snapshots" / commit


def test_locate_encoder_takes_the_cache_without_network(offline):
    assert locate_encoder("owner/name") == offline
    with pytest.raises(LfbtError, match=r"^checkpoint: owner/other does not exist here, and cannot be had from"):
        locate_encoder("owner/other")


def test_take_checkpoint_says_what_is_taken_from_the_hub(offline, capsys):
    """A path has one slash of ``hf://``."""
    for typed in ("owner/name", "hf://owner/name"):
        assert take_checkpoint(Path(typed)) == offline
        line = f"checkpoint: owner/name@000000000000 of the Hugging Face Hub, in {offline}\n"
        assert capsys.readouterr().err == line
    assert checkpoint_name(offline) == "owner/name@000000000000"


def test_take_checkpoint_leaves_paths_and_bundled_names_alone(hub, published, tmp_path, capsys):
    write_checkpoint(tmp_path / "owner" / "name")
    for name in ("owner/name", "lfbt-small", "absent"):
        assert take_checkpoint(Path(name)) == Path(name)
    assert (hub.downloads, capsys.readouterr().err) == ([], "")


def test_upload_encoder_creates_a_repository_and_commits_once(hub, published, tmp_path):
    options: dict[str, Any] = {"private": True, "commit_message": "First"}
    url = upload_encoder(published, "me/new", **options)
    assert url == "https://huggingface.co/me/new/commit/1"
    uploaded = sorted(path.name for path in (hub.folder / "me" / "new").iterdir())
    assert uploaded == ["README.md", "config.json", "model.safetensors"]
    assert (hub.created, hub.messages) == ({"me/new": True}, ["First"])
    upload_encoder(published, "me/new", **(options | {"commit_message": "Second"}))
    assert hub.messages == ["First", "Second"]


def test_upload_encoder_names_the_hubs_reason_in_one_line(hub, published):
    hub.refuses = True
    with pytest.raises(LfbtError, match=r"^repo_id: me/new cannot be uploaded \(OSError: 401 .*\); log in with"):
        upload_encoder(published, "me/new", private=None, commit_message="")
