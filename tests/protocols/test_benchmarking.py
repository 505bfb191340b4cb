"""`lfbt benchmark` by the command line on synthetic downloads: killed, going on, and what is refused."""

import json

import pytest
from tests.cli.helpers import refused, run

from lfbt.models.encoder import EncoderConfig, random_encoder
from lfbt.models.pretrained import save_encoder
from lfbt.protocols.trials import run_trial
from lfbt.recording import PAPER_LEADS
from lfbt.sources.synthesis import write_ptbxl
from lfbt.sources.synthetic_downloads import write_chapman, write_cpsc2018

WRITERS = {"ptbxl": write_ptbxl, "cpsc2018": write_cpsc2018, "chapman": write_chapman}
SHORT = ("--epochs", 2, "--workers", 1, "--device", "cpu")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A download of each data set, and two encoders."""
    place = tmp_path_factory.mktemp("benchmark")
    for name, write in WRITERS.items():
        (place / name).mkdir()
        write(place / name, 60, 0)
    for seed, name in enumerate(("encoder", "other")):
        config = EncoderConfig(PAPER_LEADS, sampling_rate=12.8, n_samples=128)
        save_encoder(place / name, random_encoder(config, seed), {"method": "random"})
    return place


def words_of(place, out, data="ptbxl", encoder="encoder"):
    return ("benchmark", data, place / data, out, "--checkpoint", place / encoder, *SHORT)


def read(path):
    return json.loads(path.read_text())


def test_benchmark_sets_published_figures_beside_ours(place, tmp_path):
    status, output, messages = run(*words_of(place, tmp_path / "out"))
    assert status == 0, messages
    title, figures, _, *_ = output.split("\n\n")
    assert "SYNTHETIC data, which published figures are NOT of" in title
    assert figures.splitlines()[1].startswith("LFBT: encoder")
    assert any(line.startswith("ECGFounder") and "0.931" in line for line in figures.splitlines())
    assert "Source 1: AI4HealthUOL/ecg-fm-benchmarking" in output
    values = read(tmp_path / "out/linear.json")
    assert values["synthetic"]
    tasks = {task["task"]: task for task in values["tasks"]}
    # All 60 records are of ten seconds, and the negatives of all stay but in single.
    assert tasks["statements"]["train"] + tasks["statements"]["val"] + tasks["statements"]["test"] == 60
    # All of them have a sinus rhythm.
    assert "Left out: rhythm: no class has train records with it and without." in output
    assert tasks["single"]["train"] < tasks["superclass"]["train"]
    # Published statements of the synthetic download: CLBBB, CRBBB and others; a form is NST_ alone.
    assert (tasks["superclass"]["classes"], tasks["form"]["classes"], tasks["diagnostic"]["classes"]) == (5, 1, 8)


@pytest.mark.parametrize(("data", "task", "n_classes"), [("cpsc2018", "diagnosis", 9), ("chapman", "rhythm", 11)])
def test_benchmark_of_the_other_downloads(place, tmp_path, data, task, n_classes):
    status, output, messages = run(*words_of(place, tmp_path / "out", data))
    assert status == 0, messages
    values = read(tmp_path / "out/linear.json")
    (found,) = values["tasks"]
    assert (found["task"], found["classes"]) == (task, n_classes)
    # Of CPSC2018 every fourth recording has eight seconds.
    assert values["records"] == (45 if data == "cpsc2018" else 60)
    assert "80 / 10 / 10 % by chance" in output


def test_benchmark_goes_on_after_a_kill_and_with_another_protocol(place, tmp_path, monkeypatch):
    words = (*words_of(place, tmp_path / "out"), "--tasks", "superclass", "subclass", "--fraction", 0.5, 1)

    def run_or_die(settings, trial, *others):
        if trial.task.name == "subclass":
            (settings.out / f".{trial.folder.name}.partial-1").mkdir()
            raise KeyboardInterrupt
        run_trial(settings, trial, *others)

    with monkeypatch.context() as patch:
        patch.setattr("lfbt.protocols.benchmarking.run_trial", run_or_die)
        status, output, messages = run(*words)
    assert (status, output) == (130, "")
    assert messages.endswith("interrupted; finished trials are kept; the same command goes on\n")
    assert not (tmp_path / "out/linear.json").exists()
    before = (tmp_path / "out/superclass-linear-fraction-0.5-seed-0/results.json").stat().st_mtime_ns
    status, _, messages = run(*words)
    assert status == 0, messages
    assert messages.count("done before") == 2
    assert (tmp_path / "out/superclass-linear-fraction-0.5-seed-0/results.json").stat().st_mtime_ns == before
    assert not list((tmp_path / "out").glob(".*partial*"))
    whole = tmp_path / "whole"
    assert run(*words_of(place, whole), *words[-6:])[0] == 0
    assert read(whole / "linear.json") == read(tmp_path / "out/linear.json")
    # The prepared records serve the other protocol.
    status, output, messages = run(*words, "--protocol", "attentive")
    assert status == 0, messages
    assert "recordings" not in messages
    assert "a token a lead and step" in output
    assert (tmp_path / "out/attentive.json").is_file()


def test_benchmark_is_listed_and_compared(place, tmp_path):
    for encoder in ("encoder", "other"):
        assert run(*words_of(place, tmp_path / encoder, encoder=encoder), "--tasks", "superclass")[0] == 0
    folders = [tmp_path / encoder / "superclass-linear-fraction-1-seed-0" for encoder in ("encoder", "other")]
    status, output, messages = run("compare", *folders, "--draws", 10)
    assert status == 0, messages
    assert "benchmark (linear)" in output
    status, output, messages = run("runs", tmp_path)
    assert status == 0, messages
    assert output.count("benchmark") == 2
    assert output.count("2/2 (kept ") == 2
    assert "stopped" not in output


def test_benchmark_refuses_other_settings_encoders_and_downloads_of_the_same_folder(place, tmp_path):
    out = tmp_path / "out"
    words = (*words_of(place, out), "--tasks", "superclass")
    assert run(*words)[0] == 0
    assert "window is 5.0 but was 2.5" in refused(*words, "--window", 5)
    assert "encoder is" in refused(*words_of(place, out, encoder="other"))
    (tmp_path / "elsewhere").mkdir()
    write_ptbxl(tmp_path / "elsewhere", 60, 0)
    elsewhere = ("benchmark", "ptbxl", tmp_path / "elsewhere", out, *words[4:])
    assert "was prepared from a folder ptbxl; give that" in refused(*elsewhere)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--tasks", "diagnosis"), "tasks: diagnosis is not one of ptbxl"),
        (("--window", 1), "window: 1 s are 13 samples at 12.8 Hz"),
        (("--protocol", "attentive", "--features", "rich"), "features: has no effect with protocol attentive"),
    ],
)
def test_benchmark_refuses_in_one_line(place, tmp_path, words, message):
    assert message in refused(*words_of(place, tmp_path / "out"), *words)
    assert not (tmp_path / "out").exists()


def test_benchmark_refuses_a_download_of_another_data_set_and_writes_nothing(place, tmp_path):
    words = ("benchmark", "ptbxl", place / "chapman", tmp_path / "out", "--checkpoint", place / "encoder", *SHORT)
    assert "ptbxl_database.csv" in refused(*words)
    assert not (tmp_path / "out").exists()
