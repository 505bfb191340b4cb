"""The journal of a preparation: what is written so far, a line a recording, so that it goes on after a kill."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import lfbt
from lfbt.data.records import Piece, Prepared
from lfbt.sources.listing import Dropped, Entry

JOURNAL = "journal.jsonl"

_NO_SIGNAL = np.empty((0, 0), dtype=np.float32)


def preparation_key(settings: Mapping[str, Any], recordings: str) -> str:
    """Hash of all that a preparation follows from: version, settings, and the hash of its recordings."""
    text = json.dumps([lfbt.__version__, dict(settings), recordings], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def hash_recordings(entries: Sequence[Entry], source_folder: Path) -> str:
    """Hash of recordings in a folder, wherever that is, and of the names, sizes and times of the files beside them.

    The files of a recording are not known before it is read: a WFDB header names others.
    """
    digest = hashlib.sha256()
    begin = f"{source_folder}/"
    folders: set[str] = set()
    for entry in entries:
        # What a table states of a file is given to its reader.
        options = getattr(entry.reader, "keywords", {})
        file = str(entry.file).removeprefix(begin)
        stated = entry.id, entry.patient, entry.labels, entry.split, entry.sex, entry.age
        digest.update(repr((*stated, file, sorted(options.items()))).encode())
        folders.add(os.path.dirname(entry.file))  # noqa: PTH120
    for folder in sorted(folders):
        name = folder.removeprefix(begin) if folder != str(source_folder) else ""
        digest.update((name + _state(folder)).encode(errors="surrogateescape"))
    return digest.hexdigest()


def _state(folder: str) -> str:
    """The names, sizes and times of the files in a folder, but for hidden ones."""
    try:
        with os.scandir(folder or ".") as found:
            files = [(file.name, file.stat()) for file in found if file.is_file() and not file.name.startswith(".")]
    except OSError:
        return "absent"
    return repr(sorted((name, stat.st_size, stat.st_mtime_ns) for name, stat in files))


class Journal:
    """What is prepared so far: one line a recording, written after its signals.

    Parameters
    ----------
    folder : Path
        Where the preparation writes. Lines of a preparation with the same `key` are kept.
    key : str
        Of `preparation_key`.
    entries : sequence of Entry
        The recordings, in order.

    Attributes
    ----------
    done : list of Prepared
        The first recordings, as they were prepared before; without their signals.
    """

    def __init__(self, folder: Path, key: str, entries: Sequence[Entry]) -> None:
        self.done, end = read_journal(folder, key, entries)
        self._file = (folder / JOURNAL).open("r+b" if end else "wb")
        if end:
            self._file.truncate(end)
            self._file.seek(end)
        else:
            self._write({"key": key})

    @property
    def n_records(self) -> int:
        """How many records are written."""
        return sum(len(prepared.pieces) for prepared in self.done)

    def append(self, prepared: Prepared) -> None:
        """Note a recording whose signals are written."""
        self._write(
            {
                "n_pieces": prepared.n_pieces,
                "pieces": [(piece.number, piece.hash) for piece in prepared.pieces],
                "dropped": [(item.id, item.file, item.reason) for item in prepared.dropped],
                "spans": prepared.spans,
                "notes": prepared.notes,
            }
        )

    def _write(self, line: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(line).encode() + b"\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_journal(folder: Path, key: str, entries: Sequence[Entry]) -> tuple[list[Prepared], int]:
    """What the journal of the preparation `key` has, and where its last complete line ends; 0 for another's or none."""
    path = folder / JOURNAL
    if not path.is_file():
        return [], 0
    done: list[Prepared] = []
    end = 0
    with path.open("rb") as file:
        for number, text in enumerate(file):
            # The last line may be cut.
            if not text.endswith(b"\n"):
                break
            try:
                line = json.loads(text)
                if number == 0:
                    if line != {"key": key}:
                        return [], 0
                else:
                    pieces = [Piece(piece, _NO_SIGNAL, hash) for piece, hash in line["pieces"]]
                    dropped = [Dropped(*item) for item in line["dropped"]]
                    entry = entries[number - 1]
                    done.append(Prepared(entry, line["n_pieces"], pieces, dropped, line["spans"], tuple(line["notes"])))
            except (ValueError, KeyError, TypeError, IndexError):  # as after a crash of the machine
                break
            end += len(text)
    return done, end
