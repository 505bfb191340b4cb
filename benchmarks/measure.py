"""Timings, ratios, growth exponents, and the machine's peak."""

from __future__ import annotations

import dataclasses
import functools
import math
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

import lfbt
from lfbt.models.cpu.linear import linear

ResultT = TypeVar("ResultT")


@dataclasses.dataclass(frozen=True)
class Timings:
    """Seconds of every round for both sides."""

    literal: tuple[float, ...]
    ours: tuple[float, ...]

    @property
    def ratios(self) -> tuple[float, ...]:
        """Literal over ours, round by round, so that a slow phase of the machine affects both."""
        return tuple(a / b for a, b in zip(self.literal, self.ours, strict=True))


def interleaved(
    literal: Callable[[], object],
    ours: Callable[[], object],
    rounds: int,
    between: Callable[[], object] = lambda: None,
) -> Timings:
    """Time both alternately after one untimed run of each; `between` runs before each round, untimed."""
    literal(), ours()
    pairs = []
    for _ in range(rounds):
        between()
        pairs.append((seconds_of(literal)[0], seconds_of(ours)[0]))
    first, second = zip(*pairs, strict=True)
    return Timings(first, second)


def seconds_of(function: Callable[[], ResultT]) -> tuple[float, ResultT]:
    """The duration of one call, and its result."""
    began = time.perf_counter()
    result = function()
    return time.perf_counter() - began, result


def median_seconds(function: Callable[[], object], repeats: int = 3) -> float:
    """The median time of a call, after one untimed call."""
    function()
    return statistics.median(seconds_of(function)[0] for _ in range(repeats))


def matmul_peak(n: int, repeats: int = 5, dtype: torch.dtype = torch.float32) -> float:
    """GMAC/s of the best of several products of two matrices n × n, by PyTorch's `@` and by oneDNN."""
    a, b = torch.randn(n, n, dtype=dtype), torch.randn(n, n, dtype=dtype)
    products = functools.partial(torch.mm, a, b), functools.partial(linear, a, b)
    best = min(seconds_of(product)[0] for product in products for _ in range(repeats))
    return n**3 / best / 1e9


def fitted_exponent(sizes: Sequence[float], values: Sequence[float | None]) -> float | None:
    """The slope of log(value) over log(size) by least squares; None where fewer than two were measured."""
    points = [(math.log(size), math.log(value)) for size, value in zip(sizes, values, strict=True) if value]
    if len(points) < 2:
        return None
    x, y = np.array(points).T
    return float(np.polyfit(x, y, 1)[0])


def machine() -> dict[str, str | int]:
    """The hardware and versions, without host or user names."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "processor": _processor(),
        "threads": torch.get_num_threads(),
        "vector_extension": torch.backends.cpu.get_cpu_capability(),
        "memory_gib": round(pages / 2**30),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "lfbt": lfbt.__version__,
    }


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
