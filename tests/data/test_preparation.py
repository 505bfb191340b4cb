"""Preparing a data set: against a literal pipeline, what is dropped and why, splits, layouts, all or nothing."""

import csv
import dataclasses
import functools
import hashlib
import json
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import scipy.signal

import lfbt
from lfbt.data.dataset import open_dataset
from lfbt.data.preparation import prepare
from lfbt.data.records import PrepareSettings, prepare_entry
from lfbt.data.splits import split_by_patient
from lfbt.errors import LfbtError, UnreadableError
from lfbt.recording import PAPER_LEADS, STANDARD_LEADS, Recording
from lfbt.sources import Folder, PtbXl, Synthetic
from lfbt.sources.listing import Dropped, Entry, Listing
from lfbt.sources.synthesis import make_record

#: Small records, read in this process.
SETTINGS = PrepareSettings(n_samples=128, workers=1)


def settings(**changes):
    return dataclasses.replace(SETTINGS, **changes)


def ecg(number, samples=5000):
    """Twelve leads of a synthetic ECG in whole µV, as many samples as asked for."""
    signal = np.concatenate([make_record(0, 1 + number + part).signal for part in range(-(-samples // 5000))], axis=1)
    return np.round(signal[:, :samples] * 1000) / 1000


def write_wfdb(path, signal, leads=STANDARD_LEADS, rate=500, gain=1000, unit="mV"):
    """A WFDB record of 16-bit samples by hand; `signal` [leads, samples] is in `unit`."""
    steps = np.round(signal * gain).astype("<i2")
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{path.name} {len(leads)} {rate} {steps.shape[1]}"]
    lines += [
        f"{path.name}.dat 16 {gain}(0)/{unit} 16 0 {row[0]} 0 0 {lead}" for lead, row in zip(leads, steps, strict=True)
    ]
    path.with_suffix(".hea").write_text("\n".join(lines) + "\n")
    path.with_suffix(".dat").write_bytes(steps.T.tobytes())


@dataclasses.dataclass(frozen=True)
class Given:
    """A source that has what it is given."""

    entries: tuple[Entry, ...] = ()
    classes: tuple[str, ...] = ()
    dropped: tuple[Dropped, ...] = ()

    def listing(self, folder):
        return Listing(list(self.entries), self.classes, "as given", list(self.dropped))


def _read(path, recording):
    if isinstance(recording, BaseException):
        raise recording
    return recording


def entry(id, recording=None, patient="", labels=(), split=""):
    """An entry of `recording`: a Recording, a signal of twelve leads at 500 Hz, or what is raised on reading it."""
    recording = ecg(1) if recording is None else recording
    if isinstance(recording, np.ndarray):
        recording = Recording(recording.astype(np.float32), 500.0, STANDARD_LEADS)
    reader = functools.partial(_read, recording=recording)
    return Entry(id, patient or id, Path("from") / f"{id}.hea", reader, tuple(labels), split)


def make(target, *entries, classes=(), dropped=(), **changes):
    """Prepare `entries`; the report comes back."""
    return prepare(Given(entries, tuple(classes), tuple(dropped)), "given", Path("from"), target, settings(**changes))


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def tree(folder):
    """Every file below `folder` with its bytes."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# --- signals ---


def test_signals_are_those_of_the_literal_pipeline(tmp_path):
    source = tmp_path / "from"
    order = ("V6", "aVF", "V1", "II", "V3", "aVL", "V2", "I", "V5", "aVR", "V4", "III")
    whole, coarse, long, fast = ecg(1), ecg(2), ecg(3, 11_000), ecg(5, 6000)
    write_wfdb(source / "a", whole[[STANDARD_LEADS.index(lead) for lead in order]], order)
    # Half the rate, I and III in place of II, steps of 5 µV.
    kept = ("III", "I", "V1", "V2", "V3", "V4", "V5", "V6")
    coarse = np.round(coarse[:, ::2] * 200) / 200
    write_wfdb(source / "b", coarse[[STANDARD_LEADS.index(lead) for lead in kept]], kept, rate=250, gain=200)
    write_wfdb(source / "c", long)
    # Twice the rate and shorter than ten seconds.
    write_wfdb(source / "d", fast * 1000, rate=1000, gain=1, unit="uV")
    report = prepare(Folder(), "folder", source, tmp_path / "to", settings(n_samples=512))

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
    records = table(tmp_path / "to" / "records.csv")
    assert [row["id"] for row in records] == list(expected)
    signals = np.load(tmp_path / "to" / "signals.npy", mmap_mode="r")
    assert (signals.shape, signals.dtype, report.records, report.patients) == ((6, 8, 512), np.float32, 6, 4)
    for found, signal in zip(signals, expected.values(), strict=True):
        np.testing.assert_allclose(found, scipy.signal.resample(signal, 512, axis=1), rtol=0, atol=2e-6)


def test_a_short_recording_is_padded_at_its_end(tmp_path):
    make(tmp_path / "to", entry("a", ecg(1, 2500)), n_samples=5000)
    (found,) = np.load(tmp_path / "to" / "signals.npy")
    np.testing.assert_array_equal(found[0, :2500], ecg(1)[1, :2500].astype(np.float32))
    np.testing.assert_array_equal(found[:, 2500:], np.zeros((8, 2500)))


def test_first_keeps_the_first_piece_only(tmp_path):
    make(tmp_path / "all", entry("a", ecg(1, 12_500)))
    make(tmp_path / "first", entry("a", ecg(1, 12_500)), pieces="first")
    np.testing.assert_array_equal(np.load(tmp_path / "first/signals.npy"), np.load(tmp_path / "all/signals.npy")[:1])
    assert [row["id"] for row in table(tmp_path / "all/records.csv")] == ["a-0", "a-1", "a-2"]
    assert [row["id"] for row in table(tmp_path / "first/records.csv")] == ["a"]


def test_duration_and_leads_are_those_asked_for(tmp_path):
    make(tmp_path / "to", entry("a", ecg(1)), duration=2.5, leads=("V2", "aVR"), n_samples=1250)
    dataset = open_dataset(tmp_path / "to")
    assert (dataset.leads, dataset.sampling_rate, dataset.n_samples, len(dataset)) == (("V2", "aVR"), 500, 1250, 4)
    joined = np.concatenate(list(dataset.batch(np.arange(4), "none")), axis=1)
    np.testing.assert_array_equal(joined, ecg(1)[[7, 3]].astype(np.float32))


def test_units_of_files_make_no_difference(tmp_path):
    for name, scale, unit in (("mv", 1, "mV"), ("uv", 1000, "uV"), ("v", 1e-3, "V")):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "a.npy", ecg(1) * scale)
        source = Folder(file_leads=",".join(STANDARD_LEADS), file_sampling_rate=500, file_unit=unit)
        prepare(source, "folder", tmp_path / name, tmp_path / f"to-{name}", SETTINGS)
    one, *others = (np.load(tmp_path / f"to-{name}" / "signals.npy") for name in ("mv", "uv", "v"))
    for other in others:
        np.testing.assert_allclose(other, one, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("n", [1, 10, 1000])
def test_the_array_grows_in_place_to_any_number_of_records(tmp_path, n):
    recording = Recording(ecg(1)[:1, :320].astype(np.float32), 32.0, ("II",))
    report = make(tmp_path / "to", *(entry(str(i), recording) for i in range(n)), leads=("II",), n_samples=32)
    signals = np.load(tmp_path / "to" / "signals.npy", mmap_mode="r")
    assert (signals.shape, report.records) == ((n, 1, 32), n)
    assert (tmp_path / "to" / "signals.npy").stat().st_size == 128 + n * 32 * 4
    np.testing.assert_array_equal(signals[0], signals[-1])
    np.testing.assert_allclose(signals[0], scipy.signal.resample(recording.signal, 32, axis=1), atol=1e-6)


def test_memory_does_not_grow_with_the_records(tmp_path):
    def peak(n):
        tracemalloc.start()
        try:
            make(tmp_path / str(n), *(entry(str(i), recording) for i in range(n)), n_samples=5000)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    recording = Recording(ecg(1).astype(np.float32), 500.0, STANDARD_LEADS)
    peak(1)
    size = 8 * 5000 * 4
    assert peak(65) - peak(5) < 10 * size


# --- what is written beside the signals ---

CLASSES = ("NORM", "MI", "CD")
LABELLED = tuple(entry(f"r{n}", ecg(n), patient=f"p{n // 2}", labels=(CLASSES[n % 3],)) for n in range(24))


def test_the_table_of_records(tmp_path):
    entries = (*LABELLED[:2], entry("long", ecg(7, 7000), labels=("CD",)), entry("q", labels=("MI",)))
    make(tmp_path / "to", *entries, classes=CLASSES)
    rows = table(tmp_path / "to" / "records.csv")
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


def test_the_manifest_says_what_was_done(tmp_path):
    report = make(tmp_path / "to", *LABELLED, entry("x", labels=CLASSES[:2]), entry("y"), classes=CLASSES)
    manifest = json.loads((tmp_path / "to" / "dataset.json").read_text())
    rows = table(tmp_path / "to" / "records.csv")
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


def test_what_is_dropped_is_listed_with_its_reason(tmp_path):
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
        entry("good"),
        dropped=[listed],
    )
    reasons = [(row["id"], row["file"], row["reason"]) for row in table(tmp_path / "to" / "dropped.csv")]
    assert reasons == [
        ("absent", "absent.hea", "file absent"),
        ("nan", "nan.hea", "not finite: V1"),
        ("flat", "flat.hea", "flat: III,V2"),
        ("clipped", "clipped.hea", "saturated: V6"),
        ("late", "late.hea", "not finite: V3 (piece 2 of 3)"),
        ("late", "late.hea", "flat: V3 (piece 3 of 3)"),
        ("limb", "limb.hea", "absent lead V1,V2,V3,V4,V5,V6 (the recording has I,II,III,aVR,aVL,aVF)"),
    ]
    assert [row["id"] for row in table(tmp_path / "to" / "records.csv")] == ["late-0", "good"]
    assert report.dropped == {
        "not finite": 2,
        "flat": 2,
        "file absent": 1,
        "saturated": 1,
        "absent lead V1,V2,V3,V4,V5,V6": 1,
    }


def test_nothing_dropped_is_an_empty_table(tmp_path):
    make(tmp_path / "to", entry("a"))
    assert (tmp_path / "to" / "dropped.csv").read_text() == "id,file,reason\n"


def test_a_fault_in_a_lead_that_is_not_asked_for_does_not_matter(tmp_path):
    signal = ecg(1).copy()
    signal[[0, 3, 8]] = np.nan
    make(tmp_path / "to", entry("a", signal), leads=("II", "V1"))
    assert len(open_dataset(tmp_path / "to")) == 1


# --- labels ---


def test_records_with_several_labels_are_dropped_or_kept(tmp_path):
    entries = (*LABELLED, entry("both", labels=("MI", "CD")), entry("none"))
    make(tmp_path / "single", *entries, classes=CLASSES)
    assert len(open_dataset(tmp_path / "single")) == 24
    lost = {row["id"]: row["reason"] for row in table(tmp_path / "single" / "dropped.csv")}
    assert lost == {"both": "several labels: MI;CD", "none": "no label"}
    report = make(tmp_path / "multi", *entries, classes=CLASSES, keep_multi_label=True)
    dataset = open_dataset(tmp_path / "multi")
    assert dict(zip(dataset.ids, dataset.labels, strict=True))["both"] == ("MI", "CD")
    assert sum(sum(of.values()) for of in report.counts.values()) == 26
    assert report.dropped == {"no label": 1}


def test_without_classes_all_is_train(tmp_path):
    report = make(tmp_path / "to", *(entry(str(n)) for n in range(5)))
    assert open_dataset(tmp_path / "to").split.tolist() == ["train"] * 5
    assert report.counts == {"train": {"": 5}, "val": {"": 0}, "test": {"": 0}}


# --- splits ---


def test_an_official_split_is_kept(tmp_path):
    splits = ["train", "test", "val", "train"]
    entries = [entry(f"r{n}", patient=f"p{n % 3}", labels=("MI",), split=split) for n, split in enumerate(splits)]
    make(tmp_path / "labelled", *entries, classes=CLASSES)
    make(tmp_path / "unlabelled", *(dataclasses.replace(entry, labels=()) for entry in entries))
    for name in ("labelled", "unlabelled"):
        assert open_dataset(tmp_path / name).split.tolist() == splits


def test_a_made_split_is_by_patient_stratified_and_seeded(tmp_path):
    patients = [f"p{n // 2}" for n in range(24)]
    labels = [CLASSES[n % 3] for n in range(24)]
    for seed in (0, 1):
        make(tmp_path / str(seed), *LABELLED, classes=CLASSES, split_seed=seed, test_fraction=0.3, val_fraction=0.2)
        found = open_dataset(tmp_path / str(seed)).split.tolist()
        assert found == split_by_patient(patients, labels, 0.3, 0.2, seed)
        assert Counter(found) == {"train": 12, "val": 4, "test": 8}
    assert tree(tmp_path / "0")["records.csv"] != tree(tmp_path / "1")["records.csv"]
    assert tree(tmp_path / "0")["signals.npy"] == tree(tmp_path / "1")["signals.npy"]


def test_pieces_of_a_recording_stay_together(tmp_path):
    entries = [entry(str(n), ecg(n, 12_000), labels=(CLASSES[n % 2],)) for n in range(10)]
    make(tmp_path / "to", *entries, classes=CLASSES)
    rows = table(tmp_path / "to" / "records.csv")
    assert len(rows) == 30
    assert Counter(len({row["split"] for row in rows if row["patient"] == str(n)}) for n in range(10)) == {1: 10}


def test_splits_that_cannot_be_are_refused(tmp_path):
    with pytest.raises(
        LfbtError, match=r"patient p is in split train and, with record b, in test; .*correct the split"
    ):
        make(tmp_path / "to", entry("a", patient="p", split="train"), entry("b", patient="p", split="test"))
    with pytest.raises(LfbtError, match="record b has no split while others have one"):
        make(tmp_path / "to", entry("a", split="train"), entry("b"))
    with pytest.raises(LfbtError, match="1 patients are too few"):
        make(tmp_path / "to", entry("a", labels=("MI",)), entry("b", labels=("MI",)), classes=CLASSES)
    assert list(tmp_path.iterdir()) == []


# --- the authors' layout ---


def literal_z(signal):
    signal = signal.astype(np.float64)
    return (signal - signal.mean()) / (signal.std() + 1e-5)


def test_npy_without_labels_is_one_z_scored_file_a_record(tmp_path):
    entries = [entry(str(n), ecg(n)) for n in range(11)]
    make(tmp_path / "npy", *entries, layout="npy", leads=("V1", "II"))
    make(tmp_path / "packed", *entries, leads=("V1", "II"))
    assert {path.name for path in (tmp_path / "npy").iterdir()} == {
        "samples",
        "records.csv",
        "dropped.csv",
        "dataset.json",
    }
    packed = np.load(tmp_path / "packed" / "signals.npy")
    assert len(list((tmp_path / "npy" / "samples").iterdir())) == 11
    for n, signal in enumerate(packed):
        found = np.load(tmp_path / "npy" / "samples" / f"sample_{n}.npy")
        assert (found.shape, found.dtype) == ((2, 128), np.float32)
        np.testing.assert_allclose(found, literal_z(signal), rtol=0, atol=1e-5)
    dataset = open_dataset(tmp_path / "npy")
    assert (dataset.leads, dataset.sampling_rate, dataset.names_assumed) == (("V1", "II"), 12.8, False)
    assert (len(dataset), dataset.classes) == (11, ())


def test_npy_with_labels_is_split_and_class_folders(tmp_path):
    make(tmp_path / "npy", *LABELLED, classes=("HYP", *CLASSES), layout="npy")
    rows = table(tmp_path / "npy" / "records.csv")
    expected = {f"{row['split']}/{row['labels']}/sample_{n}" for n, row in enumerate(rows)}
    assert {name.removesuffix(".npy") for name in tree(tmp_path / "npy") if name.endswith(".npy")} == expected
    assert not (tmp_path / "npy" / "samples").exists()
    dataset = open_dataset(tmp_path / "npy")
    assert set(dataset.ids) == expected
    assert (dataset.leads, dataset.classes) == (PAPER_LEADS, ("HYP", *CLASSES))
    assert json.loads((tmp_path / "npy" / "dataset.json").read_text())["unit"] == "z-score (record)"


def test_both_layouts_give_an_encoder_the_same_batch(tmp_path):
    make(tmp_path / "npy", *LABELLED, classes=CLASSES, layout="npy")
    make(tmp_path / "packed", *LABELLED, classes=CLASSES)
    npy, packed = open_dataset(tmp_path / "npy"), open_dataset(tmp_path / "packed")
    row_of = {int(name.rpartition("_")[2]): row for row, name in enumerate(npy.ids)}
    rows = np.array([row_of[n] for n in range(24)])
    assert npy.split[rows].tolist() == packed.split.tolist()
    assert npy.targets()[rows].tolist() == packed.targets().tolist()
    for how in ("record", "lead"):
        expected = packed.batch(np.arange(24), how)
        np.testing.assert_allclose(npy.batch(rows, how), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["a/b", ".hidden", ".."])
def test_classes_that_cannot_name_a_folder_are_refused(tmp_path, name):
    with pytest.raises(LfbtError, match="cannot name a folder; use --layout packed"):
        make(tmp_path / "to", entry("a", labels=(name,)), classes=(name, "b"), layout="npy")
    assert list(tmp_path.iterdir()) == []


def test_a_record_cannot_be_in_two_class_folders(tmp_path):
    with pytest.raises(LfbtError, match="does not go with --keep-multi-label"):
        make(tmp_path / "to", *LABELLED, classes=CLASSES, layout="npy", keep_multi_label=True)


# --- workers ---


def write_folder(folder, n=6):
    for number in range(n):
        write_wfdb(folder / f"r{number}", ecg(number, 4000 + 2000 * number))
    flat = ecg(1).copy()
    flat[1] = 0
    write_wfdb(folder / "flat", flat)


def test_the_number_of_workers_changes_nothing(tmp_path):
    write_folder(tmp_path / "from")
    for workers in (1, 2):
        prepare(Folder(), "folder", tmp_path / "from", tmp_path / str(workers), settings(workers=workers))
    one, two = tree(tmp_path / "1"), tree(tmp_path / "2")
    assert set(one) == {"signals.npy", "records.csv", "dropped.csv", "dataset.json"}
    assert one == two


def test_a_fault_in_a_worker_ends_it_all(tmp_path):
    write_folder(tmp_path / "from")
    (tmp_path / "from" / "r4.dat").write_bytes(b"cut")
    with pytest.raises(UnreadableError, match=r"^file .*r4\.hea: cannot be read .*; repair or remove it, or drop such"):
        prepare(Folder(), "folder", tmp_path / "from", tmp_path / "to", settings(workers=2))
    assert [path.name for path in tmp_path.iterdir()] == ["from"]


# --- all or nothing ---


def test_an_unreadable_file_stops_it_all_or_is_dropped(tmp_path):
    entries = (entry("a"), entry("b", UnreadableError("file b.hea: no good")), entry("c", ecg(2)))
    with pytest.raises(UnreadableError, match=r"^file b\.hea: no good; repair or remove it, or .* --skip-unreadable$"):
        make(tmp_path / "to", *entries)
    assert list(tmp_path.iterdir()) == []
    report = make(tmp_path / "to", *entries, skip_unreadable=True)
    assert [row["id"] for row in table(tmp_path / "to" / "records.csv")] == ["a", "c"]
    (lost,) = table(tmp_path / "to" / "dropped.csv")
    assert (lost["id"], lost["reason"]) == ("b", "unreadable: file b.hea: no good")
    assert report.dropped == {"unreadable": 1}


def test_a_rate_too_low_for_the_duration_is_unreadable(tmp_path):
    slow = Recording(ecg(1).astype(np.float32), 0.1, STANDARD_LEADS)
    with pytest.raises(UnreadableError, match=r"0\.1 Hz is too low for 10 s"):
        make(tmp_path / "to", entry("a", slow))


@pytest.mark.parametrize("layout", ["packed", "npy"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_nothing_half_written_is_left(tmp_path, layout, error):
    with pytest.raises(error):
        make(tmp_path / "sub" / "to", entry("a"), entry("b"), entry("c", error()), layout=layout)
    assert [path.name for path in tmp_path.rglob("*")] == ["sub"]


def test_when_no_record_is_left_the_reasons_are_told(tmp_path):
    flat = np.zeros((12, 5000))
    with pytest.raises(LfbtError, match=r"^from: no record is left; dropped: 2 flat, 1 file absent \(first: x: file"):
        make(tmp_path / "to", entry("a", flat), entry("b", flat), dropped=[Dropped("x", "x.hea", "file absent")])
    with pytest.raises(LfbtError, match=r"^from: source given found no recordings there"):
        make(tmp_path / "to")
    assert list(tmp_path.iterdir()) == []


def test_an_occupied_target_is_left_as_it_is(tmp_path):
    make(tmp_path / "to", entry("a"))
    before = tree(tmp_path)
    with pytest.raises(LfbtError, match="holds other results already"):
        make(tmp_path / "to", entry("b", ecg(2)))
    with pytest.raises(LfbtError, match="is a file"):
        make(tmp_path / "to" / "records.csv", entry("b", ecg(2)))
    assert tree(tmp_path) == before


def test_an_occupied_target_is_refused_before_anything_is_read(tmp_path):
    class Unread:
        def listing(self, folder):
            pytest.fail("the source was read")

    (tmp_path / "mine").write_text("mine")
    with pytest.raises(LfbtError, match="holds other results already"):
        prepare(Unread(), "unread", Path("from"), tmp_path, SETTINGS)


def test_an_empty_target_is_filled(tmp_path):
    (tmp_path / "to").mkdir()
    make(tmp_path / "to", entry("a"))
    assert len(open_dataset(tmp_path / "to")) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["to"]


def test_preparing_again_gives_the_same_bytes(tmp_path):
    for name in "ab":
        make(tmp_path / name, *LABELLED, classes=CLASSES)
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"leads": ()}, "leads: none given"),
        ({"leads": ("II", "II")}, "leads: II is named twice"),
        ({"leads": ("II", "X")}, "leads: 'X' is not one of I,II,.*, which source given has"),
        ({"n_samples": 31}, r"n-samples: 31 is outside \[32, inf\)"),
        ({"duration": 0.0}, r"duration: 0\.0 is outside"),
        ({"duration": float("nan")}, "duration: nan"),
        ({"duration": 86400.0}, "duration: 86400"),
        ({"workers": 0}, "workers: 0"),
        ({"test_fraction": 1.0}, r"test-fraction: 1\.0 is outside \[0, 1\)"),
        ({"val_fraction": -0.1}, r"val-fraction: -0\.1"),
        ({"split_seed": -1}, "split-seed: -1"),
    ],
    ids=str,
)
def test_settings_out_of_range_are_refused_by_name(tmp_path, changes, message):
    with pytest.raises(LfbtError, match=f"^{message}"):
        make(tmp_path / "to", entry("a"), **changes)
    assert list(tmp_path.iterdir()) == []


def test_own_files_may_have_leads_of_other_names(tmp_path):
    (tmp_path / "from").mkdir()
    np.save(tmp_path / "from" / "a.npy", ecg(1)[:2])
    source = Folder(file_leads="MCL1,X", file_sampling_rate=500)
    prepare(source, "folder", tmp_path / "from", tmp_path / "to", settings(leads=("X",)))
    assert open_dataset(tmp_path / "to").leads == ("X",)


def test_a_fault_of_a_lead_that_others_are_derived_from_drops_the_record(tmp_path):
    """I is flat: III = II − I would be II under another name."""
    rng = np.random.default_rng(0)
    recording = Recording(rng.normal(size=(3, 5000)).astype(np.float32), 500.0, ("I", "II", "V1"))
    recording.signal[0] = 0.3
    entry = Entry("a", "a", tmp_path / "a", lambda _: recording)
    done = prepare_entry(entry, PrepareSettings(leads=("II", "III", "V1")))
    assert [item.reason for item in done.dropped] == ["flat: I"]
    assert not done.pieces
    # Where it is not needed it is not looked at.
    assert len(prepare_entry(entry, PrepareSettings(leads=("II", "V1"))).pieces) == 1


def test_the_hash_differs_when_splits_or_labels_do(tmp_path):
    labelled, unlabelled = Synthetic(records=30, seed=1), Synthetic(records=30, seed=1, labels="none")
    hashes = set()
    for number, (source, lead) in enumerate([(labelled, "II"), (unlabelled, "II"), (labelled, "V1")]):
        settings = PrepareSettings(leads=(lead,), n_samples=64, workers=1)
        prepare(source, "synthetic", tmp_path / "from", tmp_path / str(number), settings)
        hashes.add(open_dataset(tmp_path / str(number)).hash)
    assert len(hashes) == 3


@pytest.mark.parametrize("part", ["records500", "records500/00000"])
def test_synthetic_signals_keep_their_mark_whatever_source_reads_them(tmp_path, part):
    Synthetic(records=8, seed=1).listing(tmp_path / "from")
    settings = PrepareSettings(n_samples=64, workers=1)
    prepare(Folder(), "folder", tmp_path / "from" / part, tmp_path / "to", settings)
    assert open_dataset(tmp_path / "to").synthetic
    prepare(PtbXl(), "ptbxl", tmp_path / "from", tmp_path / "ptbxl", settings)
    assert open_dataset(tmp_path / "ptbxl").synthetic
