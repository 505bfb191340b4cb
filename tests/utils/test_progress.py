"""Progress bars, on a terminal and without one."""

import io

import pytest

from lfbt.utils.progress import progress_bar, quiet, track, write_line


def test_track_yields_items_lazily(capsys):
    left = iter(range(3))
    items = track(left, 3, "count")
    assert next(items) == 0
    assert next(left) == 1
    assert list(items) == [2]
    assert capsys.readouterr() == ("", "")


def test_progress_bar_without_a_terminal_prints_only_lines_written_above_it(capsys):
    line = "a long line [bold]as it is[/bold] " + "x" * 200
    with progress_bar(2, "train") as bar:
        bar.advance(message="loss 1")
        bar.write(line)
    assert capsys.readouterr() == ("", line + "\n")


def test_progress_bar_that_is_not_shown_prints_nothing(capsys):
    with progress_bar(2, "train", shown=False) as bar:
        bar.write("a line")
    assert capsys.readouterr() == ("", "")


def test_bar_advance_shows_the_message_on_a_terminal(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with progress_bar(4, "train") as bar:
        bar.begin_at(1)
        bar.advance(2, message="loss 1.5")
        bar.write("a line above")
    shown = terminal.getvalue()
    assert "a line above" in shown
    assert all(text in shown for text in ("train", "3/4", "loss 1.5"))


def test_write_line_prints_on_stderr_where_shown(capsys):
    write_line("a [b]line[/b]")
    write_line("another", shown=False)
    assert capsys.readouterr() == ("", "a [b]line[/b]\n")


@pytest.mark.parametrize(
    ("seconds", "done_before", "lines"),
    [
        (29.9, 0, []),
        # A step of thirty seconds, four left.
        (30.0, 0, ["about 2 min to the end"]),
        # Those that were done before took no time now.
        (60.0, 2, ["about 2 min to the end"]),
        (60.0, 4, []),
    ],
)
def test_bar_advance_without_a_terminal_says_once_how_long_it_takes(monkeypatch, capsys, seconds, done_before, lines):
    now = [0.0]
    monkeypatch.setattr("lfbt.utils.progress.time.monotonic", lambda: now[0])
    with progress_bar(5, "train") as bar:
        bar.begin_at(done_before)
        now[0] = seconds
        bar.advance()
    assert capsys.readouterr().err.splitlines() == lines


def test_bar_advance_says_how_long_it_takes_once(monkeypatch, capsys):
    now = iter(range(0, 1000, 40))
    monkeypatch.setattr("lfbt.utils.progress.time.monotonic", lambda: next(now))
    with progress_bar(9, "train") as bar:
        for _ in range(9):
            bar.advance()
    assert capsys.readouterr().err.splitlines() == ["about 5 min to the end"]


def test_quiet_silences_bars_and_lines_while_the_block_runs(capsys):
    with quiet():
        write_line("unheard")
        with progress_bar(2, "train") as bar:
            bar.write("unheard, too")
    with quiet(False):
        write_line("heard")
    write_line("again")
    assert capsys.readouterr() == ("", "heard\nagain\n")
