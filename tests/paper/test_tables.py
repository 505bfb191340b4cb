"""The tables of a reproduction, by hand-made numbers."""

import dataclasses
import math
import types

import numpy as np
import pytest

from lfbt.paper.protocol import Cell
from lfbt.paper.settings import ReproduceSettings, quick_defaults
from lfbt.paper.tables import format_results, format_sizes, list_departures, results_table, sizes_table
from lfbt.runs.results import ClassScores, EncoderOrigin, Intervals, LabelledData, Results, Scores


def result(auroc, auprc, records=50, intervals=None):
    """A trial with these test figures."""
    of_draws = {} if intervals is None else intervals
    names = ("auroc", "auprc", "accuracy", "f1", "balanced_accuracy", "sensitivity", "specificity")
    scores = Scores(
        records=records,
        auroc=auroc,
        auprc=auprc,
        prior=0.5,
        f1=None,
        accuracy=0.5,
        balanced_accuracy=None,
        sensitivity=None,
        specificity=None,
        ece=0.1,
        absent_classes=[],
        per_class={},
        confusion_matrix=[],
        intervals=Intervals(
            0.95, 1000, 0, records, **{name: of_draws.get(name) for name in names}, counted={}, per_class={}
        ),
    )
    return Results(
        kind="probe",
        lfbt_version="0.1.0",
        synthetic=False,
        data=LabelledData("data", "h", False, ["a", "b"], 100, {}),
        task="single-label",
        leads=["II"],
        lead_subset=None,
        encoder=EncoderOrigin(None, {}),
        classifier="adam",
        fraction=1.0,
        seed=0,
        folds=None,
        settings={},
        chosen={},
        val_loss=None,
        test=scores,
        val=None,
    )


def manifest(train, val, test, **dropped):
    counts = {"train": {"a": train - 1, "b": 1}, "val": {"a": val, "b": 0}, "test": {"a": test, "b": 0}}
    return types.SimpleNamespace(counts=counts, dropped=dropped)


def test_sizes_table_counts_records_excluded_for_quality_only():
    table = sizes_table(
        {
            "ningbo": manifest(34900, 0, 0, flat=3, saturated=2),
            "ptbxl": manifest(300, 40, 50, **{"several labels": 70, "no label": 4, "not finite": 1, "file absent": 9}),
        }
    )
    assert table["data"].tolist() == ["Ningbo", "PTB-XL"]
    assert table[["train", "val", "test", "faulty"]].to_numpy().tolist() == [[34900, 0, 0, 5], [300, 40, 50, 1]]
    assert table[["paper_train", "paper_val", "paper_test"]].to_numpy().tolist() == [[34905, 0, 0], [12978, 1642, 1652]]
    assert table["as_published"].tolist() == [True, False]
    assert format_sizes(table)[1:] == [
        ["Ningbo", "34900 / 0 / 0", "34905 / 0 / 0", "5", "as in the paper, but for 5 left out for their quality"],
        [
            "PTB-XL",
            "300 / 40 / 50",
            "12978 / 1642 / 1652",
            "1",
            "390 records, not the 16272 of the paper (release 1.0.1)",
        ],
    ]


def test_results_table_has_the_interval_of_one_seed_and_the_spread_of_several():
    probe, scratch = Cell("ptbxl", "probe", 0.8), Cell("ptbxl", "scratch", None, 0.1)
    interval = {"auroc": [0.81, 0.93], "auprc": [0.5, 0.7]}
    table = results_table(
        {
            probe: [result(0.9, 0.6, intervals=interval)],
            scratch: [result(0.7, 0.4, 50, interval), result(0.5, 0.2, 50, interval)],
        }
    )
    one, two = table.to_dict("records")
    assert (one["auroc"], one["auroc_low"], one["auroc_high"], one["paper_auroc"]) == (0.9, 0.81, 0.93, 0.9082)
    assert (one["auprc"], one["auprc_low"], one["auprc_high"], one["paper_auprc"]) == (0.6, 0.5, 0.7, 0.6923)
    assert np.isnan([one["auroc_sd"], two["auroc_low"], two["auprc_high"], two["paper_auroc"], two["gamma"]]).all()
    # Two values a and b: their standard deviation with n - 1 is |a - b| / √2.
    assert two["auroc"] == pytest.approx(0.6)
    assert two["auroc_sd"] == pytest.approx(0.2 / math.sqrt(2))
    assert (one["seeds"], two["seeds"]) == (1, 2)
    assert format_results(table)[1:] == [
        ["PTB-XL", "LP", "0.8", "1", "0.9000 [0.810, 0.930]", "0.9082", "0.6000 [0.500, 0.700]", "0.6923", "50"],
        ["PTB-XL", "TFS", "-", "0.1", "0.6000 ± 0.1414", "-", "0.3000 ± 0.1414", "-", "50"],
    ]


def test_results_table_without_figures_shows_dashes():
    nothing = result(None, None, 3, {"auroc": None, "auprc": None})
    table = results_table({Cell("chapman", "finetune", 0.6, 0.5): [nothing]})
    assert format_results(table)[1] == ["Chapman", "FT", "0.6", "0.5", "-", "-", "-", "-", "3"]


def test_results_table_has_the_means_without_rare_classes():
    """Nine records of b: the mean of a and c over two seeds, 0.8 and 0.6, is 0.7."""
    trials = []
    for auroc in (0.8, 0.6):
        rows = {name: ClassScores(n, 0.3, x, x, None, None, None, None) for name, n, x in (
            ("a", 20, auroc), ("b", 9, 0.1), ("c", 21, auroc))}  # fmt: skip
        one = result(0.5, 0.5)
        trials.append(dataclasses.replace(one, test=dataclasses.replace(one.test, per_class=rows)))
    others = result(0.9, 0.6)
    table = results_table({Cell("ptbxl", "scratch", None, 0.1): trials, Cell("ptbxl", "probe", 0.8): [others]})
    assert table["rare_classes"].tolist()[0] == "b"
    assert table["auroc_without_rare"].tolist()[0] == pytest.approx(0.7)
    _, first, second = format_results(table)
    assert first[4] == "0.5000 ± 0.0000 (without b 0.7000)"
    assert second[4] == "0.9000"


def test_list_departures_has_what_is_not_the_papers(tmp_path):
    settings = ReproduceSettings(tmp_path)
    assert list_departures(settings) == []
    assert "pretrain-epochs 8" in list_departures(quick_defaults(settings))
    # Downloads, seeds and unreadable files are not the paper's to choose.
    own = dataclasses.replace(settings, ptbxl=tmp_path, seeds=(0, 1), skip_unreadable=True, device="cpu")
    assert list_departures(own) == []
    changed = dataclasses.replace(settings, batch_size=64, projector="8-8")
    assert list_departures(changed) == ["projector 8-8", "batch-size 64"]
    # Encoders from elsewhere make the settings of pretraining pointless.
    elsewhere = dataclasses.replace(changed, encoders=(tmp_path, tmp_path))
    assert list_departures(elsewhere) == ["encoders from elsewhere", "batch-size 64"]
