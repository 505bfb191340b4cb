"""Seeded synthetic 12-lead ECG of known classes, for trials and tests: no patient's data, no evidence about real ECG.

A heart is a dipole that moves in space: P, Q, R, S, ST and T are Gaussian bumps in time, each along a direction, and a
lead is the projection of their sum on the lead's own vector. The classes NORM, MI, STTC, CD and HYP are textbook
changes of these bumps, of a severity that overlaps with what healthy hearts vary. Heart rate, amplitude, axis,
electrodes and noise vary without regard to class. Directions are x to the left arm, y to the feet, z to the back.
"""

from __future__ import annotations

import csv
import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lfbt.errors import LfbtError
from lfbt.recording import STANDARD_LEADS
from lfbt.utils.json_files import write_json

Array = NDArray[np.float64]

SAMPLING_RATE = 500.0
SAMPLES = 5000
CLASSES = ("NORM", "MI", "STTC", "CD", "HYP")
#: The file in a synthetic folder that says how it was made.
MARKER = "synthetic.json"

# The electrodes' own leads and their vectors: the transform of G. E. Dower from the orthogonal leads x, y, z.
_MEASURED = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
_LEAD_VECTORS = np.array(
    [
        [0.632, -0.235, 0.059],
        [0.235, 1.066, -0.132],
        [-0.515, 0.157, -0.917],
        [0.044, 0.164, -1.387],
        [0.882, 0.098, -1.277],
        [1.213, 0.127, -0.601],
        [1.125, 0.127, -0.086],
        [0.831, 0.076, 0.230],
    ]
)
# The other limb leads follow from I and II (Einthoven, Goldberger).
_DERIVED = np.array([[-1.0, 1.0], [-0.5, -0.5], [1.0, -0.5], [-0.5, 1.0]])

# Seconds after the R peak; what comes later belongs to ST and T.
_ST_BEGINS = 0.1

# The code that a record carries for each class, and where the damage of an infarction lies.
_CODES = {"NORM": ("NORM",), "MI": ("AMI", "IMI", "LMI"), "STTC": ("NST_",), "CD": ("CLBBB", "CRBBB"), "HYP": ("LVH",)}
_TERRITORIES = {"AMI": (0.25, 0.0, -1.0), "IMI": (-0.1, 1.0, 0.1), "LMI": (1.0, -0.35, 0.1)}
_STATEMENTS = (
    ("NORM", "healthy heart", "NORM", "NORM"),
    ("AMI", "infarction of the front wall", "MI", "AMI"),
    ("IMI", "infarction of the lower wall", "MI", "IMI"),
    ("LMI", "infarction of the side wall", "MI", "LMI"),
    ("NST_", "ST segment and T wave changed", "STTC", "NST_"),
    ("CLBBB", "left bundle branch blocked", "CD", "CLBBB"),
    ("CRBBB", "right bundle branch blocked", "CD", "CRBBB"),
    ("LVH", "left ventricle enlarged", "HYP", "LVH"),
    ("SR", "rhythm from the sinus node", "", ""),
)
_DATABASE_COLUMNS = ("ecg_id", "patient_id", "report", "scp_codes", "strat_fold", "filename_lr", "filename_hr")
_STATEMENT_COLUMNS = ("", "description", "diagnostic", "rhythm", "diagnostic_class", "diagnostic_subclass")
# Seconds by which a first-degree block puts the P wave further ahead.
_PQ_LONGER = 0.12
# Of 20 patients in a row: 40 % healthy, 15 % of each disease.
_TWENTY = ("NORM",) * 8 + ("MI", "STTC", "CD", "HYP") * 3
# The folds in the order in which the patients of a class fill them, so that small sets have a val and a test fold.
_FOLDS = (1, 10, 9, 2, 3, 4, 5, 6, 7, 8)


