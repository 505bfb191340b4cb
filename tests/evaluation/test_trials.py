"""Trials: series of fractions and seeds, what they write, and what reads it."""

import shutil
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import RidgeCV
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler
from tests.evaluation.helpers import (
    COLUMNS,
    PATIENTS,
    QUICK,
    assert_same_but_settings,
    features_of,
    predicted,
    results_of,
    table_of,
)
from tests.factories import (
    CLASSES,
    KINDS,
    LABELS,
    MULTI_LABELS,
    MULTI_TARGETS,
    ROWS,
    SPLIT,
    waves,
    write_checkpoint,
    write_labelled,
    write_packed,
)
from tests.outputs import assert_same_tensors, contents, read_lines

import lfbt.evaluation.fine_tuning as finetune_module
import lfbt.evaluation.probing as probe_module
from lfbt.cli.app import main
from lfbt.data.layouts import open_dataset
from lfbt.errors import FinishedError, LfbtError
from lfbt.evaluation.metrics import evaluate
from lfbt.evaluation.probing import run_probe
from lfbt.evaluation.settings import ProbeSettings
from lfbt.inference.embed_settings import EmbedSettings
from lfbt.inference.embedding_folder import write_embeddings
from lfbt.models.pretrained import load_encoder
from lfbt.reports.page import ReportSettings, report
from lfbt.reports.run_list import list_runs
from lfbt.runs.loading import load_runs
from lfbt.training.pretraining import Pretrainer
from lfbt.training.settings import PretrainSettings
from lfbt.utils.files import holding
from lfbt.utils.tensors import load_tensors

NAMES = ("fraction-0.3-seed-0", "fraction-0.3-seed-2", "fraction-1-seed-0", "fraction-1-seed-2")


SERIES: dict[str, Any] = {"fraction": (0.3, 1.0), "seeds": (0, 2)}


def test_finetune_of_several_labels_writes_the_classifier_that_was_scored(run, multi):
    """The written classifier gives the probabilities that were scored."""
    folder = run(data_dir=multi, tune=True)
    results = results_of(folder)
    assert (results.task, results.classifier) == ("multi-label", None)
    assert table_of(folder)["label"].tolist() == MULTI_LABELS[36:]
    head = load_tensors(folder / "head" / "model.safetensors")
    x = torch.from_numpy(features_of(folder, multi)[36:]).float()
    p = torch.sigmoid(x @ head["linear.weight"].T + head["linear.bias"]).numpy()
    np.testing.assert_allclose(predicted(folder), p, rtol=0, atol=1e-5)
    found = evaluate(p, MULTI_TARGETS[36:], CLASSES, exclusive=False)
    assert results.test.auroc == pytest.approx(found.auroc)


def test_pretrain_monitors_quality_with_several_labels(multi, tmp_path, monkeypatch):
    """The AUROC of each class, for the encoder as it is written."""
    monkeypatch.setattr("lfbt.training.monitor.STEPS_BEFORE_QUALITY", 1)
    settings: dict[str, Any] = {"epochs": 1, "batch_size": 12, "projector": "8", "device": "cpu", "workers": 0}
    Pretrainer(PretrainSettings.create((multi,), tmp_path / "run", quality_data=multi, **settings)).run()
    x, y = features_of(tmp_path / "run", multi), MULTI_TARGETS
    scaler = StandardScaler().fit(x[:24])
    model = RidgeCV(np.logspace(-1, 5, 7)).fit(scaler.transform(x[:24]), y[:24].astype(float))
    scores = model.predict(scaler.transform(x[24:36]))
    literal = np.mean([roc_auc_score(y[24:36, k], scores[:, k]) for k in range(3)])
    assert read_lines(tmp_path / "run" / "history.jsonl")[-1]["val_auroc"] == pytest.approx(literal)


