"""How a CSV file is written: separator, decimal sign, and the lines before its first sample."""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from lfbt.errors import UnreadableError
from lfbt.io.csv_clocks import is_clock, is_date
from lfbt.io.csv_columns import Column, is_number, is_value, name_leads, recognise, with_units, without_arrivals
from lfbt.io.csv_stated import find_gain, find_one_lead, find_stated
from lfbt.io.csv_text import read_first_lines
from lfbt.recording import is_voltage

#: Lines that are looked at; comments and headers may take some of them.
N_LINES = 60
# The last is Excel's; what it says shows in the other lines.
_COMMENTS = ("#", "%", "//", "sep=")
_NUMERIC = re.compile(r"[+-]?[\d,]")
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?")
# 1,250 between other separators may be a thousand or a decimal comma.
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+")
_QUOTED = re.compile(r"""^(["'])(.*)\1$""")
# Of a line: each takes its place in a table of columns.
_MOST_CELLS = 100_000


class CsvLayout(NamedTuple):
    """Separator and decimal sign, the lines before the first sample, and the columns; None where no row names them.

    The lines `above` the samples may state a `rate` in Hz, a `unit` and the `gain` of counts; `n_preamble` are neither
    comments nor header.
    """

    separator: str
    decimal: str
    n_skipped: int
    columns: list[Column] | None
    rate: float | None = None
    unit: str = ""
    n_preamble: int = 0
    gain: str = ""
    above: Sequence[str] = ()


def read_layout(path: Path, separator: str | None = None, decimal: str | None = None) -> CsvLayout:
    """Find out how a CSV file is written, from its first lines.

    Parameters
    ----------
    path : Path
        A text file, perhaps with lines of comments (``#``, ``%``, ``//``) or others before its first sample.
    separator, decimal : str, optional
        What is known of it.

    Returns
    -------
    CsvLayout
        A row of column numbers (from 0 or 1) counts as a header that names nothing.

    Raises
    ------
    UnreadableError
        If the file is no text, or can be read in two ways.
    """
    return find_layout(path, read_first_lines(path, N_LINES), separator, decimal)


def find_layout(path: Path, first_lines: Sequence[str], separator: str | None, decimal: str | None) -> CsvLayout:
    """Find out as `read_layout` how the file is written that begins with these lines."""
    numbered = [(number, line) for number, line in enumerate(first_lines) if _holds_cells(line)]
    lines = [line for _, line in numbered]
    one_lead = None if separator else find_one_lead(lines)
    separator = ";" if one_lead else separator or _separator(lines, decimal)
    rows = [split_cells(line, separator) for line in lines]
    most = max(map(len, rows), default=0)
    if most > _MOST_CELLS:
        raise UnreadableError(
            f"file {path}: one of its lines has {most} cells, over {_MOST_CELLS}; write a line a sample, or save "
            "them as .npy [leads, samples]"
        )
    n_preamble, is_named = (one_lead[1], False) if one_lead else _preamble(rows)
    body = rows[n_preamble:]
    decimal = decimal or _decimal(path, body, separator)
    columns, n_header = _columns(path, body, decimal) if is_named else (None, 0)
    if one_lead:
        columns = [Column(one_lead[0], "lead", "")]
    if columns is not None and len(body) > n_header and (named := with_units(columns, body[n_header])):
        columns, n_header = named, n_header + 1
    n_header += n_preamble
    # Comments may stand between the header and the samples.
    n_skipped = numbered[n_header][0] if n_header < len(numbered) else (numbered[-1][0] + 1 if numbered else 0)
    above = [line for line in first_lines[:n_skipped] if line.strip()]
    if n_header < len(rows):
        columns = _with_comments(columns, n_header, above, rows[n_header], separator)
        columns = columns and without_arrivals(_with_dates(columns, rows[n_header], decimal))
    units = [column.name for column in columns or () if column.kind == "lead" and is_voltage(column.name)]
    if units:
        raise UnreadableError(
            f"file {path}: its header has {units[0]} for the name of a lead, which is a unit; name the leads, such as "
            f"I ({units[0]}), or remove that line"
        )
    rate, unit = find_stated(path, above)
    return CsvLayout(separator, decimal, n_skipped, columns, rate, unit, n_preamble, find_gain(above), above)


def split_cells(line: str, separator: str) -> list[str]:
    """Split a line into cells, without spaces around them and without quotes."""
    if separator == " ":
        cells = line.split()
    elif '"' in line:
        # A cell in quotes may hold the separator.
        cells = next(csv.reader([line], delimiter=separator, skipinitialspace=True), [])
    else:
        cells = line.split(separator)
    cells = [cell.strip() for cell in cells]
    if '"' not in line and "'" not in line:
        return cells
    return [_QUOTED.sub(r"\2", cell).strip() if cell[:1] in "\"'" else cell for cell in cells]