@dataclasses.dataclass(frozen=True)
class SyntheticRecord:
    """One synthetic recording: signal ``[12, 5000]`` in mV at 500 Hz, leads in the standard order.

    codes: the SCP codes it carries; main_class: the class of its patient, which decides the patient's fold.
    """

    signal: Array
    patient: int
    main_class: str
    codes: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Finding:
    """What sets a recording apart: the SCP code of a disease, beats a minute, and how the rhythm is.

    irregular: the range of the beats' standard deviation, a part of their interval; p_wave: a factor on it; early:
    every fourth beat comes early, as a narrow one or as a wide one without P wave.
    """

    code: str = ""
    rate: tuple[float, float] = (45.0, 125.0)
    irregular: tuple[float, float] = (0.005, 0.06)
    p_wave: float = 1.0
    pq_longer: float = 0.0
    early: Literal["", "narrow", "wide"] = ""


#: Findings by name, for downloads that are labelled by rhythm or by other classes than PTB-XL's.
FINDINGS = {
    "normal": Finding(rate=(62.0, 98.0)),
    "slow": Finding(rate=(40.0, 58.0)),
    "fast": Finding(rate=(105.0, 150.0)),
    "atrial fibrillation": Finding(rate=(65.0, 130.0), irregular=(0.15, 0.25), p_wave=0.0),
    "first-degree block": Finding(rate=(55.0, 90.0), pq_longer=_PQ_LONGER),
    "left bundle branch block": Finding("CLBBB"),
    "right bundle branch block": Finding("CRBBB"),
    "early atrial beats": Finding(rate=(55.0, 90.0), early="narrow"),
    "early ventricular beats": Finding(rate=(55.0, 90.0), early="wide"),
    "ST depressed": Finding("NST_"),
    "ST elevated": Finding("AMI"),
}


@dataclasses.dataclass(frozen=True)
class _Wave:
    """A bump of the heart's dipole: centre and width (one sigma) in seconds from the R peak, vector in mV."""

    centre: float
    width: float
    vector: Array


def patient_of(number: int) -> int:
    """The patient of record `number`, both counted from 1: every sixth patient has two recordings."""
    block, place = divmod(number - 1, 7)
    return 6 * block + min(place, 5) + 1


def class_of_patient(seed: int, patient: int) -> str:
    """The class of a patient: of 20 in a row 8 are NORM and 3 of each other class, in an order that `seed` sets."""
    block, place = divmod(patient - 1, len(_TWENTY))
    return _TWENTY[int(np.random.default_rng([seed, 0, block]).permutation(len(_TWENTY))[place])]


def make_record(seed: int, number: int) -> SyntheticRecord:
    """Record `number` (from 1) of the set with `seed`: the same whatever other records are made."""
    patient = patient_of(number)
    main_class = class_of_patient(seed, patient)
    of_patient = np.random.default_rng([seed, 1, patient])
    of_record = np.random.default_rng([seed, 2, number])
    codes: tuple[str, ...] = (str(of_patient.choice(_CODES[main_class])),)
    chance = of_record.random()
    if main_class != "NORM" and chance < 0.06:
        other = of_record.choice([name for name in CLASSES[1:] if name != main_class])
        codes += (str(of_record.choice(_CODES[str(other)])),)
    elif main_class == "NORM" and chance < 0.06:
        codes = ()
    severities = {code: float(of_record.beta(2.4, 1.5)) for code in codes}
    return SyntheticRecord(_record(_person(of_patient), severities, of_record), patient, main_class, (*codes, "SR"))


def make_signal(finding: Finding, rng: np.random.Generator) -> Array:
    """``[12, 5000]`` mV of a patient drawn from `rng` who has `finding`."""
    p, *others = _person(rng)
    p = dataclasses.replace(p, centre=p.centre - finding.pq_longer, vector=finding.p_wave * p.vector)
    waves = [p, *others]
    if finding.code:
        waves = diseased(waves, finding.code, float(rng.beta(2.4, 1.5)))
    beats = _beats(rng, finding.rate, finding.irregular)
    if not finding.early:
        return _measured(dipole(waves, beats), rng)
    early = np.arange(len(beats)) % 4 == rng.integers(4)
    beats = beats - 0.35 * early * np.diff(beats, prepend=2 * beats[0] - beats[1])
    if finding.early == "narrow":
        return _measured(dipole(waves, beats), rng)
    return _measured(dipole(waves, beats[~early]) + dipole(_wide(waves), beats[early]), rng)


