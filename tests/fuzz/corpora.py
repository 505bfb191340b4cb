"""Small files of every kind that lfbt reads, and what reads them."""

from __future__ import annotations

import csv
import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import scipy.io
from tests.clinical_files import aecg, dicom, edf
from tests.published_files import write_hdf5

import lfbt
from lfbt.recording import STANDARD_LEADS
from lfbt.runs.loading import ClassifierRun, load_runs
from lfbt.runs.predictions import Predictions
from lfbt.sources import SOURCES
from lfbt.sources.synthesis import write_ptbxl
from lfbt.sources.synthetic_downloads import write_chapman

LEADS = ("I", "II", "V1")
_SIGNAL = np.random.default_rng(0).normal(0, 0.3, (3, 100))


@dataclasses.dataclass(frozen=True)
class Corpus:
    """Files that `write` makes in a folder; those of the `patterns` are changed one at a time; `read` reads all."""

    write: Callable[[Path], object]
    read: Callable[[Path], object]
    patterns: Sequence[str] = ("*",)


def _wfdb(folder: Path, format: str) -> None:
    import wfdb

    options = {"fs": 500, "units": ["mV"] * 3, "sig_name": list(LEADS), "p_signal": _SIGNAL.T, "fmt": [format] * 3}
    wfdb.wrsamp("a", **options, adc_gain=[200.0] * 3, baseline=[0] * 3, write_dir=str(folder))


def _csv(folder: Path) -> None:
    rows = [("time (s)", *LEADS), *((f"{t / 500:.3f}", *row) for t, row in enumerate(_SIGNAL.T.round(3)))]
    with (folder / "a.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def _mat(folder: Path) -> None:
    signal = np.random.default_rng(0).normal(0, 0.3, (len(STANDARD_LEADS), 50))
    content = {"ECG": {"sex": "Male", "age": 50, "data": signal}}
    scipy.io.savemat(folder / "plain.mat", content)
    scipy.io.savemat(folder / "packed.mat", content, do_compression=True)


def _read_each(folder: Path, **options: object) -> None:
    faults = []
    for path in sorted(folder.iterdir()):
        try:
            lfbt.read(path, **options)  # type: ignore[arg-type]
        except lfbt.LfbtError as error:
            faults.append(error)
    if faults:
        raise faults[0]


def _prepare(folder: Path) -> None:
    lfbt.prepare("synthetic", folder.parent / "download", folder, records=30, n_samples=64, workers=1)


def _probe(folder: Path) -> None:
    data = folder.parent / "data"
    lfbt.prepare("synthetic", folder.parent / "download", data, records=30, n_samples=64, workers=1)
    lfbt.probe(data, folder, random_encoder=True, epochs=2, device="cpu")


def _read_run(folder: Path) -> None:
    from lfbt.models.heads import load_head
    from lfbt.models.pretrained import load_encoder

    (run,) = load_runs(folder)
    assert isinstance(run, ClassifierRun)
    Predictions.load(folder, run.results.data.classes)
    len(run.history)
    load_encoder(folder / "encoder")
    load_head(folder / "head")


def _read_data(folder: Path) -> None:
    data = lfbt.open_dataset(folder)
    data.batch(np.arange(len(data)), "record")


CORPORA = {
    "wfdb16": Corpus(functools.partial(_wfdb, format="16"), lambda folder: lfbt.read(folder / "a.hea")),
    "wfdb212": Corpus(functools.partial(_wfdb, format="212"), lambda folder: lfbt.read(folder / "a.hea")),
    "npy": Corpus(
        lambda folder: np.save(folder / "a.npy", _SIGNAL), functools.partial(_read_each, leads=LEADS, sampling_rate=500)
    ),
    "csv": Corpus(_csv, _read_each),
    "mat": Corpus(_mat, _read_each),
    "aecg": Corpus(lambda folder: aecg(folder / "a.xml"), _read_each),
    "dicom": Corpus(lambda folder: dicom(folder / "a.dcm"), _read_each),
    "edf": Corpus(lambda folder: edf(folder / "a.edf"), _read_each),
    "hdf5": Corpus(
        lambda folder: write_hdf5(folder / "a.h5", ecg=_SIGNAL),
        lambda folder: lfbt.io.read_hdf5(folder / "a.h5", dataset="ecg", leads=LEADS, sampling_rate=500, unit="mV"),
    ),
    "workbook": Corpus(
        lambda folder: write_chapman(folder, 3, 0),
        lambda folder: SOURCES["chapman"]().listing(folder),
        ("**/*.xlsx",),
    ),
    "tables": Corpus(
        lambda folder: write_ptbxl(folder, 8, 0), lambda folder: SOURCES["ptbxl"]().listing(folder), ("*.csv",)
    ),
    "data set": Corpus(_prepare, _read_data, ("*.json", "records.csv", "signals.npy")),
    "run": Corpus(
        _probe,
        _read_run,
        ("*.json", "history.jsonl", "predictions.csv", "encoder/*.json", "head/*.json", "encoder/*.safetensors"),
    ),
}
