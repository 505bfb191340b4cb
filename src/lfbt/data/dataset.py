"""The prepared data set: one memory-mapped array, a table of records, a manifest; the authors' .npy folders too."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lfbt.data.layouts import LAYOUTS, MANIFEST, RECORDS, SIGNALS
from lfbt.data.npy_folders import NpyFiles, list_labelled_files, read_common_shape
from lfbt.data.splits import split_by_patient
from lfbt.errors import LfbtError
from lfbt.recording import PAPER_LEADS, STANDARD_LEADS, missing_leads
from lfbt.signal import Normalisation, Signal, normalise
from lfbt.sources.listing import SPLITS
from lfbt.utils.json_files import read_json

# The paper's records last ten seconds; its .npy files do not say so.
_ASSUMED_SECONDS = 10.0


class Signals(Protocol):
    """Signals of records, read on demand: ``[records, leads, samples]``."""

    @property
    def shape(self) -> tuple[int, ...]: ...  # noqa: D102

    def __getitem__(self, rows: NDArray[np.int64], /) -> Any: ...


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


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Records ready for an encoder, and what is known of them.

    leads: names of the rows of a signal; sampling_rate in Hz; classes: names in column order, empty without labels;
    ids, patients, labels and split: one a record, labels a tuple of class names; names_assumed: the files name neither
    leads nor sampling rate, so the paper's are assumed; synthetic: the signals were made, not measured; hash: differs
    when the records do or their splits do (of .npy folders, records are told apart by names and sizes).
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

    @property
    def n_samples(self) -> int:
        """Samples of a record."""
        return self.signals.shape[2]

    def __len__(self) -> int:
        return self.signals.shape[0]

    def select_leads(self, leads: Sequence[str]) -> Dataset:
        """The same records with the leads named, in that order. Raises LfbtError for a lead it has not."""
        absent = missing_leads(leads, self.leads)
        if absent:
            raise LfbtError(
                f"lead {','.join(absent)}: not in the data set {self.folder}, which has {','.join(self.leads)}"
            )
        rows = tuple(self.lead_rows[self.leads.index(lead)] for lead in leads)
        return dataclasses.replace(self, leads=tuple(leads), lead_rows=rows)

    def rows(self, *splits: str) -> NDArray[np.int64]:
        """The rows of the records in `splits`, in order."""
        return np.flatnonzero(np.isin(self.split, splits))

    @property
    def exclusive(self) -> bool:
        """Whether every record has exactly one label; otherwise a classifier's task is multi-label."""
        return all(len(labels) == 1 for labels in self.labels)

    def targets(self) -> NDArray[np.bool_]:
        """Which classes every record has ``[records, classes]``.

        Raises LfbtError when a record has no label, or when there are fewer than two classes.
        """
        if len(self.classes) < 2:
            raise LfbtError(
                f"{self.folder}: {len(self.classes)} class(es) ({','.join(self.classes) or 'no labels'}); a classifier "
                "needs two or more: prepare it with a label rule"
            )
        number = {name: i for i, name in enumerate(self.classes)}
        targets = np.zeros((len(self), len(self.classes)), dtype=bool)
        for row, labels in enumerate(self.labels):
            if not labels:
                raise LfbtError(
                    f"{self.folder}: record {self.ids[row]} has no label; a classifier needs one or more: prepare the "
                    "data set with a label rule"
                )
            targets[row, [number[label] for label in labels]] = True
        return targets

    def batch(self, rows: NDArray[np.int64], normalisation: Normalisation) -> Signal:
        """The normalised signals ``[records, leads, samples]`` of `rows`, float32: all that an encoder ever sees.

        Raises LfbtError, naming the record, for signals that are not finite.
        """
        signals = np.asarray(self.signals[rows], dtype=np.float32)
        if self.lead_rows != tuple(range(signals.shape[1])):
            signals = signals[:, self.lead_rows]
        # A sum is finite only where all that it adds up is, and it takes one pass without a copy.
        with np.errstate(all="ignore"):
            suspect = not np.isfinite(signals.sum(axis=(1, 2))).all()
        finite = np.isfinite(signals).all(axis=(1, 2)) if suspect else np.ones(len(rows), dtype=bool)
        if not finite.all():
            bad = self.ids[rows[int(np.argmin(finite))]]
            raise LfbtError(
                f"{self.folder}: record {bad} holds NaN or infinity; remove it or prepare the data set again"
            )
        return normalise(signals, normalisation)


def from_arrays(signals: Signal, leads: Sequence[str], sampling_rate: float) -> Dataset:
    """An unlabelled Dataset of ``[records, leads, samples]`` in mV held in memory.

    Raises LfbtError when the shape is another.
    """
    if signals.ndim != 3 or signals.shape[1] != len(leads):
        raise LfbtError(f"signals: shape {list(signals.shape)} is not [records, {len(leads)} leads, samples]")
    n = len(signals)
    return Dataset(
        folder=Path(),
        leads=tuple(leads),
        sampling_rate=sampling_rate,
        classes=(),
        ids=tuple(map(str, range(n))),
        patients=tuple(map(str, range(n))),
        labels=((),) * n,
        split=np.full(n, "train"),
        signals=signals,
        lead_rows=tuple(range(len(leads))),
    )


