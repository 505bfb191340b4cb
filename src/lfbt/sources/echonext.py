"""EchoNext, ECGs with the findings of an echocardiogram, as published on PhysioNet: a table, and an array a split."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from lfbt.errors import LfbtError
from lfbt.io import open_npy
from lfbt.recording import STANDARD_LEADS, Recording
from lfbt.sources.finding import (
    check_unique,
    files_below,
    iter_table,
    not_found,
    only_file,
    parse_flag,
    patient_id,
    unique_names,
)
from lfbt.sources.lead_order import check_lead_order
from lfbt.sources.listing import SPLITS, Dropped, Entry, Listing, Published

# The README of the release spells it EchoNext_metadata_100k.csv.
_TABLE = "echonext_metadata_100k.csv"
_NO_SPLIT = "no_split"
_SAMPLING_RATE = 250.0
_N_SAMPLES = 2500
_N_COMPARED = 16
FINDINGS = (
    "lvef_lte_45",
    "lvwt_gte_13",
    "aortic_stenosis_moderate_or_greater",
    "aortic_regurgitation_moderate_or_greater",
    "mitral_regurgitation_moderate_or_greater",
    "tricuspid_regurgitation_moderate_or_greater",
    "pulmonary_regurgitation_moderate_or_greater",
    "rv_systolic_dysfunction_moderate_or_greater",
    "pericardial_effusion_moderate_large",
    "pasp_gte_45",
    "tr_max_gte_32",
)
#: The class of a recording with none of the findings.
OTHER = "other"
_CLASSES = {"shd": ("shd", "no_shd"), "findings": (*FINDINGS, OTHER), "none": ()}
_COLUMNS = {
    "shd": ("shd_moderate_or_greater_flag",),
    "findings": tuple(f"{finding}_flag" for finding in FINDINGS),
    "none": (),
}
_RULES = {
    "shd": "shd (any structural heart disease, moderate or greater) or no_shd, by the column "
    "shd_moderate_or_greater_flag of {}; what was not measured counts as absent, as published",
    "findings": "the columns of {} that end with _flag, without the composite; other is one with none of the eleven; "
    "what was not measured counts as absent, as published",
    "none": "no labels were read",
}
_ASSUMPTION = (
    f"leads are taken for {','.join(STANDARD_LEADS)}, which the download does not say; the signals confirm the order "
    "of the limb leads only"
)


@dataclasses.dataclass(frozen=True)
class EchoNext:
    """EchoNext, from PhysioNet: echonext_metadata_100k.csv and EchoNext_train_waveforms.npy, ..._val_..., ..._test_....

    Ten seconds at 250 Hz, as z-scores over the whole data set and not in mV: for encoders that normalise each record.
    The split is official, patients are the patient_key of the table. Records of no_split, which are earlier ECGs of
    patients of val and test, and those of absent arrays are dropped.
    """

    published: ClassVar[Published] = Published(
        where="https://physionet.org/content/echonext/1.1.0/",
        licence="PhysioNet Restricted 1.5.0",
        records=100_000,
        patients=36_286,
        labels="shd (or not), findings (11 and other), none",
        tried="written files",
    )
    labels: Literal["shd", "findings", "none"] = "shd"
    """What the labels are: structural heart disease or not, the eleven findings of which it is composed, or none."""

    def listing(self, folder: Path) -> Listing:
        """List the records of the download in `folder`. Raises LfbtError if it is not one."""
        files = files_below(folder)
        table = only_file(files, _TABLE, folder, "echonext", any_case=True)
        by_name = unique_names((file for file in files if file.match("EchoNext_*_waveforms.npy")), "echonext")
        names = {split: f"EchoNext_{split}_waveforms" for split in (*SPLITS, _NO_SPLIT)}
        arrays = {split: by_name[name] for split, name in names.items() if name in by_name}
        if not arrays.keys() & set(SPLITS):
            expected = "any EchoNext_train_waveforms.npy, EchoNext_val_waveforms.npy or EchoNext_test_waveforms.npy"
            raise not_found(folder, files, "echonext", expected)
        # The row of a record in the array of its split is its place among the rows of that split.
        n_rows = dict.fromkeys(names, 0)
        entries, dropped = [], []
        columns = ["ecg_key", "patient_key", "split", *_COLUMNS[self.labels]]
        for name, patient, split, *flags in iter_table(table, columns):
            if split not in names:
                raise LfbtError(f"table {table}: record {name} has split {split!r}; allowed: {', '.join(names)}")
            row, n_rows[split] = n_rows[split], n_rows[split] + 1
            if split == _NO_SPLIT or split not in arrays:
                reason = "file absent" if split != _NO_SPLIT else "no split: an earlier ECG of a patient of val or test"
                dropped.append(Dropped(name, f"{names[split]}.npy", reason))
                continue
            reader = functools.partial(read_waveform, row=row)
            labels = _labels(self.labels, flags, table, name)
            entries.append(Entry(name, patient_id(patient, table, name), arrays[split], reader, labels, split))
        check_unique([*(entry.id for entry in entries), *(drop.id for drop in dropped)], f"table {table}")
        for split, array in arrays.items():
            _check_array(array, table, split, n_rows[split])
        rule = _RULES[self.labels].format(table.name)
        return Listing(entries, _CLASSES[self.labels], rule, dropped, _ASSUMPTION, in_mv=False)


def read_waveform(path: Path, *, row: int) -> Recording:
    """Read one recording of an array ``[recordings, 1, samples, leads]``, in z-scores. Raises UnreadableError."""
    signal = np.ascontiguousarray(open_npy(path)[row, 0].T, dtype=np.float32)
    return Recording(signal, _SAMPLING_RATE, STANDARD_LEADS, in_mv=False)


def _check_array(path: Path, table: Path, split: str, n_rows: int) -> None:
    """Raise LfbtError unless an array has the published form, the rows of its split, and the leads in their order."""
    array = open_npy(path)
    shape = (1, _N_SAMPLES, len(STANDARD_LEADS))
    if array.ndim != 4 or array.shape[1:] != shape:
        raise LfbtError(
            f"file {path}: an array of shape {list(array.shape)}, not [recordings, {', '.join(map(str, shape))}]; "
            "download it again"
        )
    if len(array) != n_rows:
        raise LfbtError(
            f"table {table}: has {n_rows} rows of split {split}, but {path.name} has {len(array)} recordings, and the "
            "two belong together row by row; download both again"
        )
    check_lead_order(path, array[:_N_COMPARED, 0], STANDARD_LEADS)


def _labels(labels: str, values: Sequence[str], table: Path, name: str) -> tuple[str, ...]:
    """Read the labels of a record from the `values` of its flags."""
    flags = [
        parse_flag(value, table, f"{column} of record {name}")
        for column, value in zip(_COLUMNS[labels], values, strict=True)
    ]
    if labels == "findings":
        return tuple(finding for finding, present in zip(FINDINGS, flags, strict=True) if present) or (OTHER,)
    return ("shd" if flags[0] else "no_shd",) if flags else ()
