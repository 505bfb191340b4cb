"""Clinical files of ../shared/data/formats against readings that are not ecgdatakit's."""

import shutil
import struct
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pydicom
import pytest
import scipy.io

from lfbt.errors import LfbtError, UnreadableError
from lfbt.io.clinical import CLINICAL_FORMATS, read_clinical
from lfbt.io.wfdb import read_wfdb
from lfbt.recording import STANDARD_LEADS
from lfbt.signal import choose_leads
from lfbt.sources import Folder

HL7 = "{urn:hl7-org:v3}"
READABLE = {
    "aecg_example.xml": (5000, 500),
    "aecg_fda_subject1_0.xml": (5000, 500),
    "aecg_liryc.xml": (1000, 100),
    "dicom_anonymous.dcm": (10000, 1000),
    "dicom_example.dcm": (5000, 500),
    "scp_example.scp": (5000, 500),
    "sierra_1_03.xml": (5264, 500),
    "sierra_1_04_01.xml": (5300, 500),
}


@pytest.fixture
def formats(shared_data):
    return shared_data / "formats"


def standard(recording):
    """The twelve leads in the standard order."""
    assert set(recording.leads) == set(STANDARD_LEADS)
    return choose_leads(recording.signal, recording.leads, STANDARD_LEADS)


@pytest.mark.parametrize("name", READABLE)
def test_read_clinical_gives_twelve_finite_leads_that_fit_each_other(formats, name):
    recording = read_clinical(formats / name)
    assert (recording.signal.shape[1], recording.sampling_rate) == READABLE[name]
    assert np.isfinite(recording.signal).all()
    if name == "aecg_liryc.xml":
        return  # a demonstration, whose limb leads do not belong to each other
    leads = dict(zip(STANDARD_LEADS, standard(recording), strict=True))
    # to two steps of at most 5 µV, for each lead was rounded on its own; Sierra ends with a 1 mV pulse in all leads
    end = 5300 if name.startswith("sierra") else None
    for lead, expected in (
        ("III", leads["II"] - leads["I"]),
        ("aVR", -(leads["I"] + leads["II"]) / 2),
        ("aVL", leads["I"] - leads["II"] / 2),
        ("aVF", leads["II"] - leads["I"] / 2),
    ):
        np.testing.assert_allclose(leads[lead][:end], expected[:end], atol=0.0101)


@pytest.mark.parametrize("name", ["aecg_example.xml", "aecg_fda_subject1_0.xml", "aecg_liryc.xml"])
def test_read_clinical_computes_aecg_as_digits_times_scale_plus_origin(formats, name):
    root: Any = ElementTree.parse(formats / name).getroot()
    rhythm = next(series for series in root.iter(f"{HL7}series") if series.find(f"{HL7}code").get("code") == "RHYTHM")
    expected = {}
    for sequence in rhythm.findall(f"{HL7}component/{HL7}sequenceSet/{HL7}component/{HL7}sequence"):
        code, value = sequence.find(f"{HL7}code"), sequence.find(f"{HL7}value")
        digits = value.find(f"{HL7}digits")
        if digits is None:
            continue
        scale, origin = value.find(f"{HL7}scale"), value.find(f"{HL7}origin")
        assert scale.get("unit") == origin.get("unit") == "uV"
        steps = np.array([int(word) for word in digits.text.split()])
        microvolts = steps * float(scale.get("value")) + float(origin.get("value"))
        expected[code.get("code").removeprefix("MDC_ECG_LEAD_").lower()] = microvolts / 1000
    recording = read_clinical(formats / name)
    assert [lead.lower() for lead in recording.leads] == list(expected)
    np.testing.assert_allclose(recording.signal, list(expected.values()), rtol=1e-6)


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI:UserWarning")
@pytest.mark.parametrize("name", ["dicom_anonymous.dcm", "dicom_example.dcm"])
def test_read_clinical_equals_pydicom(formats, name):
    dataset = pydicom.dcmread(formats / name)
    group = dataset.WaveformSequence[0]
    channels = group.ChannelDefinitionSequence
    assert {channel.ChannelSensitivityUnitsSequence[0].CodeValue for channel in channels} == {"uV"}
    meanings = [channel.ChannelSourceSequence[0].CodeMeaning for channel in channels]
    recording = read_clinical(formats / name)
    assert [meaning.split()[1] for meaning in meanings] == list(recording.leads)
    assert recording.sampling_rate == group.SamplingFrequency
    np.testing.assert_allclose(recording.signal, dataset.waveform_array(0).T / 1000, rtol=1e-6)