def _wide(waves: Sequence[_Wave]) -> list[_Wave]:
    """A beat from a ventricle: no P wave, a wide QRS that goes another way, and a T wave against it."""
    r, t = waves[2], waves[5]
    turned = 1.3 * _rotation(np.radians([0.0, 60.0, 100.0])) @ r.vector
    return [_Wave(0.0, 2.8 * r.width, turned), dataclasses.replace(t, width=1.3 * t.width, vector=-0.4 * turned)]


def _record(waves: Sequence[_Wave], severities: Mapping[str, float], rng: np.random.Generator) -> Array:
    """``[12, 5000]`` mV of a heart whose healthy beat is `waves`, with diseases, a rhythm, electrodes and noise."""
    for code, severity in severities.items():
        waves = diseased(waves, code, severity)
    return _measured(dipole(waves, _beats(rng)), rng)


def _measured(heart: Array, rng: np.random.Generator) -> Array:
    """``[12, samples]`` mV of the dipole ``[3, samples]`` of a heart, with electrodes and noise."""
    return twelve_leads(_disturbed(_LEAD_VECTORS @ _electrode_place(rng) @ heart, rng))


def twelve_leads(measured: Array) -> Array:
    """The standard twelve leads ``[12, samples]`` from I, II, V1-V6 ``[8, samples]``, limb leads by Einthoven's law."""
    return np.concatenate([measured[:2], _DERIVED @ measured[:2], measured[2:]])


def dipole(waves: Sequence[_Wave], beats: Array) -> Array:
    """The heart's dipole ``[3, 5000]`` in mV with R peaks at `beats`, in seconds.

    What follows the QRS keeps its distance to it in proportion to the square root of the beat's interval.
    """
    intervals = np.diff(beats, append=2 * beats[-1] - beats[-2])
    centres, widths = np.array([[wave.centre, wave.width] for wave in waves]).T[:, :, None]
    vectors = np.array([wave.vector for wave in waves]).T
    late = centres > _ST_BEGINS
    times = np.arange(SAMPLES) / SAMPLING_RATE
    total = np.zeros((3, SAMPLES))
    for beat, interval in zip(beats, intervals, strict=True):
        stretch = np.where(late, np.sqrt(np.clip(interval, 0.35, 1.5)), 1.0)
        near = slice(*np.searchsorted(times, [beat - 0.4, beat + 0.8]))
        bumps = np.exp(-0.5 * ((times[near] - beat - stretch * centres) / (stretch * widths)) ** 2)
        total[:, near] += vectors @ bumps
    return total


def _person(rng: np.random.Generator) -> list[_Wave]:
    """The healthy beat of one person: P, Q, R, S, ST and T, varied in amplitude, width and axis."""
    qrs, t_wave = np.exp(rng.normal(0.0, 0.28)), np.exp(rng.normal(0.0, 0.4))
    slow = np.exp(rng.normal(0.0, 0.12))
    pq = rng.uniform(0.12, 0.2)
    waves = [
        _Wave(-pq, 0.022, np.exp(rng.normal(0.0, 0.3)) * np.array([0.08, 0.11, -0.03])),
        _Wave(-0.028 * slow, 0.010 * slow, qrs * np.exp(rng.normal(0.0, 0.4)) * np.array([-0.12, -0.05, -0.25])),
        _Wave(0.0, 0.013 * slow, qrs * np.array([1.0, 0.85, 0.25])),
        _Wave(0.030 * slow, 0.013 * slow, qrs * np.exp(rng.normal(0.0, 0.4)) * np.array([-0.15, -0.15, 0.55])),
        _Wave(0.13, 0.035, rng.normal(0.0, 0.03, 3)),
        _Wave(rng.uniform(0.26, 0.31), 0.045, t_wave * np.array([0.28, 0.22, -0.14]) + rng.normal(0.0, 0.05, 3)),
    ]
    turn = _rotation(rng.normal(0.0, np.radians([13.0, 9.0, 15.0])))
    return [dataclasses.replace(wave, vector=turn @ wave.vector) for wave in waves]


