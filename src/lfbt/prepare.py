"""A source becomes a data set: one duration, one rate, leads by name, bad records dropped with the reason, splits."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import functools
import hashlib
import io
import itertools
import math
import multiprocessing
import os
import socket
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np

import lfbt
from lfbt.cluster import Cluster, connected, in_chunks
from lfbt.dataset import DROPPED, MANIFEST, RECORDS, SIGNALS
from lfbt.memory import keep_freed_memory
from lfbt.output import new_folder, progress, refuse_occupied, write_json
from lfbt.recording import (
    PAPER_LEADS,
    STANDARD_LEADS,
    Dropped,
    Entry,
    LfbtError,
    Listing,
    UnreadableError,
    check_leads,
    check_range,
    missing_leads,
)
from lfbt.signal import (
    AbsentLeadError,
    Signal,
    choose_leads,
    cut_pieces,
    fit_samples,
    limb_leads_used,
    normalise,
    quality_fault,
)
from lfbt.sources import Source
from lfbt.splits import SPLITS, split_by_patient
from lfbt.synthetic import MARKER

# A Dask worker may have several threads, but the warnings that clinical files are judged by are caught for a process.
_ONE_AT_A_TIME = threading.Lock()


@dataclasses.dataclass(frozen=True)
class PrepareSettings:
    """How recordings become records of one shape."""

    leads: tuple[str, ...] = PAPER_LEADS
    """Leads to keep, by name and in this order, comma-separated. Missing limb leads are derived."""
    n_samples: int = 2048
    """Samples of a record after resampling."""
    duration: float = 10.0
    """Seconds of a record. Longer recordings are cut, shorter ones zero-padded at the end."""
    pieces: Literal["all", "first"] = "all"
    """Which pieces of a recording longer than the duration are kept."""
    keep_multi_label: bool = False
    """Keep records with several labels (the paper drops them); probe and fine-tuning are multi-label then."""
    test_fraction: float = 0.2
    """Part of the patients put aside for the test, where the source has no official split."""
    val_fraction: float = 0.1
    """Part of the other patients put aside for validation, where the source has no official split."""
    split_seed: int = 0
    """Seed of the split."""
    layout: Literal["packed", "npy"] = "packed"
    """packed: one array in mV with a table. npy: the authors' folders of z-scored files."""
    skip_unreadable: bool = False
    """Drop files that cannot be read, with the reason, instead of stopping at the first."""
    workers: int = dataclasses.field(default_factory=lambda: os.cpu_count() or 1)
    """Processes that read and resample; with 1 this process does it."""
    dask_scheduler: str | None = None
    """Address of a Dask scheduler, host:port, whose workers do this instead; they must see FROM under the same path."""


@dataclasses.dataclass(frozen=True)
class Piece:
    """A record: which piece of its recording it is, ``[leads, samples]`` in mV, and the SHA-256 of these."""

    number: int
    signal: Signal
    hash: str


@dataclasses.dataclass(frozen=True)
class Prepared:
    """What became of one recording: in how many pieces it was cut, those that are kept, and what was dropped."""

    entry: Entry
    n_pieces: int
    pieces: list[Piece]
    dropped: list[Dropped]


@dataclasses.dataclass(frozen=True)
class PrepareReport:
    """How many records were kept, by split and by split and class, and how many were dropped, by reason."""

    records: int
    patients: int
    sizes: dict[str, int]
    counts: dict[str, dict[str, int]]
    dropped: dict[str, int]
    label_rule: str


def prepare_entry(entry: Entry, settings: PrepareSettings) -> Prepared:
    """Read one recording and make its records. Raises UnreadableError, unless the settings say to drop such files."""
    pieces: list[Piece] = []
    dropped: list[Dropped] = []
    n_pieces = 0
    try:
        recording = entry.read()
        n_raw = round(settings.duration * recording.sampling_rate)
        if n_raw < 2:
            raise UnreadableError(
                f"sampling rate {recording.sampling_rate:g} Hz is too low for {settings.duration:g} s"
            )
        # A fault of a lead that others are derived from is a fault of theirs.
        used = limb_leads_used(recording.leads, settings.leads)
        checked = (*settings.leads, *(lead for lead in used if lead not in settings.leads))
        chosen = choose_leads(recording.signal, recording.leads, checked)
        cut = cut_pieces(chosen, n_raw, settings.pieces)
        n_pieces = len(cut)
        for number, piece in enumerate(cut):
            fault = quality_fault(piece, checked, recording.sampling_rate)
            if fault:
                where = f" (piece {number + 1} of {n_pieces})" if n_pieces > 1 else ""
                dropped.append(Dropped(entry.id, str(entry.file), fault + where))
            else:
                signal = fit_samples(piece[: len(settings.leads)], n_raw, settings.n_samples)
                pieces.append(Piece(number, signal, hashlib.sha256(signal.data).hexdigest()))
    except UnreadableError as error:
        if not settings.skip_unreadable:
            raise UnreadableError(f"{error}; mend or remove it, or drop such files with --skip-unreadable") from error
        dropped.append(Dropped(entry.id, str(entry.file), f"unreadable: {error}"))
    except AbsentLeadError as error:
        dropped.append(Dropped(entry.id, str(entry.file), str(error)))
    return Prepared(entry, n_pieces, pieces, dropped)


