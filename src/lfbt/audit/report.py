"""The result of `lfbt check`: findings, copies and records to exclude, as an object, as text and as files."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import lfbt
from lfbt.data.dataset import Dataset
from lfbt.errors import LfbtError
from lfbt.sources.listing import SPLITS
from lfbt.utils.figures import format_count
from lfbt.utils.files import Outputs, atomic_folder, read_json, write_json
from lfbt.utils.finished import differences
from lfbt.utils.opening import read_bytes

#: Worst first. error: a test would be unfair, or training refuses the data; warning: to look at; note: to know.
Severity = Literal["error", "warning", "note"]

#: A record among several data sets: the index of its data set, and its row there.
RecordIndex = tuple[int, int]

_EXAMPLES = 2


@dataclasses.dataclass(frozen=True)
class Finding:
    """One problem found.

    kind: a short name that all findings of a kind share; data: names of the data sets; records: ids; message: one
    sentence.
    """

    severity: Severity
    kind: str
    data: tuple[str, ...]
    records: tuple[str, ...]
    message: str


@dataclasses.dataclass(frozen=True)
class Copy:
    """Two records that are copies of each other.

    share: of fingerprint bits that are equal; correlation: negative where the sign was changed; group: number of the
    group of records that are copies of one another, directly or through others.
    """

    first: RecordIndex
    second: RecordIndex
    share: float
    correlation: float
    group: int = -1


@dataclasses.dataclass(frozen=True)
class AuditReport:
    """The result of checking data sets.

    names: one per data set; findings: worst first; exclude: records not to pretrain on, because they are copies of
    held-out records or of a held-out patient; settings: those that it depends on.
    """

    names: tuple[str, ...]
    datasets: tuple[Dataset, ...]
    findings: tuple[Finding, ...]
    copies: tuple[Copy, ...]
    exclude: tuple[RecordIndex, ...]
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def n_errors(self) -> int:
        """Number of findings that are errors."""
        return self._count("error")

    @property
    def n_warnings(self) -> int:
        """Number of findings that are warnings."""
        return self._count("warning")

    def _count(self, severity: Severity) -> int:
        return sum(finding.severity == severity for finding in self.findings)


#: The files of a written report.
FINDINGS = "findings.csv"
OUTPUTS = Outputs("check.json", (FINDINGS, "duplicates.csv", "exclude.csv"))


def report_text(report: AuditReport, out: Path | None = None) -> str:
    """Format a report for the terminal: the data sets, and each kind of finding with its number and examples.

    Parameters
    ----------
    report
        The result of `lfbt.audit.checks.check`.
    out
        The folder that it was written to, if it was.

    Returns
    -------
    str
        Several lines, without a newline at the end.
    """
    where = "--out DIR lists all" if out is None else f"{out / FINDINGS} lists all"
    lines = []
    for name, dataset in zip(report.names, report.datasets, strict=True):
        splits = ", ".join(f"{split} {len(dataset.rows(split))}" for split in SPLITS if len(dataset.rows(split)))
        lines.append(
            f"{name}: {format_count(len(dataset), 'record')} of {format_count(len(set(dataset.patients)), 'patient')} "
            f"({splits})"
        )
    kinds: dict[tuple[str, str, tuple[str, ...]], list[Finding]] = collections.defaultdict(list)
    for finding in report.findings:
        kinds[finding.severity, finding.kind, finding.data].append(finding)
    for (severity, kind, data), findings in kinds.items():
        lines.append(f"  {severity:<8} {len(findings):>6}  {kind} [{', '.join(data)}]")
        lines += [f"                   {finding.message}" for finding in findings[:_EXAMPLES]]
        if len(findings) > _EXAMPLES:
            lines.append(f"                   and {len(findings) - _EXAMPLES} more; {where}")
    lines.append(f"{format_count(report.n_errors, 'error')}, {format_count(report.n_warnings, 'warning')}")
    return "\n".join(lines)


def write_report(report: AuditReport, out: Path, overwrite: bool = False) -> None:
    """Write check.json, findings.csv, duplicates.csv and exclude.csv into the folder `out`, new or to `overwrite`."""
    with atomic_folder(out, replaces=OUTPUTS if overwrite else None) as folder:
        write_json(folder / OUTPUTS.manifest, summarise(report))
        for name, text in _tables(report).items():
            (folder / name).write_text(text, encoding="utf-8")


def check_written(report: AuditReport, out: Path) -> None:
    """Raise LfbtError unless `out` has this report."""
    differing = list(differences(summarise(report), read_json(out / OUTPUTS.manifest)))
    for name, text in _tables(report).items():
        path = out / name
        if not path.is_file() or read_bytes(path) != text.encode():
            differing.append(f"{name} is another")
    if differing:
        raise LfbtError(
            f"{out}: holds other results already ({', '.join(differing)}); name a new or empty folder, or replace them "
            "with --overwrite"
        )


def _tables(report: AuditReport) -> dict[str, str]:
    """The tables of a report as CSV, by the names of their files."""
    import pandas as pd

    tables = {
        "duplicates.csv": _duplicates_table(report),
        FINDINGS: _findings_table(report.findings),
        "exclude.csv": _record_columns(report, report.exclude),
    }
    return {name: pd.DataFrame(table).to_csv(index=False) for name, table in tables.items()}


def summarise(report: AuditReport) -> dict[str, Any]:
    """Summarise a report as plain values: the data sets, and the number of findings of each kind."""
    counts = collections.Counter((finding.severity, finding.kind, finding.data) for finding in report.findings)
    return {
        "lfbt_version": lfbt.__version__,
        "settings": dict(report.settings),
        "data": describe_datasets(report.names, report.datasets),
        "errors": report.n_errors,
        "findings": [
            {"severity": severity, "kind": kind, "data": list(data), "count": count}
            for (severity, kind, data), count in counts.items()
        ],
        "records_to_exclude": len(report.exclude),
    }


def describe_datasets(names: Sequence[str], datasets: Sequence[Dataset]) -> list[dict[str, Any]]:
    """Describe each data set as plain values, with its hash."""
    return [
        {
            "name": name,
            "folder": dataset.folder.as_posix(),
            "records": len(dataset),
            "patients": len(set(dataset.patients)),
            "splits": {split: len(dataset.rows(split)) for split in SPLITS},
            "leads": list(dataset.leads),
            "hash": dataset.hash,
        }
        for name, dataset in zip(names, datasets, strict=True)
    ]


def _duplicates_table(report: AuditReport) -> dict[str, list[Any]]:
    copies = report.copies
    return {
        **_record_columns(report, [copy.first for copy in copies], "_1"),
        **_record_columns(report, [copy.second for copy in copies], "_2"),
        "share_of_bits": [round(copy.share, 4) for copy in copies],
        "correlation": [round(copy.correlation, 4) for copy in copies],
        "group": [copy.group for copy in copies],
    }


def _findings_table(findings: Sequence[Finding]) -> dict[str, list[Any]]:
    return {
        "severity": [finding.severity for finding in findings],
        "kind": [finding.kind for finding in findings],
        "data": [";".join(finding.data) for finding in findings],
        "records": [";".join(finding.records) for finding in findings],
        # The column is called so since the first version of the file.
        "told": [finding.message for finding in findings],
    }


def _record_columns(report: AuditReport, records: Sequence[RecordIndex], suffix: str = "") -> dict[str, list[Any]]:
    return {
        f"data{suffix}": [report.names[k] for k, _ in records],
        f"id{suffix}": [report.datasets[k].ids[row] for k, row in records],
        f"split{suffix}": [str(report.datasets[k].split[row]) for k, row in records],
    }
