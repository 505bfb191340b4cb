"""Recordings, sources and data sets for the tests of data, written without lfbt."""

import csv
import dataclasses
import functools
import json
from pathlib import Path

import numpy as np

from lfbt.data.preparation import prepare_dataset
from lfbt.data.records import PrepareSettings
from lfbt.recording import STANDARD_LEADS, Recording
from lfbt.sources.listing import Dropped, Entry, Listing
from lfbt.sources.synthesis import make_record

#: Small records, read in this process.
SETTINGS = PrepareSettings(n_samples=128, workers=1)


def settings(**changes):
    return dataclasses.replace(SETTINGS, **changes)


def ecg(number, samples=5000):
    """Twelve leads of a synthetic ECG in whole µV, as many samples as asked for."""
    signal = np.concatenate([make_record(0, 1 + number + part).signal for part in range(-(-samples // 5000))], axis=1)
    return np.round(signal[:, :samples] * 1000) / 1000


def write_ecg(path, signal, leads=STANDARD_LEADS, rate=500, gain=1000, unit="mV"):
    """A WFDB record of 16-bit samples by hand; `signal` [leads, samples] is in `unit`."""
    steps = np.round(signal * gain).astype("<i2")
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{path.name} {len(leads)} {rate} {steps.shape[1]}"]
    lines += [
        f"{path.name}.dat 16 {gain}(0)/{unit} 16 0 {row[0]} 0 0 {lead}" for lead, row in zip(leads, steps, strict=True)
    ]
    path.with_suffix(".hea").write_text("\n".join(lines) + "\n")
    path.with_suffix(".dat").write_bytes(steps.T.tobytes())


@dataclasses.dataclass(frozen=True)
class GivenSource:
    """A source that has what it is given."""

    entries: tuple[Entry, ...] = ()
    classes: tuple[str, ...] = ()
    dropped: tuple[Dropped, ...] = ()

    def listing(self, folder):
        return Listing(list(self.entries), self.classes, "as given", list(self.dropped))


def _read(path, recording):
    if isinstance(recording, BaseException):
        raise recording
    return recording


def entry(id, recording=None, patient="", labels=(), split=""):
    """An entry of `recording`: a Recording, a signal of twelve leads at 500 Hz, or what is raised on reading it."""
    recording = ecg(1) if recording is None else recording
    if isinstance(recording, np.ndarray):
        recording = Recording(recording.astype(np.float32), 500.0, STANDARD_LEADS)
    reader = functools.partial(_read, recording=recording)
    return Entry(id, patient or id, Path("from") / f"{id}.hea", reader, tuple(labels), split)


def make(target, *entries, classes=(), dropped=(), **changes):
    """Prepare `entries`; the report comes back."""
    return prepare_dataset(
        GivenSource(entries, tuple(classes), tuple(dropped)), "given", Path("from"), target, settings(**changes)
    )


CLASSES = ("NORM", "MI", "CD")


LABELLED = tuple(entry(f"r{n}", ecg(n), patient=f"p{n // 2}", labels=(CLASSES[n % 3],)) for n in range(24))


LEADS = ("II", "V1", "V5")


COLUMNS = ("id", "patient", "labels", "split")


ROWS = [
    ("r0", "p0", "MI", "train"),
    ("NA", "p1", "NORM", "val"),
    ("r2", "p0", "MI;CD", "train"),
    ("r3", "p2", "", "test"),
]


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def write_packed(folder, signals=None, rows=ROWS, **changes):
    """A packed data set written by hand, as docs/data.md describes it; the signals are returned."""
    folder.mkdir(parents=True, exist_ok=True)
    signals = noise(len(rows), len(LEADS), 64) if signals is None else signals
    np.save(folder / "signals.npy", signals)
    with (folder / "records.csv").open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    manifest = {"leads": LEADS, "sampling_rate": 6.4, "classes": ["NORM", "MI", "CD"], "hash": "abc", **changes}
    (folder / "dataset.json").write_text(json.dumps({k: v for k, v in manifest.items() if v is not None}))
    return signals


def write_npy(folder, *names, leads=8, samples=64):
    """``.npy`` files with the number of the file in every value."""
    for number, name in enumerate(names):
        path = folder / f"{name}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, np.full((leads, samples), number, dtype=np.float32))
