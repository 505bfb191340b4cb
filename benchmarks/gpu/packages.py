"""Run from a checkout alone: lfbt from ``src``, and placeholders for packages that only files and words need."""

from __future__ import annotations

import importlib.util
import os
import sys
import types
from pathlib import Path

_SRC = Path(__file__).parents[2] / "src"
# Those that modules of lfbt import at their top, with the modules imported.
_REPLACEABLE = {
    "filelock": (),
    "lazy_loader": (),
    "msgspec": (),
    "safetensors": ("numpy", "torch"),
    "tyro": ("conf",),
}


def find_packages() -> list[str]:
    """Let lfbt be imported; returns the packages that are missing.

    Calling anything of a missing one raises ModuleNotFoundError, which the run lists as not available.
    """
    missing = [name for name in _REPLACEABLE if name not in sys.modules and importlib.util.find_spec(name) is None]
    for name in missing:
        for full in (name, *(f"{name}.{part}" for part in _REPLACEABLE[name])):
            placeholder = _Placeholder(full)
            sys.modules[full] = placeholder
            parent, _, own = full.rpartition(".")
            if parent:
                setattr(sys.modules[parent], own, placeholder)
    if importlib.util.find_spec("lfbt") is None:
        sys.path.insert(0, str(_SRC))
        # For processes that this one starts.
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(_SRC), os.environ.get("PYTHONPATH", "")]))
    return missing


def missing_packages() -> list[str]:
    """The packages that have a placeholder."""
    return [name for name in _REPLACEABLE if isinstance(sys.modules.get(name), _Placeholder)]


class _Placeholder(types.ModuleType):
    """A module whose every name is an exception class that cannot be created."""

    __path__: list[str] = []  # noqa: RUF012 - as of a package, whose modules may be imported

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        package = self.__name__.partition(".")[0]
        if (package, name) == ("lazy_loader", "attach_stub"):
            return lambda *_: (lambda attribute: _no_attribute(attribute), list, [])

        def create(*_: object, **__: object) -> object:
            raise ModuleNotFoundError(f"No module named '{package}'", name=package)

        return type(name, (Exception,), {"__new__": create})


def _no_attribute(name: str) -> object:
    raise AttributeError(f"lfbt.{name} needs lazy_loader")
