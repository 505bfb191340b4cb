"""Several data sets opened as one: records one after the other, ids kept apart."""

import numpy as np
import pytest
from tests.data.helpers import noise, write_npy, write_packed

from lfbt.data.joining import open_datasets
from lfbt.errors import LfbtError
from lfbt.recording import PAPER_LEADS


def test_open_datasets_joins_one_after_the_other(tmp_path):
    one = write_packed(tmp_path / "one")
    two = write_packed(tmp_path / "two", noise(4, 3, 64, seed=1), hash="def")
    joined = open_datasets([tmp_path / "one", tmp_path / "two"])
    both = np.concatenate([one, two])
    assert (len(joined), joined.n_samples, joined.classes) == (8, 64, ())
    assert joined.ids[3:5] == ("one/r3", "two/r0")
    assert joined.patients[3:5] == ("one/p2", "two/p0")
    assert joined.rows("train").tolist() == [0, 2, 4, 6]
    rows = np.array([7, 0, 4, 3, 7])
    np.testing.assert_array_equal(joined.batch(rows, "none"), both[rows])
    np.testing.assert_array_equal(joined.select_leads(("V5", "II")).batch(rows, "none"), both[rows][:, [2, 0]])
    assert joined.hash not in ("abc", "def")


def test_open_datasets_joins_packed_and_npy(tmp_path):
    packed = write_packed(tmp_path / "packed", noise(4, 8, 64), leads=PAPER_LEADS)
    write_npy(tmp_path / "npy", "samples/0", "samples/1")
    joined = open_datasets([tmp_path / "packed", tmp_path / "npy"])
    assert joined.names_assumed
    batch = joined.batch(np.array([5, 2]), "none")
    np.testing.assert_array_equal(batch, [np.ones((8, 64)), packed[2]])


def test_open_datasets_names_a_record_that_is_not_finite_after_its_data_set(tmp_path):
    signals = noise(4, 3, 64)
    signals[1, 0, 0] = np.nan
    write_packed(tmp_path / "one")
    write_packed(tmp_path / "two", signals)
    with pytest.raises(LfbtError, match="record two/NA holds NaN"):
        open_datasets([tmp_path / "one", tmp_path / "two"]).batch(np.arange(8), "record")


def test_open_datasets_keeps_the_labels_of_one(tmp_path):
    write_packed(tmp_path)
    assert open_datasets([tmp_path]).classes == ("NORM", "MI", "CD")


@pytest.mark.parametrize("other", [{"leads": ("V1", "II", "V5")}, {"sampling_rate": 100}, {"signals": noise(4, 3, 65)}])
def test_open_datasets_refuses_data_sets_that_differ_with_both_sides(tmp_path, other):
    write_packed(tmp_path / "one")
    write_packed(tmp_path / "two", **other)
    with pytest.raises(
        LfbtError, match=r"/two has leads .* but .*/one has II,V1,V5, 6\.4 Hz, 64 samples; prepare both"
    ):
        open_datasets([tmp_path / "one", tmp_path / "two"])


def test_open_datasets_refuses_none():
    with pytest.raises(LfbtError, match="data-dir: none given"):
        open_datasets([])


def test_open_datasets_keeps_ids_of_folders_of_one_name_apart(tmp_path):
    for place in ("x", "y"):
        write_npy(tmp_path / place / "data", "samples/sample_0")
    joined = open_datasets([tmp_path / "x" / "data", tmp_path / "y" / "data"])
    assert len(set(joined.ids)) == len(set(joined.patients)) == 2


# --- for other people's training loops ---


def test_open_datasets_refuses_a_folder_named_twice(tmp_path):
    write_packed(tmp_path / "one")
    with pytest.raises(LfbtError, match=r"^data-dir: .*/one/\.\./one is named twice; name each once$"):
        open_datasets([tmp_path / "one", tmp_path / "one" / ".." / "one"])
