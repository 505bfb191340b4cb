"""Charts in pixels, by hand: the axes reach from 56 to 368 across, from 216 up to 24."""

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lfbt.reports.charts import Line, common_axis, make_bar, make_chart, make_strip, nice_ticks

UNIT = ((0.0, 1.0), (0.0, 1.0))


def test_line_goes_from_corner_to_corner():
    chart = make_chart("t", [Line([0, 1], [0, 1], "a", colour=9)], "x", "y", "", *UNIT)
    (mark,) = chart.marks
    assert (mark.kind, mark.colour, mark.d) == ("line", 1, "M56 216L368 24")
    assert [(m.kind, name) for m, name in chart.legend] == [("line", "a")]
    assert chart.x_ticks == tuple((round(56 + 312 * x, 1), f"{x:g}") for x in (0, 0.2, 0.4, 0.6, 0.8, 1))


def test_gaps_bands_and_whiskers():
    line = Line([0, 0.5, 1], [0, np.nan, 1], low=[0, 0, 0.5], high=[0, 1, 1])
    band, gap = make_chart("t", [line], "x", "y", "", *UNIT).marks
    assert gap.d == "M56 216M368 24"
    assert band.d == "M56 216L212 24L368 24L368 120L212 216L56 216Z"
    point = Line([0.5], [0.5], "", "point", low=[0.25], high=[0.75])
    whisker, dot = make_chart("t", [point], "x", "y", "", *UNIT).marks
    assert (whisker.kind, whisker.d) == ("whisker", "M212 168V72")
    assert (dot.kind, dot.d) == ("point", "M212 120h0")


def test_logarithmic_axis_has_the_values_as_ticks():
    chart = make_chart("t", [Line([0.1, 1, 10], [1, 2, 3])], "x", "y", x_log=True)
    assert [text for _, text in chart.x_ticks] == ["0.1", "1", "10"]
    left, middle, right = (x for x, _ in chart.x_ticks)
    assert middle - left == pytest.approx(right - middle, abs=0.2)


def test_epochs_have_whole_ticks_even_where_there_is_one():
    assert [text for _, text in make_chart("t", [Line([4], [1])], "epoch", "y", x_whole=True).x_ticks] == [
        "3",
        "4",
        "5",
    ]
    assert [t for _, t in make_chart("t", [Line([1, 2, 3], [1, 2, 3])], "epoch", "y", x_whole=True).x_ticks] == [
        "1",
        "2",
        "3",
    ]


@given(st.lists(st.floats(), max_size=5), st.lists(st.floats(), max_size=5))
def test_any_numbers_give_a_picture_without_nan(x, y):
    n = min(len(x), len(y))
    chart = make_chart("t", [Line(x[:n], y[:n], low=y[:n], high=y[:n]), Line(x[:n], y[:n], "", "dots")], "x", "y")
    drawn = " ".join([chart.grid, *(mark.d for mark in chart.marks)])
    assert not re.search("nan|inf", drawn)
    assert all(math.isfinite(at) for at, _ in (*chart.x_ticks, *chart.y_ticks))


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_ticks_are_few_round_and_inside(low, span):
    ticks = nice_ticks(low, low + span)
    assert len(ticks) <= 6
    assert all(low - 1e-6 * span <= tick <= low + span * (1 + 1e-6) for tick in ticks)


def test_strip_has_point_and_whiskers_on_the_axis():
    strip = make_strip(0.5, (0.25, 0.75), (0.0, 1.0), zero=0.0)
    assert dict(strip.paths) == {
        "axis": "M0 9.5H176",
        "zero": "M5 0v19",
        "whisker": "M46.5 9.5H129.5M46.5 5v9M129.5 5v9",
        "point": "M88 9.5h0",
    }
    assert strip.alt == "0.5000, interval 0.2500 to 0.7500"
    assert make_strip(None, None, (0.0, 1.0)).alt == "-"


def test_bar_begins_at_zero_and_ends_at_the_axis():
    assert dict(make_bar(2.0, (-1.0, 1.0)).paths)["bar"] == "M88 9.5H171"
    assert dict(make_bar(-0.5, (-1.0, 1.0)).paths)["bar"] == "M88 9.5H46.5"


def test_common_axis_of_one_value_and_of_none():
    low, high = common_axis([0.5])
    assert low < 0.5 < high
    assert common_axis([None]) == (0.0, 1.0)
