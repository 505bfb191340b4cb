"""Settings as nested dataclasses: their fields, creation from keyword arguments, and checks of values."""

import dataclasses
import math
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lfbt.errors import LfbtError
from lfbt.utils.settings import (
    Affects,
    Form,
    LeadNames,
    Range,
    Seed,
    With,
    add_named,
    as_path,
    check_range,
    convert,
    create,
    describe_changes,
    list_fields,
    names_affecting,
    replace,
    to_dict,
    validate,
)


@dataclasses.dataclass(frozen=True)
class Oven:
    """Two levels deep."""

    heat: Annotated[float, Range("(0, 300]", "bread has 230")] = 200.0
    fan: bool = False


@dataclasses.dataclass(frozen=True)
class Kitchen:
    """One level deep, with a check of its own."""

    place: Annotated[Path, Affects.LOCATION]
    oven: Oven = Oven()
    shelves: Annotated[tuple[Path, ...], Affects.LOCATION] = ()
    n_cooks: Annotated[int, Range("[1, 9]"), Affects.PROCESS] = 1

    def check(self) -> None:
        """Refuse many cooks at a hot oven."""
        if self.n_cooks > 2 and self.oven.heat > 250:
            raise LfbtError("n_cooks: too many for such heat")


@dataclasses.dataclass(frozen=True)
class Meal:
    """The settings of a stage."""

    name: str
    kitchen: Kitchen
    course: Literal["soup", "main"] = "main"
    leads: LeadNames = ()
    portions: Annotated[tuple[float, ...], Range("(0, 1]"), Affects.TRIAL] = (1.0,)
    seeds: Annotated[tuple[Seed, ...], Affects.TRIAL] = (0,)
    n_guests: int | None = None
    depth: Annotated[int, Range("[1, inf)")] | None = None
    recipe: Annotated[Path | None, Affects.LOCATION] = None
    seed: Seed = 0
    loud: Annotated[bool, Affects.RUNTIME] = False

    def check(self) -> None:
        """Refuse an unnamed meal."""
        if not self.name:
            raise LfbtError("name: is empty")


NAMES = [
    "name", "place", "heat", "fan", "shelves", "n_cooks", "course", "leads", "portions", "seeds", "n_guests", "depth",
    "recipe", "seed", "loud",
]  # fmt: skip


MEAL = Meal("lunch", Kitchen(Path("home")))


def meal(**values: Any) -> Meal:
    """Create settings from what has no default, and `values`."""
    return create(Meal, {"name": "lunch", "place": "home"} | values)


def test_list_fields_has_nested_fields_in_their_place():
    assert [field.name for field in list_fields(Meal)] == NAMES


def test_list_fields_separates_type_and_metadata():
    fields = {field.name: field for field in list_fields(Meal)}
    assert (fields["heat"].type, fields["heat"].metadata) == (float, (Range("(0, 300]", "bread has 230"),))
    assert (fields["fan"].type, fields["fan"].metadata) == (bool, ())
    assert (fields["shelves"].type, fields["shelves"].metadata) == (tuple[Path, ...], (Affects.LOCATION,))
    assert (fields["seed"].type, fields["seed"].metadata) == (int, (Range("[0, 4294967295]"),))
    # Metadata of a tuple's items stays with the items.
    assert (fields["seeds"].type, fields["seeds"].metadata) == (tuple[Seed, ...], (Affects.TRIAL,))


def test_field_flag_has_dashes():
    flags = {field.name: field.flag for field in list_fields(Meal)}
    assert (flags["n_guests"], flags["heat"]) == ("n-guests", "heat")


def test_field_affects_the_result_unless_annotated():
    affects = {field.name: field.affects for field in list_fields(Meal)}
    assert affects["heat"] is affects["fan"] is affects["seed"] is Affects.RESULT
    assert affects["portions"] is Affects.TRIAL
    assert affects["loud"] is Affects.RUNTIME
    assert affects["n_cooks"] is Affects.PROCESS
    assert affects["recipe"] is Affects.LOCATION


