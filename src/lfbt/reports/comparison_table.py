"""The table of a comparison: its cells, its note, and every number as CSV."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Iterable, Sequence

from lfbt.reports.comparison_rows import LEVEL, WITHOUT_RARE, Row
from lfbt.runs.results import FEW_RECORDS, describe_rare
from lfbt.utils.figures import ABSENT, format_count, format_estimate, format_figure
from lfbt.utils.tables import Style, as_text, text_width

# What a row is, beside its name.
_DESCRIPTIONS = ("kind", "encoder", "leads", "fraction", "training records", "seeds")
_TITLES = {"auroc": "AUROC", "auprc": "AUPRC", "f1": "F1", "balanced_accuracy": "balanced accuracy"}


def table_cells(rows: Sequence[Row]) -> list[list[str]]:
    """Format the table, its header first: of each metric mean ± SD over seeds and interval, then the difference."""
    metrics, is_compared, is_adjusted = list(rows[0].figures), _is_compared(rows), _is_adjusted(rows)
    run = "run (SYNTHETIC data)" if rows[0].synthetic else "run"
    header = [run, *_DESCRIPTIONS]
    for name in metrics:
        header.append(_title(name, rows[0]))
        header += (["difference", "p"] if is_compared else []) + (["p (Holm)"] if is_adjusted else [])
    cells = [header + (["verdict", "against"] if is_compared else [])]
    for row in rows:
        trained = sorted(set(row.training_records))
        records = f"{trained[0]} to {trained[-1]}" if len(trained) > 1 else str(trained[0])
        line = [row.run, row.kind, row.encoder, row.leads, f"{row.fraction:g}", records, str(len(row.seeds))]
        for name in metrics:
            summary = row.figures[name]
            line.append(format_estimate(summary.mean, summary.sd, summary.interval, ".4f", ".4f"))
            if is_compared:
                line.append(format_estimate(summary.difference, None, summary.difference_interval, "+.4f", "+.4f"))
                line.append(format_figure(summary.p, ".3g"))
            if is_adjusted:
                line.append(format_figure(summary.p_holm, ".3g"))
        cells.append(line + ([_verdict(row), row.against or ABSENT] if is_compared else []))
    return cells


def _verdict(row: Row) -> str:
    """What may be said of the differences in words, metric by metric where these disagree."""
    if row.against is None:
        return "baseline"
    said: dict[str, list[str]] = {}
    for name, summary in row.figures.items():
        p = summary.p if summary.p_holm is None else summary.p_holm
        if summary.difference is None or p is None:
            word = "not compared"
        elif p < 1 - LEVEL:
            word = "better" if summary.difference > 0 else "worse"
        else:
            word = "no difference shown"
        said.setdefault(word, []).append(_title(name, row))
    if len(said) == 1:
        return next(iter(said))
    return ", ".join(f"{' and '.join(names)} {word}" for word, names in said.items())


def table_text(rows: Sequence[Row], width: int | None = None) -> str:
    """Format the table for reading: what all rows have in common in one line, the best of each metric in bold.

    width: of the terminal; None for a pipe or a file.
    """
    cells = table_cells(rows)
    header = cells[0]
    common = {}
    for j, title in enumerate(header):
        values = {line[j] for line in cells[1:]} - {ABSENT}
        if len(rows) > 1 and len(values) == 1 and title in (*_DESCRIPTIONS, "against"):
            common[j] = f"{title} {values.pop()}"
    kept = [j for j in range(len(header)) if j not in common]
    styles: dict[tuple[int, int], Style] = {(0, j): "bold" for j in range(len(kept))}
    for name in rows[0].figures:
        column = kept.index(header.index(_title(name, rows[0])))
        means = [row.figures[name].mean for row in rows]
        best = max((mean for mean in means if mean is not None), default=None)
        styles |= {(i, column): "bold" for i, mean in enumerate(means, start=1) if best is not None and mean == best}
    wide = [[line[j] for j in kept] for line in cells]
    if width is not None and text_width(wide) > width and len(rows) > 1:
        text = "\n\n".join(_metric_text(rows, name, width) for name in rows[0].figures)
    else:
        text = as_text(wide, width, styles)
    return f"All rows: {', '.join(common.values())}.\n\n{text}" if common else text


def _metric_text(rows: Sequence[Row], metric: str, width: int) -> str:
    """One metric of all rows, with the figures that a narrow terminal has room for."""
    figures = [row.figures[metric] for row in rows]
    adjusted = _is_adjusted(rows)
    cells = [["run", _title(metric, rows[0]), "difference", "p (Holm)" if adjusted else "p", "verdict"]]
    for row, name, figure in zip(rows, _distinct_names(rows), figures, strict=True):
        alone = dataclasses.replace(row, figures={metric: figure})
        cells.append(
            [
                name,
                format_estimate(figure.mean, figure.sd, figure.interval, ".3f", ".3f"),
                format_estimate(figure.difference, None, figure.difference_interval, "+.3f", "+.3f"),
                format_figure(figure.p_holm if adjusted else figure.p, ".3g"),
                _verdict(alone),
            ]
        )
    best = max((figure.mean for figure in figures if figure.mean is not None), default=None)
    styles: dict[tuple[int, int], Style] = {(0, j): "bold" for j in range(5)}
    styles |= {(i, 1): "bold" for i, figure in enumerate(figures, start=1) if best is not None and figure.mean == best}
    return as_text(cells, width, styles)


def _distinct_names(rows: Sequence[Row]) -> list[str]:
    """The names of the rows' runs, with the fraction and the leads where a run has several rows."""
    names = [row.run for row in rows]
    return [
        f"{row.run}, {row.fraction:g} of the patients, {row.leads}" if names.count(row.run) > 1 else row.run
        for row in rows
    ]


