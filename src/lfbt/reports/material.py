"""What a report is made from: runs in groups, their figures, and the data set where it is still there."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lfbt.data.dataset import Dataset
from lfbt.data.layouts import open_datasets
from lfbt.errors import LfbtError
from lfbt.reports.comparison_rows import Row, table_rows
from lfbt.reports.grouping import Group, choose_baseline, choose_best, group_runs
from lfbt.reports.scored_trials import ScoredTrial, open_trials
from lfbt.runs.loading import ClassifierRun, PretrainingRun

#: The metrics of the results.
METRICS = ("auroc", "auprc")
#: Seed of all draws of a report.
SEED = 0

# Draws of patients, fewer where all trials together have scored many records: so that they take seconds.
_DRAWS, _FEWER_DRAWS, _MANY_RECORDS = 1000, 300, 80_000


@dataclasses.dataclass(frozen=True)
class Material:
    """All that the sections show.

    Parameters
    ----------
    groups, pretrainings
        The runs.
    best, chosen_by
        The group of the highest AUROC, and on which records; None without classifiers.
    trials
        The test predictions of each group by its name.
    rows, n_draws
        The figures of each group, in the order of `groups`; empty where there are no predictions.
    no_rows
        Why there are none.
    dataset, no_dataset
        The data set, or why it is not shown.
    """

    groups: tuple[Group, ...]
    pretrainings: tuple[PretrainingRun, ...]
    best: Group | None
    chosen_by: str
    trials: dict[str, list[ScoredTrial]]
    rows: dict[str, Row]
    n_draws: int
    no_rows: str
    dataset: Dataset | None
    no_dataset: str

    @property
    def runs(self) -> list[ClassifierRun | PretrainingRun]:
        """All runs."""
        return [*self.pretrainings, *(run for group in self.groups for run in group.runs)]

    @property
    def baseline(self) -> Group | None:
        """The group that the others are compared with: a random encoder's, or else the first."""
        return choose_baseline(self.groups)


def gather(runs: Sequence[ClassifierRun | PretrainingRun]) -> Material:
    """Gather what there is of runs. Files that are absent are said, and leave out what is made of them."""
    classifiers = [run for run in runs if isinstance(run, ClassifierRun)]
    pretrainings = [run for run in runs if isinstance(run, PretrainingRun)]
    groups = tuple(group_runs(classifiers))
    best, chosen_by = choose_best(groups)
    trials: dict[str, list[ScoredTrial]] = {}
    rows: dict[str, Row] = {}
    n_scored = sum(run.results.test.records for run in classifiers)
    no_rows, n_draws = "", _DRAWS if n_scored <= _MANY_RECORDS else _FEWER_DRAWS
    try:
        for group in groups:
            trials[group.name] = [open_trials(run.folder, group.name)[0] for run in group.runs]
        if baseline := choose_baseline(groups):
            rows = compare_groups(trials, n_draws, baseline.name)
    except LfbtError as error:
        no_rows, rows = str(error), {}
    dataset, no_dataset = find_dataset([*classifiers, *pretrainings])
    return Material(
        groups,
        tuple(pretrainings),
        best,
        chosen_by,
        trials if rows else {},
        rows,
        n_draws,
        no_rows,
        dataset,
        no_dataset,
    )


def compare_groups(trials: dict[str, list[ScoredTrial]], n_draws: int, baseline: str) -> dict[str, Row]:
    """Compute the row of each group, compared with that of the `baseline`. Raises LfbtError as `table_rows` does."""
    together = [trial for group in trials.values() for trial in group]
    return {row.run: row for row in table_rows(together, METRICS, n_draws, SEED, baseline)}


def find_dataset(runs: Sequence[ClassifierRun | PretrainingRun]) -> tuple[Dataset | None, str]:
    """Open the data set of the first run where its path still leads to it; otherwise say why not."""
    run = runs[0]
    settings = run.settings.settings
    given, expected = settings.get("data_dir"), run.settings.data_hash
    paths = [given] if isinstance(given, str) else given
    if not isinstance(paths, list) or not paths or not all(isinstance(path, str) and path for path in paths):
        return None, f"{run.name} does not say where its data set is"
    folders = [Path(path) for path in paths]
    where = ", ".join(paths)
    if isinstance(run, ClassifierRun) and [folder.name for folder in folders] != [run.results.data.folder]:
        return None, f"The data set of {run.name} is called {run.results.data.folder}, but its path is {where}"
    if absent := [str(folder) for folder in folders if not _is_dir(folder)]:
        return None, f"The data set is not at {absent[0]} any more, where {run.name} had it"
    seed = settings.get("split_seed", 0)
    try:
        dataset = open_datasets(folders, seed if isinstance(seed, int) and seed >= 0 else 0)
    except (LfbtError, OSError, ValueError) as error:
        return None, f"The data set cannot be opened: {error}"
    if dataset.hash != expected:
        return None, f"The data set at {where} is another one now: its hash is {dataset.hash[:8]}, not {expected}"
    return dataset, ""


def _is_dir(folder: Path) -> bool:
    try:
        return folder.is_dir()
    except (OSError, ValueError):
        return False


def rows_by_id(dataset: Dataset) -> dict[str, int]:
    """The row of each record by its id."""
    return {id: row for row, id in enumerate(dataset.ids)}


def draw_rows(rows: NDArray[np.int64], n: int, seed: int = SEED) -> NDArray[np.int64]:
    """Draw `n` of rows at most, and return them in order.

    >>> len(draw_rows(np.arange(100), 10)), draw_rows(np.arange(3), 10).tolist()
    (10, [0, 1, 2])
    """
    if len(rows) <= n:
        return rows
    return np.sort(np.random.default_rng(seed).choice(rows, n, replace=False))
