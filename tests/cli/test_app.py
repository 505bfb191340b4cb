"""`lfbt` with its commands: their list, what they have in common, and what they refuse alike."""

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.cli.helpers import (
    CLASSIFY_SHORT,
    PRETRAIN_SHORT,
    classify_words,
    embed_words,
    everything,
    other_data,
    output_of,
    pretrain_words,
    read_json,
    refused,
    run,
)
from tests.hub import FakeHub
from tests.outputs import contents, read_table

import lfbt
from lfbt.cli.app import COMMANDS, main
from lfbt.data.layouts import open_dataset
from lfbt.data.record_hash import hash_table
from lfbt.recording import PAPER_LEADS
from lfbt.runs.run_folder import RunSettings, acquire_run_folder

CLASSES = ("NORM", "MI", "STTC", "CD", "HYP")


# --- commands and version ---


@pytest.mark.parametrize("words", [(), ("-h",), ("--help",)], ids=str)
def test_main_lists_the_commands(words):
    output = output_of(*words)
    for name, meaning in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(meaning)}$", output, re.MULTILINE)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_a_module(name):
    module = importlib.import_module(f"lfbt.cli.{name}")
    assert callable(module.run)
    assert callable(module.parse)


@pytest.mark.parametrize(("word", "near"), [("prob", "probe"), ("prepar", "prepare"), ("fine-tune", "finetune")])
def test_main_suggests_the_nearest_command(word, near, capsys):
    with pytest.raises(SystemExit) as caught:
        main([word])
    assert caught.value.code == 2
    assert capsys.readouterr().err == f"lfbt: error: {word!r} is no command; did you mean `{near}`?\n"


def test_main_runs_one_process_of_a_command_that_cannot_share_work(monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SystemExit) as caught:
        main(["probe", "--help"])
    assert caught.value.code == 2
    assert "probe runs in one process" in capsys.readouterr().err


def test_main_prints_the_version_from_the_module_too():
    assert output_of("--version") == f"lfbt {lfbt.__version__}\n"
    run = subprocess.run([sys.executable, "-m", "lfbt", "--version"], capture_output=True, text=True, check=True)
    assert (run.stdout, run.stderr) == (f"lfbt {lfbt.__version__}\n", "")


@pytest.mark.parametrize("word", ["--version", "--help"])
def test_version_and_list_import_nothing_slow(word):
    program = f"import sys; from lfbt.cli import main; main([{word!r}]); print(sorted(sys.modules), file=sys.stderr)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "'lfbt.cli.app'" in run.stderr
    for slow in ("numpy", "pandas", "torch", "tyro"):
        assert f"'{slow}'" not in run.stderr


@pytest.mark.parametrize("word", ["--frobnicate", "x", ""])
def test_main_refuses_an_unknown_command_with_the_known_ones(word):
    assert refused(word) == f"{word!r} is no command; commands are {', '.join(COMMANDS)}"


