"""`results.json`: what is written is read, files of the last version load, and corrupt ones are named."""

import dataclasses
import json

import pytest

from lfbt.errors import LfbtError
from lfbt.runs.results import Results, SubsetScores


def write(folder, content):
    (folder / "results.json").write_text(json.dumps(content))


def test_load_reads_the_last_versions_file(results_content, tmp_path):
    write(tmp_path, results_content)
    results = Results.load(tmp_path)
    assert (results.kind, results.leads, results.lead_subset, results.exclusive) == ("probe", ["II", "V1"], None, True)
    assert results.data.counts["train"] == {"MI": 23, "NORM": 61}
    assert results.encoder.history["epochs_done"] == 4
    assert results.settings["c"] == [0.001, 0.01]
    # An epoch stays an integer.
    assert str(results.chosen) == "{'epoch': 3, 'learning_rate': 0.001}"
    assert results.test.intervals is not None
    assert results.test.intervals.auroc == (0.8, 0.95)
    assert results.test.intervals.sensitivity is None
    assert results.test.intervals.per_class["MI"].counted == 998
    assert results.test.per_class["NORM"].threshold is None
    assert results.val is not None
    assert results.val.intervals is None


def test_load_reads_the_last_versions_file_of_folds(results_content, tmp_path):
    """One choice a fold, counts of the test only, and nothing of validation."""
    of_folds = {"folds": 3, "chosen": [{"c": 0.1}, {"c": 0.01}, {"c": 0.1}], "val_loss": None, "val": None}
    counts = {"test": {"MI": 33, "NORM": 73}}
    write(tmp_path, results_content | of_folds | {"data": results_content["data"] | {"counts": counts}})
    results = Results.load(tmp_path)
    assert (results.folds, results.val, results.val_loss) == (3, None, None)
    assert results.chosen == [{"c": 0.1}, {"c": 0.01}, {"c": 0.1}]


def test_load_reads_the_last_versions_file_of_a_multi_label_task(results_content, tmp_path):
    """A matrix a class, no probe's classifier, and the name of a subset of leads."""
    test = results_content["test"] | {"confusion_matrix": [[[5, 1], [2, 4]], [[4, 2], [1, 5]]]}
    changes = {"task": "multi-label", "kind": "finetune", "classifier": None, "lead_subset": "limb", "test": test}
    write(tmp_path, results_content | changes)
    results = Results.load(tmp_path)
    assert (results.exclusive, results.classifier, results.lead_subset) == (False, None, "limb")
    assert results.test.confusion_matrix == [[[5, 1], [2, 4]], [[4, 2], [1, 5]]]


def test_save_writes_every_key_and_value_as_before(results_content, tmp_path):
    """With the format version first, and no intervals of validation."""
    write(tmp_path, results_content)
    Results.load(tmp_path).save(tmp_path)
    content = json.loads((tmp_path / "results.json").read_text())
    assert list(content) == ["format", *results_content]
    results_content["val"]["intervals"] = None
    assert content == {"format": 1, **results_content}


def test_save_and_load_are_inverse(results_content, tmp_path):
    write(tmp_path, results_content)
    results = Results.load(tmp_path)
    (tmp_path / "again").mkdir()
    results.save(tmp_path / "again")
    assert Results.load(tmp_path / "again") == results


def test_load_names_file_field_and_remedy(results_content, tmp_path):
    write(tmp_path, {name: value for name, value in results_content.items() if name != "lead_subset"})
    with pytest.raises(LfbtError, match=r"results\.json: .*`lead_subset`; run it again with this lfbt$"):
        Results.load(tmp_path)
    write(tmp_path, results_content | {"fraction": "all"})
    with pytest.raises(LfbtError, match=r"results\.json: field fraction: .*; run it again with this lfbt$"):
        Results.load(tmp_path)
    del results_content["test"]["per_class"]["MI"]["auprc"]
    write(tmp_path, results_content)
    with pytest.raises(LfbtError, match=r"results\.json: field test\.per_class.*`auprc`; run it again with this lfbt$"):
        Results.load(tmp_path)


def test_load_refuses_a_newer_format(results_content, tmp_path):
    write(tmp_path, {"format": 2, **results_content})
    with pytest.raises(LfbtError, match=r"results\.json: has format 2, but this lfbt reads up to 1; update lfbt"):
        Results.load(tmp_path)


