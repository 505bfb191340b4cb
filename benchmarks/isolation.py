"""What it costs that a process of its own reads files, a format a row; synthetic recordings of 12 leads at 500 Hz.

python -m benchmarks.isolation --docs docs/reliability.md
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.io
import wfdb

from benchmarks.measure import machine
from benchmarks.render import with_section
from lfbt.io import read, read_hdf5_row, read_here
from lfbt.recording import STANDARD_LEADS, Recording
from lfbt.utils.tables import as_markdown

BEGIN, END = "<!-- isolation: begin -->", "<!-- isolation: end -->"
_ROUNDS, _FILES = 3, 20


def write_files(folder: Path) -> dict[str, Callable[[], Recording]]:
    """Write a file of each format; returns what reads it."""
    rng = np.random.default_rng(0)
    signals = {seconds: rng.laplace(0, 0.2, (len(STANDARD_LEADS), 500 * seconds)) for seconds in (10, 60)}
    for seconds, signal in signals.items():
        scipy.io.savemat(folder / f"{seconds}.mat", {"ECG": {"sex": "Male", "age": 50, "data": signal}})
    n = len(STANDARD_LEADS)
    form = {"fmt": ["212"] * n, "adc_gain": [200.0] * n, "baseline": [0] * n, "units": ["mV"] * n}
    wfdb.wrsamp(
        "a", fs=500, sig_name=list(STANDARD_LEADS), p_signal=signals[10].T.clip(-5, 5), write_dir=str(folder), **form
    )
    with h5py.File(folder / "a.hdf5", "w") as file:
        file["tracings"] = signals[10].T[None].astype(np.float32)
    row: dict[str, Any] = {"dataset": "tracings", "row": 0, "sampling_rate": 500.0, "unit": "mV"}
    return {
        "MATLAB, 10 s": lambda: read(folder / "10.mat"),
        "MATLAB, 60 s": lambda: read(folder / "60.mat"),
        "WFDB 212, 10 s": lambda: read(folder / "a.hea"),
        "HDF5, 10 s": lambda: read_hdf5_row(folder / "a.hdf5", leads=STANDARD_LEADS, **row),
    }


def milliseconds(read_one: Callable[[], object]) -> float:
    """The median time of a file, after a first one."""
    read_one()
    times = []
    for _ in range(_FILES):
        start = time.perf_counter()
        read_one()
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times)


def main() -> None:
    """Print the table, or put it into a page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--docs", type=Path, help="Markdown page whose section is replaced")
    page = parser.parse_args().docs
    with tempfile.TemporaryDirectory() as place:
        readers = write_files(Path(place))
        start = time.perf_counter()
        next(iter(readers.values()))()
        first = time.perf_counter() - start
        elsewhere = {name: [milliseconds(one) for _ in range(_ROUNDS)] for name, one in readers.items()}
        # From here on this process reads itself.
        read_here()
        here = {name: [milliseconds(one) for _ in range(_ROUNDS)] for name, one in readers.items()}
    lines = [["file", "ms more a file", "times as long"]]
    for name in readers:
        alone, other = statistics.median(here[name]), statistics.median(elsewhere[name])
        lines.append([name, f"{other - alone:.2f}", f"{other / alone:.2g}"])
    below = f"Medians of {_ROUNDS * _FILES} files; the first file took {first:.1f} s; {machine()['processor']}."
    text = f"{as_markdown(lines)}\n\n{below}"
    print(text)
    if page:
        page.write_text(with_section(page.read_text(encoding="utf-8"), text, BEGIN, END), encoding="utf-8")


if __name__ == "__main__":
    main()
