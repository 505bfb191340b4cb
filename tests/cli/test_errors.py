"""How a command ends: exit status and one line on stderr."""

import os
import subprocess
import sys

import pytest
from tests.cli.helpers import everything, refused

from lfbt.cli.errors import is_main, reporting_errors, set_flags
from lfbt.errors import LfbtError, UnreadableError
from lfbt.utils.interrupts import StoppedError, TerminatedError

OUT_OF_MEMORY = "lfbt: error: out of memory; take a smaller --batch-size, or fewer --workers\n"


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (LfbtError("epochs: 0 is outside [1, inf)"), 2, "lfbt: error: epochs: 0 is outside [1, inf)\n"),
        (UnreadableError("a\nb.hea: cannot  be read"), 2, "lfbt: error: a b.hea: cannot be read\n"),
        (OSError("disk full"), 2, "lfbt: error: disk full\n"),
        (MemoryError(), 2, OUT_OF_MEMORY),
        (
            ModuleNotFoundError("No module named 'torch'", name="torch"),
            2,
            "lfbt: error: PyTorch is not installed, which all needs but .onnx files in predict and embed: pip install "
            "torch\n",
        ),
        (RuntimeError("CUDA out of memory"), 2, OUT_OF_MEMORY),
        (
            UnicodeEncodeError("utf-8", "id,a/b\udcff.npy, c", 8, 9, "surrogates not allowed"),
            2,
            "lfbt: error: id,a/b\\xff.npy,: is not UTF-8, and cannot be written into a file; rename it\n",
        ),
        (StoppedError("saved; resume with --resume"), 75, "lfbt: saved; resume with --resume\n"),
        (KeyboardInterrupt(), 130, "lfbt: interrupted\n"),
        (TerminatedError(15), 143, "lfbt: stopped by SIGTERM\n"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_reporting_errors_ends_with_a_status_and_one_line(error, status, line, capsys):
    with pytest.raises(SystemExit) as caught, reporting_errors():
        raise error
    assert caught.value.code == status
    assert capsys.readouterr() == ("", line)


@pytest.mark.parametrize(
    ("message", "typed"),
    [
        ("batch_size: 1 is outside [2, inf)", "--batch-size: 1 is outside [2, inf)"),
        ("leads: none given; name some", "--leads: none given; name some"),
        ("a.npy: the leads: none", "a.npy: the leads: none"),
        ("rate: none given, give leads; leads: none given", "rate: none given, give leads; --leads: none given"),
        ("give a smaller batch_size, or leads", "give a smaller --batch-size, or leads"),
        ("file x/batch_size.csv: batch_size_of, my-batch_size", "file x/batch_size.csv: batch_size_of, my-batch_size"),
        ("n_samples: 31 is outside", "n_samples: 31 is outside"),
        (
            "x: others (leads is I but was II, kind is a but was b)",
            "x: others (--leads is I but was II, kind is a but was b)",
        ),
        (
            "x: others (kind is a but was b, leads is I but was II)",
            "x: others (kind is a but was b, --leads is I but was II)",
        ),
        ("leads: leads is I but was II in x", "--leads: --leads is I but was II in x"),
        ("the encoder of x has leads, leads is what", "the encoder of x has leads, leads is what"),
    ],
    ids=str,
)
def test_reporting_errors_names_settings_as_they_are_typed(message, typed, capsys):
    with pytest.raises(SystemExit), reporting_errors():  # noqa: PT012
        set_flags({"batch_size": "--batch-size", "leads": "--leads"})
        raise LfbtError(message)
    assert capsys.readouterr().err == f"lfbt: error: {typed}\n"
    # The next command has others.
    with pytest.raises(SystemExit), reporting_errors():
        raise LfbtError("leads: none given")
    assert capsys.readouterr().err == "lfbt: error: leads: none given\n"


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), ValueError("a bug"), SystemExit(1)], ids=repr)
def test_reporting_errors_lets_other_errors_pass(error, capsys):
    with pytest.raises(type(error)) as caught, reporting_errors():
        raise error
    assert caught.value is error
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("rank", "main"), [(None, True), ("0", True), ("1", False)])
def test_is_main_is_the_first_rank(rank, main, monkeypatch, capsys):
    monkeypatch.delenv("RANK", raising=False)
    if rank is not None:
        monkeypatch.setenv("RANK", rank)
    assert is_main() is main
    # Processes that were stopped together print once.
    with pytest.raises(SystemExit), reporting_errors():
        raise StoppedError("saved")
    assert capsys.readouterr().err == ("lfbt: saved\n" if main else "")


# --- a process of its own ---


def test_main_prints_a_message_on_one_line(tmp_path):
    assert f"{tmp_path}/a b does not exist" in refused("prepare", "ptbxl", tmp_path / "a\nb", tmp_path / "to")


def test_main_refuses_a_bad_variable_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setenv("LFBT_MAX_READ_MEMORY", "8G")
    message = refused("prepare", "ptbxl", tmp_path / "absent", tmp_path / "to")
    assert message.startswith("LFBT_MAX_READ_MEMORY: '8G' is no whole number from 268435456 to ")


def test_main_ends_with_status_2_and_one_line(tmp_path):
    words = [sys.executable, "-m", "lfbt", "prepare", "ptbxl", str(tmp_path / "absent"), str(tmp_path / "to")]
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    expected = f"lfbt: error: folder: {tmp_path}/absent does not exist; give the folder that holds the download\n"
    assert ended.stderr == expected
    assert everything(tmp_path) == []


@pytest.mark.parametrize("words", [("--help",), ("--version",), ("prepare",), ("prepare", "ptbxl", "--help")], ids=str)
def test_main_ends_silently_where_the_reader_of_stdout_is_gone(words):
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "lfbt", *words]
    ended = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (141, "")


def test_reporting_errors_is_silent_about_a_closed_pipe(capsys):
    with pytest.raises(SystemExit) as caught, reporting_errors():
        raise BrokenPipeError(32, "Broken pipe")
    assert caught.value.code == 141
    assert capsys.readouterr() == ("", "")


def test_reporting_errors_works_without_a_stdout(monkeypatch):
    """As under a daemon that closed it."""
    monkeypatch.setattr("sys.stdout", None)
    with reporting_errors():
        pass
    with pytest.raises(SystemExit) as ended, reporting_errors():
        raise SystemExit(1)
    assert ended.value.code == 1