def test_load_refuses_what_is_not_json(tmp_path):
    with pytest.raises(LfbtError, match=r"results\.json: cannot be read"):
        Results.load(tmp_path)
    (tmp_path / "results.json").write_text('{"kind": ')
    with pytest.raises(LfbtError, match=r"results\.json: is not JSON"):
        Results.load(tmp_path)


def test_load_refuses_a_lone_surrogate_in_a_number(results_content, tmp_path):
    write(tmp_path, results_content | {"seed": "\ud800"})
    with pytest.raises(LfbtError, match=r"results\.json: "):
        Results.load(tmp_path)


def test_results_print_in_one_line(results_content, tmp_path):
    write(tmp_path, results_content)
    results = Results.load(tmp_path)
    said = f"AUROC {results.test.auroc:.4f}, {results.test.records} test records)"
    assert repr(results) == f"Results(probe, fraction {results.fraction:g}, seed {results.seed}, {said}"
    of_folds = dataclasses.replace(results, folds=3, test=dataclasses.replace(results.test, auroc=None))
    assert ", 3 folds, AUROC none, " in repr(of_folds)


def test_every_part_of_results_prints_as_one_short_line(results_content, tmp_path):
    (tmp_path / "results.json").write_text(json.dumps(results_content))
    results = Results.load(tmp_path)
    assert repr(results.test) == (
        "Scores(12 records, AUROC 0.9000, AUPRC 0.9100, F1 0.7500, accuracy 0.7500, classes MI,NORM)"
    )
    assert repr(results.test.intervals) == (
        "Intervals(level 0.95, 1000 draws of 11 patients, AUROC [0.800, 0.950], AUPRC [0.800, 0.950])"
    )
    assert repr(results.test.per_class["MI"]) == "ClassScores(6 records, AUROC 0.9000, AUPRC 0.9100, F1 0.7500)"
    assert repr(results.data) == "LabelledData('data', 147 training records, 2 classes)"
    assert repr(results.encoder) == "EncoderOrigin('pre')"
    assert repr(dataclasses.replace(results.encoder, checkpoint=None)) == "EncoderOrigin(random)"
    none = dataclasses.replace(results.test, auroc=None, per_class={})
    assert repr(none).startswith("Scores(12 records, AUROC -, ")


def test_results_keep_the_scores_of_subsets_that_are_served(results_content, tmp_path):
    write(tmp_path, results_content)
    plain = Results.load(tmp_path)
    served = {"limb": SubsetScores(["I", "II"], plain.test, None)}
    dataclasses.replace(plain, by_lead_subset=served).save(tmp_path)
    assert Results.load(tmp_path).by_lead_subset == served
    assert plain.by_lead_subset == {}


def test_save_keeps_intervals_without_rare_classes(results_content, tmp_path):
    bounds = {"auroc": [0.7, 0.8], "auprc": None, "counted": 9}
    results_content["test"]["intervals"]["without_rare"] = bounds
    write(tmp_path, results_content)
    Results.load(tmp_path).save(tmp_path)
    assert json.loads((tmp_path / "results.json").read_text())["test"]["intervals"]["without_rare"] == bounds


def test_rare_classes_have_fewer_than_ten_records_and_leave_others(results_content, tmp_path):
    """0.6 and 0.8 of classes with ten records or more, 0.1 of one with nine; one without a score does not count."""
    row = results_content["test"]["per_class"]["MI"]
    scores = {"a": (10, 0.6), "b": (9, 0.1), "c": (50, 0.8), "d": (0, None)}
    results_content["test"]["per_class"] = {
        name: row | {"records": n, "auroc": auroc, "auprc": auroc} for name, (n, auroc) in scores.items()
    }
    write(tmp_path, results_content)
    test = Results.load(tmp_path).test
    assert test.rare_classes == ["b"]
    assert [test.without_rare("auroc"), test.without_rare("auprc")] == pytest.approx([0.7, 0.7])
    for name in "ac":
        results_content["test"]["per_class"][name] |= {"records": 9}
    write(tmp_path, results_content)
    test = Results.load(tmp_path).test
    assert (test.rare_classes, test.without_rare("auroc")) == ([], None)