def _title(metric: str, row: Row) -> str:
    name = metric.removesuffix(WITHOUT_RARE)
    few = "" if name == metric else f" {describe_rare(row.rare_classes)}"
    return _TITLES.get(name, name) + few


def _is_compared(rows: Sequence[Row]) -> bool:
    return any(row.against for row in rows)


def _is_adjusted(rows: Sequence[Row]) -> bool:
    return any(summary.p_holm is not None for row in rows for summary in row.figures.values())


def table_note(rows: Sequence[Row], n_draws: int, seed: int) -> str:
    """Explain the figures of the table in one line."""
    first = rows[0]
    lines = ["SYNTHETIC data."] if first.synthetic else []
    is_of_several = any(len(row.seeds) > 1 for row in rows)
    seeds = "Mean ± SD over training seeds" if is_of_several else "One training seed"
    drawn = "test patients" + (" and, of a row with several, training seeds" if is_of_several else "")
    lines.append(
        f"{format_count(first.test_records, 'test record')} of {format_count(first.test_patients, 'patient')}. "
        f"{seeds}; in brackets the {LEVEL:.0%} interval over {n_draws} draws of {drawn} (seed {seed})."
    )
    if first.rare_classes:
        few = describe_rare(first.rare_classes)
        lines.append(f"Means are shown {few}, too: fewer than {FEW_RECORDS} test records each.")
    if _is_compared(rows):
        lines.append(
            f"p: two-sided, of the paired difference over the same draws. {_multiplicity(rows)} "
            f"Better or worse is said where p, adjusted where it can be, is below {1 - LEVEL:.2g}."
        )
    return " ".join(lines)


def _multiplicity(rows: Sequence[Row]) -> str:
    """How many comparisons the table makes, and what they are adjusted for."""
    n_rows = sum(row.against is not None for row in rows)
    metrics = format_count(len(rows[0].figures), "metric")
    made = f"{format_count(n_rows, 'row')} against a baseline in {metrics}"
    if _is_adjusted(rows):
        return f"{made}; p (Holm) is adjusted for the {n_rows} rows, each metric by itself."
    return f"{made}, not adjusted."


def as_csv(rows: Iterable[Row]) -> str:
    """Format every number in full, a row a line: of each metric mean, SD, interval, difference and p-values."""
    lines = []
    for row in rows:
        line = dataclasses.asdict(row)
        summaries = line.pop("figures")
        line |= {name: " ".join(map(str, line[name])) for name in ("seeds", "training_records")}
        line["rare_classes"] = ";".join(line["rare_classes"])
        for name, summary in summaries.items():
            low, high = summary["interval"] or (None, None)
            difference_low, difference_high = summary["difference_interval"] or (None, None)
            line |= {
                name: summary["mean"],
                f"{name}_sd": summary["sd"],
                f"{name}_low": low,
                f"{name}_high": high,
                f"{name}_counted": summary["counted"],
                f"{name}_difference": summary["difference"],
                f"{name}_difference_low": difference_low,
                f"{name}_difference_high": difference_high,
                f"{name}_p": summary["p"],
                f"{name}_p_holm": summary["p_holm"],
            }
        lines.append(line)
    out = io.StringIO()
    writer = csv.DictWriter(out, lines[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return out.getvalue()
