"""``lfbt prepare``: what it prints, and what it refuses."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from typing import Any

import numpy as np
import openpyxl
import pytest
import scipy.io
from tests.cli.helpers import everything, output_of, read_json, refused, run
from tests.published_files import taken_up, write_hdf5

import lfbt
from lfbt.recording import STANDARD_LEADS
from lfbt.sources import SOURCES
from lfbt.sources.synthesis import make_record


def ecg():
    return make_record(0, 1).signal.astype(np.float32)


OWN = ("--file-leads", ",".join(STANDARD_LEADS), "--file-sampling-rate", "500")


def write_header(folder, name="a", steps=None, header=None):
    steps = np.round(ecg() * 1000).astype("<i2") if steps is None else steps
    lines = [f"{name} 12 500 5000", *(f"{name}.dat 16 1000/mV 16 0 0 0 0 {lead}" for lead in STANDARD_LEADS)]
    (folder / f"{name}.hea").write_text(header or "\n".join(lines) + "\n")
    (folder / f"{name}.dat").write_bytes(steps.T.tobytes())


def stated_header():
    """A header with a checksum that the samples do not have."""
    return "\n".join(["a 12 500 5000", *(f"a.dat 16 1000/mV 16 0 0 1 0 {lead}" for lead in STANDARD_LEADS)]) + "\n"


def cpsc(folder, mat):
    (folder / "REFERENCE.csv").write_text("Recording,First_label,Second_label,Third_label\nA0001,1,,\n")
    mat(folder / "A0001.mat")


def complete_mat(path):
    scipy.io.savemat(path, {"ECG": {"sex": "Male", "age": 50, "data": ecg()}})


def truncated_mat(path):
    complete_mat(path)
    path.write_bytes(path.read_bytes()[:100_000])


def chapman(folder, text):
    book = openpyxl.Workbook()
    for row in [("FileName", "Rhythm"), ("a", "SB")]:
        book.active.append(row)  # type: ignore[union-attr]
    book.save(folder / "Diagnostics.xlsx")
    (folder / "a.csv").write_text(text)


def saved(folder, array, name="a"):
    np.save(folder / f"{name}.npy", array, allow_pickle=True)


def table(folder, text):
    saved(folder, ecg())
    (folder.parent / "table.csv").write_text(text)
    return ("--labels", "table", "--table", folder.parent / "table.csv", *OWN)


def csv_text(cell):
    rows = [[f"{value:.3f}" for value in row] for row in ecg().T[:50]]
    rows[7][3] = cell
    return "\n".join([",".join(STANDARD_LEADS), *map(",".join, rows)]) + "\n"


def nan():
    return np.full((12, 5000), np.nan, dtype=np.float32)


#: A bad folder a name: the source, what fills the folder (and may add options), options, and words of the message.
PREPARE = {
    "missing folder": ("ptbxl", lambda d: d.rmdir(), (), "does not exist; give the folder that holds the download"),
    "a file": ("ptbxl", lambda d: (d.rmdir(), d.write_text("")), (), "is a file"),
    "truncated .mat": ("cpsc2018", lambda d: cpsc(d, truncated_mat), (), "A0001.mat: cannot be read"),
    "empty .mat": ("cpsc2018", lambda d: cpsc(d, lambda p: p.write_bytes(b"")), (), "A0001.mat: cannot be read"),
    "foreign .mat": ("cpsc2018", lambda d: cpsc(d, lambda p: scipy.io.savemat(p, {"x": 1})), (), "struct ECG"),
    "malformed header": ("folder", lambda d: write_header(d, header="a 12 fast\nnonsense\n"), (), "a.hea: "),
    "empty header": ("challenge", lambda d: write_header(d, header="\n"), (), "not a WFDB record line"),
    "truncated .dat": (
        "challenge",
        lambda d: write_header(d, steps=np.zeros((12, 9), "<i2")),
        (),
        "a.hea: cannot be read",
    ),
    "corrupt .dat": (
        "challenge",
        lambda d: write_header(d, header=stated_header()),
        (),
        "signal I has the checksum",
    ),
    "absent .dat": ("folder", lambda d: (write_header(d), (d / "a.dat").unlink()), (), "a.dat is absent"),
    "text in a CSV signal": (
        "chapman",
        lambda d: chapman(d, csv_text("oops")),
        (),
        "line 9, column 4 holds 'oops', which is not a number",
    ),
    "text in own CSV": (
        "folder",
        lambda d: (d / "a.csv").write_text(csv_text("oops")),
        ("--file-sampling-rate", 500),
        "line 9, column 4 holds 'oops'",
    ),
    "empty CSV": ("chapman", lambda d: chapman(d, ""), (), "a.csv: "),
    "objects in .npy": ("folder", lambda d: saved(d, np.array([{}, 1], dtype=object)), OWN, "a.npy: cannot be read"),
    "text in .npy": ("folder", lambda d: (d / "a.npy").write_text("x"), OWN, "a.npy: cannot be read"),
    "letters in .npy": (
        "folder",
        lambda d: saved(d, np.array([["a"] * 9] * 12)),
        OWN,
        "an array of <U1, not of numbers",
    ),
    "one axis": ("folder", lambda d: saved(d, ecg()[0]), OWN, "an array of shape [5000], not [12 leads, samples]"),
    "too many leads": ("folder", lambda d: saved(d, ecg()[:11].T), OWN, "shape [5000, 11], not [12 leads, samples]"),
    "no samples": ("folder", lambda d: saved(d, ecg()[:, :0]), OWN, "shape [12, 0]"),
    "no names": ("folder", lambda d: saved(d, ecg()), OWN[2:], "file-leads: none given"),
    "no rate": ("folder", lambda d: saved(d, ecg()), OWN[:2], "file-sampling-rate: none given"),
    "all NaN": (
        "folder",
        lambda d: (saved(d, nan()), saved(d, nan(), "b")),
        OWN,
        "no record is left; dropped: 2 not finite",
    ),
    "all flat": ("folder", lambda d: saved(d, 0 * ecg()), OWN, "no record is left; dropped: 1 flat"),
    "several labels": (
        "folder",
        lambda d: table(d, "record,label\na,x;y\n"),
        (),
        "no record is left; dropped: 1 several labels",
    ),
    "too few": ("folder", lambda d: table(d, "record,label\na,x\n"), (), "1 patient is too few"),
    "bad table": ("folder", lambda d: table(d, "name,label\na,x\n"), (), "column 'name' is likely record"),
    "unknown lead": ("challenge", write_header, ("--leads", "II,V9"), "leads: 'V9' is not one of I,II,III"),
    "absent lead": ("folder", write_header, ("--leads", "II,V9"), "no record is left; dropped: 1 absent lead V9"),
    "bad unit": ("folder", lambda d: saved(d, ecg()), (*OWN, "--file-unit", "mmHg"), "'mmHg' is not a voltage"),
    "too few samples": ("folder", write_header, ("--n-samples", 31), "n-samples: 31 is outside"),
    "no duration": ("folder", write_header, ("--duration", 0), "duration: 0.0 is outside"),
    "all for the test": ("folder", write_header, ("--test-fraction", 1), "test-fraction: 1.0 is outside [0, 1)"),
    "negative seed": ("folder", write_header, ("--split-seed", -1), "split-seed: -1 is outside"),
    "no workers": ("folder", write_header, ("--workers", 0), "workers: 0 is outside"),
}


@pytest.mark.parametrize("name", PREPARE)
def test_prepare_refuses_and_writes_nothing(tmp_path, name):
    source, fill, options, message = PREPARE[name]
    (tmp_path / "from").mkdir()
    more = fill(tmp_path / "from")
    more = more if isinstance(more, tuple) and "--table" in more else ()
    before = everything(tmp_path)
    refusal = refused("prepare", source, tmp_path / "from", tmp_path / "to", "--workers", 1, *more, *options)
    assert message in refusal
    assert everything(tmp_path) == before


@pytest.mark.parametrize("source", [name for name in SOURCES if name != "synthetic"])
def test_prepare_refuses_an_empty_folder_for_every_source(tmp_path, source):
    (tmp_path / "from").mkdir()
    refusal = refused("prepare", source, tmp_path / "from", tmp_path / "to")
    assert f"{tmp_path / 'from'} holds no files" in refusal
    assert everything(tmp_path) == ["from"]


CHALLENGE = ("challenge", "ningbo", "arrhythmia", "georgia", "cpsc-extra")


@pytest.mark.parametrize("source", [name for name in SOURCES if name not in ("ptbxl", "folder", "challenge")])
def test_prepare_refuses_the_folder_of_another_source(place, tmp_path, source):
    (tmp_path / "from").mkdir()
    for name in ("ptbxl_database.csv", "scp_statements.csv"):
        shutil.copy(place / "download" / name, tmp_path / "from")
    refusal = refused("prepare", source, tmp_path / "from", tmp_path / "to")
    assert str(tmp_path / "from") in refusal
    if source != "synthetic":
        fits = "is a download of ptbxl" if source in CHALLENGE else "the source ptbxl might fit"
        assert fits in refusal
    assert not (tmp_path / "to").exists()


def test_prepare_does_not_fill_an_occupied_folder(place, tmp_path):
    (tmp_path / "mine").write_text("mine")
    refusal = refused("prepare", "ptbxl", place / "download", tmp_path, "--workers", 1)
    assert f"{tmp_path}: holds other results already; name a new or empty folder" in refusal
    assert everything(tmp_path) == ["mine"]


def test_prepare_can_drop_an_unreadable_file(tmp_path):
    (tmp_path / "from").mkdir()
    write_header(tmp_path / "from")
    write_header(tmp_path / "from", "b", header="b 12 fast\n")
    words = ("prepare", "folder", tmp_path / "from", tmp_path / "to", "--workers", 1)
    assert "drop such files with --skip-unreadable" in refused(*words)
    status, out, _ = run(*words, "--skip-unreadable")
    assert status == 0
    assert "dropped 1: unreadable" in out


def test_prepare_asks_for_all_options_that_are_missing_at_once(tmp_path):
    (tmp_path / "from").mkdir()
    write_header(tmp_path / "from")
    saved(tmp_path / "from", ecg(), "b")
    refusal = refused("prepare", "folder", tmp_path / "from", tmp_path / "to")
    assert re.fullmatch(
        r"--file-sampling-rate: none given, but \S*/b\.npy .*; --file-leads: none given, but \S*/b\.npy .*", refusal
    )


def test_prepare_names_what_was_passed_over_left_out_and_transposed(tmp_path):
    (tmp_path / "from").mkdir()
    saved(tmp_path / "from", ecg().T)
    (tmp_path / "from" / "notes.txt").write_text("")
    write_header(tmp_path / "from", "b", np.r_[np.round(ecg() * 1000).astype("<i2"), np.zeros((1, 5000), "<i2")])
    header = tmp_path / "from" / "b.hea"
    text = header.read_text().replace("b 12 ", "b 13 ") + "b.dat 16 1/mmHg 16 0 0 0 0 ABP\n"
    header.write_text(text)
    words = ("prepare", "folder", tmp_path / "from", tmp_path / "to", "--workers", 1, *OWN)
    status, out, _ = run(*words)
    assert status == 0
    assert "2 records of 2 patients" in out
    assert "  dropped 1: passed over\n" in out
    assert "  noted 1: transposed from samples × leads\n" in out
    assert "  noted 1: left out signal ABP\n" in out
    assert f"  listed in {tmp_path / 'to' / 'dropped.csv'}" in out
    assert (tmp_path / "to" / "dropped.csv").read_text().splitlines() == [
        "id,file,reason",
        "notes,notes.txt,passed over: .txt is no suffix of a signal file",
        "a,a.npy,noted: transposed from samples × leads",
        "b,b.hea,noted: left out signal ABP (mmHg)",
    ]
    signals = np.load(tmp_path / "to" / "signals.npy")
    np.testing.assert_allclose(signals[0], signals[1], atol=2e-3)


def test_prepare_takes_leads_to_the_highest_rate_when_told_to(tmp_path):
    """Lead V6 at half the rate of the others, in frames of 250 Hz."""
    (tmp_path / "from").mkdir()
    steps = np.round(ecg() * 1000).astype("<i2")
    frames = np.concatenate(
        [steps[:11].reshape(11, 2500, 2).swapaxes(0, 1).reshape(2500, 22), steps[11:, ::2].T], axis=1
    )
    lines = [f"a.dat 16{'' if lead == 'V6' else 'x2'} 1000/mV 16 0 0 0 0 {lead}" for lead in STANDARD_LEADS]
    write_header(tmp_path / "from", "a", frames.T, "\n".join(["a 12 250 2500", *lines]) + "\n")
    words = ("prepare", "folder", tmp_path / "from", tmp_path / "to", "--workers", 1, "--n-samples", 5000)
    assert "--resample-leads of lfbt prepare folder, takes all to the highest rate" in refused(*words)
    assert not (tmp_path / "to").exists()
    status, out, _ = run(*words, "--resample-leads")
    assert status == 0
    assert "  noted 1: leads resampled to 500 Hz\n" in out
    assert "a,a.hea,noted: leads resampled to 500 Hz: V6 from 250 Hz\n" in (tmp_path / "to" / "dropped.csv").read_text()
    signals = np.load(tmp_path / "to" / "signals.npy")[0]
    np.testing.assert_allclose(signals[:-1], steps[[1, 2, *range(6, 11)]] / 1000, atol=1e-6)
    np.testing.assert_allclose(signals[-1], taken_up(steps[11, ::2] / 1000, 5000), atol=1e-6)


@pytest.mark.parametrize("options", [(), ("--file-separator", ";"), ("--file-separator=;", "--file-decimal", ",")])
def test_prepare_reads_csv_with_semicolons_and_decimal_commas(tmp_path, options):
    (tmp_path / "from").mkdir()
    rows = [[f"{value:.4f}" for value in row] for row in ecg().T]
    (tmp_path / "from" / "a.csv").write_text("\n".join([",".join(STANDARD_LEADS), *map(",".join, rows)]))
    text = "\n".join([";".join(STANDARD_LEADS), *(";".join(row).replace(".", ",") for row in rows)])
    (tmp_path / "from" / "b.CSV").write_text(text)
    if options:
        (tmp_path / "from" / "a.csv").write_text(text.replace(",", ".") if len(options) < 2 else text)
    words = ("prepare", "folder", tmp_path / "from", tmp_path / "to", "--workers", 1, "--file-sampling-rate", 500)
    assert run(*words, *options)[0] == 0
    signals = np.load(tmp_path / "to" / "signals.npy")
    np.testing.assert_array_equal(signals[0], signals[1])


@pytest.mark.parametrize("word", ["--leads", "", "xyz"])
def test_prepare_refuses_an_unknown_source_with_the_known_ones(tmp_path, word):
    message = refused("prepare", word, tmp_path, tmp_path / "to")
    assert message == f"{word!r} is no source; sources are {', '.join(SOURCES)}"


@pytest.mark.parametrize(
    ("word", "near"), [("ptb-xl", "ptbxl"), ("code-15", "code15"), ("mimic", "mimic-iv-ecg"), ("Chapman", "chapman")]
)
def test_prepare_suggests_the_nearest_source(tmp_path, word, near):
    message = refused("prepare", word, tmp_path, tmp_path / "to")
    assert message == f"{word!r} is no source; did you mean `lfbt prepare {near}`?"


def test_prepare_ends_with_status_130_when_interrupted(place, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("lfbt.data.executors.prepare_entry", interrupted)
    status, _, err = run("prepare", "ptbxl", place / "download", tmp_path / "to", "--workers", 1)
    assert (status, err) == (130, "lfbt: interrupted\n")
    assert everything(tmp_path) == []


@pytest.mark.parametrize(
    ("number", "send"),
    [(signal.SIGTERM, os.kill), (signal.SIGTERM, os.killpg), (signal.SIGHUP, os.killpg)],
    ids=["SIGTERM to the command", "SIGTERM to its workers, too", "SIGHUP to its workers, too"],
)
def test_prepare_says_that_it_was_stopped_and_goes_on(tmp_path, number, send):
    (tmp_path / "from").mkdir()
    for record in range(120):
        np.save(tmp_path / "from" / f"{record}.npy", ecg())
    options = ("--workers", "2", "--n-samples", "64", *OWN)
    command = [sys.executable, "-m", "lfbt", "prepare", "folder", "from", "to", *options]
    journal = tmp_path / ".to.partial-folder" / "journal.jsonl"
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=tmp_path, start_new_session=True, **pipes) as process:
        while process.poll() is None and (not journal.is_file() or journal.read_bytes().count(b"\n") < 20):
            time.sleep(0.001)
        send(process.pid, number)
        _, err = process.communicate(timeout=60)
    # No process of its session is left; that of Python's which watches over semaphores ends an instant later.
    with pytest.raises(ProcessLookupError):  # noqa: PT012
        for _ in range(200):
            os.killpg(process.pid, 0)
            time.sleep(0.05)
    kept = f"what is done is kept in {tmp_path}/.to.partial-folder; the same command goes on"
    assert (process.returncode, err) == (128 + number, f"lfbt: stopped by {number.name}; {kept}\n")
    n_done = journal.read_bytes().count(b"\n") - 1
    again = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    first, second, *_ = again.stdout.splitlines()
    assert first.startswith(f"to: going on after {n_done} of 120 recordings; the rest takes ")
    assert second.startswith("to: 120 records of ")
    assert again.stderr == ""
    assert everything(tmp_path / "to") == ["dataset.json", "dropped.csv", "records.csv", "signals.npy"]


def test_prepare_prints_what_the_data_set_holds(chain):
    output = read_json(chain / "outputs.json")["data"]
    manifest = read_json(chain / "data" / "dataset.json")
    assert manifest["synthetic"] is True
    assert (manifest["source"]["name"], manifest["source"]["options"]["records"]) == ("synthetic", 70)
    assert f"{manifest['records']} records of {manifest['patients']} patients, from " in output
    assert "Labels: SYNTHETIC" in output
    for split, counts in manifest["counts"].items():
        line = ", ".join(f"{name} {count}" for name, count in counts.items())
        assert re.search(rf"^  {split} +{sum(counts.values())}  \({line}\)$", output, re.MULTILINE)
    for reason, count in manifest["dropped"].items():
        assert f"  dropped {count}: {reason}" in output
    assert manifest["records"] + sum(manifest["dropped"].values()) == 70


def test_prepare_prints_the_disk_it_takes_and_what_is_assumed(tmp_path):
    signals = np.stack([make_record(0, number).signal[:, :4096].T for number in range(1, 5)])
    signals[0, :648] = signals[0, 3448:] = 0
    leads = [STANDARD_LEADS.index(lead) for lead in ("I", "II", "III", "aVL", "aVF", "aVR")] + [*range(6, 12)]
    write_hdf5(tmp_path / "from" / "ecg_tracings.hdf5", tracings=signals[:, :, leads])
    table = "1dAVb,RBBB,LBBB,SB,AF,ST\n" + "0,0,0,0,0,0\n" * 4
    (tmp_path / "from" / "gold_standard.csv").write_text(table)
    words = ("prepare", "code-test", tmp_path / "from", tmp_path / "to", "--n-samples", 4000, "--dtype", "float16")
    first, second, *_, last = output_of(*words, "--labels", "none", "--workers", 1, "--leads", "aVR,V6").splitlines()
    assert first == f"{tmp_path}/to: 4 recordings take 64 kB, more if some are cut in pieces."
    assert second == f"{tmp_path}/to: 4 records of 4 patients, from 4 recordings. No labels were read."
    assert last.startswith("  assumed: signals are taken for mV")
    dataset = lfbt.open_dataset(tmp_path / "to")
    expected = signals[:, :4000, [3, 11]].transpose(0, 2, 1)
    # Without the zeros before it, and with zeros to ten seconds after it.
    expected[0] = np.pad(signals[0, 648:3448, [3, 11]], ((0, 0), (0, 1200)))
    np.testing.assert_allclose(dataset.batch(np.arange(4), "none"), expected, rtol=2**-11, atol=2**-25)


def test_prepare_keeps_patients_of_several_recordings_in_one_split(tmp_path):
    rows = ["ECG_ID,AHA_Code,Patient_ID,Age,Sex,N,Date"]
    for number in range(24):
        signal = make_record(0, number + 1).signal.astype(np.float16)
        write_hdf5(tmp_path / "from" / "records" / f"A{number:05d}.h5", ecg=signal)
        rows.append(f"A{number:05d},{(1, 22)[number % 2]}+310,S{number // 2},50,M,5000,2020-01-01")
    (tmp_path / "from" / "metadata.csv").write_text("\n".join(rows) + "\n")
    output = output_of("prepare", "sph", tmp_path / "from", tmp_path / "to", "--n-samples", 64, "--workers", 2)
    assert "24 records of 12 patients, from 24 recordings. Labels: the primary statements of AHA_Code" in output
    dataset = lfbt.open_dataset(tmp_path / "to")
    assert len(set(zip(dataset.patients, dataset.split.tolist(), strict=True))) == 12
    assert set(dataset.split.tolist()) == {"train", "val", "test"}


def test_prepare_says_what_duration_is_allowed(tmp_path):
    (tmp_path / "from").mkdir()
    saved(tmp_path / "from", ecg())
    words = ("prepare", "folder", tmp_path / "from", tmp_path / "to", "--workers", 1, *OWN, "--duration", "1e-9")
    assert refused(*words).endswith(
        f"duration: 1e-09 s is less than two samples at the 500 Hz of {tmp_path}/from/a.npy; give 0.004 or more, or "
        "correct the rate"
    )


def test_prepare_help_has_choices_that_can_be_read(tmp_path):
    output = output_of("prepare", "folder", "--help")
    assert "--file-separator {auto,',',';',tab,space}" in output
    assert "--file-decimal {auto,'.',','}" in output
    message = refused("prepare", "folder", tmp_path, tmp_path / "to", "--file-decimal", "x")
    assert "'x' is not one of auto, '.', ','" in message
