"""``lfbt predict`` and ``lfbt embed FILE``: words before and after flags, statuses, what is printed."""

import csv
import json
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from tests.cli.helpers import CLASSIFY_SHORT, output_of, refused, run
from tests.factories import write_labelled
from tests.inference.test_classifier import write_run

from lfbt.cli.predict import parse
from lfbt.data.layouts import open_dataset

FILES = ("--file-leads", "II,V1", "--file-sampling-rate", 6.4)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A run with a classifier, and two recordings and a broken one in a folder."""
    place = tmp_path_factory.mktemp("predict")
    dataset = open_dataset(write_labelled(place / "data"))
    write_run(place / "run", place / "data")
    (place / "files").mkdir()
    for row in range(2):
        np.save(place / "files" / f"{row}.npy", np.asarray(dataset.signals[np.array([row])])[0])
    (place / "files" / "2.npy").write_bytes(b"no array")
    return place


def test_predict_answers_files_and_says_which_it_cannot(place, tmp_path):
    words = ("predict", "--classifier", place / "run", place / "files", *FILES, "--device", "cpu")
    status, out, err = run(*words, "--out", tmp_path / "a.jsonl")
    assert (status, out) == (1, f"{tmp_path / 'a.jsonl'}: 2 recordings answered\n")
    assert err.startswith(f"1 recording could not be answered, the first: file {place}/files/2.npy:")
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert [line["record"] for line in lines] == ["0", "1", "2"]
    assert "cannot be read" in lines[2]["error"]
    assert sum(value for name, value in lines[0].items() if name.startswith("p_")) == pytest.approx(1)


def test_predict_prints_the_answer_of_one_file(place):
    out = output_of("predict", place / "files" / "0.npy", "--classifier", place / "run", *FILES, "--device", "cpu")
    header, row = out.splitlines()
    assert header.startswith("file,record,patient,pieces,p_fast,p_middle,p_slow,predicted")
    assert row.startswith(f"{place}/files/0.npy,0,,1,0.")


def test_predict_refuses_in_one_line(place, tmp_path):
    classifier = ("--classifier", place / "run")
    assert refused("predict", place / "files").startswith("--classifier: required, but not given")
    assert refused("predict", *classifier).startswith("inputs: none given")
    assert "no recording could be answered" in refused("predict", place / "files" / "2.npy", *classifier, *FILES)
    assert "is no run with a classifier" in refused("predict", place / "files", "--classifier", place / "data")
    assert "--file-sampling-rate: none given" in refused("predict", place / "files", *classifier)
    assert "ends in none of" in refused("predict", place / "files", *classifier, "--out", tmp_path / "a.txt")


@pytest.mark.parametrize(
    ("words", "inputs"),
    [
        ("a b --classifier r", "a b"),
        ("--classifier r a b", "a b"),
        ("a --classifier r --per-piece b", "a b"),
        ("a --classifier=r b", "a b"),
        ("--classifier r -- --a b", "--a b"),
        ("- --classifier r", "-"),
        ("--classifier r", ""),
    ],
)
def test_predict_takes_words_without_a_flag_for_inputs(words, inputs):
    settings = parse(words.split())
    assert " ".join(map(str, settings.answers.inputs)) == inputs
    assert str(settings.classifier) == "r"


def test_predict_reads_a_list_from_stdin(place):
    words = [sys.executable, "-m", "lfbt", "predict", "-", "--classifier", place / "run", *FILES, "--device", "cpu"]
    listed = "".join(f"{place}/files/{row}.npy\n" for row in (1, 0))
    done = subprocess.run([*map(str, words)], input=listed, capture_output=True, text=True, check=True)
    assert [line.split(",")[1] for line in done.stdout.splitlines()] == ["record", "1", "0"]


def test_embed_writes_a_table_of_files_or_a_folder_of_data_sets(place, tmp_path):
    checkpoint = ("--checkpoint", place / "run", "--device", "cpu")
    status, _, _ = run("embed", place / "files", *checkpoint, *FILES, "--out", tmp_path / "a.csv")
    assert status == 1
    assert len((tmp_path / "a.csv").read_text().splitlines()) == 4
    message = refused("embed", place / "files", "--data-dir", place / "data", *checkpoint)
    assert message.startswith("--data-dir: inputs are given as well")
    message = refused("embed", "--data-dir", place / "data", *checkpoint, "--out", tmp_path / "b.csv")
    assert "the embeddings of data sets go into a folder" in message


@pytest.mark.parametrize("command", ["probe", "finetune"])
def test_classifier_trained_with_lead_dropout_answers_files_that_lack_leads(chain, tmp_path, command):
    """From synthetic data to a table: figures of each subset where it is trained, and the leads used of each file."""
    words = ("--lead-subsets", "limb", "V1,V5", "--leads-dropout", 0.5, "--checkpoint", chain / "pretrain")
    out = output_of(command, "--data-dir", chain / "data", "--run-dir", tmp_path / "run", *words, *CLASSIFY_SHORT)
    assert "the same classifier with leads II,III only (limb): macro AUROC 0." in out
    assert "the same classifier with leads V1,V5 only: macro AUROC 0." in out
    scores = json.loads((tmp_path / "run" / "results.json").read_text())["by_lead_subset"]
    assert {name: one["leads"] for name, one in scores.items()} == {"limb": ["II", "III"], "V1,V5": ["V1", "V5"]}
    signal = np.asarray(open_dataset(chain / "data").signals[np.array([0])])[0]
    names = open_dataset(chain / "data").leads
    (tmp_path / "files").mkdir()
    for leads in (names, ("V5", "III", "V1"), ("V6", "V1")):
        rows = [names.index(lead) for lead in leads]
        lines = [",".join(leads), *(",".join(map(str, values)) for values in signal[rows].T)]
        (tmp_path / "files" / f"{len(leads)}.csv").write_text("\n".join(lines) + "\n")
    given = ("--file-sampling-rate", signal.shape[1] / 10, "--device", "cpu")
    classifier = ("--classifier", tmp_path / "run")
    status, out, err = run("predict", tmp_path / "files", *classifier, *given, "--out", tmp_path / "a.csv")
    assert status == 1, err
    two, three, eight = csv.DictReader((tmp_path / "a.csv").read_text().splitlines())
    assert (eight["leads"], eight["notes"]) == (",".join(names), "")
    assert (three["leads"], two["leads"]) == ("V1,V5", "")
    assert three["notes"] == "absent lead II,V2,V3,V4,V6: answered from V1,V5, without III"
    assert two["error"].endswith("; the encoder takes II,III,V1,V2,V3,V4,V5,V6, or the subset II,III or V1,V5")
    embedded = output_of(
        "embed", tmp_path / "files", "--checkpoint", tmp_path / "run", *given, "--missing-leads", "nan"
    )
    two, three, eight = csv.DictReader(embedded.splitlines())
    assert [row["leads"] for row in (two, three, eight)] == ["V1,V6", "III,V1,V5", ",".join(names)]
    assert (three["e0"], three["e64"] != "", eight["e0"] != "") == ("", True, True)


def test_lead_dropout_is_refused_in_one_line(chain, tmp_path):
    words = ("--data-dir", chain / "data", "--checkpoint", chain / "pretrain", "--run-dir", tmp_path / "run")
    assert refused("probe", *words, "--leads-dropout", 0.5).startswith("--leads-dropout: 0.5, but no")
    assert refused("finetune", *words, "--lead-subsets", "II").startswith("--lead-subsets: has no effect without")
    assert refused("probe", *words, "--lead-subsets", "II", "--leads-dropout", 2).startswith("--leads-dropout: ")
    message = refused("probe", *words, "--lead-subsets", "II", "--leads-dropout", 0.5, "--classifier", "knn")
    assert message.startswith("--leads-dropout: has no effect with")
    checkpoint = ("--checkpoint", chain / "pretrain", "--out", tmp_path / "out")
    message = refused("embed", "--data-dir", chain / "data", *checkpoint, "--missing-leads", "nan")
    assert message.startswith("--missing-leads: nan has an effect on inputs only")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["predict", "embed"])
@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_watch_answers_files_as_they_arrive_and_ends_with_a_line(place, tmp_path, command, sent):
    model = ("--classifier" if command == "predict" else "--checkpoint", place / "run")
    (tmp_path / "in").mkdir()
    out = tmp_path / "a.jsonl"
    words = (command, *model, "--watch", tmp_path / "in", "--poll-seconds", 0.05, "--out", out, *FILES)
    with subprocess.Popen([sys.executable, "-m", "lfbt", *map(str, words)], stderr=subprocess.PIPE, text=True) as watch:
        assert watch.stderr is not None
        assert watch.stderr.readline() == f"watching {tmp_path}/in every 0.05 s; Ctrl-C ends it\n"
        for name in ("0.npy", "2.npy"):
            shutil.copy(place / "files" / name, tmp_path / "in")
        deadline = time.monotonic() + 60
        while out.read_bytes().count(b"\n") < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert refused(*words) == f"--out: another process is adding to {out} now; end it, or name another file"
        watch.send_signal(sent)
        _, err = watch.communicate()
    counts = f"1 file answered, 1 could not be in {out}, and the same command goes on"
    assert (watch.returncode, err) == (75, f"lfbt: stopped by {sent.name}: {counts}\n")
    assert [json.loads(line)["record"] for line in out.read_text().splitlines()] == ["0", "2"]


def test_watch_refuses_in_one_line(place, tmp_path):
    words = ("predict", "--classifier", place / "run", *FILES, "--device", "cpu")
    watch = (*words, "--watch", tmp_path)
    assert refused(*watch, "--json").startswith("--out: required with --watch and --json or --quiet")
    assert "a.parquet cannot be added to" in refused(*watch, "--out", tmp_path / "a.parquet")
    assert refused(*watch, place / "files").startswith("--watch: inputs are given as well")
    assert refused(*words, "--watch", tmp_path / "absent").startswith(f"--watch: {tmp_path}/absent does not exist")
    assert refused(*words, place / "files", "--poll-seconds", 3).startswith("--poll-seconds: has no effect without")
    other = ("embed", "--checkpoint", place / "run", "--data-dir", place / "data", "--watch", tmp_path)
    assert refused(*other).startswith("--data-dir: watch is given as well")
    assert list(tmp_path.iterdir()) == []
