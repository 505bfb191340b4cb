"""The layouts of a data set on disk: a packed array with a table of records, or the authors' ``.npy`` files."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from lfbt.data.dataset import Dataset, options_to_fit
from lfbt.data.manifest import MANIFEST, DatasetManifest
from lfbt.data.packed_signals import PackedSignals
from lfbt.data.record_hash import hash_table
from lfbt.data.splits import split_by_patient
from lfbt.errors import LfbtError, UnreadableError
from lfbt.io import map_npy, reading
from lfbt.recording import PAPER_LEADS, STANDARD_LEADS
from lfbt.signal import Signal
from lfbt.sources.listing import SPLITS
from lfbt.utils.figures import format_count
from lfbt.utils.files import check_distinct
from lfbt.utils.opening import open_regular
from lfbt.utils.settings import as_path

T = TypeVar("T")

SIGNALS = "signals.npy"
RECORDS = "records.csv"
DROPPED = "dropped.csv"

#: The layouts in words, for messages.
LAYOUTS = (
    f"a packed data set ({MANIFEST}, {SIGNALS}, {RECORDS}, written by `lfbt prepare`), "
    "DIR/samples/*.npy, DIR/CLASS/*.npy or DIR/{train,val,test}/CLASS/*.npy"
)

# Of a file that was an array of the common shape when the data set was opened.
_CHANGED = "it was changed since the data set was opened: restore it"

# The paper's records last ten seconds; its .npy files do not state it.
_ASSUMED_SECONDS = 10.0


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
        Whether to refuse a packed data set that has a patient in two splits, or whose table was changed.

    Returns
    -------
    Dataset
        Its signals are read on demand.

    Raises
    ------
    LfbtError
        If the folder has none of the layouts, or its files do not agree with each other.

    Examples
    --------
    >>> import tempfile
    >>> import lfbt
    >>> with tempfile.TemporaryDirectory() as place:
    ...     data = f"{place}/data/synthetic"
    ...     report = lfbt.prepare("synthetic", f"{place}/downloads", data, records=60, n_samples=64, workers=1)
    ...     dataset = open_dataset(data)
    ...     len(dataset) == report.records, dataset.n_samples, dataset[0].signal.shape
    (True, 64, (8, 64))
    """
    folder = as_path("data_dir", folder)
    if not folder.is_dir():
        why = "" if folder.exists() else ": it does not exist"
        raise LfbtError(f"data_dir: {folder} is not a folder{why}; give {LAYOUTS}")
    has_manifest = (folder / MANIFEST).is_file()
    manifest = DatasetManifest.load(folder) if has_manifest else DatasetManifest()
    if not (has_manifest and (folder / SIGNALS).is_file()):
        return _open_npy(folder, manifest, split_seed)
    dataset = _open_packed(folder, manifest)
    if patients_apart and (change := describe_changed_table(dataset)):
        raise LfbtError(change)
    pairs = set(zip(dataset.patients, dataset.split.tolist(), strict=True))
    if patients_apart and len(pairs) > len(set(dataset.patients)):
        raise LfbtError(f"{folder}: a patient is in two splits of {RECORDS}; prepare it again")
    return dataset


def describe_changed_table(dataset: Dataset) -> str | None:
    """Say how the table of a packed data set differs from the one that was written; None where it does not.

    Those without hashes of their records, and tables made by hand, are not compared.
    """
    found = hash_table(dataset.folder / RECORDS) if dataset.compared else None
    if found in (None, dataset.hash):
        return None
    return (
        f"{dataset.folder}: {RECORDS} is not the one that was written: its hash is {found}, that of {MANIFEST} "
        f"{dataset.hash}; prepare it again, or where you changed labels or splits yourself, write the hash there"
    )


def is_dataset(folder: Path, npy: bool = True) -> bool:
    """Whether a folder is a data set: a packed one, or where `npy` one of the authors' layouts of ``.npy`` files."""
    return (folder / MANIFEST).is_file() or (npy and bool(list_labelled_files(folder)))


def check_n_leads(dataset: Dataset, n_leads: int) -> None:
    """Raise LfbtError unless `dataset` has `n_leads` leads."""
    if len(dataset.leads) != n_leads:
        raise LfbtError(
            f"num_leads: {n_leads} contradicts the {format_count(len(dataset.leads), 'lead')} of {dataset.folder}: "
            f"{','.join(dataset.leads)}"
        )


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
    check_distinct("data_dir", folders)
    parts = [open_dataset(folder, split_seed) for folder in folders]
    if not parts:
        raise LfbtError("data_dir: none given; name at least one data set")
    first = parts[0]
    if len(parts) == 1:
        return first
    for part in parts[1:]:
        mine = (first.leads, first.sampling_rate, first.n_samples)
        theirs = (part.leads, part.sampling_rate, part.n_samples)
        if mine != theirs:
            raise LfbtError(
                f"{part.folder} has leads {','.join(theirs[0])}, {theirs[1]:g} Hz, {theirs[2]} samples, but "
                f"{first.folder} has {','.join(mine[0])}, {mine[1]:g} Hz, {mine[2]} samples; prepare "
                f"{part.folder} with {options_to_fit(part, *mine)}"
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
        in_mv=all(part.in_mv for part in parts),
        compared=all(part.compared for part in parts),
        voltages_checked=all(part.voltages_checked for part in parts),
        manifest=DatasetManifest(),
    )


