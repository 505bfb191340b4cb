"""Rows of CSV files that lose or move samples."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.published_files import write

from lfbt.errors import UnreadableError
from lfbt.io.csv_layout import CsvLayout
from lfbt.io.csv_rows import check_rows
from lfbt.io.csv_text import read_text


def test_check_rows_counts_cells_but_not_separators_in_quotes(tmp_path):
    path = write(tmp_path / "a.csv", 'skipped\n"1,5",2\n3,"4,5"\n\n')
    check_rows(path, read_text(path), CsvLayout(",", ".", 1, None))
    with pytest.raises(UnreadableError, match="line 2 has 3 cells, not 1"):
        check_rows(path, b"1\n1,2,3\n", CsvLayout(",", ".", 0, None))


@pytest.mark.parametrize("is_ended", [False, True])
@pytest.mark.parametrize("width", [3, 200_000])
def test_check_rows_finds_one_row_among_many(width, is_ended):
    """In files of more than one part, also with rows that are longer than a part."""
    rows = [f"{'1' * width},2,3"] * (600_000 // width)
    layout = CsvLayout(",", ".", 1, None)
    check_rows(Path("a.csv"), "\n".join(["1", *rows]).encode() + b"\n" * is_ended, layout)
    for row in range(2, len(rows), max(1, len(rows) // 7)):
        moved = [*rows[: row - 1], "1,2,3,4", "1,2", *rows[row + 1 :]]
        with pytest.raises(UnreadableError, match=rf"line {row + 1} has 4 cells"):
            check_rows(Path("a.csv"), "\n".join(["1", *moved]).encode() + b"\n" * is_ended, layout)


@given(st.lists(st.integers(1, 4), min_size=2, max_size=6), st.booleans())
def test_check_rows_refuses_each_row_of_another_length(counts, is_ended):
    """Also where longer rows make up for shorter ones."""
    text = "\n".join(",".join(["1"] * count) for count in counts) + "\n" * is_ended
    if len(set(counts)) == 1:
        check_rows(Path("a.csv"), text.encode(), CsvLayout(",", ".", 0, None))
        return
    row = next(row for row, count in enumerate(counts) if count != counts[0])
    with pytest.raises(UnreadableError, match=f"line {row + 1} has {counts[row]} cells, not {counts[0]}"):
        check_rows(Path("a.csv"), text.encode(), CsvLayout(",", ".", 0, None))
