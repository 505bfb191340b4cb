"""Where everything is on the paper of an ECG, in hundredths of a millimetre: 25 mm/s and 10 mm/mV."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lfbt.errors import AbsentLeadError, LfbtError
from lfbt.recording import STANDARD_LEADS, Recording, missing_leads
from lfbt.signal import Signal, choose_leads

#: The scale of the paper: millimetres a second and a millivolt.
MM_PER_SECOND, MM_PER_MV = 25, 10
#: Seconds of a row.
SECONDS = 10.0
#: The three rows of a 12-lead ECG, four leads one after another in each; below them the lead of rhythm.
ROWS = (("I", "aVR", "V1", "V4"), ("II", "aVL", "V2", "V5"), ("III", "aVF", "V3", "V6"))
RHYTHM = "II"
#: Coordinates are whole hundredths of a millimetre.
UNIT = 100

# Millimetres around the traces; on the left there is room for the calibration pulse.
_LEFT, _RIGHT, _TOP, _BOTTOM = 15, 5, 7.5, 7.5
# A row reaches from its baseline so far at least and at most, in mm; what is beyond is cut off, and said.
_LEAST, _MOST = 10, 40
# Above each row there is so much room for the names of its leads, in mm.
_NAMES = 5
# Samples closer than this, in mm, are drawn as the lowest and the highest of them.
_FINEST = 0.2

#: Colours on a light ground, and widths of lines and the height of text in mm.
LINES = {"fine": ("#f5c9c9", 0.1), "bold": ("#e59a9a", 0.2), "trace": ("#14161a", 0.28)}
PAPER_COLOUR, TEXT_MM = "#fffafa", 3.4
#: Points ``[points, 2]`` of a line from left to right and from top to bottom.
Points = NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class Text:
    """Words at a point of the paper."""

    x: int
    y: int
    words: str
    kind: Literal["", "lead"] = ""


@dataclasses.dataclass(frozen=True)
class Trace:
    """Lines of one lead; of none a calibration pulse, or the marks between leads. A line of one point is a dot."""

    lead: str
    lines: tuple[Points, ...]


@dataclasses.dataclass(frozen=True)
class Span:
    """A part of the time of the recording: seconds from its start, and how strongly it is marked, 0 to 1."""

    start: float
    stop: float
    strength: float


@dataclasses.dataclass(frozen=True)
class Band:
    """A marked part of the paper."""

    x: int
    y: int
    width: int
    height: int
    strength: float


@dataclasses.dataclass(frozen=True)
class Paper:
    """An ECG laid out.

    Parameters
    ----------
    width, height
        Of the paper, in mm.
    title
        What it shows, in words.
    traces, texts, bands
        What is drawn on the grid; bands below traces.
    foot
        The lines below: the scale, then what was decided.
    """

    width: int
    height: int
    title: str
    traces: tuple[Trace, ...]
    texts: tuple[Text, ...]
    bands: tuple[Band, ...]
    foot: tuple[str, ...]

    def grid(self) -> Iterator[tuple[bool, list[int], list[int]]]:
        """Yield the millimetres of vertical and horizontal lines: of the fine ones, then of the bold ones (True)."""
        for is_bold in (False, True):
            across, down = (
                [mm for mm in range(size + 1) if (mm % 5 == 0) == is_bold] for size in (self.width, self.height)
            )
            yield is_bold, across, down


@dataclasses.dataclass(frozen=True)
class _Lead:
    """A lead from `second` of its row on, ``[samples]`` in mV about its median; `start`: its time in the recording."""

    lead: str
    second: float
    signal: NDArray[np.float32]
    start: float = 0.0

    def reach(self, sign: int) -> float:
        """How far it goes up or down, in mm."""
        finite = self.signal[np.isfinite(self.signal)]
        return float(max(0, (sign * finite).max(initial=0))) * MM_PER_MV


def lay_out(recording: Recording, spans: Sequence[Span] = ()) -> Paper:
    """Lay out the first ten seconds of an ECG; see `lfbt.drawing.ecg_paper.draw_ecg`.

    Parameters
    ----------
    recording
        In mV.
    spans
        Parts of its time that are marked in every row that shows them.

    Raises
    ------
    LfbtError
        For a recording that is not in mV.
    """
    if not recording.in_mv:
        raise LfbtError(f"recording {recording.id or '?'}: is not in mV, so that it has no scale to be drawn at")
    rows, notes = _rows(recording)
    duration = recording.signal.shape[1] / recording.sampling_rate
    drawn = min(SECONDS, duration)
    of = f" of {duration:.4g} s" if duration > SECONDS else ""
    scale = f"{MM_PER_SECOND} mm/s, {MM_PER_MV} mm/mV; {f'first {drawn:g}' if of else f'{drawn:.4g}'} s{of}"
    scale += f"; {recording.sampling_rate:g} Hz; traces about their medians"
    cut = [t.lead for row in rows for t in row if max(t.reach(1), t.reach(-1)) > _MOST]
    notes += [f"cut off at ±{_MOST / MM_PER_MV:g} mV: {', '.join(dict.fromkeys(cut))}"] if cut else []
    heights = [tuple(max(_fit(lead.reach(sign)) for lead in row) for sign in (1, -1)) for row in rows]
    baseline = float(_TOP)
    traces: list[Trace] = []
    texts = [Text(_at(_LEFT), _at(5), recording.id)]
    bands: list[Band] = []
    for row, (up, down) in zip(rows, heights, strict=True):
        baseline += _NAMES + up
        bands += [
            band for lead in row for band in _bands(lead, spans, recording.sampling_rate, baseline - up, up + down)
        ]
        for trace, name in _draw_row(row, baseline, up, recording.sampling_rate):
            traces.append(trace)
            texts += [name] if name else []
        baseline += down
    texts += [Text(_at(_LEFT), _at(baseline + 4 + 5 * i), line) for i, line in enumerate([scale, *notes])]
    return Paper(
        width=round(_LEFT + MM_PER_SECOND * SECONDS + _RIGHT),
        height=_ceil5(baseline + _BOTTOM + 5 * len(notes)),
        title=f"ECG, leads {', '.join(recording.leads)}, {drawn:.4g} s, {scale}",
        traces=tuple(traces),
        texts=tuple(texts),
        bands=tuple(bands),
        foot=(scale, *notes),
    )


def _rows(recording: Recording) -> tuple[list[list[_Lead]], list[str]]:
    """The leads of each row, and what was decided."""
    n_row = round(SECONDS * recording.sampling_rate)
    signal = recording.signal[:, :n_row]
    derived = missing_leads(STANDARD_LEADS, recording.leads)
    try:
        standard = choose_leads(signal, recording.leads, STANDARD_LEADS)
    except AbsentLeadError:
        return [[_Lead(*each)] for each in _each(recording.leads, signal)], []
    notes = [f"derived: {', '.join(derived)}"] if derived else []
    n_column = n_row // len(ROWS[0])
    is_whole = signal.shape[1] >= n_row - 1
    if not is_whole:
        notes.append("every lead from its start")
    by_name = dict(zip(STANDARD_LEADS, standard, strict=True))
    seconds = SECONDS / len(ROWS[0])
    rows = [
        [
            _Lead(
                lead,
                place * seconds,
                _centred(by_name[lead])[start : start + n_column],
                start / recording.sampling_rate,
            )
            for place, lead in enumerate(names)
            for start in [place * n_column if is_whole else 0]
        ]
        for names in ROWS
    ]
    rows.append([_Lead(RHYTHM, 0.0, _centred(by_name[RHYTHM]))])
    others = [row for row, lead in enumerate(recording.leads) if lead not in STANDARD_LEADS]
    names = [recording.leads[row] for row in others]
    return rows + [[_Lead(*each)] for each in _each(names, signal[others])], notes


def _each(leads: Sequence[str], signal: Signal) -> Iterator[tuple[str, float, Signal]]:
    for lead, values in zip(leads, signal, strict=True):
        yield lead, 0.0, _centred(values)


def _centred(values: NDArray[np.float32]) -> NDArray[np.float32]:
    finite = values[np.isfinite(values)]
    return values - np.median(finite) if len(finite) else values


def _fit(reach: float) -> float:
    """Room for a trace that reaches so far, in mm: the next half of a bold square, within limits."""
    return float(np.clip(2.5 * np.ceil(reach / 2.5), _LEAST, _MOST))


def _ceil5(value: float) -> int:
    return 5 * int(np.ceil(value / 5))


def _at(mm: float) -> int:
    return round(mm * UNIT)


def _bands(lead: _Lead, spans: Sequence[Span], sampling_rate: float, top: float, height: float) -> Iterator[Band]:
    """The parts of a lead that are marked, from `top` down, in mm."""
    stop = lead.start + len(lead.signal) / sampling_rate
    for span in spans:
        begin, end = max(span.start, lead.start), min(span.stop, stop)
        if begin < end:
            left = _LEFT + MM_PER_SECOND * (lead.second + begin - lead.start)
            width = _at(MM_PER_SECOND * (end - begin))
            yield Band(_at(left), _at(top), width, _at(height), float(np.clip(span.strength, 0, 1)))


def _draw_row(
    row: Sequence[_Lead], baseline: float, up: float, sampling_rate: float
) -> Iterator[tuple[Trace, Text | None]]:
    """The calibration pulse of a row, and its leads with their names."""
    y, high, wide = _at(baseline), MM_PER_MV * UNIT, MM_PER_SECOND * UNIT // 5
    pulse = [(300, y), (500, y), (500, y - high), (500 + wide, y - high), (500 + wide, y), (700 + wide, y)]
    yield Trace("", (np.array(pulse),)), None
    for lead in row:
        left = _LEFT + MM_PER_SECOND * lead.second
        if lead.second:
            marks = tuple(
                np.array([(_at(left), _at(baseline + mm)), (_at(left), _at(baseline + mm) + 200)]) for mm in (-3, 1)
            )
            yield Trace("", marks), None
        lines = tuple(_lines(lead.signal, sampling_rate, left, baseline))
        yield Trace(lead.lead, lines), Text(_at(left + 1), _at(baseline - up - 1), lead.lead, "lead")


def _lines(signal: NDArray[np.float32], sampling_rate: float, left: float, baseline: float) -> Iterator[Points]:
    """The lines of a lead, interrupted where samples are not finite."""
    kept = _samples_to_draw(signal, int(_FINEST / MM_PER_SECOND * sampling_rate))
    in_mm = np.clip(signal[kept].astype(np.float64) * MM_PER_MV, -_MOST, _MOST)
    x = np.rint((left + kept / sampling_rate * MM_PER_SECOND) * UNIT).astype(np.int64)
    is_drawn = np.isfinite(signal[kept])
    y = np.rint((baseline - np.where(is_drawn, in_mm, 0)) * UNIT).astype(np.int64)
    for run in np.split(np.arange(len(kept)), np.flatnonzero(np.diff(is_drawn)) + 1):
        if len(run) and is_drawn[run[0]]:
            yield np.stack([x[run], y[run]], axis=1)


def _samples_to_draw(signal: NDArray[np.float32], n_block: int) -> NDArray[np.int64]:
    """The samples that are drawn: of each block of `n_block` the lowest and the highest, all of short blocks.

    Blocks with samples that are not finite keep all, so that gaps stay where they are.
    """
    if n_block <= 2:
        return np.arange(len(signal))
    n_blocks = len(signal) // n_block
    blocks = signal[: n_blocks * n_block].reshape(n_blocks, n_block)
    starts = n_block * np.arange(n_blocks)
    is_kept = np.zeros(len(signal), dtype=bool)
    is_kept[n_blocks * n_block :] = True
    is_kept[[0, -1]] = True
    whole = np.isfinite(blocks).all(axis=1)
    for ends in (blocks[whole].argmin(axis=1), blocks[whole].argmax(axis=1)):
        is_kept[starts[whole] + ends] = True
    is_kept[: n_blocks * n_block].reshape(n_blocks, n_block)[~whole] = True
    return np.flatnonzero(is_kept)
