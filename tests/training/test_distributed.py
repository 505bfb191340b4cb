"""Pretraining and fine-tuning by several processes: the same weights as by one, and errors and signals for all."""

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from filelock import FileLock
from tests.factories import waves, write_checkpoint, write_labelled, write_multi_label, write_packed
from tests.outputs import read_lines
from tests.processes import in_processes

import lfbt.evaluation.fine_tuning as finetune_module
import lfbt.training.pretraining as pretrain_module
from lfbt.data.dataset import Dataset
from lfbt.errors import LfbtError
from lfbt.evaluation.fine_tuning import run_finetune
from lfbt.evaluation.settings import FinetuneSettings
from lfbt.training import steps as steps_module
from lfbt.training.augmentation import random_views
from lfbt.training.checkpoints import last_checkpoint
from lfbt.training.distributed import init_distributed
from lfbt.training.pretraining import Pretrainer
from lfbt.training.settings import PretrainSettings
from lfbt.utils.interrupts import StoppedError
from lfbt.utils.settings import replace
from lfbt.utils.tensors import load_tensors

#: Batches of seven records: two processes have four and three.
N_RECORDS = 21
OTHER_OBJECTIVES = ("simclr", "vicreg", "lead-contrastive")
QUICK: dict[str, Any] = {"epochs": 2, "batch_size": 7, "projector": "16-16", "device": "cpu", "workers": 0}


def in_double_precision():
    """Weights and views in double precision: what is left of differences between orders of sums stays small."""
    torch.set_default_dtype(torch.float64)
    vars(pretrain_module)["random_views"] = lambda *of: random_views(*of).double()
    batch = Dataset.batch
    vars(finetune_module)["prefetch_batches"] = lambda dataset, batches, normalisation, *_: (
        torch.from_numpy(batch(dataset, rows, normalisation)).double() for rows in batches
    )


def learned(run_dir):
    state = last_checkpoint(run_dir / "checkpoints", print)
    assert state is not None
    state["progress"] = state["progress"][:5]
    return state


def settings_of(place, name, **changes):
    given = QUICK | {"data_dir": (place / "data",), "run_dir": place / name, "quality_every": 0} | changes
    return PretrainSettings.create(**given)


def stopped_and_resumed(place, name):
    """A run whose last process alone is asked to stop, which it does after two steps of three, and then goes on."""
    settings = settings_of(place, name, epochs=3)
    step, n_steps = steps_module.train_step, 0
    rank, n_processes = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)

    def with_a_signal(*args):
        nonlocal n_steps
        n_steps += 1
        # Others learn of it at the step after.
        if n_steps == (1 if dist.is_initialized() else 2) and rank == n_processes - 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(*args)

    steps_module.train_step = with_a_signal
    try:
        Pretrainer(settings).run()
    except StoppedError as stopped:
        message = str(stopped)
    finally:
        steps_module.train_step = step
    checkpoint = last_checkpoint(settings.run_dir / "checkpoints", print)
    assert checkpoint is not None
    at = [int(number) for number in checkpoint["progress"][:2]]
    Pretrainer(replace(settings, resume=True)).run()
    return message, at


def failing_alike(place):
    """What each process makes of a batch that is too small, and of a folder that is in use."""
    found = []
    attempts: list[tuple[str, dict[str, Any]]] = [
        ("small", {"batch_size": 2}),
        ("plain", {}),
        ("odd", {"seed": dist.get_rank()}),
        ("odd", {"low_memory": dist.get_rank() == 0}),
    ]
    for name, changes in attempts:
        try:
            Pretrainer(settings_of(place, name, **changes)).run()
        except (LfbtError, SystemExit) as error:
            found.append(str(error))
    return found


