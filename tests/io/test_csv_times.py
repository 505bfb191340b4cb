"""Times of CSV files: gaps, repeats, other rates, and the rate that they tell."""

import numpy as np
import pytest
from tests.published_files import write

from lfbt.errors import UnreadableError
from lfbt.io.csv import read_csv
from lfbt.io.csv_times import coarse_step, find_shift


def _with_times(path, header, times):
    return write(path, "\n".join([f"{header},I", *(f"{time},1" for time in times)]))


@pytest.mark.parametrize(
    ("header", "rate", "form"),
    [
        ("ms", 1000, lambda i: i),
        ("time", 100, lambda i: f"{i / 100:.2f}"),
        ("time", 1000, lambda i: f"{1_700_000_000 + i / 1000:.3f}"),
        ("time", 1000, lambda i: f"2024-05-01T00:00:{i / 1000:06.3f}"),
        ("s", 500, lambda i: f"{i / 500:.3f}"),
    ],
    ids=["ms", "hundredths", "epoch", "dates", "500 Hz"],
)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows, None),
        (lambda rows: rows[:200] + rows[201:], "is not regular: .*line 202"),
        (lambda rows: [*rows[:200], rows[199], *rows[201:]], "is not regular: .*line 202"),
        (lambda rows: [*rows[:200], rows[201], rows[200], *rows[202:]], "does not rise from .*line 203"),
        (lambda rows: [*rows[:200], "", *rows[201:]], "line 202 has no time"),
        (lambda rows: [*rows[:200], "NaT", *rows[201:]], r"line 202 has no time|expected numbers or dates"),
    ],
    ids=["whole", "gap", "repeat", "order", "empty", "NaT"],
)
def test_read_csv_finds_each_gap_and_repeat_of_times(tmp_path, header, rate, form, change, message):
    path = _with_times(tmp_path / "a.csv", header, change([form(i) for i in range(1000)]))
    if message is None:
        assert read_csv(path, None, rate, "mV").signal.shape == (1, 1000)
        return
    with pytest.raises(UnreadableError, match=message):
        read_csv(path, None, rate, "mV")


@pytest.mark.parametrize(
    ("n_rows", "true_rate", "rate", "whole", "message"),
    [
        (5000, 500, 500, int, None),
        (5000, 500, 500, round, None),
        (2570, 257, 257, int, None),
        (2570, 257, 257, round, None),
        (900, 500, 500, round, None),
        (900, 500, 500, int, "too coarse to check the rate; leave the column out"),
        (700, 350, 500, int, "too coarse to check the rate; leave the column out"),
        (700, 350, 500, round, "is one of 349 Hz, not of 500 Hz"),
        (5000, 500, 510, int, "is one of 500 Hz, not of 510 Hz"),
        (5000, 500, 250, int, "is one of 500 Hz, not of 250 Hz"),
    ],
)
def test_read_csv_checks_the_rate_of_whole_seconds_or_refuses_them(tmp_path, n_rows, true_rate, rate, whole, message):
    path = _with_times(tmp_path / "a.csv", "seconds", [whole(i / true_rate) for i in range(n_rows)])
    if message is None:
        assert read_csv(path, None, rate, "mV").signal.shape == (1, n_rows)
        return
    with pytest.raises(UnreadableError, match=message):
        read_csv(path, None, rate, "mV")


@pytest.mark.parametrize("times", [[0, *[1] * 100, 0, 1], [0, 1, 0, 1], [5, 3, 8]])
def test_read_csv_refuses_times_that_fall(tmp_path, times):
    with pytest.raises(UnreadableError, match="does not rise from"):
        read_csv(_with_times(tmp_path / "a.csv", "seconds", times), None, 500.0, "mV")


