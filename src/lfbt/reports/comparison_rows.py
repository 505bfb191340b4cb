"""Rows of a comparison: means over seeds, intervals over patients and seeds, paired differences from a baseline."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lfbt.errors import LfbtError
from lfbt.evaluation.aggregation import mean_over_seeds
from lfbt.evaluation.bootstrap import (
    CLASS_METRICS,
    Array,
    bootstrap_metrics,
    bootstrap_seeds,
    bootstrap_weights,
    find_rare,
    interval,
    mean_over_drawn_seeds,
    means_without,
    n_counted,
)
from lfbt.evaluation.significance import holm, paired_p
from lfbt.reports.scored_trials import ScoredTrial, check_comparable, group_trials
from lfbt.runs.results import Interval

#: Of every interval.
LEVEL = 0.95

#: Ends the name of a metric that is a mean over the classes that are not rare.
WITHOUT_RARE = "_without_rare"

_KINDS = {"finetune": "fine-tuned", "scratch": "from scratch"}


@dataclasses.dataclass(frozen=True)
class MetricSummary:
    """One metric of a row; None where there is no figure.

    Parameters
    ----------
    mean, sd
        Over seeds, the standard deviation with n − 1.
    interval
        Of the mean, ``[low, high]`` over bootstrap draws of test patients and, of several, of seeds.
    counted
        Number of draws in which the metric exists.
    difference, difference_interval
        From the baseline's row, and its interval over the same draws.
    p, p_holm
        Two-sided p-value of the difference, and that adjusted by Holm where several rows are compared.
    """

    mean: float | None
    sd: float | None
    interval: Interval
    counted: int
    difference: float | None = None
    difference_interval: Interval = None
    p: float | None = None
    p_holm: float | None = None


@dataclasses.dataclass(frozen=True)
class Row:
    """The trials of a run that differ in their seed only.

    Parameters
    ----------
    run, kind, encoder
        Name of the run, kind of classifier, and the method that trained the encoder.
    leads
        Name of the lead subset, or the leads.
    fraction
        Share of the training patients.
    seeds, training_records
        One of each trial.
    synthetic
        Whether the data set is synthetic.
    test_records, test_patients
        Number of each.
    against
        The row that this one is compared with, described; None for the baseline.
    rare_classes
        Classes of few test records, which AUROC and AUPRC are summarised without, too.
    figures
        Summary of each metric by its name; without the rare classes its name ends in ``_without_rare``.
    """

    run: str
    kind: str
    encoder: str
    leads: str
    fraction: float
    seeds: tuple[int, ...]
    training_records: tuple[int, ...]
    synthetic: bool
    test_records: int
    test_patients: int
    against: str | None
    rare_classes: tuple[str, ...]
    figures: dict[str, MetricSummary]


def table_rows(
    trials: Sequence[ScoredTrial],
    metrics: Sequence[str] = ("auroc", "auprc"),
    n_draws: int = 1000,
    seed: int = 0,
    baseline: str | None = None,
) -> list[Row]:
    """Compare trials: a row for each run, fraction and lead subset.

    All trials see the same draws of patients, and rows of the same seeds the same draws of these. A row is compared
    with that of the baseline of the same fraction and lead subset, or else with the baseline's first; the rows of a
    single run are compared with its first.

    Parameters
    ----------
    trials
        Of any number of runs, tested on the same records.
    metrics
        Names of `lfbt.evaluation.bootstrap.METRICS`.
    n_draws, seed
        Bootstrap draws of test patients and of training seeds, and their seed.
    baseline
        Name of a run; by default the first.

    Returns
    -------
    list of Row
        Runs in their order, then larger fractions and more leads first.

    Raises
    ------
    LfbtError
        For trials that do not compare: other test records, real and synthetic, two of one seed.
    """
    check_comparable(trials)
    groups = group_trials(trials)
    rare = find_rare(trials[0].targets)
    names = _with_and_without(metrics, rare)
    weights = bootstrap_weights(trials[0].predictions.patients, n_draws, seed)
    weights = np.concatenate([np.ones((1, weights.shape[1]), dtype=np.int32), weights])
    scores = [np.stack([_scores(trial, weights, names, rare) for trial in group]) for group in groups]
    of_seeds = [of_group[..., 0] for of_group in scores]
    of_draws = [
        mean_over_drawn_seeds(
            of_group[..., 1:], bootstrap_seeds([trial.results.seed for trial in group], n_draws, seed)
        )
        for group, of_group in zip(groups, scores, strict=True)
    ]
    baselines = _find_baselines([group[0].row for group in groups], baseline)
    summaries: list[dict[str, MetricSummary]] = [{} for _ in groups]
    for m, metric in enumerate(names):
        column = _summarise([seeds[:, m] for seeds in of_seeds], [drawn[m] for drawn in of_draws], baselines)
        for row, summary in zip(summaries, column, strict=True):
            row[metric] = summary
    return [
        _row(group, None if i == j else _describe_baseline(groups[j][0], group[0]), rare, summary)
        for i, (group, j, summary) in enumerate(zip(groups, baselines, summaries, strict=True))
    ]


def _with_and_without(metrics: Sequence[str], rare: NDArray[np.bool_]) -> list[str]:
    """The `metrics`, those of each class followed by the same without rare classes where there are such."""
    both = set(CLASS_METRICS) if rare.any() else set()
    return [name for metric in metrics for name in ([metric, metric + WITHOUT_RARE] if metric in both else [metric])]


def _scores(trial: ScoredTrial, weights: NDArray[np.int32], metrics: Sequence[str], rare: NDArray[np.bool_]) -> Array:
    """The `metrics` of a trial under `weights` ``[draws, records]``: ``[metrics, draws]``."""
    of_draws, areas = bootstrap_metrics(
        trial.predictions.probabilities, trial.targets, weights, trial.results.exclusive, trial.thresholds
    )
    of_draws |= {name + WITHOUT_RARE: values for name, values in means_without(areas, rare).items()}
    return np.stack([of_draws[name] for name in metrics])


def _find_baselines(rows: Sequence[tuple[str, float, str | None]], baseline: str | None) -> list[int]:
    """The number of the row that each is compared with; its own where it is compared with none."""
    of_baseline = [i for i, row in enumerate(rows) if row[0] == (baseline or rows[0][0])]
    if not of_baseline:
        raise LfbtError(f"baseline: {baseline} is not one of the runs compared")
    if len({run for run, *_ in rows}) == 1:
        return [of_baseline[0]] * len(rows)
    alike = {rows[i][1:]: i for i in of_baseline}
    return [alike.get(row[1:], of_baseline[0]) for row in rows]


def _summarise(of_seeds: Sequence[Array], of_draws: Sequence[Array], baselines: Sequence[int]) -> list[MetricSummary]:
    """One metric of all rows, given its values over seeds and over draws, compared with their `baselines`."""
    summaries = [_summary(seeds, drawn) for seeds, drawn in zip(of_seeds, of_draws, strict=True)]
    pairs = [(i, j) for i, j in enumerate(baselines) if i != j]
    compared = [_compare(summaries[i], summaries[j], of_draws[i] - of_draws[j]) for i, j in pairs]
    adjusted = holm([summary.p for summary in compared])
    for (i, _), summary, p_holm in zip(pairs, compared, adjusted, strict=True):
        summaries[i] = dataclasses.replace(summary, p_holm=p_holm if len(pairs) > 1 else None)
    return summaries


def _summary(of_seeds: Array, of_draws: Array) -> MetricSummary:
    over_seeds = mean_over_seeds([None if np.isnan(value) else float(value) for value in of_seeds])
    if over_seeds.mean is None:
        return MetricSummary(None, None, None, 0)
    return MetricSummary(over_seeds.mean, over_seeds.sd, interval(of_draws, LEVEL), n_counted(of_draws))


def _compare(summary: MetricSummary, baseline: MetricSummary, differences: Array) -> MetricSummary:
    if summary.mean is None or baseline.mean is None:
        return summary
    # Rounding errors of equal figures are not a difference.
    differences, difference = np.round(differences, 12), round(summary.mean - baseline.mean, 12)
    return dataclasses.replace(
        summary,
        difference=difference,
        difference_interval=interval(differences, LEVEL),
        p=paired_p(differences),
    )


def _row(
    group: Sequence[ScoredTrial], against: str | None, rare: NDArray[np.bool_], figures: dict[str, MetricSummary]
) -> Row:
    first, patients = group[0].results, group[0].predictions.patients
    kind = _KINDS.get(first.kind, first.kind) + (f" ({first.method})" if first.method else "")
    return Row(
        run=group[0].run,
        kind=kind,
        encoder=str(first.encoder.history.get("method") or first.encoder.checkpoint),
        leads=_describe_leads(group[0]),
        fraction=first.fraction,
        seeds=tuple(trial.results.seed for trial in group),
        training_records=tuple(trial.results.data.training_records for trial in group),
        synthetic=first.synthetic,
        test_records=len(patients),
        test_patients=len(set(patients)),
        against=against,
        rare_classes=tuple(name for name, is_rare in zip(first.data.classes, rare, strict=True) if is_rare),
        figures=figures,
    )


def _describe_leads(trial: ScoredTrial) -> str:
    leads = trial.results.leads
    return trial.results.lead_subset or (",".join(leads) if len(leads) < 4 else f"{len(leads)} leads")


def _describe_baseline(baseline: ScoredTrial, row: ScoredTrial) -> str:
    """The run of the baseline's row, and what else sets it apart from `row`."""
    apart = []
    if baseline.results.fraction != row.results.fraction:
        apart.append(f"fraction {baseline.results.fraction:g}")
    if baseline.results.lead_subset != row.results.lead_subset:
        apart.append(_describe_leads(baseline))
    return baseline.run + (f" ({', '.join(apart)})" if apart else "")
