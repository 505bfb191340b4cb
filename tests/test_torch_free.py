"""Reading, preparing and opening data needs no torch, which takes seconds to import."""

import subprocess
import sys

import pytest

#: What each room does at most without torch.
PROGRAMS = {
    "recording": "import lfbt.recording",
    "signal": "from lfbt.signal import normalise; normalise(np.ones((2, 5), np.float32), 'record')",
    "io": """
from lfbt.io import read
np.save(folder / "a.npy", np.ones((2, 5)))
read(folder / "a.npy", leads="I,II", sampling_rate=500)
(folder / "a.csv").write_text("I,II\\n1,2\\n")
read(folder / "a.csv", sampling_rate=500)
from lfbt.sources.synthesis import write_ptbxl
write_ptbxl(folder, 1, 0)
read(folder / "records500/00000/00001_hr")
""",
    "sources": """
from lfbt.sources import SOURCES
SOURCES["synthetic"](records=2).listing(folder / "new")
""",
    "data": """
from lfbt.data.dataset import open_dataset, open_datasets
from lfbt.data.preparation import prepare_dataset
from lfbt.data.records import PrepareSettings
from lfbt.sources import Synthetic
settings = PrepareSettings(n_samples=64, workers=1)
prepare_dataset(Synthetic(records=30), "synthetic", folder / "from", folder / "to", settings)
dataset = open_datasets([folder / "to"])
dataset.batch(dataset.rows("train"), "record")
dataset[0]
""",
}


@pytest.mark.parametrize("room", PROGRAMS)
def test_room_does_not_import_torch(tmp_path, room):
    head = f"import sys; from pathlib import Path; import numpy as np; folder = Path({str(tmp_path)!r})\n"
    code = head + PROGRAMS[room] + "\nprint('torch' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "False\n"
