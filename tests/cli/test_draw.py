"""``lfbt draw`` by its words; `tests/inference/test_drawing.py` and `tests/drawing` have the rest."""

import pytest
from tests.cli.helpers import everything, output_of, refused
from tests.data.helpers import ecg, write_ecg


@pytest.mark.parametrize(("suffix", "begin"), [("svg", b"<svg"), ("png", b"\x89PNG"), ("pdf", b"%PDF")])
def test_draw_writes_the_form_that_the_suffix_names_and_says_the_scale(chain, tmp_path, suffix, begin):
    (header,) = list(chain.glob("download/**/00001_hr.hea"))
    out = tmp_path / f"a.{suffix}"
    said = output_of("draw", header, "--out", out)
    assert said == f"{out}: record 00001_hr, 25 mm/s, 10 mm/mV; 10 s; 500 Hz; traces about their medians\n"
    assert out.read_bytes().startswith(begin)


def test_draw_names_a_file_that_cannot_be_read_in_one_line(tmp_path):
    (tmp_path / "a.csv").write_text("no numbers\n")
    assert "a.csv" in refused("draw", tmp_path / "a.csv", "--file-sampling-rate", 500, "--out", tmp_path / "a.svg")
    assert everything(tmp_path) == ["a.csv"]


def test_draw_refuses_an_absent_file_and_a_suffix_in_one_line(chain, tmp_path):
    assert "none.hea" in refused("draw", tmp_path / "none.hea", "--out", tmp_path / "a.svg")
    assert "--out: " in refused("draw", chain / "data", "--record", "1", "--out", tmp_path / "a.gif")
    assert everything(tmp_path) == []


def test_draw_prints_nothing_that_steers_the_terminal(tmp_path):
    place = tmp_path / "a\x1b]0;title\x07"
    place.mkdir()
    write_ecg(place / "b\x1b[2J", ecg(1))
    said = output_of("draw", place / "b\x1b[2J.hea", "--out", tmp_path / "a.svg")
    assert said.startswith(f"{tmp_path}/a.svg: record b\\x1b[2J, ")
    assert "\x1b" not in refused("draw", place / "none.hea", "--out", tmp_path / "b.svg")
