"""Clinical formats in the source folder, on tiny files written here: text by hand, DICOM by pydicom."""

import base64
import pickle
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pydicom.uid
import pytest

from lfbt.errors import LfbtError, UnreadableError
from lfbt.io.clinical import CLINICAL_FORMATS, read_clinical
from lfbt.sources import Folder, PtbXl

RNG = np.random.default_rng(0)
STEPS = RNG.integers(-400, 400, (3, 50))
STEPS[:, ::7] = 0
LEADS = ("I", "II", "AVR")
EXPECTED = ("I", "II", "aVR")


def aecg(
    path: Path,
    steps=STEPS,
    leads=LEADS,
    scale="2.5",
    unit="uV",
    origin="0",
    increment='value="2" unit="ms"',
    series=1,
    sets=1,
):
    """An HL7 aECG file: value = origin + scale · digit."""

    def sequence(code, value):
        return f'<component><sequence><code code="{code}"/><value>{value}</value></sequence></component>'

    rows = [
        sequence(
            f"MDC_ECG_LEAD_{lead}",
            f'<origin value="{origin}" unit="{unit}"/><scale value="{scale}" unit="{unit}"/>'
            f"<digits>{' '.join(map(str, row))}</digits>",
        )
        for lead, row in zip(leads, steps, strict=True)
    ]
    time = sequence("TIME_ABSOLUTE", f"<increment {increment}/>")
    whole = f"<component><sequenceSet>{time}{''.join(rows)}</sequenceSet></component>" * sets
    one = f'<component><series><code code="RHYTHM"/>{whole}</series></component>'
    path.write_text(f'<?xml version="1.0"?><AnnotatedECG xmlns="urn:hl7-org:v3">{one * series}</AnnotatedECG>')
    return path


def dicom(
    path: Path, groups=(("RHYTHM", STEPS),), rate="500", padding=None, baseline="0", sensitivity="2.5", unit="uV"
):
    """A DICOM file with 16-bit waveforms, one group after another."""
    dataset = pydicom.Dataset()
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.9.1.1"
    dataset.SOPInstanceUID = "1.2.3"
    dataset.WaveformSequence = [pydicom.Dataset() for _ in groups]
    for group, (label, steps) in zip(dataset.WaveformSequence, groups, strict=True):
        group.MultiplexGroupLabel = label
        group.NumberOfWaveformChannels, group.NumberOfWaveformSamples = steps.shape
        group.SamplingFrequency = rate
        group.WaveformBitsAllocated = 16
        group.WaveformSampleInterpretation = "SS"
        group.ChannelDefinitionSequence = [pydicom.Dataset() for _ in LEADS]
        for channel, lead in zip(group.ChannelDefinitionSequence, LEADS, strict=True):
            source, measure = pydicom.Dataset(), pydicom.Dataset()
            source.CodeValue, source.CodingSchemeDesignator, source.CodeMeaning = "x", "99", f"Lead {lead}"
            measure.CodeValue, measure.CodingSchemeDesignator, measure.CodeMeaning = unit, "UCUM", unit
            channel.ChannelSourceSequence, channel.ChannelSensitivityUnitsSequence = [source], [measure]
            channel.ChannelSensitivity, channel.ChannelBaseline = sensitivity, baseline
            channel.ChannelSensitivityCorrectionFactor = "1"
        if padding is not None:
            group.add_new("WaveformPaddingValue", "OW", np.array(padding, "<i2").tobytes())
        group.add_new("WaveformData", "OW", steps.T.astype("<i2").tobytes())
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    dataset.save_as(path, enforce_file_format=True)
    return path


def edf(path: Path, labels=("ECG I", "ECG II"), units=("mV", "uV"), per_record=(25, 25), seconds="0.05"):
    """An EDF file of two data records; a digital step is 0.01 of the unit, from -10 at -1000."""

    def fields(width, *values):
        return "".join(f"{value!s:<{width}}" for value in values)

    n = len(labels)
    header = fields(8, 0) + fields(80, "X", "X") + fields(8, "01.01.20", "00.00.00", 256 * (n + 1)) + fields(44, "")
    header += fields(8, 2, seconds) + fields(4, n) + fields(16, *labels) + fields(80, *[""] * n) + fields(8, *units)
    header += fields(8, *[-10] * n, *[10] * n, *[-1000] * n, *[1000] * n) + fields(80, *[""] * n)
    header += fields(8, *per_record) + fields(32, *[""] * n)
    blocks = [[RNG.integers(-1000, 1000, count) for count in per_record] for _ in range(2)]
    data = b"".join(block.astype("<i2").tobytes() for record in blocks for block in record)
    path.write_bytes(header.encode() + data)
    return [np.concatenate(rows) * 0.01 for rows in zip(*blocks, strict=True)]


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


