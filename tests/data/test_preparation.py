"""Preparing a data set: against a literal pipeline, what is dropped and why, splits, all or nothing."""

import dataclasses
import hashlib
import json
import multiprocessing
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import scipy.signal
from tests.data.helpers import CLASSES, LABELLED, SETTINGS, GivenSource, ecg, entry, make, settings, write_ecg
from tests.outputs import contents, read_table

import lfbt
from lfbt.audit.checks import CheckSettings, check
from lfbt.data.journal import Journal
from lfbt.data.layouts import open_dataset
from lfbt.data.manifest import DatasetManifest
from lfbt.data.preparation import prepare, prepare_dataset
from lfbt.data.records import PrepareSettings
from lfbt.data.splits import split_by_patient
from lfbt.errors import FinishedError, LfbtError, UnreadableError
from lfbt.recording import PAPER_LEADS, STANDARD_LEADS, Recording
from lfbt.sources import Folder, PtbXl, Synthetic
from lfbt.sources.listing import Dropped, Listing
from lfbt.voltages import find_implausible_leads


def test_prepare_writes_the_signals_of_the_literal_pipeline(tmp_path):
    source = tmp_path / "from"
    order = ("V6", "aVF", "V1", "II", "V3", "aVL", "V2", "I", "V5", "aVR", "V4", "III")
    whole, coarse, long, fast = ecg(1), ecg(2), ecg(3, 11_000), ecg(5, 6000)
    write_ecg(source / "a", whole[[STANDARD_LEADS.index(lead) for lead in order]], order)
    # Half the rate, I and III in place of II, steps of 5 µV.
    kept = ("III", "I", "V1", "V2", "V3", "V4", "V5", "V6")
    coarse = np.round(coarse[:, ::2] * 200) / 200
    write_ecg(source / "b", coarse[[STANDARD_LEADS.index(lead) for lead in kept]], kept, rate=250, gain=200)
    write_ecg(source / "c", long)
    # Twice the rate and shorter than ten seconds.
    write_ecg(source / "d", fast * 1000, rate=1000, gain=1, unit="uV")
    report = prepare_dataset(Folder(), "folder", source, tmp_path / "to", settings(n_samples=512, shortest=0.0))

    def rows(signal, names=STANDARD_LEADS):
        by_name = dict(zip(names, signal, strict=True))
        if "II" not in by_name:
            by_name["II"] = by_name["I"] + by_name["III"]
        return np.array([by_name[lead] for lead in ("II", "III", "V1", "V2", "V3", "V4", "V5", "V6")])

    def padded(signal, samples):
        return np.concatenate([signal, np.zeros((8, samples - signal.shape[1]))], axis=1)

    coarse_rows = rows(coarse[[STANDARD_LEADS.index(lead) for lead in kept]], kept)
    expected = {
        "a": rows(whole),
        "b": coarse_rows,
        "c-0": rows(long)[:, :5000],
        "c-1": rows(long)[:, 5000:10_000],
        "c-2": padded(rows(long)[:, 10_000:], 5000),
        "d": padded(rows(fast), 10_000),
    }
    records = read_table(tmp_path / "to" / "records.csv")
    assert [row["id"] for row in records] == list(expected)
    signals = np.load(tmp_path / "to" / "signals.npy", mmap_mode="r")
    assert (signals.shape, signals.dtype, report.records, report.patients) == ((6, 8, 512), np.float32, 6, 4)
    for found, signal in zip(signals, expected.values(), strict=True):
        np.testing.assert_allclose(found, scipy.signal.resample(signal, 512, axis=1), rtol=0, atol=2e-6)


