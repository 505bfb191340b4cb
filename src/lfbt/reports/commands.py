"""The command that repeats a run, from the settings that it has recorded."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from lfbt.errors import LfbtError
from lfbt.evaluation.settings import FinetuneSettings, ProbeSettings
from lfbt.runs.loading import ClassifierRun, PretrainingRun
from lfbt.runs.run_folder import RunSettings
from lfbt.training.settings import PretrainSettings, apply_preset
from lfbt.utils.settings import to_dict

_COMMANDS = {"scratch": "finetune"}
# What is not repeated: how an earlier command went on.
_LEFT_OUT = ("resume", "overwrite")


def command_of(run: ClassifierRun | PretrainingRun) -> str:
    """Return the words of ``lfbt`` that repeat a run; of a trial of a series, those of the series.

    Settings at their defaults of this version are left out, and so is what no option of it is called.
    """
    settings, series = dict(run.settings.settings), _series_settings(run)
    if series is not None:
        settings = series
    elif isinstance(run, ClassifierRun):
        settings |= {"fraction": [run.results.fraction], "seeds": [run.results.seed]}
        if "lead_subsets" in settings and not settings.get("leads_dropout"):
            settings["lead_subsets"] = [[run.results.lead_subset]] if run.results.lead_subset else []
    command = _COMMANDS.get(run.settings.kind, run.settings.kind)
    usual = _defaults(command, settings)
    flags = [
        word
        for name, value in settings.items()
        if name in usual and name not in _LEFT_OUT and _plain(value) != _plain(usual[name])
        for word in _words(name, value)
    ]
    return shlex.join(["lfbt", command, *flags])


def _series_settings(run: ClassifierRun | PretrainingRun) -> dict[str, Any] | None:
    """The settings of the series that a run is a trial of; None of another run."""
    try:
        series = RunSettings.load(run.folder.resolve().parent)
    except (LfbtError, OSError, UnicodeError):
        return None
    return dict(series.settings) if series.kind == run.settings.kind != "pretrain" else None


def _defaults(command: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    if command == "probe":
        return to_dict(ProbeSettings.create(".", "."))
    if command == "finetune":
        return to_dict(FinetuneSettings.create(".", "."))
    preset = settings.get("preset", "paper")
    plain = PretrainSettings.create((".",), ".")
    return (
        to_dict(apply_preset(plain, preset)) | {"preset": "paper"} if preset in ("paper", "small") else to_dict(plain)
    )


def _plain(value: Any) -> Any:
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _words(name: str, value: Any) -> list[str]:
    flag = f"--{name.replace('_', '-')}"
    if isinstance(value, bool):
        return [flag] if value else [f"--no-{name.replace('_', '-')}"]
    if value is None:
        return []
    if name == "leads" and isinstance(value, (list, tuple)):
        return [flag, ",".join(map(str, value))]
    if isinstance(value, (list, tuple)):
        return [flag, *(",".join(map(str, item)) if isinstance(item, (list, tuple)) else str(item) for item in value)]
    return [flag, str(value)]
