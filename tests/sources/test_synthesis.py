"""The synthetic ECG: lead algebra, determinism, class mix, folds, and what each disease does to a beat."""

from collections import Counter, defaultdict

import numpy as np
import pytest
import wfdb

from lfbt.errors import LfbtError
from lfbt.recording import STANDARD_LEADS
from lfbt.sources import PtbXl
from lfbt.sources.synthesis import (
    CLASSES,
    _Wave,
    apply_disease,
    assign_class,
    assign_patient,
    make_record,
    twelve_leads,
    vectorcardiogram,
    write_ptbxl,
)
from lfbt.vectorcardiogram import LEAD_VECTORS

LEAD = {lead: row for row, lead in enumerate(STANDARD_LEADS)}
#: A healthy beat without anybody's own variation: P, Q, R, S, ST, T.
BEAT = [
    _Wave(-0.16, 0.022, np.array([0.08, 0.11, -0.03])),
    _Wave(-0.028, 0.010, np.array([-0.12, -0.05, -0.25])),
    _Wave(0.0, 0.013, np.array([1.0, 0.85, 0.25])),
    _Wave(0.030, 0.013, np.array([-0.15, -0.15, 0.55])),
    _Wave(0.13, 0.035, np.zeros(3)),
    _Wave(0.28, 0.045, np.array([0.28, 0.22, -0.14])),
]


def beat(waves):
    """Twelve leads of beats without noise, R peaks at whole seconds; one beat from 0.4 s before R to 0.6 s after."""
    return twelve_leads(LEAD_VECTORS @ vectorcardiogram(waves, np.arange(-1.0, 12.0)))[:, 1800:2300]


def at(signal, lead, seconds):
    """The value of `lead` so many seconds after the R peak."""
    return signal[LEAD[lead], round((0.4 + seconds) * 500)]


def patient_classes(folder):
    """The classes of the patients in each split, from the numbers of their recordings."""
    found = defaultdict[str, set[str]](set)
    for entry in PtbXl(labels="none").listing(folder).entries:
        found[entry.split].add(assign_class(0, assign_patient(int(entry.id))))
    return dict(found)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("synthetic")
    write_ptbxl(folder, 105, 7)
    return folder


@pytest.mark.parametrize("number", [1, 5, 40])
def test_make_record_obeys_einthoven_with_all_noise(number):
    signal = make_record(0, number).signal
    assert signal.shape == (12, 5000)
    assert np.isfinite(signal).all()
    lead = {name: signal[row] for name, row in LEAD.items()}
    for name, expected in (
        ("III", lead["II"] - lead["I"]),
        ("aVR", -(lead["I"] + lead["II"]) / 2),
        ("aVL", lead["I"] - lead["II"] / 2),
        ("aVF", lead["II"] - lead["I"] / 2),
    ):
        np.testing.assert_allclose(lead[name], expected, atol=1e-12)


def test_make_record_follows_from_seed_and_number_alone():
    np.testing.assert_array_equal(make_record(3, 20).signal, make_record(3, 20).signal)
    assert np.abs(make_record(3, 20).signal - make_record(4, 20).signal).max() > 0.1
    assert np.abs(make_record(3, 20).signal - make_record(3, 21).signal).max() > 0.1


def test_assign_patient_gives_every_sixth_patient_two_recordings():
    times = Counter(assign_patient(number) for number in range(1, 701))
    assert sorted(times) == list(range(1, 601))
    assert Counter(times.values()) == {1: 500, 2: 100}


def test_assign_class_makes_forty_percent_healthy_in_an_order_that_follows_the_seed():
    classes = [assign_class(0, patient) for patient in range(1, 201)]
    assert Counter(classes) == {"NORM": 80, "MI": 30, "STTC": 30, "CD": 30, "HYP": 30}
    assert classes != [assign_class(1, patient) for patient in range(1, 201)]


def test_make_record_has_amplitudes_of_an_ecg():
    spans = np.array([np.ptp(make_record(0, number).signal, axis=1) for number in range(1, 31)])
    assert 0.5 < np.median(spans) < 4
    assert spans.max() < 15


def test_normal_beat_has_normal_polarities():
    healthy = beat(BEAT)
    assert at(healthy, "II", 0) > 0.8
    assert at(healthy, "aVR", 0) < -0.7
    assert at(healthy, "V1", 0) < -0.3 < 0.3 < at(healthy, "V5", 0)
    assert at(healthy, "II", -0.16) > 0.08
    assert at(healthy, "V5", 0.28) > 0.2
    assert abs(at(healthy, "II", 0.1)) < 0.1


