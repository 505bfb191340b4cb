"""Runs side by side: against a loop over draws and scikit-learn, by hand, and what does not compare."""

import contextlib
import csv
import dataclasses
import io
import itertools
import json
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from lfbt.cli.app import main
from lfbt.errors import LfbtError
from lfbt.evaluation.bootstrap import METRICS
from lfbt.evaluation.metrics import choose_thresholds, evaluate
from lfbt.evaluation.significance import holm, paired_p
from lfbt.reports.comparison import CompareSettings, Row, as_csv, compare, open_trials, table_cells, table_rows
from lfbt.utils.tables import as_latex, as_markdown, as_text

CLASSES = ["MI", "NORM", "STTC"]
N = 90
NUMBERS = np.random.default_rng(0).integers(0, 3, N)
TARGETS = np.eye(3, dtype=bool)[NUMBERS]
PATIENTS = [f"p{i}" for i in np.random.default_rng(1).integers(0, 60, N)]
IDS = [f"r{i}" for i in range(N)]


def predictions(skill, noise_seed, targets=TARGETS):
    """Probabilities that are right the more often the greater `skill`."""
    logits = skill * targets + np.random.default_rng(noise_seed).standard_normal(targets.shape)
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def write_trial(
    folder, probabilities, *, targets=TARGETS, patients=PATIENTS, ids=IDS, order=None, exclusive=True, **changes
):
    """A run folder as probe and fine-tuning write it, as far as it is read; `order` that its records stand in."""
    order = range(len(ids)) if order is None else order
    names = [";".join(c for c, has in zip(CLASSES, row, strict=True) if has) for row in targets]
    table = pd.DataFrame(probabilities, columns=[f"p_{name}" for name in CLASSES])
    table.insert(0, "id", ids)
    table.insert(1, "patient", patients)
    table.insert(2, "label", names)
    folder.mkdir(parents=True)
    table.iloc[list(order)].to_csv(folder / "predictions.csv", index=False)
    thresholds = choose_thresholds(probabilities, targets)
    results = {
        "kind": "probe",
        "synthetic": False,
        "data": {"hash": "h", "classes": CLASSES, "folder": "data", "counts": {}, "training_records": 500},
        "task": "single-label" if exclusive else "multi-label",
        "leads": ["II", "V1"],
        "encoder": {"checkpoint": "pretrain", "history": {"method": "LFBT"}},
        "fraction": 1.0,
        "seed": 0,
        "lead_subset": None,
        "folds": None,
        "classifier": "adam",
        "test": evaluate(probabilities, targets, CLASSES, thresholds, exclusive),
    }
    (folder / "results.json").write_text(json.dumps(results | changes, default=dataclasses.asdict))
    return folder


def write_series(folder, skill, seeds=(0, 1, 2), noise=0, **changes):
    """A run of a trial a seed."""
    for seed in seeds:
        p = predictions(skill, [seed, int(10 * skill), noise])
        write_trial(folder / f"seed-{seed}", p, seed=seed, **changes)
    return folder


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"encoder": {"history": {"method": "SimCLR"}}}, "have encoders of LFBT and of SimCLR"),
        ({"settings": {"c": [1.0], "run_dir": "b"}}, "differ in c, not in their seed only"),
    ],
)
def test_other_encoders_and_settings_are_no_further_seeds(tmp_path, changes, told):
    folder, settings = tmp_path / "run", {"c": [0.01], "run_dir": "a"}
    write_trial(folder / "seed-0", predictions(1, 0), settings=settings)
    write_trial(folder / "seed-1", predictions(1, 1), seed=1, settings=settings | {"run_dir": "b"})
    assert rows_of(folder)[0].seeds == (0, 1)
    write_trial(folder / "seed-2", predictions(1, 2), seed=2, **({"settings": settings} | changes))
    with pytest.raises(LfbtError, match=told):
        rows_of(folder)


def rows_of(*runs, **options):
    return table_rows([trial for run in runs for trial in open_trials(run)], **options)


def lfbt_says(*words):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        main([str(word) for word in words])
    return out.getvalue()


def drawn_records(n_draws, seed):
    """The rows of each draw, patients with replacement."""
    names, rng = sorted(set(PATIENTS)), np.random.default_rng(seed)
    for _ in range(n_draws):
        chosen = rng.integers(len(names), size=len(names))
        yield [row for k in chosen for row in range(N) if PATIENTS[row] == names[k]]


