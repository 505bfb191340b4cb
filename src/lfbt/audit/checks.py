"""What is wrong with data sets: copies, records and patients in two splits, bad leads, counts unlike the published."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

import lfbt
from lfbt.audit.fingerprints import (
    LEAST_CORRELATION,
    Fingerprints,
    bits_of,
    find_matches,
    n_known,
    pair_correlations,
    signal_blocks,
)
from lfbt.audit.lead_quality import LEAST_RESIDUAL, LIMB_LEADS, find_flat_and_clipped, find_limb_lead_faults
from lfbt.audit.reference_counts import SOURCES_WITH_COUNTS, compare_counts
from lfbt.data.dataset import Dataset, open_dataset
from lfbt.data.layouts import MANIFEST
from lfbt.data.npy_folders import NpyFiles
from lfbt.errors import LfbtError
from lfbt.signal import Signal
from lfbt.sources.listing import SPLITS
from lfbt.utils.files import atomic_folder, check_unoccupied
from lfbt.utils.json_files import read_json, write_json

Severity = Literal["error", "warning", "note"]


@dataclasses.dataclass(frozen=True)
class CheckSettings:
    """Which data sets are checked."""

    data: tuple[Path, ...]
    """Data sets: packed ones, or the authors' folders. Several are also checked against each other."""
    out: Path | None = None
    """New folder for check.json, findings.csv, duplicates.csv and exclude.csv."""
    split_seed: int = 0
    """Seed of the split of class folders without split folders."""


@dataclasses.dataclass(frozen=True)
class Finding:
    """Something found. kind: in a few words, alike for all of its kind; data: names of data sets; records: their ids.

    error: a test would not be fair, or training will refuse the data; warning: to look at; note: to know.
    """

    severity: Severity
    kind: str
    data: tuple[str, ...]
    records: tuple[str, ...]
    told: str


@dataclasses.dataclass(frozen=True)
class Copy:
    """Two records that are copies: data set and row of each, share of equal bits, correlation, group of all copies."""

    first: tuple[int, int]
    second: tuple[int, int]
    share: float
    correlation: float
    group: int = -1


@dataclasses.dataclass(frozen=True)
class Report:
    """What was checked (a name each and what is known of it), what was found, worst first, and which are copies."""

    names: tuple[str, ...]
    datasets: tuple[Dataset, ...]
    findings: tuple[Finding, ...]
    copies: tuple[Copy, ...]
    #: Data set and row of records not to pretrain on: copies of held-out ones, or of a patient who is held out.
    exclude: tuple[tuple[int, int], ...]

    @property
    def n_errors(self) -> int:
        """How many findings are errors."""
        return sum(finding.severity == "error" for finding in self.findings)


def check(settings: CheckSettings) -> Report:
    """Look for what would spoil training or tests in one data set or several, and write it where `settings` say.

    Raises LfbtError for a folder in no known layout, one named twice, and an `out` in use.
    """
    if not settings.data:
        raise LfbtError("data: none given; name at least one data set")
    for folder, times in collections.Counter(path.resolve() for path in settings.data).items():
        if times > 1:
            raise LfbtError(f"data: {folder} is named twice; name each data set once")
    if settings.out is not None:
        check_unoccupied(settings.out)
    paths = [folder.as_posix() for folder in settings.data]
    short = [folder.name for folder in settings.data]
    names = tuple(short if len(set(short)) == len(short) and all(short) else paths)
    examined = [_examine(name, folder, settings.split_seed) for name, folder in zip(names, settings.data, strict=True)]

    findings = [finding for one in examined for finding in one.findings]
    copies = _grouped(_copies(examined))
    of_copies, exclude = _findings_of_copies(examined, copies)
    of_patients, exclude_patients = _patients_across(examined)
    findings += [*of_copies, *of_patients, *_not_compared(examined)]
    for k, one in enumerate(examined):
        shared, rows = _patients_in_two_splits(one)
        findings += shared
        counts = None if one.dataset.synthetic else compare_counts(one.dataset, one.manifest)
        if counts is not None:
            severity: Severity = "warning" if counts.too_many else "note"
            findings.append(Finding(severity, "class counts", (one.name,), (), f"{one.name}: {counts.told}"))
        exclude |= {(k, row) for row in rows}
    order = {"error": 0, "warning": 1, "note": 2}
    findings.sort(key=lambda finding: order[finding.severity])
    report = Report(
        names,
        tuple(one.dataset for one in examined),
        tuple(findings),
        tuple(copies),
        tuple(sorted(exclude | exclude_patients)),
    )
    if settings.out is not None:
        _write(report, settings.out)
    return report