def _prepare_all(
    entries: list[Entry], settings: PrepareSettings, folder: Path, cluster: Cluster | None
) -> Iterator[Prepared]:
    """What became of every entry, in order, with few of them held at a time; `folder` is for files meanwhile."""
    if cluster is not None:
        there = functools.partial(_prepare_there, settings=settings)
        for done in cluster.map(there, entries, name_of=lambda entry: f"recording {entry.id}"):
            yield from done
        return
    if settings.workers <= 1:
        for entry in entries:
            yield prepare_entry(entry, settings)
        return
    # A forked child of a process with threads can hang; a spawned one cannot.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(settings.workers, mp_context=context, initializer=keep_freed_memory) as pool:
        waiting: collections.deque[tuple[Future[list[Prepared]], Path]] = collections.deque()
        try:
            for number, chunk in enumerate(in_chunks(entries, settings.workers)):
                file = folder / f"chunk-{number}"
                waiting.append((pool.submit(_prepare_chunk, chunk, settings, file), file))
                if len(waiting) > 2 * settings.workers:
                    yield from _received(*waiting.popleft(), settings)
            while waiting:
                yield from _received(*waiting.popleft(), settings)
        except BrokenProcessPool as error:
            raise LfbtError(
                f"workers: one of {settings.workers} processes ended early, perhaps killed for want of memory; "
                "take fewer --workers"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def _prepare_chunk(entries: Sequence[Entry], settings: PrepareSettings, file: Path) -> list[Prepared]:
    """What became of `entries`, their signals one after the other in `file`: through a pipe they take much longer."""
    done = []
    with file.open("wb") as signals:
        for entry in entries:
            prepared = prepare_entry(entry, settings)
            for piece in prepared.pieces:
                signals.write(piece.signal.data)
            done.append(_with_signals(prepared, itertools.repeat(np.empty((0, 0), np.float32))))
    return done


def _received(result: Future[list[Prepared]], file: Path, settings: PrepareSettings) -> Iterator[Prepared]:
    """What `_prepare_chunk` returned, with the signals, whose file is removed."""
    done, shape = result.result(), (len(settings.leads), settings.n_samples)
    with file.open("rb") as signals:
        size = 4 * math.prod(shape)
        of_pieces = (np.frombuffer(signals.read(size), np.float32).reshape(shape) for _ in itertools.count())
        for prepared in done:
            yield _with_signals(prepared, of_pieces)
    file.unlink()


def _with_signals(prepared: Prepared, signals: Iterator[Signal]) -> Prepared:
    pieces = [dataclasses.replace(piece, signal=next(signals)) for piece in prepared.pieces]
    return dataclasses.replace(prepared, pieces=pieces)


def _prepare_there(entries: Sequence[Entry], settings: PrepareSettings) -> list[Prepared]:
    """What became of `entries`, in a Dask worker. Raises LfbtError where their files are out of sight."""
    for entry in entries:
        # The listing saw it: it is not one of those that may be skipped as unreadable.
        if not os.access(entry.file, os.F_OK):
            raise LfbtError(
                f"dask-scheduler: its worker on {socket.gethostname()} does not see {entry.file}; "
                "every worker must see FROM under the same path"
            )
    with _ONE_AT_A_TIME:
        return [prepare_entry(entry, settings) for entry in entries]


class _PackedSignals:
    """``signals.npy`` written row after row, so that no more than one record is held."""

    def __init__(self, path: Path, shape: tuple[int, int]) -> None:
        self.shape = shape
        self.n = 0
        self.file: BinaryIO = path.open("wb")
        self._write_header()

    def _write_header(self) -> None:
        # NumPy pads the header so that its first axis can grow in place.
        header = io.BytesIO()
        content = {"descr": "<f4", "fortran_order": False, "shape": (self.n, *self.shape)}
        np.lib.format.write_array_header_1_0(header, content)
        self.file.seek(0)
        self.file.write(header.getvalue())

    def append(self, signal: Signal) -> None:
        self.file.write(np.ascontiguousarray(signal, dtype="<f4").data)
        self.n += 1

    def close(self) -> None:
        self._write_header()
        self.file.close()


class _NpySignals:
    """The authors' layout: one z-scored file a record."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.n = 0
        (folder / "samples").mkdir()

    def append(self, signal: Signal) -> None:
        np.save(self.folder / "samples" / f"sample_{self.n}.npy", normalise(signal, "record"))
        self.n += 1

    def sort(self, rows: Iterable[tuple[str, str]]) -> None:
        """Move every file to ``split/class``."""
        for row, (split, label) in enumerate(rows):
            name = f"sample_{row}.npy"
            (self.folder / split / label).mkdir(parents=True, exist_ok=True)
            (self.folder / "samples" / name).rename(self.folder / split / label / name)
        (self.folder / "samples").rmdir()

    def close(self) -> None:
        """Every file is closed already."""


def _check(settings: PrepareSettings, source_name: str) -> None:
    check_leads(settings.leads)
    unknown = missing_leads(settings.leads, STANDARD_LEADS)
    if unknown and source_name != "folder":
        raise LfbtError(
            f"leads: {unknown[0]!r} is not one of {','.join(STANDARD_LEADS)}, which source {source_name} has"
        )
    check_range("n-samples", settings.n_samples, "[32, inf)", "the encoder halves them five times")
    check_range("duration", settings.duration, "(0, 86400)", "it is in seconds")
    check_range("workers", settings.workers, "[1, inf)")
    if settings.layout == "npy" and settings.keep_multi_label:
        raise LfbtError("layout npy puts a record into one class folder: it does not go with --keep-multi-label")
    check_range("test-fraction", settings.test_fraction, "[0, 1)")
    check_range("val-fraction", settings.val_fraction, "[0, 1)")
    check_range("split-seed", settings.split_seed, "[0, 4294967295]")


def _sort_out(listing: Listing, keep_multi_label: bool) -> tuple[list[Entry], list[Dropped]]:
    """The entries that the label rule keeps, and the others with the reason."""
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


def _splits(entries: list[Entry], settings: PrepareSettings, labelled: bool) -> list[str]:
    """The split of every record: official where the source has one, all train without labels, else made."""
    official = [entry.split for entry in entries]
    if all(official):
        split_of: dict[str, str] = {}
        for entry in entries:
            if split_of.setdefault(entry.patient, entry.split) != entry.split:
                raise LfbtError(
                    f"patient {entry.patient} is in split {split_of[entry.patient]} and, with record {entry.id}, "
                    f"in {entry.split}; a patient may be in one only: mend the split column"
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


def prepare(
    source: Source, name: str, source_folder: Path, target: Path, settings: PrepareSettings = PrepareSettings()
) -> PrepareReport:
    """Make a data set in `target` from what `source`, called `name`, finds in `source_folder`.

    Writes ``signals.npy`` ``[records, leads, samples]`` float32 in mV, ``records.csv``, ``dropped.csv`` and
    ``dataset.json`` (or, with layout npy, the authors' folders), all or nothing. Memory does not grow with the number
    of records.

    Raises LfbtError for settings out of range, a target that is not empty, a folder that is not the source's, an
    unreadable file (unless they are skipped), when no record is left, and when workers or the Dask scheduler are lost.
    """
    _check(settings, name)
    refuse_occupied(target)
    kept: list[Entry] = []
    rows: list[dict[str, Any]] = []
    shape = (len(settings.leads), settings.n_samples)
    with contextlib.ExitStack() as stack:
        cluster = None
        if settings.dask_scheduler is not None:
            # Before the listing, which may take long.
            cluster = stack.enter_context(connected(settings.dask_scheduler))
            # The workers' working directory is another.
            source_folder = source_folder.absolute()
        listing = source.listing(source_folder)
        entries, dropped = _sort_out(listing, settings.keep_multi_label)
        dropped = [*listing.dropped, *dropped]
        labelled = bool(listing.classes)
        if labelled and settings.layout == "npy":
            for label in listing.classes:
                if "/" in label or label.startswith("."):
                    raise LfbtError(f"class {label!r} cannot name a folder; use --layout packed or another label rule")
        folder = stack.enter_context(new_folder(target))
        packed = settings.layout == "packed"
        writer = _PackedSignals(folder / SIGNALS, shape) if packed else _NpySignals(folder)
        stack.callback(writer.close)
        for done in progress(_prepare_all(entries, settings, folder, cluster), len(entries), "prepare"):
            dropped += done.dropped
            for piece in done.pieces:
                writer.append(piece.signal)
                kept.append(done.entry)
                rows.append(
                    {
                        "id": done.entry.id if done.n_pieces == 1 else f"{done.entry.id}-{piece.number}",
                        "patient": done.entry.patient,
                        "file": _relative(done.entry.file, source_folder),
                        "piece": piece.number,
                        "labels": ";".join(dict.fromkeys(done.entry.labels)),
                        "split": "",
                        "hash": piece.hash,
                    }
                )
        if not rows:
            raise LfbtError(_nothing_left(source_folder, name, dropped))
        for row, split in zip(rows, _splits(kept, settings, labelled), strict=True):
            row["split"] = split
        if isinstance(writer, _NpySignals) and labelled:
            writer.sort((row["split"], row["labels"]) for row in rows)
        report = _report(rows, listing, dropped)
        _write_tables(folder, rows, dropped, source_folder)
        synthetic = _is_synthetic(kept)
        manifest = _manifest(source, name, source_folder, settings, listing, report, rows, synthetic)
        write_json(folder / MANIFEST, manifest)
    return report


def _is_synthetic(entries: list[Entry]) -> bool:
    """Whether any record lies where `write_ptbxl` left its mark, by whatever source it was read."""
    above = {place for entry in entries for place in entry.file.absolute().parents}
    return any((place / MARKER).is_file() for place in above)


def _relative(file: Path, folder: Path) -> str:
    return file.relative_to(folder).as_posix() if file.is_relative_to(folder) else file.as_posix()


def _reasons(dropped: list[Dropped]) -> dict[str, int]:
    """How many were dropped, by the reason's first words."""
    counts = collections.Counter(item.reason.split(":")[0].split(" (")[0] for item in dropped)
    return dict(counts.most_common())


def _nothing_left(folder: Path, name: str, dropped: list[Dropped]) -> str:
    if not dropped:
        return f"{folder}: source {name} found no recordings there"
    reasons = ", ".join(f"{count} {reason}" for reason, count in _reasons(dropped).items())
    return f"{folder}: no record is left; dropped: {reasons} (first: {dropped[0].id}: {dropped[0].reason})"


def _report(rows: list[dict[str, Any]], listing: Listing, dropped: list[Dropped]) -> PrepareReport:
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
        dropped=_reasons(dropped),
        label_rule=listing.label_rule,
    )


def _write_tables(folder: Path, rows: list[dict[str, Any]], dropped: list[Dropped], source_folder: Path) -> None:
    import pandas as pd

    pd.DataFrame(rows).to_csv(folder / RECORDS, index=False)
    lost = [(item.id, _relative(Path(item.file), source_folder), item.reason) for item in dropped]
    pd.DataFrame(lost, columns=["id", "file", "reason"]).to_csv(folder / DROPPED, index=False)


def _manifest(
    source: Source,
    name: str,
    source_folder: Path,
    settings: PrepareSettings,
    listing: Listing,
    report: PrepareReport,
    rows: list[dict[str, Any]],
    synthetic: bool,
) -> dict[str, Any]:
    return {
        "lfbt_version": lfbt.__version__,
        "leads": list(settings.leads),
        "sampling_rate": settings.n_samples / settings.duration,
        "n_samples": settings.n_samples,
        "unit": "mV" if settings.layout == "packed" else "z-score (record)",
        "label_rule": listing.label_rule,
        "classes": list(listing.classes),
        "records": report.records,
        "patients": report.patients,
        "counts": report.counts,
        "dropped": report.dropped,
        "synthetic": synthetic,
        "source": {"name": name, "folder": source_folder.absolute().name, "options": dict(vars(source))},
        # Who did it changes nothing.
        "settings": {
            name: value
            for name, value in dataclasses.asdict(settings).items()
            if name not in ("workers", "dask_scheduler")
        },
        "hash": hashlib.sha256("\n".join(",".join(map(str, row.values())) for row in rows).encode()).hexdigest(),
    }