def test_names_affecting_lists_names_of_any_of_the_effects():
    assert names_affecting(Meal, Affects.LOCATION) == {"place", "shelves", "recipe"}
    assert names_affecting(Meal, Affects.RUNTIME, Affects.TRIAL) == {"loud", "portions", "seeds"}
    assert names_affecting(Meal) == frozenset()
    assert names_affecting(Meal, *Affects) == set(NAMES)


def test_to_dict_flattens_nested_settings_in_order():
    values = to_dict(MEAL)
    assert list(values) == NAMES
    assert (values["place"], values["heat"], values["n_guests"]) == (Path("home"), 200.0, None)


def test_replace_changes_settings_at_every_level_and_no_others():
    changed = replace(MEAL, heat=90.0, n_cooks=2, course="soup")
    assert changed == Meal("lunch", Kitchen(Path("home"), Oven(90.0), n_cooks=2), "soup")
    assert MEAL.kitchen.oven.heat == 200.0
    assert replace(MEAL) == MEAL


def test_replace_takes_a_nested_dataclass():
    kitchen = Kitchen(Path("there"), Oven(50.0, True))
    assert replace(MEAL, kitchen=kitchen) == Meal("lunch", kitchen)


def test_replace_refuses_an_unknown_name():
    with pytest.raises(LfbtError, match=r"^portion: is no setting; did you mean portions\?$"):
        replace(MEAL, portion=(0.5,), heat=90.0)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("place", "there", Path("there")),
        ("recipe", "a.txt", Path("a.txt")),
        ("recipe", None, None),
        ("shelves", "one", (Path("one"),)),
        ("shelves", Path("one"), (Path("one"),)),
        ("shelves", ["one", Path("two")], (Path("one"), Path("two"))),
        ("shelves", (), ()),
        ("leads", "ii,V1", ("II", "V1")),
        ("leads", ["AVR", "V6"], ("aVR", "V6")),
        ("leads", "", ()),
        ("leads", (), ()),
        ("portions", 0.5, (0.5,)),
        ("portions", [1, 0.5], (1.0, 0.5)),
        ("seeds", 3, (3,)),
        ("seeds", [np.int64(3), 4], (3, 4)),
        ("heat", 90, 90.0),
        ("heat", np.float32(90.5), 90.5),
        ("heat", np.int64(90), 90.0),
        ("n_cooks", np.int32(2), 2),
        ("n_guests", np.uint8(7), 7),
        ("n_guests", None, None),
        ("course", "soup", "soup"),
        ("fan", True, True),
    ],
)
def test_create_converts_what_python_callers_give(name, value, expected):
    found = to_dict(meal(**{name: value}))[name]
    assert found == expected
    # A NumPy number equals Python's, but a JSON file does not take it.
    assert type(found) is type(expected)
    if isinstance(found, tuple):
        assert [type(item) for item in found] == [type(item) for item in expected]


