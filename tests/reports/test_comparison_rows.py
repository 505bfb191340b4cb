"""Rows of a comparison: against a loop over draws and scikit-learn, and by hand."""

import dataclasses
import itertools
import json

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from tests.reports.helpers import (
    CLASSES,
    NUMBERS,
    PATIENTS,
    TARGETS,
    N,
    predictions,
    rows_of,
    write_series,
    write_trial,
)

from lfbt.evaluation.bootstrap import METRICS
from lfbt.reports.comparison_table import table_cells


def drawn_records(n_draws, seed):
    """The rows of each draw, patients with replacement."""
    names, rng = sorted(set(PATIENTS)), np.random.default_rng(seed)
    for _ in range(n_draws):
        chosen = rng.integers(len(names), size=len(names))
        yield [row for k in chosen for row in range(N) if PATIENTS[row] == names[k]]


def drawn_seeds(seeds, n_draws, seed):
    """The seeds of each draw: one fewer than there are, with replacement."""
    rng = np.random.default_rng([seed, 1, *seeds])
    for _ in range(n_draws):
        yield rng.integers(len(seeds), size=len(seeds) - 1).tolist()


def macro_auroc(p, rows):
    return roc_auc_score(NUMBERS[rows], p[rows], multi_class="ovr", average="macro")


def test_table_rows_equal_a_loop_over_draws(tmp_path):
    """Three seeds against two: every draw scored with scikit-learn on the drawn records, by the drawn seeds."""
    good = [predictions(1.5, seed) for seed in (1, 2, 3)]
    bad = [predictions(0.8, seed) for seed in (4, 5)]
    for name, runs in (("good", good), ("bad", bad)):
        for seed, p in enumerate(runs):
            write_trial(tmp_path / name / f"t{seed}", p, seed=seed)
    base, row = rows_of(tmp_path / "bad", tmp_path / "good", metrics=["auroc"], n_draws=40, seed=6)
    figure = row.figures["auroc"]
    everything = np.arange(N)
    of_seeds = [macro_auroc(p, everything) for p in good]
    assert figure.mean == pytest.approx(np.mean(of_seeds))
    assert figure.sd == pytest.approx(np.std(of_seeds, ddof=1))
    of_draws, differences = [], []
    for rows, of_good, of_bad in zip(
        drawn_records(40, 6), drawn_seeds([0, 1, 2], 40, 6), drawn_seeds([0, 1], 40, 6), strict=True
    ):
        of_draws.append(np.mean([macro_auroc(good[k], rows) for k in of_good]))
        differences.append(of_draws[-1] - np.mean([macro_auroc(bad[k], rows) for k in of_bad]))
    assert figure.counted == 40
    assert figure.interval == pytest.approx(np.percentile(of_draws, [2.5, 97.5]))
    assert figure.difference == pytest.approx(figure.mean - np.mean([macro_auroc(p, everything) for p in bad]))
    assert figure.difference_interval == pytest.approx(np.percentile(differences, [2.5, 97.5]))
    assert figure.p == min(1, 2 * (1 + sum(d <= 0 for d in differences)) / 41)
    # Two rows are one comparison: nothing to adjust for.
    assert figure.p_holm is None
    assert (base.against, row.against) == (None, "bad")
    assert base.figures["auroc"].p is None


@pytest.mark.parametrize("exclusive", [True, False])
def test_table_rows_have_the_figures_of_the_results(tmp_path, exclusive):
    targets = TARGETS if exclusive else TARGETS | (np.random.default_rng(2).random(TARGETS.shape) < 0.2)
    folder = write_trial(tmp_path / "run", predictions(1, 1, targets), targets=targets, exclusive=exclusive)
    (row,) = rows_of(folder, metrics=METRICS, n_draws=20)
    test = json.loads((folder / "results.json").read_text())["test"]
    assert {name: row.figures[name].mean for name in METRICS} == pytest.approx({name: test[name] for name in METRICS})
    assert all(figure.sd is None and figure.interval for figure in row.figures.values())
    assert (row.test_records, row.test_patients) == (N, len(set(PATIENTS)))


def test_table_rows_find_no_difference_from_a_copy(tmp_path):
    """Also where its records stand in another order, and its seeds in other folders."""
    order = np.random.default_rng(3).permutation(N)
    for i, seed in enumerate((0, 1, 2)):
        p = predictions(1, seed)
        write_trial(tmp_path / "one" / f"t{i}", p, seed=seed)
        write_trial(tmp_path / "two" / f"t{2 - i}", p, seed=seed, order=order)
    one, two = rows_of(tmp_path / "one", tmp_path / "two", metrics=METRICS, n_draws=50)
    for name in METRICS:
        figure = two.figures[name]
        assert (figure.difference, figure.difference_interval, figure.p) == (0, (0, 0), 1)
        assert (figure.mean, figure.sd) == (one.figures[name].mean, one.figures[name].sd)
        assert figure.interval == one.figures[name].interval


