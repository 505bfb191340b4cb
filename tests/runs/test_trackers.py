"""Trackers are told of settings and of every epoch, or refused where they are not installed."""

import sys
from unittest.mock import Mock

import pytest
from tests.factories import waves, write_packed
from tests.outputs import read_lines

from lfbt.errors import LfbtError
from lfbt.runs.trackers import TensorBoard, WandB, tracking
from lfbt.training.pretraining import Pretrainer
from lfbt.training.settings import PretrainSettings
from lfbt.utils.interrupts import StoppedError
from lfbt.utils.settings import replace


@pytest.fixture
def settings(tmp_path):
    data = write_packed(tmp_path / "data", waves([0, 1, 2] * 3 + [0]))
    return PretrainSettings.create(
        (data,), tmp_path / "run", epochs=3, batch_size=5, projector="16-16", device="cpu", workers=0,
        trackers=("tensorboard",),
    )  # fmt: skip


def test_trackers_write_the_history_for_tensorboard(settings):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    Pretrainer(settings).run()
    lines = read_lines(settings.run_dir / "history.jsonl")
    found = accumulator.EventAccumulator(str(settings.run_dir / "lfbt"))
    found.Reload()
    assert set(found.Tags()["scalars"]) >= {"loss", "intra", "inter", "learning_rate", "records_per_second"}
    for name in ("loss", "inter"):
        assert [event.step for event in found.Scalars(name)] == [1, 2, 3]
        assert [event.value for event in found.Scalars(name)] == pytest.approx([line[name] for line in lines], rel=1e-6)
    # The settings are in a file of their own, a folder below.
    (file,) = (settings.run_dir / "lfbt").glob("*/events.*")
    hparams = file.read_bytes()
    assert b"gamma" in hparams
    assert b"16-16" in hparams


def test_check_trackers_refuses_what_is_not_installed(settings, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(LfbtError, match=r"trackers: tensorboard is not installed; pip install 'lfbt\[tensorboard\]'"):
        Pretrainer(settings).run()
    assert not settings.run_dir.exists()


def test_tracking_names_a_tracker_that_cannot_start(settings, monkeypatch):
    """As Weights & Biases does without a key."""

    def refusing(*_):
        raise RuntimeError("api_key not configured\nsecond line")

    monkeypatch.setattr(TensorBoard, "start", refusing)
    said = r"trackers: tensorboard could not start \(RuntimeError: api_key not configured\); mend that, or leave"
    with pytest.raises(LfbtError, match=said):
        Pretrainer(settings).run()
    assert not settings.run_dir.exists()


def test_trackers_that_fail_do_not_end_the_run(settings, monkeypatch, capfd):
    log = TensorBoard.log

    def failing(self, values, step):
        if step == 2:
            raise ConnectionError("no route to host")
        log(self, values, step)

    monkeypatch.setattr(TensorBoard, "log", failing)
    Pretrainer(settings).run()
    assert len(read_lines(settings.run_dir / "history.jsonl")) == 3
    said = "tensorboard failed (ConnectionError: no route to host); the run goes on without it"
    assert capfd.readouterr().err.count(said) == 1


@pytest.mark.parametrize(
    ("error", "status", "exit_code"),
    [(None, "FINISHED", 0), (StoppedError(""), "KILLED", 1), (LfbtError(""), "FAILED", 1)],
)
def test_trackers_record_how_a_run_ended(monkeypatch, tmp_path, error, status, exit_code):
    mlflow, wandb = Mock(), Mock()
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    monkeypatch.setitem(sys.modules, "wandb", wandb)

    def run():
        with tracking() as trackers:
            trackers.start(
                ("mlflow", "wandb"), tmp_path / "run", {"gamma": 0.8, "leads": ("II", "V1"), "long": "x" * 501}
            )
            trackers.log({"loss": 2.0}, 3, print)
            if error is not None:
                raise error

    if error is None:
        run()
    else:
        with pytest.raises(type(error)):
            run()
    mlflow.log_params.assert_called_once_with({"gamma": 0.8, "leads": "II,V1"})
    mlflow.log_metrics.assert_called_once_with({"loss": 2.0}, step=3)
    mlflow.end_run.assert_called_once_with(status)
    assert wandb.init.call_args.kwargs["config"]["leads"] == "II,V1"
    wandb.init.return_value.log.assert_called_once_with({"loss": 2.0}, step=3)
    wandb.init.return_value.finish.assert_called_once_with(exit_code=exit_code)


def test_trackers_prefer_the_variables_of_weights_and_biases(monkeypatch, tmp_path):
    wandb = Mock()
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    monkeypatch.setenv("WANDB_NAME", "mine")
    WandB().start(tmp_path / "run", {})
    assert wandb.init.call_args.kwargs == {"project": "lfbt", "config": {}, "dir": str(tmp_path / "run")}


def test_trackers_leave_nothing_of_a_run_that_fails_at_the_start(settings):
    with pytest.raises(LfbtError, match="batch_size: 50 is more than"):
        Pretrainer(replace(settings, batch_size=50)).run()
    assert not settings.run_dir.exists()
