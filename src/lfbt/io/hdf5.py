"""HDF5 files of one recording or of several, by h5py."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfbt.errors import LfbtError, UnreadableError
from lfbt.io.guarding import isolated, unreadable
from lfbt.io.recordings import make_recording
from lfbt.recording import Recording, unit_in_mv


@isolated()
def read_hdf5(path: Path, *, dataset: str, leads: Sequence[str], sampling_rate: float, unit: str) -> Recording:
    """Read an HDF5 file of one recording.

    Parameters
    ----------
    path : Path
        A file with an array of numbers ``[leads, samples]``.
    dataset : str
        The name of the array in the file.
    leads : sequence of str
        The name of each row.
    sampling_rate : float
        In Hz.
    unit : str
        A voltage, such as ``mV``.

    Returns
    -------
    Recording
        In mV.

    Raises
    ------
    UnreadableError
        If the file is not HDF5, or has no such array.
    LfbtError
        If h5py is not installed.
    """
    with open_hdf5(path, dataset, (len(leads), "samples")) as array:
        signal = np.asarray(array[()], dtype=np.float64)
    return make_recording(path, signal * unit_in_mv(unit), leads, sampling_rate)


@isolated(most=None)
def read_hdf5_row(
    path: Path, *, dataset: str, row: int, leads: Sequence[str], sampling_rate: float, unit: str
) -> Recording:
    """Read one recording of an HDF5 file of several, and only it from the disk.

    Samples at both ends that are exactly zero in all leads are padding, and are left out; a recording of nothing but
    zeros is returned whole.

    Parameters
    ----------
    path : Path
        A file with an array of numbers ``[recordings, samples, leads]``.
    dataset : str
        The name of the array in the file.
    row : int
        Which recording, from 0.
    leads : sequence of str
        The name of each column.
    sampling_rate, unit
        As of `read_hdf5`.

    Returns
    -------
    Recording
        In mV.

    Raises
    ------
    UnreadableError
        If the file is not HDF5, or has no such array or row.
    LfbtError
        If h5py is not installed.
    """
    with open_hdf5(path, dataset, ("recordings", "samples", len(leads))) as array:
        if not 0 <= row < len(array):
            raise UnreadableError(f"file {path}: {dataset} has {len(array)} recordings, and no recording {row}")
        signal = np.asarray(array[row], dtype=np.float64)
    recorded = np.flatnonzero(signal.any(axis=1))
    if recorded.size:
        signal = signal[recorded[0] : recorded[-1] + 1]
    return make_recording(path, signal.T * unit_in_mv(unit), leads, sampling_rate)


@isolated(most=None)
def read_hdf5_ids(path: Path, dataset: str) -> NDArray[np.int64]:
    """Read an array of whole numbers ``[recordings]``. Raises UnreadableError, or LfbtError without h5py."""
    with open_hdf5(path, dataset, ("recordings",)) as array:
        if array.dtype.kind not in "iu":
            raise UnreadableError(f"file {path}: {dataset} holds {array.dtype}, not whole numbers")
        return np.asarray(array[()], dtype=np.int64)


@isolated(most=None)
def read_hdf5_start(path: Path, dataset: str, shape: Sequence[str | int], n: int) -> tuple[int, NDArray[Any]]:
    """Count the recordings of an array as `open_hdf5` takes it, and read the first `n` of them. Raises as that does."""
    with open_hdf5(path, dataset, shape) as array:
        return len(array), np.asarray(array[:n])


@isolated(most=None)
def holds_hdf5(path: Path, dataset: str) -> bool:
    """Whether an HDF5 file has an array of that name. Raises as `open_hdf5` does."""
    h5py = _import_h5py(path)
    with h5py.File(path, "r") as file:
        return dataset in file


@contextlib.contextmanager
def open_hdf5(path: Path, dataset: str, shape: Sequence[str | int]) -> Iterator[Any]:
    """Open the array called `dataset` in an HDF5 file; it is read where it is indexed, in the block.

    Parameters
    ----------
    path : Path
        The file.
    dataset : str
        The array's name.
    shape : sequence of str or int
        Its axes: the length of each, or a name for one of any length.

    Yields
    ------
    h5py.Dataset
        An array of real numbers.

    Raises
    ------
    UnreadableError
        If the file is not HDF5 or has no such array.
    LfbtError
        If h5py is not installed.
    """
    h5py = _import_h5py(path)
    try:
        with h5py.File(path, "r") as file:
            array = file.get(dataset)
            if not isinstance(array, h5py.Dataset):
                names = ", ".join(file) or "nothing"
                raise UnreadableError(f"file {path}: holds {names}, but not an array {dataset}; download it again")
            if array.dtype.kind not in "iuf" or not _fits(array.shape, shape):
                raise UnreadableError(
                    f"file {path}: {dataset} is an array of {array.dtype} of shape {list(array.shape)}, not numbers of "
                    f"shape [{', '.join(map(str, shape))}]; download it again"
                )
            yield array
    except LfbtError:
        raise
    except Exception as error:
        raise unreadable(path, error, "expected an HDF5 file; download it again") from error


def _import_h5py(path: Path) -> Any:
    try:
        import h5py
    except ImportError as error:
        raise LfbtError(
            f"file {path}: HDF5 needs the package h5py, which is not installed ({error}); pip install 'lfbt[hdf5]'"
        ) from error
    return h5py


def _fits(found: Sequence[int], shape: Sequence[str | int]) -> bool:
    return len(found) == len(shape) and all(
        isinstance(axis, str) or axis == length for axis, length in zip(shape, found, strict=True)
    )