def mfer(path: Path):
    """An MFER file: 4 ms, 16-bit steps of 2 µV, channels one after another, leads by number."""
    tags = [(0x01, b"\x01"), (0x0B, b"\x01\xfd\x04"), (0x0C, b"\x00\xfa\x02"), (0x0A, b"\x00")]
    tags += [(0x04, struct.pack("<I", STEPS.shape[1])), (0x05, b"\x03"), (0x06, b"\x01")]
    data = b"".join(bytes([tag, len(value)]) + value for tag, value in tags)
    data += b"".join(bytes([0x3F, channel, 4, 0x09, 2, code, 0]) for channel, code in enumerate((1, 2, 62)))
    data += b"\x1e\x82" + struct.pack(">H", STEPS.size * 2) + STEPS.astype("<i2").tobytes() + b"\x80\x00"
    path.write_bytes(data)
    return path


# --- what is read ---


def test_aecg_is_read_in_mv_with_standard_lead_names(tmp_path):
    recording = read_clinical(aecg(tmp_path / "a.xml", origin="100"))
    assert (recording.leads, recording.sampling_rate) == (EXPECTED, 500)
    assert recording.signal.dtype == np.float32
    np.testing.assert_allclose(recording.signal, (STEPS * 2.5 + 100) / 1000, rtol=1e-6)


def test_muse_is_read(tmp_path):
    recording = read_clinical(muse(tmp_path / "a.xml"))
    assert (recording.leads, recording.sampling_rate) == (EXPECTED, 250)
    np.testing.assert_allclose(recording.signal, STEPS * 4.88e-3, rtol=1e-6)


def test_edf_is_read(tmp_path):
    expected = edf(tmp_path / "a.edf")
    recording = read_clinical(tmp_path / "a.edf")
    assert (recording.leads, recording.sampling_rate) == (("I", "II"), 500)
    np.testing.assert_allclose(recording.signal, [expected[0], expected[1] / 1000], atol=1e-6)


def test_ishne_is_read(tmp_path):
    recording = read_clinical(ishne(tmp_path / "a.ecg"))
    assert (recording.leads, recording.sampling_rate) == (EXPECTED, 200)
    np.testing.assert_allclose(recording.signal, STEPS * 1.5e-3, rtol=1e-6)


def test_ishne_samples_of_a_lead_that_was_off_are_nan(tmp_path):
    steps = STEPS.copy()
    steps[2, :5] = -32768
    steps[0, :5] = -32767
    signal = read_clinical(ishne(tmp_path / "a.ecg", steps)).signal
    assert np.isnan(signal[2, :5]).all()
    assert np.isfinite(signal).sum() == steps.size - 5


def test_mfer_is_read(tmp_path):
    recording = read_clinical(mfer(tmp_path / "a.mwf"))
    assert (recording.leads, recording.sampling_rate) == (EXPECTED, 250)
    np.testing.assert_allclose(recording.signal, STEPS * 2e-3, rtol=1e-6)


@pytest.mark.parametrize(("unit", "scale"), [("uV", 1e-3), ("mV", 1.0), ("nV", 1e-6)])
def test_dicom_is_read(tmp_path, unit, scale):
    groups = [("RHYTHM", STEPS), ("MEDIAN BEAT", STEPS[:, :20])]
    recording = read_clinical(dicom(tmp_path / "a.dcm", groups, baseline="10", unit=unit))
    assert (recording.leads, recording.sampling_rate) == (EXPECTED, 500)
    np.testing.assert_allclose(recording.signal, (STEPS * 2.5 + 10) * scale, rtol=1e-6)


def test_dicom_padding_is_nan(tmp_path):
    steps = STEPS.copy()
    steps[1, 40:] = -32768
    signal = read_clinical(dicom(tmp_path / "a.dcm", [("RHYTHM", steps)], padding=-32768)).signal
    assert np.isnan(signal[1, 40:]).all()
    assert np.isfinite(signal).sum() == steps.size - 10


def test_dicom_padding_of_zero_is_a_sample(tmp_path):
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
def test_rates_that_are_no_whole_number_are_kept(tmp_path, write, options, rate):
    write(tmp_path / "a.xml", **options)
    assert read_clinical(tmp_path / "a.xml").sampling_rate == pytest.approx(rate, abs=1e-6)


# --- what is not ---