def macro_auroc(p, rows):
    return roc_auc_score(NUMBERS[rows], p[rows], multi_class="ovr", average="macro")


# --- figures ---


def test_equals_a_loop_over_draws(tmp_path):
    """Three seeds against two: every draw scored with scikit-learn on the drawn records."""
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
    for rows in drawn_records(40, 6):
        of_draws.append(np.mean([macro_auroc(p, rows) for p in good]))
        differences.append(of_draws[-1] - np.mean([macro_auroc(p, rows) for p in bad]))
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
def test_figures_are_those_of_the_results(tmp_path, exclusive):
    targets = TARGETS if exclusive else TARGETS | (np.random.default_rng(2).random(TARGETS.shape) < 0.2)
    folder = write_trial(tmp_path / "run", predictions(1, 1, targets), targets=targets, exclusive=exclusive)
    (row,) = rows_of(folder, metrics=METRICS, n_draws=20)
    test = json.loads((folder / "results.json").read_text())["test"]
    assert {name: row.figures[name].mean for name in METRICS} == pytest.approx({name: test[name] for name in METRICS})
    assert all(figure.sd is None and figure.interval for figure in row.figures.values())
    assert (row.test_records, row.test_patients) == (N, len(set(PATIENTS)))


def test_a_copy_does_not_differ(tmp_path):
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


def test_what_is_better_is_told_from_what_is_not(tmp_path):
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


def test_patients_not_records_are_drawn(tmp_path):
    """All records of one patient: every draw is the same, and so there is no width."""
    folder = write_trial(tmp_path / "run", predictions(1, 1), patients=["x"] * N)
    (row,) = rows_of(folder, n_draws=20)
    assert row.figures["auroc"].interval == pytest.approx([row.figures["auroc"].mean] * 2)
    assert row.test_patients == 1


def test_the_seed_decides_the_draws(tmp_path):
    folders = write_series(tmp_path / "a", 0.5), write_series(tmp_path / "b", 1)
    assert rows_of(*folders, n_draws=50) == rows_of(*folders, n_draws=50)
    assert rows_of(*folders, n_draws=50) != rows_of(*folders, n_draws=50, seed=1)


def test_p_value_by_hand():
    """Of nine draws one is not above 0: 2·(1 + 1)/(1 + 9)."""
    assert paired_p(np.array([-1.0, 1, 2, 3, 4, 5, 6, 7, 8])) == pytest.approx(0.4)
    assert paired_p(-np.array([-1.0, 1, 2, 3, 4, 5, 6, 7, 8])) == pytest.approx(0.4)
    assert paired_p(np.array([1.0, 2, 3, np.nan])) == 2 / 4
    assert paired_p(np.array([0.0, 0, 0])) == 1
    assert paired_p(np.array([-1.0, 1])) == 1
    assert paired_p(np.array([np.nan])) is None


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, None, 0.6]) == [1, None, 1]
    assert holm([0.2]) == [0.2]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_rejects_step_by_step(p_values):
    """From the smallest on, rejected at the level over how many are left, until one is not."""
    adjusted = holm(p_values)
    for level in (0.01, 0.05, 0.2):
        rejected, left = set(), sorted(range(len(p_values)), key=lambda i: p_values[i])
        while left and p_values[left[0]] * len(left) <= level:
            rejected.add(left.pop(0))
        assert {i for i, p in enumerate(adjusted) if p is not None and p <= level} == rejected


def test_a_class_without_test_records_has_no_figures(tmp_path):
    """Where all are of one class there is nothing to rank, and no difference."""
    targets = np.eye(3, dtype=bool)[np.zeros(N, dtype=int)]
    runs = [write_trial(tmp_path / name, predictions(1, i, targets), targets=targets) for i, name in enumerate("ab")]
    _, row = rows_of(*runs, metrics=["auroc", "accuracy", "sensitivity"], n_draws=20)
    assert row.figures["auroc"] == row.figures["sensitivity"]
    assert dataclasses.astuple(row.figures["auroc"]) == (None, None, None, 0, None, None, None, None)
    assert row.figures["accuracy"].difference is not None
    assert "-" in table_cells([row])[1]


# --- rows ---


def test_trials_that_differ_in_seed_only_are_a_row(tmp_path):
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


