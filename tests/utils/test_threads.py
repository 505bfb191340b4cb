"""How threads wait where the cores are busy: what OpenMP is told, and what it is not told where the user has."""

import os
import subprocess
import sys
import threading

import pytest
import torch

from lfbt.utils.threads import find_load, start_pool, wait_briefly_if_busy

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


@pytest.fixture
def _six_threads(set_threads):
    set_threads(6)


@pytest.mark.parametrize(("most", "workers", "of_each"), [(2, 2, 3), (4, 4, 1), (50, 6, 1)])
@pytest.mark.usefixtures("_six_threads")
def test_start_pool_divides_the_threads_of_pytorch(most, workers, of_each):
    pool = start_pool(most)
    assert pool is not None
    met = threading.Barrier(workers, timeout=60)
    with pool:
        found = list(pool.map(lambda _: (torch.get_num_threads(), met.wait())[0], range(workers)))
    assert found == [of_each] * workers
    assert torch.get_num_threads() == 6


@pytest.mark.usefixtures("_six_threads")
def test_start_pool_starts_none_where_one_is_enough():
    assert start_pool(1) is None
    torch.set_num_threads(1)
    assert start_pool(8) is None