@pytest.mark.parametrize(
    ("words", "named"),
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
def test_main_names_unknown_options(tmp_path, monkeypatch, words, named):
    monkeypatch.chdir(tmp_path)
    status, _, err = run(*words)
    assert status == 2
    assert named in err
    assert "Traceback" not in err
    assert everything(tmp_path) == []


# --- what the classifying commands have in common ---


@pytest.mark.parametrize(
    ("run", "kind", "checkpoint", "method"),
    [
        ("probe", "probe", "pretrain", "LFBT"),
        ("random", "probe", None, "random"),
        ("finetune", "finetune", "pretrain", "LFBT"),
        ("scratch", "scratch", None, "random"),
    ],
)
def test_probe_and_finetune_write_and_print_their_results(chain, run, kind, checkpoint, method):
    results = read_json(chain / run / "results.json")
    dataset = open_dataset(chain / "data")
    assert (results["kind"], results["synthetic"]) == (kind, True)
    assert (results["encoder"]["checkpoint"], results["encoder"]["history"]["method"]) == (checkpoint, method)
    assert results["leads"] == list(PAPER_LEADS)
    assert results["data"]["classes"] == list(CLASSES)
    labels = np.array([label for (label,) in dataset.labels])
    for split, counts in results["data"]["counts"].items():
        assert counts == {name: int((labels[dataset.rows(split)] == name).sum()) for name in CLASSES}
    test = dataset.rows("test")
    predictions = read_table(chain / run / "predictions.csv")
    assert [row["id"] for row in predictions] == [dataset.ids[row] for row in test]
    assert [row["label"] for row in predictions] == labels[test].tolist()
    probabilities = np.array([[float(row[f"p_{name}"]) for name in CLASSES] for row in predictions])
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    right = probabilities.argmax(axis=1) == [CLASSES.index(label) for label in labels[test]]
    assert results["test"]["accuracy"] == pytest.approx(right.mean())
    lines = [json.loads(line) for line in (chain / run / "history.jsonl").read_text().splitlines()]
    losses = [line["val_loss"] for line in lines]
    assert len(losses) == 2
    assert (results["chosen"]["epoch"], results["val_loss"]) == (losses.index(min(losses)) + 1, min(losses))
    output = read_json(chain / "outputs.json")[run]
    assert f"{kind}, epoch {results['chosen']['epoch']}" in output
    assert f"SYNTHETIC data, {len(test)} test records: macro AUROC {results['test']['auroc']:.4f}" in output
    for name in CLASSES:
        assert re.search(rf"^  {name} +\d+ records  AUROC ", output, re.MULTILINE)


@pytest.mark.parametrize("run", ["probe", "random", "finetune", "scratch"])
def test_probe_and_finetune_give_the_same_results_again(chain, tmp_path, run):
    command = "probe" if run in ("probe", "random") else "finetune"
    start = {"random": ("--random-encoder",), "scratch": ("--from-scratch",)}.get(
        run, ("--checkpoint", chain / "pretrain")
    )
    output_of(command, "--data-dir", chain / "data", *start, "--run-dir", tmp_path / "again", *CLASSIFY_SHORT)
    once, again = read_json(chain / run / "results.json"), read_json(tmp_path / "again" / "results.json")
    for key in ("test", "val", "chosen", "val_loss", "data", "encoder"):
        assert again[key] == once[key]
    for name in ("predictions.csv", "splits.csv", "history.jsonl", "encoder/model.safetensors"):
        assert (tmp_path / "again" / name).read_bytes() == (chain / run / name).read_bytes()


# --- data and folders that cannot be used ---


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"samples": 256}, "25.6 Hz against the encoder's 12.8 Hz; 256 samples against the encoder's 128"),
        ({"leads": 12}, "against the encoder's II,III,V1,V2,V3,V4,V5,V6"),
        ({"leads": 3}, "leads lead1,lead2,lead3"),
    ],
    ids=str,
)
def test_commands_refuse_data_that_does_not_fit_the_encoder_with_both_sides(place, tmp_path, shape, message):
    data = other_data(tmp_path / "data", **shape)
    before = everything(tmp_path)
    for words in (
        embed_words(place, tmp_path / "to"),
        classify_words("probe", place, tmp_path / "to"),
        classify_words("finetune", place, tmp_path / "to"),
    ):
        line = refused(*words, "--data-dir", data)
        assert line.startswith(f"{data}: the data set does not fit the encoder: ")
        assert message in line
        assert "--allow-mismatch" in line
    assert everything(tmp_path) == before


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_commands_refuse_records_that_are_not_finite_by_name(place, tmp_path, bad):
    data = other_data(tmp_path / "data", bad=bad)
    before = everything(tmp_path)
    for words in (
        pretrain_words(place, tmp_path / "to"),
        embed_words(place, tmp_path / "to"),
        classify_words("probe", place, tmp_path / "to"),
        classify_words("finetune", place, tmp_path / "to"),
    ):
        batch = () if words[0] == "embed" else ("--batch-size", 4)
        message = refused(*words, *batch, "--data-dir", data, begun=words[0] != "embed")
        assert f"{data}: record " in message
        assert "holds NaN or infinity" in message
        assert everything(tmp_path) == before


