"""Figures as text."""

import math

import pytest

from lfbt.utils.figures import format_estimate, format_figure, format_interval, format_mean


@pytest.mark.parametrize(
    ("value", "form", "expected"),
    [(0.91234, ".4f", "0.9123"), (-0.5, "+.4f", "-0.5000"), (0.00123, ".3g", "0.00123"), (0, ".4f", "0.0000")],
)
def test_format_figure_follows_the_form(value, form, expected):
    assert format_figure(value, form) == expected


@pytest.mark.parametrize("absent", [None, math.nan])
def test_format_figure_of_nothing_is_a_dash(absent):
    assert format_figure(absent) == "-"
    assert format_mean(absent, None) == format_mean(absent, 0.1) == "-"
    assert format_estimate(absent) == "-"


def test_format_interval_is_empty_without_one():
    assert format_interval([0.81, 0.93]) == "[0.810, 0.930]"
    assert format_interval((-0.1, 0.2), "+.4f") == "[-0.1000, +0.2000]"
    assert format_interval(None) == ""


def test_format_mean_has_its_deviation_where_there_is_one():
    assert format_mean(0.6, 0.14142) == "0.6000 ± 0.1414"
    assert format_mean(0.6, None) == format_mean(0.6, math.nan) == "0.6000"


def test_format_estimate_has_what_there_is():
    assert format_estimate(0.9, None, [0.81, 0.93]) == "0.9000 [0.810, 0.930]"
    assert format_estimate(0.9, 0.01, None) == "0.9000 ± 0.0100"
    assert format_estimate(0.1, 0.01, (0, 0.2), "+.2f", "+.1f") == "+0.10 ± 0.01 [+0.0, +0.2]"