def test_prepare_gives_mv_whatever_the_unit_of_files(tmp_path):
    for name, scale, unit in (("mv", 1, "mV"), ("uv", 1000, "uV"), ("v", 1e-3, "V")):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "a.npy", ecg(1) * scale)
        source = Folder(file_leads=",".join(STANDARD_LEADS), file_sampling_rate=500, file_unit=unit)
        prepare_dataset(source, "folder", tmp_path / name, tmp_path / f"to-{name}", SETTINGS)
    one, *others = (np.load(tmp_path / f"to-{name}" / "signals.npy") for name in ("mv", "uv", "v"))
    for other in others:
        np.testing.assert_allclose(other, one, rtol=1e-6, atol=1e-7)


def test_prepare_writes_the_table_of_records(tmp_path):
    entries = (*LABELLED[:2], entry("long", ecg(7, 7000), labels=("CD",)), entry("q", labels=("MI",)))
    make(tmp_path / "to", *entries, classes=CLASSES, shortest=4.0)
    rows = read_table(tmp_path / "to" / "records.csv")
    assert list(rows[0]) == ["id", "patient", "file", "piece", "labels", "split", "hash"]
    found = [(row["id"], row["patient"], row["file"], row["piece"], row["labels"]) for row in rows]
    assert found == [
        ("r0", "p0", "r0.hea", "0", "NORM"),
        ("r1", "p0", "r1.hea", "0", "MI"),
        ("long-0", "long", "long.hea", "0", "CD"),
        ("long-1", "long", "long.hea", "1", "CD"),
        ("q", "q", "q.hea", "0", "MI"),
    ]
    signals = np.load(tmp_path / "to" / "signals.npy")
    assert [row["hash"] for row in rows] == [hashlib.sha256(signal.tobytes()).hexdigest() for signal in signals]


def test_prepare_writes_the_manifest(tmp_path):
    report = make(tmp_path / "to", *LABELLED, entry("x", labels=CLASSES[:2]), entry("y"), classes=CLASSES)
    manifest = json.loads((tmp_path / "to" / "dataset.json").read_text())
    rows = read_table(tmp_path / "to" / "records.csv")
    assert manifest["leads"] == list(PAPER_LEADS)
    assert (manifest["sampling_rate"], manifest["n_samples"], manifest["unit"]) == (12.8, 128, "mV")
    assert manifest["lfbt_version"] == lfbt.__version__
    assert (manifest["label_rule"], manifest["classes"]) == ("as given", list(CLASSES))
    assert (manifest["records"], manifest["patients"]) == (24, 12)
    assert manifest["dropped"] == {"several labels": 1, "no label": 1}
    counted = Counter((row["split"], row["labels"]) for row in rows)
    assert {(split, name): n for split, of in manifest["counts"].items() for name, n in of.items() if n} == counted
    assert set(manifest["counts"]) == {"train", "val", "test"}
    assert all(list(of) == list(CLASSES) for of in manifest["counts"].values())
    assert manifest["synthetic"] is False
    assert (manifest["source"]["name"], manifest["source"]["folder"]) == ("given", "from")
    assert manifest["settings"]["duration"] == 10
    lines = "\n".join(",".join(row.values()) for row in rows)
    assert manifest["hash"] == hashlib.sha256(lines.encode()).hexdigest()
    assert (report.records, report.patients, report.counts) == (24, 12, manifest["counts"])
    assert (report.dropped, report.label_rule) == (manifest["dropped"], "as given")


