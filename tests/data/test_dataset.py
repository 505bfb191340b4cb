"""Data sets: packed ones, arrays in memory and several joined, as records, batches and for PyTorch's DataLoader."""

from typing import Any

import numpy as np
import pytest
import torch
from tests.data.helpers import LEADS, ROWS, noise, write_packed
from torch.utils.data import DataLoader

from lfbt.data.dataset import from_arrays
from lfbt.data.layouts import open_dataset
from lfbt.errors import LfbtError


def z(signal, axis=None):
    """The z-score of one record in float64."""
    signal = signal.astype(np.float64)
    return (signal - signal.mean(axis, keepdims=True)) / (signal.std(axis, keepdims=True) + 1e-5)


def test_dataset_rows_are_those_of_the_splits_in_order(tmp_path):
    write_packed(tmp_path)
    dataset = open_dataset(tmp_path)
    assert dataset.rows("train").tolist() == [0, 2]
    assert dataset.rows("test", "val").tolist() == [1, 3]
    assert dataset.rows().tolist() == []


@pytest.mark.parametrize("how", ["record", "lead", "none"])
def test_dataset_batch_holds_the_normalised_rows(tmp_path, how):
    signals = write_packed(tmp_path)
    rows = np.array([3, 0, 3])
    expected = [signals[row] if how == "none" else z(signals[row], None if how == "record" else 1) for row in rows]
    batch = open_dataset(tmp_path).batch(rows, how)
    assert batch.dtype == np.float32
    np.testing.assert_allclose(batch, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("leads", [("V5",), ("V5", "II"), ("V1", "V5", "II")])
def test_dataset_select_leads_takes_leads_by_name_and_normalises_among_them(tmp_path, leads):
    signals = write_packed(tmp_path)
    chosen = open_dataset(tmp_path).select_leads(leads)
    rows = [LEADS.index(lead) for lead in leads]
    assert (chosen.leads, len(chosen)) == (leads, 4)
    np.testing.assert_array_equal(chosen.batch(np.arange(4), "none"), signals[:, rows])
    np.testing.assert_allclose(chosen.batch(np.array([2]), "record")[0], z(signals[2, rows]), rtol=0, atol=1e-5)


def test_dataset_select_leads_twice_selects_from_the_selection(tmp_path):
    signals = write_packed(tmp_path)
    once = open_dataset(tmp_path).select_leads(("V5", "II"))
    np.testing.assert_array_equal(once.select_leads(("II",)).batch(np.array([1]), "none"), signals[1:2, :1])
    with pytest.raises(LfbtError, match=r"^lead V1,V9: not in the data set .*, which has V5,II$"):
        once.select_leads(("V1", "V9"))


@pytest.mark.parametrize("row", [slice(0, 3), "r0", [0, 1], 1.0, np.array([0, 1]), None])
def test_dataset_getitem_refuses_what_is_no_row_with_a_way_to_take_several(tmp_path, row):
    write_packed(tmp_path)
    dataset = open_dataset(tmp_path)
    with pytest.raises(LfbtError, match=r"is not the number of one row; for several take \[dataset\[row\] for row in"):
        dataset[row]
    # What the message advises.
    assert [dataset[row].id for row in range(3)] == list(dataset.ids[:3])
    assert dataset.batch(np.arange(3), "none").shape == (3, 3, 64)


def test_dataset_getitem_takes_any_whole_number_and_ends_with_the_last_row(tmp_path):
    write_packed(tmp_path)
    dataset = open_dataset(tmp_path)
    assert dataset[np.int64(-1)].id == dataset[3].id == "r3"
    with pytest.raises(IndexError):
        dataset[4]


def test_dataset_targets_are_the_classes_of_records(tmp_path):
    write_packed(tmp_path, rows=[("a", "1", "CD", "train"), ("b", "2", "NORM", "val"), ("c", "3", "CD", "test")])
    dataset = open_dataset(tmp_path)
    assert dataset.exclusive
    assert dataset.targets().tolist() == [[False, False, True], [True, False, False], [False, False, True]]
    write_packed(tmp_path / "several", rows=[("a", "1", "CD;NORM", "train"), ("b", "2", "NORM", "val")])
    dataset = open_dataset(tmp_path / "several")
    assert not dataset.exclusive
    assert dataset.targets().tolist() == [[True, False, True], [True, False, False]]


def test_dataset_targets_need_a_label_a_record_and_two_classes(tmp_path):
    write_packed(tmp_path / "none", rows=[ROWS[3]])
    with pytest.raises(LfbtError, match="record r3 has no label"):
        open_dataset(tmp_path / "none").targets()
    for classes in (["MI"], []):
        label = "MI" if classes else ""
        write_packed(tmp_path / "few", rows=[("r0", "p0", label, "train")], classes=classes)
        with pytest.raises(LfbtError, match=f"{len(classes)} class.*needs two or more: prepare it with a label rule"):
            open_dataset(tmp_path / "few").targets()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_dataset_batch_names_a_record_that_is_not_finite(tmp_path, value):
    signals = noise(4, 3, 64)
    signals[2, 1, 5] = value
    write_packed(tmp_path, signals)
    dataset = open_dataset(tmp_path)
    with pytest.raises(LfbtError, match="record r2 holds NaN or infinity"):
        dataset.batch(np.array([3, 2, 0, 1]), "record")
    # The other leads, and the other records, are whole.
    dataset.select_leads(("II", "V5")).batch(np.arange(4), "record")
    dataset.batch(np.array([0, 1, 3]), "record")


def test_from_arrays_is_an_unlabelled_data_set():
    signals = noise(5, 3, 40)
    dataset = from_arrays(signals, LEADS, 100.0)
    assert (len(dataset), dataset.n_samples, dataset.leads, dataset.sampling_rate) == (5, 40, LEADS, 100)
    assert dataset.rows("train").tolist() == list(range(5))
    np.testing.assert_allclose(dataset.batch(np.array([4]), "record")[0], z(signals[4]), rtol=0, atol=1e-5)
    with pytest.raises(LfbtError, match="needs two or more"):
        dataset.targets()


@pytest.mark.parametrize("shape", [(5, 40), (5, 2, 40), (1, 5, 3, 40)])
def test_from_arrays_refuses_another_shape(shape):
    with pytest.raises(LfbtError, match=r"signals: shape .* is not \[records, 3 leads, samples\]"):
        from_arrays(noise(*shape), LEADS, 100.0)


def test_dataset_item_is_a_record_without_normalisation(tmp_path):
    signals = write_packed(tmp_path)
    dataset = open_dataset(tmp_path)
    record = dataset[2]
    np.testing.assert_array_equal(record.signal, signals[2])
    assert record.signal.dtype == record.targets.dtype == np.float32
    assert record.targets.tolist() == [0, 1, 1]
    assert record[2:] == ("r2", "p0", "train")
    assert dataset[3].targets.tolist() == [0, 0, 0]
    np.testing.assert_array_equal(dataset.select_leads(("V5", "II"))[1].signal, signals[1, [2, 0]])


def test_dataset_item_takes_any_integer_and_ends_with_the_data_set(tmp_path):
    write_packed(tmp_path)
    dataset: Any = open_dataset(tmp_path)
    assert dataset[-1].id == dataset[np.int64(3)].id == "r3"
    assert [record.id for record in dataset] == list(dataset.ids)
    for row in (4, -5):
        with pytest.raises(IndexError):
            dataset[row]


def test_dataset_item_names_a_record_that_is_not_finite(tmp_path):
    signals = noise(4, 3, 64)
    signals[1] = np.nan
    write_packed(tmp_path, signals)
    with pytest.raises(LfbtError, match="record NA holds NaN or infinity"):
        open_dataset(tmp_path)[1]


@pytest.mark.parametrize("workers", [0, 2])
def test_dataset_is_read_by_a_data_loader_with_default_collate(tmp_path, workers):
    signals = write_packed(tmp_path)
    dataset: Any = open_dataset(tmp_path)
    batches = list(
        DataLoader(dataset, batch_size=3, num_workers=workers, multiprocessing_context="fork" if workers else None)
    )
    assert [len(batch.id) for batch in batches] == [3, 1]
    first = batches[0]
    assert (first.signal.dtype, first.targets.dtype) == (torch.float32, torch.float32)
    np.testing.assert_array_equal(first.signal.numpy(), signals[:3])
    assert first.targets.tolist() == [[0, 1, 0], [1, 0, 0], [0, 1, 1]]
    assert (list(first.id), list(first.split)) == (["r0", "NA", "r2"], ["train", "val", "train"])


def test_dataset_is_sampled_by_a_data_loader(tmp_path):
    write_packed(tmp_path)
    dataset: Any = open_dataset(tmp_path)
    subset = torch.utils.data.Subset(dataset, dataset.rows("train").tolist())
    generator = torch.Generator().manual_seed(0)
    names = [batch.id[0] for batch in DataLoader(subset, shuffle=True, generator=generator)]
    assert sorted(names) == ["r0", "r2"]


def test_dataset_without_labels_has_empty_targets():
    assert from_arrays(noise(2, 3, 40), LEADS, 4.0)[0].targets.shape == (0,)


def test_rows_refuses_a_split_that_there_is_not(tmp_path):
    """A misspelt one would select nothing, silently."""
    write_packed(tmp_path, rows=[(*ROWS[0][:3], "train")])
    dataset = open_dataset(tmp_path)
    assert dataset.rows("val").tolist() == []
    with pytest.raises(LfbtError, match="split: 'training' is not one of train, val, test"):
        dataset.rows("train", "training")


def test_dataset_prints_in_one_line(tmp_path):
    write_packed(tmp_path)
    classes = "classes NORM,MI,CD"
    assert repr(open_dataset(tmp_path)) == (
        f"Dataset({str(tmp_path)!r}, 4 records, leads II,V1,V5, 6.4 Hz, 64 samples, {classes})"
    )
    unlabelled = from_arrays(noise(2, 1, 64), "II", 6.4)
    assert repr(unlabelled) == "Dataset('.', 2 records, leads II, 6.4 Hz, 64 samples, classes none)"


def test_datasets_are_compared_as_objects(tmp_path):
    write_packed(tmp_path)
    one, other = open_dataset(tmp_path), open_dataset(tmp_path)
    assert one == one
    assert one != other


def test_dataset_select_leads_takes_a_text(tmp_path):
    write_packed(tmp_path)
    dataset = open_dataset(tmp_path)
    assert dataset.select_leads("v5,II").leads == ("V5", "II")
    assert dataset.select_leads("II").leads == ("II",)
    with pytest.raises(LfbtError, match=r"^leads: 3 is not a text$"):
        dataset.select_leads(3)  # type: ignore[arg-type]
