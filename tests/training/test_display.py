"""What a run of pretraining prints."""

import numpy as np
import pytest
import torch
from tests.helpers_model import waves, write_packed

from lfbt.data.dataset import open_dataset
from lfbt.runs.history import PretrainingEpoch
from lfbt.training.display import Display, format_terms
from lfbt.training.monitor import Quality
from lfbt.training.records import TrainingRecords
from lfbt.training.settings import PretrainSettings
from lfbt.training.train_state import Progress
from lfbt.utils.progress import progress_bar


@pytest.fixture
def display(tmp_path):
    """A function that makes a display of two epochs of four steps, whose lines come on stderr."""
    dataset = open_dataset(write_packed(tmp_path / "data", waves([0, 1] * 4)))

    def create(bar, **settings):
        given = PretrainSettings.create(tmp_path / "data", tmp_path / "run", **({"epochs": 2} | settings))
        return Display(bar, given, TrainingRecords(dataset, np.arange(8), 2, 0), torch.device("cpu"))

    return create


def test_format_terms_has_the_parts_of_lfbt_only():
    assert format_terms([1.5]) == "loss 1.5000"
    assert format_terms([2.0, 1.0, 6.0]) == "loss 2.00  (intra 1.00, inter 6.00)"


def test_epoch_prints_loss_speed_quality_and_once_that_hundreds_are_normal(display, capsys):
    with progress_bar(8, "pretrain") as bar:
        shown = display(bar)
        shown.epoch(PretrainingEpoch(1, 200.0, 1e-3, 2.0, 4.0, 100.0, 600.0), Quality(5.0, {"II": 0.5}, 0.75))
        shown.epoch(PretrainingEpoch(2, 100.0, 1e-3, 2.0, 4.0, 50.0, 300.0), None)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith(
        "epoch 1/2  loss 200.00  (intra 100.00, inter 600.00)  4 records/s  validation AUROC 0.7500"
    )
    assert lines[1].startswith("losses in the hundreds or thousands are normal")
    assert lines[2] == "epoch 2/2  loss 100.00  (intra 50.00, inter 300.00)  4 records/s"


def test_epoch_warns_of_a_collapse(display, capsys):
    with progress_bar(8, "pretrain") as bar:
        display(bar).epoch(PretrainingEpoch(2, 1.0, 1e-3, 2.0, 4.0), Quality(1.0, {"II": 0.5}))
    assert "warning: the features fill 1.0 directions only: the encoder has collapsed; try" in capsys.readouterr().err


def test_step_prints_every_so_many_steps(display, capsys):
    with progress_bar(8, "pretrain") as bar:
        shown = display(bar, print_freq=2)
        for step in (1, 2, 3, 4):
            shown.step(Progress(step=step), [1.0], 10.0)
    assert [line.split("  ")[0] for line in capsys.readouterr().err.splitlines()] == [
        "epoch 1 step 2/4",
        "epoch 1 step 4/4",
    ]


def test_begin_says_that_a_short_run_has_no_quality(display, capsys, tmp_path):
    with progress_bar(8, "pretrain") as bar:
        display(bar, quality_data=tmp_path / "labelled").begin(0)
    assert "quality is looked at after 50 steps, which this run does not have" in capsys.readouterr().err


def test_a_process_that_is_not_the_main_one_prints_nothing(display, capsys):
    with progress_bar(8, "pretrain", shown=False) as bar:
        display(bar).epoch(PretrainingEpoch(1, 1.0, 1e-3, 2.0, 4.0), None)
    assert capsys.readouterr().err == ""
