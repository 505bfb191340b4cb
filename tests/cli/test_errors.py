"""How a command ends: exit status and one line on stderr."""

import pytest

from lfbt.cli.errors import is_main, reporting_errors
from lfbt.errors import LfbtError, UnreadableError
from lfbt.utils.interrupts import StoppedError

OUT_OF_MEMORY = "lfbt: error: out of memory; take a smaller --batch-size, or fewer --workers\n"


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (LfbtError("epochs: 0 is outside [1, inf)"), 2, "lfbt: error: epochs: 0 is outside [1, inf)\n"),
        (UnreadableError("a\nb.hea: cannot  be read"), 2, "lfbt: error: a b.hea: cannot be read\n"),
        (OSError("disk full"), 2, "lfbt: error: disk full\n"),
        (MemoryError(), 2, OUT_OF_MEMORY),
        (RuntimeError("CUDA out of memory"), 2, OUT_OF_MEMORY),
        (StoppedError("saved; resume with --resume"), 75, "lfbt: saved; resume with --resume\n"),
        (KeyboardInterrupt(), 130, "lfbt: interrupted\n"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_reporting_errors_ends_with_a_status_and_one_line(error, status, line, capsys):
    with pytest.raises(SystemExit) as caught, reporting_errors():
        raise error
    assert caught.value.code == status
    assert capsys.readouterr() == ("", line)


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
