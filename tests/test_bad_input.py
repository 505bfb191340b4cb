"""Bad input through the command line: status 2, one line on stderr that names the trouble, and nothing written."""

import contextlib
import io
import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import openpyxl
import pytest
import scipy.io

from lfbt.cli.app import COMMANDS, main
from lfbt.data.preparation import prepare
from lfbt.data.records import PrepareSettings
from lfbt.models.encoder import EncoderConfig, random_encoder
from lfbt.models.pretrained import save_encoder
from lfbt.recording import PAPER_LEADS, STANDARD_LEADS
from lfbt.sources import SOURCES, PtbXl
from lfbt.sources.synthesis import make_record, write_ptbxl


def run(*words):
    """Status, stdout and stderr of a command."""
    out, err = io.StringIO(), io.StringIO()
    status: object = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main([str(word) for word in words])
        except SystemExit as ended:
            status = ended.code
    return status, out.getvalue(), err.getvalue()


def refused(*words):
    """The message of a command that must end with status 2 and one line on stderr."""
    status, _, err = run(*words)
    assert status == 2
    assert err.startswith("lfbt: error: ")
    assert err.endswith("\n")
    assert err.count("\n") == 1
    return err.removeprefix("lfbt: error: ").rstrip("\n")


def everything(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """What is good: a download, a data set of 34 or more records, and a run folder with an encoder that fits it."""
    place = tmp_path_factory.mktemp("bad")
    write_ptbxl(place / "download", 40, 0)
    prepare(PtbXl(), "ptbxl", place / "download", place / "data", PrepareSettings(n_samples=128, workers=1))
    encoder = random_encoder(EncoderConfig(PAPER_LEADS, sampling_rate=12.8, n_samples=128), 0)
    save_encoder(place / "run" / "encoder", encoder, {"method": "random"})
    return place


def ecg():
    return make_record(0, 1).signal.astype(np.float32)


# --- prepare ---

OWN = ("--file-leads", ",".join(STANDARD_LEADS), "--file-sampling-rate", "500")


def write_header(folder, name="a", steps=None, header=None):
    steps = np.round(ecg() * 1000).astype("<i2") if steps is None else steps
    lines = [f"{name} 12 500 5000", *(f"{name}.dat 16 1000/mV 16 0 0 0 0 {lead}" for lead in STANDARD_LEADS)]
    (folder / f"{name}.hea").write_text(header or "\n".join(lines) + "\n")
    (folder / f"{name}.dat").write_bytes(steps.T.tobytes())


def cpsc(folder, mat):
    (folder / "REFERENCE.csv").write_text("Recording,First_label,Second_label,Third_label\nA0001,1,,\n")
    mat(folder / "A0001.mat")


def whole_mat(path):
    scipy.io.savemat(path, {"ECG": {"sex": "Male", "age": 50, "data": ecg()}})


def cut_mat(path):
    whole_mat(path)
    path.write_bytes(path.read_bytes()[:100_000])


def chapman(folder, text):
    book = openpyxl.Workbook()
    for row in [("FileName", "Rhythm"), ("a", "SB")]:
        book.active.append(row)  # type: ignore[union-attr]
    book.save(folder / "Diagnostics.xlsx")
    (folder / "a.csv").write_text(text)


def saved(folder, array, name="a"):
    np.save(folder / f"{name}.npy", array, allow_pickle=True)


def table(folder, text):
    saved(folder, ecg())
    (folder.parent / "table.csv").write_text(text)
    return ("--labels", "table", "--table", folder.parent / "table.csv", *OWN)


def csv_text(cell):
    rows = [[f"{value:.3f}" for value in row] for row in ecg().T[:50]]
    rows[7][3] = cell
    return "\n".join([",".join(STANDARD_LEADS), *map(",".join, rows)]) + "\n"


def nan():
    return np.full((12, 5000), np.nan, dtype=np.float32)


#: A bad folder a name: the source, what fills the folder (and may add options), options, and words of the message.
PREPARE = {
    "missing folder": ("ptbxl", lambda d: d.rmdir(), (), "does not exist; give the folder that holds the download"),
    "a file": ("ptbxl", lambda d: (d.rmdir(), d.write_text("")), (), "is a file"),
    "truncated .mat": ("cpsc2018", lambda d: cpsc(d, cut_mat), (), "A0001.mat: cannot be read"),
    "empty .mat": ("cpsc2018", lambda d: cpsc(d, lambda p: p.write_bytes(b"")), (), "A0001.mat: cannot be read"),
    "foreign .mat": ("cpsc2018", lambda d: cpsc(d, lambda p: scipy.io.savemat(p, {"x": 1})), (), "struct ECG"),
    "malformed header": ("folder", lambda d: write_header(d, header="a 12 fast\nnonsense\n"), (), "a.hea: "),
    "empty header": ("challenge", lambda d: write_header(d, header="\n"), (), "not a WFDB record line"),
    "truncated .dat": (
        "challenge",
        lambda d: write_header(d, steps=np.zeros((12, 9), "<i2")),
        (),
        "a.hea: cannot be read",
    ),
    "absent .dat": ("folder", lambda d: (write_header(d), (d / "a.dat").unlink()), (), "a.dat is absent"),
    "text in a CSV signal": (
        "chapman",
        lambda d: chapman(d, csv_text("oops")),
        (),
        "line 9, column 4 holds 'oops', which is not a number",
    ),
    "text in own CSV": (
        "folder",
        lambda d: (d / "a.csv").write_text(csv_text("oops")),
        ("--file-sampling-rate", 500),
        "line 9, column 4 holds 'oops'",
    ),
    "empty CSV": ("chapman", lambda d: chapman(d, ""), (), "a.csv: "),
    "objects in .npy": ("folder", lambda d: saved(d, np.array([{}, 1], dtype=object)), OWN, "a.npy: cannot be read"),
    "text in .npy": ("folder", lambda d: (d / "a.npy").write_text("x"), OWN, "a.npy: cannot be read"),
    "letters in .npy": (
        "folder",
        lambda d: saved(d, np.array([["a"] * 9] * 12)),
        OWN,
        "an array of <U1, not of numbers",
    ),
    "one axis": ("folder", lambda d: saved(d, ecg()[0]), OWN, "an array of shape [5000], not [12 leads, samples]"),
    "samples first": ("folder", lambda d: saved(d, ecg().T), OWN, "shape [5000, 12], not [12 leads, samples]"),
    "no samples": ("folder", lambda d: saved(d, ecg()[:, :0]), OWN, "shape [12, 0]"),
    "no names": ("folder", lambda d: saved(d, ecg()), OWN[2:], "file_leads: none given"),
    "no rate": ("folder", lambda d: saved(d, ecg()), OWN[:2], "file_sampling_rate: none given"),
    "all NaN": (
        "folder",
        lambda d: (saved(d, nan()), saved(d, nan(), "b")),
        OWN,
        "no record is left; dropped: 2 not finite",
    ),
    "all flat": ("folder", lambda d: saved(d, 0 * ecg()), OWN, "no record is left; dropped: 1 flat"),
    "several labels": (
        "folder",
        lambda d: table(d, "record,label\na,x;y\n"),
        (),
        "no record is left; dropped: 1 several labels",
    ),
    "too few": ("folder", lambda d: table(d, "record,label\na,x\n"), (), "1 patients are too few"),
    "bad table": ("folder", lambda d: table(d, "name,label\na,x\n"), (), "no column record"),
    "unknown lead": ("challenge", write_header, ("--leads", "II,V9"), "leads: 'V9' is not one of I,II,III"),
    "absent lead": ("folder", write_header, ("--leads", "II,V9"), "no record is left; dropped: 1 absent lead V9"),
    "bad unit": ("folder", lambda d: saved(d, ecg()), (*OWN, "--file-unit", "mmHg"), "'mmHg' is not a voltage"),
    "too few samples": ("folder", write_header, ("--n-samples", 31), "n-samples: 31 is outside"),
    "no duration": ("folder", write_header, ("--duration", 0), "duration: 0.0 is outside"),
    "all for the test": ("folder", write_header, ("--test-fraction", 1), "test-fraction: 1.0 is outside [0, 1)"),
    "negative seed": ("folder", write_header, ("--split-seed", -1), "split-seed: -1 is outside"),
    "no workers": ("folder", write_header, ("--workers", 0), "workers: 0 is outside"),
}


@pytest.mark.parametrize("name", PREPARE)
def test_prepare_refuses_and_writes_nothing(tmp_path, name):
    source, fill, options, message = PREPARE[name]
    (tmp_path / "from").mkdir()
    more = fill(tmp_path / "from")
    more = more if isinstance(more, tuple) and "--table" in more else ()
    before = everything(tmp_path)
    said = refused("prepare", source, tmp_path / "from", tmp_path / "to", "--workers", 1, *more, *options)
    assert message in said
    assert everything(tmp_path) == before


@pytest.mark.parametrize("source", [name for name in SOURCES if name != "synthetic"])
def test_prepare_refuses_an_empty_folder_for_every_source(tmp_path, source):
    (tmp_path / "from").mkdir()
    said = refused("prepare", source, tmp_path / "from", tmp_path / "to")
    assert f"{tmp_path / 'from'} holds no files" in said
    assert everything(tmp_path) == ["from"]


@pytest.mark.parametrize("source", [name for name in SOURCES if name not in ("ptbxl", "folder", "challenge")])
def test_prepare_refuses_the_folder_of_another_source(place, tmp_path, source):
    (tmp_path / "from").mkdir()
    for name in ("ptbxl_database.csv", "scp_statements.csv"):
        shutil.copy(place / "download" / name, tmp_path / "from")
    said = refused("prepare", source, tmp_path / "from", tmp_path / "to")
    assert str(tmp_path / "from") in said
    if source != "synthetic":
        fits = "is a download of ptbxl" if source in ("ningbo", "challenge") else "the source ptbxl might fit"
        assert fits in said
    assert not (tmp_path / "to").exists()


def test_prepare_does_not_fill_an_occupied_folder(place, tmp_path):
    (tmp_path / "mine").write_text("mine")
    said = refused("prepare", "ptbxl", place / "download", tmp_path, "--workers", 1)
    assert f"{tmp_path}: holds other results already; name a new or empty folder" in said
    assert everything(tmp_path) == ["mine"]


def test_a_message_stays_one_line_whatever_it_names(tmp_path):
    assert f"{tmp_path}/a b does not exist" in refused("prepare", "ptbxl", tmp_path / "a\nb", tmp_path / "to")


def test_an_unreadable_file_can_be_dropped(tmp_path):
    (tmp_path / "from").mkdir()
    write_header(tmp_path / "from")
    write_header(tmp_path / "from", "b", header="b 12 fast\n")
    words = ("prepare", "folder", tmp_path / "from", tmp_path / "to", "--workers", 1)
    assert "drop such files with --skip-unreadable" in refused(*words)
    status, out, _ = run(*words, "--skip-unreadable")
    assert status == 0
    assert "dropped 1: unreadable" in out


# --- pretrain, probe, finetune, embed ---

SHORT = ("--epochs", 1, "--workers", 0, "--device", "cpu")


def pretrain_words(place, target):
    return ("pretrain", "--data-dir", place / "data", "--run-dir", target, "--projector", "8-8", *SHORT)


def classify_words(command, place, target):
    data = ("--data-dir", place / "data", "--checkpoint", place / "run")
    return (command, *data, "--run-dir", target, *SHORT)


def embed_words(place, target):
    data = ("--data-dir", place / "data", "--checkpoint", place / "run")
    return ("embed", *data, "--out", target, "--workers", 0, "--device", "cpu")


#: Options of pretrain and words of the message.
PRETRAIN = {
    "gamma above": (("--gamma", 1.5), "gamma: 1.5 is outside [0, 1]"),
    "gamma below": (("--gamma", -0.1), "gamma: -0.1 is outside [0, 1]"),
    "gamma NaN": (("--gamma", "nan"), "gamma: nan is outside [0, 1]"),
    "batch of 1": (("--batch-size", 1), "batch-size: 1 is outside [2, inf)"),
    "batch too large": (("--batch-size", 1000), "batch-size: 1000 is more than the"),
    "unknown lead": (("--leads", "II,V9"), "lead V9: not in the data set"),
    "no epoch": (("--epochs", 0), "epochs: 0 is outside"),
    "projector": (("--projector", "2048x3"), "projector: '2048x3' is not a list of layer sizes"),
    "lambd": (("--lambd", -1), "lambd: -1.0 is outside"),
    "shortest crop": (("--shortest-crop", 0.05), "shortest-crop: 0.05 is outside [0.1, 1]"),
    "longest time-out": (("--longest-time-out", 1), "longest-time-out: 1.0 is outside [0, 0.9]"),
    "rate": (("--learning-rate", 0), "learning-rate: 0.0 is outside"),
    "warm-up": (("--warmup-epochs", 1), "warmup-epochs: 1.0 is outside [0, 1)"),
    "width": (("--width", 0), "width: 0.0 is outside"),
    "seed": (("--seed", -1), "seed: -1 is outside"),
    "device": (("--device", "abacus"), "device: 'abacus' cannot be used"),
    "preset": (("--preset", "huge"), "preset: 'huge' is not one of paper, small"),
    "precision": (("--precision", "fp16"), "precision: fp16 needs a GPU"),
    "quality data": (("--quality-data", "absent"), "absent is not a folder; give a packed data set"),
    "no data": (("--data-dir",), "data-dir: none given"),
    "absent data": (("--data-dir", "absent"), "absent is not a folder; give a packed data set"),
    "test records": (("--splits", "train", "test"), "splits: test is among them"),
    "exclude": (("--exclude", "absent.csv"), "exclude: absent.csv cannot be read"),
}


@pytest.mark.parametrize("name", PRETRAIN)
def test_pretrain_refuses_and_writes_nothing(place, tmp_path, name):
    options, message = PRETRAIN[name]
    assert message in refused(*pretrain_words(place, tmp_path / "to"), "--batch-size", 16, *options)
    assert everything(tmp_path) == []


#: Options of probe and finetune, and words of the message.
CLASSIFY = {
    "unknown lead": (("--leads", "II,V9"), "lead V9: the encoder has none of that name"),
    "batch of 1": (("--batch-size", 1), "batch-size: 1 is outside"),
    "number of classes": (("--num-classes", 3), "num-classes: 3 contradicts the 5 classes of"),
    "no fraction": (("--fraction", 0), "fraction: 0.0 is outside (0, 1]"),
    "whole and more": (("--fraction", 1.5), "fraction: 1.5 is outside"),
    "no epoch": (("--epochs", 0), "epochs: 0 is outside"),
    "seed": (("--seeds", -1), "seeds: -1 is outside"),
    "absent data": (("--data-dir", "absent"), "data-dir: absent is not a folder"),
    "absent checkpoint": (("--checkpoint", "absent"), "checkpoint: absent is none"),
}


@pytest.mark.parametrize("command", ["probe", "finetune"])
@pytest.mark.parametrize("name", CLASSIFY)
def test_classifiers_refuse_and_write_nothing(place, tmp_path, command, name):
    options, message = CLASSIFY[name]
    assert message in refused(*classify_words(command, place, tmp_path / "to"), *options)
    assert everything(tmp_path) == []


@pytest.mark.parametrize(("command", "start"), [("probe", "--random-encoder"), ("finetune", "--from-scratch")])
def test_a_checkpoint_and_a_random_start_exclude_each_other(place, tmp_path, command, start):
    both = refused(*classify_words(command, place, tmp_path / "to"), start)
    neither = refused(command, "--data-dir", place / "data", "--run-dir", tmp_path / "to")
    assert both == neither
    assert both.startswith(
        "checkpoint: give either --checkpoint, or --random-encoder (probe) or --from-scratch (finetune)"
    )
    assert everything(tmp_path) == []


class Harmful:
    """A pickled object that would leave a file behind if it were ever unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def broken_config(folder, change):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | change))


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def text_file(folder):
    shutil.rmtree(folder)
    folder.write_text("hello")


def pickled(folder):
    shutil.rmtree(folder)
    folder.write_bytes(pickle.dumps(Harmful(folder.parent / "harm")))


def emptied(folder):
    shutil.rmtree(folder)
    folder.mkdir()


#: What is done to a good encoder folder, and words of the message.
CHECKPOINTS = {
    "text file": (text_file, "is no checkpoint of the LFBT authors"),
    "pickle": (pickled, "is no checkpoint of the LFBT authors"),
    "empty folder": (emptied, "is none; give a run folder"),
    "no JSON": (lambda d: (d / "config.json").write_text("{"), "config.json: is not JSON"),
    "empty config": (lambda d: (d / "config.json").write_text("{}"), "does not describe an encoder"),
    "no leads": (lambda d: broken_config(d, {"leads": None}), "does not describe an encoder"),
    "leads twice": (lambda d: broken_config(d, {"leads": ["II", "II"]}), "II is named twice"),
    "normalisation": (lambda d: broken_config(d, {"normalisation": "max"}), "'max' is not one of record, lead, none"),
    "width": (lambda d: broken_config(d, {"width": 0.25}), "does not hold the weights that its config.json describes"),
    "other leads": (lambda d: broken_config(d, {"leads": ["II"]}), "does not hold the weights"),
    "no weights": (lambda d: (d / "model.safetensors").unlink(), "model.safetensors: is not there"),
    "cut weights": (lambda d: cut(d / "model.safetensors"), "is no whole safetensors file"),
}


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_what_is_no_checkpoint_is_refused(place, tmp_path, name):
    spoil, message = CHECKPOINTS[name]
    shutil.copytree(place / "run" / "encoder", tmp_path / "bad")
    spoil(tmp_path / "bad")
    before = everything(tmp_path)
    for words in (embed_words(place, tmp_path / "to"), classify_words("probe", place, tmp_path / "to")):
        said = refused(*words, "--checkpoint", tmp_path / "bad")
        assert message in said
        assert str(tmp_path / "bad") in said or "leads" in said
    assert everything(tmp_path) == before


def other_data(folder, leads=8, samples=128, classes="ab", bad=None):
    """An authors' folder with three files a class and split."""
    for i, split in enumerate(("train", "val", "test")):
        for name in classes:
            (folder / split / name).mkdir(parents=True)
            for number in range(3):
                signal = np.random.default_rng((number, i, ord(name))).normal(size=(leads, samples)).astype(np.float32)
                if bad is not None:
                    signal[0, 5] = bad
                np.save(folder / split / name / f"{number}.npy", signal)
    return folder


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"samples": 256}, "25.6 Hz against the encoder's 12.8 Hz; 256 samples against the encoder's 128"),
        ({"leads": 12}, "against the encoder's II,III,V1,V2,V3,V4,V5,V6"),
        ({"leads": 3}, "leads lead1,lead2,lead3"),
    ],
    ids=str,
)
def test_data_that_does_not_fit_the_encoder_is_refused_with_both_sides(place, tmp_path, shape, message):
    data = other_data(tmp_path / "data", **shape)
    before = everything(tmp_path)
    for words in (
        embed_words(place, tmp_path / "to"),
        classify_words("probe", place, tmp_path / "to"),
        classify_words("finetune", place, tmp_path / "to"),
    ):
        said = refused(*words, "--data-dir", data)
        assert said.startswith(f"{data}: the data set does not fit the encoder: ")
        assert message in said
        assert "--allow-mismatch" in said
    assert everything(tmp_path) == before


