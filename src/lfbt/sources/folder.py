"""Anybody's own records in a folder: WFDB, NumPy, CSV and clinical files."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from lfbt.errors import LfbtError, UnreadableError
from lfbt.io import (
    CLINICAL_FORMATS,
    CsvHeader,
    holds_voltages,
    names_no_lead,
    open_npy,
    read_clinical,
    read_csv,
    read_csv_header,
    read_npy,
    read_npy_row,
    read_wfdb,
)
from lfbt.recording import (
    STANDARD_LEADS,
    Recording,
    check_sampling_rate,
    lead_name,
    names_of_leads,
    parse_leads,
    unit_in_mv,
)
from lfbt.sources.file_table import read_file_table
from lfbt.sources.finding import (
    check_labels_file,
    check_unique,
    download_above,
    files_below,
    not_found,
    recognise_download,
    relative_id,
)
from lfbt.sources.label_table import apply_table, likely_columns
from lfbt.sources.listing import SPLITS, Dropped, Entry, Listing

Labels = Literal["none", "folders", "table"]

_PLAIN_SUFFIXES = (".hea", ".npy", ".csv")
_SEPARATORS = {"auto": None, "tab": "\t", "space": " "}
# Names of splits elsewhere, in lower case; as classes they would mix test and training records.
_SPLITS_ELSEWHERE = re.compile(
    r"(train|training|val|validation|valid|test|testing|dev|eval|evaluation|holdout)[ _-]?(set|data|split|fold)?s?\d*"
)
_RULES = {
    "none": "no labels were read",
    "folders": "the name of the sub-folder that holds the record",
}


@dataclasses.dataclass(frozen=True)
class Folder:
    """Your own records, in any sub-folders: WFDB (.hea), NumPy (.npy, [leads, samples]), CSV or clinical files.

    Clinical files are .scp, .dcm, .dicom, .xml, .edf, .ecg, .mwf, .mfer and .mfr; they need pip install 'lfbt[formats]'
    and are left out beside a .hea, .npy or .csv of the same name, as are the annotations r.ecg of a WFDB record r.
    One single .npy file with an array [records, leads, samples] works as well. A record's name is its path in the
    folder without the suffix (0, 1, ... for the rows of one array). Without a table each record counts as a patient.
    Other files are passed over, and listed in dropped.csv.
    """

    labels: Labels = "none"
    """Where labels come from: none, the sub-folders (class/ or train/class/, val/class/, test/class/), or a table."""
    table: Path | None = None
    """For labels table: a CSV file with the column record, and perhaps patient, label (a;b for several), split."""
    file_leads: str = ""
    """Lead names of the .npy rows, or of the columns of .csv files without a header row, such as I,II,III."""
    file_sampling_rate: float | None = None
    """Sampling rate of the .npy and .csv files, in Hz; for .csv files without one, what their column of times tells."""
    file_unit: str = "mV"
    """Unit of the .npy and .csv files that state none: mV, uV, V, nV, or raw counts by their gain, such as 200/mV,
    and with the count of 0 V, such as 200(2048)/mV."""
    file_separator: Literal["auto", ",", ";", "tab", "space"] = "auto"
    """What separates the cells of .csv files; auto finds it in each file."""
    file_table: Path | None = None
    """CSV file with columns file, leads, sampling_rate, unit, for .npy and .csv files that differ in these."""
    file_decimal: Literal["auto", ".", ","] = "auto"
    """The decimal sign of .csv files; auto finds it in each file."""
    resample_leads: bool = False
    """Take leads of different sampling rates in one file to the highest; otherwise such a file is unreadable."""

    def listing(self, folder: Path) -> Listing:
        """List the records below `folder`, which is no known download, unless a table states the patients.

        Raises LfbtError if there are none or the options do not fit them.
        """
        if self.table is None:
            _refuse_download(folder)
        listing = self.find(folder)
        check_unique((entry.id for entry in listing.entries), f"folder {folder}")
        return listing

    def find(self, folder: Path) -> Listing:
        """List the records below `folder`, of which two may have the same name.

        Raises LfbtError if there are none or the options do not fit them.
        """
        check_labels_file(self.labels, "table", self.table)
        unit_in_mv(self.file_unit)
        if self.file_separator == self.file_decimal == ",":
            raise LfbtError("file_separator: a comma is the decimal sign already; give another of them")
        files = files_below(folder)
        own = {table.resolve() for table in (self.table, self.file_table) if table}
        broken = [file for file in files if file.is_symlink() and not file.exists()]
        files = [file for file in files if file not in broken and not (own and file.resolve() in own)]
        headers = {file: _read_header(file, self._layout()) for file in files if file.suffix.lower() == ".csv"}
        tables = {file: what for file, header in headers.items() if header and (what := _table_column(file, header))}
        signals = signal_files(file for file in files if file not in tables)
        named = {file.with_suffix(""): file for file in signals if file.suffix.lower() in _PLAIN_SUFFIXES}
        if not signals:
            suffixes = ", ".join((*_PLAIN_SUFFIXES, *CLINICAL_FORMATS))
            raise not_found(folder, files, "folder", f"any signal file ({suffixes})")
        entries, note = self._entries(folder, signals, headers)
        if self.table:
            check_unique((entry.id for entry in entries), f"folder {folder}")
        if self.labels == "folders":
            listing = _with_folders(entries, folder)
        elif self.table:
            listing = apply_table(entries, self.table, folder)
        else:
            listing = Listing(entries, (), _RULES["none"])
        others = sorted(set(files) - set(signals), key=lambda file: file.parts)
        dropped = [*listing.dropped, *_passed_over(others, named, tables, folder)]
        dropped += [_pass_over(file, folder, "a link to a file that is not there") for file in broken]
        assumption = "; ".join(filter(None, (listing.assumption, note)))
        return dataclasses.replace(listing, dropped=dropped, assumption=assumption)

    def _layout(self) -> dict[str, Any]:
        return {
            "separator": _SEPARATORS.get(self.file_separator, self.file_separator),
            "decimal": None if self.file_decimal == "auto" else self.file_decimal,
        }

    def _entries(
        self, folder: Path, signals: Sequence[Path], headers: Mapping[Path, CsvHeader | None]
    ) -> tuple[list[Entry], str]:
        """List an entry for each record, which counts as a patient of its own; and what is assumed."""
        rate = self.file_sampling_rate
        if rate is not None:
            check_sampling_rate(rate, "file_sampling_rate")
        leads = parse_leads(self.file_leads) if self.file_leads else None
        common: dict[str, Any] = {"leads": leads, "sampling_rate": rate, "unit": self.file_unit}
        plain = [file for file in signals if file.suffix.lower() in (".npy", ".csv")]
        if not plain:
            self._check_unused()
        stated, note = read_file_table(self.file_table, plain, folder) if self.file_table else ({}, "")
        options: dict[Path, dict[str, Any]] = {file: {**common, **stated.get(file, {})} for file in plain}
        _check_complete(options, headers)
        _check_leads(options, stated, headers)
        if len(signals) == 1 and signals[0].suffix.lower() == ".npy":
            array = open_npy(signals[0])
            if array.ndim == 3:
                reader = functools.partial(read_npy_row, **options[signals[0]])
                rows = range(len(array))
                return [Entry(str(row), str(row), signals[0], functools.partial(reader, row=row)) for row in rows], note

        def reader_of(file: Path) -> Callable[[Path], Recording]:
            suffix = file.suffix.lower()
            if suffix == ".npy":
                return functools.partial(read_npy, **options[file])
            if suffix == ".csv":
                return functools.partial(read_csv, **options[file], **self._layout())
            read: Callable[..., Recording] = read_wfdb if suffix == ".hea" else read_clinical
            return functools.partial(read, resample_leads=True) if self.resample_leads else read

        ids = [relative_id(file, folder) for file in signals]
        return [Entry(id, id, file, reader_of(file)) for id, file in zip(ids, signals, strict=True)], note

    def _check_unused(self) -> None:
        """Raise LfbtError for an option of .npy and .csv files, which is given although there are none."""
        for name in ("file_leads", "file_sampling_rate", "file_unit", "file_separator", "file_decimal"):
            value = getattr(self, name)
            if value != getattr(Folder, name):
                raise LfbtError(
                    f"{name}: {value} is for .npy and .csv files, but there are none; the files "
                    "state it themselves, so leave it out"
                )


def _refuse_download(folder: Path) -> None:
    """Raise LfbtError for a download of a known source, or a part of it: here each of its records were a patient."""
    files = files_below(folder)
    source = recognise_download(files)
    where = folder
    if not source and (above := download_above(folder)):
        source, where = above
    if source and source != "synthetic":
        raise LfbtError(
            f"source folder: {where} has the files of a download of {source}, whose patients and labels only that "
            f"source knows; prepare it with lfbt prepare {source} {where}, state patients and labels yourself with "
            "--labels table, or, if these are your own records, take the other files away"
        )


def signal_files(files: Iterable[Path]) -> list[Path]:
    """Choose those of files that are read, sorted by path: clinical ones only without a plain one of the same name.

    >>> [file.name for file in signal_files(map(Path, ("a.hea", "a.dat", "a.ecg", "b.dcm", "b.txt")))]
    ['a.hea', 'b.dcm']
    """
    files = list(files)
    plain = [file for file in files if file.suffix.lower() in _PLAIN_SUFFIXES]
    named = {file.with_suffix("") for file in plain}
    clinical = [file for file in files if file.suffix.lower() in CLINICAL_FORMATS and file.with_suffix("") not in named]
    return sorted([*plain, *clinical], key=lambda file: file.parts)


def _check_complete(options: Mapping[Path, Mapping[str, Any]], headers: Mapping[Path, CsvHeader | None]) -> None:
    """Raise LfbtError that names all that is neither given nor stated by a file."""
    missing = []
    unrated = [file for file, given in options.items() if given["sampling_rate"] is None]
    rateless = next((file for file in unrated if not _states("states_rate", file, headers)), None)
    if rateless:
        missing.append(
            f"file_sampling_rate: none given, but {rateless} does not state its own; give it in Hz, such as 500"
        )
    unnamed = [file for file, given in options.items() if given["leads"] is None]
    nameless = next((file for file in unnamed if not _states("leads", file, headers)), None)
    if nameless:
        missing.append(f"file_leads: none given, but {nameless} does not name its leads; give them, such as I,II,III")
    if missing:
        more = "; where files differ, give file_table" if len(options) > 1 else ""
        raise LfbtError("; ".join(missing) + more)


def _check_leads(
    options: Mapping[Path, Mapping[str, Any]],
    stated: Mapping[Path, Mapping[str, Any]],
    headers: Mapping[Path, CsvHeader | None],
) -> None:
    """Raise LfbtError if leads that are for a CSV file by name, or for CSV files only, are in its header otherwise."""
    named = {
        file: names_of_leads(header.leads)
        for file in options
        if (header := headers.get(file)) and header.leads and not all(map(names_no_lead, header.leads))
    }
    for file, own in named.items():
        leads = options[file]["leads"]
        is_meant = "leads" in stated.get(file, ()) or len(named) == len(options)
        if leads and is_meant and [name for name in own if name in leads] != list(leads):
            raise LfbtError(
                f"file_leads: {','.join(leads)} contradicts {file}, whose header names {','.join(own)}; leave it out"
            )


def _states(what: str, file: Path, headers: Mapping[Path, CsvHeader | None]) -> bool:
    """Whether a file is a CSV that states `what`, or cannot be read, which its reader will say."""
    header = headers.get(file)
    return bool(getattr(header, what)) if header else file in headers


def _read_header(file: Path, layout: Mapping[str, Any]) -> CsvHeader | None:
    """Read what a CSV file states of itself; None if it cannot be read, which its reader will say."""
    try:
        return read_csv_header(file, **layout)
    except UnreadableError:
        return None


def table_column(file: Path) -> str:
    """Return the column by which a CSV file is a table about records, such as patient; empty for samples."""
    header = _read_header(file, {})
    return _table_column(file, header) if header else ""


def _table_column(file: Path, header: CsvHeader) -> str:
    """The column by which a CSV file is a table about records, such as patient; empty for samples."""
    if not header.leads or any(lead_name(name) in STANDARD_LEADS for name in header.leads):
        return ""
    tabular = {name for name in header.names if name in ("record", "patient", "label", "split")}
    tabular |= set(likely_columns(header.names))
    if not tabular or (not tabular & set(header.leads) and holds_voltages(file)):
        return ""
    return next(name for name in header.names if name in tabular)


def _passed_over(
    files: Sequence[Path], named: Mapping[Path, Path], tables: Mapping[Path, str], folder: Path
) -> list[Dropped]:
    """List the files that are neither read nor a part of a WFDB record.

    `named` are the plain files without suffix, `tables` those with a column about records.
    """
    dropped = []
    for file in files:
        beside = named.get(file.with_suffix(""))
        if beside is not None and beside.suffix.lower() == ".hea":
            # Its samples and annotations.
            continue
        suffix = file.suffix.lower()
        if file in tables:
            why = f"a table with the column {tables[file]}, not samples; if these are samples, name the leads (I, II)"
        elif beside is not None:
            why = f"{beside.name} is read"
        elif suffix in (".dat", ".mat"):
            why = f"no WFDB header {file.stem}.hea beside it"
        elif suffix in (".xlsx", ".xls", ".ods"):
            why = "a workbook; if it holds samples, save the sheet as CSV"
        elif suffix == ".npz":
            why = "several arrays in one file; save each as .npy"
        else:
            why = f"{suffix or 'no suffix'} is no suffix of a signal file"
        dropped.append(_pass_over(file, folder, why))
    return dropped


def _pass_over(file: Path, folder: Path, why: str) -> Dropped:
    return Dropped(relative_id(file, folder), file.relative_to(folder).as_posix(), f"passed over: {why}")


def _with_folders(entries: Sequence[Entry], folder: Path) -> Listing:
    """Take labels, and splits where the first folders are train, val and test, from the entries' paths."""
    parts = [entry.file.relative_to(folder).parts[:-1] for entry in entries]
    in_split = [part[:1] != () and part[0] in SPLITS for part in parts]
    if any(in_split) and not all(in_split):
        stray = entries[in_split.index(False)].id
        raise LfbtError(f"folder {folder}: it has split folders, but {stray} is not in {', '.join(SPLITS)}; move it")
    kept, dropped = [], []
    for entry, part in zip(entries, parts, strict=True):
        split, *rest = part if any(in_split) else ("", *part)
        if rest:
            kept.append(dataclasses.replace(entry, labels=(rest[0],), split=split))
        else:
            dropped.append(Dropped(entry.id, _relative_path(entry, folder), "not in a class folder"))
    if not kept:
        raise LfbtError(f"labels: folders, but {folder} has no record in a class folder; make one folder a class")
    classes = tuple(sorted({entry.labels[0] for entry in kept}))
    if likely := [name for name in classes if _SPLITS_ELSEWHERE.fullmatch(name.lower())]:
        raise LfbtError(
            f"folder {folder}: {likely[0]} is likely a split, which is called {', '.join(SPLITS)} here; rename it, "
            "also if it is a class"
        )
    for name in classes:
        if ";" in name:
            raise LfbtError(f"labels: the folder {name!r} cannot be a class, because ; separates labels; rename it")
    return Listing(kept, classes, _RULES["folders"], dropped)


def _relative_path(entry: Entry, folder: Path) -> str:
    return entry.file.relative_to(folder).as_posix()
