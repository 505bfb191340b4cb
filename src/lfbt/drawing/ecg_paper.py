"""An ECG on grid paper, as SVG: 25 mm/s and 10 mm/mV, three rows of four leads and a rhythm strip."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence

import numpy as np

from lfbt.drawing.layout import LINES, PAPER_COLOUR, TEXT_MM, UNIT, Paper, Points, Span, Text, lay_out
from lfbt.recording import Recording

_FONT = "system-ui,-apple-system,'Segoe UI',sans-serif"
_STROKES = "".join(
    f".ecg .{kind}{{stroke:{colour};stroke-width:{mm * UNIT:g}}}" for kind, (colour, mm) in LINES.items()
)
#: The style of drawings inside a page, which has it once.
STYLE = f"""
.ecg .paper{{fill:{PAPER_COLOUR}}}{_STROKES}
.ecg text{{fill:{LINES["trace"][0]};font:{TEXT_MM * UNIT:g}px {_FONT}}}.ecg .lead{{font-weight:600}}
.ecg .fine,.ecg .bold,.ecg .trace{{fill:none}}.ecg .trace{{stroke-linejoin:round;stroke-linecap:round}}
.ecg .mark{{fill:#1f6feb}}
@media screen and (prefers-color-scheme:dark){{
.ecg .paper{{fill:#16181c}}.ecg .fine{{stroke:#3a2528}}.ecg .bold{{stroke:#6b3a40}}.ecg .trace{{stroke:#eef1f5}}
.ecg text{{fill:#eef1f5}}.ecg .mark{{fill:#58a6ff}}}}
"""


def draw_ecg(recording: Recording, spans: Sequence[Span] = (), standalone: bool = True) -> str:
    """Draw the first ten seconds of an ECG on grid paper.

    Where the twelve standard leads are there, or can be derived, they are drawn as three rows of four leads, 2.5 s each
    and one after another in time, with lead II below over ten seconds; further leads and those of other recordings have
    a row each. Every trace is drawn about its median, so that an offset moves it nowhere. Where a recording is
    shorter than ten seconds, all twelve leads are drawn from its start.

    Parameters
    ----------
    recording : Recording
        In mV. Samples that are not finite are gaps.
    spans : sequence of Span
        Parts of its time that are marked.
    standalone : bool
        Whether the document has its own style; without it, it is for a page that has `STYLE`.

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
    >>> svg.startswith('<svg xmlns="http://www.w3.org/2000/svg" class="ecg" width="270mm" height="65mm"')
    True
    """
    paper = lay_out(recording, spans)
    width, height = paper.width * UNIT, paper.height * UNIT
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" class="ecg" width="{paper.width}mm" height="{paper.height}mm" '
            f'viewBox="0 0 {width} {height}" role="img">',
            f"<title>{_escape(paper.title)}</title>{f'<style>{STYLE}</style>' if standalone else ''}",
            f'<rect class="paper" width="{width}" height="{height}"/>',
            *(
                f'<rect class="mark" opacity="{0.5 * band.strength:.2f}" x="{band.x}" y="{band.y}" '
                f'width="{band.width}" height="{band.height}"/>'
                for band in paper.bands
            ),
            *_grid(paper),
            *(_path(trace.lines, trace.lead) for trace in paper.traces),
            *map(_text, paper.texts),
            "</svg>",
        ]
    )


def _grid(paper: Paper) -> Iterator[str]:
    for is_bold, across, down in paper.grid():
        path = "".join(f"M{x * UNIT} 0v{paper.height * UNIT}" for x in across)
        path += "".join(f"M0 {y * UNIT}h{paper.width * UNIT}" for y in down)
        yield f'<path class="{"bold" if is_bold else "fine"}" d="{path}"/>'


def _path(lines: Sequence[Points], lead: str) -> str:
    named = f' data-lead="{_escape(lead)}"' if lead else ""
    return f'<path class="trace"{named} d="{"".join(map(_line if lead else _corners, lines))}"/>'


def _line(points: Points) -> str:
    steps = np.diff(points, axis=0).tolist()
    # A lone sample becomes a dot.
    return f"M{points[0, 0]} {points[0, 1]}l" + (" ".join(f"{dx} {dy}" for dx, dy in steps) or "0 0")


def _corners(points: Points) -> str:
    """A line of horizontal and vertical steps."""
    steps = np.diff(points, axis=0).tolist()
    return f"M{points[0, 0]} {points[0, 1]}" + "".join(f"v{dy}" if dy else f"h{dx}" for dx, dy in steps)


def _text(text: Text) -> str:
    named = f' class="{text.kind}"' if text.kind else ""
    return f'<text x="{text.x}" y="{text.y}"{named}>{_escape(text.words)}</text>'


def _escape(text: str) -> str:
    """Text as it may stand in XML: marks escaped, characters that XML has not replaced."""
    return html.escape("".join(c if c.isprintable() else "\ufffd" for c in text))