def test_apply_disease_infarction_has_q_waves_and_st_elevation_with_reciprocal_depression():
    healthy, inferior, anterior = (
        beat(BEAT),
        beat(apply_disease(BEAT, "IMI", 1.0)),
        beat(apply_disease(BEAT, "AMI", 1.0)),
    )
    for lead in ("II", "III", "aVF"):
        assert at(inferior, lead, -0.028) < at(healthy, lead, -0.028) - 0.2
        assert at(inferior, lead, 0.13) > at(healthy, lead, 0.13) + 0.1
    assert at(inferior, "aVL", 0.13) < at(healthy, "aVL", 0.13) - 0.1
    for lead in ("V2", "V3"):
        assert at(anterior, lead, 0.13) > at(healthy, lead, 0.13) + 0.2
        assert at(anterior, lead, -0.028) < at(healthy, lead, -0.028) - 0.3


def test_apply_disease_st_t_change_depresses_st_and_inverts_t():
    healthy, changed = beat(BEAT), beat(apply_disease(BEAT, "NST_", 1.0))
    for lead in ("II", "V5", "V6"):
        assert at(changed, lead, 0.13) < at(healthy, lead, 0.13) - 0.05
        assert at(changed, lead, 0.28) < 0 < at(healthy, lead, 0.28)


def test_apply_disease_bundle_branch_blocks_widen_the_qrs_late_left_or_late_right():
    healthy, left, right = beat(BEAT), beat(apply_disease(BEAT, "CLBBB", 1.0)), beat(apply_disease(BEAT, "CRBBB", 1.0))
    assert at(left, "V6", 0.05) > at(healthy, "V6", 0.05) + 0.3
    assert at(left, "V1", 0.05) < at(healthy, "V1", 0.05) - 0.3
    assert at(right, "V1", 0.055) > at(healthy, "V1", 0.055) + 0.3
    assert at(right, "I", 0.055) < at(healthy, "I", 0.055) - 0.2


def test_apply_disease_hypertrophy_raises_chest_voltages_with_strain():
    healthy, large = beat(BEAT), beat(apply_disease(BEAT, "LVH", 1.0))
    assert at(large, "V5", 0) > 1.4 * at(healthy, "V5", 0)
    assert large[LEAD["V2"]].min() < 1.4 * healthy[LEAD["V2"]].min()
    assert at(large, "V6", 0.28) < 0.5 * at(healthy, "V6", 0.28)


def test_apply_disease_of_severity_zero_changes_nothing():
    for code in ("AMI", "IMI", "LMI", "NST_", "CLBBB", "CRBBB", "LVH"):
        np.testing.assert_allclose(beat(apply_disease(BEAT, code, 0.0)), beat(BEAT), atol=1e-12)


def test_write_ptbxl_is_read_by_wfdb_and_as_ptbxl(written):
    for number in (1, 105):
        path = written / f"records500/00000/{number:05d}_hr"
        raw = wfdb.rdrecord(str(path), physical=False)
        assert raw.checksum == [int(column.sum()) % 65536 for column in raw.d_signal.astype(np.int64).T]
        assert raw.init_value == raw.d_signal[0].tolist()
    listing = PtbXl().listing(written)
    assert [entry.id for entry in listing.entries] == [str(number) for number in range(1, 106)]
    assert listing.dropped == []
    recording = listing.entries[9].read()
    assert (recording.leads, recording.sampling_rate) == (STANDARD_LEADS, 500.0)
    np.testing.assert_allclose(recording.signal, make_record(7, 10).signal, atol=0.000501)


def test_write_ptbxl_has_all_classes_in_every_split_and_patients_in_one(written):
    held, splits = defaultdict[str, set[str]](set), defaultdict[str, set[str]](set)
    mix = Counter[int]()
    for entry in PtbXl().listing(written).entries:
        held[entry.split] |= set(entry.labels)
        splits[entry.patient].add(entry.split)
        mix[len(entry.labels)] += 1
    assert dict(held) == {split: set(CLASSES) for split in ("train", "val", "test")}
    assert {len(found) for found in splits.values()} == {1}
    assert len(splits) == 90
    assert mix[1] > 85
    assert min(mix[0], mix[2]) >= 1


def test_write_ptbxl_of_a_small_set_has_every_split(tmp_path):
    write_ptbxl(tmp_path, 50, 0)
    splits = Counter(entry.split for entry in PtbXl(labels="none").listing(tmp_path).entries)
    assert min(splits["train"], splits["val"], splits["test"]) >= 5


def test_write_ptbxl_of_three_patients_a_class_has_every_class_in_every_split(tmp_path):
    write_ptbxl(tmp_path, 23, 0)
    assert patient_classes(tmp_path) == {split: set(CLASSES) for split in ("train", "val", "test")}


@pytest.mark.parametrize(
    ("records", "seed", "message"), [(0, 0, "records: 0"), (100_000, 0, "records"), (5, -1, "seed: -1")]
)
def test_write_ptbxl_refuses_impossible_counts_and_seeds(tmp_path, records, seed, message):
    with pytest.raises(LfbtError, match=message):
        write_ptbxl(tmp_path, records, seed)
