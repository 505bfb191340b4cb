"""What the last version wrote, before its files had a format version: it opens, resumes, or is refused in one line."""

import json
import os
import shutil
import signal

import pytest
from safetensors.torch import load_file
from tests.cli.helpers import output_of, read_json, refused, run
from tests.factories import waves, write_checkpoint, write_labelled, write_packed
from tests.outputs import assert_same_tensors, read_lines

from lfbt.data.layouts import open_dataset
from lfbt.models.pretrained import load_encoder
from lfbt.runs.history import append_history
from lfbt.runs.loading import PretrainingRun, load_run
from lfbt.runs.results import Results

LEADS = ["II", "V1"]
RECORDS = 15
HASH = "e975ec379213724672011bbfdd0968280bf9af4e16359f0d468d11564694155b"

DATASET = {
    "lfbt_version": "0.1.0",
    "leads": LEADS,
    "sampling_rate": 6.4,
    "n_samples": 64,
    "unit": "mV",
    "label_rule": "the diagnostic superclasses of all diagnostic SCP codes of a record, whatever their likelihood",
    "classes": [],
    "records": RECORDS,
    "patients": RECORDS,
    "counts": {"train": {}, "val": {}, "test": {}},
    "dropped": {"several labels": 9, "no label": 5},
    "synthetic": True,
    "source": {
        "name": "synthetic",
        "folder": "download",
        "options": {"records": 29, "seed": 0, "labels": "superclass"},
    },
    "settings": {
        "leads": LEADS,
        "n_samples": 64,
        "duration": 10.0,
        "pieces": "all",
        "keep_multi_label": False,
        "test_fraction": 0.2,
        "val_fraction": 0.1,
        "split_seed": 0,
        "layout": "packed",
        "skip_unreadable": False,
    },
    "hash": HASH,
}

#: The settings.json of a pretraining; `data_dir` and `run_dir` are those of the machine.
SETTINGS = {
    "lfbt_version": "0.1.0",
    "data_dir": ["data"],
    "run_dir": "pretrain",
    "preset": "paper",
    "epochs": 4,
    "batch_size": 5,
    "learning_rate": 0.001,
    "schedule": "constant",
    "warmup_epochs": 0.0,
    "weight_decay": 0.0,
    "objective": "lfbt",
    "gamma": 0.8,
    "lambd": 0.0051,
    "temperature": 0.1,
    "shortest_crop": 0.5,
    "longest_time_out": 0.5,
    "projector": "16-16",
    "width": 0.125,
    "normalisation": "record",
    "leads": [],
    "splits": ["train"],
    "exclude": None,
    "allow_test_records": False,
    "seed": 0,
    "split_seed": 0,
    "device": "cpu",
    "precision": "fp32",
    "batch_norm": "global",
    "low_memory": False,
    "workers": 0,
    "print_freq": 0,
    "save_steps": 0,
    "save_minutes": 10.0,
    "keep": 2,
    "quality_data": None,
    "quality_every": 0,
    "trackers": [],
    "records": RECORDS,
    "data_hash": HASH,
    "synthetic": True,
    "names_assumed": False,
    "quality_hash": None,
}
WORDS = ("--epochs", 4, "--batch-size", 5, "--projector", "16-16", "--device", "cpu", "--workers", 0)
QUALITY = ("--quality-every", 0, "--normalisation", "record")

ENCODER = {
    "lfbt_version": "0.1.0",
    "leads": LEADS,
    "sampling_rate": 6.4,
    "n_samples": 64,
    "normalisation": "record",
    "width": 0.125,
    "n_features": 64,
    "history": {**SETTINGS, "method": "LFBT", "epochs_done": 4, "loss": 25.75439503728127},
}
HEAD = {"lfbt_version": "0.1.0", "classes": ["fast", "middle", "slow"], "n_inputs": 128, "exclusive": True}

#: The settings.json of a series of probes: neither a format, nor whether the data are synthetic.
SERIES = {
    "lfbt_version": "0.1.0",
    "kind": "probe",
    "data_hash": None,
    "encoder": None,
    "data_dir": "labelled",
    "run_dir": "series",
    "checkpoint": "checkpoint",
    "leads": [],
    "allow_mismatch": False,
    "allow_test_records": False,
    "num_classes": None,
    "fraction": [1.0],
    "seeds": [0, 1],
    "folds": 0,
    "epochs": 2,
    "batch_size": 128,
    "split_seed": 0,
    "device": "cpu",
    "workers": 0,
    "classifier": "adam",
    "learning_rate": [0.001],
    "c": [0.001, 0.01, 0.1, 1.0],
    "neighbours": [5, 10, 20, 50],
    "standardise": False,
    "lead_subsets": [],
    "random_encoder": False,
}

