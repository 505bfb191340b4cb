"""Folders in no known layout are refused, with the layouts in the message."""

import pytest
from tests.data.helpers import write_npy

from lfbt.data.dataset import open_dataset
from lfbt.errors import LfbtError


@pytest.mark.parametrize("files", [(), ("0",), ("train/0", "val/1"), (".hidden/0",), ("a/b/0",)], ids=str)
def test_open_dataset_refuses_folders_in_no_layout_with_the_layouts(tmp_path, files):
    write_npy(tmp_path, *files)
    with pytest.raises(
        LfbtError, match=r"data-dir: .* holds no data set; give a packed data set .*DIR/samples/\*\.npy"
    ):
        open_dataset(tmp_path)


def test_open_dataset_refuses_what_is_not_a_folder(tmp_path):
    (tmp_path / "file").write_text("")
    for name, why in (("file", ""), ("absent", ": it does not exist")):
        with pytest.raises(
            LfbtError, match=f"data-dir: {tmp_path / name} is not a folder{why}; give a packed data set"
        ):
            open_dataset(tmp_path / name)
