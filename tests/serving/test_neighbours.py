"""The nearest training records: hand-computed distances, kept by a probe or computed from a data set."""

import numpy as np
import pytest
from tests.factories import ROWS, write_labelled, write_multi_label
from tests.inference.test_classifier import write_run
from tests.inference.test_prediction import MeanModel

from lfbt.data.layouts import open_dataset
from lfbt.errors import LfbtError
from lfbt.inference.loading import load_model
from lfbt.serving.neighbours import TrainingRecords, embedded, kept_by_run


def test_nearest_is_by_root_mean_square_of_standardised_features():
    """Deviations are 1 and 2; the third feature is the same in all and left out."""
    embeddings = np.array([[0, 0, 5], [2, 4, 5], [0, 4, 5], [2, 0, 5]], np.float32)
    records = TrainingRecords(tuple("abcd"), (("A",), (), ("A", "B"), ("B",)), embeddings)
    found = records.nearest(np.array([0.0, 3.0, 9.0]), 3)
    assert [one.record for one in found] == ["c", "a", "b"]
    assert [one.labels for one in found] == [("A", "B"), ("A",), ()]
    np.testing.assert_allclose([one.distance for one in found], np.sqrt([0.125, 1.125, 2.125]))


def test_nearest_of_records_that_are_all_the_same_are_all_at_zero():
    records = TrainingRecords(("a", "b"), ((), ()), np.ones((2, 3), np.float32))
    assert [one.distance for one in records.nearest(np.zeros(3), 5)] == [0, 0]


@pytest.mark.parametrize("write", [write_labelled, write_multi_label])
def test_kept_by_run_are_the_training_records_of_the_data_set(tmp_path, write):
    dataset = open_dataset(write(tmp_path / "data"))
    model = load_model(write_run(tmp_path / "run", tmp_path / "data"), "cpu")
    kept = kept_by_run(tmp_path / "run", model)
    assert kept is not None
    assert kept.ids == tuple(dataset.ids[row] for row in ROWS["train"])
    # Of several labels the order is that of the classes.
    assert [set(labels) for labels in kept.labels] == [set(dataset.labels[row]) for row in ROWS["train"]]
    again = embedded(tmp_path / "data", model)
    assert (again.ids, [set(labels) for labels in again.labels]) == (kept.ids, [set(one) for one in kept.labels])
    np.testing.assert_allclose(again.embeddings, kept.embeddings, atol=1e-5)


def test_kept_by_run_is_nothing_where_a_run_keeps_nothing(tmp_path):
    assert kept_by_run(tmp_path, MeanModel()) is None


def test_kept_by_run_refuses_files_that_do_not_fit(tmp_path):
    np.save(tmp_path / "X_train.npy", np.zeros((2, 64), np.float32))
    np.save(tmp_path / "y_train.npy", np.zeros(2, np.int64))
    (tmp_path / "splits.csv").write_text("id,split\na,train\nb,train\nc,test\n")
    with pytest.raises(LfbtError, match=r"is \[2, 64\], not \[2, 128\]"):
        kept_by_run(tmp_path, MeanModel())


def test_embedded_refuses_a_data_set_without_training_records(tmp_path):
    write_labelled(tmp_path / "data", split=["test"] * 48)
    with pytest.raises(LfbtError, match="has no training records"):
        embedded(tmp_path / "data", MeanModel())


def test_embedded_calls_what_is_no_data_set_by_its_option(tmp_path):
    with pytest.raises(LfbtError, match=r"^neighbours: .*absent is not a folder: it does not exist"):
        embedded(tmp_path / "absent", MeanModel())
