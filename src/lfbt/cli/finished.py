"""The report in the folder of a finished run, which is written last and never the cause of a loss."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from lfbt.reports.page import write_run_report
from lfbt.runs.run_folder import REPORT
from lfbt.utils.printing import printable
from lfbt.utils.progress import write_line


def add_report(folder: Path) -> Path | None:
    """Write ``report.html`` into a run folder, and say so; None after the warning of a failure."""
    try:
        page = write_run_report(folder)
    except Exception as error:  # noqa: BLE001
        # The run is complete, whatever is wrong with its report.
        why = " ".join(str(error).split()) or type(error).__name__
        warning = f"lfbt: warning: {folder}: no report ({why}); the run itself is complete"
        print(printable(warning), file=sys.stderr)
        return None
    write_line(f"report: {page}")
    return page


def add_missing_report(folder: Path) -> None:
    """Write ``report.html`` into the folder of a run that was killed before it did; of several processes the first."""
    if not (folder / REPORT).exists() and os.environ.get("RANK", "0") == "0":
        add_report(folder)