# --- one data set ---


@dataclasses.dataclass(frozen=True)
class _Examined:
    """A data set and what was read off all of its signals in one pass; digests: alike for identical signals."""

    name: str
    dataset: Dataset
    manifest: dict[str, Any]
    fingerprints: Fingerprints
    digests: list[bytes]
    findings: list[Finding]

    def where(self, row: int) -> str:
        """Which record it is, and its split."""
        return f"{self.dataset.ids[row]} ({self.dataset.split[row]})"


def _examine(name: str, folder: Path, split_seed: int) -> _Examined:
    dataset = open_dataset(folder, split_seed, patients_apart=False)
    manifest = read_json(folder / MANIFEST) if (folder / MANIFEST).is_file() else {}
    in_mv = manifest.get("unit", "mV") == "mV" and not isinstance(dataset.signals, NpyFiles)
    layout = f"{dataset.leads} {dataset.sampling_rate!r} {dataset.n_samples}".encode()
    bits, digests, findings = [], [], []
    for rows, signals in signal_blocks(dataset, np.arange(len(dataset)), f"check {name}"):
        bits.append(bits_of(signals, dataset.sampling_rate))
        digests += [hashlib.blake2b(layout + signal.tobytes(), digest_size=16).digest() for signal in signals]
        for severity, kind, row, told in _bad_signals(signals, dataset, in_mv):
            record = dataset.ids[rows[row]]
            findings.append(Finding(severity, kind, (name,), (record,), f"record {record}: {told}"))
    n_limb = sum(lead in LIMB_LEADS for lead in dataset.leads)
    if n_limb < 3:
        told = (
            f"{name} has {n_limb} limb leads, and three are needed; where recordings have them, prepare with --leads "
            "I,II,III,aVR,aVL,aVF,V1,..."
        )
        findings.append(Finding("note", "limb leads not checked", (name,), (), told))
    known = Fingerprints(dataset.leads, n_known(dataset.n_samples, dataset.sampling_rate), np.concatenate(bits))
    return _Examined(name, dataset, manifest, known, digests, findings)


def _bad_signals(signals: Signal, dataset: Dataset, in_mv: bool) -> Iterator[tuple[Severity, str, int, str]]:
    """What is wrong with signals ``[records, leads, samples]``: how bad, in a few words, the row, and in a sentence."""
    finite = np.asarray(np.isfinite(signals).all(axis=2))
    signals = np.where(finite[:, :, None], signals, np.float32(0))
    flat, clipped = find_flat_and_clipped(signals, dataset.sampling_rate, in_mv)
    for row in np.flatnonzero(~finite.all(axis=1)).tolist():
        names = _names(dataset.leads, ~finite[row])
        yield "error", "not finite", row, f"NaN or infinity in {names}; training refuses it"
    for row in np.flatnonzero((flat & finite).any(axis=1)).tolist():
        yield "warning", "flat lead", row, f"{_names(dataset.leads, flat[row] & finite[row])} does not move"
    for row in np.flatnonzero(clipped.any(axis=1)).tolist():
        told = f"{_names(dataset.leads, clipped[row])} stands still at its highest or lowest value"
        yield "warning", "clipped lead", row, told
    limb = [row for row, lead in enumerate(dataset.leads) if lead in LIMB_LEADS]
    if len(limb) >= 3:
        leads = [dataset.leads[row] for row in limb]
        residuals, causes = find_limb_lead_faults(signals[:, limb], leads)
        for row in np.flatnonzero(residuals > LEAST_RESIDUAL).tolist():
            cause = " or ".join(causes[row]) or "cause not known"
            told = f"{residuals[row]:.0%} of {','.join(leads)} contradict I + III - II = 0 and the like ({cause})"
            yield "warning", f"limb leads contradict each other: {cause}", row, told


