"""Seeded synthetic 12-lead ECG of known classes, for trials and tests: no patient's data, no evidence about real ECG.

The heart is a dipole whose vector changes over time: P, Q, R, S, ST and T are Gaussian waves, each along a direction of
its own, and a lead is the projection of their sum on the lead's vector. The classes NORM, MI, STTC, CD and HYP change
these waves as textbooks describe, with a severity that overlaps with the variation of healthy hearts. Heart rate,
amplitude, axis, electrode placement and noise are independent of the class. Axes are x to the left arm, y to the feet,
z to the back.
"""

from __future__ import annotations

import csv
import dataclasses
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lfbt.errors import LfbtError
from lfbt.recording import STANDARD_LEADS
from lfbt.utils.files import write_json
from lfbt.vectorcardiogram import LEAD_VECTORS

Array = NDArray[np.float64]

SAMPLING_RATE = 500.0
SAMPLES = 5000
CLASSES = ("NORM", "MI", "STTC", "CD", "HYP")
#: The file that marks a folder of synthetic recordings and holds the parameters of their generation.
MARKER = "synthetic.json"

# III, aVR, aVL and aVF from I and II (Einthoven, Goldberger).
_FROM_I_AND_II = np.array([[-1.0, 1.0], [-0.5, -0.5], [1.0, -0.5], [-0.5, 1.0]])

# Seconds after the R peak at which the ST segment begins.
_ST_BEGINS = 0.1

# The SCP codes of each class, and the direction of each infarction.
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
_STATEMENT_COLUMNS = ("", "description", "diagnostic", "form", "rhythm", "diagnostic_class", "diagnostic_subclass")
# A diagnosis that states a form, too, as in the published table.
_FORM = ("NST_",)
# Seconds by which a first-degree AV block prolongs the PQ interval.
_PQ_PROLONGATION = 0.12
# Of 20 consecutive patients: 40 % healthy, 15 % of each disease.
_CLASSES_OF_TWENTY = ("NORM",) * 8 + ("MI", "STTC", "CD", "HYP") * 3
# The folds in the order in which the patients of a class fill them, so that small sets have a val and a test fold.
_FOLDS = (1, 10, 9, 2, 3, 4, 5, 6, 7, 8)


@dataclasses.dataclass(frozen=True)
class SyntheticRecord:
    """One synthetic recording: signal ``[12, 5000]`` in mV at 500 Hz, leads in the standard order.

    patient_class: the class of the patient, by which patients are distributed over folds; codes: the SCP codes.
    """

    signal: Array
    patient: int
    patient_class: str
    codes: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Finding:
    """A finding: the SCP code of a disease, and the rhythm.

    heart_rate: range in beats a minute; rr_variation: range of the standard deviation of RR intervals, relative to
    their mean; p_amplitude: factor on the P wave; pq_prolongation: in seconds; premature: the origin of every fourth
    beat, which is premature then; a ventricular one is wide and has no P wave.
    """

    code: str = ""
    heart_rate: tuple[float, float] = (45.0, 125.0)
    rr_variation: tuple[float, float] = (0.005, 0.06)
    p_amplitude: float = 1.0
    pq_prolongation: float = 0.0
    premature: Literal["", "atrial", "ventricular"] = ""


#: Findings by name, for downloads whose labels are rhythms or other classes than those of PTB-XL.
FINDINGS = {
    "sinus rhythm": Finding(heart_rate=(62.0, 98.0)),
    "sinus bradycardia": Finding(heart_rate=(40.0, 58.0)),
    "sinus tachycardia": Finding(heart_rate=(105.0, 150.0)),
    "atrial fibrillation": Finding(heart_rate=(65.0, 130.0), rr_variation=(0.15, 0.25), p_amplitude=0.0),
    "first-degree AV block": Finding(heart_rate=(55.0, 90.0), pq_prolongation=_PQ_PROLONGATION),
    "left bundle branch block": Finding("CLBBB"),
    "right bundle branch block": Finding("CRBBB"),
    "premature atrial contractions": Finding(heart_rate=(55.0, 90.0), premature="atrial"),
    "premature ventricular contractions": Finding(heart_rate=(55.0, 90.0), premature="ventricular"),
    "ST depression": Finding("NST_"),
    "ST elevation": Finding("AMI"),
}


@dataclasses.dataclass(frozen=True)
class _Wave:
    """A Gaussian wave of the heart's dipole: centre and width (one sigma) in s from the R peak, vector in mV."""

    centre: float
    width: float
    vector: Array