@pytest.mark.parametrize("start", ["probe", "probe of a random encoder", "finetune", "scratch"])
def test_series_trials_equal_those_run_alone(run, start):
    """Bit by bit; every seed has a random encoder of its own."""
    random_start = {"probe of a random encoder": "random_encoder", "scratch": "from_scratch"}.get(start)
    given = {"checkpoint": None, random_start: True} if random_start else {}
    tune = start in ("finetune", "scratch")
    series = run("series", tune=tune, **SERIES, **given)
    assert sorted(path.name for path in series.iterdir() if path.name != ".lock") == sorted(
        [*NAMES, "results.csv", "curve.png", "settings.json"]
    )
    for name, fraction, seed in ((NAMES[0], 0.3, 0), (NAMES[3], 1.0, 2)):
        alone = run(f"alone-{name}", tune=tune, fraction=(fraction,), seeds=(seed,), **given)
        # Only a single run of the probe leaves its features.
        for path in alone.glob("[Xy]_*.npy"):
            path.unlink()
        assert_same_but_settings(series / name, alone)
        assert (results_of(alone).fraction, results_of(alone).seed) == (fraction, seed)
    one, two = (load_encoder(series / name).state_dict() for name in NAMES[2:])
    weight = "encoders.V1.convolutions.3.weight"
    assert torch.equal(one[weight], two[weight]) == (start == "probe")


def test_series_fractions_take_complete_patients_and_are_nested(run):
    series = run(fraction=(0.2, 0.5, 1.0), seeds=(0, 1))
    chosen = {}
    for folder in series.glob("fraction-*"):
        table = table_of(folder, "splits.csv")
        chosen[folder.name] = {int(name[1:]) for name in table["id"][table["split"] == "train"]}
        assert Counter(Counter(PATIENTS[i] for i in chosen[folder.name]).values()).keys() == {2}
        assert table["id"][table["split"] == "test"].tolist() == [f"r{i}" for i in ROWS["test"]]
    for seed in (0, 1):
        small, half, whole = (chosen[f"fraction-{part}-seed-{seed}"] for part in ("0.2", "0.5", "1"))
        assert small < half < whole == set(ROWS["train"])
    assert chosen["fraction-0.2-seed-0"] != chosen["fraction-0.2-seed-1"]


def test_a_trial_whose_predictions_are_lost_is_not_called_finished(run):
    series = run(**SERIES)
    lost = series / NAMES[1] / "predictions.csv"
    lost.unlink()
    with pytest.raises(
        LfbtError, match=rf"{NAMES[1]}: has results\.json, but no predictions\.csv any more; remove this"
    ):
        run(**SERIES)
    shutil.rmtree(lost.parent)
    run(**SERIES)
    assert lost.is_file()


def test_a_trial_in_a_series_without_results_is_named_before_any_work(run, monkeypatch):
    series = run(**SERIES)
    (series / NAMES[1] / "results.json").unlink()
    monkeypatch.setattr(probe_module, "_run", lambda *_, **__: pytest.fail("it began"))
    with pytest.raises(LfbtError, match=rf"{NAMES[1]}: has no results\.json; remove this folder, and the same command"):
        run(**SERIES)


def test_a_trial_that_lacks_a_part_is_not_called_finished(run, tmp_path):
    whole = run("whole")
    with pytest.raises(FinishedError):
        run("whole")
    for name in ("splits.csv", "history.jsonl", "encoder/model.safetensors", "head/config.json"):
        shutil.copytree(whole, tmp_path / "part", dirs_exist_ok=True)
        (tmp_path / "part" / name).unlink()
        with pytest.raises(LfbtError, match=rf"part: has results\.json, but no {name} any more; .*--overwrite$"):
            run("part")
    shutil.copytree(whole, tmp_path / "part", dirs_exist_ok=True)
    predictions = tmp_path / "part" / "predictions.csv"
    predictions.write_text("".join(predictions.read_text().splitlines(keepends=True)[:3]))
    with pytest.raises(LfbtError, match=r"predictions\.csv: has 2 of 12 records"):
        run("part")


def test_a_folder_that_another_process_writes_is_refused_before_any_work(run, tmp_path, monkeypatch):
    monkeypatch.setattr(probe_module, "_run", lambda *_, **__: pytest.fail("it began"))
    for changes in ({}, SERIES):
        with holding(tmp_path / "run"), pytest.raises(LfbtError, match="another process is writing it now"):
            run(**changes)
        assert not (tmp_path / "run").exists()


def stop_in_the_middle(monkeypatch, module, name, n):
    """Have the `n`-th call of a function end the run."""
    function, calls = vars(module)[name], iter(range(1, 1000))

    def stopping(*args):
        if next(calls) == n:
            raise KeyboardInterrupt
        return function(*args)

    monkeypatch.setattr(module, name, stopping)


