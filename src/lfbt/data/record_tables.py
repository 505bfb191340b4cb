"""The tables of a preparation: ``records.csv``, and ``dropped.csv`` with what was dropped and noted."""

from __future__ import annotations

import csv
import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from lfbt.data.layouts import DROPPED, RECORDS
from lfbt.data.record_hash import COLUMNS, hash_table
from lfbt.sources.listing import Dropped, Entry
from lfbt.utils.opening import shown_name

#: Tells rows of `DROPPED` that are notes from those of what was dropped.
NOTED = "noted: "


@dataclasses.dataclass(frozen=True, slots=True)
class KeptRecord:
    """A record that is kept: its id, its recording, which piece of it, and the hash of the signal."""

    id: str
    entry: Entry
    piece: int
    hash: str

    @property
    def labels(self) -> str:
        """The labels as in the table."""
        return ";".join(dict.fromkeys(self.entry.labels))


def note_copies(records: Sequence[KeptRecord]) -> Iterator[Dropped]:
    """Note each record whose signal an earlier one of another patient has, perhaps in another split."""
    rows = sorted(range(len(records)), key=lambda row: records[row].hash)
    for _, alike in itertools.groupby(rows, key=lambda row: records[row].hash):
        first, *copies = (records[row] for row in alike)
        for copy in copies:
            if copy.entry.patient != first.entry.patient:
                yield Dropped(copy.id, str(copy.entry.file), f"{NOTED}copy of another patient's record: {first.id}")


def write_records(folder: Path, records: Sequence[KeptRecord], splits: Sequence[str], source_folder: Path) -> str:
    """Write ``records.csv`` row by row, and return the hash of its rows."""
    with (folder / RECORDS).open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        for record, split in zip(records, splits, strict=True):
            path = _relative(record.entry.file, source_folder)
            row = record.id, record.entry.patient, path, str(record.piece), record.labels, split, record.hash
            table.writerow(row)
    return hash_table(folder / RECORDS) or ""


def write_dropped(folder: Path, dropped: Iterable[Dropped], source_folder: Path) -> None:
    """Write ``dropped.csv``: what was dropped, and notes."""
    with (folder / DROPPED).open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["id", "file", "reason"])
        table.writerows((item.id, _relative(Path(item.file), source_folder), item.reason) for item in dropped)


def _relative(file: Path, folder: Path) -> str:
    return shown_name(file.relative_to(folder).as_posix() if file.is_relative_to(folder) else file.as_posix())
