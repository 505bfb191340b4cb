"""The packed layout: one array of signals and a table of records."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfbt.data.layouts import MANIFEST, RECORDS, SIGNALS
from lfbt.errors import LfbtError
from lfbt.sources.listing import SPLITS


@dataclasses.dataclass(frozen=True)
class PackedFiles:
    """The content of ``signals.npy`` and ``records.csv``.

    signals: ``[records, leads, samples]`` float32 or float16 in mV, memory-mapped; ids, patients, labels, split: one a
    record.
    """

    signals: NDArray[Any]
    ids: tuple[str, ...]
    patients: tuple[str, ...]
    labels: tuple[tuple[str, ...], ...]
    split: NDArray[np.str_]


def read_packed(folder: Path, leads: Sequence[str], classes: Sequence[str]) -> PackedFiles:
    """Open the array and read the table of a packed data set.

    Parameters
    ----------
    folder : Path
        The folder of the data set.
    leads, classes : sequence of str
        Of its manifest.

    Returns
    -------
    PackedFiles
        They agree with each other and with the manifest.

    Raises
    ------
    LfbtError
        If a file is absent or corrupt, or does not agree with the others.
    """
    import pandas as pd

    try:
        signals = np.lib.format.open_memmap(folder / SIGNALS, mode="r")
        columns = ["id", "patient", "labels", "split"]
        table = pd.read_csv(folder / RECORDS, dtype=str, keep_default_na=False, usecols=columns)
        records = {name: table[name].tolist() for name in columns}
    except (KeyError, ValueError, TypeError, OSError, EOFError) as error:
        raise LfbtError(f"{folder}: is not a complete packed data set ({error}); prepare it again") from error
    if signals.dtype not in (np.float32, np.float16):
        raise LfbtError(f"{folder}: {SIGNALS} holds {signals.dtype}, not float32 or float16; prepare it again")
    if signals.ndim != 3 or signals.shape[:2] != (len(table), len(leads)):
        raise LfbtError(
            f"{folder}: {SIGNALS} has shape {list(signals.shape)} but {RECORDS} has {len(table)} records and "
            f"{MANIFEST} {len(leads)} leads; prepare it again"
        )
    labels_of = {text: tuple(filter(None, text.split(";"))) for text in set(records["labels"])}
    unknown = set().union(*labels_of.values()) - set(classes)
    if unknown:
        raise LfbtError(f"{folder}: label {min(unknown)} of {RECORDS} is not a class of {MANIFEST}; prepare it again")
    if not set(records["split"]) <= set(SPLITS):
        raise LfbtError(f"{folder}: {RECORDS} has a split that is not one of {', '.join(SPLITS)}; prepare it again")
    return PackedFiles(
        signals=signals,
        ids=tuple(records["id"]),
        patients=tuple(records["patient"]),
        labels=tuple(labels_of[text] for text in records["labels"]),
        split=np.array(records["split"], dtype=str),
    )
