"""Reading a file of any format: which reader takes it, what must be given, and what contradicts the file."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.clinical_files import EXPECTED, STEPS, aecg, edf
from tests.published_files import RNG, write, write_mat, write_wfdb

from lfbt.errors import LfbtError, UnreadableError
from lfbt.io import CLINICAL_FORMATS, read
from lfbt.recording import STANDARD_LEADS


@pytest.mark.parametrize("name", ["r.hea", "r.dat", "r"])
@pytest.mark.parametrize("kind", [str, Path])
def test_read_takes_a_wfdb_record_by_header_signal_file_or_name(tmp_path, name, kind):
    steps = write_wfdb(tmp_path, "r", leads=["II", "AVR"], rate=250)
    recording = read(kind(tmp_path / name))
    assert (recording.leads, recording.sampling_rate, recording.id) == (("II", "aVR"), 250, "r")
    np.testing.assert_array_equal(recording.signal, (steps / 1000).astype(np.float32))


def test_read_takes_a_wfdb_record_with_dots_in_its_name(tmp_path):
    write_wfdb(tmp_path, "r.1.5", leads=["II"])
    assert read(tmp_path / "r.1.5").id == read(tmp_path / "r.1.5.hea").id == "r.1.5"


def test_read_takes_a_mat_file_by_the_header_beside_it(tmp_path):
    data = RNG.normal(size=(12, 60))
    write_mat(tmp_path / "A0001.mat", data)
    recording = read(tmp_path / "A0001.mat")
    assert (recording.leads, recording.sampling_rate, recording.id) == (STANDARD_LEADS, 500, "A0001")
    np.testing.assert_array_equal(recording.signal, data.astype(np.float32))
    steps = write_wfdb(tmp_path, "JS1")
    (tmp_path / "JS1.mat").write_bytes((tmp_path / "JS1.dat").read_bytes())
    header = tmp_path / "JS1.hea"
    header.write_text(header.read_text().replace("JS1.dat", "JS1.mat"))
    np.testing.assert_array_equal(read(tmp_path / "JS1.mat").signal, (steps / 1000).astype(np.float32))


@pytest.mark.parametrize("leads", ["ii,V1", ["II", "v1"], ("Lead II", "V1")])
def test_read_takes_npy_with_leads_as_text_or_sequence(tmp_path, leads):
    array = RNG.normal(size=(2, 30))
    np.save(tmp_path / "a.npy", array)
    recording = read(tmp_path / "a.npy", leads=leads, sampling_rate=250, unit="uV")
    assert (recording.leads, recording.sampling_rate, recording.id) == (("II", "V1"), 250, "a")
    np.testing.assert_array_equal(recording.signal, (array * 1e-3).astype(np.float32))


def test_read_takes_csv_with_and_without_header(tmp_path):
    write(tmp_path / "head.CSV", "I,aVR\n1,-4\n2,5\n")
    write(tmp_path / "plain.csv", "1,-4\n2,5\n")
    for name, options in (("head.CSV", {}), ("head.CSV", {"leads": "I,avr"}), ("plain.csv", {"leads": "I,AVR"})):
        given: dict[str, Any] = options
        recording = read(tmp_path / name, sampling_rate=100.0, **given)
        assert (recording.leads, recording.sampling_rate) == (("I", "aVR"), 100)
        np.testing.assert_array_equal(recording.signal, [[1, 2], [-4, 5]])


@pytest.mark.parametrize("name", ["a.xml", "a.XML"])
def test_read_takes_clinical_files(tmp_path, name):
    recording = read(aecg(tmp_path / name), leads="I,II,aVR", sampling_rate=500)
    assert (recording.leads, recording.sampling_rate, recording.id) == (EXPECTED, 500, "a")
    np.testing.assert_allclose(recording.signal, STEPS * 2.5e-3, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("a.npy", {"leads": "I,II"}, r"sampling_rate: none given, but .*a\.npy does not state its own; give it in Hz"),
        ("a.npy", {"sampling_rate": 500}, r"leads: none given, but .*a\.npy does not name its leads"),
        ("a.csv", {"leads": "I,II"}, r"sampling_rate: none given, but .*a\.csv"),
        ("a.csv", {"sampling_rate": 500}, r"leads: none given, but .*a\.csv has no header row"),
        ("a.npy", {"leads": "I,II", "sampling_rate": 0}, r"sampling_rate: 0 is outside \(0, inf\); it is in Hz"),
        ("a.npy", {"leads": "I,II", "sampling_rate": float("nan")}, "sampling_rate: nan is outside"),
        ("a.npy", {"leads": "I,i", "sampling_rate": 500}, "leads: I is named twice"),
        ("a.npy", {"leads": (), "sampling_rate": 500}, "leads: none given"),
        ("a.npy", {"leads": "I,II", "sampling_rate": 500, "unit": "kg"}, "unit: 'kg' is not a voltage"),
        ("a.npy", {"leads": "I", "sampling_rate": 500}, r"a\.npy: .*shape \[2, 5\], not \[1 leads, samples\]"),
        ("a.npy", {"leads": "I,II,III", "sampling_rate": 500}, r"shape \[2, 5\], not \[3 leads, samples\]"),
    ],
)
def test_read_names_what_is_missing_or_out_of_range(tmp_path, name, options, message):
    np.save(tmp_path / "a.npy", np.ones((2, 5)))
    write(tmp_path / "a.csv", "1,2\n")
    with pytest.raises(LfbtError, match=message):
        read(tmp_path / name, **options)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("r.hea", {"leads": "II"}, r"leads: II contradicts .*r\.hea, whose leads are II,V1; leave it out"),
        ("r.hea", {"leads": "V1,II"}, "leads: V1,II contradicts"),
        (
            "r.dat",
            {"sampling_rate": 360},
            r"sampling_rate: 360 Hz contradicts .*r\.dat, which has 500 Hz; leave it out",
        ),
        ("r", {"unit": "uV"}, r"unit: uV was given, but .*r states the unit of each signal itself; leave it out"),
        ("m.mat", {"sampling_rate": 250.0}, "250 Hz contradicts .*500 Hz"),
        ("m.mat", {"leads": ["I"]}, "leads: I contradicts"),
        ("m.mat", {"unit": "V"}, "unit: V was given"),
        ("c.csv", {"sampling_rate": 500, "leads": "II,I"}, "leads: II,I contradicts .* I,II"),
        ("x.xml", {"sampling_rate": 250}, "250 Hz contradicts"),
        ("x.xml", {"leads": "I,II"}, "leads: I,II contradicts .* I,II,aVR"),
        ("x.xml", {"unit": "uV"}, "unit: uV was given"),
    ],
)
def test_read_refuses_what_contradicts_the_file(tmp_path, name, options, message):
    write_wfdb(tmp_path, "r", leads=["II", "V1"])
    write_mat(tmp_path / "m.mat", np.ones((12, 5)))
    write(tmp_path / "c.csv", "I,II\n1,2\n")
    aecg(tmp_path / "x.xml")
    with pytest.raises(LfbtError, match=message) as caught:
        read(tmp_path / name, **options)
    assert not isinstance(caught.value, UnreadableError)


def test_read_accepts_what_agrees_with_the_file(tmp_path):
    write_wfdb(tmp_path, "r", leads=["II", "V1"])
    assert read(tmp_path / "r", leads="ii,v1", sampling_rate=500, unit="mV").leads == ("II", "V1")


def test_read_takes_a_negated_lead_by_the_name_that_the_file_or_the_user_gives(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((2, 5)))
    recording = read(tmp_path / "a.npy", leads="I,-aVR", sampling_rate=500)
    assert recording.leads == ("I", "aVR")
    np.testing.assert_array_equal(recording.signal[:, 0], [1, -1])
    write(tmp_path / "c.csv", "I,-aVR\n1,2\n3,4\n")
    assert read(tmp_path / "c.csv", leads="I,-avr", sampling_rate=500).signal.tolist() == [[1, 3], [-2, -4]]
    with pytest.raises(LfbtError, match=r"leads: I,aVR contradicts .*, whose leads are I,-aVR"):
        read(tmp_path / "c.csv", leads="I,aVR", sampling_rate=500)


@pytest.mark.parametrize("name", ["a.txt", "a.jpeg", "a"])
def test_read_names_the_formats_that_it_reads(tmp_path, name):
    write(tmp_path / name, "")
    with pytest.raises(
        LfbtError, match=r"is not a format that lfbt reads; allowed: \.hea \(WFDB\), \.npy, \.csv"
    ) as caught:
        read(tmp_path / name)
    assert all(suffix in str(caught.value) for suffix in CLINICAL_FORMATS)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent.npy", r"absent\.npy: does not exist"),
        ("absent", "absent: does not exist"),
        ("absent.hea", r"absent\.hea is absent"),
        ("alone.dat", r"alone\.dat: its WFDB header alone\.hea is not beside it"),
        (".", "is a folder; give one of its files"),
        ("bad.mat", r"bad\.mat: cannot be read"),
        ("bad.scp", r"bad\.scp: by its content it is not SCP-ECG"),
    ],
)
def test_read_names_a_file_that_it_cannot_read(tmp_path, name, message):
    for bad in ("alone.dat", "bad.mat", "bad.scp"):
        write(tmp_path / bad, "text")
    with pytest.raises(LfbtError, match=message):
        read(tmp_path / name)


def test_read_takes_upper_case_suffixes(tmp_path):
    steps = write_wfdb(tmp_path, "r", leads=["II"])
    (tmp_path / "r.hea").rename(tmp_path / "r.HEA")
    np.save(tmp_path / "a.npy", np.ones((1, 5)))
    (tmp_path / "a.npy").rename(tmp_path / "a.NPY")
    for name in ("r.HEA", "r.dat", "r"):
        np.testing.assert_array_equal(read(tmp_path / name).signal, (steps / 1000).astype(np.float32))
    assert read(tmp_path / "a.NPY", leads="II", sampling_rate=500).signal.shape == (1, 5)


def test_read_says_what_an_archive_is(tmp_path):
    np.savez(tmp_path / "a.npz", np.zeros((2, 5)))
    with pytest.raises(LfbtError, match=r"a\.npz: an archive of several arrays; save the one of a recording as \.npy"):
        read(tmp_path / "a.npz", leads="I,II", sampling_rate=500)


def test_read_can_be_sent_to_a_worker():
    assert pickle.loads(pickle.dumps(read)) is read  # noqa: S301 - written on the same line


def test_read_takes_leads_to_the_highest_rate_only_when_told_to(tmp_path):
    edf(tmp_path / "a.edf", per_record=(25, 5))
    write(tmp_path / "r.hea", "r 2 100 4\nr.dat 16x2 200/mV 16 0 0 0 0 II\nr.dat 16 200/mV 16 0 0 0 0 V1\n")
    (tmp_path / "r.dat").write_bytes(bytes(24))
    for name, rate, n_samples in (("a.edf", 500, 50), ("r.hea", 200, 8)):
        with pytest.raises(UnreadableError, match=r"resample_leads=True of lfbt\.read"):
            read(tmp_path / name)
        recording = read(tmp_path / name, resample_leads=True, sampling_rate=rate)
        assert (recording.sampling_rate, recording.signal.shape) == (rate, (2, n_samples))
    with pytest.raises(LfbtError, match=r"^resample_leads: 'perhaps'"):
        read(tmp_path / "a.edf", resample_leads="perhaps")  # type: ignore[arg-type]


def test_read_says_what_to_do_with_workbooks_and_other_texts(tmp_path):
    for name, advice in {
        "a.xlsx": "a workbook; save the sheet.* as CSV",
        "a.tsv": "for each sample, name it .csv",
    }.items():
        with pytest.raises(LfbtError, match=advice):
            read(write(tmp_path / name, "x"))


def test_read_takes_counts_with_an_offset(tmp_path):
    write(tmp_path / "a.csv", "I,II\n" + "".join(f"{2048 + i % 41},{2048 - i % 23}\n" for i in range(300)))
    signal = read(tmp_path / "a.csv", sampling_rate=500, unit="200(2048)/mV").signal
    assert signal[:, 20].tolist() == [np.float32(0.1), np.float32(-0.1)]
    with pytest.raises(LfbtError, match=r"give the unit 200\(2048\)/mV, or 200\(0\)/mV"):
        read(tmp_path / "a.csv", sampling_rate=500, unit="200/mV")


@pytest.mark.parametrize("rate", [0.5, 1e6])
def test_read_refuses_rates_that_no_ecg_has(tmp_path, rate):
    np.save(tmp_path / "a.npy", np.ones((1, 9)))
    with pytest.raises(LfbtError, match=r"^sampling_rate: (0\.5|1e\+06) Hz is none of an ECG; allowed: 5 to 50000 Hz"):
        read(tmp_path / "a.npy", leads="II", sampling_rate=rate)
    write_wfdb(tmp_path, "r", rate=rate)
    with pytest.raises(UnreadableError, match=r"r\.hea"):
        read(tmp_path / "r.hea")
