"""Groups over seeds: same settings but the seed, in one folder or several; names without the seed."""

import pytest
from tests.reports.helpers import predictions, write_series, write_trial

from lfbt.reports.grouping import choose_baseline, choose_best, group_runs
from lfbt.runs.loading import load_run


def runs_in(*folders):
    return [load_run(folder) for folder in folders]


def write(place, name, skill=1.0, **changes):
    return write_trial(place / name, predictions(skill, 0), **changes)


def test_runs_of_folders_of_their_own_are_one_group_by_their_seeds(tmp_path):
    folders = [write(tmp_path, f"probe-s{seed}", seed=seed) for seed in (2, 0, 1)]
    (group,) = group_runs(runs_in(*folders))
    assert group.name == "probe"
    assert [run.results.seed for run in group.runs] == [0, 1, 2]
    assert group.first.folder.name == "probe-s0"


@pytest.mark.parametrize(
    "other",
    [
        {"kind": "finetune"},
        {"fraction": 0.5},
        {"lead_subset": "II"},
        {"settings": {"epochs": 7}},
        {"settings": {"checkpoint": "elsewhere/pretrain"}},
        {"encoder": {"checkpoint": None}},
    ],
)
def test_runs_that_differ_in_more_than_the_seed_are_apart(tmp_path, other):
    folders = [write(tmp_path, "a", seed=0), write(tmp_path, "b", seed=1, **other)]
    assert [group.name for group in group_runs(runs_in(*folders))] == ["a", "b"]


def test_where_and_how_a_run_ran_does_not_part_it(tmp_path):
    folders = [
        write(tmp_path, f"a{seed}", seed=seed, settings={"workers": seed, "run_dir": str(seed)}) for seed in (0, 1)
    ]
    assert [group.name for group in group_runs(runs_in(*folders))] == ["a"]


def test_two_runs_of_one_seed_are_groups_with_names_of_their_own(tmp_path):
    folders = [write(tmp_path / place, "probe") for place in ("a", "b")]
    assert [group.name for group in group_runs(runs_in(*folders))] == ["probe", "probe (2)"]


def test_folders_called_by_their_seed_alone_have_the_name_of_the_folder_above(tmp_path):
    write_series(tmp_path / "mine", 1.0)
    runs = runs_in(*sorted((tmp_path / "mine").iterdir()))
    assert [(group.name, len(group.runs)) for group in group_runs(runs)] == [("mine", 3)]


def test_best_is_chosen_on_validation_where_all_have_it_and_else_on_test(tmp_path):
    good, bad = write(tmp_path, "good", 3.0), write(tmp_path, "bad", 0.1, settings={"epochs": 2})
    groups = group_runs(runs_in(bad, good))
    best, by = choose_best(groups)
    assert best is not None
    assert (best.name, by) == ("good", "test")
    assert choose_best([]) == (None, "")


def test_baseline_is_a_probe_of_a_random_encoder_before_training_from_scratch(tmp_path):
    none = {"checkpoint": None}
    probe = write(tmp_path, "probe")
    scratch = write(tmp_path, "scratch", kind="scratch", encoder=none)
    random = write(tmp_path, "random", encoder=none)
    for folders, name in (
        ([probe], "probe"),
        ([probe, scratch], "scratch"),
        ([probe, scratch, random], "random"),
    ):
        baseline = choose_baseline(group_runs(runs_in(*folders)))
        assert baseline is not None
        assert baseline.name == name
    assert choose_baseline([]) is None
