"""Dates and clock times as people write them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lfbt.io.csv_clocks import is_clock, is_date, read_clocks


@pytest.mark.parametrize(
    ("cells", "seconds"),
    [
        (["0:01.250", "0:01.500"], [1.25, 1.5]),
        (["'10:00:00,002'", "10:00:01"], [36000.002, 36001]),
        (["12:59:59 AM", "1:00:00 am"], [3599, 3600]),
        (["12:59:59 PM", "1:00:00 p.m."], [46799, 46800]),
        (["23:59:59.9", "00:00:00.1"], [86399.9, 86400.1]),
        (["31.12.2020 23:59:59.9", "01.01.2021 00:00:00.1"], [86399.9, 86400.1]),
        (["12/31/20 23:59:59.9", "1/1/21 00:00:00.1"], [86399.9, 86400.1]),
        (["10:00:02", "10:00:01"], [36002, 36001]),
        (["59:59.9", "0:00.1"], [3599.9, 0.1]),
    ],
)
def test_read_clocks_gives_seconds(cells, seconds):
    clocks = read_clocks(cells)
    assert clocks is not None
    assert (clocks.fault, clocks.is_short) == ("", False)
    np.testing.assert_allclose(clocks.seconds, seconds, rtol=1e-12)


def test_read_clocks_names_a_date_that_does_not_follow():
    clocks = read_clocks(["03.04.2021 23:59:59", "05.06.2021 00:00:00"])
    assert clocks is not None
    assert (clocks.fault, clocks.row) == ("the date 05.06.2021 does not follow 03.04.2021", 1)


@pytest.mark.parametrize("cells", [["10:00", "noon"], ["1.5"], [], ["10:00:00 AM", "10:00:01"], ["03.04.2021"]])
def test_read_clocks_is_none_for_what_is_no_clock_time(cells):
    assert read_clocks(cells) is None


@given(st.floats(0, 86399).map(lambda x: round(x, 3)))
def test_read_clocks_inverts_writing(second):
    clocks = read_clocks([f"{int(second // 3600)}:{int(second // 60) % 60:02}:{second % 60:06.3f}"])
    # Seconds such as 59.9996 are written as 60.000.
    assert clocks is not None
    assert abs(clocks.seconds[0] - second) < 1e-6


def test_is_date_and_is_clock_tell_them_apart():
    assert [is_date(cell) for cell in ("03.04.2021", "2021-04-03", "1.5", "10:00")] == [True, True, False, False]
    assert [is_clock(cell) for cell in ("10:00", "10:00:00,5", "03.04.2021", "1.5")] == [True, True, False, False]
