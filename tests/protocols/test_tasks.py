"""Tasks: the classes of twelve records by every label set, and which records take part."""

import dataclasses

import pytest
from tests.protocols.helpers import settings_of, small_dataset, write_statements

from lfbt.errors import LfbtError
from lfbt.protocols.settings import BenchmarkSettings
from lfbt.protocols.tasks import label_tasks


@pytest.mark.parametrize(
    ("name", "classes", "first_four"),
    [
        ("statements", ("NORM", "IMI", "DIG", "SR"), [[1, 0, 0, 1], [0, 0, 0, 1], [0, 1, 1, 0], [0, 0, 1, 0]]),
        (
            "superclass",
            ("NORM", "MI", "STTC", "CD", "HYP"),
            [[1, 0, 0, 0, 0], [0] * 5, [0, 1, 1, 0, 0], [0, 0, 1, 0, 0]],
        ),
        ("diagnostic", ("NORM", "IMI", "DIG"), [[1, 0, 0], [0, 0, 0], [0, 1, 1], [0, 0, 1]]),
        ("form", ("DIG",), [[0], [0], [1], [1]]),
        ("rhythm", ("SR",), [[1], [1], [0], [0]]),
    ],
)
def test_label_tasks_derives_every_task_from_the_statements(tmp_path, name, classes, first_four):
    (task,) = label_tasks(small_dataset(), settings_of(write_statements(tmp_path), tasks=[name]))
    assert (task.name, task.classes, task.exclusive) == (name, classes, False)
    assert task.targets[:4].astype(int).tolist() == first_four
    # Records without a class are negatives of all.
    assert [len(rows) for rows in task.rows.values()] == [4, 4, 4]
    assert task.fault == ""


def test_label_tasks_leaves_out_unlabelled_records_where_the_protocol_does(tmp_path):
    settings = settings_of(write_statements(tmp_path), tasks=["superclass"], protocol="attentive")
    (task,) = label_tasks(small_dataset(), settings)
    assert {split: rows.tolist() for split, rows in task.rows.items()} == {
        "train": [0, 2, 3], "val": [4, 6, 7], "test": [8, 10, 11]
    }  # fmt: skip


@pytest.mark.parametrize("protocol", ["linear", "attentive"])
def test_single_has_the_records_of_one_superclass(tmp_path, protocol):
    settings = settings_of(write_statements(tmp_path), tasks=["single"], protocol=protocol)
    (task,) = label_tasks(small_dataset(), settings)
    assert task.exclusive
    assert task.rows["train"].tolist() == [0, 3]
    assert (task.targets[task.rows["test"]].sum(axis=1) == 1).all()


def test_fault_names_the_split_without_either_side(tmp_path):
    labels = (("SR",),) * 4 + (("SR",), ("NORM",)) * 4
    dataset = dataclasses.replace(small_dataset(), labels=labels)
    (task,) = label_tasks(dataset, settings_of(write_statements(tmp_path), tasks=["rhythm"]))
    assert task.fault == "no class has train records with it and without"
    assert task.has_both_sides("test").tolist() == [True]


def test_label_tasks_of_others_takes_the_labels_as_they_are(tmp_path):
    settings = BenchmarkSettings.create("cpsc2018", tmp_path, tmp_path / "out")
    (task,) = label_tasks(small_dataset(), settings)
    assert (task.name, task.classes) == ("diagnosis", ("NORM", "IMI", "DIG", "SR"))
    assert task.targets[0].tolist() == [True, False, False, True]


def test_label_tasks_refuses_a_download_without_statements(tmp_path):
    with pytest.raises(LfbtError, match=r"scp_statements\.csv"):
        label_tasks(small_dataset(), settings_of(tmp_path))
