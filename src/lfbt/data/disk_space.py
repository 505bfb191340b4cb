"""How much disk a data set takes, and whether there is as much."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from lfbt.data.records import PrepareSettings
from lfbt.errors import LfbtError
from lfbt.utils.figures import format_count

#: What to do about a disk that is too small for a data set.
LESS_ROOM = "make room, or take fewer --n-samples or --leads, or --dtype float16"


def size_of(settings: PrepareSettings, n_records: int) -> int:
    """Return the bytes of the signals of `n_records` records.

    >>> size_of(PrepareSettings(leads=("II", "V1"), n_samples=1000), 3)
    24000
    """
    return n_records * len(settings.leads) * settings.n_samples * np.dtype(settings.dtype).itemsize


def check_disk_space(target: Path, n_bytes: int, advice: str = "make room, or name another place") -> None:
    """Raise LfbtError, with `advice`, if the disk of `target`, which may not exist yet, has less than `n_bytes`."""
    place = next(folder for folder in (target.absolute(), *target.absolute().parents) if folder.is_dir())
    free = shutil.disk_usage(place).free
    if free < n_bytes:
        raise LfbtError(
            f"{target}: takes {in_bytes(n_bytes)} or more, but its disk has {in_bytes(free)} left; {advice}"
        )


def describe_size(n_done: int, n: int, n_bytes: int) -> str:
    """Describe what is left of `n` recordings: the bytes that it takes.

    >>> describe_size(0, 1, 24_000), describe_size(2, 3, 24_000)
    ('1 recording takes 24 kB, more if it is cut in pieces.', 'going on after 2 of 3 recordings; the rest takes 24 kB.')
    """
    what = format_count(n, "recording")
    if n_done:
        return f"going on after {n_done} of {what}; the rest takes {in_bytes(n_bytes)}."
    if n == 1:
        return f"{what} takes {in_bytes(n_bytes)}, more if it is cut in pieces."
    return f"{what} take {in_bytes(n_bytes)}, more if some are cut in pieces."


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
