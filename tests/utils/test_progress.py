"""Progress bars, on a terminal and without one."""

import io

from lfbt.utils.progress import progress_bar, track


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