def test_table_rows_separate_a_better_run_from_an_equal_one(tmp_path):
    base = write_series(tmp_path / "base", 0.5)
    better = write_series(tmp_path / "better", 2.5)
    alike = write_series(tmp_path / "alike", 0.5, noise=1)
    _, far, near = rows_of(base, better, alike)
    assert far.figures["auroc"].difference > 0.1
    assert far.figures["auroc"].difference_interval[0] > 0
    # The least that a thousand draws can say.
    assert far.figures["auroc"].p == 2 / 1001
    assert far.figures["auroc"].p_holm == 4 / 1001
    assert near.figures["auroc"].p > 0.05
    assert near.figures["auroc"].p_holm == near.figures["auroc"].p


def test_table_rows_draw_seeds_as_well_as_patients(tmp_path):
    """All records of one patient: what width there is comes from the seeds, the mean of two of them in each draw."""
    p = [predictions(1, seed) for seed in range(3)]
    for seed in range(3):
        write_trial(tmp_path / "run" / f"t{seed}", p[seed], patients=["x"] * N, seed=seed)
    (row,) = rows_of(tmp_path / "run", metrics=["auroc"], n_draws=500)
    lowest, _, highest = sorted(macro_auroc(one, np.arange(N)) for one in p)
    assert row.figures["auroc"].interval == pytest.approx((lowest, highest))


def test_table_rows_draw_the_same_seeds_for_rows_of_the_same(tmp_path):
    """One patient, so that seeds alone are drawn: paired where both rows have them, and with others by themselves."""
    for seed, skill in enumerate((0.1, 1, 3)):
        for name, number in (("a", seed), ("b", seed), ("c", seed + 5)):
            p = predictions(skill, 1)
            write_trial(tmp_path / name / f"t{seed}", p, patients=["x"] * N, seed=number)
    _, paired, unpaired = rows_of(*(tmp_path / name for name in "abc"), metrics=["auroc"], n_draws=50)
    assert paired.figures["auroc"].difference_interval == (0, 0)
    assert unpaired.figures["auroc"].difference_interval[0] < 0 < unpaired.figures["auroc"].difference_interval[1]


def test_table_rows_have_auroc_and_auprc_without_rare_classes_too(tmp_path):
    """Nine records of MI; the draws without it are those of the two other classes."""
    numbers = np.repeat([0, 1, 2], [9, 40, 41])
    targets = np.eye(3, dtype=bool)[numbers]
    runs = [write_trial(tmp_path / name, predictions(1, i, targets), targets=targets) for i, name in enumerate("ab")]
    _, row = rows_of(*runs, metrics=["accuracy", "auroc"], n_draws=30, seed=2)
    assert list(row.figures) == ["accuracy", "auroc", "auroc_without_rare"]
    assert row.rare_classes == ("MI",)
    p = [predictions(1, i, targets) for i in range(2)]

    def others(scores, rows):
        return np.mean([roc_auc_score(targets[rows, k], scores[rows, k]) for k in (1, 2)])

    of_draws = [others(p[1], rows) for rows in drawn_records(30, 2)]
    differences = [others(p[1], rows) - others(p[0], rows) for rows in drawn_records(30, 2)]
    figure = row.figures["auroc_without_rare"]
    assert figure.mean == pytest.approx(others(p[1], np.arange(N)))
    assert figure.interval == pytest.approx(np.percentile(of_draws, [2.5, 97.5]))
    assert figure.difference_interval == pytest.approx(np.percentile(differences, [2.5, 97.5]))
    ten = np.eye(3, dtype=bool)[np.repeat([0, 1, 2], [10, 40, 40])]
    (row,) = rows_of(write_trial(tmp_path / "ten", predictions(1, 0, ten), targets=ten), n_draws=2)
    assert (row.rare_classes, list(row.figures)) == ((), ["auroc", "auprc"])


def test_table_rows_draw_patients_not_records(tmp_path):
    """All records of one patient: every draw is the same, and so there is no width."""
    folder = write_trial(tmp_path / "run", predictions(1, 1), patients=["x"] * N)
    (row,) = rows_of(folder, n_draws=20)
    assert row.figures["auroc"].interval == pytest.approx([row.figures["auroc"].mean] * 2)
    assert row.test_patients == 1