@pytest.mark.parametrize("kind", ["probe", "finetune", "lead subsets"])
def test_series_resumes_after_a_stop(run, monkeypatch, kind):
    """As if it had never been; what was there stays as it is."""
    tune = kind == "finetune"
    given = {"lead_subsets": (("each",), ("all",))} if kind == "lead subsets" else SERIES
    whole = run("whole", tune=tune, **given)
    module, name = (finetune_module, "_fit") if tune else (probe_module, "fit")
    with monkeypatch.context() as patch:
        stop_in_the_middle(patch, module, name, 3)
        with pytest.raises(KeyboardInterrupt):
            run("stopped", tune=tune, **given)
    stopped = whole.with_name("stopped")
    there = sorted(path.parent for path in stopped.glob("*/results.json"))
    assert len(there) == 2
    assert not (stopped / "results.csv").exists()
    # As a kill leaves it that comes while a trial is written.
    half = stopped / ".fraction-1-seed-0.partial-1"
    shutil.copytree(there[0], half)
    before = {path: path.stat().st_mtime_ns for folder in there for path in folder.iterdir()}
    run("stopped", tune=tune, resume=True, **given)
    assert {path: path.stat().st_mtime_ns for folder in there for path in folder.iterdir()} == before
    trials = {path.parent.name for path in whole.glob("*/results.json")}
    assert {path.name for path in stopped.iterdir()} == {path.name for path in whole.iterdir()} > trials
    for trial in trials:
        assert_same_but_settings(stopped / trial, whole / trial)
    for name in ("results.csv", "curve.png"):
        assert (stopped / name).read_bytes() == (whole / name).read_bytes()


def test_series_resumes_with_trials_and_table_removed(run):
    folder = run(**SERIES)
    whole = contents(folder)
    for name in NAMES[1:3]:
        shutil.rmtree(folder / name)
    (folder / "results.csv").unlink()
    (folder / "curve.png").unlink()
    run(**SERIES, resume=True)
    now = contents(folder)
    for files in (whole, now):
        # Only these tell that one of both was resumed.
        for name in NAMES[1:3]:
            files[f"{name}/results.json"] = files[f"{name}/results.json"].replace(b'"resume": true', b'"resume": false')
    assert now == whole


def test_series_computes_nothing_again_once_finished(run, monkeypatch):
    folder = run(**SERIES)
    before = contents(folder)
    monkeypatch.setattr(probe_module, "compute_embeddings", None)
    assert contents(run(**SERIES, resume=True)) == before


@pytest.mark.parametrize("tune", [False, True], ids=["probe", "finetune"])
def test_series_resumes_with_its_own_settings_only(run, tmp_path, tune):
    folder = run(tune=tune, **SERIES)
    before = contents(folder)
    with pytest.raises(FinishedError, match="run: finished before"):
        run(tune=tune, **SERIES)
    with pytest.raises(LfbtError, match=r"run: holds another run already \(epochs is 9 but was"):
        run(tune=tune, **(SERIES | {"epochs": 9}))
    changes: list[tuple[str, dict[str, Any]]] = [
        (r"resume: seeds is \[0, 3\] but was \[0, 2\] in", {"seeds": (0, 3)}),
        (r"resume: fraction is \[0\.3\] but was \[0\.3, 1\.0\] in", {"fraction": (0.3,)}),
        ("resume: epochs is 9 but was", {"epochs": 9}),
        ("resume: the data changed in", {"data_dir": write_labelled(tmp_path / "other", signals=waves(KINDS, seed=6))}),
    ]
    for message, change in changes:
        with pytest.raises(LfbtError, match=message):
            run(tune=tune, **(SERIES | {"resume": True} | change))
    with pytest.raises(LfbtError, match="resume: kind is "):
        run(tune=not tune, **SERIES, resume=True)
    # A single trial has the folder itself, so this one is in use.
    with pytest.raises(LfbtError, match="run: holds other results already"):
        run(tune=tune, resume=True)
    assert contents(folder) == before


def test_series_refuses_the_folder_of_a_single_run(run):
    folder = run()
    before = contents(folder)
    with pytest.raises(LfbtError, match="run: holds other results already"):
        run(**SERIES)
    with pytest.raises(LfbtError, match=r"resume: .*run holds no run"):
        run(**SERIES, resume=True)
    assert contents(folder) == before


