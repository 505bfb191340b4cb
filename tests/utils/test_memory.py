"""The process's use of freed memory."""

import ctypes
import types

import pytest

from lfbt.utils import memory


@pytest.mark.parametrize("limit", [2**40, 2**25, 0])
def test_keep_freed_memory_sets_the_c_librarys_options(monkeypatch, limit):
    """Older versions refuse a high map threshold; where all is refused, nothing else is changed."""
    options = {}

    def mallopt(name, value):
        if name == -3 and value > limit:
            return 0
        options[name] = value
        return 1

    monkeypatch.setattr(ctypes, "CDLL", lambda _: types.SimpleNamespace(mallopt=mallopt))
    memory.keep_freed_memory()
    # The names of malloc.h: trim threshold, map threshold, arenas.
    assert options == ({-1: -1, -3: min(limit, 2**30), -8: 1} if limit else {})


@pytest.mark.parametrize("error", [OSError, TypeError])
def test_keep_freed_memory_does_nothing_without_the_gnu_c_library(monkeypatch, error):
    def no_library(_):
        raise error

    monkeypatch.setattr(ctypes, "CDLL", no_library)
    memory.keep_freed_memory()
    monkeypatch.setattr(ctypes, "CDLL", lambda _: types.SimpleNamespace())
    memory.keep_freed_memory()
