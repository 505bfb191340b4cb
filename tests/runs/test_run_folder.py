"""Run folders: one run at a time, resumed with its own settings only; ``settings.json``, also of the last version."""

import dataclasses
import json
from pathlib import Path

import pytest

from lfbt.errors import FinishedError, LfbtError
from lfbt.runs.run_folder import RunSettings, acquire_run_folder, began_with, hash_runs, is_lengthened, is_running

FREE = frozenset({"workers", "data_dir"})


STARTED = RunSettings("0.1.0", {"data_dir": "data", "epochs": 4, "workers": 2}, data_hash="e9", records=147)


def changed(name, value):
    return dataclasses.replace(STARTED, settings=STARTED.settings | {name: value})


@pytest.fixture
def run(tmp_path):
    """The folder of a run that has written something."""
    folder = tmp_path / "run"
    with acquire_run_folder(folder, STARTED, FREE, resume=False) as resuming:
        assert not resuming
        (folder / "history.jsonl").write_text("")
    return folder


def test_acquire_run_folder_holds_the_folder_while_the_block_runs(run):
    assert not is_running(run)
    with acquire_run_folder(run, STARTED, FREE, resume=True) as resuming:
        assert resuming
        assert is_running(run)
        with (
            pytest.raises(LfbtError, match="another run is going on there"),
            acquire_run_folder(run, STARTED, FREE, resume=True),
        ):
            pass
    assert not is_running(run)


def test_acquire_run_folder_writes_the_settings_once(run):
    assert RunSettings.load(run) == STARTED
    with acquire_run_folder(run, changed("workers", 9), FREE, resume=True):
        assert RunSettings.load(run) == STARTED


def test_acquire_run_folder_removes_a_new_folder_with_nothing_in_it(tmp_path):
    with pytest.raises(ZeroDivisionError), acquire_run_folder(tmp_path / "new", STARTED, FREE, resume=False):
        raise ZeroDivisionError
    assert not (tmp_path / "new").exists()


def test_acquire_run_folder_removes_partial_files(run):
    partial = run / ".history.jsonl.partial-1"
    partial.write_text("")
    with acquire_run_folder(run, STARTED, FREE, resume=True):
        assert not partial.exists()


def test_acquire_run_folder_lets_free_settings_and_the_version_differ(run):
    elsewhere = dataclasses.replace(changed("data_dir", "elsewhere"), lfbt_version="9", names_assumed=True)
    for settings in (changed("workers", 0), elsewhere):
        with acquire_run_folder(run, settings, FREE, resume=True) as resuming:
            assert resuming


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (changed("epochs", 5), "resume: epochs is 5 but was 4 in .*run; give the run's own settings"),
        (dataclasses.replace(STARTED, data_hash="f0"), "resume: the data changed in"),
        (dataclasses.replace(STARTED, quality_hash="f0"), "resume: quality_hash is f0 but was None in"),
        # The kind is named rather than what follows from it.
        (dataclasses.replace(changed("epochs", 5), kind="probe"), "resume: kind is probe but was pretrain in"),
        # A setting is named rather than the hash that follows from it.
        (dataclasses.replace(changed("epochs", 5), data_hash="f0"), "resume: epochs is 5 but was 4"),
        (changed("gamma", 0.5), "was begun by lfbt 0.1.0, which had no setting gamma; begin a new run"),
    ],
)
def test_acquire_run_folder_refuses_other_settings(run, settings, message):
    with pytest.raises(LfbtError, match=message), acquire_run_folder(run, settings, FREE, resume=True):
        pass
    assert RunSettings.load(run) == STARTED


def test_is_lengthened_only_with_more_epochs_of_a_constant_rate():
    def run(epochs, schedule, kind="pretrain"):
        return RunSettings("0.1.0", {"epochs": epochs, "schedule": schedule}, kind)

    assert is_lengthened(run(5, "constant"), run(4, "constant"))
    assert not is_lengthened(run(4, "constant"), run(4, "constant"))
    assert not is_lengthened(run(3, "constant"), run(4, "constant"))
    assert not is_lengthened(run(5, "cosine"), run(4, "cosine"))
    assert not is_lengthened(run(5, "constant", "finetune"), run(4, "constant", "finetune"))
    assert not is_lengthened(RunSettings("0.1.0", {}), RunSettings("0.1.0", {}))
    assert not is_lengthened(run(5, "constant"), run("x", "constant"))


