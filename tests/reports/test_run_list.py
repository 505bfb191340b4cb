"""Run folders in a list: state, epoch, loss, quality, and the settings that differ."""

import json
import re
import shutil

import pytest
from tests.factories import waves, write_checkpoint, write_labelled, write_packed

from lfbt.errors import LfbtError
from lfbt.evaluation.probing import run_probe
from lfbt.evaluation.settings import ProbeSettings
from lfbt.reports.run_list import list_runs
from lfbt.runs.run_folder import RunSettings, acquire_run_folder
from lfbt.training.pretraining import Pretrainer
from lfbt.training.settings import PretrainSettings

QUICK = {"epochs": 2, "batch_size": 5, "projector": "16-16", "device": "cpu", "workers": 0}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Two finished pretrainings, one that was stopped, and a probe, at different depths."""
    place = tmp_path_factory.mktemp("runs")
    data = write_packed(place / "data", waves([0, 1, 2] * 3 + [0]))
    for name, changes in (("a", {}), ("deep/b", {"gamma": 0.6, "seed": 3})):
        Pretrainer(PretrainSettings.create((data,), place / "all" / name, **QUICK, **changes)).run()  # type: ignore[arg-type]
    Pretrainer(PretrainSettings.create((data,), place / "all" / "c", **QUICK)).run()  # type: ignore[arg-type]
    shutil.rmtree(place / "all" / "c" / "encoder")
    lines = (place / "all" / "c" / "history.jsonl").read_text().splitlines()
    (place / "all" / "c" / "history.jsonl").write_text(lines[0] + "\n" + lines[1][:20])
    checkpoint, labelled = write_checkpoint(place / "encoder"), write_labelled(place / "labelled")
    run_probe(ProbeSettings.create(labelled, place / "all" / "probe", checkpoint, epochs=3, device="cpu", workers=0))
    return place / "all"


def test_list_runs_has_state_epoch_loss_quality_and_differences(place):
    runs = {run.folder.relative_to(place).as_posix(): run for run in list_runs(place)}
    assert list(runs) == ["a", "c", "deep/b", "probe"]
    kept = json.loads((place / "probe" / "results.json").read_text())["chosen"]["epoch"]
    assert [(run.kind, run.state, run.epoch) for run in runs.values()] == [
        ("pretrain", "finished", "2/2"),
        ("pretrain", "stopped", "1/2"),
        ("pretrain", "finished", "2/2"),
        ("probe", "finished", f"3/3 (kept {kept})"),
    ]
    history = [json.loads(line) for line in (place / "a" / "history.jsonl").read_text().splitlines()]
    assert runs["a"].loss == history[-1]["loss"]
    results = json.loads((place / "probe" / "results.json").read_text())
    assert runs["probe"].quality == f"val AUROC {results['val']['auroc']:.4f}"
    assert results["val"]["auroc"] != results["test"]["auroc"]
    assert runs["probe"].loss == results["val_loss"]
    # Folders, names and the like are every run's own.
    assert runs["a"].differs == runs["c"].differs == "gamma=0.8 seed=0"
    assert runs["deep/b"].differs == "gamma=0.6 seed=3"
    assert runs["probe"].differs == ""


def test_list_runs_has_the_quality_so_far_and_names_a_running_run(place, tmp_path):
    settings = json.loads((place / "a" / "settings.json").read_text())
    lines = [{"loss": 3.5, "rank": 9.04}, {"loss": 3.0, "val_auroc": 0.9}, {"loss": 2.0, "val_auroc": 0.7, "rank": 5.0}]
    speed = {"learning_rate": 0.001, "seconds": 1.5, "records_per_second": 6.0}
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "settings.json").write_text(json.dumps(settings | {"epochs": 4}))
    for n, quality in ((0, "-"), (1, "rank 9.0"), (3, "val AUROC 0.9000 (epoch 2)")):
        text = "".join(json.dumps({"epoch": i + 1} | line | speed) + "\n" for i, line in enumerate(lines[:n]))
        (tmp_path / "x" / "history.jsonl").write_text(text)
        assert list_runs(tmp_path)[0].quality == quality
    assert list_runs(tmp_path)[0].state == "stopped"
    with acquire_run_folder(tmp_path / "x", RunSettings.load(tmp_path / "x"), frozenset(), resume=True):
        assert [(run.state, run.epoch) for run in list_runs(tmp_path / "x")] == [("running", "3/4")]


def test_list_runs_has_a_series_while_some_of_its_trials_are_to_come(place, tmp_path):
    series = tmp_path / "series"
    with acquire_run_folder(series, RunSettings("0", {"epochs": 9}, "probe"), frozenset(), resume=False):
        assert [(run.kind, run.state, run.differs) for run in list_runs(tmp_path)] == [("probe", "running", "")]
        shutil.copytree(place / "probe", series / "fraction-1-seed-0")
    assert [(run.folder.name, run.state, run.differs) for run in list_runs(tmp_path)] == [
        ("series", "stopped", ""),
        ("fraction-1-seed-0", "finished", ""),
    ]
    (series / "results.csv").write_text("")
    assert [run.folder.name for run in list_runs(tmp_path)] == ["fraction-1-seed-0"]


def test_list_runs_shows_short_hashes_and_what_the_classifier_uses(place, tmp_path):
    for name in ("adam", "knn"):
        shutil.copytree(place / "probe", tmp_path / name)
    path = tmp_path / "knn" / "results.json"
    results = json.loads(path.read_text())
    results["settings"] |= {"classifier": "knn", "neighbours": [5], "c": [3.0], "learning_rate": [0.5]}
    path.write_text(json.dumps(results))
    for name in ("a", "b"):
        shutil.copytree(place / "a", tmp_path / name)
    path = tmp_path / "b" / "settings.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"data_hash": "0123456789abcdef"}))
    differs = {run.folder.name: run.differs for run in list_runs(tmp_path)}
    data_hash = json.loads((tmp_path / "a" / "settings.json").read_text())["data_hash"]
    assert differs == {
        "a": f"data_hash={data_hash[:8]}",
        "adam": "classifier=adam learning_rate=0.001",
        "b": "data_hash=01234567",
        "knn": "classifier=knn neighbours=5",
    }


def test_list_runs_refuses_folders_without_runs(place, tmp_path):
    with pytest.raises(LfbtError, match="holds no run of lfbt pretrain, probe or finetune"):
        list_runs(tmp_path)
    with pytest.raises(LfbtError, match="absent is not a folder"):
        list_runs(tmp_path / "absent")
    # Files of the same names that are another program's.
    (tmp_path / "settings.json").write_text('{"editor.tabSize": 4}')
    (tmp_path / "results.json").write_text("// comments")
    with pytest.raises(LfbtError, match="holds no run of lfbt"):
        list_runs(tmp_path)


@pytest.mark.parametrize(
    ("name", "file", "content", "reason"),
    [
        ("probe", "results.json", '{"lfbt_version": "0.1.0", "val": {}}', r"missing required field"),
        ("probe", "results.json", '{"lfbt_vers', "is not JSON"),
        ("a", "settings.json", '{"epochs": 4}', r"missing required field `lfbt_version`"),
        ("a", "history.jsonl", '{"epoch": 1, "loss": 3.5}\n', "missing required field `learning_rate`"),
        ("a", "history.jsonl", "[]\n", "line 1"),
    ],
    ids=[
        "fields of results",
        "results cut short",
        "fields of settings",
        "fields of the history",
        "line of the history",
    ],
)
def test_list_runs_names_an_unreadable_run_beside_the_others(place, tmp_path, name, file, content, reason):
    shutil.copytree(place, tmp_path / "all")
    (tmp_path / "all" / name / file).write_bytes(content if isinstance(content, bytes) else content.encode())
    runs = {run.folder.relative_to(tmp_path / "all").as_posix(): run for run in list_runs(tmp_path / "all")}
    assert list(runs) == ["a", "c", "deep/b", "probe"]
    unreadable = runs.pop(name)
    assert unreadable.state == "unreadable"
    assert re.search(reason, unreadable.differs)
    assert f"{name}/{file}: " in unreadable.differs or file == "history.jsonl"
    assert {run.state for run in runs.values()} <= {"finished", "stopped"}
    assert runs["c"].differs == "gamma=0.8 seed=0"
