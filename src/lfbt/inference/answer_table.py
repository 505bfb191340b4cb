"""Tables of answers, a row a recording: CSV, JSON lines or Parquet by the suffix of the file, or text."""

from __future__ import annotations

import contextlib
import csv
import fcntl
import importlib.util
import io
import json
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, TextIO

from lfbt.errors import LfbtError
from lfbt.inference.prediction import is_feature_column
from lfbt.utils.files import atomic_file
from lfbt.utils.tables import as_text
from lfbt.utils.targets import check_creatable

#: What a file of answers may be, by its suffix.
SUFFIXES = (".csv", ".jsonl", ".parquet")

Row = Mapping[str, Any]


def check_table(out: Path, overwrite: bool = False) -> None:
    """Raise LfbtError, before anything is computed, for a file that cannot become a table of answers, or is no such.

    overwrite: whether it will be replaced, so that no other process may add to it.
    """
    if out.suffix not in SUFFIXES:
        raise LfbtError(f"out: {out} ends in none of {', '.join(SUFFIXES)}; name a file that does")
    if out.exists() or out.is_symlink():
        _check_answers(out, "overwrite" if overwrite else "out")
    if not out.absolute().parent.is_dir():
        raise LfbtError(f"out: the folder of {out} does not exist; make it, or give another name")
    check_creatable(out)
    if out.suffix == ".parquet" and importlib.util.find_spec("pyarrow") is None:
        raise LfbtError(f"out: {out} needs the package pyarrow; pip install 'lfbt[parquet]', or name a .csv")


def _check_answers(out: Path, setting: str) -> None:
    """Raise LfbtError about a setting unless a file is a table of answers, by its columns, that nothing is added to."""
    if out.is_symlink() or not out.is_file():
        what = "a link" if out.is_symlink() else "no file"
        raise LfbtError(f"{setting}: {out} is {what}; give another name")
    columns = _columns_of(out)
    if columns[:3] != ["file", "record", "patient"] or "pieces" not in columns or "error" not in columns:
        raise LfbtError(f"{setting}: {out} is no table of answers of lfbt; give another name")
    if is_held(out):
        raise LfbtError(f"{setting}: another process is adding to {out} now; end it, or give another name")


def _columns_of(out: Path) -> list[str]:
    """The columns of a table; of JSON lines, whose rows lack what is empty, with the last one."""
    if out.suffix == ".parquet":
        import pyarrow
        import pyarrow.parquet

        try:
            names: list[str] = pyarrow.parquet.read_schema(out).names
        except (pyarrow.ArrowException, OSError):
            return []
        return names
    with out.open(encoding="utf-8", errors="replace", newline="") as file:
        line = file.readline()
    if out.suffix == ".csv":
        return next(csv.reader([line.rstrip("\n")]), [])
    try:
        names = list(json.loads(line))
    except (ValueError, TypeError):
        return []
    return ["file", "record", "patient", *names, "error"] if names[:2] == ["file", "record"] else []


def is_held(out: Path) -> bool:
    """Whether a process adds to a table, as `lfbt.inference.answer_log.open_log` does."""
    with out.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@contextlib.contextmanager
def writing_table(out: Path, columns: Sequence[str]) -> Iterator[Callable[[Row], None]]:
    """Write rows to `out` as they come, complete or not at all.

    Yields
    ------
    callable
        Writes one row.

    Raises
    ------
    LfbtError
        Where there was no such file, and another program has written one meanwhile.
    """
    is_new = not out.exists()
    with atomic_file(out) as partial:
        if out.suffix == ".parquet":
            rows: list[Row] = []
            yield rows.append
            _write_parquet(partial, rows, columns)
        else:
            with partial.open("w", encoding="utf-8", newline="") as file:
                yield csv_writer(file, columns) if out.suffix == ".csv" else json_writer(file)
        if is_new and out.exists():
            raise LfbtError(f"out: {out} was written by another program meanwhile; give another name")


@contextlib.contextmanager
def comparing_table(out: Path, columns: Sequence[str]) -> Iterator[Callable[[Row], None]]:
    """As `writing_table`, for a table that is there: rows are compared with its own, and nothing is written.

    Raises
    ------
    LfbtError
        At the first row that is another; of Parquet at the end.
    """
    with out.open("rb") as file:
        there = _Comparison(out, file)
        if out.suffix == ".parquet":
            rows: list[Row] = []
            yield rows.append
            there.compare_parquet(rows, columns)
            return
        text: TextIO = there  # type: ignore[assignment]
        yield csv_writer(text, columns) if out.suffix == ".csv" else json_writer(text)
        there.check_end()


