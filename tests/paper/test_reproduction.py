"""`lfbt reproduce` by the command line on four synthetic downloads: stopped, killed, resumed, and its tables."""

import contextlib
import io
import json
import os
import re
import shutil
import signal

import filelock
import pytest
from tests.outputs import read_table

from lfbt.cli.app import main
from lfbt.errors import LfbtError
from lfbt.evaluation.fine_tuning import run_finetune
from lfbt.paper.protocol import list_cells
from lfbt.runs.history import append_history
from lfbt.sources import Chapman
from lfbt.sources.synthetic_downloads import write_challenge, write_downloads

LABELLED = ("ptbxl", "cpsc2018", "chapman")
TINY = (
    *("--quick", "--n-samples", 32, "--pretrain-epochs", 2, "--projector", "16-16", "--batch-size", 16),
    *("--probe-epochs", 2, "--finetune-epochs", 1, "--workers", 1, "--device", "cpu"),
)


def run(out, *words):
    """The exit status of the command, its output, and its messages."""
    output, messages = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(messages):
        try:
            main(["reproduce", "--out", str(out), *map(str, words)])
        except SystemExit as end:
            return end.code, output.getvalue(), messages.getvalue()
    return 0, output.getvalue(), messages.getvalue()


def read(path):
    return json.loads(path.read_text())


