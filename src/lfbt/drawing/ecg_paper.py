"""An ECG on grid paper, as SVG: 25 mm/s and 10 mm/mV, three rows of four leads and a rhythm strip."""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Iterator, Sequence

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

# Coordinates are whole hundredths of a millimetre.
_UNIT = 100
# Millimetres around the traces; on the left there is room for the calibration pulse.
_LEFT, _RIGHT, _TOP, _BOTTOM = 15, 5, 7.5, 7.5
# A row reaches from its baseline so far at least and at most, in mm; what is beyond is cut off, and said.
_LEAST, _MOST = 10, 40
# Above each row there is so much room for the names of its leads, in mm.
_NAMES = 5
# Samples closer than this, in mm, are drawn as the lowest and the highest of them.
_FINEST = 0.2
_FONT = "system-ui,-apple-system,'Segoe UI',sans-serif"
_STYLE = f"""
.paper{{fill:#fffafa}}.fine{{stroke:#f5c9c9;stroke-width:10}}.bold{{stroke:#e59a9a;stroke-width:20}}
.trace{{stroke:#14161a;stroke-width:28}}text{{fill:#14161a;font:340px {_FONT}}}.lead{{font-weight:600}}
.fine,.bold,.trace{{fill:none}}.trace{{stroke-linejoin:round;stroke-linecap:round}}
@media screen and (prefers-color-scheme:dark){{
.paper{{fill:#16181c}}.fine{{stroke:#3a2528}}.bold{{stroke:#6b3a40}}.trace{{stroke:#eef1f5}}text{{fill:#eef1f5}}}}
"""


@dataclasses.dataclass(frozen=True)
class _Trace:
    """A lead from `second` of its row on, ``[samples]`` in mV about its median."""

    lead: str
    second: float
    signal: NDArray[np.float32]

    def reach(self, sign: int) -> float:
        """How far it goes up or down, in mm."""
        finite = self.signal[np.isfinite(self.signal)]
        return float(max(0, (sign * finite).max(initial=0))) * MM_PER_MV


