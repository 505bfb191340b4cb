"""CSV files of one recording."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lfbt.errors import UnreadableError
from lfbt.io.recordings import READ_ERRORS, make_recording, unreadable
from lfbt.recording import Recording, unit_in_mv


def read_csv(path: Path, leads: Sequence[str] | None, sampling_rate: float, unit: str) -> Recording:
    """Read a CSV file: one row a sample, one column a lead.

    A first row without any number is a header row, which names the leads. A first column without a name (a row number)
    is left out. An empty cell is NaN.

    Parameters
    ----------
    path : Path
        A file in UTF-8.
    leads : sequence of str or None
        The name of each column, used where there is no header row.
    sampling_rate : float
        In Hz.
    unit : str
        A voltage, such as ``mV``.

    Returns
    -------
    Recording
        In mV.

    Raises
    ------
    UnreadableError
        If the file is not such a table, or nothing names its leads.
    """
    import pandas as pd

    header = csv_header(path)
    if header is None and leads is None:
        raise UnreadableError(f"file {path}: no header row names its leads; give their names")
    skipped = 0 if header is None else 1
    try:
        table = pd.read_csv(path, header=None, skiprows=skipped, dtype=np.float64, encoding="utf-8-sig")
    except READ_ERRORS as error:
        where = _text_cell(path, skipped)
        raise UnreadableError(f"file {path}: {where or str(error).strip()}") from error
    signal = table.to_numpy().T
    names: Sequence[str] = header or leads or ()
    if header and not header[0]:
        signal, names = signal[1:], header[1:]
    return make_recording(path, signal * unit_in_mv(unit), names, sampling_rate)


def csv_header(path: Path) -> list[str] | None:
    """Read the first row of a CSV file if it is a header row (no cell is a number). Raises UnreadableError."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            cells = [cell.strip().strip('"') for cell in file.readline().split(",")]
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(path, error) from error
    return cells if any(cells) and not any(map(_is_number, cells)) else None


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _text_cell(path: Path, skipped: int) -> str:
    """Locate the first cell that is not a number; an empty string if there is none."""
    import pandas as pd

    try:
        cells = pd.read_csv(path, header=None, skiprows=skipped, dtype=str, encoding="utf-8-sig").to_numpy()
    except READ_ERRORS:
        return ""
    for (row, column), text in np.ndenumerate(cells):
        if isinstance(text, str) and not _is_number(text):
            return f"line {row + skipped + 1}, column {column + 1} holds {text!r}, which is not a number"
    return ""