def test_create_keeps_defaults_at_every_level():
    assert meal() == MEAL
    assert meal(fan=True).kitchen == Kitchen(Path("home"), Oven(200.0, True))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("portion", r"^portion: is no setting; did you mean portions\?$"),
        ("n_cook", r"^n_cook: is no setting; did you mean n_cooks\?$"),
        ("zzz", f"^zzz: is no setting; settings are {', '.join(NAMES)}$"),
        # The groups of settings are not settings.
        ("kitchen", "^kitchen: is no setting; "),
    ],
)
def test_create_refuses_an_unknown_name_with_the_nearest_or_all(name, message):
    with pytest.raises(LfbtError, match=message):
        meal(**{name: 1})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("heat", "90", "^heat: '90' is not a number$"),
        ("heat", True, "^heat: True is not a number$"),
        ("n_cooks", 1.0, "^n_cooks: 1.0 is not a whole number$"),
        ("n_cooks", None, "^n_cooks: None is not a whole number$"),
        ("n_guests", "7", "^n_guests: '7' is not a whole number$"),
        ("fan", 1, "^fan: 1 is not True or False$"),
        ("fan", "yes", "^fan: 'yes' is not True or False$"),
        ("name", 5, "^name: 5 is not a text$"),
        ("place", 5, "^place: 5 is not a path$"),
        ("shelves", [5], "^shelves: 5 is not a path$"),
        ("seeds", [0.5], "^seeds: 0.5 is not a whole number$"),
        ("course", "cake", "^course: 'cake' is not one of soup, main$"),
        ("course", ["soup"], r"^course: \['soup'\] is not one of soup, main$"),
        ("leads", None, "^leads: None is not a text$"),
        ("leads", 3, "^leads: 3 is not a text$"),
        ("leads", ["II", 3], "^leads: 3 is not a text$"),
        ("leads", "II,II", "^leads: II is named twice"),
        ("leads", ["II/V1"], "^leads: 'II/V1' is not a lead name"),
    ],
)
def test_create_refuses_a_value_of_another_type(name, value, message):
    with pytest.raises(LfbtError, match=message):
        meal(**{name: value})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("heat", 0, r"^heat: 0 is outside \(0, 300\]; bread has 230$"),
        ("heat", math.nan, r"^heat: nan is outside \(0, 300\]"),
        ("portions", [0.5, 1.5], r"^portions: 1\.5 is outside \(0, 1\]$"),
    ],
)
def test_create_refuses_a_number_outside_its_range(name, value, message):
    with pytest.raises(LfbtError, match=message):
        meal(**{name: value})


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"heat": 300.0, "n_cooks": 1, "depth": 1, "seed": 4294967295, "n_guests": -3},
        {"heat": 250.0, "n_cooks": 9, "portions": (1.0,)},
        # Whole numbers are numbers, and NumPy's are too.
        {"heat": 1, "n_cooks": np.int64(2), "portions": (1, np.float64(0.5)), "seeds": ()},
        {"heat": 251.0, "n_cooks": 2},
    ],
)
def test_validate_accepts_values_up_to_the_ends_of_ranges(changes):
    validate(replace(MEAL, **changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"heat": 0.0}, r"^heat: 0\.0 is outside \(0, 300\]; bread has 230$"),
        ({"heat": math.nan}, r"^heat: nan is outside \(0, 300\]; bread has 230$"),
        ({"n_cooks": 10}, r"^n_cooks: 10 is outside \[1, 9\]$"),
        ({"portions": (0.5, 1.5)}, r"^portions: 1\.5 is outside \(0, 1\]$"),
        ({"seeds": (0, -1)}, r"^seeds: -1 is outside \[0, 4294967295\]$"),
        ({"seed": 2**32}, r"^seed: 4294967296 is outside \[0, 4294967295\]$"),
        ({"depth": 0}, r"^depth: 0 is outside \[1, inf\)$"),
        ({"seed": True}, "^seed: True is not a whole number$"),
        ({"heat": True}, "^heat: True is not a number$"),
        ({"n_guests": 1.5}, "^n_guests: 1.5 is not a whole number$"),
        ({"fan": 0}, "^fan: 0 is not True or False$"),
        ({"place": "home"}, "^place: 'home' is not a path$"),
        ({"shelves": [Path("a")]}, "^shelves: .* is not a tuple of values$"),
        ({"leads": "II"}, "^leads: 'II' is not a tuple of values$"),
        ({"leads": (1,)}, "^leads: 1 is not a text$"),
        ({"course": "cake"}, "^course: 'cake' is not one of soup, main$"),
        ({"name": None}, "^name: None is not a text$"),
    ],
)
def test_validate_refuses_wrong_types_choices_and_numbers(changes, message):
    with pytest.raises(LfbtError, match=message):
        validate(replace(MEAL, **changes))


def test_validate_calls_the_check_methods_at_every_level():
    with pytest.raises(LfbtError, match=r"^name: is empty$"):
        validate(replace(MEAL, name=""))
    with pytest.raises(LfbtError, match=r"^n_cooks: too many for such heat$"):
        validate(replace(MEAL, n_cooks=3, heat=251.0))


def test_validate_checks_nested_settings_first_and_ranges_before_check_methods():
    with pytest.raises(LfbtError, match=r"^n_cooks: too many"):
        validate(replace(MEAL, name="", n_cooks=3, heat=251.0))
    with pytest.raises(LfbtError, match=r"^seed: -1 is outside"):
        validate(replace(MEAL, name="", seed=-1))


