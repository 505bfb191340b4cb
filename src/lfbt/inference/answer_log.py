"""A file of answers that grows: all rows of a file or none, and each version of a file once, also after a kill."""

from __future__ import annotations

import contextlib
import csv
import fcntl
import io
import itertools
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from lfbt.errors import LfbtError
from lfbt.inference.answer_table import Row, csv_writer, json_writer
from lfbt.utils.targets import write_error

#: What a log may be, by its suffix: what can be added to.
SUFFIXES = (".csv", ".jsonl")
#: The columns that a log has besides those of its answers.
COLUMNS = ("size", "mtime_ns", "rows", "made_by")
# How each line of JSON begins.
_JSON_START = b'{"file": "'


class Version(NamedTuple):
    """A file as it was at a time: bytes, and the time of its last change in ns; with the files that belong to it."""

    file: str
    size: int
    mtime_ns: int


class AnswerLog:
    """Adds the answers to files to a file that is held open; from `open_log`."""

    def __init__(self, path: Path, file: BinaryIO, columns: Sequence[str], made_by: str) -> None:
        self._path, self._file, self._columns, self._made_by = path, file, columns, made_by
        self.answered: set[Version] = set()

    def append(self, version: Version, rows: Sequence[Row]) -> None:
        """Add the rows of a file, which have reached the disk afterwards. Raises LfbtError where that fails."""
        text = io.StringIO(newline="")
        write = self._writer(text)
        own = {**version._asdict(), "rows": len(rows), "made_by": self._made_by}
        for row in rows:
            write({**row, **own})
        self._write(text.getvalue())
        self.answered.add(version)

    def _writer(self, text: io.StringIO) -> Callable[[Row], None]:
        return csv_writer(text, self._columns, header=False) if self._path.suffix == ".csv" else json_writer(text)

    def _write(self, text: str) -> None:
        if not (self._path.exists() and os.path.samestat(self._path.stat(), os.fstat(self._file.fileno()))):
            raise LfbtError(f"out: {self._path} was removed or replaced meanwhile; begin anew, or name another file")
        left = memoryview(text.encode())
        try:
            while left:
                left = left[self._file.write(left) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            raise write_error(self._path, error) from error

    def recover(self) -> bool:
        """Read what is answered, and cut off what a killed process has not finished; returns whether there was such.

        Raises LfbtError, and changes nothing, for a file with other things in it.
        """
        content = self._path.read_bytes()
        is_csv = self._path.suffix == ".csv"
        header = self._header() if is_csv else b""
        start = header or _JSON_START
        if not content.startswith(start[: len(content)]):
            raise LfbtError(
                f"out: {self._path} has other columns than these answers, or was not made by --watch; name another file"
            )
        end = len(header)
        if len(content) < end:
            # Killed before the first line was complete.
            self._file.truncate(0)
            self._write(header.decode())
            return False
        rows: list[dict[str, Any]] = []
        for after, row in _csv_rows(content, self._columns, self._made_by) if is_csv else _json_rows(content):
            rows.append(row)
            if self._check(rows) == len(rows):
                end, rows = after, []
                self.answered.add(_version(row))
        is_cut = end < len(content)
        if is_cut:
            self._file.truncate(end)
        return is_cut

    def _header(self) -> bytes:
        text = io.StringIO(newline="")
        csv_writer(text, self._columns)
        return text.getvalue().encode()

    def _check(self, rows: Sequence[dict[str, Any]]) -> int:
        """How many rows the last of `rows` says that its file has. Raises LfbtError for one that is not of this log."""
        row = rows[-1]
        made_by = row.get("made_by")
        if made_by not in (None, self._made_by):
            raise LfbtError(
                f"out: {self._path} has answers of another model, or by other options (made_by {made_by}, now "
                f"{self._made_by}); go on with these, or name another file"
            )
        try:
            is_same = _version(row) == _version(rows[0])
            total = int(row["rows"])
        except (KeyError, ValueError, TypeError):
            is_same, total = False, 0
        if made_by is None or not (is_same and len(rows) <= total):
            raise LfbtError(f"out: {self._path} was edited, near the answer to {row.get('file')}; name another file")
        return total


@contextlib.contextmanager
def open_log(out: Path, columns: Sequence[str], made_by: str) -> Iterator[tuple[AnswerLog, bool]]:
    """Hold a log open, new or with the answers of before.

    Parameters
    ----------
    out
        ``.csv`` or ``.jsonl``.
    columns
        Of the answers; `COLUMNS` are added.
    made_by
        What stands for model and options. Answers by another are refused.

    Yields
    ------
    tuple of AnswerLog and bool
        The log, and whether the end of an answer that was cut short was removed.

    Raises
    ------
    LfbtError
        For a file of another kind or of other answers, and for one that another process holds.
    """
    if out.suffix not in SUFFIXES:
        raise LfbtError(f"out: {out} cannot be added to; with --watch name a file that ends in {' or '.join(SUFFIXES)}")
    if not out.absolute().parent.is_dir():
        raise LfbtError(f"out: the folder of {out} does not exist; make it, or give another name")
    try:
        file = out.open("ab", buffering=0)
    except OSError as error:
        raise write_error(out, error) from error
    with file:
        try:
            # Ends with the process, however that ends.
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LfbtError(f"out: another process is adding to {out} now; end it, or name another file") from None
        log = AnswerLog(out, file, [*columns, *COLUMNS], made_by)
        yield log, log.recover()


def _version(row: dict[str, Any]) -> Version:
    return Version(str(row["file"]), int(row["size"]), int(row["mtime_ns"]))


def _json_rows(content: bytes) -> Iterator[tuple[int, dict[str, Any]]]:
    """Where each complete row ends, and the row."""
    end = 0
    for line in _complete_lines(content):
        end += len(line)
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        yield end, row if isinstance(row, dict) else {}


def _csv_rows(content: bytes, columns: Sequence[str], made_by: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Where each complete row below the header ends, and the row; one without values where the file was edited."""
    lines = _complete_lines(content)
    ends = [0, *itertools.accumulate(map(len, lines))]
    # A row may have line ends in quotes, and a kill may have left one without the second quote.
    reader = csv.reader((line.decode(errors="replace") for line in lines), strict=True)
    end = 0
    try:
        for row in reader:
            begin, end = end, ends[reader.line_num]
            if begin:
                yield end, dict(zip(columns, row, strict=False))
    except csv.Error:
        if f",{made_by}\n".encode() in content[end:]:
            yield end, {}


def _complete_lines(content: bytes) -> list[bytes]:
    return [line for line in io.BytesIO(content) if line.endswith(b"\n")]
