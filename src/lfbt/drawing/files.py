"""One ECG as a file: SVG, PNG or PDF."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lfbt.drawing.ecg_paper import draw_ecg
from lfbt.drawing.layout import LINES, PAPER_COLOUR, TEXT_MM, UNIT, Paper, lay_out
from lfbt.errors import LfbtError
from lfbt.recording import Recording
from lfbt.utils.files import atomic_file
from lfbt.utils.finished import check_same_file
from lfbt.utils.targets import check_creatable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: What a file of a drawing may end in.
SUFFIXES = (".svg", ".png", ".pdf")

_MM_PER_INCH, _POINTS_PER_INCH = 25.4, 72
_DOTS_PER_INCH = 200


def check_drawing(out: Path) -> None:
    """Raise LfbtError, before anything is read, for a file that cannot become a drawing."""
    if out.suffix.lower() not in SUFFIXES:
        raise LfbtError(f"out: {out} ends in none of {', '.join(SUFFIXES)}; name a file that does")
    if out.is_dir():
        raise LfbtError(f"out: {out} is a folder; give another name")
    if not out.absolute().parent.is_dir():
        raise LfbtError(f"out: the folder of {out} does not exist; make it, or give another name")
    if os.path.lexists(out) and not out.is_file():
        raise LfbtError(f"out: {out} is no regular file; give another name")
    check_creatable(out)


def save_drawing(recording: Recording, out: Path, overwrite: bool = False) -> None:
    """Write an ECG on grid paper as the file's suffix says, complete or not at all.

    Parameters
    ----------
    recording
        In mV; as of `lfbt.drawing.ecg_paper.draw_ecg`.
    out
        A ``.pdf`` has the paper's own size, a ``.png`` 200 dots an inch of it. The same recording gives the same bytes.

    overwrite
        Replace another file of that name.

    Raises
    ------
    FinishedError
        When the same drawing is there already.
    LfbtError
        For a recording that is not in mV, another file of that name, and one that cannot be written.
    """
    content = _content(recording, out.suffix.lower().removeprefix("."))
    if not overwrite:
        check_same_file(out, content, "--overwrite")
    with atomic_file(out) as partial:
        partial.write_bytes(content)


def _content(recording: Recording, form: str) -> bytes:
    """An ECG on grid paper in one of the forms."""
    if form == "svg":
        return draw_ecg(recording).encode()
    import matplotlib as mpl

    # Without the time of writing.
    metadata: dict[str, Any] = {"CreationDate": None} if form == "pdf" else {}
    content = io.BytesIO()
    with mpl.rc_context({"pdf.fonttype": 42}):
        figure = _figure(lay_out(recording))
        figure.savefig(content, format=form, dpi=_DOTS_PER_INCH, metadata=metadata)
    return content.getvalue()


def _figure(paper: Paper) -> Figure:
    from matplotlib.figure import Figure

    width, height = paper.width * UNIT, paper.height * UNIT
    figure = Figure(figsize=(paper.width / _MM_PER_INCH, paper.height / _MM_PER_INCH), facecolor=PAPER_COLOUR)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    for is_bold, across, down in paper.grid():
        colour, mm = LINES["bold" if is_bold else "fine"]
        axes.vlines([x * UNIT for x in across], 0, height, colour, linewidth=_points(mm))
        axes.hlines([y * UNIT for y in down], 0, width, colour, linewidth=_points(mm))
    colour, mm = LINES["trace"]
    for trace in paper.traces:
        for line in trace.lines:
            mark = "." if len(line) == 1 else ""
            axes.plot(*line.T, color=colour, linewidth=_points(mm), marker=mark, markersize=1, solid_capstyle="round")
    for text in paper.texts:
        weight = "bold" if text.kind == "lead" else "normal"
        # Between dollar signs matplotlib would see mathematics; its font lacks characters that are not printable.
        words = "".join(c if c.isprintable() else "\ufffd" for c in text.words)
        axes.text(text.x, text.y, words, fontsize=_points(TEXT_MM), color=colour, fontweight=weight, parse_math=False)
    return figure


def _points(mm: float) -> float:
    return mm / _MM_PER_INCH * _POINTS_PER_INCH