def test_read_clinical_gives_the_same_for_three_formats_of_one_recording(formats):
    # also where the DICOM file, which gives 0 as its padding, passes through 0
    first = standard(read_clinical(formats / "scp_example.scp"))
    for name in ("dicom_example.dcm", "aecg_example.xml"):
        np.testing.assert_array_equal(standard(read_clinical(formats / name)), first)


@pytest.mark.parametrize("name", ["scp_healforce_62.SCP", "scp_healforce_63.SCP"])
def test_read_clinical_refuses_healforce_files(formats, name):
    with pytest.raises(UnreadableError, match=rf"{name}: by its content it is not SCP-ECG that ecgdatakit can read"):
        read_clinical(formats / name)


def test_read_clinical_refuses_scp_leads_with_different_starts(formats, tmp_path):
    data = bytearray((formats / "scp_example.scp").read_bytes())
    # Its pointers begin at byte 22, 10 bytes each; in section 3, each lead is a first sample, a last one and a number.
    id, _, index = struct.unpack_from("<HII", data, 22 + 3 * 10)
    first_lead = index - 1 + 18
    assert (id, struct.unpack_from("<IIB", data, first_lead)) == (3, (1, 5000, 1))
    struct.pack_into("<II", data, first_lead, 2, 5001)
    path = tmp_path / "a.scp"
    path.write_bytes(data)
    with pytest.raises(UnreadableError, match=r"not recorded together \(as the first sample: I 2, II 1, "):
        read_clinical(path)


@pytest.mark.parametrize("name", READABLE)
def test_read_clinical_refuses_truncated_files(formats, tmp_path, name):
    data = (formats / name).read_bytes()
    path = tmp_path / name
    for part in (0, 0.001, 0.05, 0.4):
        path.write_bytes(data[: int(len(data) * part)])
        with pytest.raises(UnreadableError, match=rf"^file {path}: "):
            read_clinical(path)


def test_read_wfdb_refuses_a_header_until_its_signal_file_has_the_name_it_states(formats, tmp_path):
    # Which file a header means is not guessed, even where one with a similar name lies beside it.
    with pytest.raises(UnreadableError, match=rf"malformed_E00009\.hea: .*\({formats}/E00009\.mat is absent"):
        read_wfdb(formats / "malformed_E00009.hea")
    signal = tmp_path / "E00009.mat"
    shutil.copyfile(formats / "malformed_E00009.hea", tmp_path / "E00009.hea")
    shutil.copyfile(formats / "malformed_E00009.mat", signal)
    recording = read_wfdb(tmp_path / "E00009.hea")
    assert (recording.leads, recording.sampling_rate) == (STANDARD_LEADS, 500)
    np.testing.assert_allclose(recording.signal, scipy.io.loadmat(signal)["val"] / 4880, rtol=1e-6)


def test_folder_lists_all_files(formats):
    listing = Folder().listing(formats)
    files = {file.name for file in formats.iterdir() if file.suffix.lower() in (*CLINICAL_FORMATS, ".hea")}
    assert {entry.file.name for entry in listing.entries} == files
    read = set()
    for entry in listing.entries:
        try:
            entry.read()
            read.add(entry.file.name)
        except LfbtError:
            pass
    assert read == set(READABLE)
