"""CSV files of one recording."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfbt.errors import UnreadableError
from lfbt.io.csv_layout import Column, CsvLayout, check_rows, is_number, read_layout, time_unit
from lfbt.io.recordings import READ_ERRORS, leads_first, make_recording
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
    names nothing. Columns of times and row numbers are left out, if they are regular; times are compared with the
    sampling rate. A row of units below the header, or units in it (``I (uV)``), go before `unit`. An empty cell is NaN.

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
    check_rows(path, layout)
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
            _check_times(path, column, table[index], sampling_rate, layout.n_skipped + 1)
        elif column.kind == "row number":
            _check_row_numbers(path, column, table[index])
    kept = [index for index, column in enumerate(columns) if column.kind == "lead"]
    if not kept:
        raise UnreadableError(f"file {path}: none of its columns is a lead: {', '.join(one.name for one in columns)}")
    signal = table[kept].to_numpy(dtype=np.float64).T
    names: Sequence[str] = [columns[index].name for index in kept]
    notes: list[str] = []
    if not all(names):
        if leads is None:
            raise UnreadableError(f"file {path}: no header row names its leads; give their names")
        names = leads
        signal, notes = leads_first(signal, len(names))
    units = [columns[index].unit for index in kept] if not notes else [""] * len(names)
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
        return pd.read_csv(path, header=None, skiprows=layout.n_skipped, encoding="utf-8-sig", **options)
    except READ_ERRORS as error:
        reason = _text_cell(path, layout) or "it cannot be read as a table of numbers"
        raise UnreadableError(f"file {path}: {reason}") from error


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


def _check_times(path: Path, column: Column, cells: Any, sampling_rate: float, first_line: int) -> None:
    """Raise UnreadableError unless the times of a column are regular and those of the sampling rate."""
    times, unit = _times(path, column, cells, first_line)
    if len(times) < 2:
        return
    of = f"file {path}: its column {column.name}"
    span = times[-1] - times[0]
    if not span > 0:
        raise UnreadableError(f"{of} does not rise from {times[0]:g} to {times[-1]:g}")
    if (np.diff(times) < 0).any():
        row = int(np.argmax(np.diff(times) < 0))
        at = f"line {first_line + row + 1}"
        raise UnreadableError(f"{of} does not rise from {times[row]:g} to {times[row + 1]:g} ({at})")
    # Times are rounded to some decimals, or to whole seconds. Floats of large times are not exact.
    exact = max(1e-9, 2 * float(np.spacing(np.abs(times).max())))
    rounding = next((10.0**-n for n in range(10) if np.allclose(times, np.round(times, n), rtol=0, atol=exact)), 0.0)
    rates: list[str] = []
    too_coarse = False
    off: NDArray[np.bool_] | None
    for scale in [unit] if unit else (1.0, 1e-3, 1e-6, 1e-9):
        step = 1 / (scale * sampling_rate)
        if step >= (1 - _SAME_RATE) * rounding:
            found, tolerance = span / (len(times) - 1), _SAME_RATE + rounding / span
            off = np.abs(np.diff(times) - step) >= 0.5 * step
        else:
            found, tolerance, off = _coarse_step(times, rounding)
        rates.append(f"{1 / (found * scale):g} Hz")
        if abs(found / step - 1) > tolerance:
            continue
        if off is None:
            too_coarse = True
            continue
        if off.any():
            row = int(np.argmax(off))
            raise UnreadableError(
                f"{of} is not regular: {times[row]:g}, then {times[row + 1]:g} (line {first_line + row + 1}); "
                "samples are missing or repeated, or the times are too coarse"
            )
        return
    if too_coarse:
        raise UnreadableError(f"{of} has times that are too coarse to check the rate; leave the column out")
    raise UnreadableError(f"{of} is one of {' or '.join(rates)}, not of {sampling_rate:g} Hz")


def _times(path: Path, column: Column, cells: Any, first_line: int) -> tuple[NDArray[np.float64], float | None]:
    """Return the times of a column, and their unit in s if it is known. Raises UnreadableError if one is empty."""
    import pandas as pd

    unit = time_unit(column)
    parsed = cells
    if cells.dtype.kind not in "iuf":
        try:
            parsed = pd.to_datetime(cells.astype(str), format="ISO8601")
        except READ_ERRORS as error:
            numbers = pd.to_numeric(cells, errors="coerce")
            dates = pd.to_datetime(cells.astype(str), format="ISO8601", errors="coerce", utc=True)
            row = int(np.argmax((numbers if numbers.notna().any() else dates).isna()))
            raise UnreadableError(
                f"file {path}: line {first_line + row} holds {str(cells.iloc[row])!r}; "
                f"expected numbers or dates in its column {column.name}"
            ) from error
    empty = (parsed.isna() | parsed.isin([np.inf, -np.inf])).to_numpy()
    if empty.any():
        line = first_line + int(np.argmax(empty))
        raise UnreadableError(f"file {path}: line {line} has no time in its column {column.name}")
    if parsed is cells:
        return cells.to_numpy(dtype=np.float64), unit
    return (parsed - parsed.iloc[0]).dt.total_seconds().to_numpy(), 1.0


def _coarse_step(times: NDArray[np.float64], rounding: float) -> tuple[float, float, NDArray[np.bool_] | None]:
    """Return the step of times that several rows share, how exact it is, and which jumps do not fit it, if it is exact.

    The rows between the first and the last change of the time tell the step to one row.
    """
    jumps = np.diff(times)
    changes = np.flatnonzero(jumps > 0.01 * rounding)
    n_rows = int(changes[-1] - changes[0])
    if n_rows * _SAME_RATE < 1:
        # All that is known is that the first and the last time are rounded.
        span = times[-1] - times[0]
        return span / len(jumps), rounding / (span - rounding) if span > rounding else np.inf, None
    step = float(times[changes[-1] + 1] - times[changes[0] + 1]) / n_rows
    off = jumps > 1.01 * rounding
    # As many rows share each time, but for one; fewer share the first and the last.
    excess = np.diff([-1, *changes, len(jumps)]) - rounding / step
    off[changes] |= excess[:-1] > 1.5
    off[changes] |= excess[1:] > 1.5
    off[changes[1:]] |= excess[1:-1] < -1.5
    return step, _SAME_RATE, off