def test_read_csv_finds_a_gap_in_whole_seconds(tmp_path):
    for missing in (slice(2600, 2610), slice(2400, 3600)):
        times = [i // 500 for i in range(5000)]
        del times[missing]
        with pytest.raises(UnreadableError, match=r"is not regular|not of 500 Hz"):
            read_csv(_with_times(tmp_path / "a.csv", "seconds", times), None, 500.0, "mV")


@pytest.mark.parametrize("step", [1 / 500, 1 / 360, 1 / 257])
@pytest.mark.parametrize("form", ["{:.3f}", "{:.6f}", "{:.0f}"])
def test_read_csv_accepts_times_that_are_rounded(tmp_path, step, form):
    rows = [f"{form.format(i * step)},1" for i in range(5000)]
    write(tmp_path / "a.csv", "\n".join(["time,I", *rows]))
    assert read_csv(tmp_path / "a.csv", None, 1 / step, "mV").signal.shape == (1, 5000)


@pytest.mark.parametrize("rate", [800, 700, 952, 985, 512, 600])
def test_check_times_reads_milliseconds_of_rates_that_are_no_part_of_1000(tmp_path, rate):
    times = [int(1000 * i / rate) for i in range(3 * rate)]
    assert read_csv(_with_times(tmp_path / "a.csv", "ms", times), None, rate, "mV").signal.shape == (1, 3 * rate)
    for lost in (rate // 7, rate, 2 * rate + 3):
        cut = times[:lost] + times[lost + 1 :]
        with pytest.raises(UnreadableError, match="is not regular"):
            read_csv(_with_times(tmp_path / "a.csv", "ms", cut), None, rate, "mV")
        twice = [*times[:lost], times[lost - 1], *times[lost:]]
        with pytest.raises(UnreadableError, match="is not regular"):
            read_csv(_with_times(tmp_path / "a.csv", "ms", twice), None, rate, "mV")


@pytest.mark.parametrize(
    ("header", "rate", "form"),
    [
        ("time (s)", 500, "{:.3f}"),
        ("ms", 500, None),
        ("Zeit [s]", 360, "{:.3f}"),
        ("seconds", 257, "{:.6f}"),
        ("s", 128.5, "{}"),
        ("time,hh:mm:ss.mmm", 250, "clock"),
        ("timestamp", 1000, "date"),
    ],
)
def test_stated_rate_is_the_one_that_times_tell(tmp_path, header, rate, form):
    def write_time(i):
        if form is None:
            return f"{1000 * i / rate:g}"
        if form == "clock":
            return f"'{int(i / rate) // 60}:{i / rate % 60:06.3f}'"
        return f"2024-02-29T23:59:{i / rate:06.3f}" if form == "date" else form.format(i / rate)

    name, *unit = header.split(",")
    rows = [f"{name},II", *(f"{one},mV" for one in unit), *(f"{write_time(i)},{i % 7}" for i in range(2000))]
    recording = read_csv(write(tmp_path / "a.csv", "\n".join(rows)), None, None, "mV")
    assert (recording.sampling_rate, recording.signal.shape) == (rate, (1, 2000))
    assert recording.notes == (f"sampling rate {rate:g} Hz by its times",)


@pytest.mark.parametrize(
    ("header", "times", "message"),
    [
        (
            "time",
            [i / 500 for i in range(100)],
            "column time has no unit; give the rate in Hz, or the unit in the header",
        ),
        ("s", [0, 0.002], "too few or too coarse to tell it"),
        ("s", [int(i / 500) for i in range(5000)], "too few or too coarse to tell it"),
        ("s", [5], "too few or too coarse to tell it"),
        ("II", [1, 2, 4], "no sampling rate is given, and no column of times states it"),
        ("s", [*(i / 500 for i in range(500)), *(i / 500 for i in range(501, 1000))], "too few or too coarse"),
    ],
)
def test_stated_rate_is_refused_where_times_do_not_tell_it(tmp_path, header, times, message):
    with pytest.raises(UnreadableError, match=message):
        read_csv(_with_times(tmp_path / "a.csv", header, times), None, None, "mV")


@pytest.mark.parametrize("header", ["time", "Zeit", "tiempo", "temps", "Tempo", "elapsed time", "Zeit_ms"])
def test_check_times_knows_the_words_for_time(tmp_path, header):
    scale = 2 if "ms" in header else 0.002
    rows = [f"{header},II,V1", *(f"{i * scale:.3f},{i % 7},{i % 5}" for i in range(200))]
    path = write(tmp_path / "a.csv", "\n".join(rows))
    assert read_csv(path, None, 500.0, "mV").leads == ("II", "V1")
    with pytest.raises(UnreadableError, match=r"500 Hz.*, not of 250 Hz"):
        read_csv(path, None, 250.0, "mV")


def test_check_times_reads_units_of_time_below_any_name(tmp_path):
    rows = ["Verlauf;I", "s;µV", *(f"{i / 500:.3f};{i % 7}" for i in range(200))]
    recording = read_csv(write(tmp_path / "a.csv", "\n".join(rows)), None, None, "mV")
    assert (recording.leads, recording.sampling_rate) == (("I",), 500)
    assert recording.signal.max() == np.float32(0.006)


@pytest.mark.parametrize("time", ["0", "2020-01-01T00:00:00", "0:01.000"])
def test_stated_rate_of_times_that_stand_still_is_refused(tmp_path, time):
    path = _with_times(tmp_path / "a.csv", "time (s)" if time == "0" else "time", [time] * 200)
    with pytest.raises(UnreadableError, match="too few or too coarse to tell it"):
        read_csv(path, None, None, "mV")


@pytest.mark.parametrize("header", ["Zeit in ms", "t/ms", "Time_ms", "time {ms}"])
def test_check_times_knows_units_without_brackets(tmp_path, header):
    path = _with_times(tmp_path / "a.csv", header, range(0, 1000, 2))
    assert read_csv(path, None, None, "mV").sampling_rate == 500


@pytest.mark.parametrize("rate", [2000, 4000, 3000, 1500])
@pytest.mark.parametrize("phase", [0.0, 0.3])
def test_check_times_finds_a_row_that_is_lost_or_repeated_among_shared_milliseconds(tmp_path, rate, phase):
    times = [int(1000 * i / rate + phase) for i in range(2 * rate)]
    assert read_csv(_with_times(tmp_path / "a.csv", "ms", times), None, rate, "mV").signal.shape == (1, 2 * rate)
    for place in (rate // 7, rate, 2 * rate - 100):
        for changed in (times[:place] + times[place + 1 :], times[:place] + times[place - 1 :]):
            with pytest.raises(UnreadableError, match=f"is not regular: .*or the rate is not exactly {rate} Hz"):
                read_csv(_with_times(tmp_path / "a.csv", "ms", changed), None, rate, "mV")


def test_check_times_finds_rows_that_are_lost_in_the_first_second(tmp_path):
    for n_lost in (2, 10, 19, 300):
        times = [i // 500 for i in range(5000)][n_lost:]
        n_left = 500 - n_lost
        with pytest.raises(
            UnreadableError, match=rf"the first time, 0, is that of {n_left} rows \(lines 2 to {n_left + 1}"
        ):
            read_csv(_with_times(tmp_path / "a.csv", "s", times), None, 500.0, "mV")


def test_check_times_notes_a_last_second_that_is_not_whole(tmp_path):
    times = [i // 500 for i in range(4990)]
    (note,) = read_csv(_with_times(tmp_path / "a.csv", "s", times), None, 500.0, "mV").notes
    assert note.startswith("the last time, 9, is that of 490 rows (lines 4502 to 4991), not of 500")


def test_stated_rate_is_refused_where_a_missing_row_would_make_it_whole(tmp_path):
    times = [f"{int(100 * i / 125) / 100:.2f}" for i in range(1000)]
    assert read_csv(_with_times(tmp_path / "a.csv", "s", times), None, None, "mV").sampling_rate == 125
    with pytest.raises(UnreadableError, match=r"is not regular|with 1 missing"):
        read_csv(_with_times(tmp_path / "a.csv", "s", times[:500] + times[501:]), None, None, "mV")


@pytest.mark.parametrize("decimals", [8, 9, 10, 12])
def test_stated_rate_knows_times_that_were_32_bit_floats(tmp_path, decimals):
    times = [f"{float(np.float32(i / 500)):.{decimals}f}" for i in range(5000)]
    path = _with_times(tmp_path / "a.csv", "time (s)", times)
    assert read_csv(path, None, None, "mV").sampling_rate == 500
    with pytest.raises(UnreadableError, match="is not regular"):
        read_csv(_with_times(tmp_path / "a.csv", "time (s)", times[:700] + times[701:]), None, 500.0, "mV")


@pytest.mark.parametrize(
    ("header", "seconds"), [("Time (min)", 60), ("Zeit [h]", 3600), ("time_min", 60), ("Time in hours", 3600)]
)
def test_stated_rate_knows_minutes_and_hours(tmp_path, header, seconds):
    path = _with_times(tmp_path / "a.csv", header, [f"{i / 500 / seconds:.13f}" for i in range(1000)])
    assert read_csv(path, None, None, "mV").sampling_rate == 500


def test_check_times_reads_short_clock_times_by_the_rate_and_says_so(tmp_path):
    for shared, words in ((500, "minutes and seconds"), (30000, "hours and minutes")):
        path = _with_times(tmp_path / "a.csv", "time", [f"10:{i // shared:02}" for i in range(3 * shared)])
        recording = read_csv(path, None, 500.0, "mV")
        assert recording.notes == (f"times such as 10:00 read as {words}",)
        assert recording.signal.shape == (1, 3 * shared)
        with pytest.raises(UnreadableError, match="10:00, which may be minutes and seconds or hours and minutes; give"):
            read_csv(path, None, None, "mV")
        with pytest.raises(UnreadableError, match="not of 250 Hz"):
            read_csv(path, None, 250.0, "mV")


def test_find_shift_accepts_floats_that_are_rounded_down_too_far():
    times = np.floor(np.arange(1000) / 4)
    assert find_shift(times, 0.25, 1.0) is None
    times[400] -= 1
    assert find_shift(times, 0.25, 1.0) is None
    times[400:404] -= 1
    assert find_shift(times, 0.25, 1.0) is not None


def test_coarse_step_counts_the_rows_between_changes():
    assert coarse_step(np.floor(np.arange(1000) / 4), 1.0) == (0.25, 0.01, True)
    assert coarse_step(np.floor(np.arange(100) / 60), 1.0)[2] is False


@pytest.mark.parametrize("rate", [130.2, 256.4])
def test_stated_rate_knows_nanoseconds_since_1970(tmp_path, rate):
    rows = [f"{1600000000123456789 + int(i * 1e9 / rate)},{i % 7}" for i in range(2000)]
    path = write(tmp_path / "a.csv", "\n".join(["timestamp [ns],ecg [uV]", *rows]))
    assert read_csv(path, None, None, "mV").sampling_rate == rate


@pytest.mark.parametrize(
    "header", ["Sensor timestamp", "Relative Time", "unix_time", "timestamps", "millis", "clock", "Phone timestamp"]
)
def test_check_times_knows_times_of_devices(tmp_path, header):
    rows = [f"{1000 + 2 * i},{i % 7}" for i in range(200)]
    path = write(tmp_path / "a.csv", "\n".join([f"{header},I", *rows]))
    assert read_csv(path, None, 500.0, "mV").leads == ("I",)
    with pytest.raises(UnreadableError, match=f"column {header} is"):
        read_csv(path, None, 250.0, "mV")
