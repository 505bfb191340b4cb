"""The hash of the table of records: what it is of, and that a table that was changed is refused."""

import csv
import hashlib

import numpy as np
import pytest

from lfbt.audit.checks import CheckSettings, check
from lfbt.data.layouts import open_dataset
from lfbt.data.preparation import prepare
from lfbt.data.record_hash import COLUMNS, hash_rows, hash_table
from lfbt.errors import LfbtError

HEADER = "id,patient,file,piece,labels,split,hash\n"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    place = tmp_path_factory.mktemp("prepared")
    prepare("synthetic", place / "download", place / "data", records=30, n_samples=64, workers=1)
    return place / "data"


def edited(prepared, folder, change):
    """A copy of the data set, the cells of its table changed in place."""
    folder.mkdir()
    for name in ("signals.npy", "dataset.json"):
        (folder / name).write_bytes((prepared / name).read_bytes())
    with (prepared / "records.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    change(rows)
    with (folder / "records.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    return folder


def exchange_labels(rows):
    other = next(row for row in rows if row["labels"] != rows[0]["labels"])
    rows[0]["labels"], other["labels"] = other["labels"], rows[0]["labels"]


def test_hash_rows_is_sha256_of_joined_cells():
    assert hash_rows([["1", "a,b"], ["2", ""]]) == hashlib.sha256(b"1,a,b\n2,").hexdigest()


@pytest.mark.parametrize(
    "rows",
    [
        "1,p,f,0,A,train,h\n2,p,f,0,B,test,h\n",
        '1,"p,q",f,0,A,train,h\n',
        "1,p,f,0,A,train,h\r\n",
        "1,p,é,0,A,train,h\n",
    ],
)
def test_hash_table_is_that_of_its_cells_however_they_are_written(tmp_path, rows):
    path = tmp_path / "records.csv"
    path.write_bytes((HEADER + rows).encode())
    assert hash_table(path) == hash_rows(csv.reader(rows.splitlines()))


def test_hash_table_is_none_of_other_columns(tmp_path):
    (tmp_path / "records.csv").write_text("id,patient,labels,split\n1,p,A,train\n")
    assert hash_table(tmp_path / "records.csv") is None


@pytest.mark.parametrize("damage", [b"\xf9", b"\0", b'"' + b"x" * 200_000 + b'"'], ids=["no UTF-8", "zero", "long"])
def test_hash_table_of_a_damaged_table_is_another(tmp_path, damage):
    whole = b'a,"p, q",f,0,A,train,h\nb,p,f,0,A,train,h\n'
    path = tmp_path / "records.csv"
    hashes = []
    for rows in (whole, whole.replace(b"b,p", damage + b",p")):
        path.write_bytes(HEADER.encode() + rows)
        hashes.append(hash_table(path))
    assert None not in hashes
    assert hashes[0] != hashes[1]


def test_a_table_written_again_with_the_same_cells_is_opened(prepared, tmp_path):
    assert len(open_dataset(edited(prepared, tmp_path / "same", lambda rows: None))) == len(open_dataset(prepared))


@pytest.mark.parametrize(
    "change",
    [
        exchange_labels,
        lambda rows: rows[0].update(split="val" if rows[0]["split"] != "val" else "train"),
        lambda rows: rows[0].update(patient="another"),
    ],
    ids=["labels", "split", "patient"],
)
def test_open_dataset_refuses_and_check_finds_a_table_that_was_changed(prepared, tmp_path, change):
    folder = edited(prepared, tmp_path / "data", change)
    with pytest.raises(LfbtError, match=r"records.csv is not the one that was written: its hash is \w{64}"):
        open_dataset(folder)
    kinds = [finding.kind for finding in check(CheckSettings((folder,))).findings if finding.severity == "error"]
    assert "records.csv was changed" in kinds


def test_the_hash_in_the_message_is_the_one_to_write(prepared, tmp_path):
    folder = edited(prepared, tmp_path / "data", exchange_labels)
    manifest = (folder / "dataset.json").read_text()
    (folder / "dataset.json").write_text(
        manifest.replace(open_dataset(prepared).hash, hash_table(folder / "records.csv"))
    )
    assert len(open_dataset(folder)) == len(open_dataset(prepared))


def test_open_dataset_refuses_an_id_twice(prepared, tmp_path):
    folder = edited(prepared, tmp_path / "data", lambda rows: rows[1].update(id=rows[0]["id"]))
    with pytest.raises(LfbtError, match=r"is twice in records\.csv; prepare it again$"):
        open_dataset(folder)


@pytest.mark.parametrize("change", ["reversed", "fortran order", "exchanged"])
def test_check_refuses_signals_that_were_changed(prepared, tmp_path, change):
    folder = edited(prepared, tmp_path / "data", lambda rows: None)
    path = folder / "signals.npy"
    if change == "fortran order":
        path.write_bytes(path.read_bytes().replace(b"'fortran_order': False", b"'fortran_order': True ", 1))
    else:
        signals = np.load(path)
        np.save(path, signals[:, :, ::-1].copy() if change == "reversed" else signals[::-1].copy())
    with pytest.raises(LfbtError, match=r"is not the one that was written, whose hash records\.csv has"):
        check(CheckSettings((folder,)))
