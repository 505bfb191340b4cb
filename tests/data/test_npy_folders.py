"""The authors' folders of ``.npy`` files: layouts, natural order, assumed leads, and files that do not fit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.data.helpers import noise, write_npy

from lfbt.data.dataset import open_dataset
from lfbt.data.npy_folders import _natural
from lfbt.errors import LfbtError
from lfbt.recording import PAPER_LEADS, STANDARD_LEADS


def test_npy_folders_are_read_in_natural_order_with_what_is_assumed(tmp_path):
    names = [f"samples/sample_{number}" for number in (0, 1, 2, 9, 10, 11, 100)]
    write_npy(tmp_path, *names, samples=2048)
    dataset = open_dataset(tmp_path)
    assert dataset.ids == dataset.patients == tuple(names)
    assert dataset.leads == PAPER_LEADS
    assert (dataset.sampling_rate, dataset.n_samples, dataset.names_assumed) == (204.8, 2048, True)
    assert (dataset.classes, set(dataset.labels), set(dataset.split)) == ((), {()}, {"train"})
    batch = dataset.batch(np.array([6, 0, 4]), "none")
    assert batch.shape == (3, 8, 2048)
    assert batch[:, 0, 0].tolist() == [6, 0, 4]


@pytest.mark.parametrize(
    ("leads", "names"), [(8, PAPER_LEADS), (12, STANDARD_LEADS), (3, ("lead1", "lead2", "lead3")), (1, ("lead1",))]
)
def test_npy_folders_assume_leads_by_their_number(tmp_path, leads, names):
    write_npy(tmp_path, "samples/a", leads=leads, samples=1000)
    dataset = open_dataset(tmp_path)
    assert (dataset.leads, dataset.sampling_rate) == (names, 100)


def test_npy_folders_of_splits_and_classes_are_used_as_they_are(tmp_path):
    files = ["train/b/0", "train/a/0", "train/a/1", "val/a/0", "val/b/7", "test/b/0"]
    write_npy(tmp_path, *files)
    (tmp_path / "train" / ".cache").mkdir()
    dataset = open_dataset(tmp_path)
    found = dict(zip(dataset.ids, zip(dataset.split, dataset.labels, strict=True), strict=True))
    assert found == {file: (file.split("/")[0], (file.split("/")[1],)) for file in files}
    assert dataset.classes == ("a", "b")
    for row, name in enumerate(dataset.ids):
        assert dataset.batch(np.array([row]), "none")[0, 0, 0] == files.index(name)


def test_npy_folders_of_classes_are_split_by_the_seed_and_stratified(tmp_path):
    write_npy(tmp_path, *[f"x/{n}" for n in range(20)], *[f"y/{n}" for n in range(30)])
    dataset, again, other = open_dataset(tmp_path), open_dataset(tmp_path), open_dataset(tmp_path, split_seed=1)
    assert dataset.classes == ("x", "y")
    table = {(split, label): 0 for split in ("train", "val", "test") for label in "xy"}
    for split, (label,) in zip(dataset.split.tolist(), dataset.labels, strict=True):
        table[split, label] += 1
    assert table == {
        ("train", "x"): 14,
        ("val", "x"): 2,
        ("test", "x"): 4,
        ("train", "y"): 22,
        ("val", "y"): 2,
        ("test", "y"): 6,
    }
    assert dataset.split.tolist() == again.split.tolist() != other.split.tolist()


def test_npy_files_of_integers_and_fortran_order_are_read_alike(tmp_path):
    values = np.arange(8 * 64).reshape(8, 64)
    (tmp_path / "samples").mkdir()
    np.save(tmp_path / "samples" / "0.npy", values.astype(np.int16))
    np.save(tmp_path / "samples" / "1.npy", np.asfortranarray(values.astype(np.float64)))
    batch = open_dataset(tmp_path).batch(np.arange(2), "none")
    np.testing.assert_array_equal(batch, [values, values])
    assert batch.dtype == np.float32


def _save(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array, **options)


NPY_FAULTS = {
    "text": (lambda path: path.write_text("text"), "is not a .npy array of numbers"),
    "empty": (lambda path: path.write_bytes(b""), "is not a .npy array of numbers"),
    "cut": (lambda path: path.write_bytes(path.read_bytes()[:-5]), "is not a .npy array of numbers"),
    "objects": (lambda path: _save(path, np.array([{}]), allow_pickle=True), "is not a .npy array of numbers"),
    "letters": (lambda path: _save(path, np.array([["a"]])), "holds <U1 of shape"),
    "booleans": (lambda path: _save(path, np.zeros((8, 64), dtype=bool)), "holds bool"),
    "one axis": (lambda path: _save(path, noise(64)), r"shape \[64\]; numbers \[leads, samples\] are needed"),
    "three axes": (lambda path: _save(path, noise(1, 8, 64)), r"shape \[1, 8, 64\]"),
    "longer": (lambda path: _save(path, noise(8, 65)), r"has shape \[8, 65\] where .*/0\.npy has \[8, 64\]"),
}


@pytest.mark.parametrize("fault", NPY_FAULTS)
def test_read_common_shape_names_files_that_do_not_fit(tmp_path, fault):
    corrupt, message = NPY_FAULTS[fault]
    write_npy(tmp_path, "samples/0", "samples/1")
    corrupt(tmp_path / "samples" / "1.npy")
    with pytest.raises(LfbtError, match=f"^{tmp_path}/samples/1.npy: .*{message}"):
        open_dataset(tmp_path)


@given(st.lists(st.integers(0, 10**6), unique=True, min_size=2), st.sampled_from(["sample_", "", "a1b"]))
def test_natural_order_is_that_of_the_numbers(tmp_path_factory, numbers, prefix):
    folder = tmp_path_factory.getbasetemp()
    paths = [folder / f"{prefix}{number}.npy" for number in numbers]
    assert sorted(paths, key=_natural) == [folder / f"{prefix}{number}.npy" for number in sorted(numbers)]


@given(st.lists(st.text("ab01_ Z", min_size=1), unique=True))
def test_natural_order_is_an_order_of_any_names(tmp_path_factory, names):
    folder = tmp_path_factory.getbasetemp()
    paths = sorted((folder / name for name in names), key=_natural)
    backwards = paths[::-1]
    assert sorted(backwards, key=_natural) == paths


def test_npy_files_may_have_any_digits_in_their_names(tmp_path):
    write_npy(tmp_path, "samples/²3", "samples/sample_10", "samples/sample_2")
    assert [name.split("/")[1] for name in open_dataset(tmp_path).ids] == ["sample_2", "sample_10", "²3"]
