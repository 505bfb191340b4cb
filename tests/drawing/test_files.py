"""Drawings as files: the paper's own size, the same bytes each time, and refusals before anything is written."""

import re
import xml.etree.ElementTree as ET

import matplotlib.image
import numpy as np
import pytest

from lfbt.drawing.files import check_drawing, save_drawing
from lfbt.drawing.layout import lay_out
from lfbt.errors import FinishedError, LfbtError
from lfbt.recording import STANDARD_LEADS, Recording

# A name between dollar signs is no mathematics, and one of a control character is drawn as a mark.
RECORDING = Recording(
    0.3 * np.random.default_rng(0).standard_normal((12, 1000), dtype=np.float32), 100.0, STANDARD_LEADS, id="$a_b$\x00<"
)


def test_svg_is_a_document_of_the_size_of_the_paper(tmp_path):
    save_drawing(RECORDING, tmp_path / "a.svg")
    root = ET.fromstring((tmp_path / "a.svg").read_text())
    assert root.get("width") == "270mm"
    assert root.find("{http://www.w3.org/2000/svg}style") is not None


def test_pdf_has_the_size_of_the_paper_in_points_and_no_date(tmp_path):
    save_drawing(RECORDING, tmp_path / "a.pdf")
    content = (tmp_path / "a.pdf").read_bytes()
    box = re.search(rb"/MediaBox \[ ?([0-9. ]+)\]", content)
    assert box is not None
    *_, width, height = map(float, box[1].split())
    paper = lay_out(RECORDING)
    assert (width, height) == pytest.approx((270 / 25.4 * 72, paper.height / 25.4 * 72), abs=0.1)
    assert b"CreationDate" not in content


def test_png_has_two_hundred_dots_an_inch_and_the_pulse_in_its_place(tmp_path):
    save_drawing(RECORDING, tmp_path / "a.png")
    image = matplotlib.image.imread(tmp_path / "a.png")
    paper = lay_out(RECORDING)
    dots = 200 / 25.4
    assert image.shape[:2] == (int(paper.height * dots), int(270 * dots))
    (pulse,) = (trace.lines[0] for trace in paper.traces[:1])
    # The top of the pulse, 1 mV above the baseline, is dark; 3 mm above it there is paper or grid.
    x, y = (pulse[2] + pulse[3]) / 200 * dots
    assert image[round(y) - 2 : round(y) + 3, round(x), :3].min() < 0.4
    assert image[round(y - 3 * dots) - 1 : round(y - 3 * dots) + 2, round(x), :3].min() > 0.5


@pytest.mark.parametrize("suffix", [".svg", ".png", ".pdf"])
def test_same_recording_gives_the_same_bytes(tmp_path, suffix):
    for name in ("a", "b"):
        save_drawing(RECORDING, tmp_path / f"{name}{suffix}")
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


def test_another_file_is_replaced_only_if_asked_for(tmp_path):
    out = tmp_path / "a.svg"
    out.write_text("mine")
    with pytest.raises(LfbtError, match="exists, and holds something else; give another name, or --overwrite"):
        save_drawing(RECORDING, out)
    assert out.read_text() == "mine"
    save_drawing(RECORDING, out, overwrite=True)
    with pytest.raises(FinishedError, match=f"^{out}: finished before"):
        save_drawing(RECORDING, out)


def test_z_scores_are_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(LfbtError, match="not in mV"):
        save_drawing(Recording(RECORDING.signal, 100.0, STANDARD_LEADS, in_mv=False), tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


def test_check_drawing_refuses_other_suffixes_files_and_folders(tmp_path):
    (tmp_path / "a.svg").write_text("mine")
    (tmp_path / "b.svg").mkdir()
    for out, words in (
        (tmp_path / "a.jpg", r"ends in none of \.svg, \.png, \.pdf"),
        (tmp_path / "b.svg", "is a folder"),
        (tmp_path / "no" / "a.svg", "folder of .* does not exist"),
    ):
        with pytest.raises(LfbtError, match=words):
            check_drawing(out)
    check_drawing(tmp_path / "a.svg")
    check_drawing(tmp_path / "new.PNG")