def test_prepare_lists_what_is_dropped_with_its_reason(tmp_path):
    nan, flat, clipped, late = (ecg(1, samples).copy() for samples in (5000, 5000, 5000, 15_000))
    nan[6, 100] = np.nan
    nan[0] = np.nan
    flat[[2, 7]] = 1.0
    clipped[11, 2000:2200] = 9.0
    late[8, 5001] = np.inf
    late[8, 10_000:] = 0
    limb = Recording(ecg(1)[:6].astype(np.float32), 500.0, STANDARD_LEADS[:6])
    listed = Dropped("absent", "from/absent.hea", "file absent")
    report = make(
        tmp_path / "to",
        entry("nan", nan),
        entry("flat", flat),
        entry("clipped", clipped),
        entry("late", late),
        entry("limb", limb),
        entry("good", ecg(2)),
        dropped=[listed],
    )
    reasons = [(row["id"], row["file"], row["reason"]) for row in read_table(tmp_path / "to" / "dropped.csv")]
    assert reasons == [
        ("absent", "absent.hea", "file absent"),
        ("nan", "nan.hea", "not finite: V1"),
        ("flat", "flat.hea", "flat: III,V2"),
        ("clipped", "clipped.hea", "saturated: V6"),
        ("late", "late.hea", "not finite: V3 (piece 2 of 3)"),
        ("late", "late.hea", "flat: V3 (piece 3 of 3)"),
        ("limb", "limb.hea", "absent lead V1,V2,V3,V4,V5,V6 (the recording has I,II,III,aVR,aVL,aVF)"),
    ]
    assert [row["id"] for row in read_table(tmp_path / "to" / "records.csv")] == ["late-0", "good"]
    assert report.dropped == {
        "not finite": 2,
        "flat": 2,
        "file absent": 1,
        "saturated": 1,
        "absent lead V1,V2,V3,V4,V5,V6": 1,
    }


def test_prepare_writes_an_empty_table_when_nothing_is_dropped(tmp_path):
    make(tmp_path / "to", entry("a"))
    assert (tmp_path / "to" / "dropped.csv").read_text() == "id,file,reason\n"


def test_prepare_drops_or_keeps_records_with_several_labels(tmp_path):
    entries = (*LABELLED, entry("both", labels=("MI", "CD")), entry("none"))
    make(tmp_path / "single", *entries, classes=CLASSES)
    assert len(open_dataset(tmp_path / "single")) == 24
    lost = {row["id"]: row["reason"] for row in read_table(tmp_path / "single" / "dropped.csv")}
    assert lost == {"both": "several labels: MI;CD", "none": "no label"}
    report = make(tmp_path / "multi", *entries, classes=CLASSES, keep_multi_label=True)
    dataset = open_dataset(tmp_path / "multi")
    assert dict(zip(dataset.ids, dataset.labels, strict=True))["both"] == ("MI", "CD")
    assert sum(sum(of.values()) for of in report.counts.values()) == 26
    assert report.dropped == {"no label": 1}


def test_prepare_makes_all_train_without_classes(tmp_path):
    report = make(tmp_path / "to", *(entry(str(n)) for n in range(5)))
    assert open_dataset(tmp_path / "to").split.tolist() == ["train"] * 5
    assert report.counts == {"train": {"": 5}, "val": {"": 0}, "test": {"": 0}}


def test_prepare_keeps_an_official_split(tmp_path):
    splits = ["train", "test", "val", "train"]
    entries = [entry(f"r{n}", patient=f"p{n % 3}", labels=("MI",), split=split) for n, split in enumerate(splits)]
    make(tmp_path / "labelled", *entries, classes=CLASSES)
    make(tmp_path / "unlabelled", *(dataclasses.replace(entry, labels=()) for entry in entries))
    for name in ("labelled", "unlabelled"):
        assert open_dataset(tmp_path / name).split.tolist() == splits


def test_prepare_splits_by_patient_stratified_and_seeded(tmp_path):
    patients = [f"p{n // 2}" for n in range(24)]
    labels = [CLASSES[n % 3] for n in range(24)]
    for seed in (0, 1):
        make(tmp_path / str(seed), *LABELLED, classes=CLASSES, split_seed=seed, test_fraction=0.3, val_fraction=0.2)
        found = open_dataset(tmp_path / str(seed)).split.tolist()
        assert found == split_by_patient(patients, labels, 0.3, 0.2, seed)
        assert Counter(found) == {"train": 12, "val": 4, "test": 8}
    assert contents(tmp_path / "0")["records.csv"] != contents(tmp_path / "1")["records.csv"]
    assert contents(tmp_path / "0")["signals.npy"] == contents(tmp_path / "1")["signals.npy"]


