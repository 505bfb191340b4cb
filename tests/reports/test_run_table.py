"""The list of runs as text: tables by kind, trials of several seeds as one, colours on a terminal only."""

import json
from pathlib import Path

import pytest
from tests.reports.helpers import predictions, write_series, write_trial

from lfbt.cli.app import main
from lfbt.reports.run_list import RunSummary, list_runs
from lfbt.reports.run_table import runs_table

PLACE = Path("runs")
PRETRAINED = RunSummary(PLACE / "deep/a", "pretrain", "stopped", "1/2", 350.25, "rank 9.0", differs="gamma=0.6")
BROKEN = RunSummary(PLACE / "b", "-", "unreadable", differs="b/results.json: is not JSON")


def classifier(name, seed=0, series=None, test_auroc=0.875):
    settings = {"fraction": 1.0, "lead_subsets": "all", "seeds": seed}
    return RunSummary(
        PLACE / name,
        "probe",
        "finished",
        "3/3 (kept 2)",
        loss=0.5,
        quality="val AUROC 0.9000",
        settings=settings,
        val_auroc=0.9,
        test_auroc=test_auroc,
        test_auprc=0.75,
        series=series,
        differs=f"fraction=1.0 seeds={seed}",
    )


def test_runs_table_has_pretraining_classifiers_and_unreadable_runs_apart():
    assert runs_table([BROKEN, PRETRAINED, classifier("c")], PLACE).splitlines() == [
        "pretraining  state    epoch  loss   quality   settings that differ",
        "deep/a       stopped  1/2    350.2  rank 9.0  gamma=0.6",
        "",
        "classifier  kind   state     epoch         val loss  val AUROC  test AUROC  test AUPRC  settings that differ",
        "c           probe  finished  3/3 (kept 2)  0.5       0.9000     0.8750      0.7500      fraction=1.0 seeds=0",
        "",
        "unreadable  reason",
        "b           b/results.json: is not JSON",
    ]


def test_runs_table_has_one_row_for_the_seeds_of_a_series():
    series = PLACE / "s"
    trials = [classifier(f"s/{seed}", seed, series, test_auroc=0.8 + seed / 10) for seed in (0, 1)]
    other = classifier("s/tenth", 0, series)
    other.settings["fraction"] = 0.1
    assert runs_table([*trials, other], PLACE).splitlines()[1:] == [
        "s (2 seeds)  probe  finished  -             0.5 ± 0   0.9000 ± 0.0000  0.8500 ± 0.0707  0.7500 ± 0.0000  "
        "fraction=1.0",
        "s/tenth      probe  finished  3/3 (kept 2)  0.5       0.9000           0.8750           0.7500           "
        "fraction=1.0 seeds=0",
    ]
    # Runs of their own stay apart.
    assert len(runs_table([classifier("a"), classifier("b", 1)], PLACE).splitlines()) == 3


def test_runs_table_has_trials_as_the_commands_write_them(tmp_path):
    write_series(tmp_path / "series", 1)
    (tmp_path / "series" / "results.csv").write_text("")
    write_trial(tmp_path / "one", predictions(1, 9))
    rows = runs_table(list_runs(tmp_path), tmp_path).splitlines()
    assert [row.split("  ")[0] for row in rows] == ["classifier", "one", "series (3 seeds)"]
    test = json.loads((tmp_path / "one" / "results.json").read_text())["test"]
    assert f"  {test['auroc']:.4f}  " in rows[1]


def test_runs_table_has_what_differs_below_where_the_terminal_is_narrow(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    assert runs_table([classifier("c"), classifier("d", 1)], PLACE, 90).splitlines() == [
        "classifier  state     epoch         val loss  val AUROC  test AUROC  test AUPRC",
        "c           finished  3/3 (kept 2)  0.5       0.9000     0.8750      0.7500",
        "d           finished  3/3 (kept 2)  0.5       0.9000     0.8750      0.7500",
        "",
        "classifier  settings that differ",
        "c           fraction=1.0 seeds=0",
        "d           fraction=1.0 seeds=1",
    ]


@pytest.mark.parametrize(("state", "code"), [("finished", 32), ("stopped", 33), ("unreadable", 31)])
def test_runs_table_has_colours_on_a_terminal_only(state, code):
    run = BROKEN if state == "unreadable" else RunSummary(PLACE / "a", "pretrain", state)
    assert "\x1b" not in runs_table([run], PLACE)
    coloured = runs_table([run], PLACE, 200)
    assert ("\x1b[1mreason\x1b[0m" if state == "unreadable" else f"\x1b[{code}m{state}\x1b[0m") in coloured


def test_runs_table_is_what_the_command_prints(tmp_path, capsys):
    write_trial(tmp_path / "one", predictions(1, 9))
    main(["runs", str(tmp_path)])
    assert capsys.readouterr().out.rstrip("\n") == runs_table(list_runs(tmp_path), tmp_path)
