"""Leakage: fingerprints kept beside an encoder, and test records among them refused unless allowed."""

import dataclasses
import shutil
from typing import Any

import numpy as np
import pytest
from tests.audit.helpers import generate_ecg, prepare_differently, write
from tests.factories import write_packed

import lfbt.training.pretraining as pretrain_module
from lfbt.audit.checks import CheckSettings, check
from lfbt.audit.fingerprints import FINGERPRINTS, compute_fingerprints, load_fingerprints, save_fingerprints
from lfbt.audit.leakage import check_copies, check_leakage, exclude_records, write_fingerprints
from lfbt.cli.app import main
from lfbt.data.layouts import open_dataset, open_datasets
from lfbt.errors import LfbtError
from lfbt.recording import PAPER_LEADS
from lfbt.training.pretraining import Pretrainer
from lfbt.training.settings import PretrainSettings
from lfbt.utils.settings import replace

LEADS = ("II", "V1", "V5")


def fingerprints_of(folder, *splits):
    dataset = open_dataset(folder)
    return compute_fingerprints(dataset, dataset.rows(*splits) if splits else np.arange(len(dataset)))


@pytest.fixture
def data(tmp_path):
    return write(tmp_path / "data", leads=LEADS)


@pytest.fixture
def encoder(tmp_path, data):
    """An encoder's folder with the fingerprints of r0 to r9."""
    save_fingerprints(tmp_path / "run" / "encoder", fingerprints_of(data, "train"))
    return tmp_path / "run"


# --- the file ---


def test_check_leakage_refuses_a_truncated_file(encoder, data):
    file = encoder / "encoder" / FINGERPRINTS
    file.write_bytes(file.read_bytes()[:100])
    dataset = open_dataset(data)
    with pytest.raises(LfbtError, match="is not a complete safetensors file"):
        check_leakage(encoder, dataset, dataset.rows("test"), allowed=False)


# --- test records of an encoder that is used ---


def test_check_leakage_refuses_records_of_pretraining(encoder, data):
    dataset = open_dataset(data)
    check_leakage(encoder, dataset, dataset.rows("test"), allowed=False)
    check_leakage(encoder, dataset, dataset.rows("val"), allowed=False)
    with pytest.raises(LfbtError) as refused:
        check_leakage(encoder, dataset, np.array([12, 3, 15, 4, 5, 6]), allowed=False)
    assert "4 of 6 test records (r3, r4, r5 and 1 more) are among the records that" in str(refused.value)
    assert "--allow-test-records" in str(refused.value)
    check_leakage(encoder, dataset, np.array([3, 4]), allowed=True)
    # The encoder's folder is as good as the run's.
    with pytest.raises(LfbtError, match=r"1 of 1 test records \(r3\)"):
        check_leakage(encoder / "encoder", dataset, np.array([3]), allowed=False)


def test_check_leakage_recognises_records_however_prepared(tmp_path, encoder):
    others = write_packed(tmp_path / "others", prepare_differently(generate_ecg()), leads=PAPER_LEADS)
    dataset = open_dataset(others)
    with pytest.raises(LfbtError, match="10 of 20 test records"):
        check_leakage(encoder, dataset, np.arange(20), allowed=False)
    with pytest.raises(LfbtError, match="10 of 20 test records"):
        check_leakage(encoder, dataset.select_leads(["V5"]), np.arange(20), allowed=False)
    check_leakage(encoder, dataset.select_leads(["V2"]), np.arange(20), allowed=False)


def test_check_leakage_accepts_an_encoder_without_fingerprints(tmp_path, data):
    dataset = open_dataset(data)
    (tmp_path / "authors.pth").write_bytes(b"")
    (tmp_path / "old" / "encoder").mkdir(parents=True)
    for checkpoint in (tmp_path / "authors.pth", tmp_path / "old", tmp_path / "old" / "encoder"):
        check_leakage(checkpoint, dataset, np.arange(20), allowed=False)


