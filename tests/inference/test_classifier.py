"""Classifiers from run folders: files, recordings and arrays give what the run itself predicted."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from tests.factories import CLASSES, KINDS, waves, write_checkpoint, write_labelled, write_multi_label

import lfbt
from lfbt.data.layouts import open_dataset
from lfbt.errors import LfbtError
from lfbt.evaluation.probing import run_probe
from lfbt.evaluation.settings import ProbeSettings
from lfbt.inference.classifier import load_classifier, predict
from lfbt.inference.torch_model import TorchModel
from lfbt.recording import Recording
from lfbt.runs.results import Results
from lfbt.signal import normalise

COLUMNS = [f"p_{name}" for name in CLASSES]


def write_run(folder: Path, data: Path, **changes: Any) -> Path:
    checkpoint = changes.pop("checkpoint", None) or write_checkpoint(folder.with_name(f"{folder.name}-checkpoint"))
    settings: dict[str, Any] = {"epochs": 3, "batch_size": 8, "learning_rate": (1e-2,), "device": "cpu", "workers": 0}
    run_probe(ProbeSettings.create(data_dir=data, run_dir=folder, checkpoint=checkpoint, **(settings | changes)))
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_labelled(tmp_path_factory.mktemp("classifier") / "data")


@pytest.fixture(scope="module")
def run(data):
    """A run with a classifier, which no test may change."""
    return write_run(data.with_name("probed"), data)


@pytest.fixture
def copy(run, tmp_path):
    return shutil.copytree(run, tmp_path / "copy")


def test_predict_gives_the_probabilities_of_the_run(data, run):
    dataset = open_dataset(data)
    table = load_classifier(run, "cpu").predict(data)
    predicted = pd.read_csv(run / "predictions.csv", dtype={"id": str})
    got = table.set_index("record").loc[predicted["id"]]
    np.testing.assert_allclose(got[COLUMNS], predicted[COLUMNS], atol=1e-6)
    assert table["record"].tolist() == list(dataset.ids)
    assert got["predicted"].tolist() == [CLASSES[best] for best in predicted[COLUMNS].to_numpy().argmax(axis=1)]
    thresholds = {name: scores.threshold for name, scores in Results.load(run).test.per_class.items()}
    expected = [
        ";".join(name for name in CLASSES if row[f"p_{name}"] >= thresholds[name]) for _, row in predicted.iterrows()
    ]
    assert got["above_threshold"].tolist() == expected


def test_predict_takes_arrays_recordings_paths_and_data_sets_alike(data, run, tmp_path):
    classifier = load_classifier(run, "cpu")
    dataset = open_dataset(data)
    signals = np.asarray(dataset.signals[np.arange(4)])
    options: dict[str, Any] = {"leads": "II,V1", "sampling_rate": 6.4}
    files = []
    for row, signal in enumerate(signals):
        np.save(tmp_path / f"{row}.npy", 1000 * signal)
        files.append(tmp_path / f"{row}.npy")
    tables = [
        classifier.predict(dataset).head(4),
        classifier.predict(signals, **options),
        classifier.predict(signals.tolist(), **options),
        classifier.predict(torch.from_numpy(1000 * signals), unit="uV", **options),
        classifier.predict([Recording(signal, 6.4, ("II", "V1")) for signal in signals]),
        classifier.predict(files, unit="uV", **options),
        classifier.predict(tmp_path, unit="uV", **options),
        predict(signals[:, ::-1], run, leads=["V1", "II"], sampling_rate=6.4),
    ]
    for table in tables:
        np.testing.assert_allclose(table[COLUMNS], tables[0][COLUMNS], atol=1e-6)
    assert len(classifier.predict(signals[0], **options)) == 1
    assert lfbt.predict is predict


def test_predict_pools_pieces_by_the_mean_of_logits(run):
    classifier = load_classifier(run, "cpu")
    long = np.random.default_rng(0).standard_normal((2, 192)).astype(np.float32)
    table = classifier.predict(long, leads="II,V1", sampling_rate=6.4, per_piece=True)
    assert table["pieces"].tolist() == [3, 1, 1, 1]
    logits = np.log(table[COLUMNS].to_numpy(float))
    centred = logits[1:] - logits[1:].mean(axis=1, keepdims=True)
    mean = np.exp(centred.mean(axis=0))
    np.testing.assert_allclose(table[COLUMNS].to_numpy(float)[0], mean / mean.sum(), rtol=1e-5)


def test_predict_keeps_what_cannot_be_answered_with_the_reason(run):
    table = predict([Recording(np.zeros((2, 64), np.float32), 6.4, ("II", "V1"), id="a"),
                     Recording(np.ones((1, 64), np.float32), 6.4, ("II",), id="b")], run)  # fmt: skip
    assert table["pieces"].tolist() == [0, 0]
    assert table["error"][0].startswith("flat")
    assert table["error"][1] == (
        "absent lead V1 (the recording has II); the encoder takes II,V1; "
        "for other leads train a classifier with --leads, or with --leads-dropout and --lead-subsets"
    )
    assert table[COLUMNS].isna().all(axis=None)


def test_predict_calls_what_a_file_lacks_by_its_arguments(run, tmp_path):
    np.save(tmp_path / "a.npy", np.ones((2, 64)))
    assert predict(tmp_path / "a.npy", run)["error"][0].startswith("sampling_rate: none given, but ")


@pytest.mark.parametrize(
    ("x", "options", "message"),
    [
        (np.zeros((1, 2, 64)), {}, "an array states neither leads nor sampling rate"),
        (
            np.zeros((1, 3, 64)),
            {"leads": "II,V1", "sampling_rate": 6.4},
            r"shape \[1, 3, 64\] is not \[records, 2 leads",
        ),
        (Recording(np.zeros((2, 64), np.float32), 6.4, ("II", "V1")), {"unit": "uV"}, "recordings and data sets state"),
        ([Recording(np.zeros((2, 64), np.float32), 6.4, ("II", "V1")), "a.npy"], {}, "are mixed; give one kind"),
    ],
)
def test_predict_refuses_what_it_would_have_to_guess(run, x, options, message):
    with pytest.raises(LfbtError, match=message):
        predict(x, run, **options)


def test_classifier_of_several_labels_predicts_by_thresholds(tmp_path):
    data = write_multi_label(tmp_path / "data")
    classifier = load_classifier(write_run(tmp_path / "run", data), "cpu")
    assert not classifier.exclusive
    table = classifier.predict(data)
    limits = [0.5 if value is None else value for value in classifier.thresholds.values()]
    for _, row in table.iterrows():
        expected = [name for name, at in zip(classifier.classes, limits, strict=True) if row[f"p_{name}"] >= at]
        assert row["predicted"] == ";".join(expected)


def test_load_classifier_says_what_it_is(run):
    classifier = load_classifier(str(run), "cpu")
    assert repr(classifier) == "Classifier('probed', classes fast,middle,slow, leads II,V1, 10 s)"
    assert (classifier.classes, classifier.leads, classifier.exclusive) == (CLASSES, ("II", "V1"), True)
    assert set(classifier.thresholds) == set(CLASSES)


def test_load_classifier_refuses_runs_without_one(data, tmp_path):
    series = write_run(tmp_path / "series", data, seeds=(0, 1))
    knn = tmp_path / "knn"
    given: dict[str, Any] = {"classifier": "knn", "neighbours": (3,), "device": "cpu", "workers": 0}
    run_probe(ProbeSettings.create(data_dir=data, run_dir=knn, checkpoint=write_checkpoint(tmp_path / "c"), **given))
    for folder, message in {
        tmp_path / "absent": "does not exist",
        Path("lfbt-small"): "lfbt-small is an encoder without classes; train a classifier",
        series: "is a series of trials; give one, such as ",
        knn: "keeps no classifier",
        data: "is no run with a classifier",
    }.items():
        with pytest.raises(LfbtError, match=f"^classifier: .*{message}"):
            load_classifier(folder)


def test_predict_takes_arrays_and_columns_of_paths(run, tmp_path):
    np.save(tmp_path / "a.npy", waves([1], 4)[0, :2])
    options: dict[str, Any] = {"leads": "II,V1", "sampling_rate": 6.4}
    path = str(tmp_path / "a.npy")
    classifier = load_classifier(run, "cpu")
    expected = classifier.predict([path], **options)
    for paths in (np.array([path]), np.array([path], object), pd.Series([path])):
        pd.testing.assert_frame_equal(classifier.predict(paths, **options), expected)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (None, "nothing is given"),
        ([], "nothing is given"),
        (iter(["a.npy"]), "a list_iterator is not taken"),
        (b"a.npy", "a bytes is not taken"),
        ({"a.npy"}, "a set is not taken"),
    ],
    ids=["None", "list", "iterator", "bytes", "set"],
)
def test_predict_says_what_is_not_taken(run, x, message):
    with pytest.raises(LfbtError, match=f"^predict: {message}"):
        load_classifier(run, "cpu").predict(x)


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("head/config.json", lambda head: head["classes"].reverse(), "is of other classes than"),
        ("head/config.json", lambda head: head.update(exclusive=False), "is of other classes than"),
        ("results.json", lambda results: results.update(task="multi-label"), "is of other classes than"),
        ("results.json", lambda results: results["test"]["per_class"]["fast"].update(threshold=7), "threshold 7.0"),
        (
            "results.json",
            lambda results: results["test"]["per_class"]["fast"].update(threshold=np.nan),
            "threshold nan",
        ),
    ],
    ids=["order of classes", "kind of head", "kind of results", "threshold", "no threshold"],
)
def test_load_classifier_refuses_what_was_edited(copy, file, change, message):
    """Probabilities would stand under the names of other classes, or a class never be called."""
    content = json.loads((copy / file).read_text())
    change(content)
    (copy / file).write_text(json.dumps(content))
    with pytest.raises(LfbtError, match=message):
        load_classifier(copy)


def test_load_classifier_refuses_files_that_do_not_fit_each_other(copy):
    results = json.loads((copy / "results.json").read_text())
    results["test"]["per_class"]["other"] = results["test"]["per_class"].pop("fast")
    (copy / "results.json").write_text(json.dumps(results))
    with pytest.raises(LfbtError, match="is of other classes than"):
        load_classifier(copy)
    shutil.rmtree(copy / "encoder")
    write_checkpoint(copy / "encoder", leads=("II", "V1", "V2"))
    with pytest.raises(LfbtError, match="takes 128 features, but its encoder gives 192"):
        load_classifier(copy)


LEADS = ("II", "V1", "V2")


@pytest.fixture(scope="module")
def serving(tmp_path_factory):
    """A run whose classifier serves lead II and the two chest leads, too."""
    place = tmp_path_factory.mktemp("serving")
    data = write_labelled(place / "data", signals=waves(KINDS, 3), leads=LEADS)
    settings: dict[str, Any] = {"lead_subsets": (("II",), ("chest",)), "leads_dropout": 0.5}
    checkpoint = write_checkpoint(place / "encoder", LEADS)
    return write_run(place / "serving", data, checkpoint=checkpoint, **settings)


def test_an_exported_classifier_serves_the_same_subsets(serving, tmp_path):
    exported = lfbt.export(serving, tmp_path / "model.onnx")
    assert exported.lead_subsets == (("II",), ("V1", "V2"))
    by_torch, by_onnx = load_classifier(serving, "cpu"), load_classifier(tmp_path / "model.onnx")
    assert by_onnx.lead_subsets == by_torch.lead_subsets
    given = [of_leads(*leads) for leads in (LEADS, ("V2", "II"), ("V2", "V3", "V1"), ("V1",), ("II",), ("V3",))]
    expected, found = by_torch.predict(given), by_onnx.predict(given)
    np.testing.assert_allclose(found[COLUMNS], expected[COLUMNS], rtol=0, atol=1e-5)
    others = [name for name in expected.columns if name not in COLUMNS]
    pd.testing.assert_frame_equal(found[others], expected[others])


def of_leads(*leads):
    signals = dict(zip((*LEADS, "V3"), waves([1], 4, seed=3)[0], strict=True))
    return Recording(np.stack([signals[lead] for lead in leads]), 6.4, leads, id=",".join(leads))


def test_predict_answers_from_the_largest_subset_that_a_recording_has(serving):
    classifier = load_classifier(serving, "cpu")
    given_leads = [LEADS, ("V2", "II"), ("V2", "V3", "V1"), ("V1",), ("II",), ("V3",)]
    table = classifier.predict([of_leads(*leads) for leads in given_leads])
    assert list(table.columns)[3:5] == ["pieces", "leads"]
    assert table["leads"].tolist() == ["II,V1,V2", "II", "V1,V2", "", "II", ""]
    assert table["notes"].tolist() == [
        "", "absent lead V1: answered from II, without V2", "absent lead II: answered from V1,V2", "",
        "absent lead V1,V2: answered from II", "",
    ]  # fmt: skip
    assert table["error"][3] == (
        "absent lead II,V2 (the recording has V1); the encoder takes II,V1,V2, or the subset II or V1,V2"
    )
    assert table["error"][5].startswith("absent lead II,V1,V2 (the recording has V3)")
    assert table[COLUMNS].isna().all(axis=1).tolist() == [False, False, False, True, False, True]
    # What else there is in a recording, and its order, do not count; nor does what else is in the batch.
    np.testing.assert_array_equal(table[COLUMNS].iloc[1], table[COLUMNS].iloc[4])
    for row, leads in ((0, LEADS[::-1]), (2, ("V1", "V2")), (4, ("II",))):
        alone = classifier.predict(of_leads(*leads))
        np.testing.assert_allclose(
            alone[COLUMNS].iloc[0].astype(float), table[COLUMNS].iloc[row].astype(float), atol=1e-5
        )
    assert np.abs(table[COLUMNS].iloc[0] - table[COLUMNS].iloc[2]).max() > 1e-3


def test_predict_of_a_subset_equals_the_head_on_the_features_written_out(serving):
    classifier = load_classifier(serving, "cpu")
    assert isinstance(classifier.model, TorchModel)
    encoder, head = classifier.model.encoder, classifier.model.head
    assert head is not None
    signal = torch.from_numpy(normalise(of_leads("V1", "V2").signal, "record"))[None]
    with torch.no_grad():
        features = encoder.select_leads(("V1", "V2"))(signal).flatten(1)
        logits = features @ head.linear.weight[:, 64:].T * 1.5 + head.linear.bias
    found = classifier.predict(of_leads("V1", "V2"))[COLUMNS].to_numpy(float)
    np.testing.assert_allclose(found, logits.softmax(dim=1).numpy(), atol=1e-5)


def test_load_classifier_says_which_subsets_it_serves(serving, run):
    classifier = load_classifier(serving, "cpu")
    assert classifier.lead_subsets == (("II",), ("V1", "V2"))
    assert "leads II,V1,V2 or II or V1,V2, 10 s" in repr(classifier)
    assert load_classifier(run, "cpu").lead_subsets == ()
    assert "leads" not in predict(of_leads("II", "V1"), run).columns


def test_load_classifier_refuses_subsets_of_other_leads_than_were_scored(serving, tmp_path):
    folder = shutil.copytree(serving, tmp_path / "copy")
    results = json.loads((folder / "results.json").read_text())
    results["by_lead_subset"]["II"]["leads"] = ["V1"]
    (folder / "results.json").write_text(json.dumps(results))
    with pytest.raises(LfbtError, match="is of other lead subsets than"):
        load_classifier(folder)