def test_acquire_run_folder_writes_the_epochs_of_a_lengthened_run(tmp_path):
    short, long = (RunSettings("0.1.0", {"epochs": n, "schedule": "constant", "workers": n}) for n in (4, 5))
    with acquire_run_folder(tmp_path, short, FREE, resume=False):
        (tmp_path / "history.jsonl").write_text("")
    with acquire_run_folder(tmp_path, dataclasses.replace(long, lfbt_version="9"), FREE, resume=True):
        assert RunSettings.load(tmp_path) == RunSettings("0.1.0", {"epochs": 5, "schedule": "constant", "workers": 4})


def test_acquire_run_folder_resumes_a_run_of_the_last_version(tmp_path):
    """Its settings had neither a format nor a kind, and those of a series no mark of synthetic data."""
    (tmp_path / "history.jsonl").write_text("")
    content = {"lfbt_version": "0.1.0", **STARTED.settings, "data_hash": "e9", "records": 147, "quality_hash": None}
    (tmp_path / "settings.json").write_text(json.dumps(content))
    synthetic = dataclasses.replace(STARTED, synthetic=True)
    with acquire_run_folder(tmp_path, synthetic, FREE, resume=True) as resuming:
        assert resuming


def test_acquire_run_folder_leaves_nothing_where_another_process_begins_at_the_same_time(tmp_path, monkeypatch):
    """The other one would lose its work by a folder that is in its way."""
    calls = iter([None, LfbtError("another process")])

    def check(_):
        if error := next(calls):
            raise error

    monkeypatch.setattr("lfbt.runs.run_folder.check_unheld", check)
    with (
        pytest.raises(LfbtError, match="another process"),
        acquire_run_folder(tmp_path / "new", STARTED, FREE, resume=False),
    ):
        pass
    assert not (tmp_path / "new").exists()


def test_acquire_run_folder_goes_on_unasked_with_the_same_run_only(run):
    with acquire_run_folder(run, STARTED, FREE, resume=False) as resuming:
        assert resuming
    other = dataclasses.replace(STARTED, data_hash="other")
    with (
        pytest.raises(
            LfbtError,
            match=r"run: holds another run already \(the data changed\); replace it with --overwrite, or "
            "name a new folder$",
        ),
        acquire_run_folder(run, other, FREE, resume=False),
    ):
        pass
    with (
        pytest.raises(LfbtError, match=r"run: holds another run already \(kind is probe but was pretrain\); replace"),
        acquire_run_folder(run, dataclasses.replace(SERIES, settings={}), FREE, resume=False),
    ):
        pass
    finished = dataclasses.replace(STARTED)
    with (
        pytest.raises(FinishedError, match="run: finished before"),
        acquire_run_folder(run, finished, FREE, resume=False, is_finished=lambda: True),
    ):
        pass
    with acquire_run_folder(run, finished, FREE, resume=True, is_finished=lambda: True) as resuming:
        assert resuming


def test_hash_runs_follows_what_a_report_is_made_of(tmp_path):
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run" / "results.json").write_text("{}")
    (before,) = hash_runs([tmp_path / "run"])
    for name in ("report.html", ".lock", "checkpoints/1.json", ".results.json.partial-1"):
        (tmp_path / "run" / name).write_text("")
    assert hash_runs([tmp_path / "run"]) == [before]
    (tmp_path / "run" / "predictions.csv").write_text("")
    assert hash_runs([tmp_path / "run"]) != [before]
    (tmp_path / "run" / "predictions.csv").unlink()
    (tmp_path / "run").rename(tmp_path / "other")
    assert hash_runs([tmp_path / "other"]) != [before]


