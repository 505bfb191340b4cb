"""Synthetic records for timing, as a packed data set and as one .npy file per record, both in mV."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lfbt.data.layouts import RECORDS, SIGNALS
from lfbt.data.manifest import MANIFEST
from lfbt.sources.listing import SPLITS
from lfbt.utils.files import write_json

CLASSES = ("a", "b", "c", "d")
_N_TEMPLATES = 12
_CHUNK = 500


def write_packed(
    folder: Path, n_records: int, leads: Sequence[str], n_samples: int, labelled: bool = False, empty: bool = False
) -> None:
    """Write a packed data set that `lfbt.data.layouts.open_dataset` opens.

    labelled: four classes; two thirds train, a sixth val, a sixth test. Otherwise no labels, and all train. empty: the
    signals are zeros, which take no space on disk.
    """
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    classes = rng.integers(len(CLASSES), size=n_records)
    signals = np.lib.format.open_memmap(
        folder / SIGNALS, mode="w+", dtype=np.float32, shape=(n_records, len(leads), n_samples)
    )
    if not empty:
        templates = _templates(rng, len(leads), n_samples)
        for first in range(0, n_records, _CHUNK):
            signals[first : first + _CHUNK] = _signals(rng, templates, classes[first : first + _CHUNK])
    signals.flush()
    hashes = [_hash(signals[0])] * n_records if empty else map(_hash, signals)
    n_val = n_test = n_records // 6 if labelled else 0
    splits = np.repeat(SPLITS, (n_records - n_val - n_test, n_val, n_test))
    with (folder / RECORDS).open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("id", "patient", "labels", "split", "hash"))
        for number, (label, split, hash) in enumerate(zip(classes, splits, hashes, strict=True)):
            rows.writerow((number, number, CLASSES[label] if labelled else "", split, hash))
    content = {
        "leads": leads,
        "sampling_rate": n_samples / 10,
        "classes": CLASSES if labelled else (),
        "hash": "benchmark",
        "synthetic": True,
    }
    write_json(folder / MANIFEST, content)


def _hash(signal: NDArray[np.float32]) -> str:
    """The hash of a record, so that lfbt need not look for values that are not finite at every read."""
    return hashlib.sha256(signal.tobytes()).hexdigest()


def write_npy(packed: Path, folder: Path) -> list[Path]:
    """Write the signals of the packed data set `packed`, one ``.npy`` per record; returns the files in order."""
    folder.mkdir(parents=True)
    signals = np.load(packed / SIGNALS, mmap_mode="r")
    files = [folder / f"sample_{number}.npy" for number in range(len(signals))]
    for file, signal in zip(files, signals, strict=True):
        np.save(file, signal)
    return files


def _templates(rng: np.random.Generator, n_leads: int, n_samples: int) -> NDArray[np.float32]:
    """Smooth curves ``[templates, leads, samples]``."""
    n_bins = n_samples // 2 + 1
    real, imaginary = rng.standard_normal((2, _N_TEMPLATES, n_leads, n_bins)) / (1 + np.arange(n_bins) / 8)
    curves = np.fft.irfft(real + 1j * imaginary, n_samples) * np.sqrt(n_samples)
    return np.asarray(curves, dtype=np.float32)


def _signals(
    rng: np.random.Generator, templates: NDArray[np.float32], classes: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Records ``[records, leads, samples]`` mixed from the templates, one of them stronger by class, and noise."""
    weights = rng.standard_normal((len(classes), len(templates)), dtype=np.float32)
    weights[np.arange(len(classes)), classes] += 4.0
    noise = rng.standard_normal((len(classes), *templates.shape[1:]), dtype=np.float32)
    mixed: NDArray[np.float32] = np.tensordot(weights, templates, axes=1) + np.float32(0.2) * noise
    return mixed
