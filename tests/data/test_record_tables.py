"""The tables of a preparation."""

from pathlib import Path

import pytest

from lfbt.data.record_tables import KeptRecord, note_copies, write_dropped, write_records
from lfbt.sources.listing import Dropped, Entry


def kept(name, patient, hash, labels=()):
    return KeptRecord(name, Entry(name, patient, Path("from") / name, lambda _: pytest.fail("read"), labels), 0, hash)


def test_write_records_names_files_below_the_source(tmp_path):
    records = [kept("a", "p", "1", ("MI", "CD", "MI")), kept("b", "q", "2")]
    hash = write_records(tmp_path, records, ["train", "test"], Path("from"))
    header, *rows = (tmp_path / "records.csv").read_text().splitlines()
    assert rows == ["a,p,a,0,MI;CD,train,1", "b,q,b,0,,test,2"]
    assert header == "id,patient,file,piece,labels,split,hash"
    assert hash != write_records(tmp_path, records, ["train", "val"], Path("from"))


def test_write_dropped_names_files_elsewhere_as_they_are(tmp_path):
    write_dropped(tmp_path, [Dropped("a", "from/a", "flat"), Dropped("b", "else/b", "noise")], Path("from"))
    assert (tmp_path / "dropped.csv").read_text() == "id,file,reason\na,a,flat\nb,else/b,noise\n"


def test_note_copies_of_other_patients_only():
    records = [kept("a", "p", "1"), kept("b", "p", "1"), kept("c", "q", "1"), kept("d", "r", "2")]
    assert [(note.id, note.reason) for note in note_copies(records)] == [
        ("c", "noted: copy of another patient's record: a")
    ]
