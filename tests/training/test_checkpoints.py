"""Checkpoints: complete or absent, the last few kept, corrupt ones recognised."""

import pytest
import torch
from tests.helpers_model import assert_same_tensors

from lfbt.errors import LfbtError
from lfbt.training.checkpoints import last_checkpoint, save_checkpoint


def test_save_checkpoint_keeps_the_last_ones(tmp_path):
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


def flip(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "corrupt", [flip, lambda path: path.write_bytes(path.read_bytes()[:-3]), lambda path: path.write_bytes(b"")]
)
def test_last_checkpoint_passes_over_a_corrupt_one_with_a_warning(tmp_path, corrupt):
    for step in (1, 2):
        save_checkpoint(tmp_path, step, {"a": torch.tensor([step])}, keep=2)
    newest = tmp_path / "step-000000002.safetensors"
    corrupt(newest)
    warnings: list[str] = []
    tensors = last_checkpoint(tmp_path, warnings.append)
    assert tensors is not None
    assert_same_tensors(tensors, {"a": torch.tensor([1])})
    (warning,) = warnings
    assert str(newest) in warning
    assert not newest.exists()


def test_last_checkpoint_refuses_a_folder_of_corrupt_ones(tmp_path):
    save_checkpoint(tmp_path, 1, {"a": torch.tensor([1])}, keep=2)
    flip(tmp_path / "step-000000001.safetensors")
    with pytest.raises(LfbtError, match="none of its 1 checkpoints is"):
        last_checkpoint(tmp_path, lambda line: None)


def test_a_checksum_covers_names_and_dtypes_of_any_shape(tmp_path):
    tensors = {"scalar": torch.tensor(2.5), "empty": torch.zeros(0), "half": torch.ones(3, dtype=torch.bfloat16)}
    save_checkpoint(tmp_path, 1, tensors, keep=1)
    read = last_checkpoint(tmp_path, print)
    assert read is not None
    assert_same_tensors(dict(sorted(read.items())), dict(sorted(tensors.items())))
