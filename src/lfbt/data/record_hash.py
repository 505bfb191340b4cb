"""The hash of the table of records, in ``dataset.json``: it tells changed labels, splits and patients."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from lfbt.utils.opening import read_bytes

#: The columns of the table.
COLUMNS = ("id", "patient", "file", "piece", "labels", "split", "hash")


def hash_rows(rows: Iterable[Sequence[str]]) -> str:
    r"""SHA-256 of rows of cells, joined by commas and line feeds.

    >>> hash_rows([["1", "a"], ["2", "b"]]) == hashlib.sha256(b"1,a\n2,b").hexdigest()
    True
    """
    digest = hashlib.sha256()
    for number, row in enumerate(rows):
        digest.update((("\n" if number else "") + ",".join(row)).encode())
    return digest.hexdigest()


def hash_table(path: Path) -> str | None:
    """`hash_rows` of a table below its header; None where its columns are not `COLUMNS`, as in one made by hand."""
    header, _, rows = read_bytes(path).partition(b"\n")
    if header.rstrip(b"\r").decode(errors="replace").split(",") != list(COLUMNS):
        return None
    if b'"' not in rows and b"\r" not in rows:
        # What was written is what is hashed; it takes a tenth of the time.
        return hashlib.sha256(rows.removesuffix(b"\n")).hexdigest()
    try:
        return hash_rows(csv.reader(io.StringIO(rows.decode(errors="replace"), newline="")))
    except csv.Error:  # no table any more, and so not the one that was written
        return hashlib.sha256(rows).hexdigest()