def _hash(texts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


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


def _stated(value: T | None, name: str, folder: Path) -> T:
    """`value` of the manifest. Raises LfbtError if it has none."""
    if value is None:
        raise LfbtError(f"{folder / MANIFEST}: has no {name}; prepare it again")
    return value


def _open_packed(folder: Path, manifest: DatasetManifest) -> Dataset:
    """Open the array and read the table of records; both agree with each other and with the manifest."""
    import pandas as pd

    leads = _stated(manifest.leads, "leads", folder)
    classes = _stated(manifest.classes, "classes", folder)
    try:
        columns = ["id", "patient", "labels", "split"]
        wanted = {*columns, "hash"}
        with open_regular(folder / RECORDS) as file:
            table = pd.read_csv(file, dtype=str, keep_default_na=False, usecols=wanted.__contains__)
        records = {name: table[name].tolist() for name in columns}
        hashes = table["hash"].tolist() if "hash" in table else []
        signals = PackedSignals(folder / SIGNALS, records["id"], hashes)
    except (KeyError, ValueError, TypeError, OSError) as error:
        raise LfbtError(f"{folder}: is not a complete packed data set ({error}); prepare it again") from error
    if signals.dtype not in (np.float32, np.float16):
        raise LfbtError(f"{folder}: {SIGNALS} holds {signals.dtype}, not float32 or float16; prepare it again")
    if len(signals.shape) != 3 or signals.shape[:2] != (len(table), len(leads)):
        raise LfbtError(
            f"{folder}: {SIGNALS} has shape {list(signals.shape)} but {RECORDS} has "
            f"{format_count(len(table), 'record')} and "
            f"{MANIFEST} {format_count(len(leads), 'lead')}; prepare it again"
        )
    if manifest.n_samples not in (None, signals.shape[2]):
        raise LfbtError(
            f"{folder}: {SIGNALS} has {signals.shape[2]} samples a record, {MANIFEST} {manifest.n_samples}; prepare it "
            "again"
        )
    twice = [id for id, n in Counter(records["id"]).items() if n > 1]
    if twice:
        raise LfbtError(f"{folder}: record {twice[0]} is twice in {RECORDS}; prepare it again")
    labels_of = {text: tuple(filter(None, text.split(";"))) for text in set(records["labels"])}
    unknown = set().union(*labels_of.values()) - set(classes)
    if unknown:
        raise LfbtError(f"{folder}: label {min(unknown)} of {RECORDS} is not a class of {MANIFEST}; prepare it again")
    if not set(records["split"]) <= set(SPLITS):
        raise LfbtError(f"{folder}: {RECORDS} has a split that is not one of {', '.join(SPLITS)}; prepare it again")
    return Dataset(
        folder=folder,
        leads=leads,
        sampling_rate=_stated(manifest.sampling_rate, "sampling_rate", folder),
        classes=classes,
        ids=tuple(records["id"]),
        patients=tuple(records["patient"]),
        labels=tuple(labels_of[text] for text in records["labels"]),
        split=np.array(records["split"], dtype=str),
        signals=signals,
        lead_rows=tuple(range(len(leads))),
        hash=_stated(manifest.hash, "hash", folder),
        synthetic=manifest.synthetic,
        in_mv=manifest.unit == "mV",
        compared=signals.is_compared,
        # The signals are those that were prepared.
        voltages_checked=signals.is_compared and manifest.settings.get("allow_implausible") is False,
        manifest=manifest,
    )


def _refuse_data_sets_inside(folder: Path, pattern: str, is_one: bool) -> None:
    """Raise LfbtError if a folder inside is a data set, which would be taken for a class."""
    found = sorted(path.parent for path in folder.glob(f"{pattern}/{MANIFEST}"))
    inside = [str(path) for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts)]
    if not inside:
        return
    named = f"{', '.join(inside[:3])}{', ...' if len(inside) > 3 else ''} {'is one' if len(inside) == 1 else 'are'}"
    if is_one:
        raise LfbtError(f"data_dir: {folder} has another data set inside, {inside[0]}; move it out")
    raise LfbtError(
        f"data_dir: {folder} is no data set, but {named}; name {'that' if len(inside) == 1 else 'one of these'}"
    )


def _open_npy(folder: Path, manifest: DatasetManifest, split_seed: int) -> Dataset:
    _refuse_data_sets_inside(folder, "*", (folder / MANIFEST).is_file())
    found = list_labelled_files(folder)
    if not found:
        _refuse_data_sets_inside(folder, "*/*", is_one=False)
        raise LfbtError(f"data_dir: {folder} holds no data set; give {LAYOUTS}")
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
        raise LfbtError(f"{folder}: files have {format_count(shape[0], 'lead')} but {MANIFEST} names {len(leads)}")
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
        in_mv=False,
        manifest=manifest,
    )


@dataclasses.dataclass(frozen=True)
class NpyFiles:
    """Files ``[leads, samples]`` of one record each, indexed like one array ``[records, leads, samples]``."""

    files: tuple[Path, ...]
    shape: tuple[int, ...]

    def __getitem__(self, rows: NDArray[np.int64], /) -> Signal:
        return np.stack([self._read(self.files[row]) for row in rows])

    def _read(self, path: Path) -> Signal:
        with reading(path, _CHANGED), open_regular(path) as file:
            signal: Signal = np.lib.format.read_array(file, allow_pickle=False)
        if signal.shape != self.shape[1:] or signal.dtype.kind not in "fiu":
            raise UnreadableError(f"file {path}: holds {signal.dtype} of shape {list(signal.shape)}; {_CHANGED}")
        return signal


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
        raise LfbtError(f"data_dir: {folder} has {min(of_a_layout)}/ and {other}/ side by side; give {LAYOUTS}")
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
            array = map_npy(path)
        except UnreadableError as error:
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
