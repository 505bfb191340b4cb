"""Preparing all of ../shared/data by the command line, against reads of the raw files that do not pass through lfbt."""

import csv
import json
from collections import Counter

import numpy as np
import pytest
import scipy.io
import scipy.signal

from lfbt.cli.app import main
from lfbt.data.layouts import open_dataset

pytestmark = pytest.mark.real

PAPER_ROWS = (1, 2, 6, 7, 8, 9, 10, 11)


def prepare(source, folder, target, *options):
    """The manifest, the records and the dropped, after `lfbt prepare`."""
    main(["prepare", source, str(folder), str(target), "--workers", "1", *options])
    tables = []
    for name in ("records.csv", "dropped.csv"):
        with (target / name).open(newline="") as file:
            tables.append(list(csv.DictReader(file)))
    return json.loads((target / "dataset.json").read_text()), *tables


def padded(signal, samples=5000):
    return np.concatenate([signal, np.zeros((len(signal), samples - signal.shape[1]))], axis=1)


def test_prepare_ptbxl_equals_the_raw_files(shared_data, tmp_path):
    manifest, records, dropped = prepare("ptbxl", shared_data / "ptbxl", tmp_path / "to")
    assert (manifest["records"], manifest["sampling_rate"], manifest["n_samples"]) == (415, 204.8, 2048)
    counts = manifest["counts"]
    assert {split: sum(of.values()) for split, of in counts.items()} == {"train": 302, "val": 58, "test": 55}
    assert sum(map(Counter, counts.values()), Counter()) == {"NORM": 290, "STTC": 51, "CD": 37, "MI": 31, "HYP": 6}
    # Two patients of PTB-XL have one signal.
    noted = [(row["id"], row["reason"]) for row in dropped if row["reason"].startswith("noted")]
    assert noted == [("463", "noted: copy of another patient's record: 145")]
    left_out = Counter(row["reason"].split(":")[0] for row in dropped)
    assert left_out == {"several labels": 73, "no label": 12, "noted": 1}
    signals = np.load(tmp_path / "to" / "signals.npy", mmap_mode="r")
    assert signals.shape == (415, 8, 2048)
    for row in (0, 200, 414):
        file = shared_data / "ptbxl" / records[row]["file"]
        steps = np.fromfile(file.with_suffix(".dat"), "<i2").reshape(-1, 12).T[list(PAPER_ROWS)]
        expected = scipy.signal.resample(steps / 1000, 2048, axis=1)
        np.testing.assert_allclose(signals[row], expected, rtol=0, atol=5e-6)


def test_prepare_challenge_keeps_all_but_flat_records_and_short_pieces(shared_data, tmp_path):
    folder = shared_data / "challenge"
    manifest, records, dropped = prepare("challenge", folder, tmp_path / "to")
    short = [row for row in dropped if row["reason"].startswith("short")]
    assert len(short) == 8
    noted = [row for row in dropped if row["reason"].startswith("noted")]
    assert [(row["id"], row["reason"]) for row in noted] == [
        ("E07510", "noted: copy of another patient's record: E07509")
    ]
    dropped = [row for row in dropped if row not in short and row not in noted]
    assert {row["id"]: row["reason"] for row in dropped} == {
        "JS20004": "flat: V2,V4,V6",
        "JS20007": "hum: V6",
        "JS20008": "flat: V2,V4,V6",
        "JS45551": "flat: V4,V5,V6",
    }
    kept = {row["patient"] for row in records}
    assert len(kept) == 104
    assert kept == {path.stem for path in folder.glob("*.hea")} - {row["id"] for row in dropped}
    # The headers whose record name carries the extension.
    odd = {path.stem for path in folder.glob("*.hea") if ".mat" in path.read_text().split()[0]}
    assert len(odd) == 7
    assert odd <= kept
    pieces = Counter(row["patient"] for row in records)
    for path in folder.glob("*.hea"):
        words = path.read_text().splitlines()[0].split()
        if path.stem in kept:
            whole, rest = divmod(int(words[3]), 10 * int(words[2]))
            assert pieces[path.stem] == whole + (rest >= 5 * int(words[2]))
    assert len(open_dataset(tmp_path / "to")) == manifest["records"] == len(records)