def test_check_methods_are_left_to_validate():
    """A command line's words are converted one by one before they are checked together."""
    assert meal(name="").name == ""
    assert replace(MEAL, name="", seed=-1).seed == -1


paths = st.from_regex(r"[a-z]{1,5}(/[a-z]{1,5})?", fullmatch=True).map(Path)


numbers = st.floats(0, 1, exclude_min=True)


settings_strategy = st.fixed_dictionaries(
    {"name": st.text(min_size=1), "place": paths},
    optional={
        "heat": st.floats(0, 300, exclude_min=True),
        "fan": st.booleans(),
        "shelves": st.lists(paths).map(tuple),
        "n_cooks": st.integers(1, 2),
        "course": st.sampled_from(["soup", "main"]),
        "leads": st.lists(st.sampled_from(["I", "II", "aVR", "V1", "MCL1"]), unique=True).map(tuple),
        "portions": st.lists(numbers).map(tuple),
        "seeds": st.lists(st.integers(0, 2**32 - 1)).map(tuple),
        "n_guests": st.none() | st.integers(),
        "depth": st.none() | st.integers(1, 99),
        "recipe": st.none() | paths,
        "seed": st.integers(0, 2**32 - 1),
        "loud": st.booleans(),
    },
)


@given(settings_strategy)
def test_create_and_replace_restore_what_to_dict_returns(values):
    created = create(Meal, values)
    validate(created)
    flat = to_dict(created)
    assert flat | values == flat
    assert create(Meal, flat) == created
    assert replace(MEAL, **flat) == created


@given(settings_strategy)
def test_create_reads_paths_as_text_and_tuples_as_lists(values):
    """As a file of settings has them."""

    def as_text(value):
        if isinstance(value, tuple):
            return [as_text(item) for item in value]
        return str(value) if isinstance(value, Path) else value

    assert create(Meal, {name: as_text(value) for name, value in values.items()}) == create(Meal, values)


@pytest.mark.parametrize(
    ("allowed", "inside", "outside"),
    [
        ("[0, 1)", [0, 0.5, 0.999], [-1e-9, 1, 2, float("nan"), float("inf")]),
        ("(0, 1]", [1e-9, 1], [0, -1, 1.0001, float("nan")]),
        ("(0, inf)", [1e-300, 1e300], [0, float("inf"), float("nan"), -1]),
        ("[2, inf)", [2, 3, 10**9], [1, -2, float("nan")]),
    ],
)
def test_check_range_includes_and_excludes_ends_as_written(allowed, inside, outside):
    for value in inside:
        check_range("name", value, allowed)
    for value in outside:
        with pytest.raises(LfbtError) as caught:
            check_range("name", value, allowed, "so it is")
        assert str(caught.value) == f"name: {value} is outside {allowed}; so it is"


# --- sequences, NumPy's values, and what is no setting ---


@pytest.mark.parametrize("seeds", [range(2), np.arange(2), [np.int64(0), 1], (n for n in (0, 1)), pd.Series([0, 1])])
def test_create_takes_any_ordered_numbers(seeds):
    found = meal(seeds=seeds).seeds
    assert found == (0, 1)
    assert {type(seed) for seed in found} == {int}


@pytest.mark.parametrize("fan", [np.True_, np.array([True])[0]])
def test_create_takes_numpys_booleans_as_pythons(fan):
    assert meal(fan=fan).kitchen.oven.fan is True


@pytest.mark.parametrize("seeds", [{0, 1}, {0: 1}, "01", b"01", np.array(3), np.zeros((2, 2), int), None], ids=repr)
def test_create_refuses_what_has_no_order_or_no_numbers(seeds):
    with pytest.raises(LfbtError, match=r"^seeds: .* is not a whole number$"):
        meal(seeds=seeds)


@pytest.mark.parametrize("value", ["", None, 3, b"home", ["home"]])
def test_create_refuses_what_is_no_path(value):
    with pytest.raises(LfbtError, match=r"^place: .* is not a path$"):
        meal(place=value)


@pytest.mark.parametrize("course", [[], {}, np.array(["soup", "main"]), None])
def test_create_refuses_a_choice_of_any_other_type(course):
    with pytest.raises(LfbtError, match=r"^course: .* is not one of soup, main$"):
        meal(course=course)