def _names(leads: Sequence[str], which: NDArray[np.bool_]) -> str:
    return ",".join(lead for lead, chosen in zip(leads, which, strict=True) if chosen)


def _patients_in_two_splits(one: _Examined) -> tuple[list[Finding], list[int]]:
    """Patients in two splits of a data set, and their rows that are not of the most held-out split."""
    dataset = one.dataset
    rows_of: dict[str, list[int]] = collections.defaultdict(list)
    for row, patient in enumerate(dataset.patients):
        rows_of[patient].append(row)
    found, exclude = [], []
    for patient, rows in rows_of.items():
        if len({str(dataset.split[row]) for row in rows}) > 1:
            records = tuple(dataset.ids[row] for row in rows)
            told = f"patient {patient} is in two splits: {', '.join(map(one.where, rows[:4]))}"
            found.append(Finding("error", "patient in two splits", (one.name,), records, told))
            exclude += _less_held_out(dataset, rows)
    return found, exclude


def _less_held_out(dataset: Dataset, rows: Sequence[int]) -> list[int]:
    """Those of `rows` that are not in the split among theirs that is to be kept unseen the most."""
    places = {row: SPLITS.index(str(dataset.split[row])) for row in rows}
    return [row for row in rows if places[row] < max(places.values())]


# --- copies ---


def _copies(examined: Sequence[_Examined]) -> list[Copy]:
    """Every pair of copies; of identical records each but the first is paired with the first only."""
    found, unlike = [], []
    first_of: dict[bytes, tuple[int, int]] = {}
    for k, one in enumerate(examined):
        rows = []
        for row, digest in enumerate(one.digests):
            if digest in first_of:
                found.append(Copy(first_of[digest], (k, row), 1.0, 1.0))
            else:
                first_of[digest] = (k, row)
                rows.append(row)
        unlike.append(np.array(rows, dtype=np.int64))
    for a, b in itertools.combinations_with_replacement(range(len(examined)), 2):
        mine, theirs = (_only(examined[k].fingerprints, unlike[k]) for k in (a, b))
        alike = find_matches(mine, None if a == b else theirs)
        if not len(alike):
            continue
        rows_a, rows_b = unlike[a][alike.first], unlike[b][alike.second]
        correlations = pair_correlations(examined[a].dataset, rows_a, examined[b].dataset, rows_b)
        for i, j, share, r in zip(rows_a, rows_b, alike.share, correlations, strict=True):
            if abs(r) >= LEAST_CORRELATION:
                found.append(Copy((a, int(i)), (b, int(j)), float(share), float(r)))
    return found


def _only(known: Fingerprints, rows: NDArray[np.int64]) -> Fingerprints:
    return dataclasses.replace(known, bits=known.bits[rows])


