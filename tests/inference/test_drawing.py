"""Which record is drawn, and what is refused."""

import numpy as np
import pytest
from tests.factories import write_packed

from lfbt.errors import LfbtError
from lfbt.inference.drawing import DrawSettings, draw_file
from lfbt.inference.recordings import FileSettings


def ecg(n_records=3, scale=1.0):
    time = np.arange(1000) / 100
    return (scale * np.sin(2 * np.pi * time) * np.ones((n_records, 2, 1))).astype(np.float32)


def npy(tmp_path, array):
    np.save(tmp_path / "ecg.npy", array)
    return tmp_path / "ecg.npy", FileSettings("II,V1", 100.0)


def test_one_recording_needs_no_name_and_is_drawn_at_the_path_given(tmp_path):
    file, files = npy(tmp_path, ecg()[0])
    drawn = draw_file(DrawSettings((file,), tmp_path / "out.svg", files=files))
    assert (drawn.out, drawn.record) == (tmp_path / "out.svg", "ecg")
    assert drawn.scale == "25 mm/s, 10 mm/mV; 10 s; 100 Hz; traces about their medians"
    assert "ecg" in (tmp_path / "out.svg").read_text()


def test_without_a_path_the_drawing_has_the_name_of_the_record(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file, files = npy(tmp_path, ecg())
    drawn = draw_file(DrawSettings((file,), record="ecg/1", files=files))
    assert str(drawn.out) == "ecg-1.svg"
    assert (tmp_path / "ecg-1.svg").is_file()


def test_record_of_a_data_set_is_drawn_by_its_id_and_synthetic_data_says_so(tmp_path):
    data = write_packed(tmp_path / "data", ecg(), leads=("II", "V1"), synthetic=True)
    drawn = draw_file(DrawSettings((data,), tmp_path / "a.svg", record="r2"))
    assert drawn.record == "r2 (SYNTHETIC)"
    assert "r2 (SYNTHETIC)" in (tmp_path / "a.svg").read_text()


def test_several_records_are_refused_without_a_name_and_an_unknown_name_is(tmp_path):
    file, files = npy(tmp_path, ecg())
    with pytest.raises(LfbtError, match=r"record: none given, but .*ecg.npy has 3: ecg/0, ecg/1, ecg/2; name one"):
        draw_file(DrawSettings((file,), tmp_path / "a.svg", files=files))
    with pytest.raises(LfbtError, match=r"record: ecg/7 is not in .*ecg.npy, which has ecg/0"):
        draw_file(DrawSettings((file,), tmp_path / "a.svg", record="ecg/7", files=files))
    assert not (tmp_path / "a.svg").exists()


@pytest.mark.parametrize("scale", [1000.0, 0.001])
def test_voltages_that_no_ecg_has_are_refused_unless_allowed(tmp_path, scale):
    file, files = npy(tmp_path, ecg(scale=scale)[0])
    with pytest.raises(LfbtError, match=r"file_unit.*allow_implausible"):
        draw_file(DrawSettings((file,), tmp_path / "a.svg", files=files))
    allowed = FileSettings("II,V1", 100.0, allow_implausible=True)
    assert draw_file(DrawSettings((file,), tmp_path / "a.svg", files=allowed)).out.is_file()


def test_a_data_set_of_z_scores_has_no_scale(tmp_path):
    data = write_packed(tmp_path / "data", ecg(), leads=("II", "V1"), unit="z-score (record)")
    with pytest.raises(LfbtError, match="r0: is not in mV"):
        draw_file(DrawSettings((data,), tmp_path / "a.svg", record="r0"))


def test_a_file_that_is_there_is_kept_unless_it_is_to_be_replaced(tmp_path):
    file, files = npy(tmp_path, ecg()[0])
    (tmp_path / "a.svg").write_text("mine")
    with pytest.raises(LfbtError, match="exists"):
        draw_file(DrawSettings((file,), tmp_path / "a.svg", files=files))
    assert (tmp_path / "a.svg").read_text() == "mine"
    draw_file(DrawSettings((file,), tmp_path / "a.svg", overwrite=True, files=files))
    assert "<svg" in (tmp_path / "a.svg").read_text()


def test_one_file_at_a_time(tmp_path):
    with pytest.raises(LfbtError, match="file: 2 are given"):
        draw_file(DrawSettings((tmp_path / "a", tmp_path / "b")))
