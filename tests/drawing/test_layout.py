"""Where things are on the paper, by hand: 15 mm margin, 25 mm/s, 10 mm/mV, in hundredths of a millimetre."""

import numpy as np
import pytest

from lfbt.drawing.layout import Span, lay_out
from lfbt.recording import STANDARD_LEADS, Recording


def twelve(n=1000, rate=100.0):
    signal = np.tile(np.sin(np.arange(n, dtype=np.float32) / 10), (12, 1))
    return Recording(signal, rate, STANDARD_LEADS, id="a")


def test_grid_has_fine_lines_each_millimetre_and_bold_ones_each_fifth():
    paper = lay_out(twelve())
    (fine, across, down), (bold, bold_across, bold_down) = paper.grid()
    assert (fine, bold) == (False, True)
    assert bold_across == list(range(0, 271, 5))
    assert sorted(across + bold_across) == list(range(271))
    assert sorted(down + bold_down) == list(range(paper.height + 1))


def test_foot_states_the_scale_and_what_was_decided():
    scale, *notes = lay_out(twelve(500)).foot
    assert scale.startswith("25 mm/s, 10 mm/mV; 5 s; 100 Hz")
    assert notes == ["every lead from its start"]
    assert [text.words for text in lay_out(twelve(500)).texts][-2:] == [scale, *notes]


def test_span_marks_its_time_in_the_column_and_in_the_rhythm_strip():
    # 2 s to 3 s: half a second at the end of the first column, half at the beginning of the second, all in the strip.
    bands = lay_out(twelve(), [Span(2.0, 3.0, 0.5)]).bands
    first, second, strip = bands[0], bands[1], bands[-1]
    assert (first.x, first.width) == (1500 + 5000, 1250)
    assert (second.x, second.width) == (1500 + 6250, 1250)
    assert (strip.x, strip.width) == (1500 + 5000, 2500)
    assert len(bands) == 3 * 2 + 1
    assert {band.strength for band in bands} == {0.5}


def test_span_marks_every_column_where_all_leads_begin_at_the_start():
    bands = lay_out(twelve(200), [Span(0.0, 1.0, 3.0)]).bands
    assert len(bands) == 12 + 1
    assert {band.strength for band in bands} == {1.0}


@pytest.mark.parametrize("span", [Span(12.0, 13.0, 1.0), Span(3.0, 3.0, 1.0)])
def test_span_outside_the_record_or_without_length_marks_nothing(span):
    assert lay_out(twelve(), [span]).bands == ()