def test_the_number_of_leads_must_agree_even_then(place, tmp_path):
    data = other_data(tmp_path / "data", leads=3)
    assert "does not fit" in refused(*embed_words(place, tmp_path / "to"), "--data-dir", data, "--allow-mismatch")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_records_that_are_not_finite_are_refused_by_name(place, tmp_path, bad):
    data = other_data(tmp_path / "data", bad=bad)
    before = everything(tmp_path)
    for words in (
        pretrain_words(place, tmp_path / "to"),
        embed_words(place, tmp_path / "to"),
        classify_words("probe", place, tmp_path / "to"),
        classify_words("finetune", place, tmp_path / "to"),
    ):
        batch = () if words[0] == "embed" else ("--batch-size", 4)
        said = refused(*words, *batch, "--data-dir", data)
        assert f"{data}: record " in said
        assert "holds NaN or infinity" in said
        assert everything(tmp_path) == before


def test_one_class_only_is_refused(place, tmp_path):
    data = other_data(tmp_path / "data", classes="a")
    said = refused(*classify_words("probe", place, tmp_path / "to"), "--data-dir", data)
    assert said == f"{data}: 1 class(es) (a); a classifier needs two or more: prepare it with a label rule"
    for name in ("val", "test"):
        shutil.copytree(data / name / "a", data / name / "b")
    said = refused(*classify_words("probe", place, tmp_path / "to"), "--data-dir", data)
    assert said == f"{data}: the training records are all of class a; a classifier needs two classes"
    assert not (tmp_path / "to").exists()