@pytest.mark.parametrize("words", [pretrain_words, embed_words])
def test_commands_refuse_an_empty_data_folder(place, tmp_path, words):
    (tmp_path / "data").mkdir()
    message = refused(*words(place, tmp_path / "to"), "--data-dir", tmp_path / "data")
    assert message.startswith(f"--data-dir: {tmp_path / 'data'} holds no data set; give a packed data set")
    assert everything(tmp_path) == ["data"]


@pytest.mark.parametrize("command", ["pretrain", "probe", "finetune", "embed"])
def test_commands_leave_an_occupied_run_folder_as_it_is(place, tmp_path, command):
    (tmp_path / "mine").write_text("mine")
    words = {"pretrain": pretrain_words(place, tmp_path), "embed": embed_words(place, tmp_path)}
    given = words.get(command) or classify_words(command, place, tmp_path)
    batch = ("--batch-size", 16) if command == "pretrain" else ()
    assert "holds other results already" in refused(*given, *batch)
    assert everything(tmp_path) == ["mine"]


@pytest.mark.parametrize("command", ["pretrain", "probe", "embed"])
def test_commands_refuse_a_folder_that_cannot_be_written_to(place, tmp_path, command):
    (tmp_path / "file").write_text("mine")
    target = tmp_path / "file" / "to"
    words = {"pretrain": pretrain_words(place, target), "embed": embed_words(place, target)}
    given = words.get(command) or classify_words(command, place, target)
    batch = ("--batch-size", 16) if command == "pretrain" else ()
    assert str(tmp_path / "file") in refused(*given, *batch, begun=command == "probe")
    assert everything(tmp_path) == ["file"]


def overwriting(chain, to):
    """Commands that write a folder, by name: the words, without --overwrite, and the file that says what it is."""
    data = ("--data-dir", chain / "data")
    short = ("--run-dir", to, *CLASSIFY_SHORT)
    options = ("--records", 70, "--n-samples", 128, "--workers", 1)
    return {
        "prepare": (("prepare", "synthetic", chain / "download", to, *options), "dataset.json"),
        "check": (("check", chain / "data", "--out", to), "check.json"),
        "pretrain": (
            ("pretrain", *data, "--run-dir", to, *PRETRAIN_SHORT, "--quality-data", chain / "data"),
            "settings.json",
        ),
        "probe": (("probe", *data, "--random-encoder", *short), "results.json"),
        "trials": (("probe", *data, "--random-encoder", *short, "--seeds", 0, 1), "settings.json"),
        "embed": (("embed", *data, "--checkpoint", chain / "probe", "--out", to), "embed.json"),
        "finetune": (("finetune", *data, "--from-scratch", *short), "results.json"),
        "compare": (("compare", chain / "probe", chain / "random", "--draws", 10, "--out", to), "compare.json"),
        "report": (("report", "--out", to, chain / "probe"), "report.json"),
    }


# Another option of each of these commands, and what differs then.
OTHER_WORDS: dict[str, tuple[tuple[Any, ...], str]] = {
    "prepare": (("--dtype", "float16"), "--dtype is float16 but was float32"),
    "check": (("--split-seed", 1), "--split-seed is 1 but was 0"),
    "pretrain": (("--gamma", 0.5), "--gamma is 0.5 but was 0.8"),
    "probe": (("--seeds", 1), r"--seeds is \[1\] but was \[0\]"),
    "trials": (("--learning-rate", 0.1), r"--learning-rate is \[0.1\] but was \[0.001\]"),
    "finetune": (("--learning-rate", 0.1), "--learning-rate is 0.1 but was 0.0001"),
    "embed": (("--precision", "bf16"), "--precision is bf16 but was fp32"),
    "compare": (("--seed", 1), "--seed is 1 but was 0"),
}


