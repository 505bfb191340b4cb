"""The reader of clinical formats, on tiny files: text by hand, DICOM by pydicom."""

import base64
import binascii
import struct
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
from tests.clinical_files import EXPECTED, LEADS, RNG, STEPS, aecg, dicom, edf
from tests.published_files import taken_up

from lfbt.errors import LfbtError, UnreadableError
from lfbt.io import isolation
from lfbt.io.clinical import CLINICAL_FORMATS, read_clinical
from lfbt.recording import STANDARD_LEADS
from lfbt.sources import Folder


def muse(path: Path, leads=LEADS, waveforms=1, units="MICROVOLTS", offsets=("0", "0", "0")):
    """A GE MUSE file: Base64 of 16-bit steps of 4.88 µV."""
    rows = "".join(
        f"<LeadData><LeadID>{lead}</LeadID><LeadTimeOffset>{offset}</LeadTimeOffset>"
        f"<LeadAmplitudeUnitsPerBit>4.88</LeadAmplitudeUnitsPerBit><LeadAmplitudeUnits>{units}</LeadAmplitudeUnits>"
        f"<WaveFormData>{base64.b64encode(row.astype('<i2').tobytes()).decode()}</WaveFormData></LeadData>"
        for lead, row, offset in zip(leads, STEPS, offsets, strict=True)
    )
    one = f"<Waveform><WaveformType>Rhythm</WaveformType><SampleBase>250</SampleBase>{rows}</Waveform>"
    path.write_text(f"<RestingECG>{one * waveforms}</RestingECG>")
    return path


def ishne(path: Path, steps=STEPS, rate=200, codes=(5, 6, 8)):
    """An ISHNE Holter file: a header of 522 bytes, then 16-bit steps of 1.5 µV, a sample of each lead in turn."""
    header = bytearray(522)
    header[:8] = b"ISHNE1.0"
    struct.pack_into("<4i", header, 10, 0, steps.shape[1], 522, 522)
    struct.pack_into("<h", header, 156, len(codes))
    struct.pack_into(f"<{len(codes)}h", header, 158, *codes)
    struct.pack_into(f"<{len(codes)}h", header, 206, *[1500] * len(codes))
    struct.pack_into("<h", header, 272, rate)
    path.write_bytes(bytes(header) + steps.T.astype("<i2").tobytes())
    return path


def sierra(path: Path, steps):
    """A Philips Sierra file: 16-bit steps of 5 µV, leads one after another."""
    data = base64.b64encode(steps.astype("<i2").tobytes()).decode()
    names = " ".join(STANDARD_LEADS[: len(steps)])
    n = steps.shape[1]
    path.write_text(
        f"""<?xml version="1.0"?><restingecgdata xmlns="http://www3.medical.philips.com"><documentinfo>
<documentname>a</documentname><documenttype>PhilipsECG</documenttype><documentversion>1.04</documentversion>
</documentinfo><dataacquisition><signalcharacteristics><samplingrate>500</samplingrate><resolution>5</resolution>
<numberchannelsallocated>{len(steps)}</numberchannelsallocated><signalsigned>True</signalsigned>
</signalcharacteristics></dataacquisition><waveforms><parsedwaveforms dataencoding="Base64"
durationperchannel="{n * 2}" samplespersecond="500" numberofleads="{len(steps)}" leadlabels="{names}">{data}
</parsedwaveforms></waveforms></restingecgdata>"""
    )
    return path


def mfer(path: Path, codes=(1, 2, 62)):
    """An MFER file: 4 ms, 16-bit steps of 2 µV, channels one after another, leads by number."""
    tags = [(0x01, b"\x01"), (0x0B, b"\x01\xfd\x04"), (0x0C, b"\x00\xfa\x02"), (0x0A, b"\x00")]
    tags += [(0x04, struct.pack("<I", STEPS.shape[1])), (0x05, b"\x03"), (0x06, b"\x01")]
    data = b"".join(bytes([tag, len(value)]) + value for tag, value in tags)
    data += b"".join(bytes([0x3F, channel, 4, 0x09, 2, code, 0]) for channel, code in enumerate(codes))
    data += b"\x1e\x82" + struct.pack(">H", STEPS.size * 2) + STEPS.astype("<i2").tobytes() + b"\x80\x00"
    path.write_bytes(data)
    return path


