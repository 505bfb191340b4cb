"""Prepare a data set: recordings of a source become records of one duration, rate and set of leads, with splits."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import functools
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import lfbt
from lfbt.data.dask_cluster import Cluster, connected
from lfbt.data.disk_space import LESS_ROOM, check_disk_space, describe_size, size_of
from lfbt.data.executors import check_processes, prepare_entries
from lfbt.data.journal import JOURNAL, Journal, hash_recordings, preparation_key, read_journal
from lfbt.data.layouts import DROPPED, RECORDS, SIGNALS, describe_changed_table, open_dataset
from lfbt.data.manifest import MANIFEST, DatasetManifest, SourceInfo
from lfbt.data.people import PEOPLE, write_people
from lfbt.data.record_tables import NOTED, KeptRecord, note_copies, write_dropped, write_records
from lfbt.data.records import Prepared, PrepareSettings
from lfbt.data.splits import assign_splits
from lfbt.data.writers import NpyWriter, PackedWriter
from lfbt.errors import LfbtError
from lfbt.recording import STANDARD_LEADS, missing_leads
from lfbt.sources import SOURCES, Source
from lfbt.sources.listing import SPLITS, Dropped, Entry, Listing
from lfbt.sources.synthesis import MARKER
from lfbt.utils.figures import format_count
from lfbt.utils.files import Outputs, atomic_folder
from lfbt.utils.finished import check_target
from lfbt.utils.opening import shown_name
from lfbt.utils.progress import progress_bar
from lfbt.utils.settings import Affects, Form, as_path, convert, create, names_affecting, to_dict, validate
from lfbt.voltages import implausible_span

# Not of layout npy, whose files look as the user's own.
_OUTPUTS = Outputs(MANIFEST, (SIGNALS, RECORDS, DROPPED, PEOPLE), needed=(SIGNALS, RECORDS, DROPPED))


@dataclasses.dataclass(frozen=True)
class PrepareReport:
    """What a data set holds.

    Parameters
    ----------
    records, patients : int
        How many there are.
    recordings : int
        How many were read.
    sizes : dict
        Records by split.
    counts : dict
        Records by split and class; a record with several labels counts for each.
    dropped : dict
        Recordings, pieces and files that were dropped, by reason.
    label_rule : str
        How labels were derived.
    assumption : str
        What was taken for granted because the download does not say it, or contradicts itself; empty for nothing.
    notes : dict
        What readers decided, by note: recordings from which a signal that is no ECG was left out, and the like.
    """

    records: int
    patients: int
    sizes: dict[str, int]
    counts: dict[str, dict[str, int]]
    dropped: dict[str, int]
    label_rule: str
    assumption: str = ""
    notes: dict[str, int] = dataclasses.field(default_factory=dict)
    recordings: int = 0

    def __repr__(self) -> str:
        held = f"{format_count(self.records, 'record')} of {format_count(self.patients, 'patient')}"
        sizes = ", ".join(f"{split} {size}" for split, size in self.sizes.items())
        return f"PrepareReport({held}: {sizes}; dropped {sum(self.dropped.values())})"


def prepare(
    source: str, folder: str | os.PathLike[str], target: str | os.PathLike[str], **settings: Any
) -> PrepareReport:
    """Prepare a data set from a published download or from your own records.

    Parameters
    ----------
    source
        ``ptbxl``, ``mimic-iv-ecg`` or any other that `lfbt.sources.SOURCES` names, ``folder`` (your own records) or
        ``synthetic``.
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
        ``skip_unreadable=True``), voltages that no ECG has, no record left, and an occupied `target`.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as place:
    ...     report = prepare("synthetic", f"{place}/download", f"{place}/data", records=30, n_samples=64, workers=1)
    >>> report
    PrepareReport(26 records of 23 patients: train 16, val 5, test 5; dropped 4)
    >>> report.dropped
    {'several labels': 4}
    """
    source = convert("source", source, Annotated[str, Form(sources := f"one of {', '.join(SOURCES)}")])
    if source not in SOURCES:
        raise LfbtError(f"source: {source!r} is not {sources}")
    # Side by side, so that a misspelt name is compared with those of both.
    both = dataclasses.make_dataclass("Prepare", [("source", SOURCES[source]), ("records", PrepareSettings)])
    given: Any = create(both, settings)
    return prepare_dataset(given.source, source, as_path("folder", folder), as_path("target", target), given.records)


def prepare_dataset(
    source: Source,
    name: str,
    source_folder: Path,
    target: Path,
    settings: PrepareSettings | None = None,
    announce: Callable[[str], object] = lambda _: None,
) -> PrepareReport:
    """Prepare a data set from a source's recordings.

    Writes ``signals.npy`` ``[records, leads, samples]`` in mV or in the z-scores of the source (with layout npy the
    authors' folders), ``records.csv``, ``dropped.csv`` and ``dataset.json``, all or nothing. Of a record, memory holds
    what the table has of it, not its signal. After a kill the same call goes on with the next recording.

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
    announce : callable
        Is told, before the first recording is read, what was done before and how much disk the rest will take.

    Returns
    -------
    PrepareReport
        What the data set holds.

    Raises
    ------
    FinishedError
        If `target` holds what was prepared from the same recordings with the same settings.
    LfbtError
        If a setting is out of range, `target` is not empty, `source_folder` is not of this source, a file cannot be
        read (unless such files are skipped), no record is left, the disk has too little space, or workers or the Dask
        scheduler are lost.
    """
    settings = settings or PrepareSettings()
    validate(settings)
    _check_lead_names(settings.leads, name)
    _check_apart(source_folder, target)
    outputs = _OUTPUTS if settings.layout == "packed" else dataclasses.replace(_OUTPUTS, needed=(RECORDS, DROPPED))
    list_source = functools.partial(_list, source, name, source_folder, settings)
    check_target(target, outputs, settings.overwrite, lambda: list_source().stated, lambda: _verify(target, settings))
    if settings.dask_scheduler is None:
        check_processes(settings.workers)
    # Connected before the listing, which may take long.
    with _cluster(settings.dask_scheduler) as cluster:
        if cluster is not None:
            # The working directory of a worker is another.
            source_folder = source_folder.absolute()
        listed = _list(source, name, source_folder, settings)
        listing, entries = listed.listing, listed.entries
        if settings.layout == "npy":
            _check_class_folders(listing.classes)
        key = preparation_key(listed.settings | {"source": dataclasses.asdict(listed.origin)}, listed.recordings_hash)
        replaces = _OUTPUTS if settings.overwrite else None
        with atomic_folder(target, lambda left: _can_go_on(left, key, entries, settings), replaces=replaces) as folder:
            with (
                contextlib.closing(Journal(folder, key, entries)) as journal,
                contextlib.closing(_create_writer(folder, settings, journal.n_records)) as writer,
            ):
                left = entries[len(journal.done) :]
                size = size_of(settings, len(left))
                check_disk_space(target, size, LESS_ROOM)
                if entries:
                    announce(f"{target}: {describe_size(len(journal.done), len(entries), size)}")
                prepared = _write_signals(prepare_entries(left, settings, folder, cluster), writer, journal)
                records, faulty, noted, spans = _collect(_show_progress(prepared, journal.done, len(entries)))
            noted += note_copies(records)
            (folder / JOURNAL).unlink()
            implausible = None if settings.allow_implausible else implausible_span(spans)
            if implausible:
                raise LfbtError(
                    f"{source_folder}: {implausible}. State the right unit where it can be (--file-unit of source "
                    "folder, also of counts, such as 200/mV), or insist with --allow-implausible"
                )
            dropped = [*listing.dropped, *listed.unlabelled, *faulty]
            if not records:
                raise LfbtError(_nothing_left(source_folder, name, dropped))
            fractions = settings.test_fraction, settings.val_fraction
            kept = [record.entry for record in records]
            splits = assign_splits(kept, bool(listing.classes), fractions, settings.split_seed)
            if isinstance(writer, NpyWriter) and listing.classes:
                writer.sort((split, record.labels) for record, split in zip(records, splits, strict=True))
            hash = write_records(folder, records, splits, source_folder)
            write_dropped(folder, [*dropped, *noted], source_folder)
            if settings.layout == "packed":
                write_people(folder, ((record.id, record.entry.sex, record.entry.age) for record in records))
            report = _report(records, splits, listing, len(entries), dropped, noted)
            manifest = _manifest(settings, listed, report)
            dataclasses.replace(manifest, synthetic=_is_synthetic(records), hash=hash).save(folder)
    return report


@dataclasses.dataclass(frozen=True)
class _Listed:
    """What is prepared, and how: the recordings of a source, and the settings that affect the result."""

    listing: Listing
    entries: list[Entry]
    unlabelled: list[Dropped]
    settings: dict[str, Any]
    origin: SourceInfo
    recordings_hash: str

    @property
    def stated(self) -> dict[str, Any]:
        """What the manifest will state of it."""
        # The folder may have another name by now.
        source = {"name": self.origin.name, "options": self.origin.options}
        return {"settings": self.settings, "source": source, "recordings_hash": self.recordings_hash}


def _verify(target: Path, settings: PrepareSettings) -> None:
    """Raise LfbtError where the data set in `target` is incomplete, or its table is another."""
    if settings.layout == "packed":
        changed = describe_changed_table(open_dataset(target))
        if changed:
            raise LfbtError(changed)


def _list(source: Source, name: str, source_folder: Path, settings: PrepareSettings) -> _Listed:
    """List the recordings of a source. Raises LfbtError for a folder that is not of it."""
    listing = source.listing(source_folder)
    entries, unlabelled = _apply_label_rule(listing, settings.keep_multi_label)
    options = json.loads(json.dumps(vars(source), default=str))  # plain JSON values, as they are read back
    origin = SourceInfo(name, shown_name(source_folder.absolute().name), options)
    recordings = hash_recordings(entries, source_folder)
    return _Listed(listing, entries, unlabelled, _settings_of_result(settings), origin, recordings)


def _check_apart(source_folder: Path, target: Path) -> None:
    """Raise LfbtError where one of two folders lies in the other, so that what is written would be read again."""
    inner, outer = target.resolve(), source_folder.resolve()
    if inner.is_relative_to(outer) or outer.is_relative_to(inner):
        raise LfbtError(
            f"{target}: lies in {source_folder}, or that in it; name a folder apart from that of the recordings"
        )


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


def _can_go_on(folder: Path, key: str, entries: list[Entry], settings: PrepareSettings) -> bool:
    """Whether a killed process with the same settings and recordings has left what it prepared in `folder`."""
    done, end = read_journal(folder, key, entries)
    n = sum(len(prepared.pieces) for prepared in done)
    if settings.layout == "npy":
        return end > 0 and all((folder / "samples" / f"sample_{row}.npy").is_file() for row in range(n))
    return end > 0 and (folder / SIGNALS).is_file() and (folder / SIGNALS).stat().st_size > size_of(settings, n)


def _create_writer(folder: Path, settings: PrepareSettings, n: int) -> PackedWriter | NpyWriter:
    if settings.layout == "npy":
        return NpyWriter(folder, n)
    return PackedWriter(folder / SIGNALS, (len(settings.leads), settings.n_samples), settings.dtype, n)


def _write_signals(
    prepared: Iterable[Prepared], writer: PackedWriter | NpyWriter, journal: Journal
) -> Iterator[Prepared]:
    """Write the signals of each recording, then note it in the journal."""
    for done in prepared:
        for piece in done.pieces:
            writer.append(piece.signal)
        writer.flush()
        journal.append(done)
        yield done


def _show_progress(prepared: Iterable[Prepared], before: Sequence[Prepared], total: int) -> Iterator[Prepared]:
    """Yield what was prepared before and what is now, with a progress bar."""
    with progress_bar(total, "prepare") as bar:
        if before:
            bar.begin_at(len(before))
            yield from before
        for done in prepared:
            yield done
            bar.advance()


def _collect(prepared: Iterable[Prepared]) -> tuple[list[KeptRecord], list[Dropped], list[Dropped], list[float]]:
    """The records without their signals, what was dropped, the notes of readers, and the spans of all in mV."""
    records: list[KeptRecord] = []
    dropped: list[Dropped] = []
    noted: list[Dropped] = []
    spans: list[float] = []
    for done in prepared:
        dropped += done.dropped
        spans += done.spans
        noted += [Dropped(done.entry.id, str(done.entry.file), f"{NOTED}{note}") for note in done.notes]
        for piece in done.pieces:
            id = done.entry.id if done.n_pieces == 1 else f"{done.entry.id}-{piece.number}"
            records.append(KeptRecord(id, done.entry, piece.number, piece.hash))
    return records, dropped, noted, spans


def _report(
    records: Sequence[KeptRecord],
    splits: Sequence[str],
    listing: Listing,
    n_recordings: int,
    dropped: list[Dropped],
    noted: list[Dropped],
) -> PrepareReport:
    classes = listing.classes or ("",)
    counts = {split: dict.fromkeys(classes, 0) for split in SPLITS}
    for record, split in zip(records, splits, strict=True):
        for label in record.labels.split(";"):
            counts[split][label] += 1
    return PrepareReport(
        records=len(records),
        patients=len({record.entry.patient for record in records}),
        sizes={split: splits.count(split) for split in SPLITS},
        counts=counts,
        dropped=_count_reasons(dropped),
        label_rule=listing.label_rule,
        assumption=listing.assumption,
        notes=_count_reasons([dataclasses.replace(item, reason=item.reason.removeprefix(NOTED)) for item in noted]),
        recordings=n_recordings,
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


def _manifest(settings: PrepareSettings, listed: _Listed, report: PrepareReport) -> DatasetManifest:
    listing = listed.listing
    unit = "mV" if listing.in_mv else "z-score (data set)"
    return DatasetManifest(
        lfbt_version=lfbt.__version__,
        leads=settings.leads,
        sampling_rate=settings.n_samples / settings.duration,
        n_samples=settings.n_samples,
        unit=unit if settings.layout == "packed" else "z-score (record)",
        label_rule=report.label_rule,
        assumption=report.assumption,
        classes=listing.classes,
        records=report.records,
        patients=report.patients,
        counts=report.counts,
        dropped=report.dropped,
        source=listed.origin,
        settings=listed.settings,
        recordings_hash=listed.recordings_hash,
    )


def _settings_of_result(settings: PrepareSettings) -> dict[str, Any]:
    affecting = names_affecting(PrepareSettings, Affects.RESULT)
    return {setting: value for setting, value in to_dict(settings).items() if setting in affecting}


def _is_synthetic(records: Iterable[KeptRecord]) -> bool:
    """Whether any record lies in a folder of synthetic recordings, by whatever source it was read."""
    seen: set[str] = set()
    for record in records:
        folder = os.path.dirname(os.path.abspath(record.entry.file))  # noqa: PTH100, PTH120
        while folder not in seen:
            seen.add(folder)
            if os.path.isfile(f"{folder}/{MARKER}"):  # noqa: PTH113
                return True
            folder = os.path.dirname(folder)  # noqa: PTH120
    return False