def test_prepare_cpsc2018_cuts_pieces_that_inherit_the_label(shared_data, tmp_path):
    manifest, records, dropped = prepare("cpsc2018", shared_data / "cpsc2018", tmp_path / "to", "--n-samples", "5000")
    assert Counter(row["reason"].split(":")[0] for row in dropped) == {
        "file absent": 6867,
        "short": 4,
        "interrupted": 1,
    }
    with (shared_data / "cpsc2018" / "REFERENCE.csv").open(newline="") as file:
        code_of = {row["Recording"]: int(row["First_label"]) for row in csv.DictReader(file)}
    signals = np.load(tmp_path / "to" / "signals.npy")
    row = 0
    for number in range(1980, 1990):
        name = f"A{number}"
        data = scipy.io.loadmat(shared_data / "cpsc2018" / f"{name}.mat")["ECG"]["data"][0, 0]
        pieces = [data[:, start : start + 5000] for start in range(0, data.shape[1], 5000)]
        n_pieces = len(pieces)
        pieces = [piece for piece in pieces if piece.shape[1] >= 2500]
        for piece, signal in enumerate(pieces):
            if (name, piece) == ("A1988", 3):
                continue  # V6 does not move for four seconds
            expected = padded(signal[list(PAPER_ROWS)]).astype(np.float32)
            np.testing.assert_array_equal(signals[row], expected)
            found = records[row]
            assert (found["patient"], found["piece"]) == (name, str(piece))
            assert found["id"] == (name if n_pieces == 1 else f"{name}-{piece}")
            assert found["labels"] == manifest["classes"][code_of[name] - 1]
            row += 1
    assert row == len(records) == 20
    assert {len({r["split"] for r in records if r["patient"] == name}) for name in code_of} == {0, 1}


def test_prepare_cinc2011_drops_what_is_flat_or_saturated(shared_data, tmp_path):
    folder = shared_data / "cinc2011"
    options = ("--labels", "folders", "--n-samples", "500")
    manifest, records, dropped = prepare("folder", folder, tmp_path / "to", *options, "--allow-implausible")
    kept = Counter(row["labels"] for row in records)
    assert kept == {"acceptable": 760, "unacceptable": 7}
    assert manifest["dropped"] == {"flat": 22, "saturated": 4, "interrupted": 2, "noise": 1, "oversized": 2}
    names = ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"]

    def leads_of(file):
        """The leads asked for with the file's own steps of 5 µV."""
        header = (folder / file).read_text().splitlines()
        assert [line.split()[-1] for line in header[1:13]] == names
        steps = np.fromfile((folder / file).with_suffix(".dat"), "<i2").reshape(-1, 12).T
        return {names[row]: steps[row].astype(int) for row in PAPER_ROWS}

    def flat(leads):
        return [name for name, lead in leads.items() if lead.max() - lead.min() <= 1]

    def rests_at_an_extreme(lead):
        ends = np.flatnonzero(np.diff(lead, prepend=lead[0] - 1, append=lead[-1] - 1))
        runs = zip(lead[ends[:-1]], np.diff(ends), strict=True)
        return any(length >= 100 and value in (lead.min(), lead.max()) for value, length in runs)

    for row in dropped:
        reason, _, named = row["reason"].partition(": ")
        leads = leads_of(row["file"])
        if reason == "flat":
            assert named.split(",") == flat(leads)
        elif reason == "saturated":
            assert flat(leads) == []
            assert all(rests_at_an_extreme(leads[name]) for name in named.split(","))
    assert not any(flat(leads_of(row["file"])) for row in records)


def test_prepare_cinc2011_drops_what_no_ecg_spans(shared_data, tmp_path):
    """Electrodes that lose contact for most of the time, or jump: steps of 5 µV as the files have them."""
    folder = shared_data / "cinc2011" / "acceptable"
    _, records, dropped = prepare("folder", folder, tmp_path / "to", "--n-samples", "500")

    def spans_of(file):
        steps = np.fromfile((folder / file).with_suffix(".dat"), "<i2").reshape(-1, 12).T[list(PAPER_ROWS)]
        return np.ptp(steps.astype(int), axis=1) / 200

    implausible = [row["file"] for row in dropped if row["reason"].startswith("implausible")]
    names = ("2140454", "2319354", "2362692", "2539535", "2651374", "2653435")
    assert implausible == [f"{name}.hea" for name in names]
    assert min(spans_of(file).max() for file in implausible) > 30
    # 33 of 773 have a lead that spans more; most for less than a second.
    assert sum(spans_of(row["file"]).max() > 30 for row in records) == 33 - len(names) - 1
    assert len(records) + len(dropped) == 773