def test_prepare_keeps_pieces_of_a_recording_in_one_split(tmp_path):
    entries = [entry(str(n), ecg(n, 12_500), labels=(CLASSES[n % 2],)) for n in range(10)]
    make(tmp_path / "to", *entries, classes=CLASSES)
    rows = read_table(tmp_path / "to" / "records.csv")
    assert len(rows) == 30
    assert Counter(len({row["split"] for row in rows if row["patient"] == str(n)}) for n in range(10)) == {1: 10}


def test_prepare_refuses_splits_that_cannot_be(tmp_path):
    with pytest.raises(
        LfbtError, match=r"patient p is in split train and, with record b, in test; .*correct the split"
    ):
        make(tmp_path / "to", entry("a", patient="p", split="train"), entry("b", patient="p", split="test"))
    with pytest.raises(LfbtError, match="record b has no split while others have one"):
        make(tmp_path / "to", entry("a", split="train"), entry("b"))
    with pytest.raises(LfbtError, match="1 patient is too few"):
        make(tmp_path / "to", entry("a", labels=("MI",)), entry("b", labels=("MI",)), classes=CLASSES)
    assert list(tmp_path.iterdir()) == []


def test_prepare_stops_at_an_unreadable_file_or_drops_it(tmp_path):
    entries = (entry("a"), entry("b", UnreadableError("file b.hea: no good")), entry("c", ecg(2)))
    with pytest.raises(UnreadableError, match=r"^file b\.hea: no good; repair or remove it, or .* --skip-unreadable$"):
        make(tmp_path / "to", *entries)
    assert list(tmp_path.iterdir()) == []
    report = make(tmp_path / "to", *entries, skip_unreadable=True)
    assert [row["id"] for row in read_table(tmp_path / "to" / "records.csv")] == ["a", "c"]
    (lost,) = read_table(tmp_path / "to" / "dropped.csv")
    assert (lost["id"], lost["reason"]) == ("b", "unreadable: file b.hea: no good")
    assert report.dropped == {"unreadable": 1}


