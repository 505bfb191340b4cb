"""Tensors: exact files, precision, and seeds that leave the global generator alone."""

import pytest
import torch
from safetensors import SafetensorError
from torch import nn

from lfbt.errors import LfbtError
from lfbt.utils.tensors import load_state, load_tensors, save_tensors, seeded, to_full_precision


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_to_full_precision_converts_half_precision_only(dtype):
    assert to_full_precision(torch.ones(1, dtype=dtype)).dtype == torch.float32
    for other in (torch.ones(1), torch.ones(1, dtype=torch.float64)):
        assert to_full_precision(other) is other


def test_seeded_leaves_the_global_generator_alone():
    state = torch.get_rng_state()
    with seeded(5):
        first = torch.rand(3)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(10)
    with seeded(5):
        assert torch.equal(torch.rand(3), first)
    with seeded(6):
        assert not torch.equal(torch.rand(3), first)
    state = torch.get_rng_state()
    with pytest.raises(KeyError), seeded(5):
        raise KeyError
    assert torch.equal(torch.get_rng_state(), state)


def test_save_tensors_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    save_tensors(path, {"x": torch.ones(1)})
    before = path.read_bytes()

    def half(tensors, path, metadata):
        path.write_bytes(b"half")
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("lfbt.utils.tensors.save_file", half)
    with pytest.raises(LfbtError, match=r"model\.safetensors: cannot be written .*No space left on device"):
        save_tensors(path, {"x": torch.zeros(1)})
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_save_tensors_and_load_tensors_round_trip_whatever_the_strides(tmp_path):
    tensors = {"a": torch.arange(6.0).reshape(2, 3).T, "b": torch.tensor(7), "c": torch.ones(2, requires_grad=True)}
    save_tensors(tmp_path / "t", tensors)
    loaded = load_tensors(tmp_path / "t")
    assert set(loaded) == {"a", "b", "c"}
    for name, tensor in tensors.items():
        assert torch.equal(loaded[name], tensor)
        assert loaded[name].dtype == tensor.dtype


def test_load_tensors_refuses_a_file_that_is_missing_or_cut_short(tmp_path):
    path = tmp_path / "model.safetensors"
    with pytest.raises(LfbtError, match=r"model\.safetensors: is not there"):
        load_tensors(path)
    save_tensors(path, {"x": torch.ones(9)})
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(LfbtError, match=r"model\.safetensors: is not a complete safetensors file"):
        load_tensors(path)


def test_load_state_names_the_file_and_what_does_not_fit(tmp_path):
    with pytest.raises(LfbtError, match=r"weights: does not hold the weights that its config\.json .*Missing key"):
        load_state(nn.Linear(1, 1), {"weight": torch.ones(1, 1)}, tmp_path / "weights")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_load_state_refuses_values_that_are_not_finite_by_name(tmp_path, value):
    module = nn.BatchNorm1d(3)
    state = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    state["running_var"][1] = value
    with pytest.raises(
        LfbtError, match=r"a.safetensors: running_var holds NaN or infinity; take an earlier checkpoint"
    ):
        load_state(module, state, tmp_path / "a.safetensors")


def test_load_tensors_refuses_a_file_too_small_for_what_is_described(tmp_path):
    save_tensors(tmp_path / "a.safetensors", {"x": torch.zeros(10)})
    assert load_tensors(tmp_path / "a.safetensors", 10**7)["x"].shape == (10,)
    with pytest.raises(LfbtError, match=r"holds 10 values, but the config\.json beside it describes 10000001; restore"):
        load_tensors(tmp_path / "a.safetensors", 10**7 + 1)
