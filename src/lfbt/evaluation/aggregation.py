"""Trials that differ in their seed only, as one: used by the command line, tables, reports and the paper alike."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np

from lfbt.runs.results import Results


@dataclasses.dataclass(frozen=True)
class MeanOverSeeds:
    """Mean and standard deviation (n − 1) over seeds; None where a seed has no value, and no deviation of one seed."""

    mean: float | None
    sd: float | None
    n_seeds: int


def mean_over_seeds(values: Sequence[float | None]) -> MeanOverSeeds:
    """Average a metric over seeds.

    >>> mean_over_seeds([1, 3])
    MeanOverSeeds(mean=2.0, sd=1.4142135623730951, n_seeds=2)
    """
    known = [value for value in values if value is not None]
    if len(known) < len(values) or not known:
        return MeanOverSeeds(None, None, len(values))
    return MeanOverSeeds(float(np.mean(known)), float(np.std(known, ddof=1)) if len(known) > 1 else None, len(values))


def group_by_seed(all_results: Iterable[Results]) -> list[list[Results]]:
    """Group trials of one lead subset and fraction, in the order in which these come first."""
    groups: dict[tuple[str | None, tuple[str, ...], float], list[Results]] = {}
    for results in all_results:
        groups.setdefault((results.lead_subset, tuple(results.leads), results.fraction), []).append(results)
    return list(groups.values())
