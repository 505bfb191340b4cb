"""Files that are answered as they arrive: each once, whatever happens to them and to the process."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from tests.inference.test_prediction import MeanModel
from tests.published_files import write_wfdb

from lfbt.errors import LfbtError
from lfbt.inference import watching
from lfbt.inference.answering import AnswerSettings, answer
from lfbt.inference.prediction import embedding_columns, embedding_rows
from lfbt.inference.recordings import FileSettings, list_file
from lfbt.inference.watching import Answering, WatchSettings, watch_folder
from lfbt.utils.interrupts import StoppedError

FILES = FileSettings("II,V1", 500.0)


def answering(model=None, files=FILES, weights=Path("absent")):
    columns = embedding_columns(128, per_piece=False)
    return Answering(model or MeanModel(), files, lambda one: embedding_rows(one, per_piece=False), columns, weights)


def save(path, n=5000, seed=0, records=None):
    shape = (2, n) if records is None else (records, 2, n)
    path.parent.mkdir(exist_ok=True)
    # As a program that renames what is complete.
    np.save(path.with_name(f".{path.name}.npy"), np.random.default_rng(seed).laplace(0, 0.2, size=shape))
    path.with_name(f".{path.name}.npy").rename(path)
    return path


@pytest.fixture
def place(tmp_path):
    (tmp_path / "in").mkdir()
    return tmp_path


def lines_of(out):
    return [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []


class _Stop:
    """Stands for the signals: stops after some looks at the folder, before each of which something is done."""

    def __init__(self, *actions):
        self._actions = [*actions, lambda: None, lambda: None]
        self._n = 0

    @property
    def signal(self):
        return "SIGTERM" if self._n > len(self._actions) else None

    def look(self):
        if self._n < len(self._actions):
            self._actions[self._n]()
        self._n += 1


@pytest.fixture
def watch(place, monkeypatch):
    """Watch the folder for as many looks as there are actions, and two more; returns the last line."""

    def run(*actions, out="out.jsonl", how=None):
        stop = _Stop(*actions)
        monkeypatch.setattr(watching, "catch_stop_signals", lambda: contextlib.nullcontext(stop))
        monkeypatch.setattr(watching, "_pause", lambda seconds, _: stop.look())
        stop.look()
        with pytest.raises(StoppedError) as ended:
            watch_folder(WatchSettings(place / "in"), out and place / out, how or answering())
        return str(ended.value)

    return run


def names(place, out="out.jsonl"):
    return [Path(line["file"]).relative_to(place.resolve()).as_posix() for line in lines_of(place / out)]


def test_watch_answers_files_once_and_goes_on_after_a_restart(place, watch):
    save(place / "in" / "a.npy")
    end = watch(lambda: None, lambda: save(place / "in" / "sub" / "b.npy"))
    assert end == f"stopped by SIGTERM: 2 files answered in {place / 'out.jsonl'}, and the same command goes on"
    assert names(place) == ["in/a.npy", "in/sub/b.npy"]
    save(place / "in" / "c.npy")
    assert "1 file answered" in watch()
    assert names(place) == ["in/a.npy", "in/sub/b.npy", "in/c.npy"]


def test_watch_gives_the_values_of_the_files(place, watch):
    file = save(place / "in" / "a.npy", 12000)
    watch()
    (line,) = lines_of(place / "out.jsonl")
    stat = (place / "in" / "a.npy").stat()
    assert (line["size"], line["mtime_ns"], line["rows"]) == (stat.st_size, stat.st_mtime_ns, 1)
    (expected,) = answer(AnswerSettings((file.resolve(),)), answering()).rows
    assert {name: line.get(name, "") for name in expected} == expected


def test_watch_waits_until_a_file_stays_as_it_is(place, watch):
    """It grows before each of the first looks, and is answered once, whole."""
    content = save(place / "whole.npy").read_bytes()
    parts = [content[: len(content) * k // 3] for k in (1, 2, 3)]
    watch(*(lambda part=part: (place / "in" / "a.npy").write_bytes(part) for part in parts))
    (line,) = lines_of(place / "out.jsonl")
    assert "error" not in line
    assert line["size"] == len(content)


def test_watch_answers_other_content_of_the_same_name_again(place, watch):
    save(place / "in" / "a.npy")
    end = watch(lambda: None, lambda: None, lambda: save(place / "in" / "a.npy", seed=1))
    assert "2 files answered" in end
    first, second = lines_of(place / "out.jsonl")
    assert first["file"] == second["file"]
    assert first["mtime_ns"] != second["mtime_ns"]
    # And not again after it was copied with its time.
    os.utime(save(place / "in" / "a.npy", seed=1), ns=(0, second["mtime_ns"]))
    assert "0 files answered" in watch()


def test_watch_passes_over_what_is_not_complete_and_links_out(place, watch):
    good = save(place / "outside" / "good.npy")
    for name in (".hidden.npy", "a.npy.part", "b.npy.tmp", "notes.txt"):
        (place / "in" / name).write_bytes(good.read_bytes())
    for folder in (".git", "x.part"):
        save(place / "in" / folder / "c.npy")
    (place / "in" / "folder").symlink_to(place / "outside")
    (place / "in" / "broken.npy").symlink_to(place / "absent.npy")
    os.mkfifo(place / "in" / "pipe.npy")
    (place / "in" / "link.npy").symlink_to(good)
    watch()
    assert names(place) == ["in/link.npy"]


def test_watch_answers_what_is_unreadable_once_with_its_reason(place, watch):
    (place / "in" / "bad.npy").write_bytes(b"no array")
    save(place / "in" / "none.npy", records=0)
    assert "0 files answered, 2 could not be" in watch(lambda: None)
    assert [line["error"][:4] for line in lines_of(place / "out.jsonl")] == ["file", "hold"]
    assert "0 files answered in" in watch()


def test_watch_leaves_out_a_file_that_goes_before_it_is_read(place, watch, monkeypatch):
    real = list_file

    def vanish(path, files):
        if path.name == "b.npy":
            path.unlink()
        return real(path, files)

    monkeypatch.setattr(watching, "list_file", vanish)
    for name in "abc":
        save(place / "in" / f"{name}.npy")
    assert "2 files answered in" in watch()
    assert names(place) == ["in/a.npy", "in/c.npy"]


def test_watch_leaves_out_a_file_that_changes_while_it_is_read(place, watch):
    class Slow(MeanModel):
        def compute(self, signals):
            if not self.batches:
                save(place / "in" / "a.npy", 5001)
            return super().compute(signals)

    save(place / "in" / "a.npy")
    watch(*[lambda: None] * 3, how=answering(Slow()))
    (line,) = lines_of(place / "out.jsonl")
    assert line["size"] == (place / "in" / "a.npy").stat().st_size


def test_watch_waits_for_all_parts_of_a_record(place, watch, capsys):
    steps = np.random.default_rng(0).laplace(0, 500, (2, 5000)).astype(np.int16)
    write_wfdb(place, "r", steps, leads=("II", "V1"))
    header, samples = place / "r.hea", place / "r.dat"
    header.rename(place / "in" / header.name)
    quiet = [lambda: None] * 4
    watch(*quiet)
    assert names(place) == []
    assert capsys.readouterr().err.count(f"{place.resolve()}/in/r.hea waits for r.dat") == 1
    size = samples.stat().st_size + (place / "in" / "r.hea").stat().st_size
    samples.rename(place / "in" / samples.name)
    watch()
    (line,) = lines_of(place / "out.jsonl")
    assert "error" not in line
    assert line["size"] == size


def test_watch_waits_for_permission(place, watch, monkeypatch, capsys):
    save(place / "in" / "a.npy")
    real = os.access
    allowed: list[bool] = []
    monkeypatch.setattr(os, "access", lambda path, mode: real(path, mode) and bool(allowed))
    watch(*[lambda: None] * 4)
    assert names(place) == []
    assert capsys.readouterr().err.count("a.npy may not be read yet; fix its permissions") == 1
    allowed.append(True)
    watch()
    assert names(place) == ["in/a.npy"]


def test_watch_passes_over_tables_and_its_own_output(place, watch, capsys):
    (place / "in" / "patients.csv").write_text("record,patient\na,1\n")
    save(place / "in" / "a.npy")
    watch(lambda: None, out="in/out.csv")
    assert len((place / "in" / "out.csv").read_text().splitlines()) == 2
    assert capsys.readouterr().err.count("patients.csv is passed over: a table with the column record") == 1


def test_watch_answers_all_records_of_an_array_together(place, watch):
    save(place / "in" / "many.npy", records=70)
    save(place / "in" / "one.npy")
    watch()
    assert [line["rows"] for line in lines_of(place / "out.jsonl")] == [70] * 70 + [1]


def test_watch_writes_names_that_are_no_utf8(place, watch):
    save(place / "a.npy").rename(place / "in" / "a\udcff.npy")
    for out in ("out.jsonl", "out.csv"):
        assert "1 file answered" in watch(out=out)
        assert "0 files answered" in watch(out=out)
    assert names(place) == ["in/a\\xff.npy"]


def test_watch_prints_lines_without_an_output(place, watch, capsys):
    save(place / "in" / "a.npy")
    assert watch(out=None) == "stopped by SIGTERM: 1 file answered"
    out, err = capsys.readouterr()
    assert json.loads(out)["record"] == "a"
    assert err == f"watching {place / 'in'} every 2 s; Ctrl-C ends it\n"


def test_watch_refuses_another_model_or_other_options(place, watch):
    save(place / "in" / "a.npy")
    (place / "weights").write_bytes(b"1")
    watch(how=answering(weights=place / "weights"))
    for how in (answering(weights=place / "weights", files=FileSettings("II,V1", 250.0)), answering()):
        with pytest.raises(LfbtError, match="has answers of another model, or by other options"):
            watch_folder(WatchSettings(place / "in"), place / "out.jsonl", how)
    (place / "weights").write_bytes(b"2")
    with pytest.raises(LfbtError, match="has answers of another model, or by other options"):
        watch_folder(WatchSettings(place / "in"), place / "out.jsonl", answering(weights=place / "weights"))


def test_watch_ends_when_the_folder_vanishes(place, watch):
    save(place / "in" / "a.npy")
    with pytest.raises(LfbtError, match=r"^watch: .*in is not there any more; 1 file answered$"):
        watch(lambda: None, lambda: None, lambda: (place / "in").rename(place / "gone"))


def test_watch_settings_refuse_what_cannot_be_watched(tmp_path):
    (tmp_path / "dataset.json").write_text("{}")
    for settings, message in (
        (WatchSettings(tmp_path / "absent"), r"^watch: .*absent does not exist"),
        (WatchSettings(tmp_path / "dataset.json"), r"^watch: .* is not a folder"),
        (WatchSettings(tmp_path), r"^watch: .* is a prepared data set, which is complete"),
        (WatchSettings(poll_seconds=1.0), r"^poll_seconds: has no effect without --watch; leave it out$"),
    ):
        with pytest.raises(LfbtError, match=message):
            settings.check()


PROGRAM = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from tests.inference.test_watching import answering
from lfbt.inference.watching import WatchSettings, watch_folder
place = Path(sys.argv[2])
watch_folder(WatchSettings(place / "in", 0.01), place / sys.argv[3], answering())
"""