def test_series_leaves_nothing_if_it_fails_at_once(run, tmp_path):
    signals = waves(KINDS)
    signals[40, 1, 5] = np.nan
    write_packed(tmp_path / "data", signals, LABELS, SPLIT, hash="x")
    with pytest.raises(LfbtError, match="record r40 holds NaN or infinity"):
        run(data_dir=tmp_path / "data", **SERIES)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_list_trials_names_close_fractions_apart(run):
    """Named by all their digits."""
    folder = run(fraction=(0.5, 0.5000001, 1.0), epochs=1)
    assert sorted(path.name for path in folder.glob("fraction*")) == [
        "fraction-0.5-seed-0",
        "fraction-0.5000001-seed-0",
        "fraction-1-seed-0",
    ]


def test_write_results_of_folds_pools_test_records_and_has_no_encoder(run):
    folder = run(folds=4, learning_rate=(1e-2,))
    names = {path.name for path in folder.iterdir()}
    # No one encoder and head, and no one set of features, is that of all folds.
    assert names == {"history.jsonl", "predictions.csv", "results.json", "splits.csv"}
    results = results_of(folder)
    assert results.folds == len(results.chosen) == 4
    assert results.data.counts == {"test": dict.fromkeys(CLASSES, 16)}
    assert all(row.threshold is None for row in results.test.per_class.values())
    splits = table_of(folder, "splits.csv")
    assert list(splits) == ["id", "split", "fold"]
    splits["patient"] = [PATIENTS[int(name[1:])] for name in splits["id"]]
    assert (splits.groupby("fold").size() == 48).all()
    assert splits.groupby(["fold", "patient"])["split"].nunique().eq(1).all()
    for name in ("val", "test"):
        assert sorted(splits["id"][splits["split"] == name]) == sorted(f"r{i}" for i in range(48))
    test_of = splits[splits["split"] == "test"].set_index("id")["fold"]
    val_of = splits[splits["split"] == "val"].set_index("id")["fold"]
    assert (test_of == (val_of.loc[test_of.index] + 1) % 4).all()


def test_series_of_folds_scores_all_test_records(run):
    """The test records of all folds are scored whatever the fraction of the others."""
    series = run(folds=3, classifier="logistic", c=(0.01,), fraction=(0.5, 1.0), seeds=(0, 1))
    sizes = {}
    for folder in series.glob("fraction-*"):
        assert results_of(folder).test.records == 48
        sizes[folder.name] = results_of(folder).data.training_records
    assert sizes["fraction-1-seed-0"] == sizes["fraction-1-seed-1"] == 32
    assert 16 <= sizes["fraction-0.5-seed-0"] <= 20
    alone = run("alone", folds=3, classifier="logistic", c=(0.01,), fraction=(0.5,), seeds=(1,))
    assert_same_but_settings(series / "fraction-0.5-seed-1", alone)


@pytest.fixture(scope="module")
def synthetic(data):
    """The data set marked as synthetic."""
    signals = np.load(data / "signals.npy")
    return write_labelled(data.with_name("synthetic"), signals=signals, patients=PATIENTS, synthetic=True)


@pytest.fixture
def lfbt_prints(synthetic, checkpoint, tmp_path, capsys):
    def printed_by(command, *words, encoder=("--checkpoint", checkpoint)):
        of_adam = () if "--classifier" in words else ("--epochs", 1, "--batch-size", 12)
        options = (*of_adam, "--device", "cpu", "--workers", 0)
        place = ("--data-dir", synthetic, *encoder, "--run-dir", tmp_path / "run")
        main([str(word) for word in (command, *place, *options, *words)])
        return capsys.readouterr().out.splitlines(), tmp_path / "run"

    return printed_by


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        (("--classifier", "logistic", "--c", "0.01"), "c 0.01 kept"),
        (("--classifier", "knn", "--neighbours", "7"), "neighbours 7 kept"),
        (("--learning-rate", "1e-2"), "epoch {epoch:g}, learning rate 0.01 kept"),
    ],
)
def test_summary_of_a_single_trial(lfbt_prints, words, kept):
    said, folder = lfbt_prints("probe", *words)
    results = results_of(folder)
    kept = kept.format(**results.chosen)
    assert said[0] == f"{folder}: probe, {kept} (validation loss {results.val_loss:.4f})"
    auroc, (low, high) = results.test.auroc, results.test.intervals.auroc
    figure = f"macro AUROC {auroc:.4f} [{low:.3f}, {high:.3f}], macro AUPRC "
    assert said[1].startswith(f"  SYNTHETIC data, 12 test records: {figure}")


