"""CSV files of one recording."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfbt.errors import UnreadableError
from lfbt.io.csv_layout import Column, CsvLayout, is_number, read_layout, time_unit
from lfbt.io.recordings import READ_ERRORS, leads_first, make_recording, unreadable
from lfbt.recording import Recording, unit_in_mv

# How much the rate of a column of times may differ from the one that is given: such times are rounded.
_SAME_RATE = 0.01


def read_csv(
    path: Path,
    leads: Sequence[str] | None,
    sampling_rate: float,
    unit: str,
    separator: str | None = None,
    decimal: str | None = None,
) -> Recording:
    """Read a CSV file: one row a sample, one column a lead.

    A first row without any number is a header row, which names the leads; one of column numbers (0, 1, … or 1, 2, …)
    names nothing. Columns of times and row numbers are left out; times are compared with the sampling rate. A row of
    units below the header, or units in it (``I (uV)``), go before `unit`. An empty cell is NaN.

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
    for index, column in enumerate(columns):
        if column.kind == "time":
            _check_times(path, column, table[index], sampling_rate)
    kept = [index for index, column in enumerate(columns) if column.kind == "lead"]
    if not kept:
        raise UnreadableError(f"file {path}: none of its columns is a lead: {', '.join(one.name for one in columns)}")
    signal = _numbers(path, table[kept], layout).T
    names: Sequence[str] = [columns[index].name for index in kept]
    notes: list[str] = []
    if not all(names):
        if leads is None:
            raise UnreadableError(f"file {path}: no header row names its leads; give their names")
        names = leads
        signal, notes = leads_first(signal, len(names))
    units = [columns[index].unit for index in kept] if not notes else [""] * len(names)
    stated = {unit_in_mv(one) for one in units if one}
    if unit != "mV" and stated - {unit_in_mv(unit)}:
        raise UnreadableError(f"file {path}: its header states the unit {next(filter(None, units))}, not {unit}")
    if stated:
        scale: Any = np.array([[unit_in_mv(one or unit)] for one in units])
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


def _read_table(path: Path, layout: CsvLayout) -> Any:
    """Read the samples, times and row numbers: numbers, or text in columns that have text."""
    import pandas as pd

    options: dict[str, Any] = {"sep": r"\s+" if layout.separator == " " else layout.separator}
    if layout.decimal != ".":
        options["decimal"] = layout.decimal
    # Times may be dates; all else is numbers.
    times = [index for index, column in enumerate(layout.columns or ()) if column.kind == "time"]
    if not times:
        options["dtype"] = np.float64
    try:
        return pd.read_csv(path, header=None, skiprows=layout.n_skipped, encoding="utf-8-sig", **options)
    except READ_ERRORS as error:
        where = _text_cell(path, layout)
        reason = f"it has no samples ({str(error).strip()})" if "No columns" in str(error) else str(error).strip()
        raise UnreadableError(f"file {path}: {where or reason}") from error


def _numbers(path: Path, table: Any, layout: CsvLayout) -> NDArray[np.float64]:
    try:
        return np.asarray(table.to_numpy(dtype=np.float64))
    except READ_ERRORS as error:
        raise UnreadableError(f"file {path}: {_text_cell(path, layout) or str(error).strip()}") from error


def _text_cell(path: Path, layout: CsvLayout) -> str:
    """Locate the first cell that is not a number; an empty string if there is none."""
    import pandas as pd

    options: dict[str, Any] = {"sep": r"\s+" if layout.separator == " " else layout.separator}
    try:
        cells = pd.read_csv(
            path, header=None, skiprows=layout.n_skipped, dtype=str, encoding="utf-8-sig", **options
        ).to_numpy()
    except READ_ERRORS:
        return ""
    times = {index for index, column in enumerate(layout.columns or ()) if column.kind == "time"}
    for (row, column), text in np.ndenumerate(cells):
        if isinstance(text, str) and column not in times and not is_number(text, layout.decimal):
            line = row + layout.n_skipped + 1
            return f"line {line}, column {column + 1} holds {text!r}, which is not a number"
    return ""


def _check_times(path: Path, column: Column, cells: Any, sampling_rate: float) -> None:
    """Raise UnreadableError unless the times of a column are regular and those of the sampling rate."""
    import pandas as pd

    unit = time_unit(column)
    if cells.dtype.kind in "iuf":
        times = cells.to_numpy(dtype=np.float64)
    else:
        try:
            parsed = pd.to_datetime(cells.astype(str), format="ISO8601")
        except READ_ERRORS as error:
            raise unreadable(path, error, f"expected numbers or dates in its column {column.name}") from error
        times, unit = (parsed - parsed.iloc[0]).dt.total_seconds().to_numpy(), 1.0
    if len(times) < 2:
        return
    step = (times[-1] - times[0]) / (len(times) - 1)
    if not 0 < step < np.inf:
        raise UnreadableError(f"file {path}: its column {column.name} does not rise from {times[0]:g} to {times[-1]:g}")
    # Times are rounded to some decimals, or to whole seconds.
    rounding = next((10.0**-n for n in range(10) if np.allclose(times, np.round(times, n), rtol=0, atol=1e-9)), 0.0)
    tolerance = _SAME_RATE + rounding / (times[-1] - times[0])
    rates = {f"{1 / (step * scale):g} Hz": scale for scale in ([unit] if unit else (1.0, 1e-3, 1e-6, 1e-9))}
    if not any(abs(step * scale * sampling_rate - 1) <= tolerance for scale in rates.values()):
        raise UnreadableError(
            f"file {path}: its column {column.name} is one of {' or '.join(rates)}, not of {sampling_rate:g} Hz"
        )
    off = np.abs(np.diff(times) - step) > max(1.01 * rounding, 0.5 * step)
    if off.any():
        row = int(np.argmax(off))
        raise UnreadableError(
            f"file {path}: its column {column.name} is not regular: {times[row]:g}, then {times[row + 1]:g}"
        )
