"""Settings: what stands on a field is listed, checked, replaced and created from keyword arguments."""

import dataclasses
import math
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lfbt.errors import LfbtError
from lfbt.utils.settings import (
    Affects,
    LeadNames,
    Range,
    Seed,
    create,
    list_fields,
    names_affecting,
    replace,
    to_dict,
    validate,
)


@dataclasses.dataclass(frozen=True)
class Data:
    folders: Annotated[tuple[Path, ...], Affects.LOCATION]
    leads: LeadNames = ()
    kind: Literal["a", "b"] = "a"


@dataclasses.dataclass(frozen=True)
class Fit:
    learning_rate: Annotated[float, Range("(0, 1]", "the paper has 0.001")] = 1e-3
    epochs: Annotated[int, Range("[1, inf)")] = 5
    warmup: float = 0.0
    seeds: Annotated[tuple[Seed, ...], Affects.TRIAL] = (0,)

    def check(self) -> None:
        if self.warmup >= self.epochs:
            raise LfbtError("warmup: must end before epochs")


@dataclasses.dataclass(frozen=True)
class Settings:
    data: Data
    out: Annotated[Path | None, Affects.LOCATION] = None
    fit: Fit = Fit()
    workers: Annotated[int, Range("[0, inf)"), Affects.PROCESS] = 2
    resume: Annotated[bool, Affects.RUNTIME] = False


SETTINGS = Settings(Data((Path("x"),)))


def test_list_fields_has_nested_ones_in_their_place():
    names = [field.name for field in list_fields(Settings)]
    assert names == [
        "folders", "leads", "kind", "out", "learning_rate", "epochs", "warmup", "seeds", "workers", "resume",
    ]  # fmt: skip
    rate = list_fields(Settings)[4]
    assert (rate.flag, rate.type, rate.metadata) == ("learning-rate", float, (Range("(0, 1]", "the paper has 0.001"),))


def test_names_affecting_takes_the_result_where_a_field_does_not_say():
    assert names_affecting(Settings, Affects.LOCATION) == {"folders", "out"}
    assert names_affecting(Settings, Affects.PROCESS, Affects.RUNTIME) == {"workers", "resume"}
    assert names_affecting(Settings, Affects.TRIAL) == {"seeds"}
    assert names_affecting(Settings, Affects.RESULT) == {"leads", "kind", "learning_rate", "epochs", "warmup"}


def test_to_dict_has_every_setting_by_its_name():
    values = to_dict(SETTINGS)
    assert list(values) == [field.name for field in list_fields(Settings)]
    assert (values["folders"], values["epochs"], values["out"]) == ((Path("x"),), 5, None)


def test_replace_reaches_nested_settings_and_leaves_the_original():
    changed = replace(SETTINGS, epochs=7, kind="b", out=Path("y"))
    assert changed == Settings(Data((Path("x"),), kind="b"), Path("y"), Fit(epochs=7))
    assert SETTINGS.fit.epochs == 5
    whole = replace(SETTINGS, fit=Fit(epochs=9))
    assert whole.fit.epochs == 9


@pytest.mark.parametrize("change", [replace, lambda settings, **values: create(Settings, to_dict(settings) | values)])
def test_an_unknown_name_is_refused_with_the_nearest(change):
    with pytest.raises(LfbtError, match="epoch: is no setting; did you mean epochs"):
        change(SETTINGS, epoch=3)
    with pytest.raises(LfbtError, match="zzz: is no setting; settings are folders, leads, kind"):
        change(SETTINGS, zzz=3)


def test_create_takes_what_stands_for_a_value():
    made = create(
        Settings, {"folders": "x", "leads": "ii, avr", "out": "y", "seeds": 3, "epochs": np.int64(4), "warmup": 1}
    )
    assert made == Settings(Data((Path("x"),), ("II", "aVR")), Path("y"), Fit(epochs=4, warmup=1.0, seeds=(3,)))
    assert (type(made.fit.epochs), type(made.fit.warmup)) == (int, float)
    several = create(Settings, {"folders": ["x", Path("y")], "leads": ["v1"], "seeds": [0, 1], "out": None})
    assert several == Settings(Data((Path("x"), Path("y")), ("V1",)), None, Fit(seeds=(0, 1)))
    assert create(Settings, {"folders": "x", "leads": ""}).data.leads == ()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": "3"}, "epochs: '3' is not a whole number"),
        ({"epochs": 3.0}, "epochs: 3.0 is not a whole number"),
        ({"epochs": True}, "epochs: True is not a whole number"),
        ({"epochs": None}, "epochs: None is not a whole number"),
        ({"epochs": 0}, r"epochs: 0 is outside \[1, inf\)"),
        ({"learning_rate": "fast"}, "learning-rate: 'fast' is not a number"),
        ({"learning_rate": 2}, r"learning-rate: 2 is outside \(0, 1\]; the paper has 0.001"),
        ({"learning_rate": math.nan}, "learning-rate: nan is outside"),
        ({"resume": 1}, "resume: 1 is not True or False"),
        ({"kind": "c"}, "kind: 'c' is not one of a, b"),
        ({"seeds": (0, -1)}, r"seeds: -1 is outside \[0, 4294967295\]"),
        ({"seeds": ("0",)}, "seeds: '0' is not a whole number"),
        ({"out": 3}, "out: 3 is not a path"),
        ({"leads": "II,II"}, "leads: II is named twice"),
    ],
)
def test_create_refuses_other_values(values, message):
    with pytest.raises(LfbtError, match=message):
        create(Settings, {"folders": "x"} | values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": 0}, r"epochs: 0 is outside \[1, inf\)"),
        ({"epochs": 1.5}, "epochs: 1.5 is not a whole number"),
        ({"learning_rate": 0}, r"learning-rate: 0 is outside \(0, 1\]; the paper has 0.001"),
        ({"seeds": (2**32,)}, "seeds: 4294967296 is outside"),
        ({"seeds": [0]}, r"seeds: \[0\] is not a tuple of values"),
        ({"seeds": 0}, "seeds: 0 is not a tuple of values"),
        ({"kind": "c"}, "kind: 'c' is not one of a, b"),
        ({"folders": ("x",)}, "folders: 'x' is not a path"),
        ({"out": "y"}, "out: 'y' is not a path"),
        ({"warmup": 5.0}, "warmup: must end before epochs"),
    ],
)
def test_validate_refuses_wrong_types_choices_ranges_and_what_check_says(values, message):
    with pytest.raises(LfbtError, match=message):
        validate(replace(SETTINGS, **values))


def test_validate_takes_numbers_of_numpy_and_whole_numbers_for_floats():
    validate(replace(SETTINGS, epochs=np.int32(3), learning_rate=np.float32(0.5), warmup=2))
    validate(SETTINGS)


@given(
    rate=st.floats(1e-6, 1),
    epochs=st.integers(1, 10**6),
    seeds=st.lists(st.integers(0, 2**32 - 1), min_size=1).map(tuple),
    folders=st.lists(st.text("abc/", min_size=1).map(Path), min_size=1).map(tuple),
    out=st.none() | st.just(Path("y")),
    resume=st.booleans(),
)
def test_create_is_the_inverse_of_to_dict(rate, epochs, seeds, folders, out, resume):
    changes: dict[str, Any] = {
        "learning_rate": rate, "epochs": epochs, "seeds": seeds, "folders": folders, "out": out, "resume": resume,
    }  # fmt: skip
    settings = replace(SETTINGS, **changes)
    validate(settings)
    assert create(Settings, to_dict(settings)) == settings
    assert to_dict(settings) == to_dict(SETTINGS) | changes
