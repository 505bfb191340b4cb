"""Several data sets opened as one."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lfbt.data.dataset import Dataset, open_dataset
from lfbt.data.manifest import DatasetManifest
from lfbt.errors import LfbtError
from lfbt.signal import Signal
from lfbt.utils.files import check_distinct


@dataclasses.dataclass(frozen=True)
class _Joined:
    """The signals of several data sets, one after the other."""

    parts: tuple[Dataset, ...]
    shape: tuple[int, ...]

    def __getitem__(self, rows: NDArray[np.int64], /) -> Signal:
        out = np.empty((len(rows), *self.shape[1:]), dtype=np.float32)
        first = 0
        for part in self.parts:
            here = (rows >= first) & (rows < first + len(part))
            if here.any():
                out[here] = part.signals[rows[here] - first][:, part.lead_rows]
            first += len(part)
        return out


def open_datasets(folders: Sequence[Path], split_seed: int = 0) -> Dataset:
    """Open several data sets as one.

    Parameters
    ----------
    folders : sequence of Path
        As of `open_dataset`.
    split_seed : int
        As of `open_dataset`.

    Returns
    -------
    Dataset
        The records of all, one data set after the other; without labels if there are several.

    Raises
    ------
    LfbtError
        If leads, sampling rate or samples differ; the message names both data sets.
    """
    check_distinct("data-dir", folders)
    parts = [open_dataset(folder, split_seed) for folder in folders]
    if not parts:
        raise LfbtError("data-dir: none given; name at least one data set")
    first = parts[0]
    if len(parts) == 1:
        return first
    for part in parts[1:]:
        mine = (first.leads, first.sampling_rate, first.n_samples)
        theirs = (part.leads, part.sampling_rate, part.n_samples)
        if mine != theirs:
            raise LfbtError(
                f"{part.folder} has leads {','.join(theirs[0])}, {theirs[1]:g} Hz, {theirs[2]} samples, but "
                f"{first.folder} has {','.join(mine[0])}, {mine[1]:g} Hz, {mine[2]} samples; prepare both alike"
            )
    n = sum(map(len, parts))
    names = [part.folder.name for part in parts]
    prefixes = names if len(set(names)) == len(names) else [part.folder.as_posix() for part in parts]
    return dataclasses.replace(
        first,
        classes=(),
        ids=tuple(f"{prefix}/{name}" for prefix, part in zip(prefixes, parts, strict=True) for name in part.ids),
        patients=tuple(
            f"{prefix}/{name}" for prefix, part in zip(prefixes, parts, strict=True) for name in part.patients
        ),
        labels=((),) * n,
        split=np.concatenate([part.split for part in parts]),
        signals=_Joined(tuple(parts), (n, *first.signals.shape[1:])),
        lead_rows=tuple(range(len(first.leads))),
        hash=hashlib.sha256("\n".join(part.hash for part in parts).encode()).hexdigest(),
        names_assumed=any(part.names_assumed for part in parts),
        synthetic=any(part.synthetic for part in parts),
        manifest=DatasetManifest(),
    )
