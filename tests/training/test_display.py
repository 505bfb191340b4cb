"""What pretraining prints: hints before it, losses of steps and epochs, a warning of a collapse."""

import dataclasses
from typing import Any

import pytest
import torch
from tests.factories import waves, write_packed

from lfbt.runs.history import PretrainingEpoch
from lfbt.training.display import Display, format_terms
from lfbt.training.monitor import Quality
from lfbt.training.records import open_training_records
from lfbt.training.settings import PretrainSettings
from lfbt.training.train_state import Progress
from lfbt.utils.progress import progress_bar

LINE = PretrainingEpoch(1, 12.5, 1e-3, 2.0, 1234.5, 10.0, 22.5)
NORMAL = "losses in the hundreds or thousands are normal: they are sums over the projector's dimensions"


@pytest.fixture
def printed(tmp_path, capsys, monkeypatch):
    """Let a function print by a `Display` of a run of two epochs of three steps; returns the lines on stderr."""
    data = write_packed(tmp_path / "data", waves([0, 1, 2] * 3))
    monkeypatch.setattr("lfbt.training.display.has_numba", lambda: True)

    def show(function, shown=True, device="cpu", **changes):
        quick: dict[str, Any] = {"epochs": 2, "batch_size": 3, "device": "cpu"}
        settings = PretrainSettings.create(data, tmp_path / "run", **(quick | changes))
        with progress_bar(6, "pretrain", shown) as bar:
            function(Display(bar, settings, open_training_records(settings), torch.device(device)))
        out, lines = capsys.readouterr()
        assert out == ""
        return lines.splitlines()

    return show


def steps(display):
    """Show the steps of two epochs."""
    for epoch in (0, 1):
        for step in (1, 2, 3):
            display.step(Progress(epoch=epoch, step=step), [12.5, 10.0, 22.5], 99.0)


def test_display_write_prints_a_line_as_it_is(printed):
    line = "a long line [bold]as it is[/bold] " + "x" * 200
    assert printed(lambda display: display.write(line)) == [line]


def test_display_of_another_process_prints_nothing(printed):
    assert printed(steps, shown=False, print_freq=1) == []


def test_display_begin_says_what_to_know_of_a_preset(printed, monkeypatch):
    monkeypatch.setattr("lfbt.training.settings._SMALL_SAMPLES", 8)
    few: dict[str, Any] = {"preset": "small", "projector": "8-8", "epochs": 2}
    warmup, samples = printed(lambda display: display.begin(0), **few)
    assert warmup == "warmup-epochs: 0.5 instead of the 3 of preset small, because it must end before --epochs 2"
    assert samples.endswith("prepare it with --n-samples 8")


def test_display_introduce_says_what_is_learned_from_and_with(printed, monkeypatch):
    monkeypatch.setattr("lfbt.training.display.load_hint", lambda _: None)
    monkeypatch.setattr("lfbt.training.display.describe_device", str)
    records = "9 records of {}, 64 samples at 6.4 Hz; {}cpu; preset {} but epochs 2, batch size 3"
    line, *more = printed(lambda display: display.introduce(1))
    assert (line, more) == (records.format("2 leads", "", "paper"), [])
    changes: dict[str, Any] = {"leads": "II", "workers": 7, "warmup_epochs": 0.5}
    (line,) = printed(lambda display: display.introduce(2), preset="small", **changes)
    assert line == (
        "9 records of 1 lead, 64 samples at 6.4 Hz; 2 processes of cpu; preset small but leads II, epochs 2, "
        "batch size 3, warmup epochs 0.5"
    )
    monkeypatch.setattr("lfbt.training.display.load_hint", lambda _: "others compute")
    assert printed(lambda display: display.introduce(1))[1:] == ["others compute"]


@pytest.mark.parametrize("there", [True, False])
def test_display_begin_without_numba_says_what_would_make_a_cpu_faster(printed, monkeypatch, there):
    monkeypatch.setattr("lfbt.training.display.has_numba", lambda: there)
    lines = printed(lambda display: display.begin(0))
    assert ("Numba is not installed" in "".join(lines)) != there


def test_display_begin_does_not_ask_for_numba_on_a_gpu(printed, monkeypatch):
    monkeypatch.setattr("lfbt.training.display.has_numba", lambda: False)
    assert printed(lambda display: display.begin(0), device="cuda") == []


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        ({"quality_data": "labelled"}, True),
        ({"quality_data": "labelled", "epochs": 16}, True),
        ({"quality_data": "labelled", "epochs": 17}, False),
        ({"quality_data": "labelled", "quality_every": 0}, False),
        ({}, False),
    ],
)
def test_display_begin_hints_at_a_run_too_short_for_quality(printed, changes, hint):
    """Epochs have three steps: 17 of them have more than 50."""
    lines = printed(lambda display: display.begin(0), **changes)
    assert [
        line.startswith("quality is evaluated at the end only, and is preliminary: this run") for line in lines
    ] == ([True] * hint)


def test_display_step_prints_losses_as_often_as_asked(printed):
    loss = "loss 12.50  (intra 10.00, inter 22.50)"
    assert printed(steps, print_freq=2) == [f"epoch 1 step 2/3  {loss}", f"epoch 2 step 2/3  {loss}"]
    assert len(printed(steps, print_freq=1)) == 6
    assert printed(steps, print_freq=0) == []


def test_display_epoch_prints_loss_speed_and_what_is_normal_once(printed):
    loss = "loss 12.50  (intra 10.00, inter 22.50)  1234 records/s"
    second = PretrainingEpoch(2, 12.5, 1e-3, 2.0, 1234.5, 10.0, 22.5)
    assert printed(lambda display: [display.epoch(line, None) for line in (LINE, second)]) == [
        f"epoch 1/2  {loss}",
        NORMAL,
        f"epoch 2/2  {loss}",
    ]


def test_display_epoch_of_another_objective_has_one_loss(printed):
    line = PretrainingEpoch(1, 1.25, 1e-3, 2.0, 10.0)
    assert printed(lambda display: display.epoch(line, None), objective="simclr") == [
        "epoch 1/2  loss 1.2500  10 records/s"
    ]


def test_display_epoch_prints_quality(printed):
    line, normal = printed(lambda display: display.epoch(LINE, Quality(20.0, {"II": 0.4, "V1": 0.25}, 0.75)))
    assert line.endswith("records/s  validation AUROC 0.7500, rank 20.0, least spread 0.25")
    assert normal == NORMAL


def test_display_epoch_warns_of_a_collapse(printed):
    flat = Quality(20.0, {"II": 0.4, "V1": 0.001})
    # Epochs have three steps: before the 50th the statistics of the norms have not settled.
    early, late = (dataclasses.replace(LINE, epoch=epoch) for epoch in (16, 17))
    assert len(printed(lambda display: display.epoch(early, flat))) == 1
    lines = printed(lambda display: display.epoch(late, flat))
    assert lines[-1] == (
        "warning: the features of V1 hardly differ between records: the encoder has collapsed; try a lower "
        "--learning-rate, a larger --batch-size, or --warmup-epochs"
    )


def test_format_terms_has_four_digits_of_one_loss_and_two_of_lfbts():
    assert format_terms([0.123456]) == "loss 0.1235"
    assert format_terms([1234.567, 0, 2.345]) == "loss 1234.57  (intra 0.00, inter 2.35)"
