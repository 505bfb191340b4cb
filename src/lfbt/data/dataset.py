"""The prepared data set: a memory-mapped array with a table of records, or the authors' folders of ``.npy`` files."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, SupportsIndex, TypeVar

import numpy as np
from numpy.typing import NDArray

from lfbt.data.layouts import LAYOUTS, MANIFEST, RECORDS, SIGNALS
from lfbt.data.manifest import DatasetManifest
from lfbt.data.npy_folders import NpyFiles, assume_leads, list_labelled_files, read_common_shape
from lfbt.data.packed import read_packed
from lfbt.data.splits import split_by_patient
from lfbt.errors import LfbtError
from lfbt.recording import lead_names, missing_leads, parse_leads
from lfbt.signal import Normalisation, Signal, normalise
from lfbt.sources.listing import SPLITS
from lfbt.utils.settings import as_path

T = TypeVar("T")

# The paper's records last ten seconds; its .npy files do not state it.
_ASSUMED_SECONDS = 10.0


class Signals(Protocol):
    """Signals of records, read on demand: ``[records, leads, samples]``."""

    @property
    def shape(self) -> tuple[int, ...]: ...  # noqa: D102

    def __getitem__(self, rows: NDArray[np.int64], /) -> Any: ...


class Record(NamedTuple):
    """One record of a `Dataset`; PyTorch's default collate function turns several into one Record of batches.

    Parameters
    ----------
    signal : ndarray of float32, ``[leads, samples]``
        As stored, without normalisation: in mV, or z-scores in the authors' folders.
    targets : ndarray of float32, ``[classes]``
        1 for each class that the record has, in the order of ``Dataset.classes``, and 0 for the others.
    id, patient, split : str
        Names of the record and of its patient; train, val or test.
    """

    signal: Signal
    targets: Signal
    id: str
    patient: str
    split: str


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """A prepared data set, read on demand.

    It is a map-style data set for PyTorch: ``len(dataset)`` records, and ``dataset[row]`` is a `Record`, so that
    ``torch.utils.data.DataLoader(dataset)`` needs no collate function. `batch` reads several rows at once, normalised,
    which is faster.

    Parameters
    ----------
    folder : Path
        Where it is.
    leads : tuple of str
        Names of the rows of a signal.
    sampling_rate : float
        In Hz.
    classes : tuple of str
        Names of the classes, in column order; empty without labels.
    ids, patients : tuple of str
        One a record.
    labels : tuple of tuple of str
        The class names of each record.
    split : ndarray of str, ``[records]``
        train, val or test.
    signals : array-like, ``[records, leads, samples]``
        The signals as stored.
    lead_rows : tuple of int
        The row of `signals` of each lead.
    hash : str
        Differs when the records or their splits do; in ``.npy`` folders, records are compared by names and sizes.
    names_assumed : bool
        Whether the files state neither leads nor sampling rate, so that those of the paper are assumed.
    synthetic : bool
        Whether any signal is synthetic.
    manifest : DatasetManifest
        What ``dataset.json`` states; empty without one, and for data in memory or of several folders.

    Examples
    --------
    >>> from torch.utils.data import DataLoader
    >>> dataset = from_arrays(np.zeros((6, 2, 500), dtype=np.float32), leads=("II", "V1"), sampling_rate=50.0)
    >>> dataset[0].signal.shape
    (2, 500)
    >>> for batch in DataLoader(dataset, batch_size=3):
    ...     print(batch.signal.shape, batch.id)
    torch.Size([3, 2, 500]) ('0', '1', '2')
    torch.Size([3, 2, 500]) ('3', '4', '5')
    """

    folder: Path
    leads: tuple[str, ...]
    sampling_rate: float
    classes: tuple[str, ...]
    ids: tuple[str, ...]
    patients: tuple[str, ...]
    labels: tuple[tuple[str, ...], ...]
    split: NDArray[np.str_]
    signals: Signals
    lead_rows: tuple[int, ...]
    hash: str = ""
    names_assumed: bool = False
    synthetic: bool = False
    manifest: DatasetManifest = dataclasses.field(default_factory=DatasetManifest)

    @property
    def n_samples(self) -> int:
        """Samples of a record."""
        return self.signals.shape[2]

    def __len__(self) -> int:
        return self.signals.shape[0]

    def __repr__(self) -> str:
        return (
            f"Dataset({str(self.folder)!r}, {len(self)} records, leads {','.join(self.leads)}, "
            f"{self.sampling_rate:g} Hz, {self.n_samples} samples, classes {','.join(self.classes) or 'none'})"
        )

    def __getitem__(self, row: SupportsIndex) -> Record:
        # Counts from the end for a negative row, and raises IndexError beyond the last.
        index = range(len(self))[row]
        (signal,) = self.batch(np.array([index]), "none")
        targets = np.array([name in self.labels[index] for name in self.classes], dtype=np.float32)
        return Record(signal, targets, self.ids[index], self.patients[index], str(self.split[index]))

    def select_leads(self, leads: Sequence[str] | str) -> Dataset:
        """Return the same records with the leads named, in that order. Raises LfbtError for an absent lead."""
        leads = parse_leads(leads) if isinstance(leads, str) else lead_names(leads)
        absent = missing_leads(leads, self.leads)
        if absent:
            raise LfbtError(
                f"lead {','.join(absent)}: not in the data set {self.folder}, which has {','.join(self.leads)}"
            )
        rows = tuple(self.lead_rows[self.leads.index(lead)] for lead in leads)
        return dataclasses.replace(self, leads=leads, lead_rows=rows)

    def rows(self, *splits: str) -> NDArray[np.int64]:
        """Return the rows of the records in `splits`, in order. Raises LfbtError for one that is not of `SPLITS`."""
        if unknown := set(splits) - set(SPLITS):
            raise LfbtError(f"split: {min(unknown)!r} is not one of {', '.join(SPLITS)}")
        return np.flatnonzero(np.isin(self.split, splits))

    @property
    def exclusive(self) -> bool:
        """Whether every record has exactly one label; otherwise a classifier's task is multi-label."""
        return all(len(labels) == 1 for labels in self.labels)

    def targets(self) -> NDArray[np.bool_]:
        """Return which classes every record has, as booleans ``[records, classes]``.

        Raises LfbtError if a record has no label, or there are fewer than two classes.
        """
        if len(self.classes) < 2:
            raise LfbtError(
                f"{self.folder}: {len(self.classes)} class(es) ({','.join(self.classes) or 'no labels'}); a classifier "
                "needs two or more: prepare it with a label rule"
            )
        targets = np.zeros((len(self), len(self.classes)), dtype=bool)
        for row, labels in enumerate(self.labels):
            if not labels:
                record = f"{self.folder}: record {self.ids[row]}"
                raise LfbtError(f"{record} has no label; a classifier needs one or more: prepare it with a label rule")
            targets[row, [self.classes.index(label) for label in labels]] = True
        return targets

    def batch(self, rows: NDArray[np.int64], normalisation: Normalisation) -> Signal:
        """Read normalised signals, the input of an encoder.

        Parameters
        ----------
        rows : ndarray of int, ``[records]``
            Which records.
        normalisation : {"record", "lead", "none"}
            As of `lfbt.signal.normalise`.

        Returns
        -------
        ndarray of float32, ``[records, leads, samples]``
            The signals in the order of `rows`.

        Raises
        ------
        LfbtError
            If a signal is not finite; the message names the record.
        """
        signals = np.asarray(self.signals[rows], dtype=np.float32)
        if self.lead_rows != tuple(range(signals.shape[1])):
            signals = signals[:, self.lead_rows]
        self._check_finite(signals, rows)
        return normalise(signals, normalisation)

    def _check_finite(self, signals: Signal, rows: NDArray[np.int64]) -> None:
        # A sum is finite only if all its terms are, and takes one pass without a copy.
        with np.errstate(all="ignore"):
            if np.isfinite(signals.sum(axis=(1, 2))).all():
                return
        finite = np.isfinite(signals).all(axis=(1, 2))
        if not finite.all():
            name = self.ids[rows[int(np.argmin(finite))]]
            raise LfbtError(
                f"{self.folder}: record {name} holds NaN or infinity; remove it or prepare the data set again"
            )


