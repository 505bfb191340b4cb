"""CSV files of one recording."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lfbt.errors import UnreadableError
from lfbt.io.csv_layout import COUNTS, Column, CsvLayout, check_rows, is_number, read_layout, time_unit
from lfbt.io.csv_times import check_times, stated_rate
from lfbt.io.recordings import READ_ERRORS, check_not_times, leads_first, make_recording
from lfbt.recording import Recording, unit_in_mv


def read_csv(
    path: Path,
    leads: Sequence[str] | None,
    sampling_rate: float | None,
    unit: str,
    separator: str | None = None,
    decimal: str | None = None,
) -> Recording:
    """Read a CSV file: one row a sample, one column a lead.

    A first row without any number is a header row, which names the leads; one of column numbers (0, 1, … or 1, 2, …)
    names nothing. Columns of times and row numbers are left out, if they are regular; times are compared with the
    sampling rate. A row of units below the header, or units in it (``I (uV)``), go before `unit`. An empty cell is NaN.

    Parameters
    ----------
    path : Path
        A file in UTF-8 or Windows-1252.
    leads : sequence of str or None
        The name of each column, used where there is no header row.
    sampling_rate : float or None
        In Hz; None takes the one that a column of times tells, with a note.
    unit : str
        A voltage, such as ``mV``.
    separator, decimal : str, optional
        The character between cells, and the one before decimals; found in the file by default.

    Returns
    -------
    Recording
        In mV.

    Raises
    ------
    UnreadableError
        If the file is not such a table, can be read in two ways, nothing names its leads, or it contradicts the
        sampling rate or the unit.
    """
    layout = read_layout(path, separator, decimal)
    check_rows(path, layout, decimal is not None)
    table = _read_table(path, layout)
    columns = list(layout.columns or [Column("", "lead", "")] * (len(leads) if leads else table.shape[1]))
    # A separator may end the header, or each other line.
    if len(columns) == table.shape[1] + 1 and columns[-1].kind == "unnamed":
        columns.pop()
    if len(columns) == table.shape[1] - 1 and table.iloc[:, -1].isna().all():
        table = table.iloc[:, :-1]
    if layout.columns is None:
        columns = [Column("", "lead", "")] * table.shape[1]
    if len(columns) != table.shape[1]:
        raise UnreadableError(f"file {path}: its header has {len(columns)} names for {table.shape[1]} columns")
    for index, column in enumerate(columns):
        if column.kind == "unnamed" and not table[index].isna().all():
            raise UnreadableError(f"file {path}: column {index + 1} has no name in its header; name it")
    notes: list[str] = []
    times = [index for index, column in enumerate(columns) if column.kind == "time"]
    if sampling_rate is None:
        if not times:
            raise UnreadableError(f"file {path}: no sampling rate is given, and no column of times states it")
        index = next((index for index in times if time_unit(columns[index])), times[0])
        sampling_rate = stated_rate(path, columns[index], table[index], layout.n_skipped + 1)
        notes.append(f"sampling rate {sampling_rate:g} Hz by its times")
    for index, column in enumerate(columns):
        if column.kind == "time":
            check_times(path, column, table[index], sampling_rate, layout.n_skipped + 1)
        elif column.kind == "row number":
            _check_row_numbers(path, column, table[index])
    kept = [index for index, column in enumerate(columns) if column.kind == "lead"]
    if not kept:
        raise UnreadableError(f"file {path}: none of its columns is a lead: {', '.join(one.name for one in columns)}")
    signal = table[kept].to_numpy(dtype=np.float64).T
    names: Sequence[str] = [columns[index].name for index in kept]
    units = [columns[index].unit for index in kept]
    if not all(names):
        if leads is None:
            raise UnreadableError(f"file {path}: no header row names its leads; give their names")
        names = leads
        signal, turned = leads_first(signal, len(names))
        if turned:
            notes += turned
            units = [""] * len(names)
    check_not_times(path, signal, names)
    if counts := next((column.name for column in columns if COUNTS.search(column.name)), None):
        raise UnreadableError(
            f"file {path}: column {counts} holds counts, not a voltage; name it by the lead only, and give the gain as "
            "the unit, such as 200/mV"
        )
    if any(units) and not all(units):
        unstated = names[units.index("")]
        raise UnreadableError(
            f"file {path}: its header states the unit {next(filter(None, units))}, but none for {unstated}; "
            "state the unit of all leads there, or of none"
        )
    stated = {unit_in_mv(one) for one in units if one}
    if unit != "mV" and stated - {unit_in_mv(unit)}:
        raise UnreadableError(f"file {path}: its header states the unit {next(filter(None, units))}, not {unit}")
    if stated:
        scale: Any = np.array([[unit_in_mv(one)] for one in units])
    else:
        scale = unit_in_mv(unit)
    return make_recording(path, signal * scale, names, sampling_rate, notes)


def csv_header(path: Path, separator: str | None = None, decimal: str | None = None) -> list[str] | None:
    """Read the names of the leads in a CSV file; None if there is no header row that names them.

    Raises UnreadableError.
    """
    columns = read_layout(path, separator, decimal).columns
    names = [column.name for column in columns or () if column.kind == "lead"]
    return names if any(names) else None


def csv_states_rate(path: Path, separator: str | None = None, decimal: str | None = None) -> bool:
    """Whether a CSV file has a column of times with their unit. Raises UnreadableError."""
    columns = read_layout(path, separator, decimal).columns or ()
    return any(column.kind == "time" and time_unit(column) for column in columns)


def _read_table(path: Path, layout: CsvLayout) -> Any:
    """Read the samples, times and row numbers: numbers, or text in columns of times."""
    import pandas as pd

    options: dict[str, Any] = {"sep": r"\s+" if layout.separator == " " else layout.separator}
    if layout.decimal != ".":
        options["decimal"] = layout.decimal
    # Times may be dates; all else is numbers.
    kinds = [column.kind for column in layout.columns or ()]
    numbers = {index: np.float64 for index, kind in enumerate(kinds) if kind != "time"}
    options["dtype"] = numbers if "time" in kinds else np.float64
    try:
        return pd.read_csv(path, header=None, skiprows=layout.n_skipped, encoding=layout.encoding, **options)
    except READ_ERRORS as error:
        reason = _text_cell(path, layout) or "it cannot be read as a table of numbers"
        raise UnreadableError(f"file {path}: {reason}") from error


def _text_cell(path: Path, layout: CsvLayout) -> str:
    """Locate the first cell that is not a number; an empty string if there is none."""
    import pandas as pd

    options: dict[str, Any] = {"sep": r"\s+" if layout.separator == " " else layout.separator}
    try:
        cells = pd.read_csv(
            path, header=None, skiprows=layout.n_skipped, dtype=str, encoding=layout.encoding, **options
        ).to_numpy()
    except READ_ERRORS:
        return ""
    times = {index for index, column in enumerate(layout.columns or ()) if column.kind == "time"}
    for (row, column), text in np.ndenumerate(cells):
        if isinstance(text, str) and column not in times and not is_number(text, layout.decimal):
            line = row + layout.n_skipped + 1
            return f"line {line}, column {column + 1} holds {text!r}, which is not a number"
    return ""


def _check_row_numbers(path: Path, column: Column, cells: Any) -> None:
    """Raise UnreadableError unless a column that is left out counts the rows, or is empty."""
    numbers = cells.to_numpy(dtype=np.float64)
    if np.isnan(numbers).all():
        return
    off = ~np.isfinite(numbers) | (numbers % 1 != 0)
    off[1:] |= np.diff(numbers) != 1
    if off.any():
        row = int(np.argmax(off))
        found = f"{numbers[row - 1]:g}, then {numbers[row]:g}" if row else f"{numbers[0]:g}"
        name = f"column {column.name}" if column.name else "first column, without a name,"
        raise UnreadableError(
            f"file {path}: its {name} does not count the rows: {found}; "
            "samples are missing or out of order, or it is a lead or a time: name it so, or leave it out"
        )
