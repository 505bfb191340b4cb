"""The settings of a reproduction: ranges, and the stages that each of them changes."""

import dataclasses
import re

import pytest

from lfbt.errors import LfbtError
from lfbt.paper.settings import ReproduceSettings, affected_stages, quick_defaults
from lfbt.utils.settings import validate


def test_defaults_are_valid_and_so_are_the_quick_ones(tmp_path):
    validate(ReproduceSettings(tmp_path))
    validate(quick_defaults(ReproduceSettings(tmp_path)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"most_records": -1}, "most_records: -1 is outside [0, 1000000000]"),
        ({"n_samples": 31}, "n_samples: 31 is outside [32, 10000000]"),
        ({"pretrain_epochs": 0}, "pretrain_epochs: 0 is outside [1, 1000000]"),
        ({"batch_size": 1}, "batch_size: 1 is outside [2, 1000000]"),
        ({"probe_epochs": 0}, "probe_epochs: 0 is outside [1, 1000000]"),
        ({"finetune_epochs": 0}, "finetune_epochs: 0 is outside [1, 1000000]"),
        ({"finetune_learning_rate": 0.0}, "finetune_learning_rate: 0.0 is outside (0, 1000]"),
        ({"workers": 0}, "workers: 0 is outside [1, 1024]"),
        ({"seeds": (0, 2**32)}, "seeds: 4294967296 is outside [0, 4294967295]"),
        ({"seeds": (-1,)}, "seeds: -1 is outside [0, 4294967295]"),
        ({"seeds": (1, 1)}, "seeds: 1 1; give one or more from 0 on, each once"),
        ({"seeds": ()}, "seeds: none given; give one or more from 0 on, each once"),
        ({"projector": "a"}, "projector: 'a' is not a list of layer sizes"),
    ],
    ids=lambda value: " ".join(value) + str(list(value.values())) if isinstance(value, dict) else "",
)
def test_validate_refuses_settings_out_of_range(tmp_path, changes, message):
    with pytest.raises(LfbtError, match=re.escape(message)):
        validate(ReproduceSettings(tmp_path, **changes))


def test_affected_stages_are_known_of_every_setting_that_changes_a_result():
    affected = affected_stages()
    free = {field.name for field in dataclasses.fields(ReproduceSettings)} - affected.keys()
    assert free == {"out", "seeds", "allow_test_records", "low_memory", "device", "workers"}
    assert affected["ptbxl"] == ("data/ptbxl",)
    assert affected["exclude"] == ("pretrain",)
    assert affected["finetune_epochs"] == ("finetune", "scratch")
    assert affected["encoders"] == ("pretrain", "probe", "finetune")