@pytest.mark.parametrize("command", ["probe", "finetune"])
def test_summary_of_folds(lfbt_prints, command):
    said, folder = lfbt_prints(command, "--folds", "3")
    assert said[0] == f"{folder}: {command}"
    auroc = results_of(folder).test.auroc
    assert said[1].startswith(f"  3 folds of SYNTHETIC data, 48 test records: macro AUROC {auroc:.4f} [")


@pytest.mark.parametrize("command", ["probe", "finetune"])
def test_summary_of_a_series(lfbt_prints, command):
    said, folder = lfbt_prints(command, "--fraction", "0.5", "1.0", "--seeds", "0", "1")
    assert said[0] == f"{folder}: {command}, 4 trials, SYNTHETIC data, 12 test records"
    assert " ".join(said[1].split()) == "leads fraction training records seeds AUROC AUROC sd AUPRC AUPRC sd"
    table = table_of(folder, "results.csv")
    for line, (_, row) in zip(said[2:], table.iterrows(), strict=True):
        figures = [f"{row[name]:.4f}" for name in ("AUROC", "AUROC sd", "AUPRC", "AUPRC sd")]
        assert line.split() == ["II,V1", f"{row['fraction']:.4f}", str(row["training records"]), "2", *figures]
    again, _ = lfbt_prints(command, "--fraction", "0.5", "1.0", "--seeds", "0", "1", "--resume")
    assert again == said


def test_summary_of_lead_subsets(lfbt_prints):
    said, folder = lfbt_prints("probe", "--lead-subsets", "each", "limb", "all", "v1,ii")
    assert said[0] == f"{folder}: probe, 5 trials, SYNTHETIC data, 12 test records"
    assert [line.split()[0] for line in said[2:]] == ["II", "V1", "limb", "all", "V1,II"]
    assert [line.split()[-1] for line in said[2:]] == ["-"] * 5


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--lead-subsets", "V1,V1"), "--lead-subsets: V1 is named twice in V1,V1"),
        (("--lead-subsets", "each", "V4"), "--lead-subsets: V4: the encoder has II,V1"),
        (("--seeds", "1", "1"), "--seeds: 1 1; give one or more, each once"),
    ],
)
def test_command_refuses_repeated_and_missing_values(lfbt_prints, capsys, words, message):
    with pytest.raises(SystemExit, match="2"):
        lfbt_prints("probe", *words)
    assert f"lfbt: error: {message}" in capsys.readouterr().err


def test_commands_take_several_labels_from_a_download_to_probabilities(tmp_path, capsys):
    """`--keep-multi-label` makes all that follows a task of several labels."""

    def printed_by(*words):
        main([str(word) for word in words])
        return capsys.readouterr().out

    options = ("--records", 90, "--n-samples", 64, "--workers", 1, "--keep-multi-label")
    printed_by("prepare", "synthetic", tmp_path / "download", tmp_path / "data", *options)
    dataset = open_dataset(tmp_path / "data")
    assert not dataset.exclusive
    words = ("--data-dir", tmp_path / "data", "--device", "cpu", "--workers", 0)
    probing = ("probe", *words, "--random-encoder", "--run-dir", tmp_path / "run", "--classifier", "logistic")
    assert "SYNTHETIC data, " in printed_by(*probing)
    results = results_of(tmp_path / "run")
    assert results.task == "multi-label"
    assert results.chosen["c"] in (0.001, 0.01, 0.1, 1.0)
    printed_by("embed", *words, "--checkpoint", tmp_path / "run", "--out", tmp_path / "embed")
    p = table_of(tmp_path / "embed", "probabilities.csv").set_index("id")
    predictions = table_of(tmp_path / "run").set_index("id")
    columns = [f"p_{name}" for name in dataset.classes]
    np.testing.assert_allclose(p.loc[predictions.index, columns], predictions[columns], rtol=0, atol=1e-5)
    assert predictions["label"].tolist() == [";".join(dataset.labels[row]) for row in dataset.rows("test")]


