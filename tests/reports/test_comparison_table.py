"""The table of a comparison in all its forms."""

import csv
import dataclasses
import io
import re

import numpy as np
from tests.reports.helpers import predictions, rows_of, write_series, write_trial

from lfbt.reports.comparison_table import as_csv, table_cells, table_note, table_text
from lfbt.utils.tables import as_latex, as_markdown


def test_table_cells_and_csv_have_every_row(tmp_path):
    base, other = write_series(tmp_path / "base", 0.5), write_series(tmp_path / "o_t&h|er", 1, fraction=0.5)
    third = write_trial(tmp_path / "third", predictions(1, 7))
    rows = rows_of(base, other, third, metrics=["auroc", "balanced_accuracy"], n_draws=50)
    cells = table_cells(rows)
    assert cells[0] == [
        *("run", "kind", "encoder", "leads", "fraction", "training records", "seeds"),
        *(
            "AUROC",
            "difference",
            "p",
            "p (Holm)",
            "balanced accuracy",
            "difference",
            "p",
            "p (Holm)",
            "verdict",
            "against",
        ),
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
    assert tuple(float(table[1][f"auroc_{end}"]) for end in ("low", "high")) == figure.interval
    assert float(table[1]["auroc_p_holm"]) == figure.p_holm
    assert (table[0]["auroc_p"], table[1]["seeds"]) == ("", "0 1 2")


def test_table_cells_show_training_records_and_name_synthetic_data(tmp_path):
    (row,) = rows_of(write_trial(tmp_path / "run", predictions(1, 1), synthetic=True), n_draws=5)
    assert table_cells([row])[0][0] == "run (SYNTHETIC data)"
    several = dataclasses.replace(row, training_records=(52, 50, 52), synthetic=False)
    assert table_cells([several])[0][0] == "run"
    assert table_cells([several])[1][5] == "50 to 52"
    # One row is compared with none.
    assert table_cells([row])[0][-1] == "AUPRC"


def test_table_names_rare_classes_and_how_many_rows_it_compares(tmp_path):
    targets = np.eye(3, dtype=bool)[np.repeat([0, 1, 2], [6, 40, 44])]
    runs = [write_trial(tmp_path / name, predictions(1, i, targets), targets=targets) for i, name in enumerate("abc")]
    rows = rows_of(*runs, n_draws=5)
    header = table_cells(rows)[0]
    assert [title for title in header if title.startswith("AU")] == [
        "AUROC", "AUROC without MI", "AUPRC", "AUPRC without MI",
    ]  # fmt: skip
    note = table_note(rows, 5, 0)
    assert "Means are shown without MI, too: fewer than 10 test records each." in note
    assert note.endswith(
        "2 rows against a baseline in 4 metrics; p (Holm) is adjusted for the 2 rows, each metric by itself. Better or "
        "worse is said where p, adjusted where it can be, is below 0.05."
    )
    assert "in brackets the 95% interval over 5 draws of test patients (seed 0)" in note
    line = list(csv.DictReader(io.StringIO(as_csv(rows))))[1]
    assert float(line["auroc_without_rare"]) == rows[1].figures["auroc_without_rare"].mean
    assert line["rare_classes"] == "MI"


def test_table_says_in_words_which_differences_are_shown(tmp_path):
    base = write_trial(tmp_path / "base", predictions(1.5, 1))
    better, worse = write_trial(tmp_path / "much", predictions(9, 2)), write_trial(tmp_path / "none", predictions(0, 3))
    like = write_trial(tmp_path / "like", predictions(1.5, 1))
    rows = rows_of(base, better, worse, like, n_draws=200)
    assert [line[-2] for line in table_cells(rows)] == [
        "verdict", "baseline", "better", "worse", "no difference shown",
    ]  # fmt: skip
    auroc, auprc = (
        dataclasses.replace(rows[1].figures[name], p_holm=p) for name, p in (("auroc", 0.04), ("auprc", 0.06))
    )
    apart = dataclasses.replace(rows[1], figures={"auroc": auroc, "auprc": auprc})
    assert table_cells([apart])[1][-2] == "AUROC better, AUPRC no difference shown"


def test_table_text_says_once_what_all_rows_share_and_has_the_best_in_bold(tmp_path, monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    rows = rows_of(*(write_trial(tmp_path / name, predictions(i, i)) for i, name in enumerate("ab")), n_draws=20)
    first, _, header, *lines = table_text(rows).splitlines()
    assert first == (
        "All rows: kind probe (adam), encoder LFBT, leads II,V1, fraction 1, training records 500, seeds 1, against a."
    )
    assert header.split() == ["run", *("AUROC", "difference", "p", "AUPRC", "difference", "p"), "verdict"]
    assert [line.split()[0] for line in lines] == ["a", "b"]
    bold = table_text(rows, 400)
    best = table_cells(rows)[2]
    assert all(f"\x1b[1m{best[j]}\x1b[0m" in bold for j in (7, 10))
    assert f"\x1b[1m{table_cells(rows)[1][7]}" not in bold
    # A narrow terminal has a table a metric.
    _, _, *narrow = table_text(rows, 100).splitlines()
    assert [line.split()[:3] for line in narrow if line.startswith("\x1b[1mrun")] == [
        ["\x1b[1mrun\x1b[0m", f"\x1b[1m{metric}\x1b[0m", "\x1b[1mdifference\x1b[0m"] for metric in ("AUROC", "AUPRC")
    ]
    assert narrow[1].endswith("baseline")
    assert f"{rows[1].figures['auprc'].mean:.3f} [" in narrow[6]
    # One row shares nothing.
    assert table_text(rows[:1]).startswith("run")
