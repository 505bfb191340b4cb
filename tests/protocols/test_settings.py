"""The settings of a benchmark: what is refused, and how a protocol is called."""

import pytest
from tests.protocols.helpers import settings_of

from lfbt.errors import LfbtError
from lfbt.protocols.settings import LABELS, PROTOCOLS, TASKS, TITLES
from lfbt.utils.settings import validate


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tasks": ["diagnosis"]}, "tasks: diagnosis is not one of ptbxl, which has statements, subclass"),
        ({"tasks": ["form", "form"]}, "tasks: form form; give one or more, each once"),
        ({"fraction": []}, "fraction: none given"),
        ({"fraction": [0.0]}, r"fraction: 0\.0 is outside"),
        ({"seeds": [1, 1]}, "seeds: 1 1; give one or more"),
        ({"window": 10.5}, r"window: 10\.5 is outside \(0, 10\]; records have ten seconds"),
        ({"protocol": "nonlinear"}, "protocol: 'nonlinear' is not one of linear, attentive"),
    ],
)
def test_settings_refuse(tmp_path, changes, message):
    with pytest.raises(LfbtError, match=message):
        validate(settings_of(tmp_path, **changes))


def test_variant_names_the_protocol_and_departures(tmp_path):
    assert settings_of(tmp_path).variant == "linear"
    assert settings_of(tmp_path, features="rich", standardise=True).variant == "linear-rich-standardised"
    assert settings_of(tmp_path, protocol="attentive").variant == "attentive"


def test_every_data_set_has_tasks_labels_and_a_title():
    assert set(TASKS) == set(LABELS) == set(TITLES)


def test_protocols_are_those_of_their_sources():
    linear, attentive = PROTOCOLS["linear"], PROTOCOLS["attentive"]
    assert (linear.batch_size, linear.weight_decay, linear.rounds, linear.steps) == (64, 1e-3, 100, None)
    assert (attentive.batch_size, attentive.weight_decay, attentive.clip) == (128, 0.1, 1.0)
    assert attentive.rounds * (attentive.steps or 0) == 5000
    # Windows of 2.5 s begin every 2.5 and 1.25 s.
    assert (2.5 * linear.stride, 2.5 * attentive.stride) == (2.5, 1.25)
