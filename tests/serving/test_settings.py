"""The settings of a server: what they refuse."""

from pathlib import Path

import pytest

from lfbt.errors import LfbtError
from lfbt.serving.settings import LimitSettings, ServeSettings
from lfbt.utils.settings import validate


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "classifier: none given; give a run folder of lfbt probe or finetune, or a checkpoint"),
        ({"classifier": Path("a"), "checkpoint": Path("b")}, "checkpoint: b is given beside a classifier"),
        ({"classifier": Path("a"), "host": " "}, "host: empty"),
        ({"classifier": Path("a"), "port": 65536}, "port: 65536 is outside"),
        ({"classifier": Path("a"), "limits": LimitSettings(upload_mb=0)}, "upload_mb: 0 is outside"),
        ({"classifier": Path("a"), "limits": LimitSettings(workers=0)}, "workers: 0 is outside"),
        ({"classifier": Path("a"), "limits": LimitSettings(read_seconds=float("nan"))}, "read_seconds: nan is outside"),
    ],
)
def test_settings_refuse(settings, message):
    with pytest.raises(LfbtError) as caught:
        validate(ServeSettings(**settings))
    assert str(caught.value).startswith(message)


def test_settings_take_one_model():
    validate(ServeSettings(classifier=Path("a")))
    validate(ServeSettings(checkpoint=Path("lfbt-small"), host="::1", port=0))