def test_read_clinical_reads_aecg_in_mv_with_standard_lead_names(tmp_path):
    recording = read_clinical(aecg(tmp_path / "a.xml", origin="100"))
    assert (recording.leads, recording.sampling_rate) == (EXPECTED, 500)
    assert recording.signal.dtype == np.float32
    np.testing.assert_allclose(recording.signal, (STEPS * 2.5 + 100) / 1000, rtol=1e-6)


def test_read_clinical_reads_muse(tmp_path):
    recording = read_clinical(muse(tmp_path / "a.xml"))
    assert (recording.leads, recording.sampling_rate) == (EXPECTED, 250)
    np.testing.assert_allclose(recording.signal, STEPS * 4.88e-3, rtol=1e-6)


def test_read_clinical_reads_edf(tmp_path):
    expected = edf(tmp_path / "a.edf")
    recording = read_clinical(tmp_path / "a.edf")
    assert (recording.leads, recording.sampling_rate) == (("I", "II"), 500)
    np.testing.assert_allclose(recording.signal, [expected[0], expected[1] / 1000], atol=1e-6)


def test_read_clinical_reads_ishne(tmp_path):
    recording = read_clinical(ishne(tmp_path / "a.ecg"))
    assert (recording.leads, recording.sampling_rate) == (EXPECTED, 200)
    np.testing.assert_allclose(recording.signal, STEPS * 1.5e-3, rtol=1e-6)


def test_read_clinical_gives_nan_for_a_disconnected_lead_of_ishne(tmp_path):
    steps = STEPS.copy()
    steps[2, :5] = -32768
    steps[0, :5] = -32767
    signal = read_clinical(ishne(tmp_path / "a.ecg", steps)).signal
    assert np.isnan(signal[2, :5]).all()
    assert np.isfinite(signal).sum() == steps.size - 5


def test_read_clinical_reads_mfer(tmp_path):
    recording = read_clinical(mfer(tmp_path / "a.mwf"))
    assert (recording.leads, recording.sampling_rate) == (EXPECTED, 250)
    np.testing.assert_allclose(recording.signal, STEPS * 2e-3, rtol=1e-6)


@pytest.mark.parametrize(("unit", "scale"), [("uV", 1e-3), ("mV", 1.0), ("nV", 1e-6)])
def test_read_clinical_reads_dicom(tmp_path, unit, scale):
    groups = [("RHYTHM", STEPS), ("MEDIAN BEAT", STEPS[:, :20])]
    recording = read_clinical(dicom(tmp_path / "a.dcm", groups, baseline="10", unit=unit))
    assert (recording.leads, recording.sampling_rate) == (EXPECTED, 500)
    np.testing.assert_allclose(recording.signal, (STEPS * 2.5 + 10) * scale, rtol=1e-6)


def test_read_clinical_gives_nan_for_padding_of_dicom(tmp_path):
    steps = STEPS.copy()
    steps[1, 40:] = -32768
    signal = read_clinical(dicom(tmp_path / "a.dcm", [("RHYTHM", steps)], padding=-32768)).signal
    assert np.isnan(signal[1, 40:]).all()
    assert np.isfinite(signal).sum() == steps.size - 10


def test_read_clinical_takes_dicom_padding_of_zero_as_samples(tmp_path):
    read = [read_clinical(dicom(tmp_path / "a.dcm", padding=padding, baseline="10")) for padding in (0, None)]
    np.testing.assert_array_equal(read[0].signal, read[1].signal)


@pytest.mark.parametrize(
    ("write", "options", "rate"),
    [
        (aecg, {"increment": 'value="3.9" unit="ms"'}, 1000 / 3.9),
        (aecg, {"increment": 'value="0.001" unit="s"'}, 1000.0),
        (dicom, {"rate": "102.4"}, 102.4),
        (edf, {"seconds": "0.06"}, 25 / 0.06),
    ],
)
def test_read_clinical_keeps_fractional_rates(tmp_path, write, options, rate):
    write(tmp_path / "a.xml", **options)
    assert read_clinical(tmp_path / "a.xml").sampling_rate == pytest.approx(rate, abs=1e-6)


