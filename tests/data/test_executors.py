"""Where recordings are prepared makes no difference, and a fault in a worker ends the preparation."""

import pytest
from tests.data.helpers import ecg, settings, write_ecg
from tests.outputs import contents

from lfbt.data.preparation import prepare_dataset
from lfbt.errors import UnreadableError
from lfbt.sources import Folder


def write_folder(folder, n=6):
    for number in range(n):
        write_ecg(folder / f"r{number}", ecg(number, 4000 + 2000 * number))
    flat = ecg(1).copy()
    flat[1] = 0
    write_ecg(folder / "flat", flat)


def test_prepare_entries_gives_the_same_for_any_number_of_workers(tmp_path):
    write_folder(tmp_path / "from")
    for workers in (1, 2):
        prepare_dataset(Folder(), "folder", tmp_path / "from", tmp_path / str(workers), settings(workers=workers))
    one, two = contents(tmp_path / "1"), contents(tmp_path / "2")
    assert set(one) == {"signals.npy", "records.csv", "dropped.csv", "dataset.json"}
    assert one == two


def test_prepare_entries_stops_at_a_fault_in_a_worker(tmp_path):
    write_folder(tmp_path / "from")
    (tmp_path / "from" / "r4.dat").write_bytes(b"cut")
    with pytest.raises(UnreadableError, match=r"^file .*r4\.hea: cannot be read .*; repair or remove it, or drop such"):
        prepare_dataset(Folder(), "folder", tmp_path / "from", tmp_path / "to", settings(workers=2))
    assert [path.name for path in tmp_path.iterdir()] == ["from"]