def test_messages_say_the_type_of_long_values():
    with pytest.raises(LfbtError, match=r"^heat: a list is not a number$"):
        meal(heat=list(range(100)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (Meal("lunch", 3), "^kitchen: 3 is not Kitchen"),  # type: ignore[arg-type]
        (Meal("lunch", None), "^kitchen: None is not Kitchen"),  # type: ignore[arg-type]
        (Meal("lunch", Kitchen), "^kitchen: <class .*Kitchen'> is not Kitchen"),  # type: ignore[arg-type]
        (Meal("lunch", Oven()), r"^kitchen: Oven\(.*\) is not Kitchen"),  # type: ignore[arg-type]
        (Meal("lunch", Kitchen(Path(), {"heat": 3})), "^oven: {'heat': 3} is not Oven"),  # type: ignore[arg-type]
    ],
)
def test_validate_refuses_nested_settings_of_another_class(settings, message):
    with pytest.raises(LfbtError, match=message):
        validate(settings)


def test_convert_takes_one_value_as_create_does_under_its_own_name():
    assert convert("sampling_rate", np.int64(5), float) == 5.0
    assert convert("sampling_rate", None, float | None) is None
    with pytest.raises(LfbtError, match=r"^sampling_rate: '500' is not a number$"):
        convert("sampling_rate", "500", float)
    with pytest.raises(LfbtError, match=r"^sampling_rate: 0 is outside \(0, inf\)$"):
        convert("sampling_rate", 0, Annotated[float, Range("(0, inf)")])
    with pytest.raises(LfbtError, match=r"^shape: 3 is not sizes such as 8-8$"):
        convert("shape", 3, Annotated[str, Form("sizes such as 8-8")])


def test_as_path_takes_texts_and_paths_only():
    assert as_path("run", "a/b") == as_path("run", Path("a/b")) == Path("a/b")
    with pytest.raises(LfbtError, match=r"^run: \[\] is not a folder$"):
        as_path("run", [], "a folder")


def test_add_named_refuses_what_is_given_twice():
    assert add_named({"a": 1}, {"b": 2}) == {"a": 1, "b": 2}
    with pytest.raises(LfbtError, match=r"^a: 3 is given by name, but 1 by position; give one of them$"):
        add_named({"a": 1}, {"a": 3})


@dataclasses.dataclass(frozen=True)
class Bread:
    """A setting that depends on another."""

    leaven: Literal["yeast", "sour", "none"] = "yeast"
    hours: Annotated[float, With("leaven", ("yeast", "sour"))] = 1.0
    resume: bool = False


def test_create_refuses_a_setting_without_effect_even_with_its_default():
    assert create(Bread, {"leaven": "sour", "hours": 9}) == Bread("sour", 9.0)
    assert create(Bread, {"leaven": "none"}) == Bread("none")
    for hours in (1.0, 9.0):
        with pytest.raises(LfbtError) as caught:
            create(Bread, {"leaven": "none", "hours": hours})
        said = "hours: has no effect with leaven none, only with yeast or sour; leave it out"
        assert str(caught.value) == said


def test_settings_without_effect_are_taken_to_resume_a_run_that_had_them():
    assert create(Bread, {"leaven": "none", "hours": 9, "resume": True}).hours == 9.0
    validate(Bread("none", 9.0))


@pytest.mark.parametrize("value", ["0.5", None, True, [0.5], 1j])
def test_check_range_refuses_what_is_no_number(value):
    with pytest.raises(LfbtError) as caught:
        check_range("name", value, "[0, 1]")
    assert str(caught.value) == f"name: {value!r} is not a number"


def test_describe_changes_names_what_affects_a_result_only():
    usual = Kitchen(Path("here"))
    assert describe_changes(usual, usual) == ""
    changed = Kitchen(Path("there"), Oven(heat=230.5), (Path("shelf"),), n_cooks=2)
    assert describe_changes(changed, usual) == "heat 230.5"
    assert describe_changes(replace(usual, fan=True, heat=1.0), usual) == "heat 1, fan True"