@pytest.mark.parametrize(
    ("write", "options", "message"),
    [
        (aecg, {"series": 2}, "not one complete ECG .*2 rhythm series found"),
        (aecg, {"sets": 2}, "not one complete ECG .*2 sequence sets"),
        (dicom, {"groups": [("RHYTHM", STEPS)] * 2}, "not one complete ECG .*1 additional multiplex group"),
        (muse, {"waveforms": 2}, "not one complete ECG .*Additional rhythm waveform"),
        (dicom, {"groups": [("MEDIAN BEAT", STEPS)]}, "no rhythm leads, only 3 median beats"),
        (aecg, {"steps": [*STEPS[:2], STEPS[2, :7]]}, r"not recorded together \(samples: I 50, II 50, aVR 7\)"),
        (edf, {"per_record": (25, 5)}, r"not recorded together \(samples: I 50, II 10\); resample_leads=T"),
        (muse, {"offsets": ("0", "0", "5")}, r"not recorded together \(as the time offset: I 0, II 0, aVR 5\)"),
        (aecg, {"leads": ("I", "II", "ii")}, "two of its leads are named II"),
        (aecg, {"unit": "kg"}, r"lead I is not a voltage \(unit: kg\)"),
        (dicom, {"unit": "mm[Hg]"}, r"lead I is not a voltage \(unit: mm\[Hg\]\)"),
        (edf, {"units": ("mV", "mmHg")}, r"lead II is not a voltage \(unit: mmHg\)"),
        (edf, {"units": ("", "")}, r"lead I is not a voltage \(unit: none\)"),
        (muse, {"units": "STEPS"}, r"lead I is not a voltage \(unit: STEPS\)"),
        (aecg, {"increment": 'value="2" unit="kg"'}, "cannot be read .*increment unit 'kg'"),
    ],
)
def test_read_clinical_refuses_files_that_are_not_one_ecg_in_a_voltage(tmp_path, write, options, message):
    path = tmp_path / "a.xml"
    write(path, **options)
    with pytest.raises(UnreadableError, match=rf"^file {path}: .*{message}") as caught:
        read_clinical(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("write", [aecg, dicom, edf, muse, mfer])
@pytest.mark.parametrize("part", [0, 0.02, 0.3, 0.6, 0.95])
def test_read_clinical_refuses_truncated_files(tmp_path, write, part):
    path = tmp_path / "a.xml"
    write(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    with pytest.raises(UnreadableError, match=rf"^file {path}: "):
        read_clinical(path)


@pytest.mark.parametrize("suffix", CLINICAL_FORMATS)
@pytest.mark.parametrize(
    "data", [b"<svg></svg>", RNG.bytes(5000), b"{}", bytes(500)], ids=["svg", "random", "json", "zeros"]
)
def test_read_clinical_refuses_other_files(tmp_path, suffix, data):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(data)
    with pytest.raises(
        UnreadableError, match=rf"^file {path}: by its content it is not {CLINICAL_FORMATS[suffix]} that"
    ):
        read_clinical(path)


@pytest.mark.parametrize("write", [aecg, dicom, edf, muse, ishne, mfer])
def test_read_clinical_reads_or_refuses_damaged_files(tmp_path, write):
    path = tmp_path / "a.xml"
    write(path)
    data = np.frombuffer(path.read_bytes(), np.uint8)
    faults = []
    for _ in range(40):
        damaged = data.copy()
        damaged[RNG.integers(0, len(data), 5)] = RNG.integers(0, 256, 5)
        path.write_bytes(damaged.tobytes())
        try:
            read_clinical(path)
        except UnreadableError as error:
            faults.append(str(error))
    assert all(fault.startswith(f"file {path}: ") and "\n" not in fault for fault in faults)


def test_read_clinical_refuses_an_absent_file(tmp_path):
    with pytest.raises(UnreadableError, match=r"absent\.edf: cannot be read"):
        read_clinical(tmp_path / "absent.edf")


@pytest.mark.parametrize(("package", "write"), [("ecgdatakit", aecg), ("pydicom", dicom)])
def test_read_clinical_names_the_extra_to_install(tmp_path, monkeypatch, package, write):
    write(tmp_path / "a.dcm")
    monkeypatch.setattr(isolation, "_is_reader", True)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(LfbtError, match=r"a\.dcm: .*pip install 'lfbt\[formats\]'") as caught:
        Folder().listing(tmp_path).entries[0].read()
    assert not isinstance(caught.value, UnreadableError)


@pytest.mark.parametrize("write", [aecg, dicom, muse])
def test_read_clinical_reads_a_negated_lead_by_its_sign(tmp_path, write):
    """The lead AVRneg of an aECG and -aVR of Cabrera's order: aVR is its negative, not it."""
    leads = ("I", "II", "AVRneg" if write is aecg else "-aVR")
    path = tmp_path / "a.xml"
    if write is dicom:
        dicom(path)
        dataset = pydicom.dcmread(path)
        source = dataset.WaveformSequence[0].ChannelDefinitionSequence[2].ChannelSourceSequence[0]
        source.CodeValue, source.CodingSchemeDesignator = "2:65", "MDC"
        dataset.save_as(path)
    else:
        write(path, leads=leads)
    recording = read_clinical(path)
    positive = read_clinical(write(tmp_path / "b.xml"))
    assert recording.leads == positive.leads == EXPECTED
    np.testing.assert_array_equal(recording.signal, positive.signal * np.array([[1], [1], [-1]], np.float32))
    assert recording.notes == ("negated lead -aVR read as aVR with its sign changed",)


def test_read_clinical_reads_the_negated_lead_of_mfer_and_scp_by_its_sign(tmp_path):
    """Lead code 65 of both standards."""
    recording = read_clinical(mfer(tmp_path / "a.mwf", codes=(1, 2, 65)))
    assert recording.leads == EXPECTED
    np.testing.assert_allclose(recording.signal, STEPS * np.array([[1], [1], [-1]]) * 2e-3, rtol=1e-6)


@pytest.mark.real
def test_read_clinical_reads_the_negated_lead_of_a_real_scp_file_by_its_sign(tmp_path, shared_data):
    data = bytearray((shared_data / "formats" / "scp_example.scp").read_bytes())
    # Nine bytes a lead in section 3, the code last; III, aVR, aVL and aVF follow each other.
    (start,) = (i for i in range(len(data) - 27) if data[i : i + 28 : 9] == bytes([61, 62, 63, 64]))
    data[start + 9] = 65
    (tmp_path / "a.scp").write_bytes(data)
    positive = read_clinical(shared_data / "formats" / "scp_example.scp")
    recording = read_clinical(tmp_path / "a.scp")
    assert recording.leads == positive.leads
    row = recording.leads.index("aVR")
    np.testing.assert_array_equal(recording.signal[row], -positive.signal[row])
    assert "negated lead -aVR read as aVR with its sign changed" in recording.notes


def test_read_clinical_notes_an_edf_file_that_does_not_state_its_length(tmp_path):
    edf(tmp_path / "a.edf")
    data = (tmp_path / "a.edf").read_bytes()
    (tmp_path / "a.edf").write_bytes(data[:236] + b"-1      " + data[244:])
    recording = read_clinical(tmp_path / "a.edf")
    assert recording.signal.shape == (2, 50)
    assert recording.notes[0].startswith("warning: EDF number of data records is -1")


def test_read_clinical_leaves_out_signals_that_are_no_ecg(tmp_path):
    labels, units = ("ECG II", "EMG chin", "SpO2", "-", "V1"), ("mV", "uV", "%", "uV", "uV")
    expected = edf(tmp_path / "a.edf", labels, units, per_record=(25, 50, 1, 25, 25))
    recording = read_clinical(tmp_path / "a.edf")
    assert (recording.leads, recording.sampling_rate) == (("II", "V1"), 500)
    np.testing.assert_allclose(recording.signal, [expected[0], expected[4] / 1000], atol=1e-6)
    assert recording.notes == (
        "left out signal EMG chin (uV)",
        "left out signal SpO2 (%)",
        "left out signal - (uV)",
    )


@pytest.mark.parametrize(("seconds", "rate"), [("0.05", 500), ("0.06", 25 / 0.06)])
def test_read_clinical_takes_leads_to_the_highest_rate_when_told_to(tmp_path, seconds, rate):
    labels, units = ("ECG II", "V1", "EMG chin", "V2"), ("mV", "uV", "uV", "mV")
    expected = edf(tmp_path / "a.edf", labels, units, per_record=(10, 25, 50, 25), seconds=seconds)
    with pytest.raises(UnreadableError, match=r"samples: II 20, V1 50, V2 50\); .* --resample-leads of lfbt prepare"):
        read_clinical(tmp_path / "a.edf")
    recording = read_clinical(tmp_path / "a.edf", resample_leads=True)
    assert recording.leads == ("II", "V1", "V2")
    assert recording.sampling_rate == pytest.approx(rate, abs=1e-6)
    np.testing.assert_allclose(recording.signal[0], taken_up(expected[0], 50), atol=1e-5)
    np.testing.assert_allclose(recording.signal[1:], [expected[1] / 1000, expected[3]], atol=1e-6)
    note = f"leads resampled to {rate:g} Hz: II from {rate * 0.4:g} Hz"
    assert recording.notes == ("left out signal EMG chin (uV)", note)


def test_read_clinical_changes_nothing_of_leads_of_one_rate_when_told_to_resample(tmp_path):
    edf(tmp_path / "a.edf")
    assert read_clinical(tmp_path / "a.edf", resample_leads=True) == read_clinical(tmp_path / "a.edf")
    aecg(tmp_path / "a.xml", steps=[*STEPS[:2], STEPS[2, :7]])
    with pytest.raises(UnreadableError, match=r"not recorded together \(samples: I 50, II 50, aVR 7\)$"):
        read_clinical(tmp_path / "a.xml", resample_leads=True)


def test_read_clinical_refuses_files_without_ecg_by_naming_the_signals(tmp_path):
    edf(tmp_path / "a.edf", ("EMG", "SpO2"), ("uV", "%"))
    with pytest.raises(UnreadableError, match=r"none of its signals is an ECG \(left out signal EMG \(uV\), .*SpO2"):
        read_clinical(tmp_path / "a.edf")


def edf_with_ranges(path, place, low, high, labels=("ECG II", "V1", "Resp"), units=("mV", "mV", "mV")):
    """An EDF file whose last signal has the range from `low` to `high`: physical (place 0) or digital (1)."""
    expected = edf(path, labels, units, per_record=[25] * len(labels))
    n = len(labels)
    text = bytearray(path.read_bytes())
    for field, value in ((0, low), (1, high)):
        start = 256 + n * (16 + 80 + 8) + n * 8 * (2 * place + field) + 8 * (n - 1)
        text[start : start + 8] = f"{value:<8}".encode()
    path.write_bytes(text)
    return expected


RANGES = [(0, "5", "5"), (1, "7", "7"), (1, "7", "-7")]


@pytest.mark.parametrize(("place", "low", "high"), RANGES)
def test_read_clinical_refuses_an_edf_lead_without_a_range(tmp_path, place, low, high):
    for label, unit in (("V2", "mV"), ("ECG", "uV"), ("chan 3", "mV")):
        edf_with_ranges(tmp_path / "a.edf", place, low, high, ("II", "V1", label), ("mV", "mV", unit))
        what = ("physical", "digital")[place]
        with pytest.raises(
            UnreadableError, match=rf"lead {label} is not calibrated \({what} minimum {low}, maximum {high}\)"
        ):
            read_clinical(tmp_path / "a.edf")


@pytest.mark.parametrize(("place", "low", "high"), RANGES)
@pytest.mark.parametrize(("label", "unit"), [("Resp", "mV"), ("chan 3", "%")])
def test_read_clinical_leaves_out_what_is_no_ecg_and_has_no_range(tmp_path, place, low, high, label, unit):
    expected = edf_with_ranges(tmp_path / "a.edf", place, low, high, ("II", "V1", label), ("mV", "mV", unit))
    recording = read_clinical(tmp_path / "a.edf")
    np.testing.assert_allclose(recording.signal, expected[:2], atol=1e-6)
    what = ("physical", "digital")[place]
    assert recording.notes == (f"left out signal {label} ({what} minimum {low}, maximum {high})",)


@pytest.mark.parametrize("n_samples", [49, 51, 25, 1])
def test_read_clinical_refuses_an_ishne_file_of_another_length_than_it_states(tmp_path, n_samples):
    """Cut at a frame, where nothing else shows it."""
    data = ishne(tmp_path / "a.ecg", np.resize(STEPS, (3, 51))).read_bytes()
    data = bytearray(data[: 522 + n_samples * 6])
    struct.pack_into("<i", data, 14, 50)
    (tmp_path / "a.ecg").write_bytes(data)
    with pytest.raises(UnreadableError, match=rf"a\.ecg: it holds {n_samples} samples a lead, not 50 as its header"):
        read_clinical(tmp_path / "a.ecg")


@pytest.mark.parametrize("stated", [0, 50, 150])
def test_read_clinical_takes_the_length_of_an_ishne_file_of_all_leads_or_none(tmp_path, stated):
    data = bytearray(ishne(tmp_path / "a.ecg").read_bytes())
    struct.pack_into("<i", data, 14, stated)
    (tmp_path / "a.ecg").write_bytes(data)
    assert read_clinical(tmp_path / "a.ecg").signal.shape == (3, 50)


def test_read_clinical_refuses_a_dicom_waveform_longer_than_it_states(tmp_path):
    dicom(tmp_path / "a.dcm")
    dataset = pydicom.dcmread(tmp_path / "a.dcm")
    dataset.WaveformSequence[0].NumberOfWaveformSamples = 40
    dataset.save_as(tmp_path / "a.dcm")
    with pytest.raises(UnreadableError, match="its waveform has 300 bytes, not 240 as it states"):
        read_clinical(tmp_path / "a.dcm")


def test_read_clinical_notes_a_wrong_checksum(tmp_path):
    data = bytearray(ishne(tmp_path / "a.ecg").read_bytes())
    struct.pack_into("<H", data, 8, binascii.crc_hqx(data[10:522], 0xFFFF))
    (tmp_path / "a.ecg").write_bytes(data)
    assert read_clinical(tmp_path / "a.ecg").notes == ()
    data[9] ^= 1
    (tmp_path / "a.ecg").write_bytes(data)
    assert read_clinical(tmp_path / "a.ecg").notes == ("its checksum is wrong",)


def test_read_clinical_says_that_a_file_has_annotations_only(tmp_path):
    edf(tmp_path / "a.edf", ("EDF Annotations", "EDF Annotations"), ("", ""))
    with pytest.raises(UnreadableError, match="it has no rhythm leads, only annotations"):
        read_clinical(tmp_path / "a.edf")


@pytest.mark.parametrize("extra", [2, 100, 101])
def test_read_clinical_refuses_an_edf_file_longer_than_it_states(tmp_path, extra):
    edf(tmp_path / "a.edf")
    (tmp_path / "a.edf").write_bytes((tmp_path / "a.edf").read_bytes() + bytes(extra))
    with pytest.raises(UnreadableError, match=r"not one complete ECG .*after the last data record"):
        read_clinical(tmp_path / "a.edf")


def test_read_clinical_leaves_out_the_calibration_pulse_of_philips(tmp_path):
    ecg = RNG.integers(-400, 400, (4, 1000))
    pulse = np.tile(np.repeat([0, 200, 0], (60, 100, 50)), (4, 1))
    recording = read_clinical(sierra(tmp_path / "a.xml", np.c_[ecg, pulse]))
    assert recording.notes == ("left out the calibration pulse at its end",)
    np.testing.assert_allclose(recording.signal, ecg * 5e-3, rtol=1e-6)


@pytest.mark.parametrize(
    "tail",
    [
        np.zeros((4, 200), int),
        np.full((4, 200), 200),
        np.tile(np.repeat([0, 200, 0], (60, 20, 50)), (4, 1)),
        np.tile(np.repeat([0, 180, 0], (60, 100, 50)), (4, 1)),
        np.tile(np.repeat([0, 200, 0], (60, 100, 50)), (4, 1)) * np.array([[1], [1], [0], [1]]),
    ],
    ids=["zeros", "level", "short", "another height", "not in all leads"],
)
def test_read_clinical_keeps_other_ends_of_philips(tmp_path, tail):
    ecg = np.c_[RNG.integers(-400, 400, (4, 1000)), tail]
    recording = read_clinical(sierra(tmp_path / "a.xml", ecg))
    assert recording.notes == ()
    np.testing.assert_allclose(recording.signal, ecg * 5e-3, rtol=1e-6)


@pytest.mark.real
def test_read_clinical_leaves_out_the_pulse_of_real_philips_files(shared_data: Path):
    lengths = {}
    for path in sorted((shared_data / "formats").glob("sierra*.xml")):
        signal = read_clinical(path).signal
        lengths[path.name] = signal.shape[1]
        # III = II - I holds in an ECG to two steps, and not in the pulse.
        np.testing.assert_allclose(signal[2], signal[1] - signal[0], atol=0.0101)
    assert lengths == {"sierra_1_03.xml": 5264, "sierra_1_04_01.xml": 5300}


def changed_dicom(path, change, **options):
    """A DICOM file of which `change` has changed the channels of its waveform."""
    dataset = pydicom.dcmread(dicom(path, **options))
    change(dataset.WaveformSequence[0].ChannelDefinitionSequence)
    dataset.save_as(path)
    return path


@pytest.mark.parametrize(
    "status", ["TEST DATA", "DISCONNECTED", "INVALID", "UNCALIBRATED", ["INVALID", "QUESTIONABLE"]]
)
def test_read_clinical_gives_nan_for_a_channel_that_dicom_marks_as_none(tmp_path, status):
    path = changed_dicom(tmp_path / "a.dcm", lambda channels: setattr(channels[1], "ChannelStatus", status))
    recording = read_clinical(path)
    assert np.isnan(recording.signal).all(axis=1).tolist() == [False, True, False]
    np.testing.assert_allclose(recording.signal[[0, 2]], STEPS[[0, 2]] * 2.5e-3, rtol=1e-6)
    assert recording.notes == (f"lead II is marked {status if isinstance(status, str) else 'INVALID; QUESTIONABLE'}",)


@pytest.mark.parametrize(("status", "notes"), [("OK", ()), ("QUESTIONABLE", ("lead II is marked QUESTIONABLE",))])
def test_read_clinical_keeps_a_channel_that_dicom_only_doubts(tmp_path, status, notes):
    path = changed_dicom(tmp_path / "a.dcm", lambda channels: setattr(channels[1], "ChannelStatus", status))
    recording = read_clinical(path)
    assert np.isfinite(recording.signal).all()
    assert recording.notes == notes


@pytest.mark.parametrize(
    ("field", "late", "little"), [("ChannelSampleSkew", 3, 0.4), ("ChannelTimeSkew", 0.006, 0.0009)]
)
def test_read_clinical_refuses_channels_of_dicom_that_are_late(tmp_path, field, late, little):
    path = changed_dicom(tmp_path / "a.dcm", lambda channels: setattr(channels[1], field, late))
    with pytest.raises(UnreadableError, match=r"its leads are not recorded together \(skew: 6 ms\)"):
        read_clinical(path)
    path = changed_dicom(tmp_path / "a.dcm", lambda channels: setattr(channels[1], field, little))
    assert read_clinical(path).signal.shape == STEPS.shape


def test_read_clinical_refuses_a_channel_of_dicom_with_the_names_of_two_leads(tmp_path):
    def as_iii(channels):
        source = channels[1].ChannelSourceSequence[0]
        source.CodingSchemeDesignator, source.CodeValue = "MDC", "2:61"

    with pytest.raises(UnreadableError, match=r"one of its channels is called III and II \(code MDC:2:61\)"):
        read_clinical(changed_dicom(tmp_path / "a.dcm", as_iii))
    with pytest.raises(UnreadableError, match=r"one of its channels is called II and V1 \(code 99:x\)"):
        read_clinical(changed_dicom(tmp_path / "a.dcm", lambda channels: setattr(channels[1], "ChannelLabel", "V1")))
    agreeing = changed_dicom(tmp_path / "a.dcm", lambda channels: setattr(channels[1], "ChannelLabel", "Lead II"))
    assert read_clinical(agreeing).leads == EXPECTED


@pytest.mark.parametrize(("skew", "is_late"), [(900_000, False), (1_100_000, True)])
def test_read_clinical_refuses_channels_of_mfer_that_are_late(tmp_path, skew, is_late):
    data = mfer(tmp_path / "a.mwf").read_bytes()
    begin = data.index(b"\x1e\x82")
    (tmp_path / "a.mwf").write_bytes(data[:begin] + b"\x43\x04" + struct.pack("<I", skew) + data[begin:])
    if is_late:
        with pytest.raises(UnreadableError, match=r"its leads are not recorded together \(skew: 2.2 ms\)"):
            read_clinical(tmp_path / "a.mwf")
    else:
        assert read_clinical(tmp_path / "a.mwf").signal.shape == STEPS.shape


def test_read_clinical_notes_the_default_rate_of_mfer(tmp_path):
    data = mfer(tmp_path / "a.mwf").read_bytes()
    (tmp_path / "a.mwf").write_bytes(data.replace(b"\x0b\x03\x01\xfd\x04", b""))
    recording = read_clinical(tmp_path / "a.mwf")
    assert recording.sampling_rate == 1000
    assert any("default of 1000 Hz" in note for note in recording.notes)


def test_read_clinical_notes_leads_of_aecg_that_it_does_not_know_and_leads_off_of_muse(tmp_path):
    path = aecg(tmp_path / "a.xml")
    path.write_text(path.read_text().replace("MDC_ECG_LEAD_AVR", "AVR"))
    assert read_clinical(path).leads == ("I", "II")
    assert "['AVR']" in read_clinical(path).notes[0]
    path = muse(tmp_path / "b.xml")
    path.write_text(path.read_text().replace("<LeadID>II</LeadID>", "<LeadID>II</LeadID><LeadOff>TRUE</LeadOff>"))
    assert read_clinical(path).notes == ("lead II is marked LeadOff",)


@pytest.mark.parametrize(
    ("old", "new"), [('channel="100"', 'channel="40"'), ('numberofleads="3"', 'numberofleads="2"')]
)
def test_read_clinical_refuses_a_philips_file_longer_than_it_states(tmp_path, old, new):
    path = sierra(tmp_path / "a.xml", STEPS)
    assert read_clinical(path).signal.shape == STEPS.shape
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(UnreadableError, match=r"its waveforms hold 150 samples, not (60|100) as they state"):
        read_clinical(path)
    values = " ".join(map(str, STEPS.ravel()))
    before, _, after = path.read_text().partition('leadlabels="I II III">')
    path.write_text(f'{before.replace("Base64", "Plain")}leadlabels="I II III">{values}{after[after.index("<") :]}')
    with pytest.raises(UnreadableError, match=r"its waveforms hold 150 samples, not (60|100) as they state"):
        read_clinical(path)
    path.write_text(path.read_text().replace(new, old))
    np.testing.assert_allclose(read_clinical(path).signal, STEPS * 5e-3, rtol=1e-6)


@pytest.mark.parametrize("scale", ["2,5", "", "x"])
def test_read_clinical_refuses_a_lead_of_aecg_without_a_scale(tmp_path, scale):
    with pytest.raises(UnreadableError, match=r"its lead I has no scale that is a number; correct the file"):
        read_clinical(aecg(tmp_path / "a.xml", scale=scale))


@pytest.mark.parametrize("value", [20, 49])
def test_read_clinical_refuses_a_file_of_mfer_longer_than_it_states(tmp_path, value):
    data = mfer(tmp_path / "a.mwf").read_bytes()
    length = b"\x04\x04" + struct.pack("<I", STEPS.shape[1])
    assert data.count(length) == 1
    changed = data.replace(length, b"\x04\x04" + struct.pack("<I", value))
    (tmp_path / "a.mwf").write_bytes(changed)
    with pytest.raises(
        UnreadableError, match=f"its waveforms have more bytes than the {3 * 2 * value} of its channels"
    ):
        read_clinical(tmp_path / "a.mwf")


def test_read_clinical_reads_a_file_of_mfer_with_two_frames(tmp_path):
    data = mfer(tmp_path / "a.mwf").read_bytes()
    begin = data.index(b"\x1e\x82")
    (tmp_path / "a.mwf").write_bytes(data[:-2] + data[begin:])
    np.testing.assert_allclose(read_clinical(tmp_path / "a.mwf").signal, np.tile(STEPS, 2) * 2e-3, rtol=1e-6)
