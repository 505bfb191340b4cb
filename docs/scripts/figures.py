"""Draw the figures of docs/method.md, as SVG: python docs/scripts/figures.py docs/images

The ECG is synthetic; its views are drawn by the functions that pretraining uses.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import lfbt
from lfbt.sources.synthesis import FINDINGS, make_signal

_LEADS = ("II", "V1")
_RATE = 500
_COLOURS = ("#1f77b4", "#c0392b")
# The same file from the same code: no random ids, no date.
_STYLE = {
    "svg.hashsalt": "lfbt",
    "svg.fonttype": "path",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def main(folder: Path) -> None:
    """Write method.svg and views.svg into `folder`."""
    with mpl.rc_context(_STYLE):
        for name, figure in (("method.svg", draw_method()), ("views.svg", draw_views())):
            figure.savefig(folder / name, metadata={"Date": None}, bbox_inches="tight", facecolor="white")


def draw_method() -> Figure:
    """Draw how a record becomes a loss."""
    figure = Figure(figsize=(8, 3.4))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, 100), ylim=(-6, 43))
    axes.axis("off")
    _box(axes, 1, 16, 12, "record\nall leads")
    for y, view in ((27, "view 1"), (5, "view 2")):
        _arrow(axes, (13, 20), (19, y + 4))
        _box(axes, 19, y, 11, f"{view}\ncrop, time-out")
        for shift, lead in ((5, "lead II"), (-5, "lead V1")):
            _arrow(axes, (30, y + 4), (35, y + shift + 4))
            _box(axes, 35, y + shift, 15, f"encoder\n{lead}")
            _arrow(axes, (50, y + shift + 4), (55, y + shift + 4), "64")
            _box(axes, 56, y + shift, 15, f"projector\n{lead}")
            _arrow(axes, (71, y + shift + 4), (82, 20), "2048" if shift > 0 else "")
    _box(axes, 82, 16, 17, "loss\nγ intra + (1 − γ) inter")
    axes.text(53, -4, "and so on for the other leads", ha="center", fontsize=7, color="#34495e")
    return figure


def _box(axes: Axes, x: float, y: float, width: float, text: str) -> None:
    axes.add_patch(mpl.patches.FancyBboxPatch((x, y), width, 8, boxstyle="round,pad=0.2", fc="#eef3f8", ec="#34495e"))
    axes.text(x + width / 2, y + 4, text, ha="center", va="center", fontsize=7.5)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], text: str = "") -> None:
    axes.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": "#34495e"})
    axes.text((start[0] + end[0]) / 2, (start[1] + end[1]) / 2 + 0.6, text, ha="center", fontsize=7, color="#34495e")


def draw_views() -> Figure:
    """Draw two leads of a synthetic ECG, and two views of it."""
    twelve = make_signal(FINDINGS["sinus rhythm"], np.random.default_rng(2))
    names = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
    record = torch.from_numpy(np.stack([twelve[names.index(lead)] for lead in _LEADS])).float()
    views = lfbt.random_views(record[None], np.random.default_rng(5))[:, 0]
    figure = Figure(figsize=(8, 4.2), layout="constrained")
    rows = figure.subplots(3, 1, sharex=True, sharey=True)
    for axes, signal, title in zip(rows, (record, *views), ("record", "view 1", "view 2"), strict=True):
        time = np.arange(signal.shape[1]) / _RATE
        for lead, colour, name in zip(signal.numpy(), _COLOURS, _LEADS, strict=True):
            axes.plot(time[::4], lead[::4], color=colour, linewidth=0.7, label=name)
        axes.set_ylabel(f"{title}\nmV")
    rows[0].legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False)
    rows[-1].set_xlabel("seconds of the record, or of the stretched crop")
    return figure


if __name__ == "__main__":
    main(Path(sys.argv[1]))