@pytest.mark.parametrize("layout", ["packed", "npy"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_prepare_leaves_nothing_incomplete(tmp_path, layout, error):
    with pytest.raises(error):
        make(tmp_path / "sub" / "to", entry("a"), entry("b"), entry("c", error()), layout=layout)
    assert [path.name for path in tmp_path.rglob("*")] == ["sub"]


def test_prepare_gives_the_reasons_when_no_record_is_left(tmp_path):
    flat = np.zeros((12, 5000))
    with pytest.raises(LfbtError, match=r"^from: no record is left; dropped: 2 flat, 1 file absent \(first: x: file"):
        make(tmp_path / "to", entry("a", flat), entry("b", flat), dropped=[Dropped("x", "x.hea", "file absent")])
    with pytest.raises(LfbtError, match=r"^from: source given found no recordings there"):
        make(tmp_path / "to")
    assert list(tmp_path.iterdir()) == []


def test_prepare_leaves_an_occupied_target_as_it_is(tmp_path):
    make(tmp_path / "to", entry("a"))
    before = contents(tmp_path)
    with pytest.raises(LfbtError, match="holds other results already"):
        make(tmp_path / "to", entry("b", ecg(2)))
    with pytest.raises(LfbtError, match="is a file"):
        make(tmp_path / "to" / "records.csv", entry("b", ecg(2)))
    assert contents(tmp_path) == before


def test_prepare_refuses_an_occupied_target_before_reading(tmp_path):
    class Unread:
        def listing(self, folder):
            pytest.fail("the source was read")

    (tmp_path / "mine").write_text("mine")
    with pytest.raises(LfbtError, match="holds other results already"):
        prepare_dataset(Unread(), "unread", Path("from"), tmp_path, SETTINGS)


def test_prepare_fills_an_empty_target(tmp_path):
    (tmp_path / "to").mkdir()
    make(tmp_path / "to", entry("a"))
    assert len(open_dataset(tmp_path / "to")) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["to"]


def test_prepare_gives_the_same_bytes_again(tmp_path):
    for name in "ab":
        make(tmp_path / name, *LABELLED, classes=CLASSES)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


@pytest.mark.parametrize(
    ("name", "damage"),
    [("signals.npy", lambda text: text[:-4]), ("records.csv", lambda text: text.replace(b",CD,", b",MI,"))],
)
def test_prepare_again_is_finished_unless_what_is_there_is_damaged(tmp_path, name, damage):
    make(tmp_path / "a", *LABELLED, classes=CLASSES)
    with pytest.raises(FinishedError):
        make(tmp_path / "a", *LABELLED, classes=CLASSES)
    file = tmp_path / "a" / name
    file.write_bytes(damage(before := file.read_bytes()))
    assert file.read_bytes() != before
    with pytest.raises(LfbtError, match=rf"{name}.*; or make the results anew with --overwrite$"):
        make(tmp_path / "a", *LABELLED, classes=CLASSES)
    (tmp_path / "a" / "dropped.csv").unlink()
    with pytest.raises(LfbtError, match=r"has dataset\.json, but no dropped\.csv any more; replace what is left"):
        make(tmp_path / "a", *LABELLED, classes=CLASSES)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"leads": ()}, "leads: none given"),
        ({"leads": ("II", "II")}, "leads: II is named twice"),
        ({"leads": ("II", "X")}, "leads: 'X' is not one of I,II,.*, which source given has"),
        ({"n_samples": 31}, r"n_samples: 31 is outside \[32, 10000000\]"),
        ({"duration": 0.0}, r"duration: 0\.0 is outside"),
        ({"duration": float("nan")}, "duration: nan"),
        ({"duration": 86400.0}, "duration: 86400"),
        ({"workers": 0}, "workers: 0"),
        ({"test_fraction": 1.0}, r"test_fraction: 1\.0 is outside \[0, 1\)"),
        ({"val_fraction": -0.1}, r"val_fraction: -0\.1"),
        ({"split_seed": -1}, "split_seed: -1"),
    ],
    ids=str,
)
def test_prepare_refuses_settings_out_of_range_by_name(tmp_path, changes, message):
    with pytest.raises(LfbtError, match=f"^{message}"):
        make(tmp_path / "to", entry("a"), **changes)
    assert list(tmp_path.iterdir()) == []


def test_prepare_accepts_other_lead_names_of_own_files(tmp_path):
    (tmp_path / "from").mkdir()
    np.save(tmp_path / "from" / "a.npy", ecg(1)[:2])
    source = Folder(file_leads="MCL1,X", file_sampling_rate=500)
    prepare_dataset(source, "folder", tmp_path / "from", tmp_path / "to", settings(leads=("X",)))
    assert open_dataset(tmp_path / "to").leads == ("X",)


def test_prepare_gives_another_hash_for_other_splits_or_labels(tmp_path):
    labelled, unlabelled = Synthetic(records=30, seed=1), Synthetic(records=30, seed=1, labels="none")
    hashes = set()
    for number, (source, lead) in enumerate([(labelled, "II"), (unlabelled, "II"), (labelled, "V1")]):
        settings = PrepareSettings(leads=(lead,), n_samples=64, workers=1)
        prepare_dataset(source, "synthetic", tmp_path / "from", tmp_path / str(number), settings)
        hashes.add(open_dataset(tmp_path / str(number)).hash)
    assert len(hashes) == 3


@pytest.mark.parametrize("part", ["records500", "records500/00000"])
def test_prepare_marks_synthetic_signals_whatever_source_reads_them(tmp_path, part):
    Synthetic(records=8, seed=1).listing(tmp_path / "from")
    settings = PrepareSettings(n_samples=64, workers=1)
    prepare_dataset(Folder(), "folder", tmp_path / "from" / part, tmp_path / "to", settings)
    assert open_dataset(tmp_path / "to").synthetic
    prepare_dataset(PtbXl(), "ptbxl", tmp_path / "from", tmp_path / "ptbxl", settings)
    assert open_dataset(tmp_path / "ptbxl").synthetic


