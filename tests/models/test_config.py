"""The settings of encoders and heads, and their files: what they hold, and errors that name file, field and remedy."""

import dataclasses
import json

import pytest
from tests.models.helpers import edit

import lfbt
from lfbt.errors import LfbtError
from lfbt.models.config import EncoderCard, EncoderConfig, HeadCard
from lfbt.models.encoder import random_encoder
from lfbt.utils.settings import validate

CONFIG = EncoderConfig(("II", "V1", "aVR"), sampling_rate=6.4, n_samples=64, normalisation="lead", width=0.0625)


@pytest.fixture
def folder(tmp_path):
    EncoderCard.create(CONFIG, {"method": "test", "epochs_done": 3}).save(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("width", "n_features"), [(0.125, 64), (0.0625, 32), (1 / 64, 8), (1.0, 512)])
def test_encoder_config_has_features_by_width(width, n_features):
    assert dataclasses.replace(CONFIG, width=width).n_features == n_features


@pytest.mark.parametrize("sampling_rate", [0.0, -5.0, float("nan"), float("inf")])
def test_encoder_config_refuses_a_sampling_rate_out_of_range(sampling_rate):
    with pytest.raises(LfbtError, match=rf"sampling_rate: {sampling_rate} is outside \(0, 1e6\]"):
        validate(dataclasses.replace(CONFIG, sampling_rate=sampling_rate))


def test_encoder_card_round_trips(folder):
    card = EncoderCard.load(folder)
    assert card == EncoderCard(
        lfbt.__version__, ("II", "V1", "aVR"), 6.4, 64, "lead", 0.0625, 32, {"method": "test", "epochs_done": 3}
    )
    assert card.config == CONFIG


def test_encoder_card_loads_files_without_a_format_or_history(folder):
    """As the first version wrote them, and as they may have been cleaned before publication."""
    content = json.loads((folder / "config.json").read_text())
    del content["format"], content["history"]
    (folder / "config.json").write_text(json.dumps(content))
    assert EncoderCard.load(folder) == EncoderCard.create(CONFIG, {})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("leads", None, r"config\.json: field leads: Expected `array`, got `null`; it does not describe an encoder"),
        ("leads", 3, r"config\.json: field leads: Expected `array`, got `int`"),
        ("leads", ["II", "II", "V1"], "leads: II is named twice"),
        ("leads", [], "leads: none given"),
        ("sampling_rate", "fast", r"config\.json: field sampling_rate: Expected `float`, got `str`"),
        ("n_samples", None, r"config\.json: field n_samples: Expected `int`, got `null`"),
        ("n_samples", 16, r"config\.json: n_samples: 16 "),
        ("normalisation", "record ", r"config\.json: normalisation: 'record ' is not one of record, lead, none"),
        ("normalisation", None, r"config\.json: field normalisation: Expected `str`, got `null`"),
        ("width", [], r"config\.json: field width: Expected `float`, got `array`"),
        ("width", 0, "width: 0"),
    ],
)
def test_encoder_card_refuses_a_wrong_value(folder, name, value, message):
    edit(folder, **{name: value})
    with pytest.raises(LfbtError, match=message):
        EncoderCard.load(folder)


@pytest.mark.parametrize("name", ["leads", "sampling_rate", "n_samples", "normalisation", "width"])
def test_encoder_card_refuses_a_missing_setting(folder, name):
    content = json.loads((folder / "config.json").read_text())
    del content[name]
    (folder / "config.json").write_text(json.dumps(content))
    message = (
        rf"config\.json: Object missing required field `{name}`; it does not describe an encoder; restore the file"
    )
    with pytest.raises(LfbtError, match=message):
        EncoderCard.load(folder)


@pytest.mark.parametrize("text", ["", "{", '{"leads": ["II"', "[1]", "\x80"])
def test_encoder_card_refuses_what_is_not_a_json_object(folder, text):
    (folder / "config.json").write_text(text)
    with pytest.raises(LfbtError, match=r"config\.json"):
        EncoderCard.load(folder)


@pytest.mark.parametrize(
    ("name", "value"), [("n_samples", 1e400), ("sampling_rate", float("nan")), ("sampling_rate", -5)]
)
def test_encoder_card_refuses_a_number_out_of_range(folder, name, value):
    edit(folder, **{name: value})
    with pytest.raises(
        LfbtError, match=rf"config\.json: .*{name.replace('_', '.')}.*; it does not describe an encoder"
    ):
        EncoderCard.load(folder)


def test_encoder_card_refuses_a_newer_format(folder):
    edit(folder, format=2)
    with pytest.raises(LfbtError, match=r"config\.json: has format 2, .*update lfbt"):
        EncoderCard.load(folder)


@pytest.mark.parametrize("exclusive", [True, False])
def test_head_card_round_trips(tmp_path, exclusive):
    card = HeadCard(lfbt.__version__, ("fast", "slow"), 128, exclusive)
    card.save(tmp_path)
    assert HeadCard.load(tmp_path) == card


def test_head_card_loads_files_without_exclusive(tmp_path):
    """As the first version wrote them, of exclusive classes."""
    content = {"lfbt_version": "0.1.0", "classes": ["a", "b"], "n_inputs": 8}
    (tmp_path / "config.json").write_text(json.dumps(content))
    assert HeadCard.load(tmp_path) == HeadCard("0.1.0", ("a", "b"), 8, exclusive=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_inputs": -1}, r"field n_inputs: -1 is outside \[1, 1000000\]; it does not describe a classifier"),
        ({"n_inputs": 10**15}, r"field n_inputs: 10+ is outside"),
        ({"classes": []}, "field classes: none, or a name twice; it does not describe a classifier"),
        ({"classes": ["a", "a"]}, "field classes: none, or a name twice"),
        ({"lead_dropout": {"probability": 0.5, "subsets": {}}}, "field lead_dropout: no subsets, or one without leads"),
        (
            {"lead_dropout": {"probability": 0.5, "subsets": {"a": []}}},
            "field lead_dropout: no subsets, or one without",
        ),
        ({"lead_dropout": {"subsets": {}}}, "field lead_dropout: Object missing required field `probability`"),
        ({"n_inputs": "many"}, "field n_inputs: Expected `int`, got `str`; it does not describe a classifier"),
        ({"classes": None}, "field classes: Expected `array`, got `null`; it does not describe a classifier"),
    ],
)
def test_head_card_refuses_a_wrong_value(tmp_path, changes, message):
    content = {"lfbt_version": "0.1.0", "classes": ["a", "b"], "n_inputs": 8, "exclusive": True}
    (tmp_path / "config.json").write_text(json.dumps(content | changes))
    with pytest.raises(LfbtError, match=rf"config\.json: {message}"):
        HeadCard.load(tmp_path)


def test_encoder_config_counts_the_weights_of_its_convolutions():
    encoder = random_encoder(CONFIG, seed=0)
    sizes = [tensor.numel() for name, tensor in encoder.named_parameters() if tensor.ndim == 3]
    assert sum(sizes) == CONFIG.n_weights


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"leads": tuple(f"L{number}" for number in range(100_000))}, "leads: 100000 are more than the 256"),
        ({"leads": tuple(f"L{number}" for number in range(200)), "width": 4}, "width: 4 with 200 leads makes "),
        ({"n_samples": 10**23}, "n_samples: 1"),
        ({"sampling_rate": 1e20}, "sampling_rate: 1e"),
    ],
)
def test_encoder_config_refuses_sizes_that_no_machine_has(changes, message):
    with pytest.raises(LfbtError, match=f"^{message}"):
        dataclasses.replace(CONFIG, **changes)