def _grouped(copies: Sequence[Copy]) -> list[Copy]:
    """`copies` with the group of each: all records that are copies of one another, directly or through others."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    number = {
        place: i for i, place in enumerate(dict.fromkeys(p for copy in copies for p in (copy.first, copy.second)))
    }
    if not number:
        return []
    ends = np.array([[number[copy.first], number[copy.second]] for copy in copies])
    graph = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(len(number), len(number)))
    _, group = connected_components(graph, directed=False)
    return [dataclasses.replace(copy, group=int(group[i])) for copy, (i, _) in zip(copies, ends, strict=True)]


def _findings_of_copies(
    examined: Sequence[_Examined], copies: Sequence[Copy]
) -> tuple[list[Finding], set[tuple[int, int]]]:
    """What groups of copies mean within each data set and across each two, and which records to exclude for it."""
    members: dict[int, dict[int, set[int]]] = collections.defaultdict(lambda: collections.defaultdict(set))
    inverted: set[int] = set()
    for copy in copies:
        for k, row in (copy.first, copy.second):
            members[copy.group][k].add(row)
        if copy.correlation < 0:
            inverted.add(copy.group)
    found: list[Finding] = []
    exclude: set[tuple[int, int]] = set()
    for group, rows_of in members.items():
        sign = ", some with the sign changed" if group in inverted else ""
        by_set = {k: sorted(rows) for k, rows in sorted(rows_of.items())}
        for k, rows in by_set.items():
            if len(rows) > 1:
                finding, spoilt = _within(examined[k], rows, sign)
                found.append(finding)
                exclude |= {(k, row) for row in spoilt}
        for (a, rows_a), (b, rows_b) in itertools.combinations(by_set.items(), 2):
            found.append(_across(examined[a], rows_a, examined[b], rows_b, sign))
            for k, mine, other, theirs in ((a, rows_a, b, rows_b), (b, rows_b, a, rows_a)):
                if (examined[other].dataset.split[theirs] == "test").any():
                    exclude |= {(k, row) for row in mine if examined[k].dataset.split[row] != "test"}
    return found, exclude


def _within(one: _Examined, rows: Sequence[int], sign: str) -> tuple[Finding, list[int]]:
    dataset = one.dataset
    # Where no patients are published each recording counts as one.
    patients = {dataset.patients[row] for row in rows if not dataset.ids[row].startswith(dataset.patients[row])}
    whose = f" of {len(patients)} patients" if len(patients) > 1 else ""
    told = f"the same record{sign}{whose}: {', '.join(map(one.where, rows[:4]))}"
    records = tuple(dataset.ids[row] for row in rows)
    if len({str(dataset.split[row]) for row in rows}) > 1:
        return Finding("error", "record in two splits", (one.name,), records, told), _less_held_out(dataset, rows)
    return Finding("warning", "record twice", (one.name,), records, told), []


def _across(one: _Examined, rows: Sequence[int], other: _Examined, other_rows: Sequence[int], sign: str) -> Finding:
    splits = [{str(of.dataset.split[row]) for row in some} for of, some in ((one, rows), (other, other_rows))]
    records = tuple(of.dataset.ids[row] for of, some in ((one, rows), (other, other_rows)) for row in some)
    told = (
        f"the same record{sign}: {', '.join(map(one.where, rows[:2]))} of {one.name} and "
        f"{', '.join(map(other.where, other_rows[:2]))} of {other.name}"
    )
    data = (one.name, other.name)
    if any("test" in mine and theirs - {"test"} for mine, theirs in (splits, splits[::-1])):
        return Finding("error", "test record of one data set in another's training data", data, records, told)
    if splits[0] != splits[1]:
        return Finding("warning", "record in two data sets, in other splits", data, records, told)
    return Finding("warning", "record in two data sets", data, records, told)


def _patients_across(examined: Sequence[_Examined]) -> tuple[list[Finding], set[tuple[int, int]]]:
    """Patients who are test in one data set and not in another of the same source, and their rows there."""
    found: list[Finding] = []
    exclude: set[tuple[int, int]] = set()
    for (_, one), (b, other) in itertools.permutations(enumerate(examined), 2):
        if not _same_patients(one, other):
            continue
        tested = {one.dataset.patients[row] for row in one.dataset.rows("test")}
        rows_of: dict[str, list[int]] = collections.defaultdict(list)
        for row in map(int, other.dataset.rows("train", "val")):
            if other.dataset.patients[row] in tested:
                rows_of[other.dataset.patients[row]].append(row)
                exclude.add((b, row))
        for patient, rows in rows_of.items():
            told = (
                f"patient {patient} is test in {one.name}, but in {other.name}: {', '.join(map(other.where, rows[:4]))}"
            )
            records = tuple(other.dataset.ids[row] for row in rows)
            kind = "test patient of one data set in another's training data"
            found.append(Finding("error", kind, (one.name, other.name), records, told))
    return found, exclude


def _same_patients(one: _Examined, other: _Examined) -> bool:
    """Whether a patient's name means the same person in both: they were prepared from one published source."""
    sources = [of.manifest.get("source", {}).get("name") for of in (one, other)]
    made = one.dataset.synthetic or other.dataset.synthetic
    return sources[0] == sources[1] and sources[0] in SOURCES_WITH_COUNTS and not made