@pytest.mark.parametrize(("scale", "unit"), [(1000, "µV"), (1e-3, "V"), (1e6, "nV")])
def test_prepare_refuses_voltages_of_another_unit_and_names_it(tmp_path, scale, unit):
    entries = [entry(name, ecg(number) * scale) for number, name in enumerate("abc")]
    with pytest.raises(
        LfbtError,
        match=rf"^from: the median lead spans .* outside \[0\.05, 10\]; .* likely in {unit}(, or raw counts)?\. ",
    ):
        make(tmp_path / "to", *entries)
    assert list(tmp_path.iterdir()) == []


def test_prepare_drops_a_record_with_a_lead_that_no_ecg_has(tmp_path):
    far = ecg(1).copy()
    far[7, 100] += 31
    report = make(tmp_path / "to", entry("a", ecg(0)), entry("b", far), entry("c", ecg(2)))
    assert report.dropped == {"implausible": 1}
    (lost,) = read_table(tmp_path / "to" / "dropped.csv")
    assert re.fullmatch(r"implausible: V2 spans 3\d(\.\d)? mV", lost["reason"])
    # A lead that is not asked for may have any.
    assert make(tmp_path / "other", entry("b", far), leads=("II", "V1")).records == 1


@pytest.mark.parametrize("scale", [1000, 0.02])
def test_prepare_keeps_implausible_voltages_when_told_to(tmp_path, scale):
    report = make(tmp_path / "to", entry("a", ecg(0) * scale), allow_implausible=True)
    assert report.records == 1
    assert DatasetManifest.load(tmp_path / "to").settings["allow_implausible"] is True


@pytest.mark.parametrize(("layout", "workers"), [("packed", 1), ("npy", 2)])
def test_prepare_that_is_killed_goes_on_with_the_next_recording(tmp_path, workers, layout):
    """SIGKILL at three places: the bytes of a preparation that was never stopped."""
    (tmp_path / "from").mkdir()
    for number in range(180):
        np.save(tmp_path / "from" / f"{number}.npy", ecg(number % 7, 5000 + 10 * number).astype(np.float32))
    options = ["--file-leads", ",".join(STANDARD_LEADS), "--file-sampling-rate", "500", "--n-samples", "64"]
    command = [sys.executable, "-m", "lfbt", "prepare", "folder", "from"]
    options += ["--workers", str(workers), "--layout", layout]
    subprocess.run([*command, "whole", *options], cwd=tmp_path, check=True, capture_output=True)
    journal = tmp_path / ".to.partial-folder" / "journal.jsonl"
    n_before = []
    for n_lines in (2, 50, 100):
        with subprocess.Popen([*command, "to", *options], cwd=tmp_path, stdout=subprocess.PIPE) as process:
            while process.poll() is None and (not journal.is_file() or journal.read_bytes().count(b"\n") < n_lines):
                time.sleep(0.001)
            process.kill()
            assert process.stdout is not None
            n_before += re.findall(rb"going on after (\d+) of 180", process.stdout.read())
    assert journal.is_file()
    done = subprocess.run([*command, "to", *options], cwd=tmp_path, check=True, capture_output=True, text=True)
    n_before += re.findall(r"going on after (\d+) of 180", done.stdout)
    assert [int(n) for n in n_before] == sorted({int(n) for n in n_before})
    assert len(n_before) == 3
    assert contents(tmp_path / "to") == contents(tmp_path / "whole")
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["from", "to", "whole"]


class StopError(Exception):
    """Raised to stop a preparation where it is."""


