"""Sex and age beside a data set: written where a source states them, read by id, refused where they are none."""

import numpy as np
import pytest

from lfbt.data.people import read_people, write_people
from lfbt.data.preparation import prepare_dataset
from lfbt.data.records import PrepareSettings
from lfbt.errors import LfbtError
from lfbt.sources import PtbXl
from lfbt.sources.synthesis import write_ptbxl


def test_people_are_read_as_written_in_the_order_of_ids(tmp_path):
    write_people(tmp_path, [("a", "female", 56.0), ("b", "", None), ("c", "male", None), ("d", "", 90.5)])
    people = read_people(tmp_path, ["d", "c", "b", "a", "e"])
    assert people is not None
    assert people.sex.tolist() == ["", "male", "", "female", ""]
    np.testing.assert_array_equal(people.age, [90.5, np.nan, np.nan, 56.0, np.nan])


def test_nothing_is_written_where_nothing_is_known(tmp_path):
    write_people(tmp_path, [("a", "", None)])
    assert list(tmp_path.iterdir()) == []
    assert read_people(tmp_path, ["a"]) is None


@pytest.mark.parametrize("line", ["a,other,5", "a,male,-1", "a,male,300", "a,male,x", "a", "a,male,inf"])
def test_table_that_is_none_is_refused_by_file(tmp_path, line):
    (tmp_path / "people.csv").write_text(f"id,sex,age\n{line}\n")
    with pytest.raises(LfbtError, match=r"people.csv: is no table of id, sex and age"):
        read_people(tmp_path, ["a"])


def test_prepare_writes_those_of_ptbxl_by_its_table(tmp_path):
    write_ptbxl(tmp_path / "download", 20, 0)
    (table,) = (tmp_path / "download").rglob("ptbxl_database.csv")
    head, *lines = table.read_text().splitlines()
    known = ["0,61", "1,300", ",", "1,", "0,nan"]
    more = [f"{line},{known[i % 5]}" for i, line in enumerate(lines)]
    table.write_text("\n".join([f"{head},sex,age", *more]) + "\n")
    prepare_dataset(PtbXl(), "ptbxl", tmp_path / "download", tmp_path / "to", PrepareSettings(n_samples=64, workers=1))
    first, *rest = (tmp_path / "to" / "people.csv").read_text().splitlines()
    assert first == "id,sex,age"
    expected = ["male,61", "female,90", None, "female,", "male,"]
    prepared = [line.split(",")[0] for line in (tmp_path / "to" / "records.csv").read_text().splitlines()[1:]]
    lines_of = [(id, expected[(int(id) - 1) % 5]) for id in prepared]
    assert rest == [f"{id},{line}" for id, line in lines_of if line]
    assert len(rest) > 5