def runs(folder):
    """All runs of one process, or of this one of several, in its own folder; what they printed."""
    place = Path(folder)
    in_double_precision()
    Pretrainer(settings_of(place, "plain")).run()
    Pretrainer(settings_of(place, "low memory", low_memory=True)).run()
    Pretrainer(settings_of(place, "per process", batch_norm="process")).run()
    Pretrainer(settings_of(place, "longer", epochs=3)).run()
    Pretrainer(settings_of(place, "three views", views=3, ema=0.9)).run()
    for objective in OTHER_OBJECTIVES:
        Pretrainer(settings_of(place, objective, objective=objective)).run()
    tuned: dict[str, Any] = {"epochs": 2, "batch_size": 7, "device": "cpu", "workers": 0, "learning_rate": 1e-2}
    trials = run_finetune(FinetuneSettings.create(place / "labelled", place / "tuned", place / "start", **tuned))
    # Of several labels, two trials, and the second of them once more: the main process broadcasts what is there.
    once = tuned | {"epochs": 1}
    series = FinetuneSettings.create(place / "multi", place / "series", place / "start", seeds=(0, 1), **once)
    run_finetune(series)
    if trials:
        shutil.rmtree(place / "series" / "fraction-1-seed-1")
    run_finetune(replace(series, resume=True))
    message, at = stopped_and_resumed(place, "stopped")
    failures = failing_alike(place) if dist.is_initialized() else []
    return {"stopped": message, "at": at, "failures": failures, "val_loss": trials[0].val_loss if trials else -1.0}


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    """The run folders of two processes, and what each of them printed."""
    return found_by(2, tmp_path_factory)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The run folders of one process, and what it printed."""
    return found_by(1, tmp_path_factory)


def found_by(n_processes, tmp_path_factory):
    """Run once, however many processes run these tests."""
    common = tmp_path_factory.getbasetemp()
    common = common.parent if os.environ.get("PYTEST_XDIST_WORKER") else common
    place = common / f"launched-{n_processes}"
    with FileLock(common / f"launched-{n_processes}.lock"):
        if not (place / "results.json").exists():
            write_packed(place / "data", waves([0, 1, 2] * (N_RECORDS // 3)))
            write_labelled(place / "labelled")
            write_multi_label(place / "multi")
            write_checkpoint(place / "start")
            results = in_processes(n_processes, runs, str(place))
            (place / "results.json").write_text(json.dumps(results))
    return place, json.loads((place / "results.json").read_text())


def assert_close(one, other, atol):
    assert list(one) == list(other)
    for name, tensor in one.items():
        torch.testing.assert_close(tensor, other[name], rtol=0, atol=atol)


@pytest.mark.parametrize("name", ["plain", "low memory", "longer", "three views", *OTHER_OBJECTIVES])
def test_pretrainer_learns_the_same_with_several_processes(alone, several, name):
    """After six or nine steps, batches of uneven parts: weights, Adam's moments, running statistics and history."""
    mine, theirs = learned(several[0] / name), learned(alone[0] / name)
    assert_close(mine, theirs, 1e-8)
    moved = (
        mine["projectors.projectors.0.linears.0.weight"]
        - learned(alone[0] / "longer")["projectors.projectors.0.linears.0.weight"]
    )
    assert (moved.abs().max() > 1e-4) == (name != "longer")
    for ours, other in zip(*(read_lines(place / name / "history.jsonl") for place, _ in (several, alone)), strict=True):
        losses = [[line[key] for key in ("loss", "intra", "inter") if key in line] for line in (ours, other)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-9)


def test_pretrainer_learns_otherwise_with_statistics_of_each_process(alone, several):
    mine, theirs = (learned(place / "per process") for place, _ in (several, alone))
    weight = "encoder.encoders.II.convolutions.0.weight"
    assert (mine[weight] - theirs[weight]).abs().max() > 1e-4
    assert_close(theirs, learned(alone[0] / "plain"), 0)