def from_arrays(signals: Signal, leads: Sequence[str], sampling_rate: float) -> Dataset:
    """Make an unlabelled data set of signals in memory.

    Parameters
    ----------
    signals : ndarray of float32, ``[records, leads, samples]``
        Voltages in mV.
    leads : sequence of str
        Names of the rows of a signal.
    sampling_rate : float
        In Hz.

    Returns
    -------
    Dataset
        All records are of the split train, and each is a patient of its own.

    Raises
    ------
    LfbtError
        If `signals` has another shape.
    """
    leads = lead_names(leads)
    if signals.ndim != 3 or signals.shape[1] != len(leads):
        raise LfbtError(f"signals: shape {list(signals.shape)} is not [records, {len(leads)} leads, samples]")
    n = len(signals)
    return Dataset(
        folder=Path(),
        leads=leads,
        sampling_rate=sampling_rate,
        classes=(),
        ids=tuple(map(str, range(n))),
        patients=tuple(map(str, range(n))),
        labels=((),) * n,
        split=np.full(n, "train"),
        signals=signals,
        lead_rows=tuple(range(len(leads))),
    )


def open_dataset(folder: str | os.PathLike[str], split_seed: int = 0, patients_apart: bool = True) -> Dataset:
    """Open a data set: one written by `lfbt.data.preparation.prepare`, or the authors' folders of ``.npy`` files.

    ``.npy`` files state neither leads nor rate. Unless a ``dataset.json`` beside them does, the paper's leads are
    assumed for eight rows, the standard leads for twelve, and ten seconds. Class folders without split folders are
    split by `split_by_patient`, 20 % test and 10 % of the rest validation, each file a patient of its own.

    Parameters
    ----------
    folder
        The folder of the data set.
    split_seed : int
        Seed of the split of class folders.
    patients_apart : bool
        Whether to refuse a packed data set that has a patient in two splits.

    Returns
    -------
    Dataset
        Its signals are read on demand.

    Raises
    ------
    LfbtError
        If the folder has none of the layouts, or its files do not agree with each other.
    """
    folder = as_path("data-dir", folder)
    if not folder.is_dir():
        why = "" if folder.exists() else ": it does not exist"
        raise LfbtError(f"data-dir: {folder} is not a folder{why}; give {LAYOUTS}")
    has_manifest = (folder / MANIFEST).is_file()
    manifest = DatasetManifest.load(folder) if has_manifest else DatasetManifest()
    if not (has_manifest and (folder / SIGNALS).is_file()):
        return _open_npy(folder, manifest, split_seed)
    dataset = _open_packed(folder, manifest)
    pairs = set(zip(dataset.patients, dataset.split.tolist(), strict=True))
    if patients_apart and len(pairs) > len(set(dataset.patients)):
        raise LfbtError(f"{folder}: a patient is in two splits of {RECORDS}; prepare it again")
    return dataset


