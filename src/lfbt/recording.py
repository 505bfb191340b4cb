"""Recording, an ECG as read from a file, with the names of leads and the units of voltage that all modules share."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from lfbt.errors import LfbtError, UnreadableError

STANDARD_LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
#: The eight leads of the paper, in its order: the other four are linear combinations of two of these.
PAPER_LEADS = ("II", "III", "V1", "V2", "V3", "V4", "V5", "V6")

# Other names of leads I to III, in French, Spanish, Portuguese and Italian. What is not a name of just one lead is left
# as it is: MLII (modified lead II), C3 (V3, or a place on the scalp), V1- (the electrode or the negated lead).
_OTHER_NAMES = {"d1": "I", "d2": "II", "d3": "III", "di": "I", "dii": "II", "diii": "III"}
_STANDARD_NAMES = {lead.lower(): lead for lead in STANDARD_LEADS} | _OTHER_NAMES
# What precedes a lead's name; a hyphen without a space is a separator (ECG-V1), with one it is a minus (Lead -aVR).
_PREFIXES = re.compile(r"^(?:(?:mdc_ecg_lead|lead|ecg|ekg)(?:-(?=[a-z])|[_:\s]*))+")
_UNITS_IN_MV = {"mv": 1.0, "uv": 1e-3, "µv": 1e-3, "μv": 1e-3, "v": 1e3, "nv": 1e-6}


@functools.lru_cache(maxsize=1024)
def lead_name(name: str) -> str:
    """Spell a lead's name in the standard way; unknown names stay as they are.

    A negated lead, such as the ``-aVR`` of Cabrera's order, is a lead of its own: ``-`` and the standard name.

    Examples
    --------
    >>> lead_name("avr"), lead_name("Lead II"), lead_name("EKG V1"), lead_name("DII")
    ('aVR', 'II', 'V1', 'II')
    >>> lead_name("Lead -aVR"), lead_name("AVRneg"), lead_name("MLII"), lead_name("V1-")
    ('-aVR', '-aVR', 'MLII', 'V1-')
    """
    stripped = name.strip()
    word = _PREFIXES.sub("", re.sub("[\u2212\u2013]", "-", stripped.lower())).strip("_ ")
    negated = word.startswith("-") or word.endswith("neg")
    lead = _STANDARD_NAMES.get(word.removesuffix("neg") if word.endswith("neg") else word.removeprefix("-"))
    if lead is None:
        return stripped
    return f"-{lead}" if negated else lead


def parse_leads(leads: str | Iterable[str]) -> tuple[str, ...]:
    """Read lead names from a comma-separated list or from a sequence.

    Parameters
    ----------
    leads : str or iterable of str
        Names in any spelling.

    Returns
    -------
    tuple of str
        The names in their order, in the standard spelling.

    Raises
    ------
    LfbtError
        If there is no name, a name is given twice, or a name cannot be a lead's.

    Examples
    --------
    >>> parse_leads("ii,v1")
    ('II', 'V1')
    >>> parse_leads(["AVR", "V6"])
    ('aVR', 'V6')
    """
    if isinstance(leads, str):
        leads = [part for part in leads.split(",") if part.strip()]
    names = tuple(map(lead_name, leads))
    check_leads(names)
    return names


def check_leads(leads: Sequence[str]) -> None:
    """Raise LfbtError unless `leads` has at least one name, each once, each fit to name a file or a tensor."""
    if not leads:
        raise LfbtError("leads: none given; name at least one, for instance II,V1")
    for lead in leads:
        if leads.count(lead) > 1:
            raise LfbtError(f"leads: {lead} is named twice in {','.join(leads)}; name each lead once")
        if not lead or set(lead) & set("./\\,;"):
            raise LfbtError(f"leads: {lead!r} is not a lead name; a name is not empty and has none of . / \\ , ;")


def missing_leads(wanted: Iterable[str], present: Iterable[str]) -> list[str]:
    """List the names in `wanted` that are not in `present`, in order."""
    names = set(present)
    return [lead for lead in wanted if lead not in names]


def is_voltage(unit: str) -> bool:
    """Whether `unit` is a voltage that `unit_in_mv` knows."""
    return unit.strip().lower() in _UNITS_IN_MV


def unit_in_mv(unit: str) -> float:
    """Return how many mV one `unit` is.

    Parameters
    ----------
    unit : str
        ``mV``, ``uV``, ``µV``, ``V`` or ``nV``, in any case.

    Raises
    ------
    LfbtError
        If `unit` is not one of these.

    Examples
    --------
    >>> unit_in_mv("uV")
    0.001
    """
    try:
        return _UNITS_IN_MV[unit.strip().lower()]
    except KeyError:
        raise LfbtError(f"unit: {unit!r} is not a voltage that lfbt knows; allowed: mV, uV, µV, V, nV") from None


@dataclasses.dataclass(frozen=True)
class Recording:
    """One ECG as read: signal, sampling rate, lead names, and what is known of it.

    Parameters
    ----------
    signal : ndarray of float32, ``[leads, samples]``
        Voltages in mV.
    sampling_rate : float
        In Hz.
    leads : tuple of str
        The name of each row of `signal`, in the standard spelling.
    id, patient : str
        Names of the recording and of the patient; empty if unknown.
    labels : tuple of str
        Class names; empty if unknown.
    notes : tuple of str
        What its reader decided: signals that it left out, an array that it transposed.

    Raises
    ------
    UnreadableError
        If `signal` is not ``[leads, samples]``, or the sampling rate is not positive.

    Examples
    --------
    >>> recording = Recording(np.zeros((2, 5000), dtype=np.float32), 500.0, ("II", "V1"))
    >>> recording.signal.shape
    (2, 5000)
    """

    signal: NDArray[np.float32]
    sampling_rate: float
    leads: tuple[str, ...]
    id: str = ""
    patient: str = ""
    labels: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.signal.ndim != 2 or self.signal.shape[0] != len(self.leads) or self.signal.shape[1] < 1:
            raise UnreadableError(
                f"recording {self.id or '?'}: its signal has shape {list(self.signal.shape)}, "
                f"not [{len(self.leads)} leads, samples]; its leads are {','.join(self.leads)}"
            )
        if not 0 < self.sampling_rate < np.inf:
            raise UnreadableError(f"recording {self.id or '?'}: sampling rate {self.sampling_rate} Hz is not positive")
