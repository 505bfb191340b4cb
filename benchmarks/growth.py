"""Growth of time and memory with batch size, leads, samples and records."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from benchmarks import ours
from benchmarks.data import write_packed
from benchmarks.measure import fitted_exponent, median_seconds, seconds_of
from benchmarks.memory import in_fresh_process
from benchmarks.sizes import Sizes, StepSize


@dataclasses.dataclass(frozen=True)
class Series:
    """Measurements at each of `sizes` by column; None where memory ran out.

    exponents: p of value ~ size^p for each column.
    """

    what: str
    size_name: str
    sizes: tuple[int, ...]
    values: dict[str, tuple[float | None, ...]]
    exponents: dict[str, float | None]


def series(what: str, size_name: str, sizes: Sequence[int], values: dict[str, tuple[float | None, ...]]) -> Series:
    """A series with its fitted exponents."""
    exponents = {name: fitted_exponent(sizes, column) for name, column in values.items()}
    return Series(what, size_name, tuple(sizes), values, exponents)


def growth(sizes: Sizes) -> list[Series]:
    """All series."""
    return [*_steps(sizes), _records(sizes), _preparation(sizes)]


def _steps(sizes: Sizes) -> list[Series]:
    """Time and memory of a step, one size varied at a time, each configuration in a fresh process."""
    varied: dict[str, dict[int, StepSize]] = {
        "records of the batch": {n: dataclasses.replace(sizes.step, batch=n) for n in sizes.growth_batch},
        "leads": {n: dataclasses.replace(sizes.step, n_leads=n) for n in sizes.growth_n_leads},
        "samples": {n: dataclasses.replace(sizes.step, n_samples=n) for n in sizes.growth_n_samples},
    }
    default = sizes.step
    fixed = f"batch {default.batch}, {default.n_leads} leads, {default.n_samples} samples where not varied"
    return [
        series(f"pretraining step ({fixed})", name, tuple(points), _columns(points.values()))
        for name, points in varied.items()
    ]


def _columns(configurations: Iterable[StepSize]) -> dict[str, tuple[float | None, ...]]:
    runs = [in_fresh_process("our-step", size) for size in configurations]
    return {
        "seconds": tuple(run.seconds for run in runs),
        "peak GB": tuple(run.peak_gb for run in runs),
    }


def _records(sizes: Sizes) -> Series:
    """What the number of records costs before and between epochs."""
    size = sizes.step
    first, overhead = [], []
    for n_records in sizes.growth_records:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) / "packed"
            write_packed(folder, n_records, size.leads, size.n_samples, empty=True)
            batch = np.random.default_rng(0).integers(n_records, size=size.batch)
            first.append(median_seconds(lambda: ours.read_batch(ours.open_dataset(folder), batch)))  # noqa: B023
        rows = np.arange(n_records)
        overhead.append(
            median_seconds(
                lambda: (ours.epoch_batches(rows, size.batch, 0, 0), ours.draw_views(0, 0, len(rows)))  # noqa: B023
            )
        )
    columns: dict[str, tuple[float | None, ...]] = {
        "seconds to open and have a batch": tuple(first),
        "seconds to plan an epoch": tuple(overhead),
        "µs a record to plan an epoch": tuple(
            1e6 * seconds / n for seconds, n in zip(overhead, sizes.growth_records, strict=True)
        ),
    }
    return series("packed data set", "records", sizes.growth_records, columns)


def _preparation(sizes: Sizes) -> Series:
    """Preparation with one worker, where the start of processes does not count."""
    seconds = []
    for n_records in sizes.growth_prepare:
        with tempfile.TemporaryDirectory() as name:
            download = Path(name) / "download"
            ours.write_ptbxl(download, n_records, seed=0)
            seconds.append(seconds_of(_prepare(download))[0])
    return series("prepare WFDB recordings, 1 worker", "records", sizes.growth_prepare, {"seconds": tuple(seconds)})


def _prepare(download: Path) -> Callable[[], int]:
    return lambda: ours.prepared(download, download.with_name("data"), workers=1)