def test_prepare_does_not_go_on_with_other_settings_or_files(tmp_path):
    """What a killed process left is removed."""
    (tmp_path / "from").mkdir()
    files = [tmp_path / "from" / f"{number}.npy" for number in range(4)]
    for number, file in enumerate(files):
        np.save(file, ecg(number).astype(np.float32))
    source = Folder(file_leads=",".join(STANDARD_LEADS), file_sampling_rate=500)

    def killed():
        """Two recordings are done, and then the file system fails."""
        writer_of = Journal.append
        calls = []

        def append(self, prepared):
            writer_of(self, prepared)
            calls.append(prepared)
            if len(calls) == 2:
                shutil.copytree(tmp_path / ".to.partial-folder", tmp_path / "left")
                raise StopError

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Journal, "append", append)
            with pytest.raises(StopError):
                prepare_dataset(source, "folder", tmp_path / "from", tmp_path / "to", SETTINGS)
        (tmp_path / "left").rename(tmp_path / ".to.partial-folder")

    killed()
    prepare_dataset(source, "folder", tmp_path / "from", tmp_path / "to", settings(n_samples=64))
    assert open_dataset(tmp_path / "to").n_samples == 64
    shutil.rmtree(tmp_path / "to")
    killed()
    np.save(files[0], ecg(9).astype(np.float32))
    prepare_dataset(source, "folder", tmp_path / "from", tmp_path / "to", SETTINGS)
    prepare_dataset(source, "folder", tmp_path / "from", tmp_path / "again", SETTINGS)
    assert contents(tmp_path / "to") == contents(tmp_path / "again")
    killed_folder = tmp_path / ".to.partial-folder"
    assert not killed_folder.exists()


def test_prepare_announces_the_disk_that_it_takes_before_it_reads(tmp_path):
    told: list[str] = []
    entries = (entry("a"), entry("bad", UnreadableError("file bad: cannot be read")))
    with pytest.raises(UnreadableError):
        prepare_dataset(GivenSource(entries), "given", tmp_path / "from", tmp_path / "to", SETTINGS, told.append)
    assert told == [f"{tmp_path}/to: 2 recordings take 8.19 kB, more if some are cut in pieces."]