def test_write_fingerprints_takes_over_those_of_the_checkpoint(tmp_path, encoder, data):
    dataset = open_dataset(data)
    write_fingerprints(encoder, tmp_path / "probe" / "encoder", dataset, None)
    with pytest.raises(LfbtError, match="1 of 1 test records"):
        check_leakage(tmp_path / "probe", dataset, np.array([3]), allowed=False)
    write_fingerprints(tmp_path / "absent", tmp_path / "none", dataset, None)
    assert not (tmp_path / "none").exists()


def test_write_fingerprints_adds_the_records_of_fine_tuning(tmp_path, encoder, data):
    """To what its checkpoint had learned from; and where it had none, by itself."""
    dataset = open_dataset(data)
    write_fingerprints(encoder, tmp_path / "tuned" / "encoder", dataset, np.array([12, 13]))
    write_fingerprints(
        None, tmp_path / "scratch" / "encoder", dataset.select_leads(dataset.leads[:1]), np.array([12, 13])
    )
    for folder, row in (("tuned", 3), ("tuned", 13), ("scratch", 13)):
        with pytest.raises(LfbtError, match="1 of 1 test records"):
            check_leakage(tmp_path / folder, dataset, np.array([row]), allowed=False)
    check_leakage(tmp_path / "tuned", dataset, np.array([14]), allowed=False)
    check_leakage(tmp_path / "scratch", dataset, np.array([3]), allowed=False)


# --- test records among those to learn from ---


def test_check_copies_names_both_records(tmp_path, data):
    dataset, other = open_dataset(data), open_dataset(write(tmp_path / "other", generate_ecg()[::-1], leads=LEADS))
    rows, tests = dataset.rows("train"), other.rows("test")
    with pytest.raises(LfbtError) as refused:
        check_copies(
            compute_fingerprints(dataset, rows), dataset, rows, [(dataset, dataset.rows("test")), (other, tests)]
        )
    # The test records r14 to r19 of the other are r5 to r0 of this.
    assert f"{data}: 6 of the 10 records to learn from are test records of {tmp_path / 'other'} (" in str(refused.value)
    assert "r0 is r19" in str(refused.value)
    assert "--exclude FILE" in str(refused.value)
    none = np.arange(0)
    check_copies(compute_fingerprints(dataset, rows), dataset, rows, [(other, none)])
    check_copies(compute_fingerprints(dataset, none), dataset, none, [(other, tests)])


def test_check_copies_needs_correlation_as_well_as_bits(data):
    """Matching fingerprints are confirmed by the signals."""
    dataset = open_dataset(data)
    seen = compute_fingerprints(dataset, np.array([15, 16]))
    check_copies(seen, dataset, np.array([1, 2]), [(dataset, dataset.rows("test"))])


# --- records left out ---


def test_exclude_records_leaves_out_records_named_in_a_file(tmp_path, data):
    dataset = open_dataset(data)
    rows = dataset.rows("train")
    plain, table = tmp_path / "ids.txt", tmp_path / "ids.CSV"
    plain.write_text("r3\n\n r5 \nr19\n")
    table.write_text("\ufeffid,why\nr3,noise\nr5,\n", encoding="utf-8")
    for file in (plain, table):
        assert exclude_records(dataset, [data], rows, file).tolist() == [0, 1, 2, 4, 6, 7, 8, 9]
    of_data = tmp_path / "exclude.csv"
    of_data.write_text(
        f"data,id,split\ndata,r3,train\n{data.as_posix()},r5,train\nother,r6,train\nother,absent,train\n"
    )
    assert exclude_records(dataset, [data], rows, of_data).tolist() == [0, 1, 2, 4, 6, 7, 8, 9]
    of_data.write_text("data,id,split\n")
    assert np.array_equal(exclude_records(dataset, [data], rows, of_data), rows)


