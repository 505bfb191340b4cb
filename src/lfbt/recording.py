"""Recording, the ECG as it was read, and the words that everything above it shares: leads and errors."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from lfbt.errors import LfbtError, UnreadableError

STANDARD_LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
#: The eight leads of the paper, in its order: the other four are linear combinations of two of these.
PAPER_LEADS = ("II", "III", "V1", "V2", "V3", "V4", "V5", "V6")

_CANONICAL_LEADS = {lead.lower(): lead for lead in STANDARD_LEADS}
_UNITS_IN_MV = {"mv": 1.0, "uv": 1e-3, "µv": 1e-3, "μv": 1e-3, "v": 1e3, "nv": 1e-6}


def lead_name(name: str) -> str:
    """The standard spelling of a lead's name (``avr``, ``Lead aVR`` → ``aVR``); unknown names stay as they are."""
    stripped = name.strip()
    word = stripped.lower().removeprefix("lead").removeprefix("ecg").strip(" _-")
    return _CANONICAL_LEADS.get(word, stripped)


def parse_leads(text: str) -> tuple[str, ...]:
    """Lead names from ``II,V1`` in the standard spelling.

    Raises LfbtError for an empty list and for a lead named twice.
    """
    leads = tuple(lead_name(part) for part in text.split(",") if part.strip())
    check_leads(leads)
    return leads


def check_leads(leads: Sequence[str]) -> None:
    """Raise LfbtError unless `leads` holds at least one name, each once, each fit to name a file or a tensor."""
    if not leads:
        raise LfbtError("leads: none given; name at least one, for instance II,V1")
    for lead in leads:
        if leads.count(lead) > 1:
            raise LfbtError(f"leads: {lead} is named twice in {','.join(leads)}; name each lead once")
        if not lead or set(lead) & set("./\\,;"):
            raise LfbtError(f"leads: {lead!r} is no lead name; a name is not empty and has none of . / \\ , ;")


def missing_leads(wanted: Iterable[str], present: Iterable[str]) -> list[str]:
    """The names in `wanted` that are not in `present`, in order."""
    names = set(present)
    return [lead for lead in wanted if lead not in names]


def is_voltage(unit: str) -> bool:
    """Whether `unit` is one that `unit_in_mv` knows."""
    return unit.strip().lower() in _UNITS_IN_MV


def unit_in_mv(unit: str) -> float:
    """How many mV one `unit` is. Raises LfbtError for a unit that is no voltage."""
    try:
        return _UNITS_IN_MV[unit.strip().lower()]
    except KeyError:
        raise LfbtError(f"unit: {unit!r} is not a voltage that lfbt knows; allowed: mV, uV, µV, V, nV") from None


@dataclasses.dataclass(frozen=True)
class Recording:
    """One ECG as read.

    signal: ``[leads, samples]`` float32 in mV; sampling_rate in Hz; leads: one name a row of `signal`, in the
    standard spelling.
    """

    signal: NDArray[np.float32]
    sampling_rate: float
    leads: tuple[str, ...]
    id: str = ""
    patient: str = ""
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.signal.ndim != 2 or self.signal.shape[0] != len(self.leads) or self.signal.shape[1] < 1:
            raise UnreadableError(
                f"recording {self.id or '?'}: its signal has shape {list(self.signal.shape)}, "
                f"not [{len(self.leads)} leads, samples]; its leads are {','.join(self.leads)}"
            )
        if not 0 < self.sampling_rate < np.inf:
            raise UnreadableError(f"recording {self.id or '?'}: sampling rate {self.sampling_rate} Hz is not positive")
