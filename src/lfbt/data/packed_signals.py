"""The signals of a packed data set: gathered in one pass, each record compared with its hash at its first read."""

from __future__ import annotations

import hashlib
import os
import re
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfbt.errors import LfbtError
from lfbt.io import map_npy
from lfbt.utils.opening import open_regular

_HASH_BYTES = 32
_HASH = re.compile(f"[0-9a-f]{{{2 * _HASH_BYTES}}}")


def hash_signal(signal: NDArray[Any]) -> str:
    """The hash of a record ``[leads, samples]`` in ``records.csv``: SHA-256 of its numbers in float32."""
    return _digest(signal).hex()


def _digest(signal: NDArray[Any]) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(signal, dtype="<f4").data).digest()


class PackedSignals:
    """``signals.npy`` of any float type; one row, a slice or an array of rows is read like an array's.

    It is read and not mapped into memory, where a file that is cut meanwhile would end the process.

    With hashes a record is compared with its own when it is read for the first time, and again after the file has been
    written to. As `lfbt prepare` writes finite records only, those that are the same are finite.

    Parameters
    ----------
    path : Path
        The file.
    ids : sequence of str
        Names of the records, for messages.
    hashes : sequence of str
        As of `hash_signal`, one a record; where all have another form no record is compared.

    Attributes
    ----------
    is_compared : bool
        Whether records are compared with hashes.

    Raises
    ------
    LfbtError
        On reading a record that is not the one that was written, and from a file that was cut meanwhile.
    UnreadableError
        If `path` is no array.
    """

    def __init__(self, path: Path, ids: Sequence[str], hashes: Sequence[str]) -> None:
        self.path = path
        self.ids = ids
        self._hashes = _as_bytes(hashes)
        self.is_compared = self._hashes is not None
        self._state = _state(path)
        stored: Any = map_npy(path)
        self.shape: tuple[int, ...] = stored.shape
        self.dtype = stored.dtype
        # Records that do not lie one after the other, in Fortran's order, are mapped.
        self._mapped = None if stored.flags.c_contiguous else stored
        self._start, self._row_bytes = stored.offset, stored[:1].nbytes
        file = open_regular(path, None)
        self._descriptor = file.fileno()
        weakref.finalize(self, file.close)
        self._rows = np.arange(len(stored))
        self._same = np.zeros(len(stored), dtype=bool)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any, /) -> NDArray[Any]:
        rows = self._rows[index]
        same = self._same_since_written()
        signals = self._read(rows)
        if self._hashes is not None:
            each, of_each = np.atleast_1d(rows), signals.reshape(-1, *self.shape[1:])
            for i in np.flatnonzero(~same[each]):
                self._compare(of_each[i], self._hashes[each[i]].tobytes(), int(each[i]))
            same[each] = True
        return signals

    def _read(self, rows: NDArray[np.intp]) -> NDArray[Any]:
        """Read records ``[…, leads, samples]``. Raises LfbtError where the file ends before one of them."""
        if self._mapped is not None:
            return np.asarray(self._mapped).take(rows, axis=0)
        signals: Any = np.empty((*np.shape(rows), *self.shape[1:]), dtype=self.dtype)
        size, places = self._row_bytes, memoryview(signals.reshape(-1)).cast("B")
        for place, row in zip(range(0, signals.nbytes, size), np.ravel(rows).tolist(), strict=True):
            if os.preadv(self._descriptor, [places[place : place + size]], self._start + row * size) != size:
                raise LfbtError(f"{self.path}: ends before record {self.ids[row]}; prepare it again")
        return signals  # type: ignore[no-any-return]

    def _same_since_written(self) -> NDArray[np.bool_]:
        """Which records were compared ``[records]``: none, once more, after the file was written to.

        A new array then, so that another thread cannot note in it what it compared before.
        """
        now = _state(self.path)
        if now is None or self._state is None or now[0] != self._state[0]:
            return self._same  # moved, removed or replaced: what is mapped stays as it is
        if now[1] != self._state[1]:
            raise LfbtError(
                f"{self.path}: has {now[1]:,} bytes, and had {self._state[1]:,} when it was opened; prepare it again"
            )
        if now != self._state:
            self._state, self._same = now, np.zeros_like(self._same)
        return self._same

    def _compare(self, signal: NDArray[Any], hash: bytes, row: int) -> None:
        if _digest(signal) == hash:
            return
        record = f"{self.path.parent}: record {self.ids[row]}"
        if not np.isfinite(signal).all():
            raise not_finite(record)
        raise LfbtError(
            f"{record} is not the one that was written, whose hash records.csv has; prepare the data set again"
        )


def not_finite(record: str) -> LfbtError:
    """The error for a record that cannot be used, by its name."""
    return LfbtError(f"{record} holds NaN or infinity; remove it or prepare the data set again")


def _as_bytes(hashes: Sequence[str]) -> NDArray[np.uint8] | None:
    """Hashes in hexadecimal digits as ``[records, 32]``; None where none is of the form of `hash_signal`."""
    are_hashes = [_HASH.fullmatch(hash) is not None for hash in hashes]
    if not any(are_hashes):
        return None
    if not all(are_hashes):
        row = are_hashes.index(False)
        raise LfbtError(f"the hash of row {row} of records.csv is {hashes[row]!r}, and not as the others are")
    return np.frombuffer(bytes.fromhex("".join(hashes)), dtype=np.uint8).reshape(len(hashes), _HASH_BYTES)


def _state(path: Path) -> tuple[int, int, int] | None:
    """What changes with a file's content: which file it is, its bytes and when it was written; None without one."""
    try:
        found = os.stat(path)  # noqa: PTH116 - half the time of Path.stat, for every batch
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
