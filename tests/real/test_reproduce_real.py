"""`lfbt reproduce --quick` on ../shared/data, and with the authors' published encoders."""

import contextlib
import io
import json
import re

import numpy as np
import openpyxl
import pandas as pd
import pytest
import wfdb
from tests.outputs import read_table

from lfbt.cli.app import main

pytestmark = pytest.mark.real

# The rhythms of Chapman-Shaoxing by the SNOMED CT codes of the Challenge: AF is flutter there.
RHYTHMS = {"426177001": "SB", "426783006": "SR", "427084000": "ST", "164890007": "AF"}
TINY = ("--quick", "--pretrain-epochs", "1", "--finetune-epochs", "1", "--batch-size", "16", "--workers", "1")


def reproduce(*words):
    """The messages of a command that must succeed."""
    messages = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(messages):
        main(["reproduce", *map(str, words), *TINY, "--device", "cpu"])
    return messages.getvalue()


def write_chapman(challenge, folder):
    """The recordings of Chapman-Shaoxing in the Challenge's form as figshare publishes them; how many there are."""
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(["FileName", "Rhythm"])
    headers = sorted(challenge.glob("JS0*.hea"))
    for header in headers:
        record = wfdb.rdrecord(str(header.with_suffix("")))
        (comment,) = (line for line in record.comments if line.startswith("Dx"))
        (rhythm,) = (RHYTHMS[code] for code in re.findall(r"\d+", comment) if code in RHYTHMS)
        table = pd.DataFrame(np.round(1000 * record.p_signal), columns=record.sig_name)
        table.to_csv(folder / f"{header.stem}.csv", index=False)
        sheet.append([header.stem, rhythm])
    book.save(folder / "Diagnostics.xlsx")
    return len(headers)


def test_all_of_it_on_what_is_there(shared_data, tmp_path):
    (tmp_path / "chapman").mkdir()
    n_chapman = write_chapman(shared_data / "challenge", tmp_path / "chapman")
    downloads = ["--ningbo", shared_data / "challenge", "--ptbxl", shared_data / "ptbxl"]
    downloads += ["--cpsc2018", shared_data / "cpsc2018", "--chapman", tmp_path / "chapman"]
    out = tmp_path / "out"
    messages = reproduce("--out", out, *downloads, "--most-records", 0, "--n-samples", 64, "--projector", "32-32")
    rows = read_table(out / "table.csv")
    assert len(rows) == 30
    # Records by shared/data/README.md; three of the 32 of Ningbo have flat leads, one mains hum.
    sizes = {
        row["data"]: [int(row[split]) for split in ("train", "val", "test")] for row in read_table(out / "sizes.csv")
    }
    assert sizes["Ningbo"] == [28, 0, 0]
    assert sizes["PTB-XL"] == [302, 58, 55]
    # One piece of CPSC2018 is interrupted.
    assert (sum(sizes["CPSC2018"]), sum(sizes["Chapman"])) == (24, n_chapman)
    assert {int(row["test_records"]) for row in rows if row["data"] == "PTB-XL"} == {55}
    assert "warning: PTB-XL: 415 records, not the 16272 of the paper (release 1.0.1); a part" in messages
    title = (out / "table.md").read_text().splitlines()[0]
    assert "NOT the paper's protocol" in title
    assert "SYNTHETIC" not in title


def test_the_authors_encoders_are_scored_without_pretraining(shared_data, tmp_path):
    weights = [shared_data / "weights" / f"encoder_group_gamma_{gamma}.pth" for gamma in (0.8, 0.6)]
    words = ("--encoders", *weights, "--ptbxl", shared_data / "ptbxl", "--n-samples", 2048, "--most-records", 60)
    reproduce("--out", tmp_path / "out", *words)
    rows = read_table(tmp_path / "out/table.csv")
    assert [(row["method"], row["gamma"]) for row in rows[:3]] == [("LP", "0.8"), ("LP", "0.6"), ("FT", "0.8")]
    for gamma in (0.8, 0.6):
        results = json.loads((tmp_path / "out/probe" / f"ptbxl-gamma-{gamma}-seed-0" / "results.json").read_text())
        assert results["encoder"]["checkpoint"] == f"encoder_group_gamma_{gamma}.pth"
    assert "encoders from elsewhere" in (tmp_path / "out/table.txt").read_text()
