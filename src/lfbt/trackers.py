"""Experiment trackers that are told of a run, by the names that Accelerate has for them."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lfbt.recording import LfbtError

if TYPE_CHECKING:
    from accelerate import Accelerator

Tracker = Literal["tensorboard", "mlflow", "wandb"]


def check_trackers(trackers: Sequence[Tracker]) -> None:
    """Raise LfbtError for a tracker that is not installed: Accelerate would leave it out in silence."""
    for name in trackers:
        if importlib.util.find_spec(name) is None:
            raise LfbtError(f"trackers: {name} is not installed; pip install 'lfbt[{name}]', or leave it out")


def start_trackers(accelerator: Accelerator, run_dir: Path, settings: Mapping[str, Any]) -> None:
    """Tell the trackers that `accelerator` has of the run in `run_dir` and its settings.

    TensorBoard writes into the run folder; MLflow and Weights & Biases go where their own environment variables say.
    Raises LfbtError where one of them cannot start.
    """
    simple = {name: value if isinstance(value, (bool, int, float)) else str(value) for name, value in settings.items()}
    named = {"mlflow": {"run_name": run_dir.name}, "wandb": {"name": run_dir.name, "dir": str(run_dir)}}
    try:
        accelerator.init_trackers("lfbt", config=simple, init_kwargs=named)
    except Exception as error:
        names = ", ".join(str(getattr(tracker, "name", tracker)) for tracker in accelerator.trackers)
        first = (str(error).splitlines() or [""])[0]
        raise LfbtError(
            f"trackers: {names} could not start ({type(error).__name__}: {first}); mend that, or leave --trackers out"
        ) from error
