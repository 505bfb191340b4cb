"""At a glance: the best run, its interval, and paired differences."""

import dataclasses
from typing import Any

import pytest
from tests.reports.helpers import write_series

from lfbt.reports.blocks import Facts, Paragraph
from lfbt.reports.glance import glance
from lfbt.reports.material import gather
from lfbt.runs.loading import load_run, load_runs


def said(material):
    (facts,) = (block for block in glance(material, 1.0).blocks if isinstance(block, Facts))
    return {fact.name: fact.text for fact in facts.facts}


def series(place, *kinds):
    folders = [write_series(place / name, skill, **changes) for name, skill, changes in kinds]
    return gather([load_run(trial) for folder in folders for trial in sorted(folder.iterdir())])


RANDOM = ("random", 0.5, {"encoder": {"checkpoint": None}})
PROBE: Any = ("probe", 3.0, {})
SAME: Any = ("probe", 0.5, {})


def test_best_run_is_better_than_random_where_the_interval_is_above_zero(tmp_path):
    material = series(tmp_path, PROBE, RANDOM)
    facts = said(material)
    assert facts["Best run"].startswith("probe: linear probe, 3 seeds, chosen among 2 by its test AUROC; the best of")
    row = material.rows["probe"].figures["auroc"]
    assert row.interval is not None
    assert facts["Test AUROC"].startswith(f"{row.mean:.4f} ± {row.sd:.4f} [{row.interval[0]:.3f}, ")
    assert facts["Against a random encoder"] == (
        f"AUROC {row.difference:+.4f} [{row.difference_interval[0]:+.3f}, {row.difference_interval[1]:+.3f}] against "
        "random: better"
    )
    assert "training from scratch" not in str(facts)


def test_no_difference_is_said_where_the_interval_holds_zero(tmp_path):
    facts = said(series(tmp_path, SAME, RANDOM))
    assert facts["Best run"].startswith("probe: ")
    assert facts["Against a random encoder"].endswith("against random: no difference shown")


def test_absent_random_encoder_is_asked_for(tmp_path):
    assert "lfbt probe --random-encoder" in said(series(tmp_path, PROBE))["Against a random encoder"]


def test_time_versions_and_command_are_there(trained):
    facts = said(gather([*load_runs(trained / "probe"), load_run(trained / "pretrain")]))
    assert facts["Repeat it"].startswith("lfbt probe --data-dir ")
    assert "Python" in facts["Versions"]
    assert "in 1.0 s" in facts["Report made"]
    assert facts["Time of pretraining"].endswith(" s")


def test_pretraining_alone_has_its_task(trained):
    facts = said(gather([load_run(trained / "pretrain")]))
    assert facts["Task"] == "pretraining, without labels"
    assert facts["Records"] == "24 records"


@pytest.mark.parametrize("n_folds", [None, 3])
def test_data_say_where_they_were_tested(trained, n_folds):
    facts = said(gather(load_runs(trained / ("folds" if n_folds else "multi"))))
    assert ("in 3 patient-disjoint folds" in facts["Data"]) == bool(n_folds)
    assert ("several classes a record" in facts["Task"]) == (not n_folds)


def test_rare_and_absent_classes_are_a_warning(trained):
    material = gather(load_runs(trained / "probe"))
    assert material.best is not None
    run = material.best.first
    test = run.results.test
    per_class = {name: dataclasses.replace(scores, records=40) for name, scores in test.per_class.items()}
    per_class["fast"] = dataclasses.replace(per_class["fast"], records=3)
    changed = dataclasses.replace(test, per_class=per_class, absent_classes=["slow"])
    best = dataclasses.replace(
        material.best, runs=(dataclasses.replace(run, results=dataclasses.replace(run.results, test=changed)),)
    )
    blocks = glance(dataclasses.replace(material, best=best), 0.0).blocks
    warnings = [block.text for block in blocks if isinstance(block, Paragraph) and block.style == "warning"]
    assert warnings[0].startswith("Few test records of fast (3)")
    assert warnings[1] == "No test record of slow: left out of the means."
