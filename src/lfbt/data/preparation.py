"""A source becomes a data set: one duration, one rate, leads by name, bad records dropped with the reason, splits."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import lfbt
from lfbt.data.dask_cluster import connected
from lfbt.data.executors import prepare_entries
from lfbt.data.layouts import DROPPED, MANIFEST, RECORDS, SIGNALS
from lfbt.data.records import PrepareSettings
from lfbt.data.splits import split_by_patient
from lfbt.data.writers import NpyWriter, PackedWriter
from lfbt.errors import LfbtError
from lfbt.recording import STANDARD_LEADS, check_leads, missing_leads
from lfbt.sources import Source
from lfbt.sources.listing import SPLITS, Dropped, Entry, Listing
from lfbt.sources.synthesis import MARKER
from lfbt.utils.files import atomic_folder, check_unoccupied
from lfbt.utils.json_files import write_json
from lfbt.utils.progress import track
from lfbt.utils.validation import check_range


@dataclasses.dataclass(frozen=True)
class PrepareReport:
    """How many records were kept, by split and by split and class, and how many were dropped, by reason."""

    records: int
    patients: int
    sizes: dict[str, int]
    counts: dict[str, dict[str, int]]
    dropped: dict[str, int]
    label_rule: str


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
    source: Source, name: str, source_folder: Path, target: Path, settings: PrepareSettings | None = None
) -> PrepareReport:
    """Make a data set in `target` from what `source`, called `name`, finds in `source_folder`.

    Writes ``signals.npy`` ``[records, leads, samples]`` float32 in mV, ``records.csv``, ``dropped.csv`` and
    ``dataset.json`` (or, with layout npy, the authors' folders), all or nothing. Memory does not grow with the number
    of records.

    Raises LfbtError for settings out of range, a target that is not empty, a folder that is not the source's, an
    unreadable file (unless they are skipped), when no record is left, and when workers or the Dask scheduler are lost.
    """
    settings = settings or PrepareSettings()
    _check(settings, name)
    check_unoccupied(target)
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
        folder = stack.enter_context(atomic_folder(target))
        packed = settings.layout == "packed"
        writer = PackedWriter(folder / SIGNALS, shape) if packed else NpyWriter(folder)
        stack.callback(writer.close)
        for done in track(prepare_entries(entries, settings, folder, cluster), len(entries), "prepare"):
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
        if isinstance(writer, NpyWriter) and labelled:
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
