"""Recording, an ECG as read from a file, with the names of leads and the units of voltage that all modules share."""

from __future__ import annotations

import dataclasses
import functools
import numbers
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

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
# The electrodes of the chest by IEC; a single C3 may be one of the scalp.
_IEC_CHEST = {f"C{n}": f"V{n}" for n in range(1, 7)}
# What precedes a lead's name; a hyphen without a space is a separator (ECG-V1), with one it is a minus (Lead -aVR).
_PREFIXES = re.compile(
    r"^(?:(?:mdc_ecg_lead|lead|ecg|ekg|ableitung|d[eé]rivation|derivaci[oó]n|deriva[cç][aã]o|derivazione)"
    r"(?:-(?=[a-z])|[_:\s]*))+"
)
# V 1, aV_R.
_SPACED = re.compile(r"(-?a?v)[ _]+([1-6rlf](?:neg)?)")
_UNITS_IN_MV = {"mv": 1.0, "uv": 1e-3, "µv": 1e-3, "μv": 1e-3, "v": 1e3, "nv": 1e-6}
# Raw counts of a converter, by its gain and the count that is 0 V: 200/mV, 200(2048)/mV, as in the headers of WFDB.
_COUNTS = re.compile(r"(\d+(?:\.\d+)?)(?:\(([+-]?\d{1,10})\))?/([mµμun]?v)")


# In Hz. Below the first not even the heart rate can be seen; no amplifier of an ECG reaches the second.
_SAMPLING_RATES = (5.0, 50_000.0)


def check_sampling_rate(rate: float, what: str = "sampling_rate") -> None:
    """Raise LfbtError, which calls it `what`, unless an ECG may have such a rate: 5 Hz to 50 kHz.

    >>> check_sampling_rate(500.0)
    """
    low, high = _SAMPLING_RATES
    if not rate > 0:
        raise LfbtError(f"{what}: {rate:g} Hz is not above 0; give the rate of the signals")
    if not low <= rate <= high:
        raise LfbtError(f"{what}: {rate:g} Hz is none of an ECG; allowed: {low:g} to {high:g} Hz")


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
    >>> lead_name("V 1"), lead_name("Ableitung I")
    ('V1', 'I')
    """
    stripped = name.strip()
    # One character of East Asian fonts may be a Roman numeral.
    plain = unicodedata.normalize("NFKC", stripped).lower()
    word = _PREFIXES.sub("", re.sub("[\u2212\u2013]", "-", plain)).strip("_ ")
    if spaced := _SPACED.fullmatch(word):
        word = spaced[1] + spaced[2]
    negated = word.startswith("-") or word.endswith("neg")
    lead = _STANDARD_NAMES.get(word.removesuffix("neg") if word.endswith("neg") else word.removeprefix("-"))
    if lead is None:
        return stripped
    return f"-{lead}" if negated else lead


def names_of_leads(names: Iterable[str]) -> tuple[str, ...]:
    """Spell the names of the leads of one ECG in the standard way.

    C1 to C6 are the leads V1 to V6 where all of them are beside I and II and no others than limb leads.

    Examples
    --------
    >>> names_of_leads(["i", "II", "C1", "C2", "C3", "C4", "C5", "C6"])
    ('I', 'II', 'V1', 'V2', 'V3', 'V4', 'V5', 'V6')
    >>> names_of_leads(["I", "C3", "C4"])
    ('I', 'C3', 'C4')
    """
    spelled = tuple(map(lead_name, names))
    is_iec = set(spelled) >= {"I", "II", *_IEC_CHEST} and set(spelled) <= {*STANDARD_LEADS[:6], *_IEC_CHEST}
    return tuple(_IEC_CHEST.get(name, name) for name in spelled) if is_iec else spelled


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
    names = names_of_leads(lead_names(leads))
    check_leads(names)
    return names


def lead_names(leads: Any) -> tuple[str, ...]:
    """Read names as they are spelled. Raises LfbtError for what is neither a text nor texts.

    Examples
    --------
    >>> lead_names("II,lead1"), lead_names(["avr"])
    (('II', 'lead1'), ('avr',))
    """
    if isinstance(leads, str):
        return tuple(part.strip() for part in leads.split(",") if part.strip())
    names = (leads,) if isinstance(leads, bytes) or not isinstance(leads, Iterable) else tuple(leads)
    for name in names:
        if not isinstance(name, str):
            raise LfbtError(f"leads: {name!r} is not a text")
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
    """Whether `unit` is a voltage that `unit_in_mv` knows; counts are none."""
    return unit.strip().lower() in _UNITS_IN_MV


def unit_in_mv(unit: str) -> float:
    """Return how many mV one `unit` is; of counts one step, wherever their 0 V is.

    Parameters
    ----------
    unit : str
        ``mV``, ``uV``, ``µV``, ``V`` or ``nV``, in any case, or raw counts by their gain and perhaps the count of 0 V,
        such as ``200/mV`` and ``200(2048)/mV``.

    Raises
    ------
    LfbtError
        If `unit` is not one of these.

    Examples
    --------
    >>> unit_in_mv("uV"), unit_in_mv("200/mV"), unit_in_mv("200(2048)/mV")
    (0.001, 0.005, 0.005)
    """
    text = str(unit).strip().lower()
    counts = _COUNTS.fullmatch(text)
    gain = float(counts[1]) if counts else 0.0
    in_mv = _UNITS_IN_MV[counts[3]] / gain if counts and gain else _UNITS_IN_MV.get(text)
    if in_mv is None:
        raise LfbtError(
            f"unit: {unit!r} is not a voltage that lfbt knows; allowed: mV, uV, µV, V, nV, or counts by their "
            "gain, such as 200/mV, and with the count of 0 V, such as 200(2048)/mV"
        )
    return in_mv


def zero_count(unit: str) -> int | None:
    """Return the count that is 0 V, of a unit such as ``200(2048)/mV``; None where it is not stated.

    >>> zero_count("200(2048)/mV"), zero_count("200/mV")
    (2048, None)
    """
    counts = _COUNTS.fullmatch(str(unit).strip().lower())
    return int(counts[2]) if counts and counts[2] else None


def to_mv(values: NDArray[Any], unit: str) -> NDArray[Any]:
    """Convert `values` in `unit`, as `unit_in_mv` has it, to mV. Raises LfbtError for another unit.

    >>> to_mv(np.array([2048, 2248], dtype=np.uint16), "200(2048)/mV").tolist()
    [0.0, 1.0]
    """
    zero = zero_count(unit)
    if zero:
        values = np.subtract(values, zero, dtype=np.float64)
    return values * unit_in_mv(unit)


def is_number(value: object) -> bool:
    """Whether `value` is a real number of Python or NumPy; True and False are none."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _holds_masked(values: Any, depth: int = 3) -> bool:
    """Whether `values` is a masked array, or has one in lists; deeper ones have too many axes for signals anyway."""
    if isinstance(values, (list, tuple)) and depth:
        return any(_holds_masked(part, depth - 1) for part in values)
    return isinstance(values, np.ma.MaskedArray)


