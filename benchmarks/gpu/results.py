"""What the command finds: checks with verdicts, and figures by table."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Literal

import torch

from benchmarks.gpu.sizes import GpuSizes

Verdict = Literal["right", "wrong", "not available", "failed"]


@dataclasses.dataclass(frozen=True)
class Check:
    """One thing that has to hold: its verdict, the number found and the bound that it must not exceed."""

    what: str
    verdict: Verdict
    value: float | None = None
    bound: float | None = None
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Figure:
    """A row of a table of measurements: values by the names of columns."""

    table: str
    what: str
    values: dict[str, float | str | None]


Found = list[Check | Figure]


@dataclasses.dataclass(frozen=True)
class Place:
    """Where checks run: the device, the sizes, and a folder of their own."""

    device: torch.device
    sizes: GpuSizes
    folder: Path

    @property
    def is_gpu(self) -> bool:
        """Whether the device is a GPU."""
        return self.device.type == "cuda"


def at_most(what: str, value: float, bound: float, note: str = "") -> Check:
    """A check that `value` does not exceed `bound`; NaN does."""
    return Check(what, "right" if not math.isnan(value) and value <= bound else "wrong", value, bound, note)


def holds(what: str, is_right: bool, note: str = "") -> Check:
    """A check without a number."""
    return Check(what, "right" if is_right else "wrong", note=note)


def not_available(what: str, why: str) -> Check:
    """A check that this machine cannot make."""
    return Check(what, "not available", note=why)
