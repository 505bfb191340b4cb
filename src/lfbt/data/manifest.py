"""The manifest of a prepared data set, ``dataset.json``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from lfbt.data.records import SAMPLING_RATES
from lfbt.errors import LfbtError
from lfbt.utils.files import load_json, save_json
from lfbt.utils.settings import check_range

MANIFEST = "dataset.json"
_FORMAT = 1
_REMEDY = "prepare it again"


@dataclasses.dataclass(frozen=True)
class SourceInfo:
    """The source of a data set: its name, the name of the folder it was read from, and its options."""

    name: str = ""
    folder: str = ""
    options: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class DatasetManifest:
    """What a data set is and how it was prepared.

    A manifest written by hand, beside a user's own ``.npy`` files, may have only some of the fields; None and the empty
    defaults are for what it does not state.

    Parameters
    ----------
    lfbt_version : str
        The version that prepared the data set.
    leads : tuple of str or None
        Names of the rows of a signal.
    sampling_rate : float or None
        In Hz.
    n_samples : int or None
        Samples of a record.
    unit : str
        Of the signals: ``mV``, ``z-score (record)``, or ``z-score (data set)`` as published.
    label_rule : str
        How labels were derived.
    assumption : str
        What was taken for granted because the download does not say it, or contradicts itself; empty for nothing.
    classes : tuple of str or None
        Names of the classes, in column order.
    records, patients : int or None
        How many there are.
    counts : dict
        Records by split and class.
    dropped : dict
        Recordings and pieces that were dropped, by reason.
    synthetic : bool
        Whether any signal is synthetic.
    source : SourceInfo or None
        Where the recordings are from.
    settings : dict
        The settings of the preparation that affect its result.
    hash : str or None
        Differs when the records or their splits do.
    recordings_hash : str or None
        Differs when the recordings that it was prepared from do, or the sizes and times of their files.
    """

    lfbt_version: str = ""
    leads: tuple[str, ...] | None = None
    sampling_rate: float | None = None
    n_samples: int | None = None
    unit: str = "mV"
    label_rule: str = ""
    assumption: str = ""
    classes: tuple[str, ...] | None = None
    records: int | None = None
    patients: int | None = None
    counts: dict[str, dict[str, int]] = dataclasses.field(default_factory=dict)
    dropped: dict[str, int] = dataclasses.field(default_factory=dict)
    synthetic: bool = False
    source: SourceInfo | None = None
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)
    hash: str | None = None
    recordings_hash: str | None = None

    def __repr__(self) -> str:
        source = self.source.name if self.source else "none"
        return f"DatasetManifest(source {source}, {self.records} records, {self.n_samples} samples, unit {self.unit})"

    def save(self, folder: Path) -> None:
        """Write ``dataset.json`` in `folder`, completely or not at all."""
        save_json(folder / MANIFEST, self, _FORMAT)

    @classmethod
    def load(cls, folder: Path) -> DatasetManifest:
        """Read ``dataset.json`` in `folder`. Raises LfbtError that names the file and the field."""
        manifest = load_json(folder / MANIFEST, cls, _REMEDY, _FORMAT)
        try:
            if manifest.sampling_rate is not None:
                check_range("field sampling_rate", manifest.sampling_rate, SAMPLING_RATES, "it is in Hz")
        except LfbtError as error:
            raise LfbtError(f"{folder / MANIFEST}: {error}; {_REMEDY}") from error
        for name, values in (("leads", manifest.leads), ("classes", manifest.classes)):
            if values and len(set(values)) < len(values):
                raise LfbtError(f"{folder / MANIFEST}: field {name}: a name is there twice; {_REMEDY}")
        return manifest