@pytest.mark.parametrize(
    "name", ["prepare", "check", "pretrain", "probe", "trials", "finetune", "embed", "compare", "report"]
)
def test_overwrite_replaces_what_the_command_has_written_and_nothing_else(chain, tmp_path, name):
    to = tmp_path / "place" / "to"
    words, manifest = overwriting(chain, to)[name]
    assert run(*words)[0] == 0
    first = contents(to)
    assert_finished(to, *words, says=name != "check")
    other, difference = OTHER_WORDS.get(name) or ((chain / "random",), "the runs or what they hold changed")
    message = refused(*words, *other, begun=name == "trials")
    assert re.search(rf"^{to}: holds (other results|another run) already \(.*{difference}", message)
    assert message.endswith(("--overwrite", "or name a new folder"))
    assert contents(to) == first
    (to / manifest).write_text((to / manifest).read_text() + "\n\n")
    assert run(*words, "--overwrite")[0] == 0
    assert contents(to).keys() == first.keys()
    assert (to / manifest).read_bytes() == first[manifest] or name in ("probe", "finetune")
    assert not (to / manifest).read_text().endswith("\n\n")
    assert [path.name for path in to.parent.iterdir()] == ["to"]
    (to / "thesis.tex").write_text("mine")
    assert "--overwrite: " in refused(*words, "--overwrite")
    assert contents(to) == contents(to) | {"thesis.tex": b"mine"}


@pytest.mark.parametrize("name", ["pretrain", "probe", "trials", "finetune"])
def test_a_finished_run_without_its_report_gets_one(chain, tmp_path, name):
    to = tmp_path / "to"
    words, _ = overwriting(chain, to)[name]
    assert run(*words)[0] == 0
    before = contents(to)
    (to / "report.html").unlink()
    assert_finished(to, *words)
    assert contents(to).keys() == before.keys()


def test_draw_and_export_say_that_they_are_finished(chain, tmp_path):
    ids = open_dataset(chain / "data").ids
    for words, out, other in (
        (("draw", chain / "data"), tmp_path / "a.svg", ("--record", ids[1])),
        (("draw", chain / "data"), tmp_path / "a.pdf", ("--record", ids[1])),
        (("export", chain / "probe"), tmp_path / "a.onnx", ("--variant", "float16")),
    ):
        first = ("--record", ids[0]) if "draw" in words else ()
        assert run(*words, *first, "--out", out)[0] == 0
        assert_finished(out, *words, *first, "--out", out)
        before = out.read_bytes()
        message = refused(*words, *other, "--out", out)
        assert f"{out} exists, and holds something else; give another name, or --overwrite" in message
        assert out.read_bytes() == before


def assert_finished(to, *words, says=True):
    """The same words again end with status 0 and leave every file as it is."""
    files = [path for path in (to, *to.rglob("*")) if path.is_file()]
    before = [(path, path.stat().st_mtime_ns) for path in files if path.name != ".lock"]
    status, out, err = run(*words)
    said = (
        f"{to}: finished before, with the same settings and data; for results anew give --overwrite, for others "
        "another name\n"
    )
    assert (status, out == said) == (0, says), err
    assert [(path, path.stat().st_mtime_ns) for path, _ in before] == before


def test_finished_is_json_for_programs(chain):
    status, out, _ = run(
        "embed", "--data-dir", chain / "data", "--checkpoint", chain / "random", "--out", chain / "embed", "--json"
    )
    assert (status, json.loads(out)) == (0, {"finished": str(chain / "embed")})


def test_overwrite_refuses_runs_of_other_commands(chain, tmp_path):
    data = ("--data-dir", chain / "data")
    words = ("probe", *data, "--random-encoder", *CLASSIFY_SHORT, "--overwrite")
    assert "has no results.json of lfbt" in refused(*words, "--run-dir", chain / "pretrain")
    message = refused(*words, "--run-dir", chain / "pretrain", "--seeds", 0, 1)
    assert "also holds checkpoints" in message
    (tmp_path / "run").mkdir()
    shutil.copy(chain / "pretrain" / "settings.json", tmp_path / "run")
    message = refused(*words, "--run-dir", tmp_path / "run", "--seeds", 0, 1)
    assert message == f"--overwrite: {tmp_path}/run holds a run of pretrain, not of probe; name a new folder"
    assert everything(tmp_path) == ["run", "run/settings.json"]


