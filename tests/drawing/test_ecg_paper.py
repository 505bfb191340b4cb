"""ECGs on paper, against coordinates worked out by hand: hundredths of a millimetre, 25 mm/s, 10 mm/mV."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from lfbt.drawing.ecg_paper import draw_ecg
from lfbt.errors import LfbtError
from lfbt.recording import STANDARD_LEADS, Recording

SVG = "{http://www.w3.org/2000/svg}"
LEFT = 1500


def parsed(recording):
    return ET.fromstring(draw_ecg(recording))


def paths(root, lead):
    """The points of each line of a lead, absolute."""
    found = []
    for path in root.iter(f"{SVG}path"):
        if path.get("data-lead") == lead:
            lines = []
            for run in path.get("d").split("M")[1:]:
                start, steps = run.split("l")
                numbers = np.array(steps.split(), dtype=int).reshape(-1, 2)
                first = np.array(start.split(), dtype=int)
                lines.append(np.vstack([first, first + numbers.cumsum(axis=0)]))
            found.append(lines)
    return found


def texts(root):
    return [element.text or "" for element in root.iter(f"{SVG}text")]


def step(lead_count=1, rate=100.0, n=1000, at=300):
    """0 mV, and 1 mV for 10 samples from `at` on."""
    signal = np.zeros((lead_count, n), np.float32)
    signal[:, at : at + 10] = 1
    return signal


def test_a_millivolt_is_ten_millimetres_and_a_second_twenty_five():
    root = parsed(Recording(step(), 100.0, ("II",)))
    (((line),),) = paths(root, "II")
    baseline = line[0, 1]
    assert line[0, 0] == LEFT
    up = line[line[:, 1] != baseline]
    # Samples 300 and 309 at 100 Hz are 3 s and 3.09 s: 75 mm and 77.25 mm.
    assert (up[0, 0], up[-1, 0]) == (LEFT + 7500, LEFT + 7725)
    assert set(up[:, 1]) == {baseline - 1000}
    # 9.99 s.
    assert line[-1, 0] == LEFT + 24975


def test_paper_is_as_large_as_it_says_in_millimetres():
    root = parsed(Recording(step(), 100.0, ("II",)))
    width, height = (root.get(name) for name in ("width", "height"))
    assert (width, height) == ("270mm", "40mm")
    assert root.get("viewBox") == "0 0 27000 4000"
    assert texts(root)[1:] == ["II", "25 mm/s, 10 mm/mV; 10 s; 100 Hz; traces about their medians"]


def test_grid_has_a_line_a_millimetre_and_every_fifth_is_bold():
    root = parsed(Recording(step(), 100.0, ("II",)))
    lines = {}
    for path in root.iter(f"{SVG}path"):
        if path.get("class") in ("fine", "bold"):
            lines[path.get("class")] = [int(x) for x in re.findall(r"M(\d+) 0v4000", path.get("d"))]
    assert lines["bold"] == list(range(0, 27001, 500))
    assert sorted(lines["bold"] + lines["fine"]) == list(range(0, 27001, 100))


def test_calibration_pulse_is_one_millivolt_for_a_fifth_of_a_second():
    root = parsed(Recording(step(2), 100.0, ("II", "V1")))
    pulses = [path.get("d") for path in root.iter(f"{SVG}path") if path.get("d").endswith("v1000h200")]
    baselines = [paths(root, lead)[0][0][0, 1] for lead in ("II", "V1")]
    # 10 mm high and 5 mm wide, on the baseline of each row.
    assert pulses == [f"M300 {y}h200v-1000h500v1000h200" for y in baselines]


def twelve(n=5000, rate=500.0, leads=STANDARD_LEADS):
    """Each lead with one sample of 1 mV for every 2.5 s, at another place for each lead."""
    signal = np.zeros((len(leads), n), np.float32)
    for row in range(len(leads)):
        signal[row, 100 + 10 * row :: 1250] = 1
    return Recording(signal, rate, leads, id="twelve")


def test_twelve_leads_are_three_rows_of_four_and_the_rhythm():
    root = parsed(twelve())
    assert [text for text in texts(root) if text in STANDARD_LEADS] == [
        *("I", "aVR", "V1", "V4"),
        *("II", "aVL", "V2", "V5"),
        *("III", "aVF", "V3", "V6"),
        "II",
    ]
    for place, lead in enumerate(("I", "aVR", "V1", "V4")):
        ((line,),) = paths(root, lead)
        # Each has the 2.5 s, 62.5 mm, that follow those of the lead before.
        assert line[0, 0] == LEFT + place * 6250
        top = line[line[:, 1].argmin()]
        sample = 1250 * place + 100 + 10 * STANDARD_LEADS.index(lead)
        assert top[0] == LEFT + sample * 5
    (first,), (rhythm,) = paths(root, "II")
    assert rhythm[0, 1] > first[0, 1]
    # Samples 110, 1360, 2610 and 3860 of lead II at 5 hundredths of a millimetre each.
    assert rhythm[rhythm[:, 1] == rhythm[:, 1].min(), 0].tolist() == [LEFT + 5 * n for n in (110, 1360, 2610, 3860)]


def test_limb_leads_are_derived_and_said():
    leads = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
    root = parsed(twelve(leads=leads))
    ((line,),) = paths(root, "III")
    # III = II − I: lead I has its sample at 100, II at 110.
    assert line[line[:, 1].argmax(), 0] == LEFT + 500
    assert line[line[:, 1].argmin(), 0] == LEFT + 550
    assert "derived: III, aVR, aVL, aVF" in texts(root)


def test_a_short_recording_shows_every_lead_from_its_start():
    root = parsed(twelve(n=2000))
    assert "every lead from its start" in texts(root)
    ((line,),) = paths(root, "V4")
    assert line[line[:, 1].argmin(), 0] == LEFT + 3 * 6250 + 5 * (100 + 10 * STANDARD_LEADS.index("V4"))


def test_further_leads_have_rows_below():
    signal = np.vstack([twelve().signal, twelve().signal[:1]])
    root = parsed(Recording(signal, 500.0, (*STANDARD_LEADS, "V7")))
    ((line,),) = paths(root, "V7")
    assert line[0, 1] > paths(root, "II")[1][0][0, 1]
    assert line[-1, 0] == LEFT + 5 * 4999


def test_only_ten_seconds_are_drawn_and_that_is_said():
    root = parsed(Recording(np.zeros((1, 6000), np.float32), 100.0, ("V1",)))
    ((line,),) = paths(root, "V1")
    assert line[-1, 0] == LEFT + 24975
    assert any("first 10 s of 60 s" in text for text in texts(root))


def test_offsets_move_nothing():
    moved = Recording(step() + 5, 100.0, ("II",))
    assert (
        paths(parsed(moved), "II")[0][0].tolist()
        == paths(parsed(Recording(step(), 100.0, ("II",))), "II")[0][0].tolist()
    )


def test_gaps_stay_gaps():
    signal = step()
    signal[0, 500:600] = np.nan
    signal[0, 700] = np.inf
    ((first, second, third),) = paths(parsed(Recording(signal, 100.0, ("II",))), "II")
    assert (first[-1, 0], second[0, 0]) == (LEFT + 25 * 499, LEFT + 25 * 600)
    assert (second[-1, 0], third[0, 0]) == (LEFT + 25 * 699, LEFT + 25 * 701)
    assert paths(parsed(Recording(np.full((1, 100), np.nan, np.float32), 100.0, ("II",))), "II") == [[]]


def test_what_leaves_its_row_is_cut_off_and_said():
    root = parsed(Recording(8 * step(), 100.0, ("II",)))
    ((line,),) = paths(root, "II")
    assert line[0, 1] - line[:, 1].min() == 4000
    assert "cut off at ±4 mV: II" in texts(root)


def test_rows_have_room_for_their_traces():
    root = parsed(Recording(np.vstack([step(), -3 * step()]), 100.0, ("II", "V1")))
    (((two),),), (((v1),),) = paths(root, "II"), paths(root, "V1")
    assert two[:, 1].max() < v1[0, 1] - 1000
    assert v1[:, 1].max() - v1[0, 1] == 3000
    assert int(root.get("viewBox").split()[3]) > v1[:, 1].max()


def test_fast_recordings_are_drawn_by_their_extremes():
    """At 8000 Hz 64 samples are 0.2 mm: of these the lowest and the highest are drawn."""
    rng = np.random.default_rng(0)
    signal = rng.standard_normal((1, 80_000), np.float32) / np.float32(3)
    ((line,),) = paths(parsed(Recording(signal, 8000.0, ("II",))), "II")
    assert len(line) <= 2 * 1250 + 2
    centred = signal[0] - np.median(signal)
    assert line[:, 1].max() - line[:, 1].min() == pytest.approx(1000 * (centred.max() - centred.min()), abs=1)


@pytest.mark.parametrize("name", ['</text><script>alert("1")</script>', "a&b", "\x00\x07\ud800"])
def test_names_are_text(name):
    root = parsed(Recording(np.zeros((1, 100), np.float32), 100.0, (f"X{name}",), id=name))
    assert not list(root.iter(f"{SVG}script"))
    shown = "".join(c if c.isprintable() else "\ufffd" for c in name)
    assert shown in texts(root)


def test_z_scores_have_no_scale():
    with pytest.raises(LfbtError, match="is not in mV"):
        draw_ecg(Recording(np.zeros((1, 100), np.float32), 100.0, ("II",), in_mv=False))
