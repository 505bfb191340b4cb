"""The authors' folders of ``.npy`` files, read as one data set."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lfbt.data.layouts import LAYOUTS
from lfbt.errors import LfbtError
from lfbt.recording import PAPER_LEADS, STANDARD_LEADS
from lfbt.signal import Signal
from lfbt.sources.listing import SPLITS


@dataclasses.dataclass(frozen=True)
class NpyFiles:
    """Files ``[leads, samples]`` of one record each, indexed like one array ``[records, leads, samples]``."""

    files: tuple[Path, ...]
    shape: tuple[int, ...]

    def __getitem__(self, rows: NDArray[np.int64], /) -> Signal:
        return np.stack([np.load(self.files[row], allow_pickle=False) for row in rows])


def _natural(path: Path) -> list[tuple[bool, int, str]]:
    """Sorting key of names by the numbers in them: sample_2 before sample_10."""
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in re.split(r"(\d+)", path.name)]


def _npy_in(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.npy"), key=_natural)


def _folders_in(folder: Path) -> list[Path]:
    return sorted((path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")), key=_natural)


def list_labelled_files(folder: Path) -> list[tuple[Path, str, str]]:
    """List the ``.npy`` files of the authors' layouts in `folder`.

    Returns
    -------
    list of (Path, str, str)
        Each file with its label and its split; both are empty where the layout has none.

    Raises
    ------
    LfbtError
        If the folder mixes layouts.
    """
    below = [path for path in _folders_in(folder) if next(path.rglob("*.npy"), None)]
    names = {path.name for path in below}
    if names == {"samples"}:
        return [(path, "", "train") for path in _npy_in(below[0])]
    of_a_layout = names & {"samples", *SPLITS}
    if of_a_layout and not names <= set(SPLITS):
        other = min(names - of_a_layout, default="another of them")
        raise LfbtError(f"data-dir: {folder} has {min(of_a_layout)}/ and {other}/ side by side; give {LAYOUTS}")
    if names and names <= set(SPLITS):
        class_folders = [(of_class, part.name) for part in below for of_class in _folders_in(part)]
    else:
        class_folders = [(of_class, "") for of_class in below]
    return [(path, of_class.name, split) for of_class, split in class_folders for path in _npy_in(of_class)]


def read_common_shape(files: Sequence[Path]) -> tuple[int, int]:
    """Read the common shape ``(leads, samples)`` of all files. Raises LfbtError for a file of another shape or kind."""
    shape: tuple[int, ...] | None = None
    for path in files:
        try:
            array = np.lib.format.open_memmap(path, mode="r")
        except (ValueError, OSError, EOFError) as error:
            raise LfbtError(f"{path}: is not a .npy array of numbers ({error})") from error
        if array.ndim != 2 or array.dtype.kind not in "fiu":
            raise LfbtError(
                f"{path}: holds {array.dtype} of shape {list(array.shape)}; numbers [leads, samples] are needed"
            )
        if shape is None:
            shape = array.shape
        elif array.shape != shape:
            raise LfbtError(
                f"{path}: has shape {list(array.shape)} where {files[0]} has {list(shape)}; all must be alike"
            )
    if shape is None:
        raise LfbtError("no .npy files were given")
    return shape[0], shape[1]


def assume_leads(n_leads: int) -> tuple[str, ...]:
    """Name the rows of files that do not: the paper's leads for 8, the standard leads for 12, else lead1, lead2, ..."""
    for leads in (PAPER_LEADS, STANDARD_LEADS):
        if len(leads) == n_leads:
            return leads
    return tuple(f"lead{number}" for number in range(1, n_leads + 1))