def diseased(waves: Sequence[_Wave], code: str, severity: float) -> list[_Wave]:
    """`waves` (P, Q, R, S, ST, T, and what is added) as the disease `code` of `severity` 0 to 1 changes them."""
    p, q, r, s, st, t, *added = waves
    size = float(np.linalg.norm(r.vector))
    if code in _TERRITORIES:
        # Dead muscle gives no forces: the QRS begins away from it, and injured muscle draws the ST segment to it.
        towards = size * np.array(_TERRITORIES[code])
        q = _Wave(q.centre, q.width * (1 + 0.4 * severity), q.vector - 0.4 * severity * towards)
        r = _plus(r, -0.2 * severity * towards)
        st = _plus(st, 0.16 * severity * towards)
        t = _plus(t, -0.1 * severity * towards)
    elif code == "NST_":
        st = _plus(st, -0.13 * severity * r.vector)
        t = dataclasses.replace(t, vector=(1 - 1.3 * severity) * t.vector)
    elif code == "CLBBB":
        late = size * severity * np.array([0.7, 0.1, 0.55])
        q = dataclasses.replace(q, vector=(1 - severity) * q.vector)
        r = dataclasses.replace(r, width=r.width * (1 + 0.8 * severity))
        added.append(_Wave(0.05, 0.016 * (1 + 0.4 * severity), late))
        st, t = _plus(st, -0.12 * late), _plus(t, -0.35 * late)
    elif code == "CRBBB":
        late = size * severity * np.array([-0.45, -0.05, -0.5])
        added.append(_Wave(0.055, 0.018, late))
        t = _plus(t, -0.3 * late)
    elif code == "LVH":
        # The thick left ventricle pulls the horizontal forces left and back, and repolarises against them.
        grown = np.array([1 + 0.7 * severity, 1 + 0.15 * severity, 1 + 0.9 * severity])
        r, s = (dataclasses.replace(wave, vector=grown * wave.vector) for wave in (r, s))
        st = _plus(st, -0.07 * severity * r.vector)
        t = _plus(t, -0.16 * severity * r.vector)
    return [p, q, r, s, st, t, *added]


def _plus(wave: _Wave, vector: Array) -> _Wave:
    return dataclasses.replace(wave, vector=wave.vector + vector)


def _beats(
    rng: np.random.Generator,
    rate: tuple[float, float] = Finding.rate,
    irregular: tuple[float, float] = Finding.irregular,
) -> Array:
    """The times of R peaks in seconds, from before the recording to after it, with breathing and irregularity."""
    interval = 60.0 / rng.uniform(*rate)
    count = int(SAMPLES / SAMPLING_RATE / interval) + 6
    breathing = rng.uniform(0.0, 0.08) * np.sin(
        2 * np.pi * (rng.uniform(0.15, 0.35) * interval * np.arange(count) + rng.random())
    )
    intervals = interval * np.clip(1 + breathing + rng.normal(0.0, rng.uniform(*irregular), count), 0.6, 1.6)
    beats: Array = np.cumsum(intervals) - intervals[0] - interval * (1 + rng.random())
    return beats


def _electrode_place(rng: np.random.Generator) -> Array:
    """How the heart lies below the electrodes in this recording: a small turn."""
    return _rotation(rng.normal(0.0, np.radians(6.0), 3))


