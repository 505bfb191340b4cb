"""Synthetic downloads in the published forms of Ningbo, CPSC2018 and Chapman; that of PTB-XL is in `synthesis`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lfbt.recording import STANDARD_LEADS
from lfbt.sources.synthesis import (
    FINDINGS,
    MARKER,
    Finding,
    check_count_and_seed,
    make_signal,
    marker_content,
    write_csv,
    write_ptbxl,
)
from lfbt.utils.files import atomic_folder, write_json

# SNOMED CT codes, as the Challenge 2021 writes them.
_NINGBO = {
    "sinus rhythm": "426783006",
    "sinus bradycardia": "426177001",
    "sinus tachycardia": "427084000",
    "atrial fibrillation": "164889003",
    "first-degree AV block": "270492004",
    "left bundle branch block": "164909002",
    "right bundle branch block": "59118001",
    "premature atrial contractions": "284470004",
    "premature ventricular contractions": "427172004",
    "ST depression": "429622005",
    "ST elevation": "164931005",
}
_NINGBO_FIRST, _NINGBO_RECORDS = 10_647, 34_905
# The labels 1 to 9 of REFERENCE.csv.
_CPSC2018 = (
    "sinus rhythm",
    "atrial fibrillation",
    "first-degree AV block",
    "left bundle branch block",
    "right bundle branch block",
    "premature atrial contractions",
    "premature ventricular contractions",
    "ST depression",
    "ST elevation",
)
# Samples of consecutive recordings: 8, 10 or 16 s.
_CPSC2018_SAMPLES = (5000, 5000, 4000, 8000)
_CHAPMAN = {"sinus bradycardia": "SB", "sinus rhythm": "SR", "sinus tachycardia": "ST", "atrial fibrillation": "AFIB"}


def write_downloads(folder: Path, records: int, seed: int) -> None:
    """Write four synthetic downloads: ``ningbo``, ``ptbxl``, ``cpsc2018`` and ``chapman``.

    No two of them have a recording or a patient in common.

    Parameters
    ----------
    folder : Path
        A new or empty folder; it is written completely or not at all.
    records : int
        Recordings of each download.
    seed : int
        Of all randomness.

    Raises
    ------
    LfbtError
        If `folder` is not empty, or `records` or `seed` is out of range.
    """
    check_count_and_seed(records, seed, most=_NINGBO_RECORDS)
    writers = {"ningbo": write_ningbo, "ptbxl": write_ptbxl, "cpsc2018": write_cpsc2018, "chapman": write_chapman}
    with atomic_folder(folder) as unfinished:
        for name, write in writers.items():
            (unfinished / name).mkdir()
            write(unfinished / name, records, seed)


def write_ningbo(folder: Path, records: int, seed: int) -> None:
    """Write synthetic recordings in the form of Ningbo in the Challenge 2021, from JS10647 on, 1000 to a folder.

    Each is a header with a SNOMED CT code and a MATLAB 4 file of 16-bit samples, 1 µV a step, of 10 s at 500 Hz. Raises
    LfbtError for a count or seed out of range.
    """
    check_count_and_seed(records, seed, most=_NINGBO_RECORDS)
    for number in range(1, records + 1):
        finding = assign_finding(seed, number, tuple(_NINGBO))
        name = f"JS{_NINGBO_FIRST + number - 1:05d}"
        group = folder / f"g{(number - 1) // 1000 + 1}"
        group.mkdir(parents=True, exist_ok=True)
        steps = np.clip(np.round(1000 * make_signal(FINDINGS[finding], _rng(seed, 3, number))), -32767, 32767)
        write_challenge(group / name, steps.astype("<i2"), _NINGBO[finding])
    write_json(folder / MARKER, marker_content(records, seed))


def write_cpsc2018(folder: Path, records: int, seed: int) -> None:
    """Write synthetic recordings in the form of CPSC2018, from A0001 on.

    Each is a MATLAB 5 file with a struct ``ECG`` in mV at 500 Hz, of 8, 10 or 16 s. REFERENCE.csv has the labels 1 to
    9; one recording in twenty has two. Raises LfbtError for a count or seed out of range.
    """
    import scipy.io

    check_count_and_seed(records, seed, most=9_999)
    rows: list[Sequence[object]] = [("Recording", "First_label", "Second_label", "Third_label")]
    for number in range(1, records + 1):
        name, rng = f"A{number:04d}", _rng(seed, 4, number)
        finding = assign_finding(seed, number, _CPSC2018)
        labels, generated = [_CPSC2018.index(finding) + 1], FINDINGS[finding]
        if number % 20 == 10:
            labels, generated = [2, 5], Finding("CRBBB", rr_variation=(0.15, 0.25), p_amplitude=0.0)
        n_samples = _CPSC2018_SAMPLES[number % 4]
        signal = np.concatenate([make_signal(generated, rng), make_signal(generated, rng)], axis=1)[:, :n_samples]
        age = int(rng.integers(20, 90))
        ecg = {"sex": ("Female", "Male")[number % 2], "age": age, "data": np.round(signal, 4)}
        scipy.io.savemat(folder / f"{name}.mat", {"ECG": ecg}, do_compression=True)
        rows.append((name, *labels, *[""] * (3 - len(labels))))
    write_csv(folder / "REFERENCE.csv", rows)
    write_json(folder / MARKER, marker_content(records, seed))


def write_chapman(folder: Path, records: int, seed: int) -> None:
    """Write synthetic recordings in the form of Chapman-Shaoxing on figshare.

    Each is a CSV file in µV in ``ECGData``: a header row of lead names, then 5000 rows of 10 s at 500 Hz.
    ``Diagnostics.xlsx`` has the rhythms. Raises LfbtError for a count or seed out of range.
    """
    import openpyxl
    import pandas as pd

    check_count_and_seed(records, seed, most=99_999)
    (folder / "ECGData").mkdir(parents=True, exist_ok=True)
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet()
    sheet.append(["FileName", "Rhythm", "Beat", "PatientAge", "Gender"])
    for number in range(1, records + 1):
        finding = assign_finding(seed, number, tuple(_CHAPMAN))
        name, rng = f"MUSE_20180101_{number:06d}_00000", _rng(seed, 5, number)
        steps = np.round(1000 * make_signal(FINDINGS[finding], rng)).astype(int)
        pd.DataFrame(steps.T, columns=list(STANDARD_LEADS)).to_csv(folder / "ECGData" / f"{name}.csv", index=False)
        age = int(rng.integers(20, 90))
        sheet.append([name, _CHAPMAN[finding], "NONE", age, ("FEMALE", "MALE")[number % 2]])
    book.save(folder / "Diagnostics.xlsx")
    write_json(folder / MARKER, marker_content(records, seed))


def assign_finding(seed: int, number: int, among: Sequence[str]) -> str:
    """Assign a finding to recording `number`, from 1: each of `among` once in as many recordings, shuffled."""
    block, position = divmod(number - 1, len(among))
    return among[int(np.random.default_rng([seed, 6, block]).permutation(len(among))[position])]


def _rng(seed: int, download: int, number: int) -> np.random.Generator:
    return np.random.default_rng([seed, download, number])


def write_challenge(path: Path, steps: NDArray[np.int16], code: str) -> None:
    """Write `steps` ``[12, samples]`` of 1 µV in the form of the Challenge: a header, and a MATLAB 4 matrix ``val``.

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
