"""Unknown words, and how a process ends: its status and its one line on stderr."""

import subprocess
import sys

import pytest
from tests.helpers_cli import everything, refused, run

from lfbt.cli.app import COMMANDS


def test_main_keeps_a_message_on_one_line(tmp_path):
    assert f"{tmp_path}/a b does not exist" in refused("prepare", "ptbxl", tmp_path / "a\nb", tmp_path / "to")


@pytest.mark.parametrize("word", ["--frobnicate", "x", ""])
def test_main_refuses_an_unknown_command_with_the_known_ones(word):
    assert refused(word) == f"{word!r} is no command; commands are {', '.join(COMMANDS)}"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("pretrain", "--run-dir", "x"), "--data-dir"),
        (("pretrain", "--data-dir", "x", "--run-dir", "y", "--gama", "1"), "--gama"),
        (("pretrain", "--data-dir", "x", "--run-dir", "y", "--gamma", "much"), "--gamma"),
        (("prepare", "ptbxl", "x"), "TO"),
        (("prepare", "ptbxl", "x", "y", "--layout", "zip"), "--layout"),
        (("probe", "--data-dir", "x"), "--run-dir"),
    ],
    ids=str,
)
def test_main_names_unknown_options(tmp_path, monkeypatch, words, told):
    monkeypatch.chdir(tmp_path)
    status, _, err = run(*words)
    assert status == 2
    assert told in err
    assert "Traceback" not in err
    assert everything(tmp_path) == []


def test_main_ends_with_status_2_and_one_line(tmp_path):
    words = [sys.executable, "-m", "lfbt", "prepare", "ptbxl", str(tmp_path / "absent"), str(tmp_path / "to")]
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    expected = f"lfbt: error: folder: {tmp_path}/absent does not exist; give the folder that holds the download\n"
    assert ended.stderr == expected
    assert everything(tmp_path) == []
