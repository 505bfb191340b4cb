"""One data set: fingerprints and bad signals found in one pass, patients in two splits, unexpected class counts."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lfbt.audit.fingerprints import Fingerprints, compute_bits, count_comparable_frequencies, iterate_signals
from lfbt.audit.lead_placement import (
    MIN_LEADS,
    MIN_RECORDS,
    LeadMoments,
    choose_independent,
    find_misplaced,
    measure_moments,
)
from lfbt.audit.lead_quality import LIMB_LEADS, MAX_LIMB_RESIDUAL, find_flat_and_saturated, find_limb_lead_faults
from lfbt.audit.reference_counts import compare_counts
from lfbt.audit.report import Finding, Severity
from lfbt.data.dataset import Dataset
from lfbt.data.layouts import describe_changed_table, open_dataset
from lfbt.recording import STANDARD_LEADS
from lfbt.signal import Signal
from lfbt.signal_quality import find_hum, find_oversized, measure_quality
from lfbt.sources.listing import SPLITS
from lfbt.utils.figures import format_count, format_names
from lfbt.utils.progress import write_line
from lfbt.voltages import implausible_span, measure_spans

_MIN_LIMB_LEADS = 3
# Prepared records have no lead that rests for longer.
_SECONDS_AT_REST = 2
# Records that a message lists.
_LISTED = 4


@dataclasses.dataclass(frozen=True)
class DatasetScan:
    """A data set and the results of one pass over its signals.

    name: unique among the data sets that are checked; digests: one per record, equal for identical signals.
    """

    name: str
    dataset: Dataset
    fingerprints: Fingerprints
    digests: list[bytes]
    findings: list[Finding]

    def describe(self, rows: Sequence[int], n_listed: int = _LISTED) -> str:
        """List the first of `rows` as ids with their splits."""
        return format_names([f"{self.dataset.ids[row]} ({self.dataset.split[row]})" for row in rows], n_listed)


def scan_dataset(name: str, folder: Path, split_seed: int, allow_implausible: bool) -> DatasetScan:
    """Read all signals of a data set once: fingerprints, digests, and findings about signals that are bad."""
    dataset = open_dataset(folder, split_seed, patients_apart=False)
    layout = f"{dataset.leads} {dataset.sampling_rate!r} {dataset.n_samples}".encode()
    bits, digests, findings, spans = [], [], [], []
    independent = choose_independent(dataset.leads)
    moments: list[LeadMoments] = []
    sound: list[int] = []
    for rows, signals in iterate_signals(dataset, np.arange(len(dataset)), f"check {name}"):
        bits.append(compute_bits(signals, dataset.sampling_rate))
        digests += [hashlib.blake2b(layout + signal.tobytes(), digest_size=16).digest() for signal in signals]
        for severity, kind, row, message in _find_bad_signals(signals, dataset):
            record = dataset.ids[rows[row]]
            findings.append(Finding(severity, kind, (name,), (record,), f"record {record}: {message}"))
        usable = np.isfinite(signals).all(axis=(1, 2)) & (signals.min(axis=2) < signals.max(axis=2)).all(axis=1)
        moments.append(measure_moments(signals[usable][:, independent], dataset.sampling_rate))
        sound += rows[usable].tolist()
        if dataset.in_mv and not allow_implausible:
            for row, signal in zip(rows, signals, strict=True):
                spans.append(float(np.median(measure_spans(signal))))
                if too_much := dataset.find_implausible_leads(signal):
                    record = dataset.ids[row]
                    message = (
                        f"record {record}: {too_much}, more than any ECG; leave it out, or give --allow-implausible"
                    )
                    findings.append(Finding("error", "implausible voltage", (name,), (record,), message))
    if unlike_ecg := implausible_span([span for span in spans if np.isfinite(span)]):
        findings.append(Finding("error", "implausible voltage", (name,), (), f"{name}: {unlike_ecg}"))
    n_limb = sum(lead in LIMB_LEADS for lead in dataset.leads)
    if n_limb < _MIN_LIMB_LEADS:
        message = (
            f"{name} has {format_count(n_limb, 'limb lead')}, and three are needed; where recordings have them, "
            "prepare with --leads "
            f"{','.join(STANDARD_LEADS)}"
        )
        findings.append(Finding("note", "limb leads not checked", (name,), (), message))
    findings += _find_misplaced(name, dataset, sound, moments)
    if change := describe_changed_table(dataset):
        findings.append(Finding("error", "records.csv was changed", (name,), (), change))
    if not dataset.compared:
        write_line(f"{name}: has no hashes of its records: what was changed since it was made is not found", True)
    n_frequencies = count_comparable_frequencies(dataset.n_samples, dataset.sampling_rate)
    fingerprints = Fingerprints(dataset.leads, n_frequencies, np.concatenate(bits))
    return DatasetScan(name, dataset, fingerprints, digests, findings)


def _find_bad_signals(signals: Signal, dataset: Dataset) -> Iterator[tuple[Severity, str, int, str]]:
    """Yield severity, kind, row and message for each fault of signals ``[records, leads, samples]``."""
    finite = np.asarray(np.isfinite(signals).all(axis=2))
    signals = np.where(finite[:, :, None], signals, np.float32(0))
    flat, saturated = find_flat_and_saturated(signals, dataset.sampling_rate, dataset.in_mv)
    for row in np.flatnonzero(~finite.all(axis=1)).tolist():
        names = _join_names(dataset.leads, ~finite[row])
        yield "error", "not finite", row, f"NaN or infinity in {names}; training refuses it"
    for row in np.flatnonzero((flat & finite).any(axis=1)).tolist():
        yield "warning", "flat lead", row, f"{_join_names(dataset.leads, flat[row] & finite[row])} does not move"
    for row in np.flatnonzero(saturated.any(axis=1)).tolist():
        message = f"{_join_names(dataset.leads, saturated[row])} stands still at its highest or lowest value"
        yield "warning", "saturated lead", row, message
    quality = measure_quality(signals, dataset.sampling_rate)
    for kind, found, what in (
        ("interrupted lead", quality.seconds_at_rest >= _SECONDS_AT_REST, "rests for seconds while others move"),
        ("noise", quality.noise, "is white noise"),
        ("mains hum", find_hum(quality), "has more hum of 50 or 60 Hz than everything else"),
        ("oversized lead", find_oversized(quality), "is far larger than the others"),
    ):
        for row in np.flatnonzero((found & ~flat & finite).any(axis=1)).tolist():
            yield "warning", kind, row, f"{_join_names(dataset.leads, found[row] & ~flat[row] & finite[row])} {what}"
    limb = [row for row, lead in enumerate(dataset.leads) if lead in LIMB_LEADS]
    if len(limb) >= _MIN_LIMB_LEADS:
        leads = [dataset.leads[row] for row in limb]
        residuals, causes = find_limb_lead_faults(signals[:, limb], leads)
        for row in np.flatnonzero(residuals > MAX_LIMB_RESIDUAL).tolist():
            cause = " or ".join(causes[row]) or "cause not known"
            message = f"{residuals[row]:.0%} of {','.join(leads)} contradict I + III - II = 0 and the like ({cause})"
            yield "warning", f"limb leads contradict each other: {cause}", row, message


def _find_misplaced(
    name: str, dataset: Dataset, rows: Sequence[int], moments: Sequence[LeadMoments]
) -> Iterator[Finding]:
    """Yield what is found of leads that are inverted or swapped in the records of `rows`."""
    leads = [dataset.leads[place] for place in choose_independent(dataset.leads)]
    if len(rows) < MIN_RECORDS or len(leads) < MIN_LEADS:
        return
    for row, causes in find_misplaced(LeadMoments(*map(np.concatenate, zip(*moments, strict=True))), leads):
        record, cause = dataset.ids[rows[row]], " or ".join(causes)
        message = f"record {record}: its leads are unlike those of the other records; {cause} would explain it"
        yield Finding("warning", f"leads unlike those of the other records: {cause}", (name,), (record,), message)


def _join_names(leads: Sequence[str], which: NDArray[np.bool_]) -> str:
    return ",".join(lead for lead, chosen in zip(leads, which, strict=True) if chosen)


def find_patients_in_two_splits(scan: DatasetScan) -> tuple[list[Finding], list[int]]:
    """Find patients with records in several splits, and their rows outside the most held-out one of these."""
    dataset = scan.dataset
    rows_of: dict[str, list[int]] = collections.defaultdict(list)
    for row, patient in enumerate(dataset.patients):
        rows_of[patient].append(row)
    findings, exclude = [], []
    for patient, rows in rows_of.items():
        if len({str(dataset.split[row]) for row in rows}) > 1:
            records = tuple(dataset.ids[row] for row in rows)
            message = f"patient {patient} is in two splits: {scan.describe(rows)}"
            findings.append(Finding("error", "patient in two splits", (scan.name,), records, message))
            exclude += less_held_out(dataset, rows)
    return findings, exclude


def less_held_out(dataset: Dataset, rows: Sequence[int]) -> list[int]:
    """Return those of `rows` that are not in the most held-out split among them: test, then val, then train."""
    ranks = {row: SPLITS.index(str(dataset.split[row])) for row in rows}
    return [row for row in rows if ranks[row] < max(ranks.values())]


def check_class_counts(scan: DatasetScan) -> list[Finding]:
    """Compare class counts with the published ones, where these are known and the signals are not synthetic."""
    comparison = None if scan.dataset.synthetic else compare_counts(scan.dataset)
    if comparison is None:
        return []
    severity: Severity = "warning" if comparison.too_many else "note"
    return [Finding(severity, "class counts", (scan.name,), (), f"{scan.name}: {comparison.message}")]
