"""How threads wait where the cores are busy: what OpenMP is told, and what it is not told where the user has."""

import os
import subprocess
import sys

import pytest
import torch

from lfbt.utils.threads import find_load, leaving_a_core, wait_briefly_if_busy

GIVEN = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
# A load that no machine has, as the command's own process sees it.
COMMAND = "import os, sys; os.getloadavg = lambda: (1e6, 0, 0); from lfbt.cli import main; main(sys.argv[1:])"


@pytest.mark.parametrize(("load", "found"), [(1.49, None), (1.5, 1.5), (7.0, 7.0)])
def test_find_load_is_that_of_three_quarters_of_the_cores_or_more(monkeypatch, load, found):
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0.0, 0.0))
    assert find_load() == found


@pytest.mark.parametrize(
    ("load", "given", "spins"),
    [
        (1e6, {}, "10000"),
        (0.0, {}, None),
        (1e6, {"GOMP_SPINCOUNT": "7"}, "7"),
        (1e6, {"OMP_WAIT_POLICY": "active"}, None),
    ],
)
def test_wait_briefly_where_busy_leaves_what_the_environment_says(monkeypatch, load, given, spins):
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0.0, 0.0))
    environment = {name: value for name, value in os.environ.items() if name not in GIVEN} | given
    monkeypatch.setattr(os, "environ", environment)
    wait_briefly_if_busy()
    assert environment.get("GOMP_SPINCOUNT") == spins


def test_commands_import_pytorch_after_that(tmp_path):
    """OpenMP prints what it has read when PyTorch loads it."""
    environment = {name: value for name, value in os.environ.items() if name not in GIVEN}
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, "pretrain", "--data-dir", tmp_path / "none", "--run-dir", tmp_path / "run"],
        env=environment | {"OMP_DISPLAY_ENV": "verbose"},
        capture_output=True,
        text=True,
        check=False,
    )
    if "GOMP_SPINCOUNT" not in done.stderr:
        pytest.skip("PyTorch does not have GNU's OpenMP here")
    assert "GOMP_SPINCOUNT = '10000'" in done.stderr


@pytest.mark.parametrize(("n_threads", "meanwhile"), [(4, 3), (2, 1), (1, 1)])
def test_leaving_a_core_takes_a_thread_less_for_a_while(n_threads, meanwhile):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(n_threads)
        with leaving_a_core():
            assert torch.get_num_threads() == meanwhile
        assert torch.get_num_threads() == n_threads
    finally:
        torch.set_num_threads(before)


def test_leaving_a_core_loads_no_pytorch(monkeypatch):
    monkeypatch.delitem(sys.modules, "torch")
    with leaving_a_core():
        assert "torch" not in sys.modules