def _rotation(angles: Array) -> Array:
    """The rotation ``[3, 3]`` by `angles` about x, then y, then z."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(angles), np.sin(angles)
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    turned: Array = about_z @ about_y @ about_x
    return turned


def _disturbed(measured: Array, rng: np.random.Generator) -> Array:
    """`measured` ``[8, samples]`` as the electrodes see it: gains, baseline wander, muscle noise and mains hum."""
    n_leads, n_samples = measured.shape
    times = np.arange(n_samples) / SAMPLING_RATE
    gains = np.exp(rng.normal(0.0, 0.12, (n_leads, 1)))
    wander = np.zeros_like(measured)
    for _ in range(3):
        rate, phase = rng.uniform(0.05, 0.6), rng.uniform(0, 2 * np.pi, (n_leads, 1))
        wander += rng.normal(0.0, 0.13, (n_leads, 1)) * np.sin(2 * np.pi * rate * times + phase)
    white = rng.normal(0.0, 1.0, (n_leads, n_samples + 2))
    muscle = (white[:, 2:] - 0.5 * white[:, :-2]) * rng.uniform(0.005, 0.09) * rng.uniform(0.5, 1.5, (n_leads, 1))
    hum = rng.exponential(0.02, (n_leads, 1)) * np.sin(2 * np.pi * 50.0 * times + rng.uniform(0, 2 * np.pi))
    disturbed: Array = gains * measured + wander + muscle + hum
    return disturbed


def made_with(records: int, seed: int) -> dict[str, object]:
    """What the marker of a folder of `records` synthetic records says; `version` changes with the signals."""
    return {"version": 1, "records": records, "seed": seed}


def check_made(records: int, seed: int, most: int) -> None:
    """Raise LfbtError unless so many records, from 1 on, can be made with `seed`."""
    if not 1 <= records <= most:
        raise LfbtError(f"records: {records} is not 1 to {most}; give the number of synthetic records")
    if seed < 0:
        raise LfbtError(f"seed: {seed} is negative; give 0 or more")


def write_ptbxl(folder: Path, records: int, seed: int) -> None:
    """Write synthetic records 1 to `records` into `folder` in PTB-XL's published form.

    ``ptbxl_database.csv``, ``scp_statements.csv``, ``records500/`` (WFDB, 16 bit, 1 µV a step) and the marker. The
    folds 1 to 10 hold whole patients and are filled class by class. Raises LfbtError for a count or seed out of range.
    """
    check_made(records, seed, most=99_999)
    fold_of: dict[int, int] = {}
    patients = Counter[str]()
    rows = []
    for number in range(1, records + 1):
        record = make_record(seed, number)
        if record.patient not in fold_of:
            fold_of[record.patient] = _FOLDS[patients[record.main_class] % len(_FOLDS)]
            patients[record.main_class] += 1
        place = f"{number // 1000 * 1000:05d}/{number:05d}"
        _write_wfdb(folder / f"records500/{place}_hr", record.signal)
        codes = {code: 0.0 if code == "SR" else 100.0 for code in record.codes}
        report = "SYNTHETIC, no patient"
        files = (f"records100/{place}_lr", f"records500/{place}_hr")
        rows.append((number, float(record.patient), report, str(codes), fold_of[record.patient], *files))
    write_csv(folder / "ptbxl_database.csv", [_DATABASE_COLUMNS, *rows])
    statements = [
        (code, text, "1.0" if name else "", "" if name else "1.0", name, subclass)
        for code, text, name, subclass in _STATEMENTS
    ]
    write_csv(folder / "scp_statements.csv", [_STATEMENT_COLUMNS, *statements])
    write_json(folder / MARKER, made_with(records, seed))


def write_csv(path: Path, rows: Sequence[Sequence[object]]) -> None:
    """Write the rows of a table, the first of them its columns."""
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)


def _write_wfdb(path: Path, signal: Array) -> None:
    """Write `signal` ``[12, samples]`` in mV as the WFDB record `path`, a name without suffix.

    By hand, for wfdb.wrsamp takes some thirty times as long: format 16 of signal(5), the header of header(5).
    """
    steps = np.clip(np.round(signal * 1000), -32767, 32767).astype("<i2")
    header = [f"{path.name} {len(steps)} {SAMPLING_RATE:g} {steps.shape[1]}"]
    for lead, row in zip(STANDARD_LEADS, steps, strict=True):
        checksum = int(row.sum(dtype=np.int64)) % 65536
        header.append(f"{path.name}.dat 16 1000.0(0)/mV 16 0 {row[0]} {checksum} 0 {lead.upper()}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".dat").write_bytes(steps.T.tobytes())
    path.with_suffix(".hea").write_text("\n".join(header) + "\n", encoding="ascii")