def test_overwrite_of_a_run_removes_nothing_before_the_data_is_open_and_checked(chain, tmp_path):
    to = tmp_path / "run"
    words = ("pretrain", "--run-dir", to, *PRETRAIN_SHORT)
    assert run(*words, "--data-dir", chain / "data")[0] == 0
    before = contents(to)
    assert "is not a folder" in refused(*words, "--data-dir", chain / "absent", "--overwrite")
    own = ("--data-dir", chain / "data", "--overwrite")
    assert "gamma" in refused(*words, *own, "--gamma", 2)
    labelled = shutil.copytree(chain / "data", tmp_path / "labelled")
    table = pd.read_csv(labelled / "records.csv", dtype=str, keep_default_na=False)
    table.loc[table["split"] == "train", "split"] = ["test"] * 5 + ["train"] * ((table["split"] == "train").sum() - 5)
    table.to_csv(labelled / "records.csv", index=False)
    manifest = json.loads((labelled / "dataset.json").read_text())
    (labelled / "dataset.json").write_text(json.dumps(manifest | {"hash": hash_table(labelled / "records.csv")}))
    assert "test records" in refused(*words, *own, "--quality-data", labelled)
    assert refused(*words, *own, "--resume").startswith("--overwrite: removes the run that --resume goes on with")
    with acquire_run_folder(to, RunSettings.load(to), frozenset(), resume=True):
        assert "another run is going on there" in refused(*words, *own)
    assert contents(to).keys() == before.keys()
    assert (to / "encoder" / "model.safetensors").read_bytes() == before["encoder/model.safetensors"]


def test_overwrite_of_a_run_takes_what_a_killed_one_left(chain, tmp_path):
    to = tmp_path / "run"
    words = ("pretrain", "--data-dir", chain / "data", "--run-dir", to, *PRETRAIN_SHORT, "--overwrite")
    assert run(*words)[0] == 0
    expected = everything(to)
    (to / "encoder" / ".model.safetensors.partial-1").write_text("")
    (to / ".history.jsonl.partial-1").write_text("")
    shutil.rmtree(to / "checkpoints")
    assert run(*words)[0] == 0
    assert everything(to) == expected


def test_overwrite_of_trials_keeps_the_checkpoint_that_they_start_from(chain, tmp_path):
    words = ("probe", "--data-dir", chain / "data", "--run-dir", tmp_path / "run", *CLASSIFY_SHORT, "--seeds", 0, 1)
    assert run(*words, "--random-encoder")[0] == 0
    checkpoint = tmp_path / "run" / "fraction-1-seed-0"
    message = refused(*words, "--checkpoint", checkpoint, "--overwrite")
    assert message == f"--overwrite: {tmp_path}/run holds the checkpoint {checkpoint}; name a new folder"
    assert checkpoint.is_dir()


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_overwrite_replaces_answers_and_no_other_file(chain, tmp_path, suffix):
    pytest.importorskip("pyarrow", reason="Parquet is an extra")
    out = tmp_path / f"a.{suffix}"
    words = ("predict", chain / "data", "--classifier", chain / "probe")
    named = (*words, "--out", out)
    assert run(*named)[0] == 0
    first = out.read_bytes()
    status, printed, _ = run(*named, "--json")
    assert (status, json.loads(printed)) == (0, {"finished": str(out)})
    assert "this command gives; give another name, or replace it with --overwrite" in refused(*named, "--per-piece")
    assert run(*named, "--per-piece", "--overwrite")[0] == 0
    assert out.read_bytes() != first
    assert run(*named, "--overwrite")[0] == 0
    assert out.read_bytes() == first
    out.write_text("file,label\na,b\n")
    assert refused(*named, "--overwrite") == f"--overwrite: {out} is no table of answers of lfbt; give another name"
    assert out.read_text() == "file,label\na,b\n"
    out.unlink()
    out.symlink_to(chain / "data" / "dataset.json")
    assert refused(*named, "--overwrite") == f"--overwrite: {out} is a link; give another name"
    assert refused(*words, "--overwrite") == "--overwrite: has no effect without --out; leave it out"