@pytest.mark.parametrize(
    ("source", "target"), [("from", "from/to"), ("to/from", "to"), ("from", "from"), ("from", "l/to")]
)
def test_prepare_refuses_folders_within_each_other(tmp_path, source, target):
    (tmp_path / "from").mkdir()
    (tmp_path / "l").symlink_to("from")
    with pytest.raises(LfbtError, match=f"{target}: lies in .*{source}, or that in it; name a folder apart from that"):
        prepare_dataset(Folder(), "folder", tmp_path / source, tmp_path / target, SETTINGS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["from", "l"]
    assert list((tmp_path / "from").iterdir()) == []


def test_what_resampling_adds_to_a_step_makes_no_prepared_record_implausible(tmp_path):
    signal = ecg(1)
    signal[7, 2100:2600] += 150
    make(tmp_path / "to", entry("a", signal), entry("b"))
    dataset = open_dataset(tmp_path / "to")
    (record,) = dataset.batch(np.array([0]), "none")
    assert "V2 spans 1" in str(find_implausible_leads(record, dataset.leads, dataset.sampling_rate))
    dataset.check_voltages()
    report = check(CheckSettings((tmp_path / "to",)))
    assert not [finding.message for finding in report.findings if finding.kind == "implausible voltage"]
    # Those that were not compared by prepare are by these.
    with pytest.raises(LfbtError, match="record a: V2 spans"):
        dataclasses.replace(dataset, voltages_checked=False).check_voltages()


def test_prepare_reports_what_was_assumed(tmp_path):
    @dataclasses.dataclass(frozen=True)
    class Assuming:
        def listing(self, folder):
            return Listing([entry("a")], (), "none", assumption="the unit is mV")

    report = prepare_dataset(Assuming(), "given", tmp_path / "from", tmp_path / "to", SETTINGS)
    assert report.assumption == open_dataset(tmp_path / "to").manifest.assumption == "the unit is mV"


@pytest.mark.parametrize("place", ["", "sub", "sub/deep"])
def test_prepare_finds_the_marker_of_synthetic_recordings_above_them(tmp_path, place):
    folder = tmp_path / "from" / "sub" / "deep"
    write_ecg(folder / "a", ecg(1))
    (tmp_path / "from" / place / "synthetic.json").write_text("{}")
    for source in (tmp_path / "from", folder):
        target = tmp_path / f"to-{source.name}"
        prepare_dataset(Folder(), "folder", source, target, settings())
        assert open_dataset(target).synthetic
    (tmp_path / "from" / place / "synthetic.json").unlink()
    prepare_dataset(Folder(), "folder", folder, tmp_path / "real", settings())
    assert not open_dataset(tmp_path / "real").synthetic


def _prepare_in_a_daemon(folder, said):
    try:
        prepare("synthetic", folder / "download", folder / "data", workers=2)
    except LfbtError as error:
        said.put(str(error))


def test_prepare_refuses_processes_in_a_daemon_before_it_writes(tmp_path):
    context = multiprocessing.get_context("spawn")
    said = context.Queue()
    process = context.Process(target=_prepare_in_a_daemon, args=(tmp_path, said), daemon=True)
    process.start()
    message = said.get(timeout=60)
    process.join()
    assert message == "workers: 2, but this process is a daemon, which may start no others; give 1"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "meant"),
    [("n_record", "records"), ("sead", "seed"), ("n_sample", "n_samples"), ("label", "labels")],
)
def test_prepare_suggests_options_of_the_source_and_of_all_sources(tmp_path, name, meant):
    with pytest.raises(LfbtError, match=rf"^{name}: is no setting; did you mean {meant}\?$"):
        prepare("synthetic", tmp_path / "download", tmp_path / "data", **{name: 3})


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("synthetic", None, "data"), "^folder: None is not a path$"),
        (("synthetic", "download", []), r"^target: \[\] is not a path$"),
        (([], "download", "data"), r"^source: \[\] is not one of ptbxl, .*, synthetic$"),
        ((None, "download", "data"), "^source: None is not one of ptbxl"),
        (("ptx", "download", "data"), "^source: 'ptx' is not one of ptbxl"),
    ],
)
def test_prepare_refuses_what_is_no_source_or_path(words, message):
    with pytest.raises(LfbtError, match=message):
        prepare(*words)


def test_prepare_of_npy_goes_on_after_a_kill_before_the_first_record_was_kept(tmp_path):
    """Its folder of samples is there, and empty."""
    (tmp_path / "from").mkdir()
    np.save(tmp_path / "from" / "a.npy", ecg(0).astype(np.float32))
    (tmp_path / ".to.partial-folder" / "samples").mkdir(parents=True)
    source = Folder(file_leads=",".join(STANDARD_LEADS), file_sampling_rate=500)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lfbt.data.preparation._can_go_on", lambda *_: True)
        prepare_dataset(source, "folder", tmp_path / "from", tmp_path / "to", settings(layout="npy"))
    assert len(open_dataset(tmp_path / "to")) == 1


def test_prepare_notes_records_with_the_signal_of_another_patient(tmp_path):
    for name, seed in (("a", 1), ("b", 2), ("sub/c", 1), ("sub/d", 1), ("sub/e", 1)):
        write_ecg(tmp_path / "from" / name, ecg(seed))
    (tmp_path / "t.csv").write_text("record,patient\na,1\nb,2\nsub/c,3\nsub/d,1\nsub/e,4\n")
    source = Folder(labels="table", table=tmp_path / "t.csv")
    report = prepare_dataset(source, "folder", tmp_path / "from", tmp_path / "to", settings())
    assert (report.records, report.notes) == (5, {"copy of another patient's record": 2})
    dropped = [(row["id"], row["reason"]) for row in read_table(tmp_path / "to" / "dropped.csv")]
    reason = "noted: copy of another patient's record: a"
    assert [row for row in dropped if row[1].startswith("noted")] == [("sub/c", reason), ("sub/e", reason)]