@pytest.mark.parametrize(
    ("write", "options", "message"),
    [
        (aecg, {"series": 2}, "not one complete ECG .*2 rhythm series found"),
        (aecg, {"sets": 2}, "not one complete ECG .*2 sequence sets"),
        (dicom, {"groups": [("RHYTHM", STEPS)] * 2}, "not one complete ECG .*1 additional multiplex group"),
        (muse, {"waveforms": 2}, "not one complete ECG .*Additional rhythm waveform"),
        (dicom, {"groups": [("MEDIAN BEAT", STEPS)]}, "no rhythm leads, only 3 median beats"),
        (aecg, {"steps": [*STEPS[:2], STEPS[2, :7]]}, r"not recorded together \(samples: I 50, II 50, aVR 7\)"),
        (edf, {"per_record": (25, 5)}, r"not recorded together \(samples: I 50, II 10\)"),
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
def test_files_that_are_not_one_ecg_in_a_voltage_are_refused(tmp_path, write, options, message):
    path = tmp_path / "a.xml"
    write(path, **options)
    with pytest.raises(UnreadableError, match=rf"^file {path}: .*{message}") as caught:
        read_clinical(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("write", [aecg, dicom, edf, muse, mfer])
@pytest.mark.parametrize("part", [0, 0.02, 0.3, 0.6, 0.95])
def test_truncated_files_are_unreadable(tmp_path, write, part):
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
def test_other_files_are_unreadable(tmp_path, suffix, data):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(data)
    with pytest.raises(
        UnreadableError, match=rf"^file {path}: by its content it is not {CLINICAL_FORMATS[suffix]} that"
    ):
        read_clinical(path)


@pytest.mark.parametrize("write", [aecg, dicom, edf, muse, ishne, mfer])
def test_damaged_files_are_read_or_unreadable(tmp_path, write):
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


def test_an_absent_file_is_unreadable(tmp_path):
    with pytest.raises(UnreadableError, match=r"absent\.edf: cannot be read"):
        read_clinical(tmp_path / "absent.edf")


@pytest.mark.parametrize(("package", "write"), [("ecgdatakit", aecg), ("pydicom", dicom)])
def test_without_the_package_the_user_is_told_what_to_install(tmp_path, monkeypatch, package, write):
    write(tmp_path / "a.dcm")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(LfbtError, match=r"a\.dcm: .*pip install 'lfbt\[formats\]'") as caught:
        Folder().listing(tmp_path).entries[0].read()
    assert not isinstance(caught.value, UnreadableError)


# --- in a folder ---


def test_folder_reads_clinical_files_by_suffix_in_any_case(tmp_path):
    (tmp_path / "b").mkdir()
    dicom(tmp_path / "b" / "x.DCM")
    aecg(tmp_path / "a.xml")
    edf(tmp_path / "c.Edf")
    (tmp_path / "notes.json").write_text("{}")
    listing = Folder().listing(tmp_path)
    assert [entry.id for entry in listing.entries] == ["a", "b/x", "c"]
    sent = [pickle.loads(pickle.dumps(entry)) for entry in listing.entries]  # noqa: S301 - written on the same line
    assert [entry.read().signal.shape for entry in sent] == [(3, 50), (3, 50), (2, 50)]
    assert [entry.read().id for entry in sent] == ["a", "b/x", "c"]


def test_folder_clinical_files_beside_a_plain_one_of_their_name_are_left_out(tmp_path):
    (tmp_path / "r.csv").write_text("I,II\n1,2\n")
    (tmp_path / "r.ecg").write_bytes(b"annotations")
    aecg(tmp_path / "s.xml")
    table = tmp_path / "s.csv"
    table.write_text("record,label\nr,x\ns,y\n")
    listing = Folder(labels="table", table=table, file_sampling_rate=500.0).listing(tmp_path)
    assert [(entry.id, entry.file.suffix, entry.labels) for entry in listing.entries] == [
        ("r", ".csv", ("x",)),
        ("s", ".xml", ("y",)),
    ]


def test_folder_two_clinical_files_of_one_name_are_refused(tmp_path):
    aecg(tmp_path / "a.xml")
    dicom(tmp_path / "a.dcm")
    with pytest.raises(LfbtError, match="record a is a duplicate"):
        Folder().listing(tmp_path)


def test_folder_names_all_suffixes_it_looked_for_and_others_name_the_folder(tmp_path):
    (tmp_path / "a.pdf").touch()
    with pytest.raises(LfbtError, match=r"not any signal file \(\.hea, \.npy, \.csv, \.scp, \.dcm, .*\.mfr\)"):
        Folder().listing(tmp_path)
    (tmp_path / "a.SCP").touch()
    with pytest.raises(LfbtError, match="the source folder might fit"):
        PtbXl().listing(tmp_path)


def test_the_docstring_names_every_suffix():
    assert [suffix for suffix in CLINICAL_FORMATS if f" {suffix}" not in str(Folder.__doc__)] == []


def test_the_packages_are_imported_only_for_such_files(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((2, 5)))
    aecg(tmp_path / "b.xml")
    code = (
        "import sys; from pathlib import Path; from lfbt.sources import Folder\n"
        "formats = {'ecgdatakit', 'pydicom', 'torch'}\n"
        "folder = Folder(file_leads='I,II', file_sampling_rate=500.0)\n"
        f"npy, xml = folder.listing(Path({str(tmp_path)!r})).entries\n"
        "npy.read(); print(sorted(formats & set(sys.modules)))\n"
        "xml.read(); print(sorted(formats & set(sys.modules)))\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines() == ["[]", "['ecgdatakit']"]