def test_unlabelled_data_and_an_empty_split_are_refused(place, tmp_path):
    words = classify_words("probe", place, tmp_path / "to")
    data = other_data(tmp_path / "data")
    shutil.rmtree(data / "val")
    assert f"{data}: split val has no records" in refused(*words, "--data-dir", data)
    (tmp_path / "un" / "samples").mkdir(parents=True)
    np.save(tmp_path / "un" / "samples" / "0.npy", np.ones((8, 128), dtype=np.float32))
    assert "0 class(es) (no labels)" in refused(*words, "--data-dir", tmp_path / "un")
    assert not (tmp_path / "to").exists()


@pytest.mark.parametrize("shape", [(8,), (1, 8, 128), (8, 129)], ids=str)
def test_a_file_of_another_shape_is_refused_by_name(place, tmp_path, shape):
    data = other_data(tmp_path / "data")
    np.save(data / "val" / "b" / "1.npy", np.ones(shape, dtype=np.float32))
    said = refused(*pretrain_words(place, tmp_path / "to"), "--data-dir", data)
    assert f"{data}/val/b/1.npy: " in said
    assert not (tmp_path / "to").exists()


def test_objects_in_npy_files_are_never_unpickled(place, tmp_path):
    data = other_data(tmp_path / "data")
    np.save(data / "val" / "b" / "1.npy", np.array([Harmful(tmp_path / "harm")]), allow_pickle=True)
    assert "is not a .npy array of numbers" in refused(*embed_words(place, tmp_path / "to"), "--data-dir", data)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("words", [pretrain_words, embed_words])