def test_acquire_run_folder_refuses_what_it_did_not_write(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("")
    for resume, message in ((False, "holds other results already"), (True, "holds no run that goes on")):
        with pytest.raises(LfbtError, match=message), acquire_run_folder(tmp_path / "mine", STARTED, FREE, resume):
            pass
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


SERIES = RunSettings(
    lfbt_version="0.1.0",
    settings={"data_dir": Path("data"), "seeds": (0, 1), "epochs": 5},
    kind="probe",
    data_hash="e975",
    encoder="6bfd",
    synthetic=True,
)


def write(folder, content):
    (folder / "settings.json").write_text(json.dumps(content))


def test_save_has_settings_beside_what_they_were_applied_to(tmp_path):
    SERIES.save(tmp_path)
    content = json.loads((tmp_path / "settings.json").read_text())
    assert content["format"] == 1
    assert (content["data_dir"], content["seeds"], content["epochs"]) == ("data", [0, 1], 5)
    assert (content["kind"], content["encoder"], content["data_hash"]) == ("probe", "6bfd", SERIES.data_hash)
    assert "settings" not in content


def test_save_and_load_are_inverse_but_for_python_types(tmp_path):
    SERIES.save(tmp_path)
    loaded = RunSettings.load(tmp_path)
    assert loaded.to_dict() == SERIES.to_dict()
    assert loaded.settings == {"data_dir": "data", "seeds": [0, 1], "epochs": 5}


def test_load_reads_the_last_versions_file_of_a_pretraining(tmp_path):
    """It has neither a format nor a kind."""
    settings = {"data_dir": ["data"], "run_dir": "pre", "epochs": 4, "leads": [], "exclude": None}
    known = {"records": 147, "data_hash": "e9", "synthetic": True, "names_assumed": False, "quality_hash": "e9"}
    write(tmp_path, {"lfbt_version": "0.1.0", **settings, **known})
    loaded = RunSettings.load(tmp_path)
    assert loaded.settings == settings
    assert (loaded.kind, loaded.records, loaded.data_hash, loaded.quality_hash) == ("pretrain", 147, "e9", "e9")
    assert (loaded.synthetic, loaded.records_hash, loaded.processes) == (True, None, None)


def test_load_reads_the_last_versions_file_of_a_series(tmp_path):
    """It does not record whether the data is synthetic."""
    settings = {"data_dir": "data", "seeds": [0, 1], "fraction": [0.5, 1.0]}
    write(tmp_path, {"lfbt_version": "0.1.0", "kind": "probe", "data_hash": "e9", "encoder": None, **settings})
    loaded = RunSettings.load(tmp_path)
    assert (loaded.settings, loaded.kind, loaded.encoder) == (settings, "probe", None)


def test_load_names_file_field_and_remedy(tmp_path):
    write(tmp_path, {"editor.tabSize": 4})
    message = r"settings\.json: .*`lfbt_version`; it was edited, or is another program's$"
    with pytest.raises(LfbtError, match=message):
        RunSettings.load(tmp_path)
    write(tmp_path, {"lfbt_version": "0.1.0", "records": "many"})
    with pytest.raises(LfbtError, match=r"settings\.json: field records: .*; it was edited"):
        RunSettings.load(tmp_path)


def test_load_refuses_a_newer_format(tmp_path):
    write(tmp_path, {"format": 2, **SERIES.to_dict()})
    with pytest.raises(LfbtError, match=r"settings\.json: has format 2, but this lfbt reads up to 1; update lfbt"):
        RunSettings.load(tmp_path)


def test_compared_has_the_kind_and_settings_first_and_no_version():
    names = list(SERIES.compared())
    assert names[:4] == ["kind", "data_dir", "seeds", "epochs"]
    assert set(names[4:]) == {"data_hash", "encoder"}
    assert not {"lfbt_version", "synthetic", "names_assumed", "format"} & set(names)


def test_began_with_tells_which_settings_a_run_has(run, tmp_path):
    assert began_with(run, "epochs") is True
    assert began_with(run, "features") is False
    assert began_with(tmp_path / "new", "epochs") is None