def _not_compared(examined: Sequence[_Examined]) -> Iterator[Finding]:
    for one, other in itertools.combinations(examined, 2):
        if not set(one.dataset.leads) & set(other.dataset.leads):
            told = f"{one.name} and {other.name} have no lead in common, so copies across them are not found"
            yield Finding("note", "data sets not compared", (one.name, other.name), (), told)


# --- what is shown and written ---


def report_text(report: Report) -> str:
    """The report in a few lines: what was checked, and how often each kind of thing was found, with an example."""
    lines = []
    for name, dataset in zip(report.names, report.datasets, strict=True):
        splits = ", ".join(f"{split} {len(dataset.rows(split))}" for split in SPLITS if len(dataset.rows(split)))
        lines.append(f"{name}: {len(dataset)} records of {len(set(dataset.patients))} patients ({splits})")
    kinds: dict[tuple[str, str, tuple[str, ...]], list[Finding]] = collections.defaultdict(list)
    for finding in report.findings:
        kinds[finding.severity, finding.kind, finding.data].append(finding)
    for (severity, kind, data), found in kinds.items():
        lines.append(f"  {severity:<8} {len(found):>6}  {kind} [{', '.join(data)}]")
        lines += [f"                   {finding.told}" for finding in found[:2]]
    n_warnings = sum(finding.severity == "warning" for finding in report.findings)
    lines.append(f"{report.n_errors} errors, {n_warnings} warnings")
    return "\n".join(lines)


def _write(report: Report, out: Path) -> None:
    import pandas as pd

    counts = collections.Counter((finding.severity, finding.kind, finding.data) for finding in report.findings)
    content = {
        "lfbt_version": lfbt.__version__,
        "data": [
            {
                "name": name,
                "folder": dataset.folder.as_posix(),
                "records": len(dataset),
                "patients": len(set(dataset.patients)),
                "splits": {split: len(dataset.rows(split)) for split in SPLITS},
                "leads": list(dataset.leads),
                "hash": dataset.hash,
            }
            for name, dataset in zip(report.names, report.datasets, strict=True)
        ],
        "errors": report.n_errors,
        "findings": [
            {"severity": severity, "kind": kind, "data": list(data), "count": count}
            for (severity, kind, data), count in counts.items()
        ],
        "records_to_exclude": len(report.exclude),
    }

    def named(places: Iterable[tuple[int, int]], of: str = "") -> dict[str, list[Any]]:
        places = list(places)
        return {
            f"data{of}": [report.names[k] for k, _ in places],
            f"id{of}": [report.datasets[k].ids[row] for k, row in places],
            f"split{of}": [str(report.datasets[k].split[row]) for k, row in places],
        }

    copies = report.copies
    figures: dict[str, list[Any]] = {
        "share_of_bits": [round(copy.share, 4) for copy in copies],
        "correlation": [round(copy.correlation, 4) for copy in copies],
        "group": [copy.group for copy in copies],
    }
    duplicates = named((copy.first for copy in copies), "_1") | named((copy.second for copy in copies), "_2") | figures
    findings: dict[str, list[Any]] = {
        "severity": [finding.severity for finding in report.findings],
        "kind": [finding.kind for finding in report.findings],
        "data": [";".join(finding.data) for finding in report.findings],
        "records": [";".join(finding.records) for finding in report.findings],
        "told": [finding.told for finding in report.findings],
    }
    tables: dict[str, dict[str, list[Any]]] = {
        "duplicates": duplicates,
        "findings": findings,
        "exclude": named(report.exclude),
    }
    with atomic_folder(out) as folder:
        write_json(folder / "check.json", content)
        for name, table in tables.items():
            pd.DataFrame(table).to_csv(folder / f"{name}.csv", index=False)
