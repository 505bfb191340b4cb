"""Trackers are told of settings and of every epoch, or refused where they are not installed."""

import dataclasses
import sys
from unittest.mock import Mock

import pytest
from tests.helpers_model import read_lines, waves, write_packed

from lfbt.errors import LfbtError
from lfbt.runs.trackers import finish_trackers
from lfbt.training.pretraining import pretrain
from lfbt.training.settings import PretrainSettings
from lfbt.utils.interrupts import StoppedError


@pytest.fixture
def settings(tmp_path):
    data = write_packed(tmp_path / "data", waves([0, 1, 2] * 3 + [0]))
    return PretrainSettings(
        (data,), tmp_path / "run", epochs=3, batch_size=5, projector="16-16", device="cpu", workers=0,
        trackers=("tensorboard",),
    )  # fmt: skip


def test_tensorboard_has_what_the_history_has(settings):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    pretrain(settings)
    lines = read_lines(settings.run_dir / "history.jsonl")
    found = accumulator.EventAccumulator(str(settings.run_dir / "lfbt"))
    found.Reload()
    assert set(found.Tags()["scalars"]) >= {"loss", "intra", "inter", "learning_rate", "records_per_second"}
    for name in ("loss", "inter"):
        assert [event.step for event in found.Scalars(name)] == [1, 2, 3]
        assert [event.value for event in found.Scalars(name)] == pytest.approx([line[name] for line in lines], rel=1e-6)
    hparams = "".join(path.read_text() for path in (settings.run_dir / "lfbt").rglob("hparams.yml"))
    assert "gamma: 0.8" in hparams
    assert "projector: 16-16" in hparams


def test_what_is_not_installed_is_refused(settings, monkeypatch):
    monkeypatch.setattr("accelerate.tracking.get_available_trackers", list)
    with pytest.raises(LfbtError, match=r"trackers: tensorboard is not installed; pip install 'lfbt\[tensorboard\]'"):
        pretrain(settings)
    assert not settings.run_dir.exists()


def test_one_that_cannot_start_is_told_in_a_line(settings, monkeypatch):
    """As Weights & Biases does without a key; what has not started is not finished."""

    def refusing(self):
        raise RuntimeError("api_key not configured\nsecond line")

    monkeypatch.setattr("accelerate.tracking.TensorBoardTracker.start", refusing)
    said = r"trackers: one of tensorboard could not start \(RuntimeError: api_key not configured\); mend that, or leave"
    with pytest.raises(LfbtError, match=said):
        pretrain(settings)
    assert not settings.run_dir.exists()


def test_one_that_is_lost_does_not_end_the_run(settings, monkeypatch, capfd):
    from accelerate.tracking import TensorBoardTracker

    log = TensorBoardTracker.log

    def losing(self, values, step):
        if step == 2:
            raise ConnectionError("no route to host")
        log(self, values, step=step)

    monkeypatch.setattr(TensorBoardTracker, "log", losing)
    pretrain(settings)
    assert len(read_lines(settings.run_dir / "history.jsonl")) == 3
    said = "tensorboard cannot be told any more (ConnectionError: no route to host); the run goes on without it"
    assert capfd.readouterr().err.count(said) == 1


@pytest.mark.parametrize(
    ("error", "status", "exit_code"),
    [(None, None, None), (StoppedError(""), "KILLED", 1), (LfbtError(""), "FAILED", 1)],
)
def test_how_a_run_ended_is_told(monkeypatch, error, status, exit_code):
    mlflow = Mock()
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    trackers = [Mock(), Mock()]
    trackers[0].name, trackers[1].name = "mlflow", "wandb"
    finish_trackers(Mock(trackers=list(trackers)), error)
    if error is None:
        assert [tracker.finish.call_count for tracker in trackers] == [1, 1]
        assert not mlflow.end_run.called
    else:
        mlflow.end_run.assert_called_once_with(status)
        trackers[1].run.finish.assert_called_once_with(exit_code=exit_code)


def test_a_run_that_fails_at_the_start_leaves_nothing_of_trackers(settings):
    with pytest.raises(LfbtError, match="batch-size: 50 is more than"):
        pretrain(dataclasses.replace(settings, batch_size=50))
    assert not settings.run_dir.exists()
