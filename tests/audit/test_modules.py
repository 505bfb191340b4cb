"""The modules of the room: imported without PyTorch, and with examples that run."""

import doctest
import importlib
import pkgutil
import subprocess
import sys

import pytest

import lfbt.audit

MODULES = [module.name for module in pkgutil.iter_modules(lfbt.audit.__path__, "lfbt.audit.")]


def test_modules_are_found():
    assert {"lfbt.audit.checks", "lfbt.audit.leakage"} <= set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_module_imports_no_torch(name):
    code = f"import sys, {name}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_module_run(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0
