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
