"""CSV files of one recording."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lfbt.errors import UnreadableError
from lfbt.recording import Recording, unit_in_mv

if TYPE_CHECKING:
    pass
from lfbt.io.recordings import READ_ERRORS, make_recording, unreadable


def read_csv(path: Path, leads: Sequence[str] | None, sampling_rate: float, unit: str) -> Recording:
    """The recording in a CSV file: one row a sample, one column a lead, in `unit`, at `sampling_rate` Hz.

    A first row without any number is a header row and names the leads; without one, `leads` does. A first column
    without a name (a row number) is left out. An empty cell is NaN. Raises UnreadableError.
    """
    import pandas as pd

    header = csv_header(path)
    if header is None and leads is None:
        raise UnreadableError(f"file {path}: no header row names its leads; say what they are")
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
    """The cells of a CSV file's first row when none of them is a number, else None. Raises UnreadableError."""
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
    """Where the first cell that is no number stands, or an empty string when that is not the trouble."""
    import pandas as pd

    try:
        cells = pd.read_csv(path, header=None, skiprows=skipped, dtype=str, encoding="utf-8-sig").to_numpy()
    except READ_ERRORS:
        return ""
    for (row, column), text in np.ndenumerate(cells):
        if isinstance(text, str) and not _is_number(text):
            return f"line {row + skipped + 1}, column {column + 1} holds {text!r}, which is no number"
    return ""