def mtimes(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def downloads(tmp_path_factory):
    folder = tmp_path_factory.mktemp("downloads") / "all"
    write_downloads(folder, 40, 0)
    return folder


@pytest.fixture(scope="module")
def given(downloads):
    return [word for name in ("ningbo", *LABELLED) for word in (f"--{name}", downloads / name)]


@pytest.fixture(scope="module")
def place(tmp_path_factory, given):
    """A reproduction that a signal stopped in pretraining and a kill in fine-tuning; beside it, all output."""
    place = tmp_path_factory.mktemp("reproduce")
    out = place / "out"
    with pytest.MonkeyPatch.context() as patch:

        def add_and_signal(folder, line):
            append_history(folder, line)
            if folder.name == "gamma-0.6":
                os.kill(os.getpid(), signal.SIGTERM)

        patch.setattr("lfbt.training.pretraining.append_history", add_and_signal)
        runs = [run(out, *given, *TINY)]
    with pytest.MonkeyPatch.context() as patch:

        def finetune_or_die(settings):
            if settings.trials.run_dir.name == "cpsc2018-gamma-0.8-fraction-0.2-seed-0":
                (settings.trials.run_dir.parent / f".{settings.trials.run_dir.name}.partial-1").mkdir(parents=True)
                raise KeyboardInterrupt
            return run_finetune(settings)

        patch.setattr("lfbt.paper.stages.run_finetune", finetune_or_die)
        runs.append(run(out, *given, *TINY))
    before = mtimes(out / "data") | mtimes(out / "pretrain") | mtimes(out / "probe") | mtimes(out / "finetune")
    runs.append(run(out, *given, *TINY))
    after = mtimes(out)
    untouched = all(after[path] == time for path, time in before.items() if path.name != ".lock")
    (place / "outputs.json").write_text(json.dumps({"runs": runs, "untouched": untouched}))
    return place


def finished(messages):
    """The stages that a command has run, and those that it found done."""
    lines = re.findall(r"^\[(\d+)/(\d+)\] (.+): (?:\d+ s|(done before))$", messages, re.MULTILINE)
    assert {total for _, total, _, _ in lines} == {"36"}
    return [what for *_, what, before in lines if not before], [what for *_, what, before in lines if before]


# --- resuming ---


def test_reproduce_stops_at_a_signal_in_pretraining_and_saves(place):
    status, output, messages = read(place / "outputs.json")["runs"][0]
    assert (status, output) == (75, "")
    assert messages.endswith("lfbt: stopped in pretrain/gamma-0.6 and saved; the same command goes on\n")
    assert finished(messages) == (["prepare ningbo", *(f"prepare {name}" for name in LABELLED), "pretrain γ 0.8"], [])
    history = (place / "out/pretrain/gamma-0.6/history.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in history] == [1, 2]


def test_reproduce_says_that_it_goes_on_after_an_interrupt(place):
    status, output, messages = read(place / "outputs.json")["runs"][1]
    assert (status, output) == (130, "")
    assert messages.endswith("\nlfbt: interrupted; finished stages are kept; the same command goes on\n")


def test_reproduce_resumes_and_a_kill_loses_one_stage(place):
    status, output, messages = read(place / "outputs.json")["runs"][1]
    assert (status, output) == (130, "")
    done, before = finished(messages)
    assert before == ["prepare ningbo", *(f"prepare {name}" for name in LABELLED), "pretrain γ 0.8"]
    assert (done[0], done[-1]) == ("pretrain γ 0.6", "finetune cpsc2018 γ 0.8 fraction 0.1 seed 0")
    assert not list(place.rglob("*.partial-*"))


def test_reproduce_leaves_finished_stages_alone(place):
    first, second, third = read(place / "outputs.json")["runs"]
    assert read(place / "outputs.json")["untouched"]
    assert third[0] == 0
    done, before = finished(third[2])
    assert set(before) == set(finished(first[2])[0] + finished(second[2])[0])
    assert len(done) + len(before) == 36
    assert done[0] == "finetune cpsc2018 γ 0.8 fraction 0.2 seed 0"


def test_reproduce_does_nothing_once_more_and_needs_no_downloads_named(place):
    out = place / "out"
    tables = {path: path.read_bytes() for path in out.glob("[a-z]*.*") if path.name != "reproduce.json"}
    assert len(tables) == 4
    status, output, messages = run(out, *TINY)
    assert status == 0
    assert finished(messages)[0] == []
    assert output == (out / "table.txt").read_text()
    assert {path: path.read_bytes() for path in tables} == tables


# --- the tables ---


def test_reproduce_tabulates_its_results_beside_the_papers(place):
    out = place / "out"
    rows = read_table(out / "table.csv")
    expected = list_cells(LABELLED)
    assert len(rows) == len(expected) == 30
    page = (out / "table.md").read_text()
    for row, cell in zip(rows, expected, strict=True):
        results = read(out / cell.kind / f"{cell.name}-seed-0" / "results.json")
        test = results["test"]
        assert results["kind"] == cell.kind
        assert (results["settings"]["data_dir"], results["fraction"]) == (str(out / "data" / cell.data), cell.fraction)
        if cell.gamma is None:
            assert results["encoder"]["checkpoint"] is None
        else:
            assert results["encoder"]["checkpoint"] == f"gamma-{cell.gamma}"
            assert results["encoder"]["history"]["gamma"] == cell.gamma
        assert int(row["test_records"]) == test["records"]
        for i, metric in enumerate(("auroc", "auprc")):
            assert float(row[metric]) == test[metric]
            low, high = test["intervals"][metric]
            assert (float(row[f"{metric}_low"]), float(row[f"{metric}_high"])) == (low, high)
            assert row[f"paper_{metric}"] == (str(cell.paper[i]) if cell.paper else "")
            assert f"| {test[metric]:.4f} [{low:.3f}, {high:.3f}] |" in page
    assert sum(bool(row["paper_auroc"]) for row in rows) == 6
    # Otherwise a mixed-up row would not show.
    assert len({row["auroc"] for row in rows}) > 15


def test_reproduce_pretrains_with_two_gammas_and_otherwise_alike(place):
    wide, narrow = (read(place / "out/pretrain" / f"gamma-{gamma}" / "settings.json") for gamma in (0.8, 0.6))
    assert {name for name in wide if wide[name] != narrow[name]} == {"gamma", "run_dir"}
    assert (wide["gamma"], wide["epochs"], wide["projector"], wide["seed"]) == (0.8, 2, "16-16", 0)
    assert wide["data_dir"] == [str(place / "out/data/ningbo")]
    assert wide["records"] == 40


def test_reproduce_names_departures_and_synthetic_data_in_the_title(place):
    for name in ("table.md", "table.txt"):
        text = (place / "out" / name).read_text()
        title = text.splitlines()[0].removeprefix("# ")
        assert title == "lfbt reproduce --quick: NOT the paper's protocol, on SYNTHETIC data"
        assert "n-samples 32, pretrain-epochs 2, projector 16-16, batch-size 16" in text
    assert read(place / "outputs.json")["runs"][2][1] == (place / "out/table.txt").read_text()


def test_reproduce_prints_split_sizes_after_preparing_and_tabulates_them(place):
    out = place / "out"
    rows = read_table(out / "sizes.csv")
    assert [row["data"] for row in rows] == ["Ningbo", "PTB-XL", "CPSC2018", "Chapman"]
    messages = read(place / "outputs.json")["runs"][0][2]
    for name, row in zip(("ningbo", *LABELLED), rows, strict=True):
        manifest = read(out / "data" / name / "dataset.json")
        sizes = [sum(manifest["counts"][split].values()) for split in ("train", "val", "test")]
        assert [int(row[split]) for split in ("train", "val", "test")] == sizes
        assert row["as_published"] == "False"
        total = sum(int(row[f"paper_{split}"]) for split in ("train", "val", "test"))
        assert re.search(rf"^{row['data']}: {sum(sizes)} records, not the {total} of", messages, re.MULTILINE)
    assert messages.index("Chapman: ") < messages.index("pretrain γ 0.8")
    page = (out / "table.md").read_text()
    assert "| PTB-XL | 23 / 5 / 6 | 12978 / 1642 / 1652 | 0 |" in page


# --- other settings, other downloads ---


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((*TINY, "--n-samples", 64), r"n-samples: 64, but .*data was made with 32"),
        ((*TINY, "--most-records", 0), r"most-records: 0, but .*data was made with 400"),
        ((*TINY, "--pretrain-epochs", 3), r"pretrain-epochs: 3, but .*pretrain was made with 2"),
        ((*TINY, "--finetune-learning-rate", 1), r"finetune-learning-rate: 1\.0, but .*finetune was made with 0\.001"),
        (TINY[1:], r"quick: False, but .*data was made with True"),
        ((*TINY, "--ptbxl", "elsewhere"), r"ptbxl: .*elsewhere, but .*data/ptbxl was made with .*all/ptbxl"),
        ((*TINY, "--encoders", "a", "b"), r"encoders: .*a .*b, but .*pretrain was made with none"),
    ],
)  # fmt: skip
def test_reproduce_refuses_settings_other_than_those_of_a_stage(place, words, message):
    before = mtimes(place / "out")
    status, output, messages = run(place / "out", *words)
    assert (status, output) == (2, "")
    assert re.search(f"error: --{message}.*; give that, or name another folder", messages)
    assert {path: time for path, time in mtimes(place / "out").items() if path.name != ".lock"} == {
        path: time for path, time in before.items() if path.name != ".lock"
    }


