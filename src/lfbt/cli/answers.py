"""How a command ends that answered recordings."""

from __future__ import annotations

import sys

from lfbt.inference.answering import AnswerReport
from lfbt.utils.figures import format_count

# Some recordings have no answer; the others do.
_PARTLY_STATUS = 1


def end_with(report: AnswerReport, out: str) -> None:
    """Say on stderr how many recordings were answered, and end with 1 where some were not."""
    lost = f"; {report.failed} could not be, the first: {report.first_failure}" if report.failed else ""
    if out or lost:
        answered = format_count(report.answered, "recording")
        print(f"{out}: {answered} answered{lost}".removeprefix(": "), file=sys.stderr)
    if report.failed:
        raise SystemExit(_PARTLY_STATUS)
