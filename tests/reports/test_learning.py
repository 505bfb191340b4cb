"""Histories as charts, with the epoch that was kept."""

import json
import shutil

import pytest

from lfbt.reports.blocks import Charts, Fold, Paragraph
from lfbt.reports.learning import learning
from lfbt.reports.material import gather
from lfbt.runs.loading import load_run, load_runs


def charts_of(section):
    return {chart.title: chart for block in section.blocks if isinstance(block, Charts) for chart in block.charts}


def test_pretraining_has_loss_terms_rate_and_quality_with_the_kept_epoch(trained):
    section = learning(gather([load_run(trained / "pretrain")]))
    charts = charts_of(section)
    assert list(charts) == [
        "Loss and its terms", "Learning rate", "Validation AUROC", "Rank of the features",
        "Spread of each lead's features",
    ]  # fmt: skip
    assert [name for _, name in charts["Loss and its terms"].legend] == ["loss", "intra", "inter"]
    assert [name for _, name in charts["Spread of each lead's features"].legend] == ["II", "V1"]
    history = [json.loads(line) for line in (trained / "pretrain" / "history.jsonl").read_text().splitlines()]
    best = max(history, key=lambda line: (line.get("val_auroc", 0), -line["epoch"]))["epoch"]
    (caption,) = (block.caption for block in section.blocks if isinstance(block, Charts))
    assert f"The dotted line is epoch {best}, of the best validation AUROC" in caption
    assert any(mark.kind == "rule" for mark in charts["Loss and its terms"].marks)


def test_many_pretrainings_are_closed_but_the_first(trained):
    blocks = learning(gather([load_run(trained / "pretrain")] * 4)).blocks
    assert [block.is_open for block in blocks if isinstance(block, Fold)] == [True, False, False, False]


def test_classifier_has_a_line_a_seed_and_a_dot_at_the_kept_epoch(trained):
    charts = charts_of(learning(gather(load_runs(trained / "probe"))))
    assert list(charts) == ["probe"]
    kinds = [mark.kind for mark in charts["probe"].marks]
    assert (kinds.count("line"), kinds.count("dashed"), kinds.count("point")) == (3, 3, 3)
    assert [name for _, name in charts["probe"].legend] == ["seed 0", "seed 1", "seed 2"]


def test_classifier_without_epochs_is_said(trained):
    section = learning(gather(load_runs(trained / "folds")))
    assert [block.text for block in section.blocks if isinstance(block, Paragraph)] == [
        "None of these runs has epochs: nothing was learned step by step."
    ]


def test_corrupt_history_of_a_classifier_is_named(trained, tmp_path):
    shutil.copytree(trained / "multi", tmp_path / "multi")
    (tmp_path / "multi" / "history.jsonl").write_text("[]\n{}\n")
    section = learning(gather([load_run(tmp_path / "multi")]))
    texts = [block.text for block in section.blocks if isinstance(block, Paragraph) and block.style == "warning"]
    assert "history.jsonl: line 1" in texts[0]


@pytest.mark.parametrize("objective", ["lfbt", "simclr"])
def test_loss_says_which_losses_compare(trained, tmp_path, objective):
    shutil.copytree(trained / "pretrain", tmp_path / "run")
    settings = json.loads((tmp_path / "run" / "settings.json").read_text())
    (tmp_path / "run" / "settings.json").write_text(json.dumps(settings | {"objective": objective}))
    section = learning(gather([load_run(tmp_path / "run")]))
    (caption,) = (block.caption for block in section.blocks if isinstance(block, Charts))
    assert caption.startswith("The loss is a sum" if objective == "lfbt" else "Only losses of the same objective")
