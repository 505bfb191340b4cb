"""How much disk a data set takes, and whether there is as much."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from lfbt.data.records import PrepareSettings
from lfbt.errors import LfbtError


def size_of(settings: PrepareSettings, n_records: int) -> int:
    """Return the bytes of the signals of `n_records` records.

    >>> size_of(PrepareSettings(leads=("II", "V1"), n_samples=1000), 3)
    24000
    """
    return n_records * len(settings.leads) * settings.n_samples * np.dtype(settings.dtype).itemsize


def check_disk_space(target: Path, n_bytes: int) -> None:
    """Raise LfbtError if the disk of `target`, which may not exist yet, has fewer than `n_bytes` left."""
    place = next(folder for folder in (target.absolute(), *target.absolute().parents) if folder.is_dir())
    free = shutil.disk_usage(place).free
    if free < n_bytes:
        raise LfbtError(
            f"{target}: takes {in_bytes(n_bytes)} or more, but its disk has {in_bytes(free)} left; make room, or take "
            "fewer --n-samples or --leads, or --dtype float16"
        )


def in_bytes(n_bytes: float) -> str:
    """Write a number of bytes for people.

    >>> in_bytes(999), in_bytes(52_431_093_760)
    ('999 B', '52.4 GB')
    """
    units = ["TB", "GB", "MB", "kB", "B"]
    while n_bytes >= 999.5 and len(units) > 1:
        n_bytes /= 1000
        units.pop()
    return f"{n_bytes:.3g} {units[-1]}"
