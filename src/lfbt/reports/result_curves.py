"""ROC and precision–recall curves of each class with bands, and calibration, of the best group beside a reference."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lfbt.evaluation.bootstrap import bootstrap_weights
from lfbt.evaluation.curves import calibrate, precision_recall_curve, roc_curve
from lfbt.reports.blocks import Block, Charts, Heading, Paragraph
from lfbt.reports.charts import Chart, Line, make_chart
from lfbt.reports.grouping import Group
from lfbt.reports.material import SEED, Material
from lfbt.utils.figures import format_names

# Classes whose curves are drawn, those of most test records; draws of patients of a band.
_MOST_CLASSES, _N_DRAWS = 6, 200


def curve_blocks(material: Material) -> Iterator[Block]:
    """Draw the curves; none where there are no predictions."""
    best, baseline = material.best, material.baseline
    if best is None or best.name not in material.trials:
        return
    shown = [best] if baseline is None or baseline is best else [best, baseline]
    trial = material.trials[best.name][0]
    counts = trial.targets.sum(axis=0)
    scored = [k for k in np.argsort(-counts, kind="stable").tolist() if 0 < counts[k] < len(trial.targets)]
    weights = bootstrap_weights(trial.predictions.patients, _N_DRAWS, SEED)
    roc, recall = [], []
    for k in scored[:_MOST_CLASSES]:
        name, n = trial.predictions.classes[k], int(counts[k])
        of_roc = [Line([0, 1], [0, 1], "", "rule")]
        of_recall = [Line([0, 1], [n / len(trial.targets)] * 2, "", "rule")]
        for colour, group in reversed(list(enumerate(shown))):
            scores = [one.predictions.probabilities[:, k] for one in material.trials[group.name]]
            for lines, curve in (
                (of_roc, roc_curve(scores, trial.targets[:, k], weights)),
                (of_recall, precision_recall_curve(scores, trial.targets[:, k], weights)),
            ):
                band = (curve.low, curve.high) if group is best else (None, None)
                lines.append(Line(curve.x, curve.y, group.name, "line" if group is best else "dashed", colour, *band))
        title = f"{name}, {n} records"
        whole = ((0.0, 1.0), (0.0, 1.0))
        roc.append(make_chart(title, of_roc, "false positive rate (1 − specificity)", "sensitivity", "", *whole))
        recall.append(make_chart(title, of_recall, "recall (sensitivity)", "precision", "", *whole))
    left = [trial.predictions.classes[k] for k in scored[_MOST_CLASSES:]]
    seeds = ", the mean over seeds" if len(best.runs) > 1 else ""
    caption = (
        f"The curve{seeds} with a band of 95 % at each point, over {_N_DRAWS} draws of patients; the dotted line is "
        f"chance.{f' Not drawn: {format_names(left, 6)}.' if left else ''}"
    )
    if roc:
        yield Heading(f"ROC curves of {best.name}")
        yield Charts(tuple(roc), caption)
        yield Heading(f"Precision–recall curves of {best.name}")
        yield Charts(tuple(recall), caption)
    yield Heading("Calibration")
    yield Charts(
        (_calibration(material, shown),),
        "Of records that get a probability, the share of which it is true: on the dotted line both agree, below it the "
        "classifier claims too much. "
        + (
            "The probability is that of the predicted class."
            if best.first.results.exclusive
            else "Probabilities of all classes together."
        )
        + " Whiskers are 95 % intervals (Wilson).",
    )
    if np.isnan([one.predictions.probabilities.sum() for one in material.trials[best.name]]).any():
        yield Paragraph("Some probabilities are not numbers.", "warning")


def _calibration(material: Material, shown: list[Group]) -> Chart:
    lines = [Line([0, 1], [0, 1], "", "rule")]
    for colour, group in enumerate(shown):
        trials = material.trials[group.name]
        probabilities = [trial.predictions.probabilities for trial in trials]
        found = calibrate(probabilities, trials[0].targets, group.first.results.exclusive)
        ece = np.mean([run.results.test.ece for run in group.runs])
        lines.append(Line(found.predicted, found.observed, "", "faint", colour))
        name = f"{group.name}, ECE {ece:.3f}"
        lines.append(Line(found.predicted, found.observed, name, "point", colour, found.low, found.high))
    return make_chart("Calibration", lines, "probability", "share that is true", "", (0.0, 1.0), (0.0, 1.0))
