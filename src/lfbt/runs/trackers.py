"""Experiment trackers that are told of a run, by the names that Accelerate has for them."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lfbt.errors import LfbtError
from lfbt.utils.interrupts import StoppedError

if TYPE_CHECKING:
    from accelerate import Accelerator


Tracker = Literal["tensorboard", "mlflow", "wandb"]

_PROJECT = "lfbt"
# What trackers make in a run folder: TensorBoard a folder by the project's name, Weights & Biases its own.
_FOLDERS = (_PROJECT, "wandb")


def check_trackers(trackers: Sequence[Tracker]) -> None:
    """Raise LfbtError for a tracker that is not installed: Accelerate would leave it out in silence."""
    if not trackers:
        return
    from accelerate.tracking import get_available_trackers

    installed = set(map(str, get_available_trackers()))
    for name in trackers:
        if name not in installed:
            raise LfbtError(f"trackers: {name} is not installed; pip install 'lfbt[{name}]', or leave it out")


def start_trackers(accelerator: Accelerator, run_dir: Path, settings: Mapping[str, Any]) -> None:
    """Tell the trackers that `accelerator` has of the run in `run_dir` and its settings.

    TensorBoard writes into the run folder, and so does Weights & Biases where no variable of its own says otherwise;
    MLflow goes where its variables say. Raises LfbtError where one of them cannot start, and leaves nothing behind.
    """
    plain = {name: value if isinstance(value, (bool, int, float)) else _text(value) for name, value in settings.items()}
    by_environment = {"name": "WANDB_NAME", "dir": "WANDB_DIR"}  # these win, as users of it expect
    wandb = {"name": run_dir.name, "dir": str(run_dir)}
    named = {
        "mlflow": {"run_name": run_dir.name},
        "wandb": {key: value for key, value in wandb.items() if by_environment[key] not in os.environ},
    }
    new = [run_dir / name for name in _FOLDERS if not (run_dir / name).exists()]
    try:
        accelerator.init_trackers(_PROJECT, config=plain, init_kwargs=named)
    except Exception as error:
        finish_trackers(accelerator, error)
        for folder in new:
            shutil.rmtree(folder, ignore_errors=True)
        raise LfbtError(
            f"trackers: one of {', '.join(map(str, accelerator.log_with))} could not start ({_first_line(error)}); "
            "mend that, or leave it out"
        ) from error


def tell_trackers(
    accelerator: Accelerator, values: Mapping[str, float], epoch: int, say: Callable[[str], None]
) -> None:
    """Tell of an epoch's figures. One that cannot be told is warned of by `say` and not told again: the run goes on."""
    for tracker in list(accelerator.trackers):
        try:
            tracker.log(dict(values), step=epoch)
        except Exception as error:  # noqa: BLE001
            accelerator.trackers.remove(tracker)
            say(f"warning: {tracker.name} cannot be told any more ({_first_line(error)}); the run goes on without it")


def finish_trackers(accelerator: Accelerator, error: BaseException | None) -> None:
    """Let the trackers end what they have, as a success or as what `error` says it was."""
    while accelerator.trackers:
        tracker = accelerator.trackers.pop()
        with contextlib.suppress(Exception):  # one that could not start, or was lost, cannot end
            if error is not None and tracker.name == "mlflow":
                import mlflow

                mlflow.end_run("KILLED" if isinstance(error, StoppedError) else "FAILED")
            elif error is not None and tracker.name == "wandb":
                tracker.run.finish(exit_code=1)
            else:
                tracker.finish()


def _text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, (tuple, list)) else str(value)


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"
