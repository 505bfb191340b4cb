"""The header of a WFDB record, parsed once for every reader, after header(5) of the WFDB manual."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from lfbt.errors import UnreadableError
from lfbt.io.guarding import unreadable
from lfbt.utils.opening import read_bytes

_INTEGER = r"[+-]?\d{1,10}"
_NUMBER = r"[+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?"
# Name and perhaps segments; signals; frames per second, counter frequency and base counter; frames; time and date.
_RECORD = re.compile(
    rf"(?P<name>[^\s/]+)(/(?P<segments>\d+))?\s+(?P<signals>\d{{1,6}})"
    rf"(\s+(?P<rate>{_NUMBER})(/{_NUMBER}(\({_NUMBER}\))?)?(\s+(?P<frames>\d{{1,15}})(\s.*)?)?)?",
    re.ASCII,
)
# File, format, samples per frame, skew and offset in the file; gain, baseline and unit; resolution, zero, first value,
# checksum and block size of the converter; lead. Each field needs those before it.
_SIGNAL = re.compile(
    r"(?P<file>\S+)\s+(?P<format>\d{1,4})(?:x(?P<per_frame>\d{1,6}))?(?::(?P<skew>\d{1,9}))?"
    rf"(?:\+(?P<offset>\d{{1,15}}))?(?:\s+(?P<gain>{_NUMBER})(?:\((?P<baseline>{_INTEGER})\))?(?:/(?P<unit>\S+))?"
    rf"(?:\s+\d{{1,3}}(?:\s+(?P<zero>{_INTEGER})(?:\s+(?P<first>{_INTEGER})(?:\s+(?P<checksum>{_INTEGER})"
    rf"(?:\s+{_INTEGER}(?:\s+(?P<lead>\S.*))?)?)?)?)?)?)?",
    re.ASCII,
)
_RECORD_FIELDS = "NAME SIGNALS HZ SAMPLES"
_SIGNAL_FIELDS = "FILE FORMAT GAIN(BASELINE)/UNIT RESOLUTION ZERO FIRST_VALUE CHECKSUM BLOCK_SIZE LEAD"
# More than any body surface map has, and more than their lines take.
_MOST_SIGNALS, _MOST_BYTES = 256, 1 << 20
# No signal file: the place of a signal that other segments of a record have.
_NO_FILE = "~"


class WfdbSignal(NamedTuple):
    """A signal line: where the samples are and what they mean.

    A gain of 0 is one that is not stated, and so are an empty lead and a `first` value or `checksum` that is None.
    """

    file: str
    format: int
    per_frame: int
    skew: int
    offset: int
    gain: float
    baseline: int
    unit: str
    first: int | None
    checksum: int | None
    lead: str


class WfdbHeader(NamedTuple):
    """A record: frames a second, frames (0 if not stated), its signals, each with so many samples a frame, its name."""

    frame_rate: float
    n_frames: int
    signals: list[WfdbSignal]
    name: str


def read_header(path: Path) -> WfdbHeader:
    """Read the header of a WFDB record of one segment.

    Parameters
    ----------
    path : Path
        The ``.hea`` file, in UTF-8 or Latin-1.

    Returns
    -------
    WfdbHeader
        Its signals, without those that have no file.

    Raises
    ------
    UnreadableError
        If a line has another form, the header states no rate, has no signals, or is one of several segments.
    """
    try:
        data = read_bytes(path, _MOST_BYTES)
    except OSError as error:
        raise unreadable(path, error) from error
    if b"\0" in data:
        raise UnreadableError(f"file {path}: not a WFDB header in UTF-8 (perhaps UTF-16); save it as UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    lines = [line.strip() for line in text.replace("\r", "\n").split("\n")]
    lines = [line for line in lines if line and line[0] != "#"]
    record = _RECORD.fullmatch(lines[0]) if lines else None
    if record is None:
        start = lines[0][:60] if lines else ""
        raise UnreadableError(
            f"file {path}: cannot be read ({start!r} is not a WFDB record line: {_RECORD_FIELDS}); give a .hea file"
        )
    if record["segments"]:
        raise UnreadableError(
            f"file {path}: a record of {record['segments']} segments; give the header of one segment instead"
        )
    if int(record["signals"]) > _MOST_SIGNALS:
        raise UnreadableError(
            f"file {path}: states {record['signals']} signals, over the {_MOST_SIGNALS} that are read; correct its "
            f"record line ({_RECORD_FIELDS})"
        )
    signals = [_signal(path, line) for line in lines[1:]]
    if len(signals) != int(record["signals"]):
        raise UnreadableError(
            f"file {path}: cannot be read ({record['signals']} signals stated, {len(signals)} described); "
            "download it again"
        )
    if not signals:
        raise UnreadableError(f"file {path}: it has no signal, only annotations or comments")
    stored = [signal for signal in signals if signal.file != _NO_FILE]
    if not stored:
        raise UnreadableError(f"file {path}: a layout header, without samples; give the header of a segment instead")
    rate = float(record["rate"] or 0)
    if not 0 < rate < 1e6:
        what = f"a sampling rate of {record['rate']} Hz" if record["rate"] else "no sampling rate"
        raise UnreadableError(f"file {path}: it states {what}; correct its record line ({_RECORD_FIELDS})")
    return WfdbHeader(rate, int(record["frames"] or 0), stored, record["name"])


def _signal(path: Path, line: str) -> WfdbSignal:
    match = _SIGNAL.fullmatch(line)
    gain = float((match and match["gain"]) or 0)
    if match is None or not (gain == 0 or 1e-12 < abs(gain) < 1e12):
        raise UnreadableError(
            f"file {path}: cannot be read ({line[:60]!r} is not a WFDB signal line: {_SIGNAL_FIELDS}); correct it"
        )
    file, format, per_frame, skew, offset, _, baseline, unit, zero, first, checksum, lead = match.groups()
    if per_frame is not None and int(per_frame) == 0:
        raise UnreadableError(
            f"file {path}: signal {lead or file} has the format {format}x{per_frame}, which is 0 samples a frame; "
            "state 1 or more"
        )
    return WfdbSignal(
        file,
        int(format),
        int(per_frame or 1),
        int(skew or 0),
        int(offset or 0),
        gain,
        int(baseline or zero or 0),
        unit or "mV",
        None if first is None else int(first),
        None if checksum is None else int(checksum),
        lead or "",
    )