@pytest.fixture
def place(run):
    """A series and a plain run, of the same test records, and one in folds elsewhere."""
    series = run("all/series", **SERIES)
    run("all/plain", classifier="knn", neighbours=(5,))
    run("folds/folds", folds=3)
    return series.parent.parent


def test_report_takes_the_trials_of_a_series(place):
    folder = place / "all" / "series"
    assert [run.folder.name for run in load_runs(folder)] == list(NAMES)
    page, table = report(ReportSettings((folder, place / "all" / "plain"), place / "report"))
    assert table["run"].tolist() == [*(f"series/{name}" for name in NAMES), "plain"]
    assert table["kind"].tolist() == ["linear probe"] * 4 + ["nearest neighbours"]
    assert table["AUROC"].tolist() == [results_of(run.folder).test.auroc for run in load_runs(folder)] + [
        results_of(place / "all" / "plain").test.auroc
    ]
    text = page.read_text()
    assert all(f"series/{name}" in text for name in NAMES)
    assert "neighbours 5 kept" in text
    page, table = report(ReportSettings((place / "folds" / "folds",), place / "report-folds"))
    assert table["test records"].tolist() == [48]
    assert "3 patient-disjoint folds, all test records scored together" in page.read_text()


def test_report_of_several_labels_has_a_confusion_of_each_class(run, multi, tmp_path):
    folder = run(data_dir=multi)
    page, table = report(ReportSettings((folder,), tmp_path / "report"))
    assert table["AUROC"].tolist() == [results_of(folder).test.auroc]
    # No confusion matrix of exclusive classes.
    assert "predicted →" not in page.read_text()
    assert "A record may have several classes: of each by itself" in page.read_text()


def test_list_runs_shows_trials_and_not_their_folder(place):
    runs = {run.folder.relative_to(place).as_posix(): run for run in list_runs(place)}
    assert list(runs) == ["all/plain", *(f"all/series/{name}" for name in NAMES), "folds/folds"]
    assert {run.state for run in runs.values()} == {"finished"}
    series = [runs[f"all/series/{name}"] for name in NAMES]
    assert [run.differs.split()[0] for run in series] == ["fraction=0.3"] * 2 + ["fraction=1.0"] * 2
    assert ["seeds=2" in run.differs for run in series] == [False, True] * 2
    for run in (*series, runs["all/plain"]):
        results = results_of(run.folder)
        assert (run.loss, run.quality) == (results.val_loss, f"val AUROC {results.val.auroc:.4f}")
    chosen = results_of(series[0].folder).chosen
    assert (series[0].epoch, runs["all/plain"].epoch, runs["folds/folds"].epoch) == (
        f"3/3 (kept {chosen['epoch']})",
        "-",
        "-",
    )


def test_trial_serves_as_a_checkpoint(run, data, tmp_path):
    series = run("series", tune=True, **SERIES)
    place = series / NAMES[0]
    write_embeddings(EmbedSettings((data,), tmp_path / "embed", place, device="cpu", workers=0))
    p = table_of(tmp_path / "embed", "probabilities.csv")[COLUMNS].to_numpy()
    np.testing.assert_allclose(p[36:], predicted(place), rtol=0, atol=1e-5)
    probed = run("probed", checkpoint=place)
    assert_same_tensors(load_encoder(probed).state_dict(), load_encoder(place).state_dict())


def test_series_does_not_resume_from_another_encoder(data, tmp_path):
    """The folder and its history are the same, but not the weights in it."""
    settings = {"seeds": (0, 1), **QUICK}
    checkpoint = write_checkpoint(tmp_path / "encoder")
    run_probe(ProbeSettings.create(data, tmp_path / "run", checkpoint, **settings))
    shutil.rmtree(checkpoint)
    write_checkpoint(checkpoint, seed=2)
    with pytest.raises(LfbtError, match=r"resume: encoder is another in"):
        run_probe(ProbeSettings.create(data, tmp_path / "run", checkpoint, resume=True, **settings))


def test_resume_says_of_finished_trials_that_they_are(run, tmp_path, capfd):
    run("series", **SERIES)
    capfd.readouterr()
    run("series", **SERIES, resume=True)
    said = f"{tmp_path / 'series'} is finished: all {len(NAMES)} trials were done before"
    assert said in capfd.readouterr().err
    run("one")
    with pytest.raises(FinishedError, match="one: finished before"):
        run("one", resume=True)
