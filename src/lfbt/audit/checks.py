"""Check data sets for copies, leakage between splits, bad leads and class counts unlike the published ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, get_args

from lfbt.audit.overlap import assess_copies, find_copies, find_test_patients_elsewhere, find_uncomparable
from lfbt.audit.report import (
    OUTPUTS,
    AuditReport,
    Finding,
    RecordIndex,
    Severity,
    check_written,
    describe_datasets,
    report_text,
    summarise,
    write_report,
)
from lfbt.audit.scan import check_class_counts, find_patients_in_two_splits, scan_dataset
from lfbt.data.layouts import open_dataset
from lfbt.errors import FinishedError, LfbtError
from lfbt.utils.files import check_distinct
from lfbt.utils.finished import check_target
from lfbt.utils.opening import shown_name
from lfbt.utils.settings import Affects, Seed, validate

__all__ = ["AuditReport", "CheckSettings", "check", "report_text", "summarise"]


@dataclasses.dataclass(frozen=True)
class CheckSettings:
    """Which data sets are checked."""

    data: Annotated[tuple[Path, ...], Affects.LOCATION]
    """Data sets: packed ones, or the authors' folders. Several are also checked against each other."""
    out: Annotated[Path | None, Affects.LOCATION] = None
    """New folder for check.json, findings.csv, duplicates.csv and exclude.csv."""
    overwrite: Annotated[bool, Affects.RUNTIME] = False
    """Replace what the same command has written into that folder before, once all is complete; never other files."""
    split_seed: Seed = 0
    """Seed of the split of class folders without split folders."""
    allow_implausible: bool = False
    """Accept voltages that no ECG has: a lead over 30 mV in most seconds, a median lead under 0.05 or over 10 mV."""

    def check(self) -> None:
        """Raise LfbtError unless there is at least one data set, and none is named twice."""
        if not self.data:
            raise LfbtError("data: none given; name at least one data set")
        check_distinct("data", self.data)


def check(settings: CheckSettings) -> AuditReport:
    """Find what would make training fail or a test unfair, in one data set or several.

    Parameters
    ----------
    settings
        The data sets, and the folder that the report is written to, if any.

    Returns
    -------
    AuditReport
        Findings, worst first, pairs of copies, and records not to pretrain on.

    Raises
    ------
    LfbtError
        For a folder in no known layout, for one named twice, and for an `out` that holds anything but this report.
    """
    validate(settings)
    names = _name_datasets(settings.data)
    affecting = {"split_seed": settings.split_seed, "allow_implausible": settings.allow_implausible}
    out = settings.out
    is_written = out is not None and _is_written(out, settings, names, affecting)
    scans = [
        scan_dataset(name, folder, settings.split_seed, settings.allow_implausible)
        for name, folder in zip(names, settings.data, strict=True)
    ]

    findings = [finding for scan in scans for finding in scan.findings]
    exclude: set[RecordIndex] = set()
    copies = find_copies(scans)
    for found, records in (assess_copies(scans, copies), find_test_patients_elsewhere(scans)):
        findings += found
        exclude |= records
    findings += find_uncomparable(scans)
    for k, scan in enumerate(scans):
        found, rows = find_patients_in_two_splits(scan)
        findings += [*found, *check_class_counts(scan)]
        exclude |= {(k, row) for row in rows}

    report = AuditReport(
        names=names,
        datasets=tuple(scan.dataset for scan in scans),
        findings=tuple(sorted(findings, key=_rank)),
        copies=tuple(copies),
        exclude=tuple(sorted(exclude)),
        settings=affecting,
    )
    if out is not None and is_written:
        check_written(report, out)
    elif out is not None:
        write_report(report, out, settings.overwrite)
    return report


def _is_written(out: Path, settings: CheckSettings, names: Sequence[str], affecting: Mapping[str, Any]) -> bool:
    """Whether `out` has a report of these data sets by these settings. Raises LfbtError where it has something else."""

    def describe() -> dict[str, Any]:
        datasets = [open_dataset(folder, settings.split_seed, patients_apart=False) for folder in settings.data]
        return {"settings": affecting, "data": describe_datasets(names, datasets)}

    try:
        check_target(out, OUTPUTS, settings.overwrite, describe)
    except FinishedError:
        # Hashes do not tell what the signals are by now.
        return True
    return False


def _name_datasets(folders: Sequence[Path]) -> tuple[str, ...]:
    """The folders' names, or their paths where the names are not unique."""
    names = [shown_name(folder.name) for folder in folders]
    unique = len(set(names)) == len(names) and all(names)
    return tuple(names if unique else [shown_name(folder.as_posix()) for folder in folders])


def _rank(finding: Finding) -> int:
    return get_args(Severity).index(finding.severity)
