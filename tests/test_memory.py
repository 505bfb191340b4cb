"""What the process does with freed memory."""

import ctypes
import types

import pytest

from lfbt import memory


def test_the_c_library_is_told_to_keep_what_is_freed(monkeypatch):
    told = {}
    library = types.SimpleNamespace(mallopt=lambda name, value: told.update({name: value}))
    monkeypatch.setattr(ctypes, "CDLL", lambda _: library)
    memory.keep_freed_memory()
    # The names of malloc.h: trim threshold, map threshold, arenas.
    assert told == {-1: 2**31 - 1, -3: 2**30, -8: 1}


@pytest.mark.parametrize("error", [OSError, TypeError])
def test_without_the_gnu_c_library_nothing_happens(monkeypatch, error):
    def no_library(_):
        raise error

    monkeypatch.setattr(ctypes, "CDLL", no_library)
    memory.keep_freed_memory()
    monkeypatch.setattr(ctypes, "CDLL", lambda _: types.SimpleNamespace())
    memory.keep_freed_memory()