def test_a_baseline_without_the_row_stands_in_with_its_first(tmp_path):
    write_series(tmp_path / "full", 1)
    write_series(tmp_path / "few", 1, fraction=0.1, lead_subset="limb")
    rows = rows_of(tmp_path / "full", tmp_path / "few", n_draws=5)
    assert [row.against for row in rows] == [None, "full (fraction 1, II,V1)"]
    rows = rows_of(tmp_path / "full", tmp_path / "few", n_draws=5, baseline="few")
    assert [row.against for row in rows] == ["few (fraction 0.1, limb)", None]
    one, other = rows_of(tmp_path / "full", tmp_path / "few", n_draws=5)[1], rows[0]
    assert one.figures["auroc"].difference == -other.figures["auroc"].difference


def test_what_a_row_says_of_its_run(tmp_path):
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


# --- what does not compare ---


def test_other_test_records_are_refused(tmp_path):
    one = write_trial(tmp_path / "one", predictions(1, 1))
    fewer = {"targets": TARGETS[3:], "patients": PATIENTS[3:], "ids": IDS[3:]}
    missing = write_trial(tmp_path / "missing", predictions(1, 1)[3:], **fewer)
    moved = np.roll(TARGETS, 1, axis=0)
    labels = write_trial(tmp_path / "labels", predictions(1, 1), targets=moved)
    n_moved = int((np.roll(NUMBERS, 1) != NUMBERS).sum())
    owners = write_trial(tmp_path / "owners", predictions(1, 1), patients=["q", *PATIENTS[1:]])
    for other, told in (
        (missing, rf"not tested on the same records: 3 are in one of them only \({N} and {N - 3} records\)"),
        (labels, f"records with other labels: {n_moved} of {N} differ"),
        (owners, f"records with other patients: 1 of {N} differ"),
    ):
        with pytest.raises(LfbtError, match=f"{one} and {other} .*{told}"):
            rows_of(one, other)


def test_other_kinds_of_runs_are_refused(tmp_path):
    one = write_trial(tmp_path / "one", predictions(1, 1))
    made = write_trial(tmp_path / "made", predictions(1, 1), synthetic=True)
    with pytest.raises(LfbtError, match=f"{one} and {made}: one is of synthetic data, the other of real data"):
        rows_of(one, made)
    several = write_trial(tmp_path / "several", predictions(1, 1), exclusive=False)
    with pytest.raises(LfbtError, match="different tasks: single-label; multi-label"):
        rows_of(one, several)
    swapped = write_trial(
        tmp_path / "swapped", predictions(1, 1), data={"classes": CLASSES[::-1], "training_records": 5}
    )
    with pytest.raises(LfbtError, match="different classes: MI, NORM, STTC; STTC, NORM, MI"):
        rows_of(one, swapped)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"seed": 0}, "seed-0 and twin are of the same seed, 0"),
        ({"seed": 1, "kind": "finetune"}, "seed-0 and twin differ in kind"),
        ({"seed": 1, "leads": ["II"]}, "seed-0 and twin differ in leads"),
        ({"seed": 1, "classifier": "knn"}, "seed-0 and twin differ in classifier"),
        ({"seed": 1, "folds": 5}, "seed-0 and twin differ in folds"),
    ],
)
def test_trials_that_are_no_row_are_refused(tmp_path, changes, told):
    run = write_series(tmp_path / "run", 1, seeds=[0])
    write_trial(run / "twin", predictions(1, 1), **changes)
    with pytest.raises(LfbtError, match=f"run run: {told}"):
        rows_of(run)


def test_folders_that_hold_no_whole_trial_are_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "empty", tmp_path / "absent"):
        with pytest.raises(LfbtError, match=f"run: {folder} holds no trial of a classifier"):
            open_trials(folder)
    # What is still being written does not count.
    write_trial(tmp_path / "half" / ".t.partial-1", predictions(1, 1))
    with pytest.raises(LfbtError, match="holds no trial"):
        open_trials(tmp_path / "half")
    run = write_trial(tmp_path / "run", predictions(1, 1))
    whole = (run / "predictions.csv").read_text()
    results = json.loads((run / "results.json").read_text())
    lines = whole.splitlines()
    for spoilt, told in (
        ("\n".join(line.rsplit(",", 1)[0] for line in lines), "KeyError.*p_STTC"),
        (whole.replace(lines[1].rsplit(",", 1)[1], "?", 1), "ValueError"),
        (whole.replace(lines[1].rsplit(",", 1)[1], "nan", 1), "no number somewhere"),
        (whole + lines[1] + "\n", "one twice"),
        (lines[0], "no records"),
        (whole.replace(",MI,", ",IM,", 1), "label IM of predictions.csv is no class"),
        (whole.replace(",MI,", ",MI;NORM,", 1), "without exactly one label"),
    ):
        (run / "predictions.csv").write_text(spoilt)
        with pytest.raises(LfbtError, match=f"run: {run}.*{told}"):
            open_trials(run)
    (run / "predictions.csv").unlink()
    with pytest.raises(LfbtError, match="no whole result"):
        open_trials(run)
    (run / "predictions.csv").write_text(whole)
    assert len(open_trials(run)) == 1
    del results["data"]["training_records"]
    (run / "results.json").write_text(json.dumps(results))
    with pytest.raises(LfbtError, match=r"no whole result of this lfbt .KeyError: 'training_records'"):
        open_trials(run)
    results["data"]["training_records"] = 5
    for name in ("task", "fraction", "seed", "lead_subset", "encoder", "data", "test", "classifier"):
        (run / "results.json").write_text(json.dumps({key: value for key, value in results.items() if key != name}))
        with pytest.raises(LfbtError, match=f"no whole result of this lfbt .KeyError: '{name}'"):
            open_trials(run)


