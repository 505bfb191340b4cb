"""``python -m benchmarks.reading``: inputs of many kinds whose right value is known, and what lfbt made of them."""

from __future__ import annotations

import argparse
import collections
import dataclasses
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import lfbt
from benchmarks.render import with_section
from lfbt.data.preparation import prepare_dataset
from lfbt.data.records import PrepareSettings
from lfbt.errors import LfbtError
from lfbt.evaluation.bootstrap import intervals
from lfbt.evaluation.metrics import choose_thresholds, evaluate
from lfbt.recording import STANDARD_LEADS
from lfbt.signal import fit_samples
from lfbt.sources import Folder

#: Outcomes, in the order of the table's columns. A refusal is one line that names the file or the value.
OUTCOMES = ("right", "refused", "wrong", "traceback")

_RATE = 500.0
_OPTIONS: dict[str, Any] = {"n_samples": 64, "workers": 1}


@dataclasses.dataclass(frozen=True)
class Case:
    """An input. read: makes a value of it; value: what is right; None where only a refusal is."""

    read: Callable[[], Any]
    value: Any
    tolerance: float = 0.0


Maker = Callable[[Path, np.random.Generator], Case]


def ecg(rng: np.random.Generator, n_leads: int = 3, n_samples: int = 2600) -> NDArray[np.float64]:
    """Voltages ``[leads, samples]`` in mV, of beats and noise."""
    t = np.arange(n_samples) / _RATE
    beats = np.exp(-(((t % 0.8) - 0.3) ** 2) / 2e-4)
    return rng.uniform(0.5, 1.5, (n_leads, 1)) * beats + 0.05 * rng.standard_normal((n_leads, n_samples))


# --- WFDB ---

_UNITS = {"mV": 1.0, "uV": 1e-3, "µV": 1e-3, "V": 1e3, "": 1.0}
_BITS = {"16": 16, "61": 16, "24": 24, "32": 32, "80": 8, "160": 16, "212": 12, "310": 10}


