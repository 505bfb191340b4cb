"""Prepare a data set: recordings of a source become records of one duration, rate and set of leads, with splits."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import lfbt
from lfbt.data.dask_cluster import Cluster, connected
from lfbt.data.executors import prepare_entries
from lfbt.data.layouts import DROPPED, RECORDS, SIGNALS
from lfbt.data.manifest import DatasetManifest, SourceInfo
from lfbt.data.records import Prepared, PrepareSettings
from lfbt.data.splits import split_by_patient
from lfbt.data.writers import NpyWriter, PackedWriter
from lfbt.errors import LfbtError
from lfbt.recording import STANDARD_LEADS, missing_leads
from lfbt.sources import SOURCES, Source
from lfbt.sources.listing import SPLITS, Dropped, Entry, Listing
from lfbt.sources.synthesis import MARKER
from lfbt.utils.files import atomic_folder, check_unoccupied
from lfbt.utils.progress import track
from lfbt.utils.settings import Affects, create, names_affecting, to_dict, validate


@dataclasses.dataclass(frozen=True)
class PrepareReport:
    """What a data set holds.

    Parameters
    ----------
    records, patients : int
        How many there are.
    sizes : dict
        Records by split.
    counts : dict
        Records by split and class; a record with several labels counts for each.
    dropped : dict
        Recordings, pieces and files that were dropped, by reason.
    label_rule : str
        How labels were derived.
    notes : dict
        What readers decided, by note: recordings from which a signal that is no ECG was left out, and the like.
    """

    records: int
    patients: int
    sizes: dict[str, int]
    counts: dict[str, dict[str, int]]
    dropped: dict[str, int]
    label_rule: str
    notes: dict[str, int] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class _Record:
    """A record that is kept: its id, its recording, which piece of it, and the hash of the signal."""

    id: str
    entry: Entry
    piece: int
    hash: str


def prepare(
    source: str, folder: str | os.PathLike[str], target: str | os.PathLike[str], **settings: Any
) -> PrepareReport:
    """Prepare a data set from a published download or from your own records.

    Parameters
    ----------
    source
        ``ptbxl``, ``cpsc2018``, ``chapman``, ``ningbo``, ``challenge``, ``folder`` (your own records) or ``synthetic``.
    folder
        The download as it was unpacked, or the folder of your records; it is searched through.
    target
        New folder for the data set.
    **settings
        Any option of ``lfbt prepare SOURCE`` by its name, with ``_`` for ``-``: ``n_samples=1024``, ``leads="II,V1"``,
        ``keep_multi_label=True``; of the source ``labels="subclass"``, ``file_sampling_rate=500``.

    Returns
    -------
    PrepareReport
        Records by split and class, and what was dropped, by reason.

    Raises
    ------
    LfbtError
        For an unknown source or setting, a folder that is not of the source, a file that cannot be read (unless
        ``skip_unreadable=True``), no record left, and an occupied `target`.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as place:
    ...     report = prepare("synthetic", f"{place}/download", f"{place}/data", records=30, n_samples=64, workers=1)
    >>> report.records, report.dropped
    (26, {'several labels': 4})
    """
    if source not in SOURCES:
        raise LfbtError(f"source: {source!r} is not one of {', '.join(SOURCES)}")
    kind: type[Any] = SOURCES[source]
    own = {field.name for field in dataclasses.fields(kind)}
    options = create(kind, {name: value for name, value in settings.items() if name in own})
    given = create(PrepareSettings, {name: value for name, value in settings.items() if name not in own})
    return prepare_dataset(options, source, Path(folder), Path(target), given)


def prepare_dataset(
    source: Source, name: str, source_folder: Path, target: Path, settings: PrepareSettings | None = None
) -> PrepareReport:
    """Prepare a data set from a source's recordings.

    Writes ``signals.npy`` ``[records, leads, samples]`` float32 in mV (or, with layout npy, the authors' folders),
    ``records.csv``, ``dropped.csv`` and ``dataset.json``, all or nothing. Memory does not grow with the number of
    records.

    Parameters
    ----------
    source : Source
        One of `lfbt.sources`, with its options.
    name : str
        The source's name.
    source_folder : Path
        The folder of the recordings.
    target : Path
        A new or empty folder.
    settings : PrepareSettings, optional
        How recordings become records.

    Returns
    -------
    PrepareReport
        What the data set holds.

    Raises
    ------
    LfbtError
        If a setting is out of range, `target` is not empty, `source_folder` is not of this source, a file cannot be
        read (unless such files are skipped), no record is left, or workers or the Dask scheduler are lost.
    """
    settings = settings or PrepareSettings()
    validate(settings)
    _check_lead_names(settings.leads, name)
    check_unoccupied(target)
    # Connected before the listing, which may take long.
    with _cluster(settings.dask_scheduler) as cluster:
        if cluster is not None:
            # The working directory of a worker is another.
            source_folder = source_folder.absolute()
        listing = source.listing(source_folder)
        entries, unlabelled = _apply_label_rule(listing, settings.keep_multi_label)
        if settings.layout == "npy":
            _check_class_folders(listing.classes)
        with atomic_folder(target) as folder:
            writer = _create_writer(folder, settings)
            with contextlib.closing(writer):
                prepared = prepare_entries(entries, settings, folder, cluster)
                records, faulty, noted = _write_signals(track(prepared, len(entries), "prepare"), writer)
            dropped = [*listing.dropped, *unlabelled, *faulty]
            if not records:
                raise LfbtError(_nothing_left(source_folder, name, dropped))
            splits = _assign_splits([record.entry for record in records], settings, bool(listing.classes))
            rows = _table(records, splits, source_folder)
            if isinstance(writer, NpyWriter) and listing.classes:
                writer.sort((row["split"], row["labels"]) for row in rows)
            _write_tables(folder, rows, [*dropped, *noted], source_folder)
            report = _report(rows, listing, dropped, noted)
            # Plain JSON values, as they are read back.
            options = json.loads(json.dumps(vars(source), default=str))
            origin = SourceInfo(name, source_folder.absolute().name, options)
            manifest = _manifest(settings, listing.classes, report, origin)
            dataclasses.replace(manifest, synthetic=_is_synthetic(records), hash=_hash(rows)).save(folder)
    return report


def _check_lead_names(leads: Sequence[str], source_name: str) -> None:
    """Raise LfbtError for leads that no recording of a published source has; a user's own may have any."""
    unknown = missing_leads(leads, STANDARD_LEADS)
    if unknown and source_name != "folder":
        raise LfbtError(
            f"leads: {unknown[0]!r} is not one of {','.join(STANDARD_LEADS)}, which source {source_name} has"
        )


def _check_class_folders(classes: Sequence[str]) -> None:
    for label in classes:
        if "/" in label or label.startswith("."):
            raise LfbtError(f"class {label!r} cannot name a folder; use --layout packed or another label rule")


@contextlib.contextmanager
def _cluster(address: str | None) -> Iterator[Cluster | None]:
    """Connect to the Dask cluster at `address`, if there is one."""
    if address is None:
        yield None
    else:
        with connected(address) as cluster:
            yield cluster


def _apply_label_rule(listing: Listing, keep_multi_label: bool) -> tuple[list[Entry], list[Dropped]]:
    """Separate the entries whose labels serve a classifier from the others; without classes all do."""
    if not listing.classes:
        return listing.entries, []
    kept, dropped = [], []
    for entry in listing.entries:
        if not entry.labels:
            dropped.append(Dropped(entry.id, str(entry.file), "no label"))
        elif len(entry.labels) > 1 and not keep_multi_label:
            dropped.append(Dropped(entry.id, str(entry.file), f"several labels: {';'.join(entry.labels)}"))
        else:
            kept.append(entry)
    return kept, dropped


def _create_writer(folder: Path, settings: PrepareSettings) -> PackedWriter | NpyWriter:
    if settings.layout == "npy":
        return NpyWriter(folder)
    return PackedWriter(folder / SIGNALS, (len(settings.leads), settings.n_samples))


def _write_signals(
    prepared: Iterable[Prepared], writer: PackedWriter | NpyWriter
) -> tuple[list[_Record], list[Dropped], list[Dropped]]:
    """Write the signals; return the records without them, what was dropped, and the notes of readers."""
    records: list[_Record] = []
    dropped: list[Dropped] = []
    noted: list[Dropped] = []
    for done in prepared:
        dropped += done.dropped
        noted += [Dropped(done.entry.id, str(done.entry.file), note) for note in done.notes]
        for piece in done.pieces:
            writer.append(piece.signal)
            id = done.entry.id if done.n_pieces == 1 else f"{done.entry.id}-{piece.number}"
            records.append(_Record(id, done.entry, piece.number, piece.hash))
    return records, dropped, noted


def _assign_splits(entries: Sequence[Entry], settings: PrepareSettings, labelled: bool) -> list[str]:
    """Take the official split if there is one; else all is train without labels, or split by patient."""
    official = [entry.split for entry in entries]
    if all(official):
        split_of: dict[str, str] = {}
        for entry in entries:
            if split_of.setdefault(entry.patient, entry.split) != entry.split:
                raise LfbtError(
                    f"patient {entry.patient} is in split {split_of[entry.patient]} and, with record {entry.id}, "
                    f"in {entry.split}; a patient may be in one only: correct the split column"
                )
        return official
    if any(official):
        entry = next(entry for entry in entries if not entry.split)
        raise LfbtError(f"record {entry.id} has no split while others have one; give every record one, or none")
    if not labelled:
        return ["train"] * len(entries)
    labels = [";".join(entry.labels) for entry in entries]
    patients = [entry.patient for entry in entries]
    return split_by_patient(patients, labels, settings.test_fraction, settings.val_fraction, settings.split_seed)


def _table(records: Sequence[_Record], splits: Sequence[str], source_folder: Path) -> list[dict[str, Any]]:
    """The rows of ``records.csv``."""
    return [
        {
            "id": record.id,
            "patient": record.entry.patient,
            "file": _relative(record.entry.file, source_folder),
            "piece": record.piece,
            "labels": ";".join(dict.fromkeys(record.entry.labels)),
            "split": split,
            "hash": record.hash,
        }
        for record, split in zip(records, splits, strict=True)
    ]


def _write_tables(folder: Path, rows: list[dict[str, Any]], dropped: list[Dropped], source_folder: Path) -> None:
    import pandas as pd

    pd.DataFrame(rows).to_csv(folder / RECORDS, index=False)
    lost = [(item.id, _relative(Path(item.file), source_folder), item.reason) for item in dropped]
    pd.DataFrame(lost, columns=["id", "file", "reason"]).to_csv(folder / DROPPED, index=False)


def _relative(file: Path, folder: Path) -> str:
    return file.relative_to(folder).as_posix() if file.is_relative_to(folder) else file.as_posix()


def _report(
    rows: list[dict[str, Any]], listing: Listing, dropped: list[Dropped], noted: list[Dropped]
) -> PrepareReport:
    classes = listing.classes or ("",)
    counts = {split: dict.fromkeys(classes, 0) for split in SPLITS}
    for row in rows:
        for label in row["labels"].split(";"):
            counts[row["split"]][label] += 1
    return PrepareReport(
        records=len(rows),
        patients=len({row["patient"] for row in rows}),
        sizes={split: sum(row["split"] == split for row in rows) for split in SPLITS},
        counts=counts,
        dropped=_count_reasons(dropped),
        label_rule=listing.label_rule,
        notes=_count_reasons(noted),
    )


def _count_reasons(dropped: list[Dropped]) -> dict[str, int]:
    """Count what was dropped by the reason without its details."""
    counts = collections.Counter(item.reason.split(":")[0].split(" (")[0] for item in dropped)
    return dict(counts.most_common())


def _nothing_left(folder: Path, name: str, dropped: list[Dropped]) -> str:
    if not dropped:
        return f"{folder}: source {name} found no recordings there"
    reasons = ", ".join(f"{count} {reason}" for reason, count in _count_reasons(dropped).items())
    return f"{folder}: no record is left; dropped: {reasons} (first: {dropped[0].id}: {dropped[0].reason})"


def _manifest(
    settings: PrepareSettings, classes: tuple[str, ...], report: PrepareReport, source: SourceInfo
) -> DatasetManifest:
    affecting = names_affecting(PrepareSettings, Affects.RESULT)
    return DatasetManifest(
        lfbt_version=lfbt.__version__,
        leads=settings.leads,
        sampling_rate=settings.n_samples / settings.duration,
        n_samples=settings.n_samples,
        unit="mV" if settings.layout == "packed" else "z-score (record)",
        label_rule=report.label_rule,
        classes=classes,
        records=report.records,
        patients=report.patients,
        counts=report.counts,
        dropped=report.dropped,
        source=source,
        settings={setting: value for setting, value in to_dict(settings).items() if setting in affecting},
    )


def _is_synthetic(records: Sequence[_Record]) -> bool:
    """Whether any record lies in a folder of synthetic recordings, by whatever source it was read."""
    above = {parent for record in records for parent in record.entry.file.absolute().parents}
    return any((parent / MARKER).is_file() for parent in above)


def _hash(rows: list[dict[str, Any]]) -> str:
    return hashlib.sha256("\n".join(",".join(map(str, row.values())) for row in rows).encode()).hexdigest()
