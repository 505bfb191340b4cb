"""``lfbt compare``: what it prints and writes, and what it refuses."""

import contextlib
import dataclasses
import io
import json

import pytest
from tests.reports.helpers import rows_of, write_series

from lfbt.cli.app import main
from lfbt.reports.comparison import CompareSettings, run_comparison
from lfbt.reports.comparison_rows import Row


def output_of(*words):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        main([str(word) for word in words])
    return out.getvalue()


def test_compare_writes_what_it_prints(tmp_path):
    base, better = write_series(tmp_path / "base", 0.5), write_series(tmp_path / "better", 2.5)
    out = tmp_path / "new" / "out"
    options = ("--out", out, "--draws", 200, "--seed", 3, "--metrics", "accuracy", "auroc", "--baseline", better)
    output = output_of("compare", base, better, *options)
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
    assert output == (out / "compare.txt").read_text() + f"{out}\n"
    assert "200 draws of test patients and, of a row with several, training seeds (seed 3)" in output
    assert "1 row against a baseline in 2 metrics, not adjusted." in output
    for name in names:
        assert "better" in (out / name).read_text()
    assert "compared" not in output
    rows = rows_of(base, better, metrics=["accuracy", "auroc"], n_draws=200, seed=3, baseline="better")
    assert json.loads(json.dumps([dataclasses.asdict(row) for row in rows])) == content["rows"]


def test_compare_names_runs_of_one_name_by_their_path(tmp_path):
    runs = [write_series(tmp_path / place / "probe", 1) for place in ("x", "y")]
    _, rows = run_comparison(CompareSettings(tuple(runs), draws=5))
    assert [row.run for row in rows] == [run.as_posix() for run in runs]
    assert isinstance(rows[0], Row)


def test_compare_refuses_runs_and_options(tmp_path, capsys):
    run = write_series(tmp_path / "run", 1)
    other = write_series(tmp_path / "other", 1)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("")
    for words, reason in (
        ((), "runs: none given"),
        ((run, run), "is named twice"),
        ((run, "--draws", 0), "draws: 0 is outside [1, 100000]"),
        ((run, "--seed", -1), "seed: -1 is outside [0, 4294967295]"),
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
        assert reason in err
        assert err.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full", "other", "run"]


def test_compare_names_the_working_directory(tmp_path, monkeypatch):
    run = write_series(tmp_path / "run", 1)
    monkeypatch.chdir(run)
    assert "\nrun " in output_of("compare", ".", "--draws", 5)
