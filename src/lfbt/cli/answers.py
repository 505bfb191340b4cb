"""The result of a command that answers recordings."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, TextIO

from lfbt.cli.errors import as_typed
from lfbt.cli.output import Output, prints_text
from lfbt.errors import LfbtError
from lfbt.inference.answer_table import format_csv, format_rows
from lfbt.inference.answering import AnswerReport
from lfbt.inference.watching import WatchSettings
from lfbt.utils.figures import format_count
from lfbt.utils.printing import printable
from lfbt.utils.tables import terminal_width

# Some recordings have no answer; the others do.
_PARTLY_STATUS = 1


def stream_of(out: Path | None) -> TextIO | None:
    """Return where rows are printed as they come: stdout if it is no terminal and gets text; else None.

    On a terminal the table is aligned, which takes all rows.
    """
    return None if out is not None or terminal_width() is not None or not prints_text() else sys.stdout


def check_watching(watching: WatchSettings, out: Path | None) -> None:
    """Raise LfbtError for answers that would go nowhere."""
    if watching.watch is None or out is not None:
        return
    if not prints_text():
        raise LfbtError("out: required with --watch and --json or --quiet, which leave nothing else; name a file")
    if sys.stdout is None:
        raise LfbtError("out: required with --watch where stdout is closed; name a file")


def output_of(report: AnswerReport, out: Path | None) -> Output:
    """Return what was answered: how many where it is in a file, else the table, which on a terminal is aligned text.

    The table is left out where `stream_of` has it.

    How many could not be answered is printed on stderr.
    """
    if report.failed:
        lost = f"{format_count(report.failed, 'recording')} could not be answered, the first: {report.first_failure}"
        print(printable(as_typed(lost)), file=sys.stderr)
    values: dict[str, Any] = {
        "out": out,
        "answered": report.answered,
        "failed": report.failed,
        "first_failure": report.first_failure,
    }
    if out is None:
        values["rows"] = report.rows
        width = terminal_width()
        rows, columns = report.rows, report.columns
        text = format_csv(rows, columns) if width is None else format_rows(rows, columns, width)
        text = text if rows else ""
    else:
        text = f"{out}: {format_count(report.answered, 'recording')} answered"
    return Output(text, values, _PARTLY_STATUS if report.failed else 0)
