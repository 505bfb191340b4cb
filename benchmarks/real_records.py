"""``python -m benchmarks.real_records FOLDER ...``: voltages refused and errors of resampling, on real WFDB records."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

from lfbt.errors import LfbtError
from lfbt.io import read_wfdb
from lfbt.recording import Recording
from lfbt.signal import fit_samples, resample_lead
from lfbt.voltages import find_implausible_leads, implausible_span, measure_spans

#: In which wrong units a record is taken for mV, and by how much it is too large then.
UNITS = {"µV": 1e3, "counts of 200/mV": 200.0, "counts of 1000/mV": 1e3, "V": 1e-3, "one lead in µV": 1e3}
Resample = Callable[[NDArray[Any], int], NDArray[Any]]

_SECONDS = 10
_END = 0.2


def recordings(folder: Path) -> Iterator[Recording]:
    """The finite records of ten seconds or more below `folder`; what follows the first ten is left out."""
    for header in sorted(folder.rglob("*.hea")):
        try:
            recording = read_wfdb(header)
        except LfbtError:
            continue
        n = round(_SECONDS * recording.sampling_rate)
        signal = recording.signal[:, :n]
        if signal.shape[1] == n and np.isfinite(signal).all():
            yield Recording(signal, recording.sampling_rate, recording.leads)


def refused(signal: NDArray[np.float32], recording: Recording) -> tuple[bool, bool, bool]:
    """Whether a lead of `signal` is implausible, whether one spans over 30 mV, and whether the median lead is."""
    spans = measure_spans(signal)
    implausible = find_implausible_leads(signal, recording.leads, recording.sampling_rate)
    return implausible is not None, bool((spans > 30).any()), implausible_span(spans) is not None


def voltages(records: list[Recording]) -> list[str]:
    """Rows of a table: of right and wrong units, the records refused by each rule."""
    rows = []
    for unit, factor in {"mV, as it is": 1.0, **UNITS}.items():
        counts = np.zeros(3, dtype=int)
        either = 0
        for recording in records:
            signal = recording.signal * np.float32(1)
            signal[0 if unit.startswith("one") else slice(None)] *= np.float32(factor)
            found = refused(signal, recording)
            counts += found
            either += found[0] or found[2]
        n = len(records)
        rows.append(f"| {unit} | {n} | {' | '.join(f'{100 * count / n:.1f}' for count in (*counts, either))} |")
    return rows


def errors_of_common_rate(
    recording: Recording, resample: Callable[[NDArray[Any], int], NDArray[Any]]
) -> list[list[float]]:
    """The largest errors in mV in the first and last 0.2 s and between, of each lead taken to a quarter and back."""
    rate = round(recording.sampling_rate)
    found = []
    for lead in recording.signal.astype(np.float64):
        low = resample_poly(lead, 1, 4, padtype="line")
        # One second at either end is left out, as its own filter has errors there.
        cut = low[rate // 4 : -(rate // 4)]
        true = resample_poly(low, 4, 1, padtype="line")[rate : rate + 4 * len(cut)]
        found.append(_errors(resample(cut, 4 * len(cut)) - true, rate))
    return found


def errors_of_prepare(recording: Recording) -> list[list[float]]:
    """Likewise of `prepare` at 204.8 Hz: five seconds by themselves, and within the ten that they are cut from."""
    rate = round(recording.sampling_rate)
    start = rate * 5 // 2
    alone = fit_samples(recording.signal[:, start : start + 5 * rate], 5 * rate, 1024)
    true = fit_samples(recording.signal, 10 * rate, 2048)[:, 512:1536]
    return [_errors(error, 204.8) for error in alone - true]


def _errors(error: NDArray[np.floating], rate: float) -> list[float]:
    n, size = round(_END * rate), np.abs(error)
    return [float(size[:n].max()), float(size[-n:].max()), float(size[n:-n].max())]


def periodic(lead: NDArray[Any], n_samples: int) -> NDArray[Any]:
    """The Fourier method by itself, which takes a lead for periodic."""
    resampled: NDArray[Any] = fit_samples(lead[None], len(lead), n_samples)[0]
    return resampled


def resampling(records: list[Recording]) -> list[str]:
    """Rows of a table: median and worst error of each way to resample."""
    records = [record for record in records if record.sampling_rate in (500, 1000)]
    rows = []
    ways: dict[str, Callable[[Recording], list[list[float]]]] = {
        "Fourier, periodic": lambda record: errors_of_common_rate(record, periodic),
        "`--resample-leads`": lambda record: errors_of_common_rate(record, resample_lead),
        "`prepare`, 5 s": errors_of_prepare,
    }
    for way, measure in ways.items():
        errors = np.array([lead for record in records for lead in measure(record)])
        cells = [f"{np.median(column):.4f}, {column.max():.2f}" for column in errors.T]
        rows.append(f"| {way} | {len(errors)} | {' | '.join(cells)} |")
    return rows


def main() -> None:
    """Parse the command line and print both tables for each folder."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.real_records", description=__doc__)
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER")
    for folder in parser.parse_args().folders:
        records = list(recordings(folder))
        print(f"{folder}\n")
        print("| taken for mV | records | lead refused, % | lead over 30 mV, % | median lead, % | refused, % |")
        print("|---|---|---|---|---|---|", *voltages(records), "", sep="\n")
        print("| error in mV: median, worst | leads | first 0.2 s | last 0.2 s | between |")
        print("|---|---|---|---|---|", *resampling(records), "", sep="\n")


if __name__ == "__main__":
    main()
