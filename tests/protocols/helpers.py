"""Small data sets with several labels, and settings of benchmarks."""

import dataclasses
from pathlib import Path

import numpy as np

from lfbt.data.dataset import from_arrays
from lfbt.protocols.settings import BenchmarkSettings

SCP = """,description,diagnostic,form,rhythm,diagnostic_class,diagnostic_subclass
NORM,x,1.0,,,NORM,NORM
IMI,x,1.0,,,MI,IMI
DIG,x,1.0,1.0,,STTC,STTC
SR,x,,,1.0,,
"""
#: Of twelve records, four to a split.
LABELS = (("NORM", "SR"), ("SR",), ("IMI", "DIG"), ("DIG",)) * 3
SPLIT = np.repeat(["train", "val", "test"], 4)


def write_statements(folder: Path) -> Path:
    (folder / "scp_statements.csv").write_text(SCP)
    return folder


def small_dataset(n_samples=128, rate=12.8, leads=("II", "V1")):
    """Twelve records of ten seconds, labelled with all statements."""
    signals = np.random.default_rng(0).normal(size=(12, len(leads), n_samples)).astype(np.float32)
    return dataclasses.replace(
        from_arrays(signals, leads, rate), classes=("NORM", "IMI", "DIG", "SR"), labels=LABELS, split=SPLIT
    )


def settings_of(folder: Path, **changes) -> BenchmarkSettings:
    return BenchmarkSettings.create("ptbxl", folder, folder / "out", **changes)