CLASS_SCORES = {
    "records": 3,
    "prior": 0.5,
    "auroc": 0.75,
    "auprc": 0.6,
    "threshold": 0.4,
    "sensitivity": 1.0,
    "specificity": 0.5,
    "f1": 0.5,
}
SCORES = {
    "records": 6,
    "auroc": 0.46365384615384614,
    "auprc": 0.2746030696456393,
    "prior": 0.5,
    "f1": 0.1,
    "accuracy": 0.5,
    "balanced_accuracy": 0.5,
    "sensitivity": 0.6,
    "specificity": 0.4,
    "ece": 0.09897169941350033,
    "absent_classes": [],
    "per_class": {"MI": CLASS_SCORES, "NORM": CLASS_SCORES},
    "confusion_matrix": [[2, 1], [1, 2]],
}
METRICS = ("auroc", "auprc", "accuracy", "f1", "balanced_accuracy", "sensitivity", "specificity")
INTERVALS = {
    "level": 0.95,
    "n_draws": 1000,
    "seed": 0,
    "patients": 6,
    **{name: [0.2842437094155844, 0.6616808222092664] for name in METRICS},
    "counted": dict.fromkeys(METRICS, 1000),
    "per_class": {name: {"auroc": [0.2, 0.8], "auprc": [0.1, 0.9], "counted": 970} for name in ("MI", "NORM")},
}
RESULTS = {
    "kind": "probe",
    "lfbt_version": "0.1.0",
    "synthetic": True,
    "data": {
        "folder": "data",
        "hash": HASH,
        "names_assumed": False,
        "classes": ["MI", "NORM"],
        "training_records": 10,
        "counts": {"train": {"MI": 5, "NORM": 5}, "val": {"MI": 3, "NORM": 3}, "test": {"MI": 3, "NORM": 3}},
    },
    "task": "single-label",
    "leads": LEADS,
    "lead_subset": None,
    "encoder": {"checkpoint": "pre", "history": ENCODER["history"]},
    "classifier": "adam",
    "fraction": 1.0,
    "seed": 0,
    "folds": None,
    "settings": {
        **{key: value for key, value in SERIES.items() if key not in ("lfbt_version", "kind", "data_hash", "encoder")},
        "seeds": [0],
        "epochs": 5,
        "resume": False,
    },
    "chosen": {"epoch": 1, "learning_rate": 0.001},
    "val_loss": 1.620513677597046,
    # The scores of validation have no intervals at all.
    "test": {**SCORES, "intervals": INTERVALS},
    "val": SCORES,
}
PREDICTIONS = """\
id,patient,label,p_MI,p_NORM
3,3,NORM,0.3758758,0.6241242
9,8,NORM,0.42535142,0.57464858
11,9,NORM,0.62535142,0.37464858
12,10,MI,0.72535142,0.27464858
14,11,MI,0.51535142,0.48464858
15,12,MI,0.32535142,0.67464858
"""
FITTING = [
    {"epoch": 1, "train_loss": 1.6109057575666985, "val_loss": 1.620513677597046},
    {"epoch": 2, "train_loss": 1.5145303116363733, "val_loss": 1.6284147500991821},
]
PRETRAINING = [
    {
        "epoch": 1,
        "loss": 49.80973413687985,
        "intra": 45.454168981435345,
        "inter": 67.23198642860464,
        "learning_rate": 0.001,
        "seconds": 0.9373926330000018,
        "records_per_second": 156.81795954545305,
    },
    {
        "epoch": 2,
        "loss": 33.278827277981506,
        "intra": 24.727685357437654,
        "inter": 67.48339423354791,
        "learning_rate": 0.001,
        "seconds": 0.595289401999878,
        "records_per_second": 246.93871502861077,
        "val_auroc": 0.71,
        "rank": 57.0,
        "spread_II": 1.19,
        "spread_V1": 1.22,
    },
]


