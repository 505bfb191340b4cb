"""INCART, on a tiny download in its published form."""

import numpy as np
import pytest
from tests.published_files import drops, ids, sent, write, write_wfdb

from lfbt.errors import LfbtError
from lfbt.sources import Challenge, Incart

LEADS = ("I", "II", "III", "AVR", "AVL", "AVF", "V1", "V2", "V3", "V4", "V5", "V6")
COMMENTS = {
    "I01": ["#<age>: 65 <sex>: F <diagnoses> Coronary artery disease, arterial hypertension", "# patient 1", "# PVCs"],
    "I02": ["#<age>: 65 <sex>: F ", "# patient 1", "# PVCs, noise"],
    "I08": ["#<age>: 51 <sex>: F ", "# patient 14 ", "# ventricular bigeminy of patient 3"],
}


@pytest.fixture
def incart(tmp_path):
    """Records with gains of their own; returns the folder and the samples of the first."""
    samples = {}
    for gain, (name, comments) in zip((306, 612, 250), COMMENTS.items(), strict=True):
        samples[name] = write_wfdb(tmp_path, name, gains=[gain] * 12, leads=LEADS, rate=257)
        header = tmp_path / f"{name}.hea"
        text = header.read_text().replace("(0)/mV", "")
        header.write_text(text + "\n".join(comments) + "\n")
    write(tmp_path / "I01.atr", "")
    return tmp_path, samples["I01"]


def test_incart_takes_patients_from_headers(incart):
    folder, samples = incart
    listing = Incart().listing(folder)
    assert ids(listing) == ["I01", "I02", "I08"]
    assert [entry.patient for entry in listing.entries] == ["patient01", "patient01", "patient14"]
    assert (listing.classes, {entry.labels for entry in listing.entries}) == ((), {()})
    recording = sent(listing.entries[0]).read()
    assert (recording.leads[3], recording.sampling_rate) == ("aVR", 257.0)
    np.testing.assert_array_equal(recording.signal, (samples / 306).astype(np.float32))


def test_incart_refuses_headers_without_a_patient_and_other_folders(incart):
    folder, _ = incart
    write_wfdb(folder, "I09", leads=LEADS, rate=257)
    with pytest.raises(LfbtError, match=r"I09\.hea: no comment '# patient N', which tells the patient"):
        Incart().listing(folder)
    write_wfdb(folder / "challenge", "I0001", leads=LEADS, rate=257)
    with pytest.raises(LfbtError, match=r"but not any header I01\.hea to I75\.hea"):
        Incart().listing(folder / "challenge")
    write_wfdb(folder / "copy", "I01", leads=LEADS, rate=257, dx="# patient 1")
    (folder / "I09.hea").unlink()
    with pytest.raises(LfbtError, match="record I01 is a duplicate"):
        Incart().listing(folder)


def test_challenge_does_not_take_incart_without_its_patients(incart):
    with pytest.raises(LfbtError, match="is a download of incart; prepare it with that source"):
        Challenge().listing(incart[0])


def test_incart_drops_a_header_with_two_patients(incart):
    header = incart[0] / "I02.hea"
    header.write_text(header.read_text() + "# patient 01\n")
    assert ids(Incart().listing(incart[0])) == ["I01", "I02", "I08"]
    header.write_text(header.read_text() + "# patient 2\n")
    listing = Incart().listing(incart[0])
    assert ids(listing) == ["I01", "I08"]
    assert drops(listing) == [("I02", str(header), "several patients: patient01 and patient02")]
