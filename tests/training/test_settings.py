"""Settings of pretraining: presets, ranges, keyword arguments."""

import pytest

from lfbt.errors import LfbtError
from lfbt.training.settings import ModelSettings, OptimizerSettings, PretrainSettings, apply_preset, parse_projector
from lfbt.utils.settings import validate


@pytest.mark.parametrize(
    ("text", "sizes"), [("2048-2048-2048", (2048, 2048, 2048)), ("16", (16,)), ("512-256", (512, 256))]
)
def test_parse_projector_splits_sizes(text, sizes):
    assert parse_projector(text) == sizes


@pytest.mark.parametrize(
    "text", ["", "-", "16-", "-16", "16--16", "0", "16-0", "a", "16,16", "1.5", "16-x", " 16", "²"]
)
def test_parse_projector_refuses_other_text(text):
    with pytest.raises(LfbtError, match=r"projector: .* is not a list of layer sizes such as 2048-2048-2048"):
        parse_projector(text)


def test_create_takes_defaults_from_the_preset(tmp_path):
    paper = PretrainSettings.create((tmp_path,), tmp_path / "run", "paper")
    assert paper == PretrainSettings.create((tmp_path,), tmp_path / "run")
    assert paper.optimizer == OptimizerSettings(200, 128, 1e-3, "constant", 0.0, 0.0)
    assert (paper.loss.gamma, paper.loss.lambd) == (0.8, 0.0051)
    assert paper.model == ModelSettings("2048-2048-2048", 0.125, "record")
    small = PretrainSettings.create((tmp_path,), tmp_path / "run", "small")
    assert small.preset == "small"
    assert (small.optimizer.epochs, small.optimizer.batch_size) == (120, 64)
    assert small.model == ModelSettings("512-512-512", 0.125, "none")
    assert small.loss == paper.loss
    with pytest.raises(LfbtError, match="preset: 'huge' is not one of paper, small"):
        PretrainSettings.create((), tmp_path, "huge")


def test_pretrain_refuses_a_schedule_that_is_not_one(tmp_path):
    with pytest.raises(LfbtError, match="schedule: 'linear' is not one of constant, cosine"):
        PretrainSettings.create(tmp_path / "d", tmp_path / "r", schedule="linear")


def test_apply_preset_changes_what_the_preset_names_and_keeps_the_rest(tmp_path):
    given = PretrainSettings.create(tmp_path, tmp_path / "run", gamma=0.6, epochs=7)
    small = apply_preset(given, "small")
    assert (small.loss.gamma, small.optimizer.epochs, small.preset) == (0.6, 120, "small")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"splits": ()}, "splits: none given; name one or more of train, val, test"),
        ({"splits": ("train", "test")}, "splits: test is among them"),
        ({"warmup_epochs": 5, "epochs": 5}, r"warmup-epochs: 5.0 is outside \[0, 5\); it must end before --epochs"),
        ({"projector": "a"}, "projector: 'a' is not a list of layer sizes"),
    ],
)
def test_validate_refuses_settings_that_do_not_go_together(tmp_path, changes, message):
    with pytest.raises(LfbtError, match=message):
        validate(PretrainSettings.create(tmp_path, tmp_path / "run", **changes))
