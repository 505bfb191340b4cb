"""The summary of a probe or a fine-tuning, as it is printed."""

import dataclasses
from pathlib import Path

import pytest

from lfbt.cli.trials import summary
from lfbt.runs.results import (
    ClassIntervals,
    ClassScores,
    EncoderOrigin,
    Intervals,
    LabelledData,
    Results,
    Scores,
    SubsetScores,
)

RUN = Path("runs/probe")
MI = ClassScores(4, 0.25, 0.91234, 0.5, 0.5, 1.0, 1.0, 1.0)
NORM = ClassScores(12, 0.75, None, None, None, None, None, None)
INTERVALS = Intervals(
    level=0.95, n_draws=1000, seed=0, patients=16, auroc=(0.85, 0.9512), auprc=None, accuracy=None, f1=None,
    balanced_accuracy=None, sensitivity=None, specificity=None, counted={}, per_class={},
)  # fmt: skip
TEST = Scores(
    records=16, auroc=0.91234, auprc=0.5, prior=0.5, f1=None, accuracy=0.75, balanced_accuracy=0.6,
    sensitivity=0.5, specificity=0.5, ece=0.1, absent_classes=[], per_class={"MI": MI, "NORM": NORM},
    confusion_matrix=[], intervals=INTERVALS,
)  # fmt: skip
DATA = LabelledData(
    "data", "0" * 64, False, ["MI", "NORM"], 32, {"train": {"MI": 8}, "val": {"MI": 1}, "test": {"MI": 4}}
)
RESULTS = Results(
    kind="probe", lfbt_version="0.1.0", synthetic=False, data=DATA, task="single-label", leads=["II", "V1"],
    lead_subset=None, encoder=EncoderOrigin(None, {}), classifier="adam", fraction=1.0, seed=0, folds=None, settings={},
    chosen={"epoch": 3, "learning_rate": 0.001}, val_loss=0.69312, test=TEST, val=None,
)  # fmt: skip

EXPECTED = """\
runs/probe: probe, epoch 3, learning rate 0.001 kept (validation loss 0.6931)
  test split, 16 test records: macro AUROC 0.9123 [0.850, 0.951], macro AUPRC 0.5000
  accuracy 0.7500, balanced 0.6000, F1    -  , calibration error 0.1000
  MI            4 records  AUROC 0.9123  AUPRC 0.5000 (by chance 0.2500)
  NORM         12 records  AUROC    -    AUPRC    -   (by chance 0.7500)"""


def summary_lines(*trials):
    return summary(trials, RUN).splitlines()


def test_summary_of_one_trial_has_its_choice_scores_and_classes():
    assert summary([RESULTS], RUN) == EXPECTED


def test_summary_without_intervals_has_the_scores_alone():
    results = dataclasses.replace(RESULTS, test=dataclasses.replace(TEST, intervals=None))
    assert summary([results], RUN) == EXPECTED.replace(" [0.850, 0.951]", "")


@pytest.mark.parametrize(
    ("synthetic", "folds", "data"),
    [
        (True, None, "SYNTHETIC data"),
        (False, 10, "10 folds"),
        (True, 10, "10 folds of SYNTHETIC data"),
    ],
)
def test_summary_names_the_data(synthetic, folds, data):
    chosen: dict[str, float] | list[dict[str, float]] = [{"epoch": 3.0}] * folds if folds else RESULTS.chosen
    first, second, *_ = summary_lines(dataclasses.replace(RESULTS, synthetic=synthetic, folds=folds, chosen=chosen))
    assert second.startswith(f"  {data}, 16 test records: ")
    # Each fold has a choice of its own: none is shown.
    assert (first == "runs/probe: probe") == (folds is not None)


def test_summary_names_assumed_leads_and_classes_without_records():
    counts = {"train": {"MI": 8, "NORM": 0}, "test": {"MI": 0, "NORM": 0}}
    data = dataclasses.replace(DATA, names_assumed=True, counts=counts)
    assert summary_lines(dataclasses.replace(RESULTS, data=data))[-3:] == [
        "  the files name no leads and no rate; assumed: II, V1 in this order, 10 s",
        "  no train record of NORM",
        "  no test record of MI, NORM: left out of the means",
    ]


def test_summary_of_several_trials_is_a_table_of_means_over_seeds():
    other = dataclasses.replace(RESULTS, seed=1, test=dataclasses.replace(TEST, auroc=0.95234))
    alone = dataclasses.replace(RESULTS, lead_subset="limb", test=dataclasses.replace(TEST, auroc=None))
    head, columns, both, one = summary_lines(RESULTS, other, alone)
    assert head == "runs/probe: probe, 3 trials, test split, 16 test records"
    assert " ".join(columns.split()) == "leads fraction training records seeds AUROC AUROC sd AUPRC AUPRC sd"
    assert " ".join(both.split()) == "II,V1 1.0000 32 2 0.9323 0.0283 0.5000 0.0000"
    assert " ".join(one.split()) == "limb 1.0000 32 1 - - 0.5000 -"


def test_summary_has_the_means_without_classes_of_few_records():
    """Of MI there are four; the others' mean is that of the two others, with its interval where that is known."""
    others = {
        name: ClassScores(10, 0.4, auroc, 0.6, None, None, None, None) for name, auroc in (("a", 0.7), ("b", 0.9))
    }
    bounds = dataclasses.replace(INTERVALS, without_rare=ClassIntervals((0.75, 0.85), None, 990))
    test = dataclasses.replace(TEST, per_class={"MI": MI, **others}, intervals=bounds)
    line = "  without MI (4 records): macro AUROC 0.8000 [0.750, 0.850], macro AUPRC 0.6000"
    assert summary_lines(dataclasses.replace(RESULTS, test=test))[2] == line
    test = dataclasses.replace(test, intervals=None)
    assert summary_lines(dataclasses.replace(RESULTS, test=test))[2] == line.replace(" [0.750, 0.850]", "")
    subset = {"II": SubsetScores(["II"], test, None)}
    assert "  without MI (4 records): macro AUROC 0.8000, macro AUPRC 0.6000" in summary_lines(
        dataclasses.replace(RESULTS, by_lead_subset=subset)
    )
    few = test.per_class | {"c": MI}
    lines = summary_lines(dataclasses.replace(RESULTS, test=dataclasses.replace(test, per_class=few)))
    assert lines[2].startswith("  without MI, c (4 records each at most): macro AUROC 0.8000")
    _, columns, row = summary_lines(*(dataclasses.replace(RESULTS, seed=seed, test=test) for seed in (0, 1)))
    assert " ".join(columns.split()).endswith("AUPRC sd AUROC without MI AUROC without MI sd AUPRC without MI AUPRC "
                                              "without MI sd")  # fmt: skip
    assert row.split()[-4:] == ["0.8000", "0.0000", "0.6000", "0.0000"]
