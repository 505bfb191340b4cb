"""Copies within and across data sets, and patients who are held out in one data set and not in another."""

from __future__ import annotations

import collections
import dataclasses
import itertools
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from lfbt.audit.fingerprints import MIN_CORRELATION, Fingerprints, compute_pair_correlations, find_matches
from lfbt.audit.reference_counts import SOURCES_WITH_COUNTS
from lfbt.audit.report import Copy, Finding, RecordIndex
from lfbt.audit.scan import DatasetScan, less_held_out


def find_copies(scans: Sequence[DatasetScan]) -> list[Copy]:
    """Find every pair of copies, with their groups; identical records are paired with the first of them only."""
    return _number_groups([*_find_pairs(scans)])


def _find_pairs(scans: Sequence[DatasetScan]) -> Iterator[Copy]:
    distinct = []
    first_with: dict[bytes, RecordIndex] = {}
    for k, scan in enumerate(scans):
        rows = []
        for row, digest in enumerate(scan.digests):
            if digest in first_with:
                yield Copy(first_with[digest], (k, row), 1.0, 1.0)
            else:
                first_with[digest] = (k, row)
                rows.append(row)
        distinct.append(np.array(rows, dtype=np.int64))
    for a, b in itertools.combinations_with_replacement(range(len(scans)), 2):
        first, second = (_take(scans[k].fingerprints, distinct[k]) for k in (a, b))
        matches = find_matches(first, None if a == b else second)
        if not len(matches):
            continue
        rows_a, rows_b = distinct[a][matches.first], distinct[b][matches.second]
        correlations = compute_pair_correlations(scans[a].dataset, rows_a, scans[b].dataset, rows_b)
        for i, j, share, r in zip(rows_a, rows_b, matches.share, correlations, strict=True):
            if abs(r) >= MIN_CORRELATION:
                yield Copy((a, int(i)), (b, int(j)), float(share), float(r))


def _take(fingerprints: Fingerprints, rows: NDArray[np.int64]) -> Fingerprints:
    return dataclasses.replace(fingerprints, bits=fingerprints.bits[rows])


