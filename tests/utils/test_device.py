"""The device to compute on."""

import pytest
import torch

from lfbt.errors import LfbtError
from lfbt.utils.device import describe_device, load_hint, peak_memory_gb, resolve_device


def test_resolve_device_auto_is_the_gpu_if_there_is_one():
    assert resolve_device("cpu") == torch.device("cpu")
    assert resolve_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["nonsense", "gpu", "", "cuda:99", "cuda:x", "meta", "cpux"])
def test_resolve_device_refuses_what_cannot_be_used(name):
    allowed = "auto, cpu, cuda" if torch.cuda.is_available() else "auto, cpu"
    with pytest.raises(LfbtError, match=rf"^device: '{name}' cannot be used \([^,]+\); allowed: {allowed}$"):
        resolve_device(name)


def test_peak_memory_gb_does_not_fall():
    device = torch.device("cpu")
    before = peak_memory_gb(device)
    tensor = torch.ones(2_000_000)
    assert peak_memory_gb(device) >= before > 0
    del tensor


def test_resolve_device_takes_a_device_and_refuses_other_types():
    assert resolve_device(torch.device("cpu")) == torch.device("cpu")
    for value in (None, 3, b"cpu", ["cpu"]):
        with pytest.raises(LfbtError, match=r"^device: .* cannot be used \(lfbt does not run on it\); allowed: auto"):
            resolve_device(value)  # type: ignore[arg-type]


def test_describe_device_counts_threads_of_a_cpu():
    assert describe_device(torch.device("cpu")) in (f"cpu, {torch.get_num_threads()} threads", "cpu, 1 thread")


@pytest.mark.parametrize(("load", "hint"), [(0.2, False), (2.9, False), (3.0, True), (9.0, True)])
def test_load_hint_tells_of_cpus_that_others_use(monkeypatch, load, hint):
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    monkeypatch.setattr("os.getloadavg", lambda: (load, 0.0, 0.0))
    found = load_hint(torch.device("cpu"))
    assert load_hint(torch.device("cuda")) is None
    assert (found is not None) == hint
    assert found is None or f"(load {load:.1f} of 4 in the last minute)" in found


def test_load_hint_is_silent_where_there_is_no_load_to_read(monkeypatch):
    monkeypatch.delattr("os.getloadavg")
    assert load_hint(torch.device("cpu")) is None
