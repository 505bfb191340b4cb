"""Synthetic downloads in the published forms of Ningbo, CPSC2018 and Chapman; `synthetic` has PTB-XL's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lfbt.recording import STANDARD_LEADS
from lfbt.sources.synthesis import FINDINGS, MARKER, Finding, check_made, made_with, make_signal, write_csv, write_ptbxl
from lfbt.utils.files import atomic_folder
from lfbt.utils.json_files import write_json

# SNOMED CT codes, as the Challenge 2021 writes them.
_NINGBO = {
    "normal": "426783006",
    "slow": "426177001",
    "fast": "427084000",
    "atrial fibrillation": "164889003",
    "first-degree block": "270492004",
    "left bundle branch block": "164909002",
    "right bundle branch block": "59118001",
    "early atrial beats": "284470004",
    "early ventricular beats": "427172004",
    "ST depressed": "429622005",
    "ST elevated": "164931005",
}
_NINGBO_BEGINS, _NINGBO_RECORDS = 10_647, 34_905
# The labels 1 to 9 of REFERENCE.csv.
_CPSC2018 = (
    "normal",
    "atrial fibrillation",
    "first-degree block",
    "left bundle branch block",
    "right bundle branch block",
    "early atrial beats",
    "early ventricular beats",
    "ST depressed",
    "ST elevated",
)
# The recordings' samples, one after the other: of 8, 10 and 16 s.
_CPSC2018_SAMPLES = (5000, 5000, 4000, 8000)
_CHAPMAN = {"slow": "SB", "normal": "SR", "fast": "ST", "atrial fibrillation": "AFIB"}


def write_downloads(folder: Path, records: int, seed: int) -> None:
    """Write four synthetic downloads of so many recordings each: ``ningbo``, ``ptbxl``, ``cpsc2018``, ``chapman``.

    No two of them have a recording or a patient in common. `folder` must be new or empty; it is written whole or not
    at all. Raises LfbtError for a folder that is not, and for a count or seed out of range.
    """
    check_made(records, seed, most=_NINGBO_RECORDS)
    writers = {"ningbo": write_ningbo, "ptbxl": write_ptbxl, "cpsc2018": write_cpsc2018, "chapman": write_chapman}
    with atomic_folder(folder) as unfinished:
        for name, write in writers.items():
            (unfinished / name).mkdir()
            write(unfinished / name, records, seed)


def write_ningbo(folder: Path, records: int, seed: int) -> None:
    """Write synthetic recordings as the Challenge 2021 publishes Ningbo's, from JS10647 on, a thousand to a folder.

    Each is a header with SNOMED CT codes and a MATLAB 4 file of 16-bit samples, 1 µV a step, of 10 s at 500 Hz. Raises
    LfbtError for a count or seed out of range.
    """
    check_made(records, seed, most=_NINGBO_RECORDS)
    for number in range(1, records + 1):
        finding = finding_of(seed, number, tuple(_NINGBO))
        name = f"JS{_NINGBO_BEGINS + number - 1:05d}"
        place = folder / f"g{(number - 1) // 1000 + 1}"
        place.mkdir(parents=True, exist_ok=True)
        steps = np.clip(np.round(1000 * make_signal(FINDINGS[finding], _rng(seed, 3, number))), -32767, 32767)
        write_challenge(place / name, steps.astype("<i2"), _NINGBO[finding])
    write_json(folder / MARKER, made_with(records, seed))


def write_cpsc2018(folder: Path, records: int, seed: int) -> None:
    """Write synthetic recordings as the China Physiological Signal Challenge 2018 publishes its own, from A0001 on.

    Each is a MATLAB 5 file with a struct ``ECG`` in mV at 500 Hz, of 8, 10 or 16 s; REFERENCE.csv has the labels 1 to
    9, two of them for one recording in twenty. Raises LfbtError for a count or seed out of range.
    """
    import scipy.io

    check_made(records, seed, most=9_999)
    rows: list[Sequence[object]] = [("Recording", "First_label", "Second_label", "Third_label")]
    for number in range(1, records + 1):
        name, rng = f"A{number:04d}", _rng(seed, 4, number)
        finding = finding_of(seed, number, _CPSC2018)
        labels, made = [_CPSC2018.index(finding) + 1], FINDINGS[finding]
        if number % 20 == 10:
            labels, made = [2, 5], Finding("CRBBB", irregular=(0.15, 0.25), p_wave=0.0)
        n_samples = _CPSC2018_SAMPLES[number % 4]
        signal = np.concatenate([make_signal(made, rng), make_signal(made, rng)], axis=1)[:, :n_samples]
        age = int(rng.integers(20, 90))
        ecg = {"sex": ("Female", "Male")[number % 2], "age": age, "data": np.round(signal, 4)}
        scipy.io.savemat(folder / f"{name}.mat", {"ECG": ecg}, do_compression=True)
        rows.append((name, *labels, *[""] * (3 - len(labels))))
    write_csv(folder / "REFERENCE.csv", rows)
    write_json(folder / MARKER, made_with(records, seed))


def write_chapman(folder: Path, records: int, seed: int) -> None:
    """Write synthetic recordings as figshare publishes Chapman-Shaoxing's.

    Each is a CSV file in µV in ``ECGData``, 5000 rows of 10 s at 500 Hz under a row of lead names; ``Diagnostics.xlsx``
    has the rhythms. Raises LfbtError for a count or seed out of range.
    """
    import openpyxl
    import pandas as pd

    check_made(records, seed, most=99_999)
    (folder / "ECGData").mkdir(parents=True, exist_ok=True)
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet()
    sheet.append(["FileName", "Rhythm", "Beat", "PatientAge", "Gender"])
    for number in range(1, records + 1):
        finding = finding_of(seed, number, tuple(_CHAPMAN))
        name, rng = f"MUSE_20180101_{number:06d}_00000", _rng(seed, 5, number)
        steps = np.round(1000 * make_signal(FINDINGS[finding], rng)).astype(int)
        pd.DataFrame(steps.T, columns=list(STANDARD_LEADS)).to_csv(folder / "ECGData" / f"{name}.csv", index=False)
        age = int(rng.integers(20, 90))
        sheet.append([name, _CHAPMAN[finding], "NONE", age, ("FEMALE", "MALE")[number % 2]])
    book.save(folder / "Diagnostics.xlsx")
    write_json(folder / MARKER, made_with(records, seed))


def finding_of(seed: int, number: int, among: Sequence[str]) -> str:
    """The finding of recording `number` (from 1): each of `among` once in as many recordings, in an order by chance."""
    block, place = divmod(number - 1, len(among))
    return among[int(np.random.default_rng([seed, 6, block]).permutation(len(among))[place])]


def _rng(seed: int, download: int, number: int) -> np.random.Generator:
    return np.random.default_rng([seed, download, number])


def write_challenge(path: Path, steps: NDArray[np.int16], code: str) -> None:
    """Write `steps` ``[12, samples]`` of 1 µV as the header and the MATLAB 4 file ``val`` of the Challenge.

    24 bytes precede the samples: type 30 (16-bit integers), rows, columns, no imaginary part, length of the name, name.
    """
    matrix = np.array([30, *steps.shape, 0, 4], "<i4").tobytes() + b"val\0" + steps.T.tobytes()
    header = [f"{path.name} {len(steps)} 500 {steps.shape[1]}"]
    for lead, row in zip(STANDARD_LEADS, steps, strict=True):
        checksum = int(row.sum(dtype=np.int64).astype(np.int16))
        header.append(f"{path.name}.mat 16+24 1000/mV 16 0 {row[0]} {checksum} 0 {lead}")
    header += ["#Age: NaN", "#Sex: Unknown", f"#Dx: {code}", "#Rx: Unknown", "#Hx: Unknown", "#Sx: Unknown"]
    path.with_suffix(".mat").write_bytes(matrix)
    path.with_suffix(".hea").write_text("\n".join(header) + "\n", encoding="ascii")
