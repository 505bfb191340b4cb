"""Checkpoints on disk: the last ones kept, a corrupt one left out, a full disk and unreadable files named."""

import pytest
import torch
from tests.outputs import assert_same_tensors
from tests.training.helpers import change_a_bit, cut_short, empty

import lfbt.training.checkpoints as checkpoints_module
from lfbt.errors import LfbtError
from lfbt.training.checkpoints import last_checkpoint, save_checkpoint


def tensors_of(step):
    return {"a": torch.tensor([step]), "b": torch.tensor(2.5)}


@pytest.fixture
def folder(tmp_path):
    """A folder with checkpoints of the steps 2 and 4."""
    for step in (2, 4):
        save_checkpoint(tmp_path / "c", step, tensors_of(step), keep=9)
    return tmp_path / "c"


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_save_checkpoint_keeps_the_last_ones_only(tmp_path):
    for step in (1, 2, 10, 11):
        save_checkpoint(tmp_path / "c", step, {"a": torch.tensor([step]), "b": torch.tensor(2.5)}, keep=2)
    assert [path.name for path in sorted((tmp_path / "c").iterdir())] == [
        "step-000000010.safetensors",
        "step-000000011.safetensors",
    ]
    tensors = last_checkpoint(tmp_path / "c", print)
    assert tensors is not None
    assert_same_tensors(tensors, {"a": torch.tensor([11]), "b": torch.tensor(2.5)})
    assert last_checkpoint(tmp_path / "absent", print) is None


def test_save_checkpoint_restores_bits_of_any_type_and_layout(tmp_path):
    tensors = {
        "half": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
        "nan": torch.tensor([[float("nan"), -0.0]], dtype=torch.float64),
        "scalar": torch.tensor(3),
        "transposed": torch.arange(6.0).reshape(2, 3).T,
        "weight": torch.nn.Parameter(torch.ones(2)),
    }
    save_checkpoint(tmp_path, 1, tensors, keep=1)
    loaded = last_checkpoint(tmp_path, print)
    assert loaded is not None
    assert loaded.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert loaded[name].dtype == tensor.dtype
        torch.testing.assert_close(loaded[name], tensor.detach(), rtol=0, atol=0, equal_nan=True)


def test_save_checkpoint_leaves_other_files_alone(folder):
    backup = folder / "step-000000001-backup.safetensors"
    backup.write_bytes(b"mine")
    save_checkpoint(folder, 6, tensors_of(6), keep=1)
    assert names(folder) == ["step-000000001-backup.safetensors", "step-000000006.safetensors"]
    assert backup.read_bytes() == b"mine"
    loaded = last_checkpoint(folder, print)
    assert loaded is not None
    assert_same_tensors(loaded, tensors_of(6))


@pytest.mark.parametrize("before", [True, False])
def test_save_checkpoint_names_the_checkpoint_that_a_full_disk_leaves(folder, tmp_path, monkeypatch, before):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints_module, "save_tensors", full)
    kept = r"the one of step 4 is kept\. Go on from it with --resume once that is fixed"
    message = kept if before else "there is none before it"
    with pytest.raises(LfbtError, match=rf"^checkpoint of step 6: .*No space left on device; {message}$"):
        save_checkpoint(folder if before else tmp_path / "new", 6, tensors_of(6), keep=1)
    assert names(folder) == ["step-000000002.safetensors", "step-000000004.safetensors"]


@pytest.mark.parametrize("corrupt", [cut_short, change_a_bit, empty])
def test_last_checkpoint_warns_of_a_corrupt_one_and_reads_the_one_before(folder, corrupt):
    corrupt(folder / "step-000000004.safetensors")
    warnings: list[str] = []
    loaded = last_checkpoint(folder, warnings.append)
    assert loaded is not None
    assert_same_tensors(loaded, tensors_of(2))
    (warning,) = warnings
    assert "step-000000004.safetensors: is not a complete checkpoint" in warning
    assert warning.endswith("; it is left out")
    assert names(folder) == ["step-000000002.safetensors", "step-000000004.spoilt"]


def test_last_checkpoint_does_not_look_at_older_ones(folder):
    cut_short(folder / "step-000000002.safetensors")
    warnings: list[str] = []
    loaded = last_checkpoint(folder, warnings.append)
    assert loaded is not None
    assert_same_tensors(loaded, tensors_of(4))
    assert warnings == []
    assert names(folder) == ["step-000000002.safetensors", "step-000000004.safetensors"]


def test_last_checkpoint_refuses_when_all_are_corrupt_and_renames_none(folder):
    for path in folder.iterdir():
        cut_short(path)
    with pytest.raises(LfbtError, match="none of its 2 checkpoints can be read; start a new run"):
        last_checkpoint(folder, lambda line: None)
    assert names(folder) == ["step-000000002.safetensors", "step-000000004.safetensors"]


def test_last_checkpoint_does_not_give_up_one_that_cannot_be_read_now(folder, monkeypatch):
    def stale(path, **options):
        raise OSError(116, "Stale file handle")

    monkeypatch.setattr(checkpoints_module, "safe_open", stale)
    with pytest.raises(LfbtError, match=r"step-000000004\.safetensors: cannot be read .*Stale file handle"):
        last_checkpoint(folder, print)
    assert names(folder) == ["step-000000002.safetensors", "step-000000004.safetensors"]