# --- forms of the table ---


def a_row(tmp_path, name, **changes):
    return rows_of(write_trial(tmp_path / name, predictions(1, 1), **changes), n_draws=5)[0]


NASTY = "a_b & 50% of $x$ #1 {y} ~z^2 \\w | <i> *s* `c` [l](u)"


def test_latex_escapes_what_are_its_commands():
    line = as_latex([["run"], [NASTY]]).splitlines()[4]
    assert line == (
        r"a\_b \& 50\% of \$x\$ \#1 \{y\} \textasciitilde{}z\textasciicircum{}2 \textbackslash{}w \textbar{} "
        r"\textless{}i\textgreater{} {*}s{*} `c` {[}l](u) \\"
    )
    assert as_latex([["-0.5 [-0.1, +0.2]"], ["run-1--2---3"], ["1 ± 2"]]).splitlines()[2:6] == [
        r"$-$0.5 {[}$-$0.1, +0.2] \\",
        r"\hline",
        r"run-1-{}-2-{}-{}-3 \\",
        r"1 $\pm$ 2 \\",
    ]


def test_markdown_escapes_what_are_its_marks():
    header, rule, line = as_markdown([["run", "p"], [NASTY, "two\nlines"]]).splitlines()
    assert (header, rule) == ("| run | p |", "|---|---|")
    escaped = r"a\_b \& 50% of \$x\$ \#1 {y} \~z^2 \\w \| \<i\> \*s\* \`c\` [l]\(u)"
    assert line == f"| {escaped} | two lines |"


def test_text_is_aligned():
    assert as_text([["run", "p"], ["a long one", "0.1"], ["b", ""]]).splitlines() == [
        "run         p",
        "a long one  0.1",
        "b",
    ]


def test_every_form_has_every_row(tmp_path):
    base, other = write_series(tmp_path / "base", 0.5), write_series(tmp_path / "o_t&h|er", 1, fraction=0.5)
    third = write_trial(tmp_path / "third", predictions(1, 7))
    rows = rows_of(base, other, third, metrics=["auroc", "balanced_accuracy"], n_draws=50)
    cells = table_cells(rows)
    assert cells[0] == [
        *("run", "kind", "encoder", "leads", "fraction", "training records", "seeds"),
        *("AUROC", "difference", "p", "p (Holm)", "balanced accuracy", "difference", "p", "p (Holm)", "against"),
    ]
    assert cells[2][:7] == ["o_t&h|er", "probe (adam)", "LFBT", "II,V1", "0.5", "500", "3"]
    figure = rows[1].figures["auroc"]
    low, high = figure.interval
    assert cells[2][7] == f"{figure.mean:.4f} ± {figure.sd:.4f} [{low:.4f}, {high:.4f}]"
    low, high = figure.difference_interval
    assert cells[2][8] == f"{figure.difference:+.4f} [{low:+.4f}, {high:+.4f}]"
    assert cells[2][9:11] == [f"{figure.p:.3g}", f"{figure.p_holm:.3g}"]
    assert cells[2][-1] == "base (fraction 1)"
    assert cells[1][8:11] == ["-", "-", "-"]
    assert "±" not in cells[3][7]
    for form in (as_latex(cells), as_markdown(cells)):
        separator = "(?<!\\\\)" + ("&" if form.startswith("\\") else "\\|")
        lines = [line for line in form.splitlines() if re.search(separator, line)]
        counts = {len(re.split(separator, line)) for line in lines}
        assert len(counts) == 1
        assert len(lines) == len(cells) + form.startswith("|")
    latex = as_latex(cells).splitlines()
    assert (latex[0], latex[-1]) == (r"\begin{tabular}{" + "l" * len(cells[0]) + "}", r"\end{tabular}")
    table = list(csv.DictReader(io.StringIO(as_csv(rows))))
    assert [line["run"] for line in table] == ["base", "o_t&h|er", "third"]
    assert float(table[1]["auroc"]) == figure.mean
    assert [float(table[1][f"auroc_{end}"]) for end in ("low", "high")] == list(figure.interval)
    assert float(table[1]["auroc_p_holm"]) == figure.p_holm
    assert (table[0]["auroc_p"], table[1]["seeds"]) == ("", "0 1 2")


