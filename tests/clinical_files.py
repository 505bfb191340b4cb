"""Small files in clinical formats: text by hand, DICOM by pydicom."""

from pathlib import Path

import numpy as np
import pydicom
import pydicom.uid

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
    path: Path,
    groups=(("RHYTHM", STEPS),),
    rate="500",
    padding=None,
    baseline="0",
    sensitivity="2.5",
    unit="uV",
    leads=LEADS,
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
        group.ChannelDefinitionSequence = [pydicom.Dataset() for _ in leads]
        for channel, lead in zip(group.ChannelDefinitionSequence, leads, strict=True):
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
