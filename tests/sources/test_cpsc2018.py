"""CPSC2018, on a tiny download in its published form."""

import numpy as np
import pytest
from tests.published_files import RNG, drops, ids, write, write_mat

from lfbt.errors import LfbtError
from lfbt.sources import Cpsc2018


def test_cpsc2018_lists_labels_and_files_of_several_folders(tmp_path):
    codes = ["1,,", "2,,", "3,,", "4,,", "5,,", "6,,", "7,,", "8,,", "9,,", "9,5,1", "1,,"]
    rows = [f"A{number:04d},{code}" for number, code in enumerate(codes, start=1)]
    write(tmp_path / "REFERENCE.csv", "\r\n".join(["Recording,First_label,Second_label,Third_label", *rows]) + "\r\n")
    data = {number: RNG.normal(size=(12, 20)) for number in range(1, 11)}
    for number, signal in data.items():
        write_mat(tmp_path / f"TrainingSet{number % 3 + 1}" / f"A{number:04d}.mat", signal)
    listing = Cpsc2018().listing(tmp_path)
    assert listing.classes == ("Normal", "AF", "I-AVB", "LBBB", "RBBB", "PAC", "PVC", "STD", "STE")
    assert ids(listing) == [entry.patient for entry in listing.entries] == [f"A{n:04d}" for n in range(1, 11)]
    assert [entry.labels for entry in listing.entries[:9]] == [(name,) for name in listing.classes]
    assert listing.entries[9].labels == ("Normal", "RBBB", "STE")
    assert {entry.split for entry in listing.entries} == {""}
    assert drops(listing) == [("A0011", "A0011.mat", "file absent")]
    np.testing.assert_array_equal(listing.entries[4].read().signal, data[5].astype(np.float32))
    unlabelled = Cpsc2018(labels="none").listing(tmp_path)
    assert (unlabelled.classes, {entry.labels for entry in unlabelled.entries}) == ((), {()})


def test_cpsc2018_keeps_a_label_given_twice(tmp_path):
    write(tmp_path / "REFERENCE.csv", "Recording,First_label,Second_label,Third_label\nA0953,6,6,\nA0954,9,1,\n")
    for name in ("A0953", "A0954"):
        write_mat(tmp_path / f"{name}.mat", np.zeros((12, 5)))
    listing = Cpsc2018().listing(tmp_path)
    assert [entry.labels for entry in listing.entries] == [("PAC", "PAC"), ("Normal", "STE")]
    assert "twice" in listing.label_rule


def test_cpsc2018_accepts_tables_that_repeat_and_refuses_those_that_contradict(tmp_path):
    head = "Recording,First_label,Second_label,Third_label\n"
    write(tmp_path / "a" / "REFERENCE.csv", head + "A0001,1,,\n")
    write(tmp_path / "b" / "REFERENCE.csv", head + "A0001,1,,\nA0002,2,,\n")
    with pytest.raises(LfbtError, match=r"not any record that REFERENCE\.csv names.*complete the download"):
        Cpsc2018().listing(tmp_path)
    for name in ("a/A0001.mat", "b/A0002.mat"):
        write_mat(tmp_path / name, np.zeros((12, 5)))
    assert [entry.labels for entry in Cpsc2018().listing(tmp_path).entries] == [("Normal",), ("AF",)]
    write_mat(tmp_path / "b/A0001.mat", np.zeros((12, 5)))
    with pytest.raises(LfbtError, match="record A0001 is a duplicate, as "):
        Cpsc2018().listing(tmp_path)
    write(tmp_path / "b" / "REFERENCE.csv", head + "A0001,2,,\n")
    with pytest.raises(LfbtError, match="A0001 has two rows with different labels"):
        Cpsc2018().listing(tmp_path)
    write(tmp_path / "b" / "REFERENCE.csv", head + "A0003,10,,\n")
    with pytest.raises(LfbtError, match="record A0003 has label '10'; allowed: 1 to 9"):
        Cpsc2018().listing(tmp_path)


def test_cpsc2018_refuses_labels_that_no_record_has(tmp_path):
    write(tmp_path / "REFERENCE.csv", "Recording,First_label,Second_label,Third_label\nA0001,,,\nA0002,1,,\n")
    write_mat(tmp_path / "A0001.mat", np.zeros((12, 5)))
    with pytest.raises(LfbtError, match=r"labels: diagnosis, but no record of .* has a label; give labels none"):
        Cpsc2018().listing(tmp_path)
    assert ids(Cpsc2018(labels="none").listing(tmp_path)) == ["A0001"]