def test_training_records_are_shown_and_synthetic_data_is_named(tmp_path):
    row = a_row(tmp_path, "run", synthetic=True)
    assert table_cells([row])[0][0] == "run (SYNTHETIC data)"
    several = dataclasses.replace(row, training_records=(52, 50, 52), synthetic=False)
    assert table_cells([several])[0][0] == "run"
    assert table_cells([several])[1][5] == "50 to 52"
    # One row is compared with none.
    assert table_cells([row])[0][-1] == "AUPRC"


# --- the command ---


def test_compare_end_to_end(tmp_path):
    base, better = write_series(tmp_path / "base", 0.5), write_series(tmp_path / "better", 2.5)
    out = tmp_path / "new" / "out"
    options = ("--out", out, "--draws", 200, "--seed", 3, "--metrics", "accuracy", "auroc", "--baseline", better)
    said = lfbt_says("compare", base, better, *options)
    names = ["compare.csv", "compare.json", "compare.md", "compare.tex", "compare.txt"]
    assert sorted(path.name for path in out.iterdir()) == names
    content = json.loads((out / "compare.json").read_text())
    assert (content["n_draws"], content["seed"], content["level"]) == (200, 3, 0.95)
    assert content["trials"][:2] == ["base: seed-0", "base: seed-1"]
    first, second = content["rows"]
    assert (first["run"], first["against"], second["against"]) == ("base", "better", None)
    assert list(first["figures"]) == ["accuracy", "auroc"]
    assert first["figures"]["auroc"]["p"] == pytest.approx(2 / 201)
    # What was printed is what was written, and says what its figures are.
    assert said == (out / "compare.txt").read_text() + f"{out}\n"
    assert "200 draws of test patients (seed 3)" in said
    assert "it covers the choice of test patients, not of training seeds" in said
    for name in names:
        assert "better" in (out / name).read_text()
    assert "compared" not in said
    rows = rows_of(base, better, metrics=["accuracy", "auroc"], n_draws=200, seed=3, baseline="better")
    assert json.loads(json.dumps([dataclasses.asdict(row) for row in rows])) == content["rows"]


def test_runs_of_one_name_are_told_apart(tmp_path):
    runs = [write_series(tmp_path / place / "probe", 1) for place in ("x", "y")]
    _, rows = compare(CompareSettings(tuple(runs), draws=5))
    assert [row.run for row in rows] == [run.as_posix() for run in runs]
    assert isinstance(rows[0], Row)


def test_what_the_command_refuses(tmp_path, capsys):
    run = write_series(tmp_path / "run", 1)
    other = write_series(tmp_path / "other", 1)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("")
    for words, told in (
        ((), "runs: none given"),
        ((run, run), "is named twice"),
        ((run, "--draws", 0), "draws: 0 is outside [1, 100000]"),
        ((run, "--seed", -1), "seed: -1 is outside [0, inf)"),
        ((run, "--metrics", "auroc", "auroc"), "metrics: auroc auroc; give one or more, each once, of auroc, auprc"),
        ((run, "--metrics"), "metrics: none given"),
        ((run, "--baseline", other), f"baseline: {other} is not one of the runs compared"),
        ((run, "--out", tmp_path / "full"), "holds other results already"),
        ((tmp_path / "full",), "holds no trial of a classifier"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(["compare", *map(str, words)])
        assert ended.value.code == 2
        err = capsys.readouterr().err
        assert told in err
        assert err.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full", "other", "run"]


def test_the_folder_one_stands_in_has_a_name(tmp_path, monkeypatch):
    run = write_series(tmp_path / "run", 1)
    monkeypatch.chdir(run)
    assert "\nrun " in lfbt_says("compare", ".", "--draws", 5)
