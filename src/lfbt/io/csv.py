"""CSV files of one recording."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lfbt.errors import LfbtError, UnreadableError
from lfbt.io.csv_columns import COUNTS, Column, is_number, names_no_lead, tells_recordings_apart, time_unit
from lfbt.io.csv_layout import N_LINES, CsvLayout, find_layout, read_layout, split_cells
from lfbt.io.csv_rows import check_rows
from lfbt.io.csv_stated import find_likely_rates, find_plain_gain
from lfbt.io.csv_text import end_of_lines, first_lines, read_first_lines, read_text
from lfbt.io.csv_times import check_times, stated_rate
from lfbt.io.guarding import guarded
from lfbt.io.recordings import check_not_offset, check_not_times, leads_first, make_recording
from lfbt.recording import Recording, check_sampling_rate, to_mv, unit_in_mv
from lfbt.utils.figures import format_count

# More columns than any ECG has leads.
_N_LEADS = 64
# Floats hold all whole numbers below.
_EXACT = 2**53


@guarded()
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
    sampling rate. Columns that are no leads by their names, such as a heart rate, are left out with a note. A row of
    units below the header, or units in it (``I (uV)``), go before `unit`. An empty cell is NaN.

    Parameters
    ----------
    path : Path
        A file in UTF-8, UTF-16 or Windows-1252.
    leads : sequence of str or None
        The name of each column, used where there is no header row, or one that says of no column which lead it is.
    sampling_rate : float or None
        In Hz; None takes the one that a column of times or a line above the samples tells, with a note.
    unit : str
        A voltage, such as ``mV``, or counts, such as ``200(2048)/mV``.
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
    text = read_text(path)
    layout = find_layout(path, first_lines(text, N_LINES), separator, decimal)
    check_rows(path, text, layout, decimal is not None)
    table = _read_table(path, text, layout)
    columns, table = _fit_columns(path, layout, table, leads)
    columns = [
        column._replace(kind="other") if _is_of_recording(path, column, table[place]) else column
        for place, column in enumerate(columns)
    ]
    notes = [f"{format_count(layout.n_preamble, 'line')} above the header left out"] if layout.n_preamble else []
    if left_out := [column.name for column in columns if column.kind == "other"]:
        notes.append(f"left out as no leads: {', '.join(left_out)}")
    sampling_rate, timed = _check_times(path, layout, columns, table, sampling_rate)
    notes += timed
    kept = [index for index, column in enumerate(columns) if column.kind == "lead"]
    if not kept:
        raise UnreadableError(f"file {path}: none of its columns is a lead: {', '.join(one.name for one in columns)}")
    if len(kept) == len(columns):
        signal = table.to_numpy(dtype=np.float64).T
    else:
        signal = np.array([table[index].to_numpy() for index in kept], dtype=np.float64)
    names: Sequence[str] = [columns[index].name for index in kept]
    units = [columns[index].unit or layout.unit for index in kept]
    if leads is not None and len(leads) == len(names) and all(map(names_no_lead, names)):
        notes.append(f"leads as stated: {','.join(leads)} of the columns {', '.join(names)}")
        names = leads
    if not all(names):
        if leads is None:
            raise UnreadableError(f"file {path}: no header row names its leads; give their names")
        names = leads
        signal, turned = leads_first(signal, len(names))
        if turned:
            notes += turned
            units = [layout.unit] * len(names)
        if len(signal) > max(_N_LEADS, len(names)):
            raise UnreadableError(
                f"file {path}: its lines hold {len(signal)} numbers, not {format_count(len(names), 'lead')}; if each "
                "line is a recording of one lead, save them as .npy [records, 1, samples], without a column of classes"
            )
    check_not_times(path, signal, names)
    if counts := next((one.name for one in columns if one.kind == "lead" and COUNTS.search(one.name)), None):
        raise UnreadableError(
            f"file {path}: column {counts} holds counts, not a voltage; name it by the lead only, and give the gain as "
            "the unit, such as 200/mV"
        )
    if not any(units):
        _check_gain(path, signal, layout, unit)
    return make_recording(path, _in_mv(path, signal, names, units, unit), names, sampling_rate, notes)


def _check_gain(path: Path, signal: NDArray[np.float64], layout: CsvLayout, unit: str) -> None:
    """Raise UnreadableError if whole numbers are read in another unit than counts of the gain that the file states.

    Other numbers are voltages already.
    """
    plain = None if layout.gain or "/" in unit else find_plain_gain(layout.above)
    if not layout.gain and plain is None:
        return
    finite = signal[np.isfinite(signal)]
    if (finite % 1 > 0).any() or (layout.gain and np.isclose(unit_in_mv(unit), unit_in_mv(layout.gain), rtol=1e-4)):
        return
    stated, counts = (layout.gain, layout.gain) if layout.gain else (f"{plain:g}", "of these, such as 200/mV")
    raise UnreadableError(
        f"file {path}: a line above its samples states the gain {stated}, and these are whole numbers, counts, not "
        f"{unit}; give the unit {counts}, or remove the line"
    )


def _is_of_recording(path: Path, column: Column, cells: Any) -> bool:
    """Whether a column names the recording, and so is no lead. Raises UnreadableError if it names several."""
    if column.kind != "lead" or not tells_recordings_apart(column.name):
        return False
    if cells.nunique(dropna=False) > 1:
        first, other = cells.iloc[0], cells[cells != cells.iloc[0]].iloc[0]
        raise UnreadableError(
            f"file {path}: its column {column.name} has {first:g} and {other:g}, as of several recordings in one file; "
            "write a file for each, or, if it is a lead, name it so"
        )
    return True


def _fit_columns(path: Path, layout: CsvLayout, table: Any, leads: Sequence[str] | None) -> tuple[list[Column], Any]:
    """Pair the columns of the header with those of the table. Raises UnreadableError if they are not as many."""
    columns = list(layout.columns or [Column("", "lead", "")] * len(leads or ()))
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
    return columns, table


def _check_times(
    path: Path, layout: CsvLayout, columns: Sequence[Column], table: Any, sampling_rate: float | None
) -> tuple[float, list[str]]:
    """Compare times, dates and row numbers with each other and the sampling rate; return the rate, and notes.

    Raises UnreadableError if they do not agree, or nothing tells the rate.
    """
    notes = []
    first_line = layout.n_skipped + 1
    times = {index: table[index] for index, column in enumerate(columns) if column.kind == "time"}
    for index, column in enumerate(columns):
        if column.kind == "date":
            # The clock times of these dates are those of the only such column.
            for place, cells in times.items():
                if cells.dtype.kind not in "iuf":
                    times[place] = table[index].astype(str).str.strip() + " " + cells.astype(str).str.strip()
    if layout.rate is not None and sampling_rate is not None and abs(layout.rate / sampling_rate - 1) > 1e-6:
        raise UnreadableError(
            f"file {path}: a line above its samples states {layout.rate:g} Hz, not {sampling_rate:g} Hz; "
            "give that rate, or correct the file"
        )
    if sampling_rate is None and layout.rate is not None:
        sampling_rate = layout.rate
        notes.append(f"sampling rate {sampling_rate:g} Hz by a line above the samples")
    if sampling_rate is None:
        if not times:
            raise UnreadableError(f"file {path}: no sampling rate is given, and no column of times states it")
        index = next((index for index in times if time_unit(columns[index])), next(iter(times)))
        sampling_rate = stated_rate(path, columns[index], times[index], first_line)
        notes.append(f"sampling rate {sampling_rate:g} Hz by its times")
        try:
            check_sampling_rate(sampling_rate)
        except LfbtError as error:
            raise UnreadableError(f"file {path}: column {columns[index].name}: {error}") from error
    elif layout.rate is None and not times:
        _check_likely_rates(path, layout, sampling_rate)
    for index, column in enumerate(columns):
        if column.kind == "time":
            notes += check_times(path, column, times[index], sampling_rate, first_line)
        elif column.kind == "row number":
            _check_row_numbers(path, column, table[index])
    return sampling_rate, notes


def _check_likely_rates(path: Path, layout: CsvLayout, sampling_rate: float) -> None:
    """Raise UnreadableError if lines above the samples have what may be their rate, and not the one that is given."""
    likely = find_likely_rates(layout.above)
    if likely and not any(abs(rate / sampling_rate - 1) <= 0.01 for rate in likely):
        raise UnreadableError(
            f"file {path}: a line above its samples has {likely[0]:g}, likely their rate in Hz, and not "
            f"{sampling_rate:g} Hz; give that rate, or remove the line"
        )


def _in_mv(
    path: Path, signal: NDArray[np.float64], names: Sequence[str], units: Sequence[str], unit: str
) -> NDArray[np.float64]:
    """Convert to mV by the units that the file states, or else by `unit`. Raises UnreadableError if these differ."""
    if any(units) and not all(units):
        unstated = names[units.index("")]
        raise UnreadableError(
            f"file {path}: its header states the unit {next(filter(None, units))}, but none for {unstated}; "
            "state the unit of all leads there, or of none"
        )
    stated = {unit_in_mv(one) for one in units if one}
    if unit != "mV" and stated - {unit_in_mv(unit)}:
        raise UnreadableError(f"file {path}: its header states the unit {next(filter(None, units))}, not {unit}")
    if not stated or unit != "mV":
        check_not_offset(path, signal, unit, names)
        return signal if unit == "mV" else to_mv(signal, unit)
    for row, one in enumerate(units):
        check_not_offset(path, signal[row : row + 1], one, names[row : row + 1])
    scale: Any = np.array([[unit_in_mv(one)] for one in units])
    in_mv: NDArray[np.float64] = signal * scale
    return in_mv


class CsvHeader(NamedTuple):
    """What a CSV file states of itself.

    `leads` are the names of its leads, None if no header row names them; `names` those of all its columns.
    """

    leads: list[str] | None
    states_rate: bool
    names: list[str]


@guarded()
def read_csv_header(path: Path, separator: str | None = None, decimal: str | None = None) -> CsvHeader:
    """Read what a CSV file states of itself: leads, columns, and whether the sampling rate, too.

    Raises UnreadableError.
    """
    layout = read_layout(path, separator, decimal)
    columns = layout.columns or ()
    leads = [column.name for column in columns if column.kind == "lead"]
    states_rate = layout.rate is not None or any(column.kind == "time" and time_unit(column) for column in columns)
    return CsvHeader(leads if any(leads) else None, states_rate, [column.name for column in columns])


@guarded()
def holds_voltages(path: Path) -> bool:
    """Whether the columns that may be leads hold numbers in the first rows, and some that are no counts or names.

    Raises UnreadableError.
    """
    lines = read_first_lines(path, N_LINES)
    layout = find_layout(path, lines, None, None)
    rows = [split_cells(line, layout.separator) for line in lines[layout.n_skipped :] if line.strip()]
    places = [place for place, column in enumerate(layout.columns or ()) if column.kind == "lead"]
    cells = [row[place] for row in rows for place in places if place < len(row)]
    are_numbers = all(not cell or is_number(cell, layout.decimal) for cell in cells)
    return are_numbers and any(cell.startswith("-") or layout.decimal in cell for cell in cells)


def _read_table(path: Path, text: bytes, layout: CsvLayout) -> Any:
    """Read the samples, times and row numbers: numbers, or text in columns of times, dates and what is no lead."""
    kinds = [column.kind for column in layout.columns or ()]
    texts = {index: str for index, kind in enumerate(kinds) if kind in ("date", "other")}
    times = [index for index, kind in enumerate(kinds) if kind == "time"]
    numbers = {index: np.float64 for index, kind in enumerate(kinds) if kind not in ("time", "date", "other")}
    # Times may be dates, or whole numbers beyond those that floats hold; all else is numbers.
    dtype = numbers | texts if times or texts else np.float64
    if times and not texts and not any(column.unit == "date" for column in layout.columns or ()):
        # Columns of one type are read in less time.
        with contextlib.suppress(ValueError, TypeError, OverflowError):
            table = _parse(text, layout, np.float64)
            if not any((np.abs(table[index].to_numpy()) >= _EXACT).any() for index in times):
                return table
    try:
        return _parse(text, layout, dtype)
    except Exception as error:
        reason = _text_cell(text, layout) or "it cannot be read as a table of numbers"
        raise UnreadableError(f"file {path}: {reason}") from error


def _parse(text: bytes, layout: CsvLayout, dtype: Any) -> Any:
    import pandas as pd

    separator = r"\s+" if layout.separator == " " else layout.separator
    rows = io.BytesIO(text)
    # With skiprows each row would take half as long again; with low memory it would parse in parts, which does, too.
    rows.seek(end_of_lines(text, layout.n_skipped))
    return pd.read_csv(rows, header=None, sep=separator, decimal=layout.decimal, dtype=dtype, low_memory=False)


def _text_cell(text: bytes, layout: CsvLayout) -> str:
    """Locate the first cell that is not a number; an empty string if there is none."""
    try:
        cells = _parse(text, layout, str).to_numpy()
    except (ValueError, TypeError, OverflowError):
        return ""
    numbers = {"lead", "row number", "unnamed"}
    others = {index for index, column in enumerate(layout.columns or ()) if column.kind not in numbers}
    for (row, column), cell in np.ndenumerate(cells):
        if isinstance(cell, str) and column not in others and not is_number(cell, layout.decimal):
            line = row + layout.n_skipped + 1
            return f"line {line}, column {column + 1} holds {cell!r}, which is not a number"
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
