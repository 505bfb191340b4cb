"""Experiment trackers: TensorBoard, MLflow, Weights & Biases."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from lfbt.errors import LfbtError
from lfbt.utils.interrupts import StoppedError

TrackerName = Literal["tensorboard", "mlflow", "wandb"]

_PROJECT = "lfbt"
#: Of TensorBoard, in the run folder.
LOGS = _PROJECT
# What trackers make in a run folder: TensorBoard a folder by the project's name, Weights & Biases its own.
_FOLDERS = (_PROJECT, "wandb")
# The longest value of a parameter that MLflow takes.
_MLFLOW_LONGEST = 500


class Tracker(Protocol):
    """An experiment tracker, started for one run with its settings."""

    def start(self, run_dir: Path, settings: Mapping[str, bool | int | float | str]) -> None:
        """Begin a run and record its settings."""

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Record figures of a step."""

    def finish(self, error: BaseException | None) -> None:
        """End the run: as a success, or as what `error` says."""


class TensorBoard:
    """Writes into the run folder."""

    def start(self, run_dir: Path, settings: Mapping[str, bool | int | float | str]) -> None:  # noqa: D102
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(str(run_dir / LOGS))
        self._writer.add_hparams(dict(settings), {})
        self._writer.flush()

    def log(self, values: Mapping[str, float], step: int) -> None:  # noqa: D102
        for name, value in values.items():
            self._writer.add_scalar(name, value, global_step=step)
        self._writer.flush()

    def finish(self, error: BaseException | None) -> None:  # noqa: D102, ARG002
        self._writer.close()


class MLflow:
    """Goes where MLflow's own variables say; MLFLOW_EXPERIMENT_NAME and MLFLOW_RUN_ID choose experiment and run."""

    def start(self, run_dir: Path, settings: Mapping[str, bool | int | float | str]) -> None:  # noqa: D102
        import mlflow

        mlflow.set_experiment(os.environ.get("MLFLOW_EXPERIMENT_NAME", _PROJECT))
        mlflow.start_run(run_id=os.environ.get("MLFLOW_RUN_ID"), run_name=run_dir.name)
        mlflow.log_params({name: value for name, value in settings.items() if len(str(value)) <= _MLFLOW_LONGEST})

    def log(self, values: Mapping[str, float], step: int) -> None:  # noqa: D102
        import mlflow

        mlflow.log_metrics(dict(values), step=step)

    def finish(self, error: BaseException | None) -> None:  # noqa: D102
        import mlflow

        status = "FINISHED" if error is None else "KILLED" if isinstance(error, StoppedError) else "FAILED"
        mlflow.end_run(status)


class WandB:
    """Writes into the run folder under its name, where WANDB_DIR and WANDB_NAME do not say otherwise."""

    def start(self, run_dir: Path, settings: Mapping[str, bool | int | float | str]) -> None:  # noqa: D102
        import wandb

        # Users expect the variables to win, but arguments would.
        own = {"name": run_dir.name, "dir": str(run_dir)}
        chosen = {name: value for name, value in own.items() if f"WANDB_{name.upper()}" not in os.environ}
        self._run: Any = wandb.init(project=_PROJECT, config=dict(settings), **chosen)

    def log(self, values: Mapping[str, float], step: int) -> None:  # noqa: D102
        self._run.log(dict(values), step=step)

    def finish(self, error: BaseException | None) -> None:  # noqa: D102
        self._run.finish(exit_code=0 if error is None else 1)


_TRACKERS: dict[TrackerName, Callable[[], Tracker]] = {"tensorboard": TensorBoard, "mlflow": MLflow, "wandb": WandB}


def check_trackers(names: Sequence[TrackerName]) -> None:
    """Raise LfbtError for a tracker whose package is not installed."""
    for name in names:
        if importlib.util.find_spec(name) is None:
            raise LfbtError(f"trackers: {name} is not installed; pip install 'lfbt[{name}]', or leave it out")


class Trackers:
    """The trackers of one run. One that fails on the way is dropped with a warning, and the run goes on."""

    def __init__(self) -> None:
        self._started: dict[TrackerName, Tracker] = {}

    def start(self, names: Sequence[TrackerName], run_dir: Path, settings: Mapping[str, Any]) -> None:
        """Start trackers. Raises LfbtError where one cannot start, and leaves nothing behind."""
        plain = {
            name: value if isinstance(value, (bool, int, float)) else _text(value) for name, value in settings.items()
        }
        new = [run_dir / name for name in _FOLDERS if not (run_dir / name).exists()]
        for name in names:
            tracker = _TRACKERS[name]()
            try:
                tracker.start(run_dir, plain)
            except Exception as error:
                self.finish(error)
                for folder in new:
                    shutil.rmtree(folder, ignore_errors=True)
                raise LfbtError(
                    f"trackers: {name} could not start ({_first_line(error)}); mend that, or leave it out"
                ) from error
            self._started[name] = tracker

    def log(self, values: Mapping[str, float], step: int, warn: Callable[[str], None]) -> None:
        """Record figures of a step; `warn` gets a line for a tracker that fails, which is dropped."""
        for name, tracker in list(self._started.items()):
            try:
                tracker.log(values, step)
            except Exception as error:  # noqa: BLE001
                del self._started[name]
                warn(f"warning: {name} failed ({_first_line(error)}); the run goes on without it")

    def finish(self, error: BaseException | None) -> None:
        """End all runs, whatever stands in the way of one."""
        while self._started:
            _, tracker = self._started.popitem()
            with contextlib.suppress(Exception):
                tracker.finish(error)


@contextlib.contextmanager
def tracking() -> Iterator[Trackers]:
    """Trackers that are finished when the block ends: as a success, or with the error that ended it."""
    trackers = Trackers()
    try:
        yield trackers
    except BaseException as error:
        trackers.finish(error)
        raise
    trackers.finish(None)


def _text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, (tuple, list)) else str(value)


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"
