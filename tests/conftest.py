"""What every test shares: one torch thread a process, and the folder of real recordings."""

import os
from pathlib import Path

import hypothesis
import pytest

# Before numpy and torch are imported: sums come out the same on any number of cores, and workers do not compete.
os.environ["OMP_NUM_THREADS"] = "1"

# The same examples in every run, and no deadline that a busy machine could miss.
hypothesis.settings.register_profile("lfbt", deadline=None, derandomize=True)
hypothesis.settings.load_profile("lfbt")

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real recordings beside the repository; its tests are skipped where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip("real data folder ../shared/data is absent")
    return SHARED_DATA


@pytest.fixture
def set_threads():
    """A function that sets PyTorch's number of threads until the test ends, whatever the machine has."""
    import torch

    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.fixture
def double_precision():
    """Weights in double precision."""
    import torch

    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as real whatever asks for the real recordings, so that `-m "not real"` leaves out just those."""
    for item in items:
        if "shared_data" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.real)