def begin(place, out):
    words = [sys.executable, "-c", PROGRAM, str(Path(__file__).parents[2]), str(place), out]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    line = process.stderr.readline()
    if "cut short" in line:
        line = process.stderr.readline()
    assert line.startswith("watching ")
    return process


@pytest.mark.parametrize("out", ["out.jsonl", "out.csv"])
def test_watch_answers_each_file_once_under_kill(place, out):
    """It is killed at random while files arrive, and in the midst of writing as often as not."""
    rng = random.Random(0)
    n_files, written = 60, threading.Event()

    def arrive():
        for i in range(n_files):
            save(place / "in" / f"{i}.npy", 2500, seed=i, records=1 + i % 3)
            time.sleep(0.05)
        written.set()

    writer = threading.Thread(target=arrive)
    writer.start()
    kills = 0
    while not written.is_set():
        process = begin(place, out)
        time.sleep(rng.uniform(0, 0.4))
        process.kill()
        process.communicate()
        kills += 1
    writer.join()
    process = begin(place, out)
    deadline = time.monotonic() + 60
    expected = sum(1 + i % 3 for i in range(n_files))
    while time.monotonic() < deadline and (place / out).read_bytes().count(b"\n") < expected + out.endswith("csv"):
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate()
    assert "StoppedError: stopped by SIGTERM" in err
    if out.endswith("csv"):
        records = [line.split(",")[1] for line in (place / out).read_text().splitlines()[1:]]
    else:
        records = [line["record"] for line in lines_of(place / out)]
    assert kills > 0
    assert sorted(records) == sorted(f"{i}/{row}" for i in range(n_files) for row in range(1 + i % 3))