def test_table_rows_depend_on_the_seed_of_the_draws(tmp_path):
    folders = write_series(tmp_path / "a", 0.5), write_series(tmp_path / "b", 1)
    assert rows_of(*folders, n_draws=50) == rows_of(*folders, n_draws=50)
    assert rows_of(*folders, n_draws=50) != rows_of(*folders, n_draws=50, seed=1)


def test_table_rows_have_no_figures_without_records_of_several_classes(tmp_path):
    """Where all are of one class there is nothing to rank, and no difference."""
    targets = np.eye(3, dtype=bool)[np.zeros(N, dtype=int)]
    runs = [write_trial(tmp_path / name, predictions(1, i, targets), targets=targets) for i, name in enumerate("ab")]
    _, row = rows_of(*runs, metrics=["auroc", "accuracy", "sensitivity"], n_draws=20)
    assert row.figures["auroc"] == row.figures["sensitivity"]
    assert dataclasses.astuple(row.figures["auroc"]) == (None, None, None, 0, None, None, None, None)
    assert row.figures["accuracy"].difference is not None
    assert "-" in table_cells([row])[1]


def test_table_rows_join_trials_that_differ_in_seed_only(tmp_path):
    """Runs in their order, then the larger fraction and the more leads first."""
    for name in ("b", "a"):
        for seed, (fraction, subset) in itertools.product((1, 0), [(0.1, None), (1.0, None), (1.0, "II")]):
            leads = ["II"] if subset else ["II", "V1"]
            data = {"classes": CLASSES, "training_records": round(500 * fraction) + seed}
            settings = {"fraction": fraction, "lead_subset": subset, "leads": leads, "data": data, "seed": seed}
            write_trial(tmp_path / name / f"{fraction}-{subset}-{seed}", predictions(1, seed), **settings)
    rows = rows_of(tmp_path / "b", tmp_path / "a", n_draws=5)
    found = [(row.run, row.fraction, row.leads, row.against) for row in rows]
    assert found == [
        ("b", 1.0, "II,V1", None),
        ("b", 1.0, "II", None),
        ("b", 0.1, "II,V1", None),
        ("a", 1.0, "II,V1", "b"),
        ("a", 1.0, "II", "b"),
        ("a", 0.1, "II,V1", "b"),
    ]
    assert [row.seeds for row in rows] == [(0, 1)] * 6
    assert [row.training_records for row in rows] == [(500, 501), (500, 501), (50, 51)] * 2
    # One run alone: its rows against its first.
    alone = rows_of(tmp_path / "a", n_draws=5)
    assert [row.against for row in alone] == [None, "a (II,V1)", "a (fraction 1)"]
    assert all(row.figures["auroc"].p_holm is not None for row in alone[1:])


def test_table_rows_fall_back_to_the_first_row_of_the_baseline(tmp_path):
    write_series(tmp_path / "full", 1)
    write_series(tmp_path / "few", 1, fraction=0.1, lead_subset="limb")
    rows = rows_of(tmp_path / "full", tmp_path / "few", n_draws=5)
    assert [row.against for row in rows] == [None, "full (fraction 1, II,V1)"]
    rows = rows_of(tmp_path / "full", tmp_path / "few", n_draws=5, baseline="few")
    assert [row.against for row in rows] == ["few (fraction 0.1, limb)", None]
    one, other = rows_of(tmp_path / "full", tmp_path / "few", n_draws=5)[1], rows[0]
    assert one.figures["auroc"].difference == -other.figures["auroc"].difference


def test_table_rows_describe_their_run(tmp_path):
    random = {"checkpoint": None, "history": {"method": "random", "seed": 0}}
    other = {"checkpoint": "runs-finetuned", "history": {"kind": "finetune"}}
    eight = {"leads": ["II", "III", "V1", "V2", "V3", "V4", "V5", "V6"]}
    runs = [
        write_trial(tmp_path / "a", predictions(1, 1), classifier="knn", encoder=random),
        write_trial(tmp_path / "b", predictions(1, 1), kind="finetune", classifier=None, encoder=other, **eight),
        write_trial(tmp_path / "c", predictions(1, 1), kind="scratch", classifier=None, encoder=random),
    ]
    rows = rows_of(*runs, n_draws=2)
    assert [(row.kind, row.encoder, row.leads) for row in rows] == [
        ("probe (knn)", "random", "II,V1"),
        ("fine-tuned", "runs-finetuned", "8 leads"),
        ("from scratch", "random", "II,V1"),
    ]
