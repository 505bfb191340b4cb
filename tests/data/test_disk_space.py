"""How much disk a data set takes, and a disk with too little."""

import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from tests.data.helpers import entry, make, settings

from lfbt.data.disk_space import check_disk_space, in_bytes, size_of
from lfbt.errors import LfbtError, UnreadableError


@pytest.mark.parametrize(("dtype", "itemsize"), [("float32", 4), ("float16", 2)])
def test_size_of_is_that_of_the_array_without_its_header(tmp_path, dtype, itemsize):
    make(tmp_path / "to", entry("a"), entry("b"), entry("c"), dtype=dtype)
    size = size_of(settings(dtype=dtype), 3)
    assert size == 3 * 8 * 128 * itemsize
    assert (tmp_path / "to" / "signals.npy").stat().st_size == 128 + size


def test_size_of_does_not_overflow():
    assert size_of(settings(n_samples=5000), 800_035) == 128_005_600_000


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (999_499, "999 kB"),
        (999_500, "1 MB"),
        (52_431_093_760, "52.4 GB"),
        (1.5e15, "1.5e+03 TB"),
    ],
)
def test_in_bytes_has_three_digits(n_bytes, text):
    assert in_bytes(n_bytes) == text


@pytest.fixture
def free(monkeypatch):
    """Let every disk have so many bytes left; returns the folders that were asked for."""
    asked = []

    def set_free(n_bytes):
        def disk_usage(folder):
            asked.append(folder)
            return SimpleNamespace(free=n_bytes)

        monkeypatch.setattr(shutil, "disk_usage", disk_usage)
        return asked

    return set_free


def test_check_disk_space_asks_for_the_nearest_folder_there_is(tmp_path, free):
    asked = free(1000)
    check_disk_space(tmp_path / "new" / "data", 1000)
    check_disk_space(tmp_path, 0)
    assert asked == [tmp_path, tmp_path]
    message = r"new: takes 1\.01 kB or more, but its disk has 1 kB left; "
    with pytest.raises(LfbtError, match=f"{message}make room, or name another place"):
        check_disk_space(tmp_path / "new", 1010)
    with pytest.raises(LfbtError, match=f"{message}wait"):
        check_disk_space(tmp_path / "new", 1010, "wait")


def test_prepare_refuses_a_full_disk_before_it_reads(tmp_path, free):
    free(2 * 8 * 128 * 4 - 1)
    unread = [entry(name, UnreadableError("was read")) for name in "ab"]
    message = r"takes 8\.19 kB or more, but its disk has 8\.19 kB left; make room, or take fewer --n-samples or --leads"
    with pytest.raises(LfbtError, match=message):
        make(tmp_path / "to", *unread)
    assert list(tmp_path.iterdir()) == []
    free(2 * 8 * 128 * 4)
    make(tmp_path / "to", entry("a"), entry("b"))
    assert np.load(tmp_path / "to" / "signals.npy").shape == (2, 8, 128)
