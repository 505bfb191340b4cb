"""Runs of classifiers that differ in their seed only, as one group with a name."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from lfbt.evaluation.aggregation import mean_over_seeds
from lfbt.evaluation.settings import ProbeSettings
from lfbt.reports.scored_trials import free_in_a_row
from lfbt.runs.loading import ClassifierRun
from lfbt.utils.settings import names_without_effect

_SEED = re.compile(r"(^|[-_. /])(seed|s)?[-_]?\d*$")


@dataclasses.dataclass(frozen=True)
class Group:
    """Runs of one group, by their seeds; `place`: of the series' folder or of the run's, without the seed."""

    name: str
    place: str
    runs: tuple[ClassifierRun, ...]

    @property
    def first(self) -> ClassifierRun:
        """The run of the lowest seed, which stands for the others where only one can be shown."""
        return self.runs[0]

    @property
    def is_random(self) -> bool:
        """Whether its encoder began with random weights."""
        results = self.first.results
        return results.encoder.checkpoint is None and not results.settings.get("rival")

    def mean(self, split: str, metric: str) -> float | None:
        """Mean of a metric over seeds: of ``test`` or ``val``; None where a seed has none."""
        scores = [getattr(run.results, split) for run in self.runs]
        return mean_over_seeds([None if one is None else getattr(one, metric) for one in scores]).mean


def group_runs(runs: Sequence[ClassifierRun]) -> list[Group]:
    """Group runs that agree in all but their seed, in the order in which the groups come first.

    Two runs of one seed are in groups of their own. Names are unique.
    """
    found: dict[tuple[str, int], list[ClassifierRun]] = {}
    for run in runs:
        key, again = _identity(run), 0
        while any(other.results.seed == run.results.seed for other in found.get((key, again), [])):
            again += 1
        found.setdefault((key, again), []).append(run)
    groups: list[Group] = []
    for members in found.values():
        ordered = tuple(sorted(members, key=lambda run: run.results.seed))
        place = _place(ordered)
        name = _name(place, ordered[0])
        taken = {group.name for group in groups}
        unique = next(
            text
            for number in range(1, len(runs) + 2)
            for text in [name if number == 1 else f"{name} ({number})"]
            if text not in taken
        )
        groups.append(Group(unique, place, ordered))
    return groups


def choose_best(groups: Sequence[Group]) -> tuple[Group | None, str]:
    """Choose the group of the highest mean AUROC, and say of which records: validation where all groups have it."""
    for split, words in (("val", "validation"), ("test", "test")):
        means = [group.mean(split, "auroc") for group in groups]
        known = [np.nan if mean is None else mean for mean in means]
        if groups and (split == "test" or not np.isnan(known).any()) and not np.isnan(known).all():
            return groups[int(np.nanargmax(known))], words
    return (groups[0] if groups else None), ""


def choose_baseline(groups: Sequence[Group]) -> Group | None:
    """Choose what the others are compared with: a random encoder, or else training from scratch, or else the first."""
    ranked = sorted(groups, key=lambda group: (not group.is_random, group.first.results.kind != "probe"))
    return ranked[0] if ranked and ranked[0].is_random else (groups[0] if groups else None)


def _identity(run: ClassifierRun) -> str:
    """All that the runs of a group have in common."""
    results = run.results
    free = free_in_a_row() | names_without_effect(ProbeSettings, results.settings)
    settings = {name: value for name, value in results.settings.items() if name not in free}
    content: list[Any] = [
        run.title, results.task, results.leads, results.lead_subset, results.fraction, results.folds, settings,
        results.encoder.checkpoint, results.encoder.history.get("method"), results.settings.get("checkpoint"),
    ]  # fmt: skip
    return json.dumps(content, sort_keys=True, default=str)


def _place(runs: Sequence[ClassifierRun]) -> str:
    """What the names of runs have in common, without the seed and the form of a trial's name."""
    names = [run.name.partition("/")[0] if "/" in run.name else run.name for run in runs]
    # Character by character is what is meant: seed1 and seed2.
    common = os.path.commonprefix(names)  # noqa: RUF071
    if len(set(names)) == 1:
        return names[0]
    return _SEED.sub("", common) or runs[0].folder.resolve().parent.name or runs[0].name


def _name(place: str, run: ClassifierRun) -> str:
    parts = [place]
    if "/" in run.name:
        parts += [f"{100 * run.results.fraction:g} % of patients"] if run.results.fraction < 1 else []
        parts += [run.results.lead_subset] if run.results.lead_subset else []
    return ", ".join(parts)
