"""Results: the forest, differences, classes and confusions, by what the runs hold."""

import dataclasses

import numpy as np
import pytest
from tests.reports.helpers import TARGETS, predictions, write_series, write_trial

from lfbt.reports.blocks import Fold, Heading, Paragraph, Shade, Table
from lfbt.reports.charts import Strip
from lfbt.reports.material import gather
from lfbt.reports.results import results
from lfbt.runs.loading import ClassifierRun, load_run, load_runs


def flat(blocks):
    for block in blocks:
        yield block
        if isinstance(block, Fold):
            yield from flat(block.blocks)


def tables(section):
    return {block.caption: block for block in flat(section.blocks) if isinstance(block, Table)}


def fake(place, **runs):
    folders = [write_series(place / name, skill, **changes) for name, (skill, changes) in runs.items()]
    return gather([load_run(trial) for folder in folders for trial in sorted(folder.iterdir())])


RANDOM = {"encoder": {"checkpoint": None}}


def test_forest_has_a_row_a_group_and_the_best_is_bold(tmp_path):
    material = fake(tmp_path, weak=(1.0, {}), random=(0.2, RANDOM), good=(4.0, {"settings": {"epochs": 3}}))
    table = tables(results(material))["Runs, grouped over seeds"]
    assert [(row.cells[0], row.best) for row in table.rows] == [("weak", False), ("random", False), ("good", True)]
    figure = material.rows["good"].figures["auroc"]
    assert figure.interval is not None
    low, high = figure.interval
    assert table.rows[2].cells[2] == f"{figure.mean:.4f} ± {figure.sd:.4f} [{low:.3f}, {high:.3f}]"
    assert all(isinstance(row.cells[1], Strip) for row in table.rows)
    assert [row.cells[-1] for row in table.rows] == ["3", "3", "3"]


def test_differences_are_from_the_random_encoder_with_a_verdict_in_words(tmp_path):
    material = fake(tmp_path, good=(4.0, {}), same=(0.2, {"settings": {"epochs": 3}}), random=(0.2, RANDOM))
    table = tables(results(material))["Differences from random"]
    good, same = (row.cells for row in table.rows)
    assert (good[0], good[-1]) == ("good", "better")
    assert same[0] == "same"
    assert "no difference shown" in same[-1]
    assert float(str(good[3])) == pytest.approx(material.rows["good"].figures["auroc"].p_holm, abs=5e-4)


def test_classes_are_the_figures_of_the_run_or_their_means_over_seeds(trained):
    runs = load_runs(trained / "probe")
    table = tables(results(gather(runs)))["Classes of probe, means over 3 seeds"]
    for row in table.rows:
        of = [run.results.test.per_class[str(row.cells[0])] for run in runs]
        assert row.cells[3] == f"{np.mean([scores.auroc for scores in of]):.4f}"


def test_confusion_of_exclusive_classes_is_summed_over_seeds_and_shaded_by_row(trained):
    runs = load_runs(trained / "probe")
    table = tables(results(gather(runs)))["Confusion matrix of probe, sum over 3 seeds"]
    expected = np.sum([run.results.test.confusion_matrix for run in runs], axis=0)
    cells = [[cell for cell in row.cells[1:] if isinstance(cell, Shade)] for row in table.rows]
    assert [[int(cell.text) for cell in row] for row in cells] == expected.tolist()
    assert [[cell.heat for cell in row] for row in cells] == np.ceil(9 * expected / 12).astype(int).tolist()


def test_confusion_of_several_classes_has_a_row_a_class(trained):
    (run,) = load_runs(trained / "multi")
    table = tables(results(gather([run])))["Confusion matrix of multi"]
    for row, ((tn, fp), (fn, tp)) in zip(table.rows, run.results.test.confusion_matrix, strict=True):
        counts = [cell.text for cell in row.cells if isinstance(cell, Shade)]
        assert counts == [str(tp), str(fn), str(fp), str(tn)]
        assert row.cells[-2:] == (f"{tp / (tp + fn):.3f}", f"{tn / (tn + fp):.3f}")


def test_confusion_that_is_none_is_absent_and_no_error(trained):
    (run,) = load_runs(trained / "multi")
    assert isinstance(run, ClassifierRun)
    broken = dataclasses.replace(
        run,
        results=dataclasses.replace(run.results, test=dataclasses.replace(run.results.test, confusion_matrix=[["a"]])),
    )
    table = tables(results(gather([broken])))["Confusion matrix of multi"]
    assert all(set(row.cells[1:]) == {"-"} for row in table.rows)


def test_fractions_are_a_curve_and_lead_subsets_a_table(trained):
    section = results(gather([*load_runs(trained / "curve"), *load_runs(trained / "leads")]))
    headings = [block.text for block in section.blocks if isinstance(block, Heading)]
    assert {"Label fraction", "Lead subsets"} <= set(headings)
    (row,) = tables(section)["Lead subsets"].rows
    assert row.cells[:2] == ("leads", "II")


def test_without_predictions_the_recorded_figures_are_shown_and_the_reason(tmp_path):
    folder = write_trial(tmp_path / "run", predictions(2.0, 0))
    (folder / "predictions.csv").unlink()
    run = load_run(folder)
    section = results(gather([run]))
    (row,) = tables(section)["Runs, grouped over seeds"].rows
    assert row.cells[2] == f"{run.results.test.auroc:.4f}"
    assert any("predictions.csv" in block.text for block in section.blocks if isinstance(block, Paragraph))
    assert TARGETS.any()


def test_no_classifier_is_said(trained):
    (block,) = results(gather([load_run(trained / "pretrain")])).blocks
    assert isinstance(block, Paragraph)
    assert block.text.startswith("No classifier is among these runs")
