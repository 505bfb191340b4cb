"""lfbt probe with bad input: status 2, one line on stderr that names the fault, and nothing written."""

import shutil

import numpy as np
import pytest
from tests.helpers_cli import classify_words, other_data, refused


def test_probe_refuses_one_class_only(place, tmp_path):
    data = other_data(tmp_path / "data", classes="a")
    said = refused(*classify_words("probe", place, tmp_path / "to"), "--data-dir", data)
    assert said == f"{data}: 1 class(es) (a); a classifier needs two or more: prepare it with a label rule"
    for name in ("val", "test"):
        shutil.copytree(data / name / "a", data / name / "b")
    said = refused(*classify_words("probe", place, tmp_path / "to"), "--data-dir", data)
    assert said == f"{data}: the training records are all of class a; a classifier needs two classes"
    assert not (tmp_path / "to").exists()


def test_probe_refuses_unlabelled_data_and_an_empty_split(place, tmp_path):
    words = classify_words("probe", place, tmp_path / "to")
    data = other_data(tmp_path / "data")
    shutil.rmtree(data / "val")
    assert f"{data}: split val has no records" in refused(*words, "--data-dir", data)
    (tmp_path / "un" / "samples").mkdir(parents=True)
    np.save(tmp_path / "un" / "samples" / "0.npy", np.ones((8, 128), dtype=np.float32))
    assert "0 class(es) (no labels)" in refused(*words, "--data-dir", tmp_path / "un")
    assert not (tmp_path / "to").exists()


@pytest.mark.parametrize(("leads", "said"), [("II,II", "leads: II is named twice"), ("", "leads: none given")])
def test_probe_refuses_bad_lead_lists_in_one_line(leads, said):
    assert said in refused("probe", "--data-dir", "x", "--run-dir", "y", "--leads", leads)