def assign_patient(number: int) -> int:
    """Assign record `number` to a patient, both counted from 1: every sixth patient has two recordings."""
    block, position = divmod(number - 1, 7)
    return 6 * block + min(position, 5) + 1


def assign_class(seed: int, patient: int) -> str:
    """Assign a class to a patient: of 20 consecutive ones 8 are NORM and 3 of each other class, shuffled by `seed`."""
    block, position = divmod(patient - 1, len(_CLASSES_OF_TWENTY))
    return _CLASSES_OF_TWENTY[
        int(np.random.default_rng([seed, 0, block]).permutation(len(_CLASSES_OF_TWENTY))[position])
    ]


def make_record(seed: int, number: int) -> SyntheticRecord:
    """Generate record `number`, from 1, of the set with `seed`; other records do not change it."""
    patient = assign_patient(number)
    patient_class = assign_class(seed, patient)
    of_patient = np.random.default_rng([seed, 1, patient])
    of_record = np.random.default_rng([seed, 2, number])
    codes: tuple[str, ...] = (str(of_patient.choice(_CODES[patient_class])),)
    chance = of_record.random()
    if patient_class != "NORM" and chance < 0.06:
        other = of_record.choice([name for name in CLASSES[1:] if name != patient_class])
        codes += (str(of_record.choice(_CODES[str(other)])),)
    elif patient_class == "NORM" and chance < 0.06:
        codes = ()
    severities = {code: float(of_record.beta(2.4, 1.5)) for code in codes}
    waves = _draw_normal_beat(of_patient)
    for code, severity in severities.items():
        waves = apply_disease(waves, code, severity)
    signal = _record_leads(vectorcardiogram(waves, _draw_r_peaks(of_record)), of_record)
    return SyntheticRecord(signal, patient, patient_class, (*codes, "SR"))


def make_signal(finding: Finding, rng: np.random.Generator) -> Array:
    """Generate ``[12, 5000]`` in mV at 500 Hz of a random patient who has `finding`."""
    p, *others = _draw_normal_beat(rng)
    p = dataclasses.replace(p, centre=p.centre - finding.pq_prolongation, vector=finding.p_amplitude * p.vector)
    waves = [p, *others]
    if finding.code:
        waves = apply_disease(waves, finding.code, float(rng.beta(2.4, 1.5)))
    beats = _draw_r_peaks(rng, finding.heart_rate, finding.rr_variation)
    if not finding.premature:
        return _record_leads(vectorcardiogram(waves, beats), rng)
    early = np.arange(len(beats)) % 4 == rng.integers(4)
    beats = beats - 0.35 * early * np.diff(beats, prepend=2 * beats[0] - beats[1])
    if finding.premature == "atrial":
        return _record_leads(vectorcardiogram(waves, beats), rng)
    sinus, ectopic = vectorcardiogram(waves, beats[~early]), vectorcardiogram(_ventricular_beat(waves), beats[early])
    return _record_leads(sinus + ectopic, rng)


def _ventricular_beat(waves: Sequence[_Wave]) -> list[_Wave]:
    """Turn a normal beat into a ventricular one: no P wave, a wide QRS of another axis, a discordant T wave."""
    r, t = waves[2], waves[5]
    turned = 1.3 * _rotation(np.radians([0.0, 60.0, 100.0])) @ r.vector
    return [_Wave(0.0, 2.8 * r.width, turned), dataclasses.replace(t, width=1.3 * t.width, vector=-0.4 * turned)]


def _record_leads(heart: Array, rng: np.random.Generator) -> Array:
    """Project a vectorcardiogram ``[3, samples]`` on the leads ``[12, samples]`` in mV, with electrodes and noise."""
    return twelve_leads(_add_artefacts(LEAD_VECTORS @ _draw_electrode_rotation(rng) @ heart, rng))


def twelve_leads(independent: Array) -> Array:
    """Compute the standard leads ``[12, samples]`` from I, II, V1-V6 ``[8, samples]``, others by Einthoven's law."""
    return np.concatenate([independent[:2], _FROM_I_AND_II @ independent[:2], independent[2:]])


