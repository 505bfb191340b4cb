"""What the scan of one data set finds: bad signals, patients in two splits."""

import numpy as np
import pytest
from tests.audit.helpers import generate_ecg, list_excluded, run_check, tally, write

from lfbt.data.layouts import open_dataset
from lfbt.errors import LfbtError


def test_find_patients_in_two_splits_in_data_that_training_refuses(tmp_path):
    patients = [f"p{row}" for row in range(20)]
    patients[1] = patients[16] = patients[18] = "x"
    data = write(tmp_path / "data", patients=patients)
    with pytest.raises(LfbtError, match="a patient is in two splits"):
        open_dataset(data)
    report = run_check(data)
    assert tally(report) == {"patient in two splits": 1}
    assert report.findings[0].records == ("r1", "r16", "r18")
    assert report.findings[0].message == "patient x is in two splits: r1 (train), r16 (test), r18 (test)"
    assert list_excluded(report) == [("data", "r1")]
    assert report.datasets[0].labels == ((),) * 20


def test_scan_dataset_names_record_and_lead_of_bad_signals(tmp_path):
    signals = generate_ecg().copy()
    signals[0, 6, 7] = np.nan
    signals[1, 7] = 0.3
    signals[2, 8, 100:130] = 6
    signals[3, [3, 4]] = signals[3, [4, 3]]
    signals[4, 1] *= -1
    report = run_check(write(tmp_path / "data", signals))
    assert {(finding.severity, finding.kind, finding.records) for finding in report.findings} == {
        ("error", "not finite", ("r0",)),
        ("warning", "flat lead", ("r1",)),
        ("warning", "saturated lead", ("r2",)),
        ("warning", "limb leads contradict each other: aVR and aVL swapped", ("r3",)),
        ("warning", "limb leads contradict each other: II inverted", ("r4",)),
    }
    messages = {finding.records[0]: finding.message for finding in report.findings}
    assert messages["r0"] == "record r0: NaN or infinity in V1; training refuses it"
    assert messages["r1"] == "record r1: V2 does not move"
    assert messages["r2"] == "record r2: V3 stands still at its highest or lowest value"
    assert report.findings[0].severity == "error"


def test_scan_dataset_names_voltages_that_no_ecg_has(tmp_path):
    signals = generate_ecg().copy()
    signals[2, 8, 100] = 40
    far = run_check(write(tmp_path / "far", signals))
    (finding,) = [finding for finding in far.findings if finding.kind == "implausible voltage"]
    assert (finding.severity, finding.records) == ("error", ("r2",))
    assert finding.message.startswith("record r2: V3 spans 4")
    report = run_check(write(tmp_path / "uv", generate_ecg() * 1000))
    whole = [finding for finding in report.findings if not finding.records]
    assert "likely in µV" in next(f.message for f in whole if f.kind == "implausible voltage")
    assert sum(finding.kind == "implausible voltage" for finding in report.findings) == len(signals) + 1