class _Comparison:
    """Where a writer of rows writes to, to have them compared with those of a file."""

    def __init__(self, out: Path, file: BinaryIO) -> None:
        self._out, self._file = out, file
        # The first row of CSV has the columns.
        self._row = 0 if out.suffix == ".csv" else 1

    def write(self, text: str) -> None:
        """Compare the next row."""
        content = text.encode()
        if self._file.read(len(content)) != content:
            self._refuse(f"its row {self._row} is not what" if self._row else "its columns are not those that")
        self._row += 1

    def compare_parquet(self, rows: Sequence[Row], columns: Sequence[str]) -> None:
        """Compare all rows."""
        import pandas as pd

        made = io.BytesIO()
        _write_parquet(made, rows, columns)
        # Files differ by the versions of packages, too.
        if not pd.read_parquet(self._file).equals(pd.read_parquet(made)):
            self._refuse("its answers are not those that")

    def check_end(self) -> None:
        if self._file.read(1):
            self._refuse("it has more answers than")

    def _refuse(self, what: str) -> NoReturn:
        raise LfbtError(
            f"out: {self._out} exists, and {what} this command gives; give another name, or replace it with --overwrite"
        )


def csv_writer(file: TextIO, columns: Sequence[str], header: bool = True) -> Callable[[Row], None]:
    """Return what writes a row as a line of CSV, below a header.

    Features have nine digits, which give back the same number in single precision; other numbers all that they have.
    """
    # A writer returns what `write` returns: here the line itself.
    as_line = csv.writer(types.SimpleNamespace(write=str), lineterminator="\n").writerow
    # Python quotes a carriage return, without which it cannot be read, from 3.13 on only.
    as_quoted_line = csv.writer(types.SimpleNamespace(write=str), lineterminator="\n", quoting=csv.QUOTE_ALL).writerow
    known = frozenset(columns)
    features = [number for number, name in enumerate(columns) if is_feature_column(name)]
    first, end = (features[0], features[-1] + 1) if features else (0, 0)
    as_features = ",".join(["%.9g"] * (end - first))

    def as_cell(cell: Any) -> str:
        # Numbers csv would search for what is to be quoted. A single empty cell it would quote.
        return repr(cell) if type(cell) is float else as_line((cell, ""))[:-2]

    def write(row: Row) -> None:
        if not row.keys() <= known:
            raise ValueError(f"cells without a column: {', '.join(row.keys() - known)}")
        cells = [row.get(name, "") for name in columns]
        between = cells[first:end]
        parts = [*map(as_cell, cells[:first]), *map(as_cell, cells[end:])]
        if features:
            try:
                middle = as_features % tuple(between)
            except TypeError:  # some are empty, or in the header all are names
                middle = ",".join([f"{cell:.9g}" if type(cell) is float else as_cell(cell) for cell in between])
            parts.insert(first, middle)
        line = ",".join(parts)
        file.write(as_quoted_line(cells) if "\r" in line else f"{line}\n")

    if header:
        write(dict(zip(columns, columns, strict=True)))
    return write


def stream_writer(stream: TextIO, columns: Sequence[str]) -> Callable[[Row], None]:
    """Return what writes rows as CSV as they come, from the first without an error on."""
    held: list[Row] = []
    begun: Callable[[Row], None] | None = None

    def write(row: Row) -> None:
        nonlocal begun
        held.append(row)
        if begun is None and row.get("error"):
            return
        begun = begun or csv_writer(stream, columns)
        for one in held:
            begun(one)
        held.clear()
        stream.flush()

    return write


def json_writer(file: TextIO) -> Callable[[Row], None]:
    """Return what writes a row as a line of JSON, without what is empty."""

    def write(row: Row) -> None:
        file.write(json.dumps({name: value for name, value in row.items() if value != ""}, ensure_ascii=False) + "\n")

    return write


def _write_parquet(file: Path | BinaryIO, rows: Sequence[Row], columns: Sequence[str]) -> None:
    import pandas as pd

    pd.DataFrame(list(rows), columns=list(columns)).to_parquet(file, index=False)


def format_csv(rows: Sequence[Row], columns: Sequence[str]) -> str:
    r"""Format rows as CSV.

    >>> format_csv([{"file": "a.csv", "p_AF": 0.5}], ["file", "p_AF", "notes"])
    'file,p_AF,notes\na.csv,0.5,'
    """
    file = io.StringIO()
    write = csv_writer(file, columns)
    for row in rows:
        write(row)
    return file.getvalue().removesuffix("\n")


def format_rows(rows: Sequence[Row], columns: Sequence[str], width: int | None = None) -> str:
    """Format rows as text of at most `width`, with four digits and without columns that are empty in all.

    >>> print(format_rows([{"file": "a.csv", "p_AF": 0.5, "notes": ""}], ["file", "p_AF", "notes"]))
    file   p_AF
    a.csv  0.5000
    """
    used = [name for name in columns if any(row.get(name, "") != "" for row in rows)]
    return as_text([used, *([_as_cell(row.get(name, "")) for name in used] for row in rows)], width)


def _as_cell(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)
