"""Section 6: where the best classifier is surely wrong, and where it is most right, with the ECGs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from lfbt.evaluation.metrics import above_threshold, predict_most_probable
from lfbt.reports.blocks import Block, Cell, Fold, Paragraph, Section, table_of
from lfbt.reports.data import ecg
from lfbt.reports.material import Material, rows_by_id
from lfbt.reports.scored_trials import ScoredTrial
from lfbt.utils.figures import format_count

# Mistakes and hits that are listed of each class, and classes that are shown: those of most test records.
_LISTED, _HITS, _MOST_CLASSES = 5, 2, 6


@dataclasses.dataclass(frozen=True)
class Cases:
    """Records of a class: rows of the predictions, the most confident first.

    Parameters
    ----------
    false_negatives
        Records of the class that are not predicted so, the lowest probability first.
    false_positives
        Records of other classes that are, the highest first.
    true_positives
        Records of the class that are predicted so, the highest first.
    """

    false_negatives: NDArray[np.int64]
    false_positives: NDArray[np.int64]
    true_positives: NDArray[np.int64]


def find_cases(trial: ScoredTrial) -> list[Cases]:
    """Find mistakes and hits of each class: of exclusive ones by the most probable, else by the thresholds."""
    probabilities, targets = trial.predictions.probabilities, trial.targets
    if trial.results.exclusive:
        predicted = predict_most_probable(probabilities)
    else:
        limits = np.full(targets.shape[1], 0.5) if trial.thresholds is None else trial.thresholds
        predicted = above_threshold(probabilities, limits)

    def sort(chosen: NDArray[np.bool_], k: int, sign: int) -> NDArray[np.int64]:
        rows = np.flatnonzero(chosen)
        order: NDArray[np.int64] = rows[np.argsort(sign * probabilities[rows, k], kind="stable")]
        return order

    return [
        Cases(
            false_negatives=sort(targets[:, k] & ~predicted[:, k], k, 1),
            false_positives=sort(~targets[:, k] & predicted[:, k], k, -1),
            true_positives=sort(targets[:, k] & predicted[:, k], k, -1),
        )
        for k in range(targets.shape[1])
    ]


def errors(material: Material) -> Section:
    """List and draw the most confident mistakes and the most typical hits of each class."""
    blocks: list[Block] = []
    if material.best is None or material.best.name not in material.trials:
        why = material.no_rows or "No classifier is among these runs"
        blocks.append(Paragraph(f"{why}: so there are no single records to show.", "note"))
    else:
        trial = material.trials[material.best.name][0]
        blocks += _of_trial(material, trial)
    return Section(
        "errors",
        "Errors",
        "Where the classifier is sure and wrong, either it or the label is: these are the records to look at first. "
        "The hits show what it takes the class to look like.",
        tuple(blocks),
    )


def _of_trial(material: Material, trial: ScoredTrial) -> Iterator[Block]:
    cases, classes = find_cases(trial), trial.predictions.classes
    counts = trial.targets.sum(axis=0)
    order = [k for k in np.argsort(-counts, kind="stable").tolist() if counts[k]]
    yield Paragraph(f"Of {material.best.name if material.best else ''}, seed {trial.results.seed}.", "note")
    dataset, known = material.dataset, {}
    if dataset is None:
        yield Paragraph(f"{material.no_dataset}: so the records are named, but not drawn.", "note")
    elif not dataset.in_mv:
        yield Paragraph("The signals are z-scores, which have no scale: the records are named, but not drawn.", "note")
    else:
        known = rows_by_id(dataset)
    for place, k in enumerate(order[:_MOST_CLASSES]):
        of, blocks = cases[k], list[Block]()
        n, p = int(counts[k]), trial.predictions.probabilities
        rows = [
            *(("false negative", row) for row in of.false_negatives[:_LISTED]),
            *(("false positive", row) for row in of.false_positives[:_LISTED]),
        ]
        rows += [("true positive", row) for row in of.true_positives[:_HITS]]
        cells: list[list[Cell]] = [_cells(trial, k, what, int(row)) for what, row in rows]
        columns: list[tuple[str, str]] = [
            ("what", "t"),
            ("record", "t"),
            ("patient", "t"),
            ("labels", "t"),
            ("most probable", "t"),
        ]
        columns += [(f"p({classes[k]})", "")]
        blocks.append(table_of(f"Most confident mistakes and hits of {classes[k]}", columns, cells))
        for what, found in (
            ("False negative", of.false_negatives),
            ("False positive", of.false_positives),
            ("True positive", of.true_positives),
        ):
            if len(found) and trial.predictions.ids[found[0]] in known and dataset is not None:
                row = known[trial.predictions.ids[found[0]]]
                blocks.append(ecg(dataset, row, f". {what}: p({classes[k]}) = {p[found[0], k]:.3f}"))
        negatives = format_count(len(of.false_negatives), "false negative")
        positives = format_count(len(of.false_positives), "false positive")
        title = f"{classes[k]}: {format_count(n, 'record')}, {negatives}, {positives}"
        yield Fold(title, tuple(blocks), is_open=place == 0)
    left = [classes[k] for k in order[_MOST_CLASSES:]]
    if left:
        yield Paragraph(f"Not shown: {', '.join(left)}.", "note")


def _cells(trial: ScoredTrial, k: int, what: str, row: int) -> list[Cell]:
    predictions = trial.predictions
    most = int(predictions.probabilities[row].argmax())
    return [
        what,
        predictions.ids[row],
        predictions.patients[row],
        ", ".join(predictions.labels[row]),
        f"{predictions.classes[most]} ({predictions.probabilities[row, most]:.3f})",
        f"{predictions.probabilities[row, k]:.3f}",
    ]