def as_real_array(name: str, values: Any) -> NDArray[Any]:
    """Take integers or floats as an array: an array, nested lists, or a PyTorch tensor of any device.

    Raises LfbtError, which calls them `name`, for anything else, and for masked arrays, whose mask would be ignored.
    """
    if _holds_masked(values):
        raise LfbtError(f"{name}: a masked array, whose mask would be ignored; fill it, or leave masked records out")
    try:
        if hasattr(values, "detach"):
            # NumPy has no bfloat16.
            values = (values.float() if str(values.dtype) == "torch.bfloat16" else values).numpy(force=True)
        array = np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:
        raise LfbtError(f"{name}: not an array ({error}); give [records, leads, samples]") from error
    if array.dtype.kind not in "iuf":
        raise LfbtError(f"{name}: {array.dtype} is not a type of real numbers; give integers or floats")
    return array


@dataclasses.dataclass(frozen=True, eq=False)
class Recording:
    """One ECG as read: signal, sampling rate, lead names, and what is known of it.

    Parameters
    ----------
    signal : ndarray of float32, ``[leads, samples]``
        Voltages in mV, unless `in_mv` is False; other arrays of numbers and nested lists are converted.
    sampling_rate : float
        In Hz.
    leads : tuple of str
        The name of each row of `signal`, in the standard spelling; a text such as ``II,V1`` is converted.
    id, patient : str
        Names of the recording and of the patient; empty if unknown.
    labels : tuple of str
        Class names; empty if unknown.
    notes : tuple of str
        What its reader decided: signals that it left out, an array that it transposed.
    in_mv : bool
        Whether `signal` is in mV, and not the z-scores as which it was published.

    Raises
    ------
    UnreadableError
        If `signal` is not ``[leads, samples]``, or the sampling rate is not positive.
    LfbtError
        For a signal that is no array of numbers, and for leads that are no names.

    Examples
    --------
    >>> recording = Recording(np.zeros((2, 5000), dtype=np.float32), 500.0, ("II", "V1"))
    >>> recording.signal.shape
    (2, 5000)
    >>> recording
    Recording(id '', leads II,V1, 500 Hz, 5000 samples)
    """

    signal: NDArray[np.float32]
    sampling_rate: float
    leads: tuple[str, ...]
    id: str = ""
    patient: str = ""
    labels: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    in_mv: bool = True

    def __post_init__(self) -> None:
        signal = as_real_array(f"recording {self.id or '?'}: signal", self.signal)
        # A value beyond float32 becomes infinite, which the quality checks report.
        with np.errstate(over="ignore"):
            object.__setattr__(self, "signal", signal.astype(np.float32, copy=False))
        object.__setattr__(self, "leads", tuple(map(lead_name, lead_names(self.leads))))
        if self.signal.ndim != 2 or self.signal.shape[0] != len(self.leads) or self.signal.shape[1] < 1:
            raise UnreadableError(
                f"recording {self.id or '?'}: its signal has shape {list(self.signal.shape)}, "
                f"not [{len(self.leads)} leads, samples]; its leads are {','.join(self.leads)}"
            )
        rate = self.sampling_rate
        if not is_number(rate) or not 0 < rate < np.inf:
            raise UnreadableError(f"recording {self.id or '?'}: sampling rate {rate} Hz is not positive")

    def __eq__(self, other: object) -> bool:
        """Whether all is the same; where samples are NaN in both, too."""
        if not isinstance(other, Recording):
            return NotImplemented
        mine, theirs = vars(self) | {"signal": None}, vars(other) | {"signal": None}
        return mine == theirs and np.array_equal(self.signal, other.signal, equal_nan=True)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return (
            f"Recording(id {self.id!r}, leads {','.join(self.leads)}, {self.sampling_rate:g} Hz, "
            f"{self.signal.shape[1]} samples)"
        )