def vectorcardiogram(waves: Sequence[_Wave], beats: Array) -> Array:
    """Compute the heart's dipole ``[3, 5000]`` in mV with R peaks at `beats`, in seconds.

    The distance of ST and T from the QRS is proportional to the square root of the RR interval (Bazett).
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
        gaussians = np.exp(-0.5 * ((times[near] - beat - stretch * centres) / (stretch * widths)) ** 2)
        total[:, near] += vectors @ gaussians
    return total


def _draw_normal_beat(rng: np.random.Generator) -> list[_Wave]:
    """Draw the normal beat of one person: P, Q, R, S, ST and T, varied in amplitude, width and axis."""
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


def apply_disease(waves: Sequence[_Wave], code: str, severity: float) -> list[_Wave]:
    """Change `waves` (P, Q, R, S, ST, T, and further ones) as the disease `code` does, of `severity` 0 to 1."""
    p, q, r, s, st, t, *added = waves
    size = float(np.linalg.norm(r.vector))
    if code in _TERRITORIES:
        # Necrotic muscle has no forces: the QRS begins away from it; the injury current directs the ST vector to it.
        towards = size * np.array(_TERRITORIES[code])
        q = _Wave(q.centre, q.width * (1 + 0.4 * severity), q.vector - 0.4 * severity * towards)
        r = _add_vector(r, -0.2 * severity * towards)
        st = _add_vector(st, 0.16 * severity * towards)
        t = _add_vector(t, -0.1 * severity * towards)
    elif code == "NST_":
        st = _add_vector(st, -0.13 * severity * r.vector)
        t = dataclasses.replace(t, vector=(1 - 1.3 * severity) * t.vector)
    elif code == "CLBBB":
        late = size * severity * np.array([0.7, 0.1, 0.55])
        q = dataclasses.replace(q, vector=(1 - severity) * q.vector)
        r = dataclasses.replace(r, width=r.width * (1 + 0.8 * severity))
        added.append(_Wave(0.05, 0.016 * (1 + 0.4 * severity), late))
        st, t = _add_vector(st, -0.12 * late), _add_vector(t, -0.35 * late)
    elif code == "CRBBB":
        late = size * severity * np.array([-0.45, -0.05, -0.5])
        added.append(_Wave(0.055, 0.018, late))
        t = _add_vector(t, -0.3 * late)
    elif code == "LVH":
        # The thick left ventricle has larger forces to the left and back, and a discordant repolarisation (strain).
        grown = np.array([1 + 0.7 * severity, 1 + 0.15 * severity, 1 + 0.9 * severity])
        r, s = (dataclasses.replace(wave, vector=grown * wave.vector) for wave in (r, s))
        st = _add_vector(st, -0.07 * severity * r.vector)
        t = _add_vector(t, -0.16 * severity * r.vector)
    return [p, q, r, s, st, t, *added]


def _add_vector(wave: _Wave, vector: Array) -> _Wave:
    return dataclasses.replace(wave, vector=wave.vector + vector)


def _draw_r_peaks(
    rng: np.random.Generator,
    heart_rate: tuple[float, float] = Finding.heart_rate,
    rr_variation: tuple[float, float] = Finding.rr_variation,
) -> Array:
    """Draw the times of R peaks in seconds, from before the recording to after it, with respiratory arrhythmia."""
    interval = 60.0 / rng.uniform(*heart_rate)
    count = int(SAMPLES / SAMPLING_RATE / interval) + 6
    breathing = rng.uniform(0.0, 0.08) * np.sin(
        2 * np.pi * (rng.uniform(0.15, 0.35) * interval * np.arange(count) + rng.random())
    )
    intervals = interval * np.clip(1 + breathing + rng.normal(0.0, rng.uniform(*rr_variation), count), 0.6, 1.6)
    beats: Array = np.cumsum(intervals) - intervals[0] - interval * (1 + rng.random())
    return beats


def _draw_electrode_rotation(rng: np.random.Generator) -> Array:
    """Draw a small rotation of the heart against the electrodes of one recording."""
    return _rotation(rng.normal(0.0, np.radians(6.0), 3))


def _rotation(angles: Array) -> Array:
    """Compute the rotation ``[3, 3]`` by `angles` in rad about x, then y, then z."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(angles), np.sin(angles)
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    turned: Array = about_z @ about_y @ about_x
    return turned