def check_n_leads(dataset: Dataset, n_leads: int) -> None:
    """Raise LfbtError unless `dataset` has `n_leads` leads."""
    if len(dataset.leads) != n_leads:
        raise LfbtError(
            f"num-leads: {n_leads} contradicts the {len(dataset.leads)} leads of {dataset.folder}: "
            f"{','.join(dataset.leads)}"
        )


def _hash(texts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def _stated(value: T | None, name: str, folder: Path) -> T:
    """`value` of the manifest. Raises LfbtError if it has none."""
    if value is None:
        raise LfbtError(f"{folder / MANIFEST}: has no {name}; prepare it again")
    return value


def _open_packed(folder: Path, manifest: DatasetManifest) -> Dataset:
    leads = _stated(manifest.leads, "leads", folder)
    classes = _stated(manifest.classes, "classes", folder)
    files = read_packed(folder, leads, classes)
    return Dataset(
        folder=folder,
        leads=leads,
        sampling_rate=_stated(manifest.sampling_rate, "sampling_rate", folder),
        classes=classes,
        ids=files.ids,
        patients=files.patients,
        labels=files.labels,
        split=files.split,
        signals=files.signals,
        lead_rows=tuple(range(len(leads))),
        hash=_stated(manifest.hash, "hash", folder),
        synthetic=manifest.synthetic,
        manifest=manifest,
    )


def _open_npy(folder: Path, manifest: DatasetManifest, split_seed: int) -> Dataset:
    found = list_labelled_files(folder)
    if not found:
        raise LfbtError(f"data-dir: {folder} holds no data set; give {LAYOUTS}")
    files, labels, splits = zip(*found, strict=True)
    ids = tuple(path.relative_to(folder).with_suffix("").as_posix() for path in files)
    if not any(splits):
        splits = tuple(split_by_patient(ids, labels, test_fraction=0.2, val_fraction=0.1, seed=split_seed))
    shape = read_common_shape(files)
    present = sorted(set(labels) - {""})
    for label in present:
        if ";" in label:
            raise LfbtError(f"{folder}: class folder {label!r} has a ; in its name, which separates labels; rename it")
    leads = assume_leads(shape[0]) if manifest.leads is None else manifest.leads
    classes = manifest.classes or tuple(present)
    if len(leads) != shape[0]:
        raise LfbtError(f"{folder}: files have {shape[0]} leads but {MANIFEST} names {len(leads)}")
    unknown = [label for label in present if label not in classes]
    if unknown:
        raise LfbtError(
            f"{folder}: class folder {unknown[0]} is not among the classes of {MANIFEST}: {', '.join(classes)}"
        )
    return Dataset(
        folder=folder,
        leads=leads,
        sampling_rate=shape[1] / _ASSUMED_SECONDS if manifest.sampling_rate is None else manifest.sampling_rate,
        classes=classes,
        ids=ids,
        patients=ids,
        labels=tuple((label,) if label else () for label in labels),
        split=np.array(splits),
        signals=NpyFiles(files, (len(files), *shape)),
        lead_rows=tuple(range(len(leads))),
        hash=_hash(
            f"{path.stat().st_size} {name} {split}" for path, name, split in zip(files, ids, splits, strict=True)
        ),
        names_assumed=manifest.leads is None,
        synthetic=manifest.synthetic,
        manifest=manifest,
    )
