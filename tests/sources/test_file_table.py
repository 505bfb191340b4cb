"""A table of what single files do not state: used by file, and refused where it does not fit."""

import numpy as np
import pytest
from tests.published_files import write

from lfbt.errors import LfbtError
from lfbt.sources import Folder
from lfbt.sources.file_table import read_file_table


def test_folder_reads_each_file_as_its_table_states(tmp_path):
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    (tmp_path / "from" / "b").mkdir(parents=True)
    np.save(tmp_path / "from" / "a.npy", array)
    np.save(tmp_path / "from" / "b" / "c.npy", array[::-1])
    write(tmp_path / "from" / "d.csv", "1.5,2\n3,4\n5,6\n")
    table = write(
        tmp_path / "from" / "files.csv",
        'file,leads,sampling_rate,unit\na.npy,"I,II",250,uV\nb/c.npy,"V1,V2",,\nd.csv,"aVR,aVL",1000,V\n',
    )
    listing = Folder(file_table=table, file_sampling_rate=500).listing(tmp_path / "from")
    found = {entry.id: entry.read() for entry in listing.entries}
    assert {name: (one.leads, one.sampling_rate) for name, one in found.items()} == {
        "a": (("I", "II"), 250),
        "b/c": (("V1", "V2"), 500),
        "d": (("aVR", "aVL"), 1000),
    }
    np.testing.assert_allclose(found["a"].signal, array / 1000)
    np.testing.assert_allclose(found["b/c"].signal, array[::-1])
    np.testing.assert_allclose(found["d"].signal, np.array([[1.5, 3, 5], [2, 4, 6]]) * 1000)
    assert listing.dropped == []


def test_folder_asks_for_what_the_table_leaves_open(tmp_path):
    for name in "ab":
        np.save(tmp_path / f"{name}.npy", np.zeros((2, 3)))
    table = write(tmp_path / "t.csv", 'file,leads\na.npy,"I,II"\n')
    with pytest.raises(LfbtError, match=r"^file_sampling_rate: .*a\.npy .*; file_leads: .*b\.npy .*; .*file_table$"):
        Folder(file_table=table).listing(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,rate\na.npy,5\n", "column 'rate' is not one of file, leads, sampling_rate, unit"),
        ("leads\nI\n", "no column file among leads"),
        ("file,unit\nz.npy,mV\n", r"'z\.npy' is no file of .*, such as a\.npy"),
        ("file,unit\na.npy,mV\na.npy,uV\n", r"a\.npy is named twice"),
        ("file,unit\na.npy,mm\n", r"file a\.npy: unit: 'mm' is not a voltage"),
        ("file,sampling_rate\na.npy,fast\n", r"file a\.npy: sampling_rate: 'fast' is not a number in Hz, such as 500"),
        ("file,sampling_rate\na.npy,-5\n", r"file a\.npy: sampling_rate: -5 Hz is not above 0"),
        ("file,sampling_rate\na.npy,nan\n", r"file a\.npy: sampling_rate: nan Hz is not above 0"),
        ('file,leads\na.npy,"I,I"\n', r"file a\.npy: .*I"),
    ],
)
def test_read_file_table_refuses_what_does_not_fit(tmp_path, text, message):
    with pytest.raises(LfbtError, match=message):
        read_file_table(write(tmp_path / "t.csv", text), [tmp_path / "a.npy"], tmp_path)