def _add_artefacts(leads: Array, rng: np.random.Generator) -> Array:
    """Add gain errors, baseline wander, muscle noise and mains hum to leads ``[8, samples]`` in mV."""
    n_leads, n_samples = leads.shape
    times = np.arange(n_samples) / SAMPLING_RATE
    gains = np.exp(rng.normal(0.0, 0.12, (n_leads, 1)))
    wander = np.zeros_like(leads)
    for _ in range(3):
        rate, phase = rng.uniform(0.05, 0.6), rng.uniform(0, 2 * np.pi, (n_leads, 1))
        wander += rng.normal(0.0, 0.13, (n_leads, 1)) * np.sin(2 * np.pi * rate * times + phase)
    white = rng.normal(0.0, 1.0, (n_leads, n_samples + 2))
    muscle = (white[:, 2:] - 0.5 * white[:, :-2]) * rng.uniform(0.005, 0.09) * rng.uniform(0.5, 1.5, (n_leads, 1))
    hum = rng.exponential(0.02, (n_leads, 1)) * np.sin(2 * np.pi * 50.0 * times + rng.uniform(0, 2 * np.pi))
    disturbed: Array = gains * leads + wander + muscle + hum
    return disturbed


def marker_content(records: int, seed: int) -> dict[str, object]:
    """Return the content of the MARKER of a folder; `version` changes with the signals."""
    return {"version": 1, "records": records, "seed": seed}


def check_count_and_seed(records: int, seed: int, most: int) -> None:
    """Raise LfbtError unless `records` is 1 to `most` and `seed` is not negative."""
    if not 1 <= records <= most:
        raise LfbtError(f"records: {records} is not 1 to {most}; give the number of synthetic records")
    if seed < 0:
        raise LfbtError(f"seed: {seed} is negative; give 0 or more")


def write_ptbxl(folder: Path, records: int, seed: int) -> None:
    """Write synthetic records in the published form of PTB-XL.

    Writes ``ptbxl_database.csv``, ``scp_statements.csv``, ``records500/`` (WFDB, 16 bit, 1 µV a step) and the MARKER.
    Folds 1 to 10 are patient-disjoint and stratified by class.

    Parameters
    ----------
    folder : Path
        An empty folder.
    records : int
        How many records, 1 to 99,999.
    seed : int
        Of all randomness.

    Raises
    ------
    LfbtError
        If `records` or `seed` is out of range.
    """
    check_count_and_seed(records, seed, most=99_999)
    fold_of: dict[int, int] = {}
    patients = Counter[str]()
    rows = []
    for number in range(1, records + 1):
        record = make_record(seed, number)
        if record.patient not in fold_of:
            fold_of[record.patient] = _FOLDS[patients[record.patient_class] % len(_FOLDS)]
            patients[record.patient_class] += 1
        path = f"{number // 1000 * 1000:05d}/{number:05d}"
        _write_wfdb(folder / f"records500/{path}_hr", record.signal)
        codes = {code: 0.0 if code == "SR" else 100.0 for code in record.codes}
        report = "SYNTHETIC, no patient"
        files = (f"records100/{path}_lr", f"records500/{path}_hr")
        rows.append((number, float(record.patient), report, str(codes), fold_of[record.patient], *files))
    write_csv(folder / "ptbxl_database.csv", [_DATABASE_COLUMNS, *rows])
    statements = [
        (code, text, "1.0" if name else "", "1.0" if code in _FORM else "", "" if name else "1.0", name, subclass)
        for code, text, name, subclass in _STATEMENTS
    ]
    write_csv(folder / "scp_statements.csv", [_STATEMENT_COLUMNS, *statements])
    write_json(folder / MARKER, marker_content(records, seed))


def write_csv(path: Path, rows: Sequence[Sequence[object]]) -> None:
    """Write the rows of a CSV table; the first one is the header."""
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)


def _write_wfdb(path: Path, signal: Array) -> None:
    """Write `signal` ``[12, samples]`` in mV as the WFDB record `path`, a name without suffix.

    Format 16 of signal(5), header of header(5); wfdb.wrsamp takes about thirty times as long.
    """
    steps = np.clip(np.round(signal * 1000), -32767, 32767).astype("<i2")
    header = [f"{path.name} {len(steps)} {SAMPLING_RATE:g} {steps.shape[1]}"]
    for lead, row in zip(STANDARD_LEADS, steps, strict=True):
        checksum = int(row.sum(dtype=np.int64)) % 65536
        header.append(f"{path.name}.dat 16 1000.0(0)/mV 16 0 {row[0]} {checksum} 0 {lead.upper()}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".dat").write_bytes(steps.T.tobytes())
    path.with_suffix(".hea").write_text("\n".join(header) + "\n", encoding="ascii")