def encode(steps: NDArray[np.int64], form: str) -> bytes:
    """Encode samples ``[signals, samples]`` in a signal format, after signal(5) of the WFDB manual."""
    values = steps.T.ravel()
    if form in ("16", "61", "32"):
        return values.astype({"16": "<i2", "61": ">i2", "32": "<i4"}[form]).tobytes()
    if form == "160":
        return (values + 2**15).astype("<u2").tobytes()
    if form == "80":
        return (values + 2**7).astype("u1").tobytes()
    if form == "24":
        return values.astype("<i4").view("u1").reshape(-1, 4)[:, :3].tobytes()
    if form == "212":
        pairs = np.pad(values, (0, len(values) % 2)).reshape(-1, 2) % 2**12
        first, second = pairs.T
        return np.stack([first % 256, first // 256 + (second // 256) * 16, second % 256], axis=1).astype("u1").tobytes()
    # 310: three samples of ten bits in two words of 16.
    one, two, three = (np.pad(values, (0, -len(values) % 3)).reshape(-1, 3) % 2**10).T
    words = np.stack([one * 2 + (three % 32) * 2**11, two * 2 + (three // 32) * 2**11], axis=1)
    return words.astype("<u2").tobytes()


def write_wfdb(folder: Path, rng: np.random.Generator, form: str) -> NDArray[np.float64]:
    """Write a record ``r`` in a signal format; returns it in mV."""
    reach = min(2 ** (_BITS[form] - 1) - 1, 2**20)
    signal = ecg(rng)
    steps = np.round(signal / np.abs(signal).max() * reach * 0.9).astype(np.int64)
    (folder / "r.dat").write_bytes(encode(steps, form))
    unit = list(_UNITS)[rng.integers(len(_UNITS))]
    baseline = int(rng.integers(-5, 5))
    gain = float(f"{reach * 0.6 * _UNITS[unit]:.6f}")
    rate = ["500", "500.0", "5e2", "500/500", "500/500(0)"][rng.integers(5)]
    header = [f"r 3 {rate} {steps.shape[1]}"]
    for row, name in zip(steps, ("II", "V1", "V5"), strict=True):
        checksum = int(row.sum() + 2**15) % 2**16 - 2**15
        units = f"/{unit}" if unit else ""
        header.append(f"r.dat {form} {gain:.6f}({baseline}){units} {_BITS[form]} 0 {row[0]} {checksum} 0 {name}")
    encoding = ("utf-8", "latin-1")[rng.integers(2)]
    (folder / "r.hea").write_bytes(("\n".join(header) + "\n").encode(encoding))
    voltages: NDArray[np.float64] = (steps - baseline) / gain * _UNITS[unit]
    return voltages


def wfdb_headers(folder: Path, rng: np.random.Generator) -> Case:
    """Units, rates, gains and baselines, in every signal format."""
    signal = write_wfdb(folder, rng, list(_BITS)[rng.integers(len(_BITS))])
    return Case(lambda: _read(folder / "r.hea"), (("II", "V1", "V5"), _RATE, signal), 1e-5)


def wfdb_damage(folder: Path, rng: np.random.Generator) -> Case:
    """A signal file that is not the one of the header: a changed byte, cut, swapped bytes, leads one after another."""
    write_wfdb(folder, rng, "16")
    data = (folder / "r.dat").read_bytes()
    damage = rng.integers(5)
    if damage == 0:
        place = int(rng.integers(len(data)))
        changed = data[:place] + bytes([data[place] ^ (1 + int(rng.integers(255)))]) + data[place + 1 :]
    elif damage == 1:
        changed = data[: int(rng.integers(1, len(data)))]
    elif damage == 2:
        changed = np.frombuffer(data, "<i2").byteswap().tobytes()
    elif damage == 3:
        changed = np.ascontiguousarray(np.frombuffer(data, "<i2").reshape(-1, 3).T).tobytes()
    else:
        changed = bytes(int(rng.integers(1, 128))) + data
    (folder / "r.dat").write_bytes(changed)
    return Case(lambda: _read(folder / "r.hea"), None)


def wfdb_frames(folder: Path, rng: np.random.Generator) -> Case:
    """Several samples a frame: leads of one rate at that rate, leads of different rates refused."""
    n, alike = int(rng.integers(2, 5)), rng.random() < 0.5
    per_frame = [n, n, n] if alike else [n, 1, 1]
    frames = rng.integers(-300, 300, (500, sum(per_frame))).astype("<i2")
    frames.tofile(folder / "r.dat")
    ends = np.cumsum(per_frame)
    signals = [frames[:, end - k : end].ravel() for k, end in zip(per_frame, ends, strict=True)]
    lines = [f"r 3 125 {len(frames)}"]
    for k, values, name in zip(per_frame, signals, ("II", "V1", "V5"), strict=True):
        checksum = int(values.astype(np.int64).sum() + 2**15) % 2**16 - 2**15
        frame = f"x{k}" if k > 1 else ""
        lines.append(f"r.dat 16{frame} 200 16 0 {values[0]} {checksum} 0 {name}")
    (folder / "r.hea").write_text("\n".join(lines) + "\n")
    value = (("II", "V1", "V5"), 125.0 * n, np.array(signals) / 200) if alike else None
    return Case(lambda: _read(folder / "r.hea"), value, 1e-6)


# --- names and CSV ---

_SPELLINGS = ("{}", "Lead {}", "ECG {}", "EKG {}", "ECG-{}", "MDC_ECG_LEAD_{}", "lead_{}", "  {} ")
_NEGATED = ("-{}", "Lead -{}", "{}neg")


def lead_names(folder: Path, rng: np.random.Generator) -> Case:
    """A lead's name in the spellings that devices use, negated or not."""
    lead = STANDARD_LEADS[rng.integers(12)]
    name = [lead, lead.upper(), lead.lower()][rng.integers(3)]
    negated = rng.random() < 0.4
    spelling = (_NEGATED if negated else _SPELLINGS)[rng.integers(3 if negated else len(_SPELLINGS))]
    signal = ecg(rng, 1)
    text = f"{spelling.format(name)}\n" + "\n".join(f"{value:.6f}" for value in signal[0]) + "\n"
    (folder / "r.csv").write_text(text)
    value = ((lead,), _RATE, -signal if negated else signal)
    return Case(lambda: _read(folder / "r.csv", sampling_rate=_RATE), value, 1e-6)


# Columns of times, and their unit in seconds; the last are known by their values only.
_TIMES = (
    ("time", 1.0),
    ("time (s)", 1.0),
    ("Zeit [s]", 1.0),
    ("t (ms)", 1e-3),
    ("ms", 1e-3),
    ("temps", 1.0),
    ("aika", 1.0),
)


def csv_files(folder: Path, rng: np.random.Generator) -> Case:
    """Separators, decimal commas, a column of times that may tell the rate, units, comments, a byte order mark."""
    signal = ecg(rng, 3)
    comma = rng.random() < 0.3
    separator = [";", "\t"][rng.integers(2)] if comma else [",", ";", "\t"][rng.integers(3)]
    names = ["II", "V1", "V5"]
    header, leads = [(names, None), (["0", "1", "2"], names), (None, names)][rng.integers(3)]
    columns = [list(row) for row in signal]
    rate = _RATE
    given: float | None = _RATE
    if header is names and rng.random() < 0.5:
        wrong = rng.random() < 0.3
        time, step = _TIMES[rng.integers(len(_TIMES))]
        times = np.arange(signal.shape[1]) / (_RATE * (2 if wrong else 1) * step)
        header, columns = [time, *names], [list(times), *columns]
        if wrong:
            rate = -1.0
        elif "[" in time or "(" in time:
            given = [None, _RATE][rng.integers(2)]
    sign = "," if comma else "."
    rows = [separator.join(f"{value:.6f}".replace(".", sign) for value in row) for row in zip(*columns, strict=True)]
    if header is names and rng.random() < 0.3:
        rows.insert(0, separator.join(["mV"] * 3))
    if header is not None:
        rows.insert(0, separator.join(header))
    if rng.random() < 0.3:
        rows.insert(0, "# exported")
    mark = "\ufeff" if rng.random() < 0.3 else ""
    (folder / "r.csv").write_text(mark + "\n".join(rows) + "\n", encoding="utf-8")
    value = (tuple(names), _RATE, signal) if rate > 0 else None
    return Case(lambda: _read(folder / "r.csv", sampling_rate=given, leads=leads), value, 1e-6)


# --- preparation ---


def voltages(folder: Path, rng: np.random.Generator) -> Case:
    """Values a thousand times too large or small, as of another unit: refused; in the stated one: mV."""
    signal = ecg(rng, 12)
    unit, in_mv = [("mV", 1.0), ("uV", 1e-3), ("V", 1e3)][rng.integers(3)]
    true_in_mv = in_mv * [1, 1, 1e-6, 1e-3, 1e3][rng.integers(5)]
    (folder / "from").mkdir()
    np.save(folder / "from" / "a.npy", signal / true_in_mv)
    source = Folder(file_leads=",".join(STANDARD_LEADS), file_sampling_rate=_RATE, file_unit=unit)
    settings = PrepareSettings(**_OPTIONS, leads=("II", "V1"))
    value = fit_samples(signal[[1, 6]].astype(np.float32), 5000, 64) if true_in_mv == in_mv else None
    return Case(lambda: _prepared(source, folder, settings).signals[0], value, 1e-5)


def pieces(folder: Path, rng: np.random.Generator) -> Case:
    """Recordings of any length: whole pieces, a last one of half the duration or more, nothing shorter."""
    n = int(rng.integers(1, 16_000))
    signal = ecg(rng, 2, n)
    (folder / "from").mkdir()
    np.save(folder / "from" / "a.npy", signal)
    source = Folder(file_leads="II,V1", file_sampling_rate=_RATE)
    settings = PrepareSettings(**_OPTIONS, leads=("II", "V1"))
    cut = [signal[:, start : start + 5000] for start in range(0, n, 5000)]
    kept = [fit_samples(piece.astype(np.float32), 5000, 64) for piece in cut if piece.shape[1] >= 2500]
    return Case(lambda: np.asarray(_prepared(source, folder, settings).signals), np.array(kept) if kept else None, 1e-5)


def tables(folder: Path, rng: np.random.Generator) -> Case:
    """A table of patients and labels: other names of columns, spellings and separators, classes of 0 and 1."""
    (folder / "from").mkdir()
    for number in range(6):
        np.save(folder / "from" / f"{number}.npy", ecg(rng, 2, 5000))
    faults = ("none", "numbers", "no patients", "patient", "label", "spelling", "comma")
    fault = (*faults, "shared ids", "separator", "case", "flags")[rng.integers(11)]
    patient, label = {"no patients": "age", "shared ids": "quem"}.get(fault, "patient"), "label"
    if fault == "patient":
        patient = ["patient_id", "Patient", "subject_id", "codigo_paciente", "Fallnummer", "hadm_id"][rng.integers(6)]
    if fault == "label":
        label = ["labels", "Label", "diagnosis"][rng.integers(3)]
    known = [f"{n // 2}" if fault == "numbers" else f"P{n // 2}" for n in range(6)]
    written = [f"{name}{'.0' if fault == 'numbers' and n % 2 else ''}" for n, name in enumerate(known)]
    if fault == "no patients":
        written = [str(50 + n // 2) for n in range(6)]
    if fault == "spelling":
        written[1] = ["p0", "P_0", "P-0"][rng.integers(3)]
    classes = ["AF, fast" if fault == "comma" else '"AF, fast"', "SR"]
    if fault == "separator":
        classes[1] = f"AF{'/|+'[rng.integers(3)]}SR"
        classes[0] = "AF"
    rows = [f"{n},{name},{classes[n % 2]}" for n, name in enumerate(written)]
    if fault == "case":
        rows = [row.replace(",", ".NPY,", 1) for row in rows]
    if fault == "flags":
        label = '"AF, fast",SR'
        rows = [f"{n},{name},{1 - n % 2},{n % 2}" for n, name in enumerate(written)]
    (folder / "t.csv").write_text("\n".join([f"record,{patient},{label}", *rows]) + "\n")
    source = Folder(labels="table", table=folder / "t.csv", file_leads="II,V1", file_sampling_rate=_RATE)
    settings = PrepareSettings(**_OPTIONS, leads=("II", "V1"), test_fraction=0.4, val_fraction=0.0)
    value = None
    if fault in ("none", "numbers", "no patients", "case", "flags"):
        patients = [str(n) for n in range(6)] if fault == "no patients" else known
        value = tuple((name, ("AF, fast", "SR")[n % 2]) for n, name in enumerate(patients))

    def read() -> Any:
        dataset = _prepared(source, folder, settings)
        return tuple(zip(dataset.patients, [";".join(labels) for labels in dataset.labels], strict=True))

    return Case(read, value)


def folders(folder: Path, rng: np.random.Generator) -> Case:
    """Suffixes in upper case, links to folders, also in a loop, hidden files, files that are no signals."""
    root = folder / "from"
    (root / "a").mkdir(parents=True)
    (folder / "elsewhere").mkdir()
    expected = set()
    for number in range(int(rng.integers(1, 6))):
        suffix = [".npy", ".NPY", ".Npy"][rng.integers(3)]
        place = [root, root / "a", folder / "elsewhere"][rng.integers(3)]
        with (place / f"{number}{suffix}").open("wb") as file:
            np.save(file, ecg(rng, 2, 5000))
        inside = {root: "", root / "a": "a/", folder / "elsewhere": "link/"}[place]
        expected.add(f"{inside}{number}")
    (root / "link").symlink_to(folder / "elsewhere")
    (root / "a" / "up").symlink_to(root)
    (root / ".hidden.npy").write_bytes(b"")
    (root / "notes.txt").write_text("")
    source = Folder(file_leads="II,V1", file_sampling_rate=_RATE)
    settings = PrepareSettings(**_OPTIONS, leads=("II", "V1"))
    return Case(lambda: set(_prepared(source, folder, settings).ids), expected)


# --- scores and embeddings ---


def targets(folder: Path, rng: np.random.Generator) -> Case:  # noqa: ARG001
    """Targets as booleans, 0 and 1 of any type, or class numbers, which are refused."""
    n, k = int(rng.integers(10, 40)), int(rng.integers(2, 5))
    probabilities, numbers = rng.random((n, k)), rng.integers(k, size=n)
    truth = np.eye(k, dtype=bool)[numbers]
    forms = [
        truth,
        truth.astype(np.int64),
        truth.astype(np.uint8),
        truth.astype(float),
        truth.tolist(),
        numbers,
        truth * 2,
    ]
    form = int(rng.integers(len(forms)))
    patients = [str(row) for row in range(n)]

    def score(known: Any) -> Any:
        scores = evaluate(probabilities, known, list("abcdefgh"[:k]))
        of_draws = intervals(probabilities, known, patients, True, n_draws=20)
        return scores.auroc, of_draws.auroc, tuple(np.nan_to_num(choose_thresholds(probabilities, known)))

    return Case(lambda: score(forms[form]), score(truth) if form < 5 else None)


def arrays(folder: Path, rng: np.random.Generator) -> Case:  # noqa: ARG001
    """Arrays for an encoder: unit, order of leads and rate are stated; a wrong duration or unit is refused."""
    from lfbt.models.encoder import EncoderConfig, random_encoder

    encoder = random_encoder(EncoderConfig(("II", "V1"), 51.2, 512, "none"), seed=0)
    signal = ecg(rng, 3, 5000)
    names = np.array(["V1", "I", "II"])
    fitted = fit_samples(signal[[2, 0]].astype(np.float32), 5000, 512)
    right = lfbt.embed(fitted, encoder, leads="II,V1", sampling_rate=51.2, device="cpu")
    order = rng.permutation(3)
    scale, unit = [(1.0, "mV"), (1e3, "uV"), (1e-3, "V")][rng.integers(3)]
    fault = rng.integers(4)
    rate = 250.0 if fault == 0 else _RATE
    stated = "V" if fault == 1 and unit != "V" else unit

    def read() -> Any:
        given = signal[order] * scale
        return lfbt.embed(given, encoder, leads=names[order].tolist(), sampling_rate=rate, unit=stated, device="cpu")

    return Case(read, None if fault == 0 or stated != unit else right, 1e-4)


KINDS: dict[str, Maker] = {
    "WFDB headers: units, rates, gains, formats": wfdb_headers,
    "WFDB samples that are not the header's": wfdb_damage,
    "WFDB with several samples a frame": wfdb_frames,
    "names of leads": lead_names,
    "CSV files": csv_files,
    "voltages in another unit": voltages,
    "pieces of recordings": pieces,
    "tables of patients and labels": tables,
    "what is found in a folder": folders,
    "targets of a classifier": targets,
    "arrays for an encoder": arrays,
}


def _read(path: Path, **options: Any) -> Any:
    recording = lfbt.read(path, **options)
    return recording.leads, recording.sampling_rate, recording.signal


def _prepared(source: Folder, folder: Path, settings: PrepareSettings) -> Any:
    prepare_dataset(source, "folder", folder / "from", folder / "to", settings)
    return lfbt.open_dataset(folder / "to")


def _agrees(found: Any, value: Any, tolerance: float) -> bool:
    if isinstance(value, np.ndarray):
        found = np.asarray(found)
        return found.shape == value.shape and bool(np.allclose(found, value, rtol=tolerance, atol=tolerance))
    if isinstance(value, tuple):
        return len(found) == len(value) and all(map(_agrees, found, value, [tolerance] * len(value)))
    return bool(found == value)


def outcome(case: Case) -> str:
    """Which of OUTCOMES it is. A value where only a refusal is right is wrong."""
    try:
        found = case.read()
    except LfbtError as error:
        return "refused" if "\n" not in str(error) else "traceback"
    except Exception:  # noqa: BLE001
        return "traceback"
    return "right" if case.value is not None and _agrees(found, case.value, case.tolerance) else "wrong"


def count(n_inputs: int, seed: int = 0) -> dict[str, collections.Counter[str]]:
    """The outcomes of `n_inputs` inputs of each kind; `unneeded` counts refusals of what can be read."""
    counts: dict[str, collections.Counter[str]] = {}
    for kind, make in KINDS.items():
        counts[kind] = collections.Counter()
        for number in range(n_inputs):
            rng = np.random.default_rng((seed, number, list(KINDS).index(kind)))
            with tempfile.TemporaryDirectory() as folder:
                case = make(Path(folder), rng)
                found = outcome(case)
                counts[kind][found] += 1
                counts[kind]["unneeded"] += found == "refused" and case.value is not None
    return counts


def table(counts: dict[str, collections.Counter[str]]) -> str:
    """A row a kind, in Markdown."""
    lines = [
        "| kind | inputs | right | refused | of these readable | wrong | traceback |",
        "|---|---|---|---|---|---|---|",
    ]
    total: collections.Counter[str] = sum(counts.values(), collections.Counter())
    for kind, of_kind in [*counts.items(), ("all", total)]:
        n = sum(of_kind[name] for name in OUTCOMES)
        cells = [n, of_kind["right"], of_kind["refused"], of_kind["unneeded"], of_kind["wrong"], of_kind["traceback"]]
        lines.append(f"| {kind} | {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reading", description=__doc__)
    parser.add_argument("--inputs", type=int, default=500, help="of each kind")
    parser.add_argument("--docs", type=Path, help="Markdown file whose table, between its bench markers, is replaced")
    words = parser.parse_args()
    counts = count(words.inputs)
    text = table(counts)
    if words.docs:
        words.docs.write_text(with_section(words.docs.read_text(encoding="utf-8"), text), encoding="utf-8")
    print(text)
    if any(of_kind["wrong"] or of_kind["traceback"] for of_kind in counts.values()):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
