"""Synthetic downloads: read back by their sources and by independent readers, labels and findings as said."""

import csv
import dataclasses
import json
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import scipy.io
import scipy.signal
import wfdb

from lfbt.data.preparation import prepare_dataset
from lfbt.data.records import PrepareSettings
from lfbt.errors import LfbtError
from lfbt.recording import STANDARD_LEADS
from lfbt.sources import SOURCES, Challenge, Chapman, Cpsc2018, Ningbo
from lfbt.sources.synthesis import FINDINGS, make_signal
from lfbt.sources.synthetic_downloads import (
    assign_finding,
    write_chapman,
    write_cpsc2018,
    write_downloads,
    write_ningbo,
)

RECORDS, SEED = 24, 3
CPSC = ("Normal", "AF", "I-AVB", "LBBB", "RBBB", "PAC", "PVC", "STD", "STE")
CPSC_OF = dict(
    zip([name for name in FINDINGS if name not in ("sinus bradycardia", "sinus tachycardia")], CPSC, strict=True)
)
CHAPMAN_OF = {
    "sinus bradycardia": "SB",
    "sinus rhythm": "SR",
    "sinus tachycardia": "GSVT",
    "atrial fibrillation": "AFIB",
}


@pytest.fixture(scope="module")
def downloads(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "downloads"
    write_downloads(folder, RECORDS, SEED)
    return folder


def made(download, number, finding):
    """The signal that recording `number` was written from."""
    return make_signal(FINDINGS[finding], np.random.default_rng([SEED, download, number]))


def test_write_downloads_are_listed_by_their_source_alone_and_marked_as_synthetic(downloads, tmp_path):
    assert sorted(path.name for path in downloads.iterdir()) == ["chapman", "cpsc2018", "ningbo", "ptbxl"]
    for name in ("ningbo", "ptbxl", "cpsc2018", "chapman"):
        listing = SOURCES[name]().listing(downloads / name)
        assert len(listing.entries) == RECORDS
        assert listing.dropped == []
        for other in {"ningbo", "ptbxl", "cpsc2018", "chapman"} - {name}:
            with pytest.raises(LfbtError):
                SOURCES[other]().listing(downloads / name)
        settings = PrepareSettings(n_samples=32, workers=1)
        prepare_dataset(SOURCES[name](), name, downloads / name, tmp_path / name, settings)
        assert json.loads((tmp_path / name / "dataset.json").read_text())["synthetic"] is True


def test_write_ningbo_is_read_by_wfdb_and_by_its_source(downloads):
    entries = Ningbo(labels="codes").listing(downloads / "ningbo").entries
    assert [entry.id for entry in entries] == [f"JS{number}" for number in range(10647, 10647 + RECORDS)]
    names = [assign_finding(SEED, number, list(FINDINGS)) for number in range(1, RECORDS + 1)]
    assert set(names) == set(FINDINGS)
    # One code a finding, and none for two.
    assert len({entry.labels for entry in entries}) == len(FINDINGS)
    code_of = dict(zip(names, (entry.labels for entry in entries), strict=True))
    assert [code_of[name] for name in names] == [entry.labels for entry in entries]
    assert code_of["atrial fibrillation"] == ("164889003",)
    for number in (1, 11):
        file = downloads / "ningbo" / "g1" / f"JS{10646 + number}"
        raw = wfdb.rdrecord(str(file), physical=False)
        assert (raw.fs, raw.sig_name, raw.units) == (500, list(STANDARD_LEADS), ["mV"] * 12)
        assert [checksum % 65536 for checksum in raw.checksum] == [int(s) % 65536 for s in raw.d_signal.sum(axis=0)]
        assert raw.init_value == raw.d_signal[0].tolist()
        np.testing.assert_array_equal(scipy.io.loadmat(file.with_suffix(".mat"))["val"], raw.d_signal.T)
        recording = entries[number - 1].read()
        np.testing.assert_allclose(recording.signal, raw.d_signal.T / 1000, atol=1e-6)
        np.testing.assert_allclose(recording.signal, made(3, number, names[number - 1]), atol=0.000501)


def test_write_ningbo_is_listed_by_the_challenge_too(downloads):
    assert len(Challenge().listing(downloads / "ningbo").entries) == RECORDS


def test_write_cpsc2018_is_read_by_scipy_and_by_its_source(downloads):
    folder = downloads / "cpsc2018"
    entries = Cpsc2018().listing(folder).entries
    with (folder / "REFERENCE.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["Recording", "First_label", "Second_label", "Third_label"]
    assert [entry.id for entry in entries] == [row["Recording"] for row in rows]
    assert [len(entry.labels) for entry in entries] == [2 if number == 10 else 1 for number in range(1, RECORDS + 1)]
    assert entries[9].labels == ("AF", "RBBB")
    assert {label for entry in entries for label in entry.labels} == set(CPSC)
    samples = Counter[int]()
    for number, entry in enumerate(entries, start=1):
        ecg = scipy.io.loadmat(folder / f"{entry.id}.mat")["ECG"][0, 0]
        assert str(ecg["sex"][0]) in ("Female", "Male")
        assert 20 <= int(ecg["age"][0, 0]) < 90
        recording = entry.read()
        assert recording.leads == STANDARD_LEADS
        np.testing.assert_allclose(recording.signal, ecg["data"], atol=1e-6)
        samples[recording.signal.shape[1]] += 1
        if number in (1, 2):
            finding = assign_finding(SEED, number, list(CPSC_OF))
            assert entry.labels == (CPSC_OF[finding],)
            expected = made(4, number, finding)[:, : 4000 if number == 2 else 5000]
            np.testing.assert_allclose(recording.signal, expected, atol=0.0001)
    assert samples == {5000: 12, 4000: 6, 8000: 6}


def test_write_chapman_is_read_by_pandas_and_by_its_source(downloads):
    folder = downloads / "chapman"
    entries = Chapman().listing(folder).entries
    table = pd.read_excel(folder / "Diagnostics.xlsx")
    assert [entry.id for entry in entries] == table["FileName"].tolist()
    names = [assign_finding(SEED, number, list(CHAPMAN_OF)) for number in range(1, RECORDS + 1)]
    assert [entry.labels for entry in entries] == [(CHAPMAN_OF[name],) for name in names]
    for number in (1, 20):
        steps = pd.read_csv(folder / "ECGData" / f"{entries[number - 1].id}.csv")
        assert (list(steps.columns), steps.shape) == (list(STANDARD_LEADS), (5000, 12))
        recording = entries[number - 1].read()
        np.testing.assert_allclose(recording.signal, steps.to_numpy().T / 1000, atol=1e-6)
        np.testing.assert_allclose(recording.signal, made(5, number, names[number - 1]), atol=0.000501)


def test_assign_finding_gives_each_once_in_as_many_recordings():
    names = ("a", "b", "c")
    found = [assign_finding(0, number, names) for number in range(1, 31)]
    assert all(set(found[start : start + 3]) == set(names) for start in range(0, 30, 3))
    assert found[:3] != found[3:6] or found[:3] != found[6:9]
    assert found != [assign_finding(1, number, names) for number in range(1, 31)]


def test_write_ningbo_follows_from_seed_and_number_alone(tmp_path):
    for name, records, seed in (("few", 2, 0), ("more", 3, 0), ("other", 2, 1)):
        (tmp_path / name).mkdir()
        write_ningbo(tmp_path / name, records, seed)
    few, more, other = ((tmp_path / name / "g1" / "JS10648.mat").read_bytes() for name in ("few", "more", "other"))
    assert few == more != other


@pytest.mark.parametrize("write", [write_ningbo, write_cpsc2018, write_chapman, write_downloads])
@pytest.mark.parametrize(("records", "seed", "message"), [(0, 0, "records: 0"), (100_000, 0, "rec"), (5, -1, "seed")])
def test_writers_refuse_impossible_counts_and_seeds(tmp_path, write, records, seed, message):
    with pytest.raises(LfbtError, match=message):
        write(tmp_path / "new", records, seed)
    assert list(tmp_path.iterdir()) == []


def test_write_downloads_leaves_an_occupied_folder_alone(tmp_path):
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(LfbtError, match="holds other results already"):
        write_downloads(tmp_path, 2, 0)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


# --- findings ---


def beats_of(finding, number):
    """The times of R peaks in lead II, in seconds, after what is slower than 5 Hz was taken out."""
    signal = make_signal(FINDINGS[finding], np.random.default_rng([9, number]))[1]
    steep = scipy.signal.sosfiltfilt(scipy.signal.butter(2, (5, 25), "band", fs=500, output="sos"), signal)
    peaks, _ = scipy.signal.find_peaks(steep, height=0.5 * np.quantile(steep, 0.999), distance=100)
    return peaks / 500


@pytest.mark.parametrize(
    ("finding", "low", "high"),
    [("sinus bradycardia", 40, 60), ("sinus rhythm", 60, 100), ("sinus tachycardia", 100, 155)],
)
def test_make_signal_has_the_heart_rate_of_the_rhythm(finding, low, high):
    for number in range(8):
        rate = 60 / np.median(np.diff(beats_of(finding, number)))
        assert low < rate < high


def test_make_signal_of_fibrillation_is_irregular():
    def spread(finding):
        intervals = [np.diff(beats_of(finding, number)) for number in range(8)]
        return np.array([of.std() / of.mean() for of in intervals])

    assert spread("atrial fibrillation").min() > 0.1 > np.median(spread("sinus rhythm"))


@pytest.mark.parametrize(("pq_prolongation", "low", "high"), [(0.0, 0.1, 0.22), (0.12, 0.22, 0.34)])
def test_make_signal_can_have_an_absent_or_early_p_wave(pq_prolongation, low, high):
    finding = dataclasses.replace(FINDINGS["sinus rhythm"], pq_prolongation=pq_prolongation)
    usual, without = (
        make_signal(made, np.random.default_rng([9, 1]))
        for made in (finding, dataclasses.replace(finding, p_amplitude=0.0))
    )
    p_waves, _ = scipy.signal.find_peaks((usual - without)[1], height=0.03)
    beats = beats_of("sinus rhythm", 1)[1:]
    ahead = [beat - p_waves[p_waves < 500 * beat][-1] / 500 for beat in beats]
    assert low < min(ahead) <= max(ahead) < high
    assert max(ahead) - min(ahead) < 0.03


def test_make_signal_has_a_premature_beat_every_fourth_time():
    intervals = np.diff(beats_of("premature atrial contractions", 0))
    short = np.flatnonzero(intervals < 0.8 * np.median(intervals))
    assert len(short) >= 2
    assert set(np.diff(short)) == {4}