@pytest.mark.parametrize("places", [("a/one", "a/two"), ("a/one", "b/one")])
def test_exclude_records_of_several_data_sets(tmp_path, places):
    folders = [write(tmp_path / place, generate_ecg(seed), leads=LEADS) for seed, place in enumerate(places)]
    dataset = open_datasets(folders)
    rows = dataset.rows("train")  # 0 to 9 and 20 to 29
    file = tmp_path / "exclude.csv"
    file.write_text(f"data,id\n{folders[0].as_posix()},r3\n{folders[1].as_posix()},r4\n")
    assert sorted(set(rows) - set(exclude_records(dataset, folders, rows, file))) == [3, 24]
    file.write_text(f"id\n{dataset.ids[3]}\n{dataset.ids[24]}\n")
    assert sorted(set(rows) - set(exclude_records(dataset, folders, rows, file))) == [3, 24]
    file.write_text("id\nr3\n")
    with pytest.raises(LfbtError, match="NAME/ID"):
        exclude_records(dataset, folders, rows, file)
    if places[0] == "a/one" and places[1] == "a/two":
        file.write_text("data,id\none,r3\ntwo,r4\n")
        assert sorted(set(rows) - set(exclude_records(dataset, folders, rows, file))) == [3, 24]


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("r3\nr99\nr98\n", "ids.txt", "names r99, r98, which .* does not have; give ids as records.csv has them"),
        ("record\nr3\n", "ids.csv", "has no column id, but record"),
        ("r3\n", "ids.csv", "has no column id, but r3"),
        ("data,id\nother,r3\n", "ids.csv", "names no record of"),
        (None, "ids.csv", "cannot be read"),
        (b"\xff\xfe\x00", "ids.txt", "cannot be read"),
    ],
)
def test_exclude_records_refuses_a_file_that_names_no_records(tmp_path, data, text, name, message):
    file = tmp_path / name
    if text is not None:
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
    dataset = open_dataset(data)
    with pytest.raises(LfbtError, match=f"exclude: .*{message}"):
        exclude_records(dataset, [data], dataset.rows("train"), file)


# --- pretraining ---


@pytest.fixture
def leaky(tmp_path):
    """A data set in which r2 of the training records is r17 of the test."""
    signals = generate_ecg(n_samples=128).copy()
    signals[2] = 0.5 * signals[17]
    return write(tmp_path / "leaky", signals, leads=LEADS)


def settings_of(data, run_dir, **changes):
    short: dict[str, Any] = {"epochs": 1, "batch_size": 9, "projector": "8-8", "device": "cpu", "workers": 0}
    return PretrainSettings.create(tuple(data), run_dir, **short | changes)


def test_pretrain_refuses_test_records_until_allowed_or_excluded(tmp_path, leaky):
    run_dir = tmp_path / "run"
    with pytest.raises(LfbtError, match=r"1 of the 10 records to learn from are test records \(r2 is r17\)"):
        Pretrainer(settings_of([leaky], run_dir)).run()
    assert not run_dir.exists()

    allowed = Pretrainer(settings_of([leaky], tmp_path / "allowed", allow_test_records=True)).run()
    assert len(load_fingerprints(allowed / "encoder" / FINGERPRINTS)) == 10
    check(CheckSettings((leaky,), tmp_path / "check"))
    exclude = tmp_path / "check" / "exclude.csv"
    Pretrainer(settings_of([leaky], run_dir, exclude=exclude)).run()
    seen, all_of_it = load_fingerprints(run_dir / "encoder" / FINGERPRINTS), fingerprints_of(leaky, "train")
    order = [seen.leads.index(lead) for lead in LEADS]
    assert np.array_equal(seen.bits[:, order], np.delete(all_of_it.bits, 2, axis=0))

    # What it has learned from cannot be tested with it.
    dataset = open_dataset(leaky)
    check_leakage(run_dir, dataset, dataset.rows("test"), allowed=False)
    with pytest.raises(LfbtError, match=r"1 of 6 test records \(r17\)"):
        check_leakage(allowed, dataset, dataset.rows("test"), allowed=False)


