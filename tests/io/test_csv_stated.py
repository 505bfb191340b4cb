"""What lines above the samples of a CSV file state: sampling rate, unit and the lead of a file of one."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lfbt.errors import UnreadableError
from lfbt.io.csv_stated import find_gain, find_likely_rates, find_one_lead, find_plain_gain, find_stated


@pytest.mark.parametrize(
    "line",
    [
        *(
            "Sampling rate: 250 Hz",
            "samplerate=250",
            "# fs: 250",
            "sampling_frequency;0,25 kHz",
            "ecg_sampling_rate 250",
        ),
        *(
            "Sample Rate,250.0 hertz",
            "SamplingRate_Hz,250",
            "Sample Rate,250,Hz",
            "Samples per second: 250",
            "250 Hz fs 250",
        ),
        *("Sampling rate 250 Hz, 12 leads", "Sampling rate [kHz]: 0.25;;;", 'Messrate,"250,0 Hertz"', "Taktrate 250/s"),
        *("Frequência de amostragem;250 Hz", "Fréquence d'échantillonnage: 250 Hz", "Frecuencia de muestreo: 250"),
        *(
            "Frequenza di campionamento 250 Hz",
            "Częstotliwość próbkowania: 250 Hz",
            "采样率: 250",
            "Frequency (Hz): 250",
        ),
        *(
            "Sampling interval: 4 ms",
            "Sampling interval (ms): 4",
            "dt = 0.004",
            "Abtastintervall;4",
            "Sample period: 0,004 s",
        ),
    ],
)
def test_find_stated_gives_the_sampling_rate_in_words_of_many_devices(tmp_path, line):
    assert find_stated(tmp_path, ["Name;7", line]) == (250.0, "")


@pytest.mark.parametrize(
    "line",
    [
        *("Filter: 0.05-150 Hz", "Notch: 50 Hz", "Frequency: 50 Hz", "Ventricular rate: 72 bpm", "Low pass 100 Hz"),
        *("Samples: 250", "Offset: 250", "Sampling rate: 100-250 Hz", "Sampling interval: 0.1", "Rhythm rate 250"),
        *("Recorded in V", "Lead,V", "V", "mV/mm 10", "Sample time 10:00:04", "Device IV"),
    ],
)
def test_find_stated_leaves_other_lines_alone(tmp_path, line):
    assert find_stated(tmp_path, [line]) == (None, "")


@pytest.mark.parametrize(
    ("line", "unit"),
    [
        *(
            (line, "uV")
            for line in ("# unit: uV", "# uV", "Unit,uV,uV,uV", "Unidade: uV", "Unité;uV", "Amplitude (uV)")
        ),
        *((line, "uV") for line in ("Unit: Microvolt", "Einheit: Mikrovolt", "Values in uV", "data in micro-volts")),
        *(("Unit,µV", "µV"), ("Units: millivolts", "mV"), ("unit=V", "V"), ("Unit: volts", "V")),
    ],
)
def test_find_stated_gives_the_unit(tmp_path, line, unit):
    assert find_stated(tmp_path, [line]) == (None, unit)


@pytest.mark.parametrize(
    ("lines", "what"),
    [
        (("fs=250", "Sampling interval: 2 ms"), "sampling rates, 250.0 and 500.0"),
        (("Unit: uV", "Einheit: Millivolt"), "units, mv and uv"),
    ],
)
def test_find_stated_refuses_lines_that_differ(tmp_path, lines, what):
    with pytest.raises(UnreadableError, match=re.escape(f"state two {what}")):
        find_stated(tmp_path, lines)


@given(st.integers(5, 50_000), st.sampled_from(["Sample Rate,{} hertz", "Abtastrate: {} Hz", "Taxa de amostragem;{}"]))
def test_find_stated_inverts_writing(rate, form):
    assert find_stated(Path("a.csv"), [form.format(rate)]) == (rate, "")


@pytest.mark.parametrize(
    "lines",
    [
        ["1", "2"],
        ["Lead,Lead I"],
        ["Lead,Lead I", "x", "1.5"],
        ["Lead,Lead I", "1,5", "2,5", "3,5"],
        ["Lead,Lead I", "1,5", "-2,-5"],
        ["Lead,I", "Lead,II", "1.5", "2"],
        ["Lead,ECG", "1.5", "2"],
    ],
)
def test_find_one_lead_is_none_for_other_files(lines):
    assert find_one_lead(lines) is None


def test_find_one_lead_counts_the_lines_above():
    assert find_one_lead(["Name,Ada", "Ableitung,Ableitung I", "Einheit,µV", "1,5", "-2,5", "0"]) == ("I", 3)


@pytest.mark.parametrize(
    ("line", "gain"),
    [
        *(
            (line, "0.2/uV")
            for line in ("# Resolution: 5 uV/bit", "LSB: 5 uV", "1 LSB = 5 uV", "Amplitude resolution;5 uV")
        ),
        *(
            (line, "0.2/uV")
            for line in ("Scale: 5 uV", "Amplitude scale (uV/LSB): 5", "uV per unit: 5", "LSB = 5e0 uV")
        ),
        *(
            (line, "200/mV")
            for line in ("Scale: 0.005 mV", "Counts per mV: 200", "adu/mV = 200", "mV per count: 0,005")
        ),
        *((line, "200/mV") for line in ("Gain: 200 /mV", "gain=200/mV", "200 counts/mV", "Scale,200 ADU/mV")),
        *(
            (line, "")
            for line in ("Gain: 10 mm/mV", "Resolution: 16 bit", "Gain: 24", "25 mm/s, 10 mm/mV", "LSB: 0 uV")
        ),
    ],
)
def test_find_gain_gives_a_unit_of_counts(line, gain):
    assert find_gain(["Name;7", line]) == gain


@pytest.mark.parametrize(
    ("line", "gain"),
    [
        *(
            (line, 200.0)
            for line in ("ADC gain: 200", "Gain,200", "gain=x200", "scale factor 2e2", "Multiplier: 200.0")
        ),
        *((line, 0.005) for line in ("Scaling factor: 0.005", "Resolution: 0,005", "# scale: 5e-3")),
        *(
            (line, None)
            for line in ("Gain: 1", "Gain: 10 mm/mV", "Resolution: 16", "Gain: 200/mV", "Gain: 0", "Regain 5")
        ),
    ],
)
def test_find_plain_gain_gives_a_gain_without_a_unit(line, gain):
    assert find_plain_gain(["Name;7", line]) == gain


@pytest.mark.parametrize(
    "line",
    [
        *("# 250 Hz", "Rate: 250", "Rate,250", "# ECG, 2 leads, 250 Hz", "Sampling: 250", "SR=250", "Hz: 250"),
        *("freq_hz;250", "Data rate: 250 Hz", "ADC 250 SPS", "Acquisition: 250", "# 250Hz 12bit", "250 samples/s"),
        *("Resolution: 16 bit, 250 Hz", "Recorded at 0.25 kHz", "Tastfrequenz: 250 Hz", "Interval: 4 ms", "Ts = 0.004"),
        *(
            "250 Hz, filter 0.05-150 Hz",
            "0.05-150 Hz 250 Hz",
            "Filter 150 Hz; ECG 250 Hz",
        ),
    ],
)
def test_find_likely_rates_finds_a_rate_in_any_words(line):
    assert find_likely_rates(["Name;7", line]) == [250.0]


@pytest.mark.parametrize(
    "line",
    [
        *(
            "Filter: 150 Hz",
            "Filter: 0.05 Hz, 150 Hz",
            "Upper limit: 150 Hz",
            "fc=150 Hz",
            "Bandwidth: 0.05-150 Hz",
            "0.05..150Hz",
            "Notch 50 Hz",
            "50 Hz",
        ),
        *(
            "LP 150 Hz HP 0.05 Hz",
            "25 mm/s 10 mm/mV 150 Hz",
            "Heart rate: 250",
            "HR 250",
            "Rhythm rate 250",
            "Rate: 110",
        ),
        *(
            "RR interval: 800 ms",
            "Interval: 160 ms",
            "Samples: 2500",
            "Duration 10 s",
            "Patient 250",
            "A250 Hzz",
            "Hz: 1e9",
        ),
    ],
)
def test_find_likely_rates_leaves_other_lines_alone(line):
    assert find_likely_rates([line]) == []