def test_run_finetune_learns_the_same_with_several_processes(alone, several):
    ours, others = (place / "tuned" for place, _ in (several, alone))
    for part in ("encoder", "head"):
        mine, theirs = (load_tensors(folder / part / "model.safetensors") for folder in (ours, others))
        assert_close(mine, theirs, 1e-9)
    assert (ours / "predictions.csv").read_text().splitlines()[0] == (
        others / "predictions.csv"
    ).read_text().splitlines()[0]
    assert several[1][0]["val_loss"] == pytest.approx(alone[1][0]["val_loss"], rel=1e-9)
    assert [result["val_loss"] for result in several[1][1:]] == [-1.0] * (len(several[1]) - 1)


@pytest.mark.parametrize("trial", ["fraction-1-seed-0", "fraction-1-seed-1"])
def test_run_finetune_of_several_labels_learns_the_same_with_several_processes(alone, several, trial):
    ours, others = (place / "series" / trial for place, _ in (several, alone))
    for part in ("encoder", "head"):
        mine, theirs = (load_tensors(folder / part / "model.safetensors") for folder in (ours, others))
        assert_close(mine, theirs, 1e-9)
    mine, theirs = (json.loads((folder / "results.json").read_text()) for folder in (ours, others))
    assert mine["task"] == "multi-label"
    assert mine["val_loss"] == pytest.approx(theirs["val_loss"], rel=1e-9)
    assert mine["test"]["auroc"] == pytest.approx(theirs["test"]["auroc"])
    assert mine["settings"]["resume"] is (trial == "fraction-1-seed-1")
    assert (ours.parent / "results.csv").is_file()


def test_pretrainer_stops_at_the_step_after_a_signal(alone):
    assert_stopped_and_resumed(*alone)
    assert alone[1][0]["at"] == [0, 2]


def test_pretrainer_stops_all_processes_at_the_same_step_after_a_signal_to_one(several):
    """The last process alone gets it; the others learn of it with the next step, in the middle of the epoch."""
    assert_stopped_and_resumed(*several)
    assert [result["at"] for result in several[1]] == [[0, 2]] * len(several[1])


def assert_stopped_and_resumed(place, found):
    assert all("the same command goes on" in result["stopped"] for result in found)
    assert "SIGTERM" in found[-1]["stopped"]
    assert_close(learned(place / "stopped"), learned(place / "longer"), 0)


def test_pretrainer_prints_an_error_of_all_processes_once(several):
    main, *others = [result["failures"] for result in several[1]]
    assert "batch_size: " in main[0]
    assert "plain: finished before, with the same settings and data" in main[1]
    assert main[2:] == ["2", "2"]
    assert others[0][:2] == ["2", "0"]
    assert others[0][3].startswith("low_memory is False in process 1 but True in the main one")
    assert (
        others[0][2] == "seed is 1 in process 1 but 0 in the main one; launch all with the same words, on the same data"
    )
    assert others[1:] == [["2", "0", "2", "2"]] * len(others[1:])


def test_run_without_processes_is_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "0")
    with pytest.raises(LfbtError, match="WORLD_SIZE: 0 is outside"), init_distributed(torch.device("cpu")):
        pass


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"RANK": "2"}, r"RANK: 2 is outside \[0, 2\), as WORLD_SIZE is 2; launch by torchrun"),
        ({"RANK": "x"}, "RANK: 'x' is not the number that torchrun sets"),
        ({"MASTER_PORT": "99999999"}, r"MASTER_PORT: 99999999 is outside \[1, 65535\]; give a port that is free"),
        ({"LOCAL_RANK": "zero"}, "LOCAL_RANK: 'zero' is not the number that torchrun sets"),
        ({"MASTER_PORT": "0"}, r"MASTER_PORT: 0 is outside \[1, 65535\]"),
    ],
)
def test_init_distributed_refuses_an_environment_that_cannot_be_at_once(monkeypatch, variables, message):
    plain = {"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "localhost", "MASTER_PORT": "29500"}
    for name, value in (plain | variables).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(LfbtError, match=f"^{message}"), init_distributed(torch.device("cpu")):
        pass