def test_reproduce_takes_other_settings_for_stages_that_have_not_begun(tmp_path, downloads, monkeypatch):
    def full(*_):
        raise LfbtError("no room")

    words = ("--ningbo", downloads / "ningbo", "--chapman", downloads / "chapman")
    monkeypatch.setattr("lfbt.paper.stages.Pretrainer", full)
    assert run(tmp_path / "out", *words, *TINY)[0] == 2
    assert sorted(path.name for path in (tmp_path / "out/data").iterdir()) == ["chapman", "ningbo"]
    status, _, messages = run(tmp_path / "out", *TINY, "--projector", "8-8", "--ptbxl", downloads / "ptbxl")
    assert status == 2
    assert "no room" in messages
    asked = read(tmp_path / "out/reproduce.json")
    assert (asked["projector"], asked["chapman"]) == ("8-8", str(downloads / "chapman"))
    assert (tmp_path / "out/data/ptbxl/dataset.json").is_file()
    assert "n-samples: 64" in run(tmp_path / "out", *TINY, "--n-samples", 64)[2]


def test_reproduce_averages_several_seeds(place, tmp_path):
    # The stages of a second seed, as if they had been run: those of the first with other figures.
    shutil.copytree(place / "out", tmp_path / "out")
    for cell in list_cells(LABELLED):
        folder = tmp_path / "out" / cell.kind
        results = read(folder / f"{cell.name}-seed-0" / "results.json")
        results["test"]["auroc"] = 0.25
        (folder / f"{cell.name}-seed-1").mkdir()
        (folder / f"{cell.name}-seed-1" / "results.json").write_text(json.dumps(results))
    status, output, messages = run(tmp_path / "out", *TINY, "--seeds", 0, 1)
    assert status == 0
    assert "[66/66] scratch chapman fraction 1 seed 1: done before" in messages
    assert "± is the spread over 2 seeds" in output
    once, both = read_table(place / "out/table.csv"), read_table(tmp_path / "out/table.csv")
    for one, two in zip(once, both, strict=True):
        assert float(two["auroc"]) == pytest.approx((float(one["auroc"]) + 0.25) / 2)
        assert (two["seeds"], two["auroc_low"], two["auprc_sd"]) == ("2", "", "0.0")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "ningbo: nothing to pretrain on"),
        (("--ptbxl", "x"), "ningbo: nothing to pretrain on"),
        (("--ningbo", "x"), "nothing to score encoders on; give one or more of --ptbxl, --cpsc2018, --chapman"),
        (("--ningbo", "x", "--encoders", "a", "b"), "give either --ningbo or --encoders"),
        (("--ptbxl", "x", "--encoders", "a"), "encoders: 1 given; give two, of gamma 0.8 and 0.6"),
        (("--ptbxl", "x", "--encoders", "a", "b"), "checkpoint: .*a is not an encoder"),
        (("--ningbo", "x", "--ptbxl", "x", "--seeds", "0", "0"), "seeds: 0 0; give one or more from 0 on, each once"),
        (("--ningbo", "x", "--ptbxl", "x", "--pretrain-epochs", 0), "pretrain-epochs: 0 is outside"),
        (("--ningbo", "x", "--ptbxl", "x", "--projector", "a"), "projector: 'a' is not a list of layer sizes"),
        (("--ningbo", "x", "--ptbxl", "x"), "folder: .*x does not exist"),
    ],
)
def test_reproduce_refuses_what_cannot_work_before_anything_is_written(tmp_path, words, message):
    status, output, messages = run(tmp_path / "out", *words)
    assert (status, output) == (2, "")
    assert re.search(message, messages)
    assert list(tmp_path.iterdir()) == []


