"""Every number among the settings of every command has an end, so that none is asked for that no machine can do."""

import dataclasses
import importlib
import pkgutil
import types
import typing
from typing import Annotated

import pytest

import lfbt
from lfbt.errors import LfbtError
from lfbt.sources import SOURCES
from lfbt.utils.settings import Range, check_range, list_fields

# Checked by `lfbt.recording.check_sampling_rate`: 5 Hz to 50 kHz.
_CHECKED_ELSEWHERE = {"file_sampling_rate"}


def settings_classes():
    for module in pkgutil.walk_packages(lfbt.__path__, "lfbt."):
        if module.name.rpartition(".")[2] in ("__main__", "dask_cluster"):
            continue
        for name, kind in vars(importlib.import_module(module.name)).items():
            is_settings = name.endswith("Settings") and name != "RunSettings"
            if is_settings and dataclasses.is_dataclass(kind) and kind.__module__ == module.name:
                yield kind
    yield from set(SOURCES.values())


def numbers_in(hint, metadata=()):
    """Each number in a type, with what it is annotated with."""
    origin = typing.get_origin(hint)
    if origin is Annotated:
        inner, *more = typing.get_args(hint)
        yield from numbers_in(inner, (*metadata, *more))
    elif origin in (tuple, typing.Union, types.UnionType):
        for inner in typing.get_args(hint):
            yield from numbers_in(inner, metadata)
    elif hint in (int, float):
        yield metadata


NUMBERS = [
    pytest.param(field, metadata, id=f"{kind.__module__}.{kind.__name__}.{field.name}")
    for kind in settings_classes()
    for field in list_fields(kind)
    for metadata in numbers_in(field.type, field.metadata)
    if field.name not in _CHECKED_ELSEWHERE
]


def test_numbers_of_settings_are_found():
    assert len(NUMBERS) > 60


@pytest.mark.parametrize(("field", "metadata"), NUMBERS)
def test_every_number_has_a_range_with_ends(field, metadata):
    (found,) = (item for item in metadata if isinstance(item, Range))
    for value in (10**23, 1e300, float("inf"), float("nan"), -(10**23)):
        with pytest.raises(LfbtError, match=f"^{field.name}: .* is outside "):
            check_range(field.name, value, found.interval)
