"""Tables of plain rows."""

from lfbt.reports.blocks import Column, table_of


def test_table_of_keeps_rows_columns_and_the_best():
    table = table_of("Runs, by seed", [("run", "t"), ("AUROC", "")], [["a", "0.9"], ["b", "0.8"]], best=1)
    assert table.columns == (Column("run", "t"), Column("AUROC", ""))
    assert [row.cells for row in table.rows] == [("a", "0.9"), ("b", "0.8")]
    assert [row.best for row in table.rows] == [False, True]
    assert table.name == "runs-by-seed"


def test_name_of_a_table_is_a_file_name_whatever_its_caption():
    assert table_of("../../etc; $(x)", [], []).name == "etc-x"
    assert table_of("→", [], []).name == "table"