def open_dataset(folder: Path, split_seed: int = 0, patients_apart: bool = True) -> Dataset:
    """The data set in `folder`: packed, or the authors' folders of ``.npy`` files.

    Class folders without split folders are split as `split_by_patient` does with `split_seed`, 20 % test and 10 % of
    the rest validation, each file a patient of its own. ``.npy`` folders name no leads and no rate: with eight rows
    the paper's leads are assumed, with twelve the standard ones, and ten seconds, unless a manifest says otherwise.

    Raises LfbtError for a folder in no known layout, for files that do not fit each other and, where they are to be
    `patients_apart`, for a patient in two splits.
    """
    if not folder.is_dir():
        raise LfbtError(f"data-dir: {folder} is not a folder; give {LAYOUTS}")
    manifest = read_json(folder / MANIFEST) if (folder / MANIFEST).is_file() else {}
    if (folder / SIGNALS).is_file() and manifest:
        return _open_packed(folder, manifest, patients_apart)
    return _open_npy(folder, manifest, split_seed)


def check_n_leads(dataset: Dataset, n_leads: int) -> None:
    """Raise LfbtError unless `dataset` has `n_leads` leads."""
    if len(dataset.leads) != n_leads:
        raise LfbtError(
            f"num-leads: {n_leads} contradicts the {len(dataset.leads)} leads of {dataset.folder}: "
            f"{','.join(dataset.leads)}"
        )


def open_datasets(folders: Sequence[Path], split_seed: int = 0) -> Dataset:
    """The data sets in `folders` as one, without labels where there are several.

    Raises LfbtError, naming both, when leads, sampling rate or samples differ.
    """
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
        hash=_hash(part.hash for part in parts),
        names_assumed=any(part.names_assumed for part in parts),
        synthetic=any(part.synthetic for part in parts),
    )


def _hash(texts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def _open_packed(folder: Path, manifest: dict[str, Any], patients_apart: bool) -> Dataset:
    import pandas as pd

    try:
        signals = np.lib.format.open_memmap(folder / SIGNALS, mode="r")
        table = pd.read_csv(folder / RECORDS, dtype=str, keep_default_na=False)
        records = {name: table[name].tolist() for name in ("id", "patient", "labels", "split")}
        labels_of = {text: tuple(filter(None, text.split(";"))) for text in set(records["labels"])}
        dataset = Dataset(
            folder=folder,
            leads=tuple(manifest["leads"]),
            sampling_rate=float(manifest["sampling_rate"]),
            classes=tuple(manifest["classes"]),
            ids=tuple(records["id"]),
            patients=tuple(records["patient"]),
            labels=tuple(map(labels_of.__getitem__, records["labels"])),
            split=np.array(records["split"], dtype=str),
            signals=signals,
            lead_rows=tuple(range(len(manifest["leads"]))),
            hash=str(manifest["hash"]),
            synthetic=bool(manifest.get("synthetic", False)),
        )
    except (KeyError, ValueError, TypeError, OSError, EOFError) as error:
        raise LfbtError(f"{folder}: is no whole packed data set ({error}); prepare it again") from error
    if signals.dtype != np.float32:
        raise LfbtError(f"{folder}: {SIGNALS} holds {signals.dtype}, not float32; prepare it again")
    if signals.ndim != 3 or signals.shape[:2] != (len(dataset.ids), len(dataset.leads)):
        raise LfbtError(
            f"{folder}: {SIGNALS} has shape {list(signals.shape)} but {RECORDS} has {len(dataset.ids)} records and "
            f"{MANIFEST} {len(dataset.leads)} leads; prepare it again"
        )
    strangers = set().union(*labels_of.values()) - set(dataset.classes)
    if strangers:
        raise LfbtError(f"{folder}: label {min(strangers)} of {RECORDS} is no class of {MANIFEST}; prepare it again")
    if not set(dataset.split) <= set(SPLITS):
        raise LfbtError(f"{folder}: {RECORDS} has a split that is not one of {', '.join(SPLITS)}; prepare it again")
    n_places = len(set(zip(dataset.patients, dataset.split.tolist(), strict=True)))
    if patients_apart and n_places > len(set(dataset.patients)):
        raise LfbtError(f"{folder}: a patient stands in two splits of {RECORDS}; prepare it again")
    return dataset


def _open_npy(folder: Path, manifest: dict[str, Any], split_seed: int) -> Dataset:
    found = list_labelled_files(folder)
    if not found:
        raise LfbtError(f"data-dir: {folder} holds no data set; give {LAYOUTS}")
    files, labels, splits = zip(*found, strict=True)
    ids = tuple(path.relative_to(folder).with_suffix("").as_posix() for path in files)
    if not any(splits):
        splits = tuple(split_by_patient(ids, labels, test_fraction=0.2, val_fraction=0.1, seed=split_seed))
    shape = read_common_shape(files)
    known = {len(PAPER_LEADS): PAPER_LEADS, len(STANDARD_LEADS): STANDARD_LEADS}
    assumed_leads = known.get(shape[0], [f"lead{i}" for i in range(1, shape[0] + 1)])
    present = sorted(set(labels) - {""})
    for label in present:
        if ";" in label:
            raise LfbtError(f"{folder}: class folder {label!r} has a ; in its name, which parts labels; rename it")
    try:
        leads = tuple(str(lead) for lead in manifest.get("leads", assumed_leads))
        sampling_rate = float(manifest.get("sampling_rate", shape[1] / _ASSUMED_SECONDS))
        classes = tuple(str(name) for name in manifest.get("classes") or present)
    except (TypeError, ValueError) as error:
        raise LfbtError(f"{folder / MANIFEST}: does not describe a data set ({error}); mend or remove it") from error
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
        sampling_rate=sampling_rate,
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
        names_assumed="leads" not in manifest,
        synthetic=bool(manifest.get("synthetic", False)),
    )
