"""`predictions.csv`: what is written is read, and corrupt files are named."""

import dataclasses

import numpy as np
import pytest

from lfbt.errors import LfbtError
from lfbt.runs.predictions import Predictions

PREDICTIONS = Predictions(
    ids=("007", "r,1"),
    patients=("p1", "p1"),
    labels=(("MI",), ("MI", "NORM")),
    classes=("MI", "NORM"),
    probabilities=np.array([[0.25, 0.75], [1 / 3, 1e-12]]),
)


@pytest.fixture
def folder(tmp_path):
    PREDICTIONS.save(tmp_path)
    return tmp_path


def test_save_writes_a_column_a_class(folder):
    assert (folder / "predictions.csv").read_text().splitlines()[:2] == [
        "id,patient,label,p_MI,p_NORM",
        "007,p1,MI,0.25,0.75",
    ]


def test_save_and_load_are_inverse(folder):
    """Ids stay texts, and double precision keeps every bit."""
    loaded = Predictions.load(folder, PREDICTIONS.classes)
    for field in dataclasses.fields(Predictions):
        if field.name != "probabilities":
            assert getattr(loaded, field.name) == getattr(PREDICTIONS, field.name)
    np.testing.assert_array_equal(loaded.probabilities, PREDICTIONS.probabilities)


def test_load_takes_classes_in_the_order_asked_for(folder):
    loaded = Predictions.load(folder, ("NORM", "MI"))
    np.testing.assert_array_equal(loaded.probabilities, PREDICTIONS.probabilities[:, ::-1])
    np.testing.assert_array_equal(loaded.targets(), [[False, True], [True, True]])


def test_targets_are_the_labels_of_every_record():
    np.testing.assert_array_equal(PREDICTIONS.targets(), [[True, False], [True, True]])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("p_NORM", "p_OTHER", r"is not a complete table of predictions .*p_NORM"),
        ("0.75", "high", r"is not a complete table of predictions .*high"),
        ("MI;NORM", "MI;STTC", r"label STTC is not a class of results\.json"),
        ("0.75", "nan", "a value that is not a number"),
        ('"r,1"', "007", "a duplicate record"),
    ],
)
def test_load_names_file_fault_and_remedy(folder, old, new, message):
    path = folder / "predictions.csv"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(LfbtError, match=rf"predictions\.csv: .*{message}.*; run it again with this lfbt$"):
        Predictions.load(folder, PREDICTIONS.classes)


def test_load_refuses_a_table_without_records(folder):
    path = folder / "predictions.csv"
    path.write_text(path.read_text().splitlines()[0] + "\n")
    with pytest.raises(LfbtError, match="has no records"):
        Predictions.load(folder, PREDICTIONS.classes)
    path.unlink()
    with pytest.raises(LfbtError, match=r"predictions\.csv: is not a complete table"):
        Predictions.load(folder, PREDICTIONS.classes)