def test_an_empty_data_folder_is_refused(place, tmp_path, words):
    (tmp_path / "data").mkdir()
    said = refused(*words(place, tmp_path / "to"), "--data-dir", tmp_path / "data")
    assert said.startswith(f"data-dir: {tmp_path / 'data'} holds no data set; give a packed data set")
    assert everything(tmp_path) == ["data"]


@pytest.mark.parametrize("command", ["pretrain", "probe", "finetune", "embed"])
def test_an_occupied_run_folder_is_left_as_it_is(place, tmp_path, command):
    (tmp_path / "mine").write_text("mine")
    words = {"pretrain": pretrain_words(place, tmp_path), "embed": embed_words(place, tmp_path)}
    given = words.get(command) or classify_words(command, place, tmp_path)
    batch = ("--batch-size", 16) if command == "pretrain" else ()
    assert "holds other results already" in refused(*given, *batch)
    assert everything(tmp_path) == ["mine"]


@pytest.mark.parametrize("command", ["pretrain", "probe", "embed"])
def test_a_place_that_cannot_be_written_to_is_refused(place, tmp_path, command):
    (tmp_path / "file").write_text("mine")
    target = tmp_path / "file" / "to"
    words = {"pretrain": pretrain_words(place, target), "embed": embed_words(place, target)}
    given = words.get(command) or classify_words(command, place, target)
    batch = ("--batch-size", 16) if command == "pretrain" else ()
    assert str(tmp_path / "file") in refused(*given, *batch)
    assert everything(tmp_path) == ["file"]


