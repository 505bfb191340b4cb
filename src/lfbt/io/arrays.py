"""NumPy files of one recording or several."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lfbt.errors import UnreadableError
from lfbt.recording import Recording, unit_in_mv

if TYPE_CHECKING:
    pass
from lfbt.io.recordings import READ_ERRORS, make_recording, unreadable


def read_npy(path: Path, leads: Sequence[str], sampling_rate: float, unit: str) -> Recording:
    """The recording in a ``.npy`` file: a numeric array ``[leads, samples]`` in `unit`, at `sampling_rate` Hz.

    Raises UnreadableError; arrays of Python objects are refused, never unpickled.
    """
    array = open_npy(path)
    if array.ndim != 2:
        raise UnreadableError(f"file {path}: an array of shape {list(array.shape)}, not [{len(leads)} leads, samples]")
    return make_recording(path, array.astype(np.float64) * unit_in_mv(unit), leads, sampling_rate)


def read_npy_row(path: Path, *, row: int, leads: Sequence[str], sampling_rate: float, unit: str) -> Recording:
    """The recording in row `row` of a ``.npy`` file with a numeric array ``[records, leads, samples]`` in `unit`.

    Only that row is read from the disk. Raises UnreadableError.
    """
    array = open_npy(path)
    if array.ndim != 3 or not 0 <= row < len(array):
        raise UnreadableError(
            f"file {path}: an array of shape {list(array.shape)}, not [records, {len(leads)} leads, samples] "
            f"with a record {row}"
        )
    return make_recording(path, array[row].astype(np.float64) * unit_in_mv(unit), leads, sampling_rate)


def open_npy(path: Path) -> NDArray[Any]:
    """The array of a ``.npy`` file, memory-mapped. Raises UnreadableError unless it holds real numbers."""
    try:
        array: NDArray[Any] = np.lib.format.open_memmap(path, mode="r")
    except READ_ERRORS as error:
        raise unreadable(path, error) from error
    if array.dtype.kind not in "iuf":
        raise UnreadableError(f"file {path}: an array of {array.dtype}, not of numbers; save integers or floats")
    return array
