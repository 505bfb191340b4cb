"""How a CSV file is written: separator, decimal sign, and the lines before its first sample."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from lfbt.errors import UnreadableError
from lfbt.io.recordings import unreadable
from lfbt.recording import is_voltage

# Lines that are looked at; comments and headers may take some of them.
_N_LINES = 60
# The last is Excel's; what it says shows in the other lines.
_COMMENTS = ("#", "%", "//", "sep=")
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?")
# 1,250 between other separators may be a thousand or a decimal comma.
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+")
# Readers of numbers take these for 1 and 0.
_TRUTH = re.compile(r"\b(true|false)\b", re.IGNORECASE)
_QUOTED = re.compile(r"""^(["'])(.*)\1$""")
# A name with its unit: I (mV), time [ms].
_NAME_AND_UNIT = re.compile(r"(?P<name>.+?)\s*[\[({](?P<unit>\w+)[\])}]")
# The same without brackets: time in s, I/uV, I_uV. Other words after these are a part of the name.
_NAME_THEN_UNIT = re.compile(r"(?P<name>.+?)(?:\s+in\s+|\s*[/_]\s*)(?P<unit>\w+)")
# Counts of a converter have no unit that is known.
COUNTS = re.compile(r"[\[({](counts?|adu|adc|lsb|raw|\d+/\w+)[\])}]", re.IGNORECASE)
_TIME_UNITS = {"s": 1.0, "sec": 1.0, "secs": 1.0, "second": 1.0, "seconds": 1.0, "ms": 1e-3, "msec": 1e-3}
_TIME_UNITS |= {"millisecond": 1e-3, "milliseconds": 1e-3, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ns": 1e-9}
# Texts that PhysioNet puts in place of a unit, and ours for dates and clock times: all become seconds.
_TIME_UNITS |= {"hh:mm:ss.mmm": 1.0, "hh:mm:ss": 1.0, "mm:ss.mmm": 1.0, "mm:ss": 1.0, "date": 1.0}
_TIME_WORDS = "time|t|timestamp|datetime|zeit|zeitstempel|temps|tiempo|tempo|tijd|tid|czas|время|时间|時間|시간"
_TIME = re.compile(rf"(elapsed[ _]?)?({_TIME_WORDS})(?:[ _](?P<unit>[a-zµμ]+))?")
# In lower case and of letters only.
_ROW_NUMBERS = re.compile("index|samples?|row|unnamed|(sample|row)?(number|no|nr|index)")


class Column(NamedTuple):
    """A column as its header row, and perhaps a row of units, describe it.

    `kind` is ``lead``, ``time``, ``row number`` (also of a first column without a name) or ``unnamed``; `unit` is empty
    if it is not stated.
    """

    name: str
    kind: str
    unit: str


class CsvLayout(NamedTuple):
    """Separator and decimal sign, the lines before the first sample, and the columns; None where no row names them."""

    separator: str
    decimal: str
    n_skipped: int
    columns: list[Column] | None
    encoding: str = "utf-8-sig"


def read_layout(path: Path, separator: str | None = None, decimal: str | None = None) -> CsvLayout:
    """Find out how a CSV file is written, from its first lines.

    Parameters
    ----------
    path : Path
        A file in UTF-8 or Windows-1252, perhaps with lines of comments (``#``, ``%``, ``//``) before its first sample.
    separator, decimal : str, optional
        What is known of it.

    Returns
    -------
    CsvLayout
        A row of column numbers (from 0 or 1) counts as a header that names nothing.

    Raises
    ------
    UnreadableError
        If the file is not such text, or can be read in two ways.
    """
    first_lines, encoding = _first_lines(path)
    numbered = [(number, line) for number, line in enumerate(first_lines) if _holds_cells(line)]
    lines = [line for _, line in numbered]
    separator = separator or _separator(lines, decimal)
    rows = [_cells(line, separator) for line in lines]
    decimal = decimal or _decimal(path, rows, separator)
    columns, n_header = _columns(path, rows, decimal)
    if columns is not None:
        columns, n_units = _with_units(columns, rows[n_header:])
        n_header += n_units
        columns = _with_dates(columns, rows[n_header:], decimal)
    # Comments may stand between the header and the samples.
    n_skipped = numbered[n_header][0] if n_header < len(numbered) else (numbered[-1][0] + 1 if numbered else 0)
    return CsvLayout(separator, decimal, n_skipped, columns, encoding)


def check_rows(path: Path, layout: CsvLayout, decimal_is_known: bool = False) -> None:
    """Raise UnreadableError unless all rows have as many cells, without true or false.

    Blank lines between them are refused, too, but for one after each row, as wrong line ends make them.
    """
    try:
        text = path.read_text(encoding=layout.encoding)
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(path, error) from error
    lines = text.split("\n")[layout.n_skipped :]
    lower = text.lower()
    # Nothing needs a closer look in most files: the search of a text takes much less time than that of a pattern.
    is_plain = not any(sign in lower for sign in ('"', "true", "false"))
    rows = (_alike(lines, layout.separator) if is_plain else ()) or _check_lines(path, lines, layout)
    if not decimal_is_known and (example := _grouped_number(rows, layout.separator)):
        raise UnreadableError(
            f"file {path}: {example!r} beside whole numbers may have a decimal point or one of thousands; "
            "state it with --file-decimal, or write numbers without grouping"
        )


def _alike(lines: Sequence[str], separator: str) -> Sequence[str]:
    """The rows, if all have as many separators, and some; none otherwise."""
    rows = lines[:-1] if lines and not lines[-1] else lines
    n_separators = {row.count(separator) for row in rows}
    return rows if separator != " " and len(n_separators) == 1 and 0 not in n_separators else ()


def _check_lines(path: Path, lines: Sequence[str], layout: CsvLayout) -> Sequence[str]:
    """Check the lines one by one, and return those that are not blank. Raises UnreadableError that names a line."""
    n_cells = previous = step = 0
    rows = []
    for number, line in enumerate(lines, start=layout.n_skipped + 1):
        if not line.strip() and (layout.separator == " " or layout.separator not in line):
            continue
        rows.append(line)
        step = step or (previous and number - previous)
        if step > 2 or (previous and number - previous != step):
            raise _blank(path, previous + 1 if number - previous > 1 else layout.n_skipped + 2)
        previous = number
        if truth := _TRUTH.search(line):
            raise UnreadableError(f"file {path}: line {number} holds {truth[0]!r}, which is not a number")
        found = _n_cells(line, layout.separator)
        n_cells = n_cells or found
        if found != n_cells:
            raise UnreadableError(f"file {path}: line {number} has {found} cells, not {n_cells} as the rows before it")
    if not n_cells:
        raise UnreadableError(f"file {path}: it holds no samples")
    if step == 2 and len(rows) < 3:
        raise _blank(path, previous - 1)
    return rows


def _grouped_number(rows: Sequence[str], separator: str) -> str:
    """A number that may be a whole one with a point of thousands: 1.050 in a column with 999, where no cell is 0.5.

    Empty if there is none.
    """
    dotted: dict[int, str] = {}
    whole: set[int] = set()
    for row in rows:
        if "." not in row and whole and not dotted:
            # Most rows of a file of whole numbers: nothing new.
            continue
        for place, cell in enumerate(_cells(row, separator)):
            if "." not in cell:
                if cell.lstrip("+-").isdigit():
                    whole.add(place)
            elif re.fullmatch(r"[+-]?[1-9]\d{0,2}(\.\d{3})+", cell):
                dotted.setdefault(place, cell)
            else:
                return ""
    return next((dotted[place] for place in sorted(whole & set(dotted))), "")


def _blank(path: Path, line: int) -> UnreadableError:
    return UnreadableError(
        f"file {path}: line {line} is blank, between samples; remove it, or write nan for a missing sample"
    )


def _n_cells(line: str, separator: str) -> int:
    if separator == " ":
        return len(line.split())
    # A cell in quotes may hold the separator.
    return (re.sub(r'"[^"]*"', "", line) if '"' in line else line).count(separator) + 1


def time_unit(column: Column) -> float | None:
    """Return the unit of a column of times in s; None if it is not stated."""
    return _TIME_UNITS.get(column.unit.lower())


def is_number(cell: str, decimal: str = ".") -> bool:
    """Whether a cell is a number, with this decimal sign."""
    try:
        float(cell if decimal == "." else cell.replace(",", "."))
    except ValueError:
        return False
    return "_" not in cell


def _first_lines(path: Path) -> tuple[list[str], str]:
    """Read the first lines, and tell the encoding: UTF-8, or else the one of Windows, whose µ many files have."""
    try:
        with path.open("rb") as file:
            start = file.read(4096)
            if b"\0" in start or start.startswith((b"\xff\xfe", b"\xfe\xff")):
                raise UnreadableError(
                    f"file {path}: cannot be read (text in UTF-16, or none; the codec must be UTF-8); save it as UTF-8"
                )
        try:
            return _read_lines(path, "utf-8-sig"), "utf-8-sig"
        except UnicodeDecodeError:
            return _read_lines(path, "cp1252"), "cp1252"
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(path, error) from error


def _read_lines(path: Path, encoding: str) -> list[str]:
    with path.open(encoding=encoding) as text:
        return list(itertools.islice(text, _N_LINES))


def _holds_cells(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith(_COMMENTS)


def _separator(lines: Sequence[str], decimal: str | None) -> str:
    """The first of semicolon, tab and comma that is in every line, or spaces that are; a comma where there is none."""
    if not lines:
        return ","
    for separator in (";", "\t", ","):
        if all(separator in line for line in lines) and separator != decimal:
            return separator
    return " " if all(re.search(r"\S\s+\S", line) for line in lines) else ","


def _cells(line: str, separator: str) -> list[str]:
    cells = line.split() if separator == " " else line.split(separator)
    cells = [cell.strip() for cell in cells]
    return [_QUOTED.sub(r"\2", cell).strip() if cell[:1] in "\"'" else cell for cell in cells]


def _decimal(path: Path, rows: Sequence[Sequence[str]], separator: str) -> str:
    """Find the decimal sign of the cells. Raises UnreadableError if commas may be either."""
    cells = [cell for row in rows for cell in row if "," in cell and re.match(r"[+-]?[\d,]", cell)]
    if separator == "," or not cells:
        return "."
    if all(map(_THOUSANDS.fullmatch, cells)):
        raise UnreadableError(
            f"file {path}: {cells[0]!r} may have a decimal comma or one of thousands; state it with --file-decimal"
        )
    others = [cell for cell in cells if not _DECIMAL_COMMA.fullmatch(cell)]
    if others or any(is_number(cell) and "." in cell for row in rows for cell in row):
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
    kinds = [_column(cell) for cell in first]
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

    Raises UnreadableError if they may be a sample as well: of one or two leads, among whole numbers.
    """
    n = len(names)
    if len(rows) < 2 or list(names) not in ([str(i) for i in range(n)], [str(i + 1) for i in range(n)]):
        return False
    if n < 3 and n == len(rows[0]) and all(re.fullmatch(r"[+-]?\d*", cell) for row in rows for cell in row):
        raise UnreadableError(
            f"file {path}: its first row, {','.join(names)}, may be column numbers or a sample; name the leads there"
        )
    return n > 0


def _column(cell: str) -> Column:
    """Recognise a column by the cell in its header."""
    match = _NAME_AND_UNIT.fullmatch(cell)
    name, unit = (match["name"], match["unit"]) if match else (cell, "")
    after = _NAME_THEN_UNIT.fullmatch(cell)
    if after and (is_voltage(after["unit"]) or after["unit"].lower() in _TIME_UNITS):
        name, unit = after["name"] if is_voltage(after["unit"]) else cell, after["unit"]
    word = name.lower()
    time = _TIME.fullmatch(word)
    if not word:
        return Column("", "unnamed", "")
    if _ROW_NUMBERS.fullmatch(re.sub("[^a-z]", "", word)):
        return Column(name, "row number", unit)
    # A column in a unit of time is one of times, whatever its name is.
    if unit.lower() in _TIME_UNITS:
        return Column(name, "time", unit)
    if word in _TIME_UNITS:
        return Column(name, "time", word)
    if time and (not time["unit"] or time["unit"] in _TIME_UNITS):
        return Column(name, "time", time["unit"] or unit)
    # Other brackets are a part of the name.
    return Column(name, "lead", unit) if is_voltage(unit) else Column(cell, "lead", "")


def _with_units(columns: list[Column], rows: Sequence[Sequence[str]]) -> tuple[list[Column], int]:
    """Add the units of the row below the header, if it is one; return how many rows that is."""
    cells = [cell.strip("[]() ") for cell in rows[0]] if rows else []
    if len(cells) != len(columns):
        return columns, 0
    is_time = [cell.lower() in _TIME_UNITS for cell in cells]
    fits = [
        time or (is_voltage(cell) if column.kind == "lead" else not cell)
        for cell, column, time in zip(cells, columns, is_time, strict=True)
    ]
    if not all(fits) or all(is_time):
        return columns, 0
    return [
        column._replace(unit=cell or column.unit, kind="time" if time and column.kind == "lead" else column.kind)
        for cell, column, time in zip(cells, columns, is_time, strict=True)
    ], 1


def _with_dates(columns: Sequence[Column], rows: Sequence[Sequence[str]], decimal: str) -> list[Column]:
    """Give the unit date to times without a unit that are no numbers."""
    cells = rows[0] if rows and len(rows[0]) == len(columns) else [""] * len(columns)
    return [
        column._replace(unit="date")
        if column.kind == "time" and not column.unit and cell and not is_number(cell, decimal)
        else column
        for column, cell in zip(columns, cells, strict=True)
    ]
