"""Whether the rows of a CSV file are alike, so that none loses or moves a sample."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from lfbt.errors import UnreadableError
from lfbt.io.csv_layout import CsvLayout, split_cells
from lfbt.io.csv_text import end_of_lines

# Readers of numbers take these for 1 and 0.
_TRUTH = re.compile(r"\b(true|false)\b", re.IGNORECASE)
# So many bytes, with all that is made of them, stay in the cache of a processor.
_PART = 1 << 16
_GROUPED = re.compile(r"[+-]?[1-9]\d{0,2}(\.\d{3})+")


def check_rows(path: Path, text: bytes, layout: CsvLayout, decimal_is_known: bool = False) -> None:
    """Raise UnreadableError unless all rows have as many cells, without true or false.

    Blank lines between them are refused, too, but for one after each row, as wrong line ends make them.

    Parameters
    ----------
    path : Path
        The file, which errors name.
    text : bytes
        What it holds, of `read_text`.
    layout : CsvLayout
        How it is written.
    decimal_is_known : bool
        Whether the decimal sign was stated, and not found.
    """
    start = end_of_lines(text, layout.n_skipped)
    is_alike = not _needs_a_look(text, start) and _is_alike(text, start, layout.separator)
    rows = _lines(text, start) if is_alike else iter(_check_lines(path, text[start:].decode().split("\n"), layout))
    if not decimal_is_known and text.find(b".", start) >= 0 and (example := _grouped_number(rows, layout.separator)):
        raise UnreadableError(
            f"file {path}: {example!r} beside whole numbers may have a decimal point or one of thousands; "
            "state it with --file-decimal, or write numbers without grouping"
        )


def _needs_a_look(text: bytes, start: int) -> bool:
    """Whether there may be a word for true or false, or a cell in quotes, from `start` on."""
    if text.find(b'"', start) >= 0:
        return True
    # A letter is found sooner than a word.
    letters = any(text.find(letter, start) >= 0 for letter in (b"t", b"T", b"f", b"F"))
    return letters and any(word in text[start:].lower() for word in (b"true", b"false"))


def _is_alike(text: bytes, start: int, separator: str) -> bool:
    """Whether every line from `start` on has as many separators, and some."""
    if len(separator) != 1 or separator == " " or not separator.isascii():
        return False
    text = text if text.endswith(b"\n") else text + b"\n"
    n_separators = text.count(separator.encode(), start, text.find(b"\n", start))
    while n_separators and start < len(text):
        end = text.rfind(b"\n", start, start + _PART) + 1 or len(text)
        characters = np.frombuffer(text, np.uint8, end - start, start)
        is_end = characters == ord("\n")
        marks = np.flatnonzero(is_end | (characters == ord(separator)))
        # Each end of a line comes after so many separators, and nothing else does.
        ends = marks[n_separators :: n_separators + 1]
        if len(ends) != np.count_nonzero(is_end) or not is_end[ends].all():
            return False
        start = end
    return n_separators > 0


def _lines(text: bytes, start: int) -> Iterator[str]:
    """Yield the lines from `start` on, which are not all split where only the first are wanted."""
    while start < len(text):
        end = text.find(b"\n", start)
        end = len(text) if end < 0 else end
        yield text[start:end].decode()
        start = end + 1


def _check_lines(path: Path, lines: Sequence[str], layout: CsvLayout) -> Sequence[str]:
    """Check the lines one by one, and return those that are not blank. Raises UnreadableError that names a line."""
    n_cells = previous = step = 0
    rows = []
    others = {place for place, column in enumerate(layout.columns or ()) if column.kind == "other"}
    for number, line in enumerate(lines, start=layout.n_skipped + 1):
        if not line.strip() and (layout.separator == " " or layout.separator not in line):
            continue
        rows.append(line)
        step = step or (previous and number - previous)
        if step > 2 or (previous and number - previous != step):
            raise _blank(path, previous + 1 if number - previous > 1 else layout.n_skipped + 2)
        previous = number
        if (truth := _TRUTH.search(line)) and others:
            cells = [cell for place, cell in enumerate(split_cells(line, layout.separator)) if place not in others]
            truth = _TRUTH.search(" ".join(cells))
        if truth:
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


def _grouped_number(rows: Iterator[str], separator: str) -> str:
    """A number that may be a whole one with a point of thousands: 1.050 in a column with 999, where no cell is 0.5.

    Empty if there is none.
    """
    dotted: dict[int, str] = {}
    whole: set[int] = set()
    for row in rows:
        if "." not in row and whole and not dotted:
            # Most rows of a file of whole numbers: nothing new.
            continue
        for place, cell in enumerate(split_cells(row, separator)):
            if "." not in cell:
                if cell.lstrip("+-").isdigit():
                    whole.add(place)
            elif _GROUPED.fullmatch(cell):
                dotted.setdefault(place, cell)
            elif ":" not in cell and cell.count(".") == 1:
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
