"""``lfbt check``: what it prints and its status; `tests/audit` has the checks themselves."""

import re
import shutil

import pytest
from tests.cli.helpers import everything, output_of, refused, run


def test_check_prints_records_findings_and_where_it_writes_them(place, tmp_path):
    output = output_of("check", place / "data", "--out", tmp_path / "check")
    assert re.match(r"data: \d+ records of \d+ patients \(train \d+, val \d+, test \d+\)\n", output)
    *_, count, folder = output.splitlines()
    assert count.startswith("0 errors, ")
    assert folder == str(tmp_path / "check")
    assert "check.json" in everything(tmp_path / "check")


def test_check_ends_with_status_1_where_it_finds_an_error(place, tmp_path):
    """A patient of two splits is one."""
    data = tmp_path / "data"
    shutil.copytree(place / "data", data)
    lines = (data / "records.csv").read_text().splitlines()
    splits = [line.split(",")[-2] for line in lines]
    row = splits.index("train", 1)
    other = next(n for n, split in enumerate(splits) if split == "test")
    cells, others = lines[row].split(","), lines[other].split(",")
    lines[other] = ",".join([others[0], cells[1], *others[2:]])
    (data / "records.csv").write_text("\n".join(lines) + "\n")
    status, output, err = run("check", data)
    assert (status, err) == (1, "")
    assert not output.splitlines()[-1].startswith("0 errors")


@pytest.mark.parametrize(
    ("words", "message"),
    [((), "data: none given; name at least one data set"), (("absent",), "absent is not a folder")],
    ids=["no data", "absent data"],
)
def test_check_refuses_in_one_line(words, message):
    assert message in refused("check", *words)


def test_check_leaves_an_occupied_folder_as_it_is(place, tmp_path):
    (tmp_path / "mine").write_text("mine")
    assert "holds other results already" in refused("check", place / "data", "--out", tmp_path)
    assert everything(tmp_path) == ["mine"]