def test_pretrain_refuses_test_records_of_the_quality_data(tmp_path):
    pretraining = write(tmp_path / "all", generate_ecg(n_samples=128), split=["train"] * 20, leads=LEADS)
    labelled = write(tmp_path / "labelled", generate_ecg(n_samples=128), leads=LEADS, labels=["a", "b"] * 10)
    with pytest.raises(LfbtError, match=r"6 of the 20 records to learn from are test records of .*labelled"):
        Pretrainer(settings_of([pretraining], tmp_path / "run", quality_data=labelled)).run()
    check(CheckSettings((pretraining, labelled), tmp_path / "check"))
    exclude = tmp_path / "check" / "exclude.csv"
    run_dir = Pretrainer(
        settings_of([pretraining], tmp_path / "run", quality_data=labelled, exclude=exclude, batch_size=7)
    ).run()
    assert len(load_fingerprints(run_dir / "encoder" / FINGERPRINTS)) == 14


def test_pretrain_refuses_the_split_test_unless_allowed(tmp_path, leaky, capsys):
    words = ["--data-dir", leaky, "--run-dir", tmp_path / "run", "--splits", "train", "test", "--batch-size", 8]
    with pytest.raises(SystemExit) as ended:
        main(["pretrain", *map(str, words)])
    assert ended.value.code == 2
    assert "splits: test is among them" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    Pretrainer(
        settings_of([leaky], tmp_path / "run", splits=("train", "test"), allow_test_records=True, batch_size=8)
    ).run()
    assert len(load_fingerprints(tmp_path / "run" / "encoder" / FINGERPRINTS)) == 16


def test_pretrain_resumes_without_new_fingerprints(tmp_path, leaky, monkeypatch):
    allowing = settings_of([leaky], tmp_path / "run", allow_test_records=True)
    Pretrainer(allowing).run()
    before = (tmp_path / "run" / "encoder" / FINGERPRINTS).read_bytes()
    monkeypatch.setattr(pretrain_module, "compute_fingerprints", None)
    # The permission affects no result: the command resumes without it, too.
    Pretrainer(replace(allowing, resume=True, allow_test_records=False)).run()
    assert (tmp_path / "run" / "encoder" / FINGERPRINTS).read_bytes() == before
    monkeypatch.undo()
    # Killed before the encoder was ever written.
    shutil.rmtree(tmp_path / "run" / "encoder")
    Pretrainer(replace(allowing, resume=True)).run()
    assert (tmp_path / "run" / "encoder" / FINGERPRINTS).read_bytes() == before


def test_pretrain_refuses_to_resume_with_other_records_excluded(tmp_path, leaky):
    file = tmp_path / "ids.txt"
    file.write_text("r2\n")
    settings = settings_of([leaky], tmp_path / "run", exclude=file)
    Pretrainer(settings).run()
    elsewhere = tmp_path / "elsewhere.txt"
    elsewhere.write_text("r2\n")
    Pretrainer(replace(settings, exclude=elsewhere, resume=True)).run()
    file.write_text("r3\n")
    with pytest.raises(LfbtError, match="resume: records_hash is"):
        Pretrainer(replace(settings, resume=True)).run()


def test_pretrain_saves_fingerprints_with_the_best_encoder(tmp_path, monkeypatch):
    monkeypatch.setattr("lfbt.training.monitor.STEPS_BEFORE_QUALITY", 1)
    data = write(tmp_path / "data", generate_ecg(n_samples=128), leads=LEADS, labels=["a", "b"] * 10)
    run_dir = Pretrainer(settings_of([data], tmp_path / "run", quality_data=data)).run()
    assert (run_dir / "encoder-best" / FINGERPRINTS).read_bytes() == (run_dir / "encoder" / FINGERPRINTS).read_bytes()


def test_check_leakage_gives_advice_that_can_help(encoder, data):
    """Only copies of records of the split test can be left out with what `lfbt check` writes."""
    dataset = open_dataset(data)
    for split, advice in (("test", "with --exclude FILE, which `lfbt check` writes"), ("train", "leave --folds out")):
        known = dataclasses.replace(dataset, split=np.full(len(dataset), split))
        with pytest.raises(LfbtError, match=f"{advice}, or insist with --allow-test-records$"):
            check_leakage(encoder, known, np.array([3]), allowed=False)
