"""``python -m benchmarks.many_records``: the time and memory that opening a data set of many records takes."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from lfbt.data.layouts import RECORDS, SIGNALS
from lfbt.data.manifest import DatasetManifest
from lfbt.data.record_hash import hash_table
from lfbt.recording import PAPER_LEADS

_N_SAMPLES = 64
# A fresh process, so that its peak memory is that of opening; the imports are not counted.
_OPEN = """
import json, sys, time
import numpy, pandas, torch
from lfbt.data.layouts import open_dataset
from lfbt.utils.device import peak_memory_gb
before = peak_memory_gb(torch.device("cpu"))
began = time.perf_counter()
dataset = open_dataset(sys.argv[1])
seconds = time.perf_counter() - began
print(json.dumps([len(dataset), seconds, peak_memory_gb(torch.device("cpu")) - before]))
"""


def write(folder: Path, n_records: int) -> None:
    """Write a packed data set whose signals are zeros, most of them a hole in the file."""
    shape = (n_records, len(PAPER_LEADS), _N_SAMPLES)
    np.lib.format.open_memmap(folder / SIGNALS, mode="w+", dtype=np.float32, shape=shape)
    with (folder / RECORDS).open("w", encoding="utf-8") as table:
        table.write("id,patient,file,piece,labels,split,hash\n")
        for number in range(n_records):
            study, patient = 40_000_000 + number, 10_000_000 + number // 5
            table.write(f"{study},{patient},files/p{patient}/s{study}/{study}.hea,0,,train,{number:064x}\n")
    DatasetManifest(
        leads=PAPER_LEADS,
        sampling_rate=6.4,
        n_samples=_N_SAMPLES,
        classes=(),
        records=n_records,
        hash=hash_table(folder / RECORDS),
    ).save(folder)


def measure(n_records: int) -> tuple[int, float, float]:
    """Records, seconds and GB that opening takes."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), n_records)
        done = subprocess.run([sys.executable, "-c", _OPEN, folder], check=True, capture_output=True, text=True)
    n, seconds, gigabytes = json.loads(done.stdout)
    return n, seconds, gigabytes


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.many_records", description=__doc__)
    parser.add_argument("--records", type=int, default=800_000, help="as many as MIMIC-IV-ECG has")
    n, seconds, gigabytes = measure(parser.parse_args().records)
    print(f"{n} records: opened in {seconds:.2f} s, with {gigabytes:.2f} GB more at the peak")


if __name__ == "__main__":
    main()