def test_reproduce_refuses_a_wrong_download_before_any_is_prepared(tmp_path, downloads):
    words = ("--ningbo", downloads / "ningbo", "--chapman", downloads / "cpsc2018")
    status, _, messages = run(tmp_path / "out", *words, *TINY)
    assert status == 2
    assert "source chapman" in messages
    assert list(tmp_path.iterdir()) == []


def test_reproduce_leaves_a_folder_with_something_else_alone(tmp_path, given):
    (tmp_path / "mine.txt").write_text("mine")
    status, _, messages = run(tmp_path, *given, *TINY)
    assert status == 2
    assert "holds something else than a reproduction; name a new or empty folder" in messages
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    status, _, messages = run(tmp_path / "mine.txt", *given, *TINY)
    assert status == 2
    assert "is a file, not a folder" in messages


def test_reproduce_removes_what_a_kill_left_at_the_very_beginning(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".reproduce.json.partial-1").write_text("{")
    status, _, messages = run(tmp_path / "out", "--ningbo", tmp_path / "absent", "--ptbxl", tmp_path / "absent")
    assert status == 2
    assert "absent does not exist" in messages
    assert list(tmp_path.iterdir()) == []


def test_reproduce_refuses_a_folder_in_use(place):
    with filelock.FileLock(place / "out" / ".lock"):
        status, _, messages = run(place / "out", *TINY)
    assert status == 2
    assert "another process is at work in" in messages


def test_reproduce_refuses_test_records_in_ningbo_before_pretraining(tmp_path, downloads):
    # Chapman's recordings, as the Challenge would publish them, among Ningbo's.
    shutil.copytree(downloads / "ningbo", tmp_path / "mixed")
    for number, entry in enumerate(Chapman().listing(downloads / "chapman").entries):
        steps = (1000 * entry.read().signal).round().astype("<i2")
        write_challenge(tmp_path / "mixed" / f"JS{20000 + number}", steps, "426783006")
    words = ("--ningbo", tmp_path / "mixed", "--chapman", downloads / "chapman", *TINY, "--n-samples", 256)
    status, _, messages = run(tmp_path / "out", *words)
    assert status == 2
    assert re.search(r"8 of the 80 records to learn from are test records .*--exclude FILE", messages)
    assert not (tmp_path / "out/pretrain").exists()


def test_reproduce_scores_given_encoders_without_pretraining(place, tmp_path, downloads):
    pretrained = [place / "out/pretrain" / f"gamma-{gamma}" for gamma in (0.8, 0.6)]
    words = ("--encoders", *pretrained, "--ptbxl", downloads / "ptbxl", *TINY)
    status, output, messages = run(tmp_path / "out", *words)
    assert status == 0
    assert "[11/11] scratch ptbxl fraction 1 seed 0" in messages
    assert not (tmp_path / "out/pretrain").exists()
    here, there = (read_table(folder / "table.csv") for folder in (tmp_path / "out", place / "out"))
    assert here == there[:10]
    assert "Encoders, not pretrained here: gamma-0.8, gamma-0.6." in output
    assert "No download was given of CPSC2018, Chapman." in output
    assert "n-samples: 64, but the encoder of gamma 0.8" in run(tmp_path / "other", *words, "--n-samples", 64)[2]


@pytest.mark.parametrize(
    ("field", "value"),
    [("ptbxl", 5), ("ningbo", [1]), ("encoders", "x"), ("encoders", [{}]), ("allow_test_records", "no")],
)
def test_reproduce_refuses_other_types_in_what_it_remembers(tmp_path, field, value):
    names = {"ningbo": None, "ptbxl": None, "cpsc2018": None, "chapman": None}
    content = names | {"encoders": [], "allow_test_records": False} | {field: value}
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "reproduce.json").write_text(json.dumps(content))
    status, _, messages = run(tmp_path / "out", *TINY)
    assert (status, messages.count("\n")) == (2, 1)
    assert re.search(f"out/reproduce.json: field (--)?{field.replace('_', '[-_]')}", messages)
    assert "it was edited; name another folder" in messages