def write_json(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n")


def write_lines(path, lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A data set of the last version, a pretraining on it that ended, and one that a signal stopped."""
    place = tmp_path_factory.mktemp("compatibility")
    write_packed(place / "data", waves([0, 1, 2] * (RECORDS // 3)))
    write_json(place / "data" / "dataset.json", DATASET)
    output_of(*words_of(place, place / "ended"))

    def append_and_signal(folder, line):
        append_history(folder, line)
        if line.epoch == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lfbt.training.pretraining.append_history", append_and_signal)
        status, _, messages = run(*words_of(place, place / "stopped"))
    assert status == 75, messages
    return place


def words_of(place, run_dir):
    return ("pretrain", "--data-dir", place / "data", "--run-dir", run_dir, *WORDS, *QUALITY)


def stopped_run(place, folder, **changes):
    """The stopped pretraining with the settings.json of the last version; "absent" leaves a setting out."""
    shutil.copytree(place / "stopped", folder)
    content = {**SETTINGS, "data_dir": [str(place / "data")], "run_dir": str(folder), **changes}
    write_json(folder / "settings.json", {name: value for name, value in content.items() if value != "absent"})
    config = read_json(folder / "encoder" / "config.json")
    del config["format"]
    write_json(folder / "encoder" / "config.json", config)
    return folder


# --- data sets ---


def test_open_dataset_opens_a_manifest_without_a_format(place):
    dataset = open_dataset(place / "data")
    assert (len(dataset), list(dataset.leads), dataset.sampling_rate, dataset.hash) == (RECORDS, LEADS, 6.4, HASH)
    assert (dataset.synthetic, dataset.names_assumed, dataset.manifest.dropped) == (True, False, DATASET["dropped"])
    assert dataset.manifest.settings == DATASET["settings"]
    assert dataset.manifest.source is not None
    assert dataset.manifest.source.options == {"records": 29, "seed": 0, "labels": "superclass"}


# --- encoders and classifiers ---


def test_load_encoder_opens_a_config_without_a_format(place, tmp_path):
    shutil.copytree(place / "ended" / "encoder", tmp_path / "encoder")
    write_json(tmp_path / "encoder" / "config.json", ENCODER)
    new, old = load_encoder(place / "ended"), load_encoder(tmp_path)
    assert old.config == new.config
    assert_same_tensors(old.state_dict(), new.state_dict())
    words = ("embed", "--data-dir", place / "data", "--device", "cpu", "--workers", 0)
    for name, checkpoint in (("new", place / "ended"), ("old", tmp_path)):
        output_of(*words, "--checkpoint", checkpoint, "--out", tmp_path / name)
    embeddings = [(tmp_path / name / "embeddings.npy").read_bytes() for name in ("new", "old")]
    assert embeddings[0] == embeddings[1]


def test_embed_opens_a_classifier_whose_configs_have_no_format(tmp_path):
    data, checkpoint = write_labelled(tmp_path / "labelled"), write_checkpoint(tmp_path / "checkpoint")
    words = ("--data-dir", data, "--device", "cpu", "--workers", 0)
    output_of("probe", *words, "--checkpoint", checkpoint, "--run-dir", tmp_path / "probe", "--epochs", 1)
    output_of("embed", *words, "--checkpoint", tmp_path / "probe", "--out", tmp_path / "new")
    for part, literal in (("encoder", ENCODER), ("head", HEAD)):
        content = read_json(tmp_path / "probe" / part / "config.json")
        assert list(content) == ["format", *literal]
        del content["format"]
        write_json(tmp_path / "probe" / part / "config.json", content)
    output_of("embed", *words, "--checkpoint", tmp_path / "probe", "--out", tmp_path / "old")
    for name in ("embeddings.npy", "probabilities.csv"):
        assert (tmp_path / "old" / name).read_bytes() == (tmp_path / "new" / name).read_bytes()


# --- results and histories ---


@pytest.fixture
def old_run(tmp_path):
    """A run folder of a probe."""
    write_json(tmp_path / "probe" / "results.json", RESULTS)
    write_lines(tmp_path / "probe" / "history.jsonl", FITTING)
    (tmp_path / "probe" / "predictions.csv").write_text(PREDICTIONS)
    return tmp_path / "probe"


def test_results_of_the_last_version_load_with_every_value(old_run):
    results = Results.load(old_run)
    assert (results.test.auroc, results.val_loss) == (0.46365384615384614, 1.620513677597046)
    assert results.chosen == RESULTS["chosen"]
    assert results.test.intervals is not None
    assert results.test.intervals.auroc == (0.2842437094155844, 0.6616808222092664)
    assert results.val is not None
    assert results.val.intervals is None
    assert (results.settings, results.encoder.history) == (RESULTS["settings"], ENCODER["history"])


def test_report_compare_and_runs_show_a_probe_of_the_last_version(old_run, tmp_path):
    assert " 0.4637 [0.284, 0.662] " in output_of("report", old_run, "--out", tmp_path / "report")
    # Computed from the predictions: five of nine pairs are in the right order.
    assert " 0.5556 [" in output_of("compare", old_run, "--draws", 5)
    row = output_of("runs", tmp_path).splitlines()[1]
    assert row.split()[:7] == ["probe", "probe", "finished", "5/5", "(kept", "1)", "1.621"]


def test_load_run_and_runs_show_a_pretraining_of_the_last_version(tmp_path):
    write_json(tmp_path / "pretrain" / "settings.json", SETTINGS)
    write_lines(tmp_path / "pretrain" / "history.jsonl", PRETRAINING)
    pretraining = load_run(tmp_path / "pretrain")
    assert isinstance(pretraining, PretrainingRun)
    assert [epoch.to_dict() for epoch in pretraining.history] == PRETRAINING
    row = output_of("runs", tmp_path).splitlines()[1]
    assert row.split()[:4] == ["pretrain", "stopped", "2/4", "33.28"]
    assert "val AUROC 0.7100" in row


# --- resuming ---


def test_pretrain_resumes_a_run_of_the_last_version_to_the_same_bits(place, tmp_path):
    folder = stopped_run(place, tmp_path / "run")
    output_of(*words_of(place, folder), "--resume")
    ended = place / "ended"
    weights = [load_file(run_dir / "encoder" / "model.safetensors") for run_dir in (folder, ended)]
    assert_same_tensors(*weights)
    lines = [read_lines(run_dir / "history.jsonl") for run_dir in (folder, ended)]
    for line in (*lines[0], *lines[1]):
        del line["seconds"], line["records_per_second"]
    assert lines[0] == lines[1]
    assert [line["epoch"] for line in lines[0]] == [1, 2, 3, 4]


def test_pretrain_refuses_to_resume_a_run_without_a_setting_of_today(place, tmp_path):
    folder = stopped_run(place, tmp_path / "run", temperature="absent")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert refused(*words_of(place, folder), "--resume") == (
        f"--resume: {folder} was begun by lfbt 0.1.0, which had no setting temperature; begin a new run"
    )
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_pretrain_refuses_to_resume_a_run_of_another_setting(place, tmp_path):
    folder = stopped_run(place, tmp_path / "run", gamma=0.6)
    message = refused(*words_of(place, folder), "--resume")
    assert message == f"--resume: --gamma is 0.8 but was 0.6 in {folder}; give the run's own settings"


def test_probe_resumes_a_series_of_the_last_version_to_the_same_predictions(tmp_path):
    data, checkpoint = write_labelled(tmp_path / "labelled"), write_checkpoint(tmp_path / "checkpoint")
    words = ("probe", "--data-dir", data, "--checkpoint", checkpoint, "--device", "cpu", "--workers", 0)
    series = ("--seeds", 0, 1, "--epochs", 2, "--run-dir", tmp_path / "series")
    output_of(*words, *series)
    second = tmp_path / "series" / "fraction-1-seed-1"
    predictions = (second / "predictions.csv").read_bytes()
    content = read_json(tmp_path / "series" / "settings.json")
    assert sorted(content) == sorted(["format", *SERIES])
    found = {name: content[name] for name in ("data_hash", "encoder", "data_dir", "run_dir", "checkpoint")}
    write_json(tmp_path / "series" / "settings.json", SERIES | found)
    shutil.rmtree(second)
    (tmp_path / "series" / "results.csv").unlink()
    output_of(*words, *series, "--resume")
    assert (second / "predictions.csv").read_bytes() == predictions


# --- newer files ---


@pytest.mark.parametrize("name", ["dataset.json", "encoder/config.json", "results.json"])
def test_commands_refuse_a_newer_format_in_one_line(place, old_run, tmp_path, name):
    shutil.copytree(place / "ended" / "encoder", tmp_path / "checkpoint" / "encoder")
    shutil.copytree(place / "data", tmp_path / "data")
    paths = {
        "dataset.json": tmp_path / "data" / name,
        "encoder/config.json": tmp_path / "checkpoint" / name,
        "results.json": old_run / name,
    }
    write_json(paths[name], read_json(paths[name]) | {"format": 2})
    checkpoint = ("--checkpoint", tmp_path / "checkpoint")
    embed = ("embed", "--data-dir", tmp_path / "data", *checkpoint, "--out", tmp_path / "to")
    message = refused(*(("compare", old_run) if name == "results.json" else embed))
    assert message == f"{paths[name]}: has format 2, but this lfbt reads up to 1; update lfbt"