def test_a_classifier_does_not_take_fewer_leads_than_it_has(place, tmp_path):
    data = other_data(tmp_path / "data")
    fitted = tmp_path / "fitted"
    words = ("probe", "--data-dir", data, "--checkpoint", place / "run", "--run-dir", fitted, *SHORT)
    assert run(*words)[0] == 0
    said = refused("embed", "--data-dir", data, "--checkpoint", fitted, "--out", tmp_path / "to", "--leads", "II,V1")
    assert "takes II,III,V1,V2,V3,V4,V5,V6 in this order, not II,V1" in said
    assert not (tmp_path / "to").exists()


# --- words ---


@pytest.mark.parametrize("word", ["prepar", "--frobnicate", "train", ""])
def test_an_unknown_command_is_refused_with_the_known_ones(word):
    assert refused(word) == f"{word!r} is no command; commands are {', '.join(COMMANDS)}"


@pytest.mark.parametrize("word", ["ptb-xl", "--leads", ""])
def test_an_unknown_source_is_refused_with_the_known_ones(tmp_path, word):
    assert refused("prepare", word, tmp_path, tmp_path / "to") == f"source: {word!r} is not one of {', '.join(SOURCES)}"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("pretrain", "--run-dir", "x"), "--data-dir"),
        (("pretrain", "--data-dir", "x", "--run-dir", "y", "--gama", "1"), "--gama"),
        (("pretrain", "--data-dir", "x", "--run-dir", "y", "--gamma", "much"), "--gamma"),
        (("prepare", "ptbxl", "x"), "TO"),
        (("prepare", "ptbxl", "x", "y", "--layout", "zip"), "--layout"),
        (("probe", "--data-dir", "x"), "--run-dir"),
    ],
    ids=str,
)
def test_options_that_are_none_are_named(tmp_path, monkeypatch, words, told):
    monkeypatch.chdir(tmp_path)
    status, _, err = run(*words)
    assert status == 2
    assert told in err
    assert "Traceback" not in err
    assert everything(tmp_path) == []


def test_a_process_ends_with_status_2_and_one_line(tmp_path):
    words = [sys.executable, "-m", "lfbt", "prepare", "ptbxl", str(tmp_path / "absent"), str(tmp_path / "to")]
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    expected = f"lfbt: error: folder: {tmp_path}/absent does not exist; give the folder that holds the download\n"
    assert ended.stderr == expected
    assert everything(tmp_path) == []


def test_an_interrupt_ends_with_status_130(place, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("lfbt.data.executors.prepare_entry", interrupted)
    status, _, err = run("prepare", "ptbxl", place / "download", tmp_path / "to", "--workers", 1)
    assert (status, err) == (130, "lfbt: interrupted\n")
    assert everything(tmp_path) == []


@pytest.mark.parametrize(("leads", "said"), [("II,II", "leads: II is named twice"), ("", "leads: none given")])
def test_lead_lists_are_refused_in_one_line(leads, said):
    assert said in refused("probe", "--data-dir", "x", "--run-dir", "y", "--leads", leads)
