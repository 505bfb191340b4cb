"""Section 5: how good the classifiers are: groups over seeds, intervals, paired differences, classes, confusions."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lfbt.reports.blocks import Block, Cell, Charts, Fold, Heading, Paragraph, Section, Shade, table_of
from lfbt.reports.charts import Line, common_axis, make_chart, make_strip
from lfbt.reports.comparison_rows import WITHOUT_RARE, Row
from lfbt.reports.grouping import Group
from lfbt.reports.material import SEED, Material
from lfbt.reports.result_curves import curve_blocks
from lfbt.runs.loading import ClassifierRun
from lfbt.runs.results import Interval, Results, Scores, describe_rare
from lfbt.utils.figures import ABSENT, format_count, format_estimate, format_figure, format_interval, format_mean

if TYPE_CHECKING:
    import pandas as pd

_NAMES = {"auroc": "AUROC", "auprc": "AUPRC"}
# Groups whose classes and confusions are shown.
_MOST_GROUPS = 12
_LARGEST_P = 0.05

_PROTOCOL = (
    "The classifier with the lowest validation loss was kept and scored once on the test split. AUROC is one class "
    "against the rest, AUPRC average precision, both means over the classes in the test split; in brackets the 95 % "
    "intervals of a bootstrap over patients, and over seeds where there are several. Chance is the AUPRC of guessing. "
    "F1 and balanced accuracy are means over classes; ECE is the expected calibration error."
)


def results(material: Material) -> Section:
    """Tabulate and draw the test figures of all classifiers."""
    blocks: list[Block] = []
    if not material.groups:
        blocks.append(Paragraph("No classifier is among these runs: probe or fine-tune the encoder.", "note"))
    else:
        blocks += _overview(material)
        blocks += _differences(material)
        blocks += curve_blocks(material)
        blocks += _fractions_and_subsets(material)
        blocks += _classes(material)
        blocks += _confusions(material)
        runs = [run for group in material.groups for run in group.runs]
        blocks.append(Fold(f"Every run by itself ({len(runs)})", (_all_runs(runs),)))
    look = (
        "Rows whose intervals do not overlap differ; of those that do, the table of differences tells, as its figures "
        "are paired: of the same patients."
    )
    return Section("results", "Results", look, tuple(blocks))


def _overview(material: Material) -> Iterator[Block]:
    """The forest: a row a group, the best of it bold."""
    found = [(group, _figures(material, group)) for group in material.groups]
    axes = {
        metric: common_axis([value for _, of in found for value in (of[metric][0], *(of[metric][2] or ()))])
        for metric in _NAMES
    }
    rows: list[list[Cell]] = []
    for group, of in found:
        rows.append([group.name])
        for metric in _NAMES:
            mean, sd, bounds = of[metric]
            rows[-1] += [
                make_strip(mean, bounds, axes[metric]),
                f"{format_mean(mean, sd)} {format_interval(bounds)}".strip(),
            ]
        rows[-1] += [group.first.title, str(len(group.runs))]
    columns: list[tuple[str, str]] = [("run", "t")]
    for metric, name in _NAMES.items():
        low, high = axes[metric]
        columns += [(f"{name}, {low:.2f} to {high:.2f}", "pic"), (f"{name} ± sd [95 %]", "n")]
    columns += [("kind", "t"), ("seeds", "")]
    best = None if material.best is None else material.groups.index(material.best)
    yield table_of("Runs, grouped over seeds", columns, rows, best if len(rows) > 1 else None)
    yield Paragraph(_PROTOCOL, "note")
    yield Paragraph(_multiplicity(len(material.groups)), "note")
    if material.no_rows:
        yield Paragraph(f"Without curves and differences: {material.no_rows}", "warning")
    rare = material.groups[0].first.results.test.rare_classes
    if rare:
        few = describe_rare(rare)
        lines = [
            (group.name, *(_mean_without(material, group, metric) for metric in _NAMES)) for group in material.groups
        ]
        head: list[tuple[str, str]] = [("run", "t"), *((f"{name} {few}", "n") for name in _NAMES.values())]
        yield table_of(f"The same {few}", head, lines)


def _mean_without(material: Material, group: Group, metric: Any) -> str:
    row = material.rows.get(group.name)
    figure = None if row is None else row.figures.get(metric + WITHOUT_RARE)
    if figure is not None:
        return format_estimate(figure.mean, figure.sd, figure.interval)
    values = [run.results.test.without_rare(metric) for run in group.runs]
    known = [value for value in values if value is not None]
    mean = float(np.mean(known)) if len(known) == len(values) and known else None
    intervals = group.first.results.test.intervals
    bounds = None if intervals is None or intervals.without_rare is None else getattr(intervals.without_rare, metric)
    return f"{format_figure(mean)} {format_interval(bounds) if len(values) == 1 else ''}".strip()


def _figures(material: Material, group: Group) -> dict[str, tuple[float | None, float | None, Interval]]:
    """Mean, deviation and interval of each metric: of the predictions where they are there, else as recorded."""
    row = material.rows.get(group.name)
    if row is not None:
        return {name: (row.figures[name].mean, row.figures[name].sd, row.figures[name].interval) for name in _NAMES}
    intervals = group.first.results.test.intervals if len(group.runs) == 1 else None
    return {
        name: (group.mean("test", name), None, None if intervals is None else getattr(intervals, name))
        for name in _NAMES
    }


_THRESHOLDS = {
    True: "Sensitivity and specificity are those at the threshold, which was chosen on validation by Youden's J. F1 is "
    "of the most probable class, so that it may be 0 where the sensitivity is high.",
    False: "Sensitivity, specificity and F1 are those at the threshold, which was chosen on validation by Youden's J.",
}


def _multiplicity(n_rows: int) -> str:
    return (
        f"{format_count(n_rows, 'row')} in the table. Intervals are of each by itself, not adjusted for "
        "their number: the best of several is too good by chance. lfbt compare tests differences, adjusted."
    )


def _differences(material: Material) -> Iterator[Block]:
    compared: list[tuple[Group, Row]] = [
        (group, material.rows[group.name])
        for group in material.groups
        if group.name in material.rows and material.rows[group.name].against is not None
    ]
    if not compared or material.baseline is None:
        return
    figures = [(group, row.figures["auroc"], row.figures["auprc"]) for group, row in compared]
    axis = common_axis(
        [value for _, one, _ in figures for value in (0.0, one.difference, *(one.difference_interval or ()))]
    )
    rows: list[list[Cell]] = []
    for group, auroc, auprc in figures:
        p = auroc.p if auroc.p_holm is None else auroc.p_holm
        verdict = "no difference shown"
        if auroc.difference_interval is not None and auroc.difference is not None:
            low, high = auroc.difference_interval
            verdict = "better" if low > 0 else "worse" if high < 0 else verdict
            # The least p that so many draws can give says nothing against the difference.
            is_least = auroc.p is not None and auroc.p <= 2 / (material.n_draws + 1) * (1 + 1e-9)
            if (low > 0 or high < 0) and p is not None and p > _LARGEST_P and not is_least:
                verdict += " by itself, but not certain among so many rows"
        rows.append([
            group.name,
            make_strip(auroc.difference, auroc.difference_interval, axis, zero=0.0),
            f"{format_figure(auroc.difference, '+.4f')} {format_interval(auroc.difference_interval, '+.3f')}",
            format_figure(p, ".3f"),
            f"{format_figure(auprc.difference, '+.4f')} {format_interval(auprc.difference_interval, '+.3f')}",
            verdict,
        ])  # fmt: skip
    adjusted = any(one.p_holm is not None for _, one, _ in figures)
    columns: list[tuple[str, str]] = [
        ("run", "t"), (f"{axis[0]:+.2f} to {axis[1]:+.2f}", "pic"), ("AUROC difference", "n"),
        ("p, Holm" if adjusted else "p", ""), ("AUPRC difference", "n"), ("difference of AUROC", "t"),
    ]  # fmt: skip
    yield Heading(f"Paired differences from {material.baseline.name}")
    yield table_of(f"Differences from {material.baseline.name}", columns, rows)
    yield Paragraph(
        f"{material.n_draws} draws of test patients and seeds (seed {SEED}), the same for all runs; p-values are "
        f"two-sided{', adjusted for the number of rows by Holm' if adjusted else ''}; intervals of 95 % are not "
        "adjusted.",
        "note",
    )


def _fractions_and_subsets(material: Material) -> Iterator[Block]:
    """AUROC over the share of labels, where a series has several, and of the lead subsets."""
    lines: list[Line] = []
    places = list(dict.fromkeys(group.place for group in material.groups))
    for place in places:
        for subset in dict.fromkeys(
            group.first.results.lead_subset for group in material.groups if group.place == place
        ):
            series = [
                group for group in material.groups if group.place == place and group.first.results.lead_subset == subset
            ]
            series.sort(key=lambda group: group.first.results.fraction)
            if len({group.first.results.fraction for group in series}) > 1:
                points = [(group.first.results.fraction, *_figures(material, group)["auroc"]) for group in series]
                x, y = [point[0] for point in points], [_number(point[1]) for point in points]
                low, high = ([_number(point[3][i] if point[3] else None) for point in points] for i in (0, 1))
                name = f"{place}{f', {subset}' if subset else ''}"
                lines += [
                    Line(x, y, name, "line", len(lines) // 2),
                    Line(x, y, "", "point", len(lines) // 2, low, high),
                ]
    if lines:
        yield Heading("Label fraction")
        chart = make_chart(
            "AUROC over the share of labels", lines, "share of the training patients", "AUROC", x_log=True
        )
        yield Charts((chart,), "Whiskers are 95 % intervals. A curve that is flat at its end needs no more labels.")
    served = [
        (group.name, name, scores.test)
        for group in material.groups
        for name, scores in group.first.results.by_lead_subset.items()
    ]
    subsets = [group for group in material.groups if group.first.results.lead_subset]
    rows: list[list[Cell]] = []
    found: list[tuple[str, str, float | None, Interval]] = [
        (group.name, str(group.first.results.lead_subset), *_figures(material, group)["auroc"][::2])
        for group in subsets
    ]
    found += [(name, leads, test.auroc, _interval_of(test)) for name, leads, test in served]
    if found:
        axis = common_axis([value for *_, mean, bounds in found for value in (mean, *(bounds or ()))])
        for name, leads, mean, bounds in found:
            figure = f"{format_figure(mean)} {format_interval(bounds)}".strip()
            rows.append([name, leads, figure, make_strip(mean, bounds, axis)])
        columns: list[tuple[str, str]] = [
            ("run", "t"),
            ("leads", "t"),
            ("AUROC [interval]", "n"),
            (f"{axis[0]:.2f} to {axis[1]:.2f}", "pic"),
        ]
        yield Heading("Lead subsets")
        yield table_of("Lead subsets", columns, rows)


def _interval_of(test: Scores) -> Interval:
    return None if test.intervals is None else test.intervals.auroc


def _number(value: float | None) -> float:
    return np.nan if value is None else value


def _shown(material: Material) -> tuple[list[Group], str]:
    """The groups whose details are shown, the best first, and a note where others are not."""
    groups = sorted(material.groups, key=lambda group: group is not material.best)
    left = len(groups) - _MOST_GROUPS
    return groups[:_MOST_GROUPS], f"Those of {left} more groups are in their own reports." if left > 0 else ""


def _classes(material: Material) -> Iterator[Block]:
    groups, note = _shown(material)
    yield Heading("Classes")
    yield Paragraph(_THRESHOLDS[material.groups[0].first.results.exclusive], "note")
    for group in groups:
        blocks: list[Block] = [Paragraph(f"From {_start(group.first)}, {_describe_choice(group.first.results)}.")]
        blocks.append(_class_table(group))
        absent = group.first.results.test.absent_classes
        if absent:
            blocks.append(Paragraph(f"No test record of {', '.join(absent)}: left out of the means.", "note"))
        yield Fold(f"{group.name}: {group.first.title}", tuple(blocks), is_open=group is material.best)
    if note:
        yield Paragraph(note, "note")


def _start(run: ClassifierRun) -> str:
    if run.results.settings.get("rival"):
        return str(run.results.encoder.history.get("method"))
    checkpoint = run.results.encoder.checkpoint
    return f"encoder {checkpoint}" if checkpoint else "random encoder"


def _describe_choice(results: Results) -> str:
    """What was chosen on validation, as text."""
    if isinstance(results.chosen, list) or results.folds:
        return f"{results.folds} patient-disjoint folds, all test records scored together"
    return ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in results.chosen.items()) + " kept"


def _class_table(group: Group) -> Block:
    tests = [run.results.test for run in group.runs]
    rows = []
    for name, first in tests[0].per_class.items():
        of_seeds = [test.per_class[name] for test in tests if name in test.per_class]
        cells = [name, str(first.records)]
        for field in ("prior", "auroc", "auprc", "threshold", "sensitivity", "specificity", "f1"):
            values = [getattr(scores, field) for scores in of_seeds]
            known = [value for value in values if value is not None]
            cells.append(format_figure(float(np.mean(known)) if known and len(known) == len(values) else None))
        rows.append(cells)
    columns: list[tuple[str, str]] = [
        ("class", "t"),
        ("test records", ""),
        ("chance", ""),
        ("AUROC", ""),
        ("AUPRC", ""),
    ]
    columns += [("threshold", ""), ("sensitivity", ""), ("specificity", ""), ("F1", "")]
    mean = f", means over {len(tests)} seeds" if len(tests) > 1 else ""
    return table_of(f"Classes of {group.name}{mean}", columns, rows)


def _confusions(material: Material) -> Iterator[Block]:
    groups, note = _shown(material)
    yield Heading("Confusion matrices")
    exclusive = groups[0].first.results.exclusive
    yield Paragraph(
        "Rows are the true, columns the predicted classes; dark off the diagonal is where one is taken for another."
        if exclusive
        else "A record may have several classes: of each by itself, how many records are true and false positives and "
        "negatives.",
        "note",
    )
    for group in groups:
        seeds = f", sum over {len(group.runs)} seeds" if len(group.runs) > 1 else ""
        caption = f"Confusion matrix of {group.name}{seeds}"
        table = _matrix(group, caption) if group.first.results.exclusive else _matrices(group, caption)
        yield Fold(group.name, (table,), is_open=group is material.best)
    if note:
        yield Paragraph(note, "note")


def _matrix(group: Group, caption: str) -> Block:
    classes = group.first.results.data.classes
    counts = np.sum([np.array(run.results.test.confusion_matrix) for run in group.runs], axis=0)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    rows: list[list[Cell]] = [
        [name, *(Shade(str(n), int(np.ceil(9 * share))) for n, share in zip(row.tolist(), of.tolist(), strict=True))]
        for name, row, of in zip(classes, counts, shares, strict=True)
    ]
    columns: list[tuple[str, str]] = [("true ↓ predicted →", "t"), *((name, "") for name in classes)]
    return dataclasses.replace(table_of(caption, columns, rows), sortable=False)


def _matrices(group: Group, caption: str) -> Block:
    """Of a multi-label task a row a class."""
    rows: list[list[Cell]] = []
    matrices = [run.results.test.confusion_matrix for run in group.runs]
    for k, name in enumerate(group.first.results.data.classes):
        try:
            (tn, fp), (fn, tp) = np.sum([np.array(matrix[k], dtype=np.int64) for matrix in matrices], axis=0)
        except (IndexError, TypeError, ValueError):
            rows.append([name, *[ABSENT] * 6])
            continue
        found = tp / (tp + fn) if tp + fn else 0.0
        wrong = fp / (fp + tn) if fp + tn else 0.0
        cells: list[Cell] = [Shade(str(tp), int(np.ceil(9 * found))), Shade(str(fn), int(np.ceil(9 * (1 - found))))]
        cells += [Shade(str(fp), int(np.ceil(9 * wrong))), Shade(str(tn), int(np.ceil(9 * (1 - wrong))))]
        rows.append([name, *cells, f"{found:.3f}", f"{1 - wrong:.3f}"])
    columns: list[tuple[str, str]] = [
        ("class", "t"),
        ("true positives", ""),
        ("false negatives", ""),
        ("false positives", ""),
        ("true negatives", ""),
    ]
    columns += [("sensitivity", ""), ("specificity", "")]
    return table_of(caption, columns, rows)


def _all_runs(runs: Sequence[ClassifierRun]) -> Block:
    table = results_table(runs)
    columns: list[tuple[str, str]] = [
        (str(name), "t" if name in ("run", "kind", "leads") else "n") for name in table.columns
    ]
    rows = [
        [format_figure(value) if isinstance(value, float) else ABSENT if value is None else str(value) for value in row]
        for row in table.itertuples(index=False)
    ]
    return table_of("Every run by itself", columns, rows)


def results_table(runs: Sequence[ClassifierRun]) -> pd.DataFrame:
    """Tabulate classifiers, one a row: what each is, its training records, and its figures on the test split."""
    import pandas as pd

    rows = []
    for run in runs:
        test, intervals = run.results.test, run.results.test.intervals
        row = {
            "run": run.name,
            "kind": run.title,
            "leads": " ".join(run.results.leads),
            "training records": run.results.data.training_records,
            "AUROC": test.auroc,
            "AUROC interval": _interval(None if intervals is None else intervals.auroc),
            "AUPRC": test.auprc,
            "AUPRC interval": _interval(None if intervals is None else intervals.auprc),
            "chance": test.prior,
            "F1": test.f1,
            "balanced accuracy": test.balanced_accuracy,
            "accuracy": test.accuracy,
            "ECE": test.ece,
            "test records": test.records,
        }
        if test.rare_classes:
            few, bounds = describe_rare(test.rare_classes), None if intervals is None else intervals.without_rare
            row |= {
                f"AUROC {few}": test.without_rare("auroc"),
                f"AUROC {few} interval": _interval(None if bounds is None else bounds.auroc),
                f"AUPRC {few}": test.without_rare("auprc"),
                f"AUPRC {few} interval": _interval(None if bounds is None else bounds.auprc),
            }
        rows.append(row)
    return pd.DataFrame(rows)


def _interval(bounds: Interval) -> str:
    return format_interval(bounds) or ABSENT
