"""Settings of pretraining: presets, ranges, keyword arguments."""

import math

import pytest

from lfbt.errors import LfbtError
from lfbt.training.settings import (
    ModelSettings,
    OptimizerSettings,
    PretrainSettings,
    apply_preset,
    parse_projector,
    preset_hints,
)
from lfbt.utils.settings import Affects, names_affecting, validate


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


def test_create_has_the_defaults_of_a_preset(tmp_path):
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


def test_create_prefers_what_is_given_to_the_preset(tmp_path):
    settings = PretrainSettings.create(tmp_path, tmp_path / "run", "small", epochs=7)
    assert (settings.optimizer.epochs, settings.optimizer.batch_size) == (7, 64)


@pytest.mark.parametrize(("epochs", "warmup"), [(1, 0.25), (2, 0.5), (3, 0.75), (4, 3.0), (120, 3.0)])
def test_create_shortens_the_warmup_of_a_preset_that_would_not_end(tmp_path, epochs, warmup):
    settings = PretrainSettings.create(tmp_path, tmp_path / "run", "small", epochs=epochs)
    assert settings.optimizer.warmup_epochs == warmup
    validate(settings)
    said = [hint for hint in preset_hints(settings, 1024) if hint.startswith(f"warmup-epochs: {warmup:g} instead of")]
    assert len(said) == (epochs < 4)


def test_create_keeps_a_warmup_that_was_given(tmp_path):
    settings = PretrainSettings.create(tmp_path, tmp_path / "run", "small", epochs=2, warmup_epochs=3)
    with pytest.raises(LfbtError, match=r"^warmup_epochs: 3\.0 is outside \[0, 2\); it must end before --epochs"):
        validate(settings)
    none = PretrainSettings.create(tmp_path, tmp_path / "run", "small", epochs=2, warmup_epochs=0)
    assert (none.optimizer.warmup_epochs, preset_hints(none, 1024)) == (0.0, [])


def test_preset_hints_say_how_to_prepare_data_for_small(tmp_path):
    small, paper = (PretrainSettings.create([tmp_path], tmp_path / "run", preset) for preset in ("small", "paper"))
    (hint,) = preset_hints(small, 2048)
    assert hint.endswith(f"but {tmp_path} has 2048, which take longer; prepare it with --n-samples 1024")
    assert preset_hints(small, 1024) == preset_hints(small, 512) == preset_hints(paper, 2048) == []


def test_apply_preset_replaces_what_the_preset_names_and_nothing_else(tmp_path):
    settings = PretrainSettings.create(tmp_path, tmp_path / "run", epochs=7, gamma=0.6, seed=3)
    small = PretrainSettings.create(tmp_path, tmp_path / "run", "small", gamma=0.6, seed=3)
    assert apply_preset(settings, "small") == small
    with pytest.raises(LfbtError, match="preset: 'huge' is not one of paper, small"):
        apply_preset(settings, "huge")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 1}, "batch_size: 1 "),
        ({"epochs": 0}, "epochs: 0 "),
        ({"gamma": 1.5}, r"gamma: 1\.5 is outside \[0, 1\]"),
        ({"gamma": math.nan}, "gamma: nan "),
        ({"lambd": -0.1}, r"lambd: -0\.1 "),
        ({"lambd": math.inf}, "lambd: inf "),
        ({"learning_rate": 0.0}, r"learning_rate: 0\.0 "),
        ({"learning_rate": math.nan}, "learning_rate: nan "),
        ({"warmup_epochs": 2.0}, r"warmup_epochs: 2\.0 is outside \[0, 2\)"),
        ({"warmup_epochs": -1.0}, r"warmup_epochs: -1\.0 "),
        ({"projector": "16-"}, "projector: '16-'"),
        ({"print_freq": -1}, "print_freq: -1 "),
        ({"save_steps": -1}, "save_steps: -1 "),
        ({"save_minutes": -0.5}, r"save_minutes: -0\.5 "),
        ({"keep": 0}, "keep: 0 "),
        ({"ema": 1.0}, r"ema: 1\.0 is outside \[0, 1\); 0\.99 to 0\.9999 are usual"),
        ({"noise": -0.1}, r"noise: -0\.1 is outside \[0, 10\]"),
        ({"lead_dropout": 1.0}, r"lead_dropout: 1\.0 is outside \[0, 1\)"),
        ({"vcg_rotation": 45.0, "normalisation": "lead"}, "vcg_rotation: needs leads in proportion to each other"),
        ({"views": 1}, r"views: 1 is outside \[2, 8\]"),
        ({"views": 9}, r"views: 9 is outside \[2, 8\]"),
        ({"weight_decay": -0.1}, r"weight_decay: -0\.1 "),
        ({"quality_every": -1}, "quality_every: -1 "),
        ({"batch_norm": "local"}, "batch_norm: 'local' is not one of global, process"),
        ({"precision": "fp8"}, "precision: 'fp8' is not one of fp32, bf16, fp16"),
        ({"workers": -1}, "workers: -1 "),
        ({"seed": -1}, "seed: -1 "),
        ({"normalisation": "z"}, "normalisation: 'z' is not one of record, lead, none"),
        ({"leads": ("II", "II")}, "leads: II is named twice"),
        ({"splits": ()}, "splits: none given; name one or more of train, val, test"),
    ],
    ids=lambda value: "-".join(map(str, next(iter(value.items())))) if isinstance(value, dict) else "",
)
def test_pretrain_settings_out_of_range_are_refused(tmp_path, changes, message):
    quick = {"epochs": 2, "batch_size": 5, "projector": "16-16", "device": "cpu", "workers": 0}
    with pytest.raises(LfbtError, match=message):
        validate(PretrainSettings.create(**({"data_dir": tmp_path, "run_dir": tmp_path / "run"} | quick | changes)))


def test_create_refuses_a_schedule_that_is_not_one(tmp_path):
    with pytest.raises(LfbtError, match="schedule: 'linear' is not one of constant, cosine"):
        PretrainSettings.create(tmp_path / "d", tmp_path / "r", schedule="linear")


def test_data_settings_refuse_test_records_unless_allowed(tmp_path):
    settings = {"data_dir": tmp_path, "run_dir": tmp_path / "run", "splits": ("train", "test")}
    with pytest.raises(LfbtError, match=r"splits: test is among them, .* insist with --allow-test-records"):
        validate(PretrainSettings.create(**settings))
    validate(PretrainSettings.create(**settings, allow_test_records=True))


def test_pretrain_settings_know_what_may_differ_on_resuming():
    """A setting that does not say what it affects counts as one that changes the weights."""
    free = names_affecting(PretrainSettings, Affects.RUNTIME, Affects.PROCESS, Affects.LOCATION)
    assert free == {
        "data_dir", "run_dir", "exclude", "allow_test_records", "device", "low_memory", "workers", "save_steps",
        "save_minutes", "keep", "resume", "overwrite", "print_freq", "quality_data", "quality_every", "trackers",
    }  # fmt: skip


@pytest.mark.parametrize("text", ["99999", "999999999-8", "-".join(["8"] * 9)])
def test_parse_projector_refuses_sizes_that_no_machine_has(text):
    with pytest.raises(LfbtError, match=r"^projector: .* allowed: 8 layers of 32768$"):
        parse_projector(text)