def _number_groups(copies: Sequence[Copy]) -> list[Copy]:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not copies:
        return []
    records = dict.fromkeys(record for copy in copies for record in (copy.first, copy.second))
    node = {record: i for i, record in enumerate(records)}
    edges = np.array([[node[copy.first], node[copy.second]] for copy in copies])
    graph = coo_array((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(len(node), len(node)))
    _, group = connected_components(graph, directed=False)
    return [dataclasses.replace(copy, group=int(group[i])) for copy, (i, _) in zip(copies, edges, strict=True)]


def assess_copies(scans: Sequence[DatasetScan], copies: Sequence[Copy]) -> tuple[list[Finding], set[RecordIndex]]:
    """Turn groups of copies into findings, within each data set and across each two, and records to exclude."""
    members: dict[int, dict[int, set[int]]] = collections.defaultdict(lambda: collections.defaultdict(set))
    inverted: set[int] = set()
    for copy in copies:
        for k, row in (copy.first, copy.second):
            members[copy.group][k].add(row)
        if copy.correlation < 0:
            inverted.add(copy.group)
    findings: list[Finding] = []
    exclude: set[RecordIndex] = set()
    for group, rows_of in members.items():
        sign = ", some with the sign changed" if group in inverted else ""
        by_dataset = {k: sorted(rows) for k, rows in sorted(rows_of.items())}
        for k, rows in by_dataset.items():
            if len(rows) > 1:
                finding, leaking = _assess_within(scans[k], rows, sign)
                findings.append(finding)
                exclude |= {(k, row) for row in leaking}
        for (a, rows_a), (b, rows_b) in itertools.combinations(by_dataset.items(), 2):
            findings.append(_assess_across(scans[a], rows_a, scans[b], rows_b, sign))
            for k, rows, other, other_rows in ((a, rows_a, b, rows_b), (b, rows_b, a, rows_a)):
                if (scans[other].dataset.split[other_rows] == "test").any():
                    exclude |= {(k, row) for row in rows if scans[k].dataset.split[row] != "test"}
    return findings, exclude


def _assess_within(scan: DatasetScan, rows: Sequence[int], sign: str) -> tuple[Finding, list[int]]:
    dataset = scan.dataset
    # Where no patients are published each recording counts as one.
    patients = {dataset.patients[row] for row in rows if not dataset.ids[row].startswith(dataset.patients[row])}
    whose = f" of {len(patients)} patients" if len(patients) > 1 else ""
    message = f"the same record{sign}{whose}: {scan.describe(rows)}"
    records = tuple(dataset.ids[row] for row in rows)
    if len({str(dataset.split[row]) for row in rows}) > 1:
        return Finding("error", "record in two splits", (scan.name,), records, message), less_held_out(dataset, rows)
    return Finding("warning", "record twice", (scan.name,), records, message), []


def _assess_across(
    first: DatasetScan, first_rows: Sequence[int], second: DatasetScan, second_rows: Sequence[int], sign: str
) -> Finding:
    sides = ((first, first_rows), (second, second_rows))
    splits = [{str(scan.dataset.split[row]) for row in rows} for scan, rows in sides]
    records = tuple(scan.dataset.ids[row] for scan, rows in sides for row in rows)
    places = " and ".join(f"{scan.describe(rows, 2)} of {scan.name}" for scan, rows in sides)
    message = f"the same record{sign}: {places}"
    data = (first.name, second.name)
    if any("test" in mine and theirs - {"test"} for mine, theirs in (splits, splits[::-1])):
        return Finding("error", "test record of one data set in another's training data", data, records, message)
    if splits[0] != splits[1]:
        return Finding("warning", "record in two data sets, in other splits", data, records, message)
    return Finding("warning", "record in two data sets", data, records, message)


def find_test_patients_elsewhere(scans: Sequence[DatasetScan]) -> tuple[list[Finding], set[RecordIndex]]:
    """Find test patients of one data set outside the test split of another of the same source, and their rows there."""
    findings: list[Finding] = []
    exclude: set[RecordIndex] = set()
    for (_, scan), (k, other) in itertools.permutations(enumerate(scans), 2):
        if not _share_patient_names(scan, other):
            continue
        tested = {scan.dataset.patients[row] for row in scan.dataset.rows("test")}
        rows_of: dict[str, list[int]] = collections.defaultdict(list)
        for row in map(int, other.dataset.rows("train", "val")):
            if other.dataset.patients[row] in tested:
                rows_of[other.dataset.patients[row]].append(row)
                exclude.add((k, row))
        for patient, rows in rows_of.items():
            message = f"patient {patient} is test in {scan.name}, but in {other.name}: {other.describe(rows)}"
            records = tuple(other.dataset.ids[row] for row in rows)
            kind = "test patient of one data set in another's training data"
            findings.append(Finding("error", kind, (scan.name, other.name), records, message))
    return findings, exclude


def _share_patient_names(scan: DatasetScan, other: DatasetScan) -> bool:
    """Whether a patient's name means the same person in both: they were prepared from one published source."""
    one, two = scan.dataset.manifest.source, other.dataset.manifest.source
    if one is None or two is None or scan.dataset.synthetic or other.dataset.synthetic:
        return False
    return one.name == two.name and one.name in SOURCES_WITH_COUNTS


def find_uncomparable(scans: Sequence[DatasetScan]) -> Iterator[Finding]:
    """Yield a note for each two data sets without a common lead."""
    for first, second in itertools.combinations(scans, 2):
        if not set(first.dataset.leads) & set(second.dataset.leads):
            message = f"{first.name} and {second.name} have no lead in common, so copies across them are not found"
            yield Finding("note", "data sets not compared", (first.name, second.name), (), message)