def draw_ecg(recording: Recording) -> str:
    """Draw the first ten seconds of an ECG on grid paper.

    Where the twelve standard leads are there, or can be derived, they are drawn as three rows of four leads, 2.5 s each
    and one after another in time, with lead II below over ten seconds; further leads and those of other recordings have
    a row each. Every trace is drawn about its median, so that an offset moves it nowhere. Where a recording is
    shorter than ten seconds, all twelve leads are drawn from its start.

    Parameters
    ----------
    recording : Recording
        In mV. Samples that are not finite are gaps.

    Returns
    -------
    str
        An SVG document in the paper's own size: 25 mm a second, 10 mm a millivolt, a grid of 1 mm with bold lines every
        5 mm, a calibration pulse of 1 mV and 0.2 s before each row, the names of the leads and the scale.
        Coordinates are hundredths of a millimetre. It has colours for light and dark.

    Raises
    ------
    LfbtError
        For a recording that is not in mV.

    Examples
    --------
    >>> svg = draw_ecg(Recording(np.zeros((2, 5000)), 500.0, ("II", "V1")))
    >>> svg.startswith('<svg xmlns="http://www.w3.org/2000/svg" width="270mm" height="65mm"')
    True
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
    heights = [tuple(max(_fit(trace.reach(sign)) for trace in row) for sign in (1, -1)) for row in rows]
    lines, baseline = 1 + len(notes), float(_TOP)
    body: list[str] = []
    for row, (up, down) in zip(rows, heights, strict=True):
        baseline += _NAMES + up
        body += _draw_row(row, baseline, up, recording.sampling_rate)
        baseline += down
    width = round(_LEFT + MM_PER_SECOND * SECONDS + _RIGHT)
    height = _ceil5(baseline + _BOTTOM + 5 * (lines - 1))
    leads = ", ".join(recording.leads)
    foot = [_text(_LEFT, baseline + 4 + 5 * i, line) for i, line in enumerate([scale, *notes])]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}mm" height="{height}mm" '
            f'viewBox="0 0 {width * _UNIT} {height * _UNIT}" role="img">',
            f"<title>{_escape(f'ECG, leads {leads}, {drawn:.4g} s, {scale}')}</title><style>{_STYLE}</style>",
            f'<rect class="paper" width="{width * _UNIT}" height="{height * _UNIT}"/>',
            *_grid(width, height),
            _text(_LEFT, 5, recording.id),
            *body,
            *foot,
            "</svg>",
        ]
    )


def _rows(recording: Recording) -> tuple[list[list[_Trace]], list[str]]:
    """The traces of each row, and what was decided."""
    n_row = round(SECONDS * recording.sampling_rate)
    signal = recording.signal[:, :n_row]
    derived = missing_leads(STANDARD_LEADS, recording.leads)
    try:
        standard = choose_leads(signal, recording.leads, STANDARD_LEADS)
    except AbsentLeadError:
        return [[_Trace(*each)] for each in _each(recording.leads, signal)], []
    notes = [f"derived: {', '.join(derived)}"] if derived else []
    n_column = n_row // len(ROWS[0])
    is_whole = signal.shape[1] >= n_row - 1
    if not is_whole:
        notes.append("every lead from its start")
    by_name = dict(zip(STANDARD_LEADS, standard, strict=True))
    seconds = SECONDS / len(ROWS[0])
    rows = [
        [
            _Trace(lead, place * seconds, _centred(by_name[lead])[start : start + n_column])
            for place, lead in enumerate(names)
            for start in [place * n_column if is_whole else 0]
        ]
        for names in ROWS
    ]
    rows.append([_Trace(RHYTHM, 0.0, _centred(by_name[RHYTHM]))])
    others = [row for row, lead in enumerate(recording.leads) if lead not in STANDARD_LEADS]
    names = [recording.leads[row] for row in others]
    return rows + [[_Trace(*each)] for each in _each(names, signal[others])], notes


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
    return round(mm * _UNIT)


def _grid(width: int, height: int) -> Iterator[str]:
    for name, is_bold in (("fine", False), ("bold", True)):
        across = "".join(f"M{x * _UNIT} 0v{height * _UNIT}" for x in range(width + 1) if (x % 5 == 0) == is_bold)
        down = "".join(f"M0 {y * _UNIT}h{width * _UNIT}" for y in range(height + 1) if (y % 5 == 0) == is_bold)
        yield f'<path class="{name}" d="{across}{down}"/>'


def _draw_row(row: Sequence[_Trace], baseline: float, up: float, sampling_rate: float) -> Iterator[str]:
    """The calibration pulse of a row, and its traces with their names."""
    pulse = f"M300 {_at(baseline)}h200v-{MM_PER_MV * _UNIT}h{MM_PER_SECOND * _UNIT // 5}v{MM_PER_MV * _UNIT}h200"
    yield f'<path class="trace" d="{pulse}"/>'
    for trace in row:
        left = _LEFT + MM_PER_SECOND * trace.second
        if trace.second:
            yield f'<path class="trace" d="M{_at(left)} {_at(baseline - 3)}v200M{_at(left)} {_at(baseline + 1)}v200"/>'
        path = "".join(_path(trace.signal, sampling_rate, left, baseline))
        yield f'<path class="trace" data-lead="{_escape(trace.lead)}" d="{path}"/>'
        yield _text(left + 1, baseline - up - 1, trace.lead, "lead")


def _path(signal: NDArray[np.float32], sampling_rate: float, left: float, baseline: float) -> Iterator[str]:
    """The lines of a trace, interrupted where samples are not finite."""
    kept = _samples_to_draw(signal, int(_FINEST / MM_PER_SECOND * sampling_rate))
    in_mm = np.clip(signal[kept].astype(np.float64) * MM_PER_MV, -_MOST, _MOST)
    x = np.rint((left + kept / sampling_rate * MM_PER_SECOND) * _UNIT).astype(np.int64)
    is_drawn = np.isfinite(signal[kept])
    y = np.rint((baseline - np.where(is_drawn, in_mm, 0)) * _UNIT).astype(np.int64)
    for run in np.split(np.arange(len(kept)), np.flatnonzero(np.diff(is_drawn)) + 1):
        if len(run) and is_drawn[run[0]]:
            steps = zip(np.diff(x[run]).tolist(), np.diff(y[run]).tolist(), strict=True)
            # A lone sample becomes a dot.
            yield f"M{x[run[0]]} {y[run[0]]}l" + (" ".join(f"{dx} {dy}" for dx, dy in steps) or "0 0")


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


def _text(x: float, y: float, text: str, kind: str = "") -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text x="{_at(x)}" y="{_at(y)}"{named}>{_escape(text)}</text>'


def _escape(text: str) -> str:
    """Text as it may stand in XML: marks escaped, characters that XML has not replaced."""
    return html.escape("".join(c if c.isprintable() else "\ufffd" for c in text))
