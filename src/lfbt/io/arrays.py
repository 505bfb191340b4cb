"""NumPy files of one recording or of several."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfbt.errors import UnreadableError
from lfbt.io.guarding import guarded, reading
from lfbt.io.recordings import check_not_offset, check_not_times, leads_first, make_recording
from lfbt.recording import Recording, to_mv
from lfbt.utils.opening import open_regular


@guarded()
def read_npy(path: Path, leads: Sequence[str], sampling_rate: float, unit: str) -> Recording:
    """Read a ``.npy`` file of one recording.

    Parameters
    ----------
    path : Path
        A file with an array of numbers ``[leads, samples]``, or ``[samples, leads]`` where only that fits the leads, or
        ``[samples]`` of one lead. Arrays of Python objects are refused, never unpickled.
    leads : sequence of str
        The name of each row.
    sampling_rate : float
        In Hz.
    unit : str
        A voltage, such as ``mV``, or counts, such as ``200(2048)/mV``.

    Returns
    -------
    Recording
        In mV.

    Raises
    ------
    UnreadableError
        If the file is not such an array.
    """
    array, notes = leads_first(_read(path, open_npy(path)), len(leads))
    if array.ndim != 2 or array.shape[0] != len(leads) or not array.size:
        what = "an empty array" if not array.size else "an array"
        raise UnreadableError(f"file {path}: {what} of shape {list(array.shape)}, not [{len(leads)} leads, samples]")
    return _recording(path, array, leads, sampling_rate, unit, notes)


@guarded(most=None)
def read_npy_row(path: Path, *, row: int, leads: Sequence[str], sampling_rate: float, unit: str) -> Recording:
    """Read one recording of a ``.npy`` file of several, and only it from the disk.

    Parameters
    ----------
    path : Path
        A file with an array of numbers ``[recordings, leads, samples]``, or ``[recordings, samples, leads]`` where only
        that fits the leads.
    row : int
        Which recording, from 0.
    leads, sampling_rate, unit
        As of `read_npy`.

    Returns
    -------
    Recording
        In mV.

    Raises
    ------
    UnreadableError
        If the file is not such an array, or has no such row.
    """
    array = open_npy(path)
    if array.ndim != 3 or not 0 <= row < len(array):
        raise UnreadableError(
            f"file {path}: an array of shape {list(array.shape)}, not [records, {len(leads)} leads, samples] "
            f"with a record {row}"
        )
    signal, notes = leads_first(_read(path, array, row), len(leads))
    return _recording(path, signal, leads, sampling_rate, unit, notes)


def _read(path: Path, mapped: NDArray[Any], row: int | None = None) -> NDArray[Any]:
    """Read the array of a file, or one row of it, but not by its map: a file that is cut would end the process."""
    of_a_row = mapped.shape if row is None else mapped.shape[1:]
    if not mapped.flags.c_contiguous:
        with open_regular(path, None) as file:
            whole: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
        return whole if row is None else whole[row]
    count = math.prod(of_a_row)
    start = mapped.offset + (row or 0) * count * mapped.itemsize  # type: ignore[attr-defined]
    values = np.fromfile(path, mapped.dtype, count, offset=start)
    if len(values) < count:
        raise UnreadableError(f"file {path}: ends before all of its {list(mapped.shape)} values; it is being written")
    return values.reshape(of_a_row)


def _recording(
    path: Path, array: NDArray[Any], leads: Sequence[str], sampling_rate: float, unit: str, notes: Sequence[str]
) -> Recording:
    """Make a recording of an array ``[leads, samples]`` of a file, unless it holds times or counts with an offset."""
    # Signalling NaN is NaN.
    with np.errstate(invalid="ignore", over="ignore"):
        check_not_times(path, array, leads)
        check_not_offset(path, array, unit, leads)
        return make_recording(path, to_mv(array.astype(np.float64), unit), leads, sampling_rate, notes)


def open_npy(path: Path) -> NDArray[Any]:
    """Open the array of a ``.npy`` file as a memory map. Raises UnreadableError unless it holds real numbers."""
    array = map_npy(path)
    if array.dtype.kind not in "iuf":
        raise UnreadableError(f"file {path}: an array of {array.dtype}, not of numbers; save integers or floats")
    return array


def map_npy(path: Path) -> NDArray[Any]:
    """Open the array of a ``.npy`` file, of any type but objects, as a memory map. Raises UnreadableError for none."""
    with reading(path), open_regular(path, None) as file:
        is_archive = file.read(4) == b"PK\3\4"
    # NumPy warns of a product of axes beyond 64 bits, before it refuses it.
    expected = "an .npz holds several arrays; save one with numpy.save" if is_archive else ""
    with reading(path, expected), np.errstate(over="ignore"):
        array: NDArray[Any] = np.lib.format.open_memmap(path, mode="r")
    return array
