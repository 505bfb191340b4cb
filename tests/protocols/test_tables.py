"""The tables of a benchmark, from values by hand."""

import json

from tests.outputs import read_table
from tests.protocols.helpers import settings_of

from lfbt.protocols.tables import describe_data, figure_cells, record_cells, write_tables

TASK = {
    "task": "form", "classes": 3, "scored": 2, "not_scored": ["C"], "scored_without_training_record": ["B"],
    "rare": ["B"], "train": 8, "val": 2, "test": 4,
}  # fmt: skip
OURS = {
    "method": "LFBT: x", "how": "linear", "data": "ptbxl", "task": "form", "auroc": 0.71234, "source": "this command",
    "fraction": 1.0, "auroc_sd": None, "auroc_interval": (0.6, 0.8), "auroc_without_rare": 0.75,
}  # fmt: skip
THEIRS = {
    "method": "Other", "how": "linear", "data": "ptbxl", "task": "form", "auroc": 0.9, "source": "a paper",
    "fraction": 1.0,
}  # fmt: skip
VALUES = {
    "data": "ptbxl", "protocol": "linear", "synthetic": False, "records": 14, "recordings_found": 16,
    "recordings_published": 21799, "dropped": {}, "tasks": [TASK], "left_out": {"rhythm": "no class"},
    "figures": [OURS, THEIRS], "notes": ["a note."],
}  # fmt: skip


def test_figure_cells_put_ours_first_and_a_source_beside_others():
    assert figure_cells(VALUES) == [
        ["macro AUROC", "how", "labels", "form", "source"],
        ["LFBT: x", "linear", "1", "0.712 [0.600, 0.800]", ""],
        ["Other", "linear", "1", "0.900", "1"],
    ]


def test_figure_cells_have_a_row_a_fraction_and_a_dash_for_no_figure():
    figures = [OURS, {**OURS, "fraction": 0.01}, {**THEIRS, "task": "rhythm"}]
    cells = figure_cells(VALUES | {"figures": figures, "tasks": [TASK, TASK | {"task": "rhythm"}]})
    assert [row[2:5] for row in cells[1:]] == [
        ["1", "0.712 [0.600, 0.800]", "-"], ["0.01", "0.712 [0.600, 0.800]", "-"], ["1", "-", "0.900"]
    ]  # fmt: skip


def test_record_cells_count_records_and_name_classes_that_are_not_scored():
    assert record_cells(VALUES)[1] == ["form", "8 / 2 / 4", "3", "2", "C", "B", "0.750 (1 fewer)"]


def test_describe_data_says_what_the_figures_are_of():
    assert "on a PART of PTB-XL, 14 records; the release has 21799" in describe_data(VALUES)
    assert "SYNTHETIC data" in describe_data(VALUES | {"synthetic": True, "recordings_found": 30000})
    whole = describe_data(VALUES | {"records": 21700, "recordings_found": 21799})
    assert whole.endswith("on PTB-XL, 21700 records of the release's 21799")


def test_write_tables_writes_text_markdown_and_json(tmp_path):
    settings = settings_of(tmp_path)
    settings.out.mkdir()
    text = write_tables(settings, VALUES)
    assert "Source 1: a paper." in text
    assert "Left out: rhythm: no class." in text
    page = (settings.out / "linear.md").read_text()
    assert page.startswith("# lfbt benchmark ptbxl, protocol linear: on a PART of PTB-XL")
    assert "- a note." in page
    assert (settings.out / "linear.txt").is_file()
    assert json.loads((settings.out / "linear.json").read_text())["tasks"] == [TASK]
    rows = read_table(settings.out / "results.csv")
    assert [(row["method"], row["auroc"]) for row in rows] == [("LFBT: x", "0.71234"), ("Other", "0.9")]
