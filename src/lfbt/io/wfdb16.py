"""WFDB records of 16-bit samples, as nearly all ECG data sets are published, read without wfdb.

Most of the time that wfdb takes for a record goes into parsing its header. Here a header of the usual form (header(5)
and signal(5) of the WFDB manual) is parsed by two patterns; one of any other form is left to wfdb.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_NUMBER = r"[+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?"
# Record name, signals, sampling rate, samples; perhaps a time and a date, in whatever form.
_RECORD = re.compile(rf"[^\s/]+ +(?P<signals>\d+) +(?P<rate>{_NUMBER}) +(?P<samples>\d+)( .*)?")
# File, format and offset in the file; gain, baseline and unit; resolution, zero, first value, checksum and block size
# of the converter; lead.
_SIGNAL = re.compile(
    rf"(?P<file>\S+) +16(x1)?(\+(?P<offset>\d+))? +(?P<gain>{_NUMBER})(\((?P<baseline>-?\d+)\))?(/(?P<unit>\S+))?"
    r" +\d+ +(?P<zero>-?\d+) +-?\d+ +-?\d+ +0 +(?P<lead>\S+)"
)
_INVALID = -32768


class Wfdb16(NamedTuple):
    """Samples ``[signals, samples]`` in each signal's unit, NaN where they are invalid; sampling rate in Hz."""

    signal: NDArray[np.float64]
    names: list[str]
    units: list[str]
    sampling_rate: float


def read_wfdb16(header: Path, text: str) -> Wfdb16 | None:
    """Read the record of a header with the content `text`, with the same result as wfdb.

    Returns None, so that wfdb reads it, for a header of another form, for signals in several files, and for a signal
    file that is absent or not of the size that its header implies.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    record = _RECORD.fullmatch(lines[0]) if lines else None
    signals = [match for line in lines[1:] if (match := _SIGNAL.fullmatch(line))]
    if record is None or not signals or not len(signals) == len(lines) - 1 == int(record["signals"]):
        return None
    gains = np.array([float(match["gain"]) for match in signals])
    locations = {(match["file"], int(match["offset"] or 0)) for match in signals}
    n_samples = int(record["samples"])
    if len(locations) > 1 or not n_samples or (gains == 0).any():
        return None
    (name, offset), n = locations.pop(), n_samples * len(signals)
    path = header.parent / name
    if Path(name).name != name or not path.is_file() or path.stat().st_size != offset + 2 * n:
        return None
    frames = np.fromfile(path, dtype="<i2", count=n, offset=offset).reshape(n_samples, -1)
    baselines = [int(match["baseline"] or match["zero"]) for match in signals]
    physical = np.subtract(frames, baselines, dtype=np.float64)
    physical /= gains
    physical[frames == _INVALID] = np.nan
    names = [match["lead"] for match in signals]
    return Wfdb16(physical.T, names, [match["unit"] or "mV" for match in signals], float(record["rate"]))
