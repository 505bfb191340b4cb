"""CODE-15%, CODE-test and SaMi-Trop of the Telehealth Network of Minas Gerais: tables, and arrays in HDF5 files."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

from lfbt.errors import LfbtError
from lfbt.io import holds_hdf5, read_hdf5_ids, read_hdf5_row, read_hdf5_start
from lfbt.recording import STANDARD_LEADS, Recording
from lfbt.sources.finding import (
    check_unique,
    clean_id,
    files_below,
    iter_table,
    not_found,
    only_file,
    parse_flag,
    patient_id,
    unique_names,
)
from lfbt.sources.lead_order import check_lead_order
from lfbt.sources.listing import Dropped, Entry, Listing, Published
from lfbt.utils.figures import format_count

FINDINGS = ("1dAVb", "RBBB", "LBBB", "SB", "AF", "ST")
#: The class of a recording with none of the six findings, whether it is normal or not.
OTHER = "other"
# CODE-test has the augmented limb leads in another order than its siblings, as its README says and its signals show.
_TEST_LEADS = ("I", "II", "III", "aVL", "aVF", "aVR", "V1", "V2", "V3", "V4", "V5", "V6")
_TRACINGS = "tracings"
_SAMPLING_RATE = 400.0
# Recordings last 7 or 10 s. Most of the latter fill the array's 4096 samples, whose last 0.24 s would be a record.
_MOST_SAMPLES = 4000
_ASSUMPTION = (
    "signals are taken for mV, as the PhysioNet Challenge 2025 does; the authors' README says both 1e-4 V and mV, and "
    "QRS complexes are up to twice as high as elsewhere"
)
_RULES = {
    "findings": f"the columns {', '.join(FINDINGS)} of {{}}; {OTHER} is one with none of the six, normal or not",
    "normal": "normal or abnormal, by the column normal_ecg of {}",
    "none": "no labels were read",
}


@dataclasses.dataclass(frozen=True)
class Code15:
    """CODE-15%, as unpacked from Zenodo: exams.csv, and some or all of exams_part0.hdf5 to exams_part17.hdf5.

    The signals are taken for mV, at 400 Hz; zeros before and after a recording are left out, and at most 10 s are
    kept. Exams of parts that are absent are dropped. Patients are the patient_id of the table. It needs
    pip install 'lfbt[hdf5]'.
    """

    published: ClassVar[Published] = Published(
        where="https://doi.org/10.5281/zenodo.4916206",
        licence="CC BY 4.0",
        records=345_779,
        patients=233_770,
        labels="findings (6 and other), normal, none",
        tried="written files",
    )
    labels: Literal["findings", "normal", "none"] = "findings"
    """What the labels are: the six findings, whether the ECG is normal, or none."""

    def listing(self, folder: Path) -> Listing:
        """List the exams of the download in `folder`. Raises LfbtError if it is not one."""
        files = files_below(folder)
        table = only_file(files, "exams.csv", folder, "code15")
        parts = unique_names((file for file in files if file.match("exams_part*.hdf5")), "code15")
        if not parts:
            raise not_found(folder, files, "code15", "any exams_part0.hdf5 to exams_part17.hdf5, unzipped")
        for part in parts.values():
            _check_leads(part, STANDARD_LEADS)
        # The rows of the table are in another order than those of the arrays.
        row_of = {name: _rows_of(part) for name, part in parts.items()}
        entries, dropped = [], []
        columns = ["exam_id", "patient_id", "trace_file", *_label_columns(self.labels)]
        for exam, patient, part_file, *values in iter_table(table, columns):
            name = part_file.removesuffix(".hdf5")
            row = row_of.get(name, {}).get(exam)
            if row is None:
                dropped.append(Dropped(exam, part_file, "not in its part" if name in parts else "file absent"))
            else:
                reader = functools.partial(read_tracing, row=row, leads=STANDARD_LEADS)
                labels = _labels(self.labels, values, table, exam)
                entries.append(Entry(exam, patient_id(patient, table, exam), parts[name], reader, labels))
        check_unique((entry.id for entry in entries), f"table {table}")
        return _listing(entries, self.labels, table, dropped)


@dataclasses.dataclass(frozen=True)
class CodeTest:
    """CODE-test, as unpacked from Zenodo: ecg_tracings.hdf5 and annotations/gold_standard.csv, 827 patients.

    The signals are as those of code15. A record's name is its row in the array, from 0. It needs
    pip install 'lfbt[hdf5]'.
    """

    published: ClassVar[Published] = Published(
        where="https://doi.org/10.5281/zenodo.3765780",
        licence="CC BY 4.0",
        records=827,
        patients=827,
        labels="findings (6 and other), none",
        tried="written files",
    )
    labels: Literal["findings", "none"] = "findings"
    """What the labels are: the six findings by the gold standard, or none."""

    def listing(self, folder: Path) -> Listing:
        """List the tracings of the download in `folder`. Raises LfbtError if it is not one."""
        files = files_below(folder)
        array = only_file(files, "ecg_tracings.hdf5", folder, "code-test")
        table = only_file(files, "gold_standard.csv", folder, "code-test")
        rows = list(iter_table(table, FINDINGS))
        _check_length(array, table, len(rows))
        _check_leads(array, _TEST_LEADS)
        entries = []
        for row, values in enumerate(rows):
            name = str(row)
            reader = functools.partial(read_tracing, row=row, leads=_TEST_LEADS)
            labels = _labels(self.labels, values, table, name) if self.labels != "none" else ()
            entries.append(Entry(name, name, array, reader, labels))
        return _listing(entries, self.labels, table, [])


@dataclasses.dataclass(frozen=True)
class SamiTrop:
    """SaMi-Trop, as unpacked from Zenodo: exams.csv and exams.hdf5, a recording each of 1,631 Chagas patients.

    The signals are as those of code15. The table has a row for each row of the array, in the same order. It needs
    pip install 'lfbt[hdf5]'.
    """

    published: ClassVar[Published] = Published(
        where="https://doi.org/10.5281/zenodo.4905618",
        licence="CC BY 4.0",
        records=1_631,
        patients=1_631,
        labels="normal, none",
        tried="written files",
    )
    labels: Literal["normal", "none"] = "normal"
    """What the labels are: whether the ECG is normal, or none."""

    def listing(self, folder: Path) -> Listing:
        """List the exams of the download in `folder`. Raises LfbtError if it is not one."""
        files = files_below(folder)
        array = only_file(files, "exams.hdf5", folder, "sami-trop")
        table = only_file(files, "exams.csv", folder, "sami-trop")
        rows = list(iter_table(table, ["exam_id", *_label_columns(self.labels)]))
        _check_length(array, table, len(rows))
        _check_leads(array, STANDARD_LEADS)
        check_unique((exam for exam, *_ in rows), f"table {table}")
        _check_order(array, table, [exam for exam, *_ in rows])
        entries = []
        for row, (exam, *values) in enumerate(rows):
            reader = functools.partial(read_tracing, row=row, leads=STANDARD_LEADS)
            entries.append(Entry(exam, exam, array, reader, _labels(self.labels, values, table, exam)))
        return _listing(entries, self.labels, table, [])


def read_tracing(path: Path, *, row: int, leads: Sequence[str]) -> Recording:
    """Read one tracing: without the zeros before and after it, and its first 10 s at most. Raises UnreadableError."""
    recording = read_hdf5_row(path, dataset=_TRACINGS, row=row, leads=leads, sampling_rate=_SAMPLING_RATE, unit="mV")
    return dataclasses.replace(recording, signal=recording.signal[:, :_MOST_SAMPLES])


def _rows_of(part: Path) -> dict[str, int]:
    """Map the exams of a part to the rows of its array. The last row of a part may be a filler with the id 0."""
    ids = read_hdf5_ids(part, "exam_id").tolist()
    read_hdf5_start(part, _TRACINGS, (len(ids), "samples", len(STANDARD_LEADS)), 0)
    row_of = {str(exam): row for row, exam in enumerate(ids) if exam}
    if len(row_of) < sum(map(bool, ids)):
        raise LfbtError(f"file {part}: an exam_id is a duplicate; download it again")
    return row_of


def _check_length(array: Path, table: Path, n_rows: int) -> None:
    """Raise LfbtError unless `array` has as many recordings as `table` has rows: nothing else connects the two."""
    n_recordings, _ = read_hdf5_start(array, _TRACINGS, ("recordings", "samples", len(STANDARD_LEADS)), 0)
    if n_recordings != n_rows:
        raise LfbtError(
            f"table {table}: has {format_count(n_rows, 'row')}, but {array.name} has "
            f"{format_count(n_recordings, 'recording')}, and the two "
            "belong together row by row; download both again"
        )


def _check_order(array: Path, table: Path, exams: Sequence[str]) -> None:
    """Raise LfbtError if `array` states its exams, and these are not those of `table`, row by row."""
    if not holds_hdf5(array, "exam_id"):
        return
    ids = read_hdf5_ids(array, "exam_id").tolist()
    if len(ids) != len(exams):
        raise LfbtError(
            f"file {array}: has {len(ids)} exam_id for {format_count(len(exams), 'recording')}; download it again"
        )
    for row, (stated, exam) in enumerate(zip(ids, exams, strict=True)):
        if str(stated) != clean_id(exam):
            raise LfbtError(
                f"table {table}: row {row} is exam {exam}, but {array.name} has {stated} there; download both again"
            )


def _check_leads(array: Path, leads: Sequence[str]) -> None:
    """Raise LfbtError if the first recordings contradict the order of `leads`."""
    _, tracings = read_hdf5_start(array, _TRACINGS, ("recordings", "samples", len(leads)), 16)
    check_lead_order(array, tracings, leads)


def _label_columns(labels: str) -> Sequence[str]:
    return {"findings": FINDINGS, "normal": ("normal_ecg",), "none": ()}[labels]


def _labels(labels: str, values: Sequence[str], table: Path, exam: str) -> tuple[str, ...]:
    """Read the labels of an exam from the `values` of `_label_columns`."""
    given = [parse_flag(value, table, f"exam {exam}") for value in values]
    if labels == "findings":
        return tuple(name for name, present in zip(FINDINGS, given, strict=True) if present) or (OTHER,)
    return ("normal" if given[0] else "abnormal",) if labels == "normal" else ()


def _listing(entries: list[Entry], labels: str, table: Path, dropped: list[Dropped]) -> Listing:
    classes = {"findings": (*FINDINGS, OTHER), "normal": ("normal", "abnormal"), "none": ()}[labels]
    return Listing(entries, classes, _RULES[labels].format(table.name), dropped, _ASSUMPTION)
