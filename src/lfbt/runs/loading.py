"""Run folders read back: a pretraining, a trial of a classifier, or all trials of a series."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import NoReturn

from lfbt.errors import LfbtError
from lfbt.runs.history import HISTORY, FittingStep, PretrainingEpoch, read_history
from lfbt.runs.results import RESULTS, Results
from lfbt.runs.run_folder import SETTINGS, RunSettings
from lfbt.utils.figures import format_count
from lfbt.utils.opening import shown_name
from lfbt.utils.settings import as_path

_KINDS = {"probe": "linear probe", "finetune": "fine-tuned", "scratch": "trained from scratch"}


@dataclasses.dataclass(frozen=True)
class PretrainingRun:
    """A pretraining of at least one epoch."""

    folder: Path
    settings: RunSettings
    history: list[PretrainingEpoch]

    def __repr__(self) -> str:
        last = self.history[-1]
        return f"PretrainingRun({str(self.folder)!r}, {format_count(last.epoch, 'epoch')}, loss {last.loss:.4g})"

    @property
    def results(self) -> NoReturn:
        """None: a pretraining has no results."""
        raise AttributeError(f"{self.folder}: a pretraining has no results; probe or fine-tune its encoder")

    @property
    def synthetic(self) -> bool:
        """Whether the data set is synthetic."""
        return self.settings.synthetic

    @property
    def name(self) -> str:
        """The folder's name."""
        return shown_name(self.folder.name)

    @property
    def title(self) -> str:
        """The kind of run, as text."""
        return "pretraining"


@dataclasses.dataclass(frozen=True)
class ClassifierRun:
    """A finished trial of a classifier."""

    folder: Path
    results: Results

    def __repr__(self) -> str:
        return f"ClassifierRun({str(self.folder)!r}, {self.results!r})"

    @property
    def settings(self) -> RunSettings:
        """Its settings by name, and the data that they were applied to."""
        results, data = self.results, self.results.data
        return RunSettings(
            lfbt_version=results.lfbt_version,
            settings=results.settings,
            kind=results.kind,
            records=data.training_records,
            data_hash=data.hash,
            synthetic=results.synthetic,
            names_assumed=data.names_assumed,
        )

    @property
    def history(self) -> list[FittingStep]:
        """Its epochs, or the settings tried of a classifier without epochs. Raises LfbtError for a corrupt file."""
        return read_history(self.folder, FittingStep)

    @property
    def synthetic(self) -> bool:
        """Whether the data set is synthetic."""
        return self.results.synthetic

    @property
    def name(self) -> str:
        """The folder's name; of a trial of a series with that of the series' folder."""
        is_trial = (self.folder.parent / SETTINGS).is_file()
        return shown_name(f"{self.folder.parent.name}/{self.folder.name}" if is_trial else self.folder.name)

    @property
    def title(self) -> str:
        """The kind of run, as text."""
        kind = _KINDS.get(self.results.kind, self.results.kind)
        if self.results.kind != "probe":
            return kind
        kind = {"knn": "nearest neighbours", "boosting": "gradient boosting"}.get(str(self.results.classifier), kind)
        if self.results.settings.get("rival"):
            kind = f"{kind} of {self.results.encoder.history.get('method')}"
        kind = ", ".join(filter(None, (kind, self.results.other_features)))
        if self.results.settings.get("rival"):
            return kind
        return kind + (" of a random encoder" if self.results.encoder.checkpoint is None else "")


def load_runs(folder: Path) -> list[PretrainingRun | ClassifierRun]:
    """Read the run in a folder, or its trials where it is a series. Raises LfbtError as `load_run` does."""
    trials = _list_trials(folder)
    is_series = (folder / SETTINGS).is_file() and not (folder / HISTORY).is_file() and trials
    return [load_run(place) for place in (trials if is_series else [folder])]


def load_run(folder: str | os.PathLike[str]) -> PretrainingRun | ClassifierRun:
    """Read the run in a folder.

    Parameters
    ----------
    folder
        The run folder of `lfbt.pretrain`, or of one trial of `lfbt.probe` or `lfbt.finetune`.

    Returns
    -------
    PretrainingRun or ClassifierRun
        With ``settings`` and ``history``, and the ``results`` of a classifier.

    Raises
    ------
    LfbtError
        When it is not a run folder, has not ended an epoch, holds a series of trials, or has a missing or corrupt file,
        which is named.

    Examples
    --------
    >>> import tempfile
    >>> import lfbt
    >>> with tempfile.TemporaryDirectory() as place:
    ...     data = f"{place}/data/synthetic"
    ...     report = lfbt.prepare("synthetic", f"{place}/downloads", data, records=60, n_samples=64, workers=1)
    ...     results = lfbt.probe(data, f"{place}/probe", random_encoder=True, epochs=2, device="cpu")
    ...     run = load_run(f"{place}/probe")
    ...     run.results == results[0], run.settings.settings["epochs"], len(run.history)
    (True, 2, 2)
    """
    folder = as_path("run", folder)
    if not folder.exists():
        raise LfbtError(f"run: {folder} does not exist; give a run folder of pretrain, probe or finetune")
    if (folder / RESULTS).is_file():
        return ClassifierRun(folder, Results.load(folder))
    if not (folder / HISTORY).is_file():
        trials = _list_trials(folder)
        if trials and (folder / SETTINGS).is_file():
            raise LfbtError(
                f"run: {folder} is a series of {format_count(len(trials), 'trial')}; load one of them, such as "
                f"{trials[0]}"
            )
        if runs := sorted([*trials, *(path.parent for path in folder.glob(f"[!.]*/{HISTORY}"))]):
            what = f"is not a run, but holds {format_count(len(set(runs)), 'run')}"
            raise LfbtError(f"run: {folder} {what}; name them themselves, such as {runs[0]}")
        if (folder / SETTINGS).is_file():
            raise LfbtError(f"run: {folder} has neither an epoch nor a finished trial yet; let it go on first")
        raise LfbtError(
            f"run: {folder} is not a run folder (it has neither {RESULTS} nor {HISTORY}); give those of pretrain, "
            "probe or finetune"
        )
    settings, history = RunSettings.load(folder), read_history(folder, PretrainingEpoch)
    if not history:
        raise LfbtError(f"run: {folder} has no epoch yet; let it go on first")
    return PretrainingRun(folder, settings, history)


def _list_trials(folder: Path) -> list[Path]:
    # What begins with a dot is not complete yet.
    return sorted(path.parent for path in folder.glob(f"[!.]*/{RESULTS}"))