@pytest.fixture
def hub(tmp_path, monkeypatch, chain):
    pytest.importorskip("huggingface_hub", reason="an extra: pip install 'lfbt[hub]'")
    monkeypatch.chdir(tmp_path)
    hub = FakeHub(tmp_path / "hub", monkeypatch)
    shutil.copytree(chain / "pretrain" / "encoder", hub.folder / "owner" / "name")
    return hub


@pytest.mark.parametrize("command", ["probe", "finetune", "embed", "embed file"])
def test_checkpoint_may_be_a_repository_of_the_hub(chain, tmp_path, hub, command):
    out, data = ("--run-dir", tmp_path / "run"), ("--data-dir", chain / "data")
    words = {
        "embed": ("embed", *data, "--out", tmp_path / "run"),
        "embed file": ("embed", chain / "data", "--out", tmp_path / "run.csv"),
    }.get(command, (command, *data, *out, *CLASSIFY_SHORT))
    message = refused(*words, "--checkpoint", "hf://owner/absent")
    assert message.startswith("--checkpoint: owner/absent does not exist here, and cannot be had from the hub")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "huggingface_hub", None)
        message = refused(*words, "--checkpoint", "owner/name")
    assert message.startswith("--checkpoint: owner/name does not exist here")
    assert message.endswith("pip install 'lfbt[hub]'")
    status, _, err = run(*words, "--checkpoint", "owner/name")
    assert (status, hub.downloads[1:]) == (0, [("owner/name", None)])
    assert re.search(r"^checkpoint: .* of the Hugging Face Hub, in ", err, re.MULTILINE)


def test_a_command_in_a_folder_that_was_removed_says_so(tmp_path):
    code = (
        "import os, sys; os.chdir(sys.argv[1]); os.rmdir(sys.argv[1])\n"
        "from lfbt.cli.app import main; main(['prepare', 'synthetic', 'a', 'b'])"
    )
    (tmp_path / "gone").mkdir()
    run = subprocess.run([sys.executable, "-c", code, tmp_path / "gone"], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (
        2,
        "lfbt: error: the current folder was removed; change to one that is there\n",
    )


def test_prepare_and_check_name_files_whose_names_are_not_utf_8(tmp_path):
    source = tmp_path / os.fsdecode(b"from\xff")
    source.mkdir()
    for k in range(12):
        np.save(source / os.fsdecode(b"a\xfe%d.npy" % k), beats(k))
    words = ["--file-leads", "II,V1", "--file-sampling-rate", "500", "--leads", "II,V1", "--n-samples", "64"]
    output_of("prepare", "folder", source, tmp_path / "to", *words, "--workers", "1")
    rows = (tmp_path / "to" / "records.csv").read_text().splitlines()
    assert rows[1].startswith("a\\xfe0,a\\xfe0,a\\xfe0.npy,0,,train,")
    assert json.loads((tmp_path / "to" / "dataset.json").read_text())["source"]["folder"] == "from\\xff"
    (tmp_path / "to").rename(tmp_path / os.fsdecode(b"to\xff"))
    output_of("check", tmp_path / os.fsdecode(b"to\xff"), "--out", tmp_path / "checked")
    assert json.loads((tmp_path / "checked" / "check.json").read_text())["data"][0]["name"] == "to\\xff"


def beats(seed):
    """Two leads of ten seconds in mV: a narrow wave every 0.8 s."""
    after = np.arange(5000) / 500 % 0.8 - 0.4
    baseline = np.random.default_rng(seed).normal(0, 0.01, (2, 5000))
    return (np.exp(-((after / 0.02) ** 2)) + 0.2 * np.exp(-(((after - 0.25) / 0.05) ** 2)) + baseline).astype(
        np.float32
    )
