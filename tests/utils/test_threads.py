"""How threads wait: what OpenMP is told, and what it is not told where the user has."""

import os
import subprocess
import sys

import pytest

from lfbt.utils.threads import wait_briefly


@pytest.mark.parametrize(
    ("given", "spins"),
    [({}, "10000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, None)],
)
def test_wait_briefly_leaves_what_the_environment_says(monkeypatch, given, spins):
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    wait_briefly()
    assert os.environ.get("GOMP_SPINCOUNT") == spins


def test_commands_import_pytorch_after_that(tmp_path):
    """OpenMP prints what it has read when PyTorch loads it."""
    environment = {
        name: value for name, value in os.environ.items() if name not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    }
    done = subprocess.run(
        [sys.executable, "-m", "lfbt", "pretrain", "--data-dir", tmp_path / "none", "--run-dir", tmp_path / "run"],
        env=environment | {"OMP_DISPLAY_ENV": "verbose"},
        capture_output=True,
        text=True,
        check=False,
    )
    if "GOMP_SPINCOUNT" not in done.stderr:
        pytest.skip("PyTorch does not have GNU's OpenMP here")
    assert "GOMP_SPINCOUNT = '10000'" in done.stderr