def _holds_cells(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith(_COMMENTS)


def _separator(lines: Sequence[str], decimal: str | None) -> str:
    """The first of semicolon, tab and comma that is in every line, or spaces that are; a comma where there is none.

    Lines at the start may lack it, if two or more at the end have it.
    """
    marks = [mark for mark in (";", "\t", ",") if mark != decimal and all(mark in line for line in lines[-2:])]
    for start in (0, *range(1, len(lines) - 1)):
        rest = lines[start:]
        for mark in marks:
            if rest and all(mark in line for line in rest):
                return mark
        if not start and rest and all(re.search(r"\S\s+\S", line) for line in rest):
            return " "
    return " " if len(lines) > 3 and all(re.search(r"\S\s+\S", line) for line in lines[-3:]) else ","


def _preamble(rows: Sequence[Sequence[str]]) -> tuple[int, bool]:
    """Return how many rows stand above the header, or above the samples where no row is a header, and whether one is.

    The samples are the last rows with as many cells each, in which something is a value.
    """
    if not rows:
        return 0, True
    n_cells = len(rows[-1])
    begin = len(rows)
    while begin and len(rows[begin - 1]) == n_cells and (_has_value(rows[begin - 1]) or not any(rows[begin - 1])):
        begin -= 1
    while begin < len(rows) and begin and not any(rows[begin]):
        begin += 1
    if begin in (0, 1, len(rows)):
        return 0, True
    header = begin - 1
    while header > 0 and not any(rows[header]):
        header -= 1
    if header and with_units([recognise(cell) for cell in rows[header - 1]], rows[header]):
        header -= 1
    if any(len(row) == n_cells and all(map(is_value, filter(None, row))) and any(row) for row in rows[:header]):
        # Samples stand above it, so it is a fault among samples.
        return 0, True
    fits = len(rows[header]) - n_cells in (0, 1) or (len(rows[header]) == n_cells - 1 and not rows[-1][-1])
    if fits and not _has_value(rows[header]):
        return header, True
    if header == 0 or _has_value(rows[header]):
        return 0, True
    return (header, True) if name_leads(rows[header]) else (begin, False)


def _has_value(row: Sequence[str]) -> bool:
    return any(map(is_value, row))


def _decimal(path: Path, rows: Sequence[Sequence[str]], separator: str) -> str:
    """Find the decimal sign of the cells. Raises UnreadableError if commas may be either."""
    cells = [cell for row in rows for cell in row if "," in cell]
    # Clock times say nothing of the other columns.
    cells = [cell for cell in cells if ":" not in cell and _NUMERIC.match(cell)]
    if separator == "," and not any(map(_DECIMAL_COMMA.fullmatch, cells)):
        return "."
    if not cells:
        return "."
    if all(map(_THOUSANDS.fullmatch, cells)):
        raise UnreadableError(
            f"file {path}: {cells[0]!r} may have a decimal comma or one of thousands; state it with --file-decimal"
        )
    others = [cell for cell in cells if not _DECIMAL_COMMA.fullmatch(cell)]
    if others or any("." in cell and is_number(cell) for row in rows for cell in row):
        found = f"{others[0]!r}" if others else "both . and ,"
        raise UnreadableError(
            f"file {path}: {found} in cells between {separator!r}; state --file-separator and --file-decimal"
        )
    return ","


def _columns(path: Path, rows: Sequence[Sequence[str]], decimal: str) -> tuple[list[Column] | None, int]:
    """Read the header row; return its columns and 1, or None and how many rows name nothing."""
    first = list(rows[0]) if rows else []
    if not any(first):
        return None, 0
    kinds = [recognise(cell) for cell in first]
    if kinds[0].kind == "unnamed":
        kinds[0] = kinds[0]._replace(kind="row number")
    leads = [column.name for column in kinds if column.kind == "lead"]
    if _are_column_numbers(path, leads, rows):
        # Without names, but perhaps with a column of row numbers or times before the others.
        return (None, 1) if len(leads) == len(first) else ([c._replace(name="") for c in kinds], 1)
    if any(is_number(cell, decimal) for cell in first):
        return None, 0
    return kinds, 1


def _are_column_numbers(path: Path, names: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Whether names are the numbers from 0 or 1 that tools write in place of names.

    Raises UnreadableError if they may be a sample as well: of a few leads, among whole numbers near them.
    """
    n = len(names)
    if len(rows) < 2 or list(names) not in ([str(i) for i in range(n)], [str(i + 1) for i in range(n)]):
        return False
    is_whole = n == len(rows[0]) and all(re.fullmatch(r"[+-]?\d*", cell) for row in rows for cell in row)
    if is_whole and (n < 3 or (n < 8 and _is_near(rows))):
        raise UnreadableError(
            f"file {path}: its first row, {','.join(names)}, may be column numbers or a sample; name the leads there"
        )
    return n > 0


def _is_near(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row of whole numbers is as near to the second as other rows are to theirs."""
    if len(rows) < 3 or len({len(row) for row in rows}) > 1:
        return False
    columns = [[int(cell) for cell in column if cell.strip("+-")] for column in zip(*rows, strict=True)]
    steps = [[abs(b - a) for a, b in itertools.pairwise(column)] for column in columns]
    return all(len(some) < 2 or some[0] <= 2 * max(some[1:]) for some in steps)


def _with_comments(
    columns: list[Column] | None, n_header: int, above: Sequence[str], sample: Sequence[str], separator: str
) -> list[Column] | None:
    """Take the names, or the units, that a comment above the samples states."""
    for line in above:
        if _holds_cells(line):
            continue
        cells = split_cells(line.strip().lstrip("#%/ "), separator)
        if len(cells) != len(sample):
            continue
        if columns is None and not n_header:
            columns = name_leads(cells)
        elif columns and len(columns) == len(cells):
            columns = with_units(columns, cells) or columns
    return columns


def _with_dates(columns: Sequence[Column], sample: Sequence[str], decimal: str) -> list[Column]:
    """Tell dates and clock times by the first sample, for columns of times without a unit that are no numbers."""
    if len(sample) != len(columns):
        return list(columns)
    kinds = list(columns)
    for place, (column, cell) in enumerate(zip(columns, sample, strict=True)):
        if column.kind == "time" and not column.unit and cell and not is_number(cell, decimal):
            kinds[place] = column._replace(unit="date")
    clocks = [place for place, cell in enumerate(sample) if kinds[place].kind == "time" and is_clock(cell)]
    dates = [place for place, cell in enumerate(sample) if kinds[place].kind == "time" and is_date(cell)]
    if len(clocks) == len(dates) == 1:
        kinds[dates[0]] = kinds[dates[0]]._replace(kind="date")
    return kinds
