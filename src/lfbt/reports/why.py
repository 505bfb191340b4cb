"""Section 8: which leads and which parts of the time the classifier's answers rest on, and whether that holds."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from lfbt.drawing.layout import Span
from lfbt.evaluation.bootstrap import class_areas
from lfbt.evaluation.saliency import (
    DeletionTest,
    deletion_test,
    falls_by_window,
    probabilities_without_leads,
    split_time,
)
from lfbt.reports.blocks import Block, Cell, Charts, Heading, Paragraph, Section, table_of
from lfbt.reports.charts import Line, common_axis, make_bar, make_chart
from lfbt.reports.data import ecg
from lfbt.reports.encoders import Loaded
from lfbt.reports.material import SEED, Material, draw_rows
from lfbt.utils.figures import format_figure, format_interval

#: Test records at most whose leads are left out, and whose windows are.
MOST_RECORDS, MOST_DELETED = 400, 24
_WINDOWS, _DELETED = 20, 5
# Test records below which an AUROC without a lead says nothing.
_FEWEST = 2


def why(material: Material, loaded: Loaded | str) -> Section:
    """Leave out leads and windows of time, and test whether the windows found explain the answers."""
    if isinstance(loaded, str) or loaded.classify is None:
        reason = loaded if isinstance(loaded, str) else "No classifier"
        blocks: list[Block] = [Paragraph(f"{reason}: so nothing can be asked of it.", "note")]
    else:
        blocks = list(_blocks(material, loaded))
    return Section(
        "why",
        "Why",
        "A lead whose absence lowers the AUROC is one that the classifier needs. Marked parts of the ECG are those "
        "whose absence lowers the probability: believe them only if the deletion test says so.",
        tuple(blocks),
    )


def _blocks(material: Material, loaded: Loaded) -> Iterator[Block]:
    dataset = loaded.dataset
    if loaded.classify is None:
        return
    tested = np.arange(len(dataset)) if loaded.run.results.folds else dataset.rows("test")
    rows = draw_rows(tested, MOST_RECORDS)
    if len(rows) < _FEWEST:
        yield Paragraph("The data set has no test records.", "note")
        return
    signals = loaded.signals(rows)
    embeddings = loaded.embed(rows)
    probabilities = loaded.classify(embeddings)
    yield from _check(material, loaded, rows, probabilities)
    yield from _leads(loaded, rows, embeddings, probabilities)
    # The class that is predicted.
    numbers = probabilities.argmax(axis=1)
    some = draw_rows(np.arange(len(rows)), MOST_DELETED)
    falls = falls_by_window(signals[some], numbers[some], loaded.probabilities, _WINDOWS)
    test = deletion_test(signals[some], numbers[some], falls, loaded.probabilities, _DELETED, seed=SEED)
    is_right = np.array([loaded.model.classes[numbers[i]] in dataset.labels[rows[i]] for i in some])
    highest = np.where(is_right, falls.max(axis=1), -1) if is_right.any() else falls.max(axis=1)
    place = int(highest.argmax())
    at = int(some[place])
    yield from _time(loaded, int(rows[at]), falls[place], int(numbers[at]), float(probabilities[at].max()))
    yield from _verdict(test)


def _check(
    material: Material, loaded: Loaded, rows: NDArray[np.int64], probabilities: NDArray[np.float64]
) -> Iterator[Block]:
    """Say where the model does not give the probabilities that the run has recorded."""
    trials = [trial for of in material.trials.values() for trial in of if trial.folder == loaded.run.folder]
    if not trials or loaded.run.results.folds:
        return
    recorded = dict(zip(trials[0].predictions.ids, trials[0].predictions.probabilities, strict=True))
    pairs = [
        (recorded[loaded.dataset.ids[row]], p)
        for row, p in zip(rows, probabilities, strict=True)
        if loaded.dataset.ids[row] in recorded
    ]
    if pairs and (apart := float(np.max([np.abs(one - other).max() for one, other in pairs]))) > 0.01:
        yield Paragraph(
            f"The classifier gives other probabilities here than the run has recorded, by up to {apart:.3f}: what "
            "follows is of the classifier as it is now.",
            "warning",
        )


def _leads(
    loaded: Loaded, rows: NDArray[np.int64], embeddings: NDArray[np.float32], probabilities: NDArray[np.float64]
) -> Iterator[Block]:
    if loaded.classify is None:
        return
    dataset, leads = loaded.dataset, loaded.model.config.leads
    targets = np.array([[name in dataset.labels[row] for name in loaded.model.classes] for row in rows])
    without = probabilities_without_leads(embeddings, len(leads), loaded.classify)
    whole = _auroc(probabilities, targets)
    changes = [float(np.abs(p - probabilities).mean()) for p in without]
    falls = [whole - _auroc(p, targets) for p in without]
    axis = common_axis([0.0, *(fall for fall in falls if np.isfinite(fall))])
    cells: list[list[Cell]] = []
    for i in np.argsort(-np.nan_to_num(np.array(falls)), kind="stable").tolist():
        bar = make_bar(falls[i] if np.isfinite(falls[i]) else 0.0, axis)
        cells.append([leads[i], format_figure(falls[i], "+.4f"), bar, format_figure(changes[i])])
    columns: list[tuple[str, str]] = [
        ("lead left out", "t"),
        ("AUROC lost", ""),
        (f"{axis[0]:+.3f} to {axis[1]:+.3f}", "pic"),
    ]
    columns += [("mean change of a probability", "")]
    yield Heading("Which leads matter")
    yield table_of("Leads left out", columns, cells)
    n = f"{len(rows)} test records" + (f", drawn by chance (seed {SEED})" if len(rows) == MOST_RECORDS else "")
    yield Paragraph(
        f"Of {loaded.run.name}, {n}. A lead is left out by putting the mean of its features in their place. Leads tell "
        "much of the same, so that one may be needless although all together are not.",
        "note",
    )


def _auroc(probabilities: NDArray[np.float64], targets: NDArray[np.bool_]) -> float:
    areas = class_areas(probabilities, targets, np.ones((1, len(targets)), dtype=np.int32))["auroc"][0]
    known = areas[np.isfinite(areas)]
    return float(known.mean()) if len(known) else float("nan")


def _time(loaded: Loaded, row: int, falls: NDArray[np.float64], number: int, p: float) -> Iterator[Block]:
    dataset, name = loaded.dataset, loaded.model.classes[number]
    windows = [
        (a / dataset.sampling_rate, b / dataset.sampling_rate) for a, b in split_time(dataset.n_samples, _WINDOWS)
    ]
    yield Heading("Where in time")
    yield Paragraph(
        "Of the records of the deletion test below, the rightly answered one whose probability falls most.", "note"
    )
    highest = float(falls.max())
    if dataset.in_mv:
        spans = [
            Span(start, stop, float(fall) / highest)
            for (start, stop), fall in zip(windows, falls, strict=True)
            if highest > 0 and fall > 0.1 * highest
        ]
        how = f". p({name}) = {p:.3f}; the stronger the mark, the more it falls when that part is hidden in all leads"
        yield ecg(dataset, row, how, spans)
    middles = [(start + stop) / 2 for start, stop in windows]
    line = Line(middles, falls, "", "line", 0)
    chart = make_chart(
        f"Record {dataset.ids[row]}",
        [Line([0, windows[-1][1]], [0, 0], "", "rule"), line, Line(middles, falls, "", "point", 0)],
        "seconds",
        f"fall of p({name})",
    )
    yield Charts(
        (chart,),
        f"How far the probability falls when {windows[0][1] - windows[0][0]:.3g} s are hidden: each "
        "lead is its mean there.",
    )


def _verdict(test: DeletionTest) -> Iterator[Block]:
    yield Heading("Deletion test")
    figures = (
        f"With the {test.deleted} of {test.windows} windows hidden that matter most one by one, the probability of the "
        f"predicted class falls by {test.salient:.3f}; with as many by chance by {test.random:.3f}. Difference "
        f"{test.difference:+.3f} {format_interval(test.interval, '+.3f')}, mean of {test.records} test records."
    )
    yield Paragraph(figures)
    if test.explains:
        yield Paragraph("The interval is above 0: the marked parts matter more than others.")
    else:
        yield Paragraph(
            "The interval is not above 0: this saliency explains nothing. Do not read the marks.", "warning"
        )
