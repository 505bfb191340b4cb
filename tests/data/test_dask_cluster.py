"""Preparing by the workers of a real Dask cluster: the same bytes when a worker dies, and errors of one line."""

import contextlib
import dataclasses
import functools
import json
import multiprocessing
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from typing import Any

import numpy as np
import pytest
from tests.outputs import contents

import lfbt.data.dask_cluster as cluster_module
from lfbt.data.preparation import prepare_dataset
from lfbt.data.records import PrepareSettings
from lfbt.data.writers import PackedWriter
from lfbt.errors import LfbtError, UnreadableError
from lfbt.sources import PtbXl
from lfbt.sources.listing import Entry, Listing
from lfbt.sources.synthesis import write_ptbxl

distributed = pytest.importorskip("distributed", reason="lfbt[dask] is not installed")

SETTINGS = PrepareSettings(n_samples=128, workers=1)
RECORDS = 300


@contextlib.contextmanager
def cluster(place, workers, **environment):
    """A new Dask cluster: its address, the scheduler's process and the workers'; all are killed in the end."""
    with contextlib.ExitStack() as stack:
        log = stack.enter_context((place / "log").open("wb"))

        def start(*words):
            process = subprocess.Popen(
                [sys.executable, "-m", "dask", *map(str, words)],
                stdout=log,
                stderr=log,
                env=os.environ | environment,
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            return process

        found = place / "scheduler.json"
        # If these tests are killed, the scheduler ends some time later, and the workers with it.
        more = ("--idle-timeout", "300s", "--scheduler-file", found)
        scheduler = start("scheduler", "--host", "127.0.0.1", "--port", 0, "--no-dashboard", *more)
        while True:
            assert scheduler.poll() is None, (place / "log").read_text()
            with contextlib.suppress(OSError, ValueError):
                address = json.loads(found.read_text())["address"]
                break
            time.sleep(0.02)
        options = ("--no-dashboard", "--no-nanny", "--nthreads", 1, "--local-directory", place)
        processes = [start("worker", address, "--host", "127.0.0.1", *options) for _ in range(workers)]
        if workers:
            with asked(address) as client:
                client.wait_for_workers(workers, timeout=60)
        yield address.removeprefix("tcp://"), scheduler, processes


def asked(address):
    """A client of the tests' own, to ask the scheduler and the workers."""
    return distributed.Client(address, timeout=30, set_as_default=False)


@pytest.fixture(scope="module")
def dask(tmp_path_factory):
    """The address of a scheduler with two workers."""
    with cluster(tmp_path_factory.mktemp("dask"), workers=2) as (address, _, _):
        yield address


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A download with a record whose leads are flat, and the data set that this process makes of it."""
    place = tmp_path_factory.mktemp("place")
    write_ptbxl(place / "from", RECORDS, 0)
    record = place / "from" / "records500" / "00000" / "00007_hr.dat"
    record.write_bytes(bytes(record.stat().st_size))
    header = record.with_suffix(".hea")
    header.write_text(re.sub(r"-?\d+ \d+ 0 (\S+)$", r"0 0 0 \1", header.read_text(), flags=re.MULTILINE))
    prepare_dataset(PtbXl(), "ptbxl", place / "from", place / "local", SETTINGS)
    return place


#: A reader that ends its process: another program takes its place.
_gone: Any = functools.partial(os.execl, "/bin/false", "false")


@dataclasses.dataclass(frozen=True)
class Given:
    """A source that has what it is given."""

    entries: tuple[Entry, ...]

    def listing(self, folder):
        return Listing(list(self.entries), (), "as given")


def make(place, target, address, **changes):
    """Prepare the download at `place` by the cluster at `address`."""
    settings = dataclasses.replace(SETTINGS, dask_scheduler=address, **changes)
    return prepare_dataset(PtbXl(), "ptbxl", place / "from", target, settings)


def on_record(monkeypatch, number, do):
    """Call `do` when record `number` (from 0) is about to be written."""
    append = PackedWriter.append

    def hooked(self, signal):
        if self.n == number:
            do()
        append(self, signal)

    monkeypatch.setattr(PackedWriter, "append", hooked)


# --- the same data set ---


def test_cluster_prepares_the_same_data_set(place, dask, tmp_path):
    """FROM is relative to a folder that is not the workers'."""
    words = ("prepare", "ptbxl", "from", tmp_path / "to", "--n-samples", 128, "--dask-scheduler", dask)
    ended = subprocess.run(
        [sys.executable, "-m", "lfbt", *map(str, words)], cwd=place, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    made = contents(tmp_path / "to")
    assert set(made) == {"signals.npy", "records.csv", "dropped.csv", "dataset.json"}
    assert made == contents(place / "local")
    assert b'00007_hr.hea,"flat: II,' in made["dropped.csv"]
    assert not any(name in made["dataset.json"] for name in (b"dask", dask.encode()))
    shape = np.load(tmp_path / "to" / "signals.npy", mmap_mode="r").shape
    assert ended.stdout.splitlines()[1].startswith(f"{tmp_path}/to: {shape[0]} records of ")


def test_cluster_repeats_the_work_of_a_killed_worker(place, tmp_path, monkeypatch):
    with cluster(tmp_path, workers=2) as (address, _, workers), asked(address) as client:
        done = {}

        def kill():
            pids = client.run(os.getpid)
            counts = client.run(lambda dask_worker: dask_worker.state.executed_count)
            done.update({pids[worker]: count for worker, count in counts.items()})
            workers[0].kill()
            workers[0].wait()

        on_record(monkeypatch, 50, kill)
        make(place, tmp_path / "to", address)
        # Record 50 is in the fourth chunk of 17, and four more are in flight.
        assert done[workers[0].pid] > 0
        assert sum(done.values()) <= 8
        assert list(client.run(os.getpid).values()) == [workers[1].pid]
    assert contents(tmp_path / "to") == contents(place / "local")


# --- what goes wrong ---


def test_cluster_reports_an_unreadable_file_as_without_dask(place, dask, tmp_path):
    shutil.copytree(place / "from", tmp_path / "from")
    (tmp_path / "from" / "records500" / "00000" / "00150_hr.dat").write_bytes(b"cut")
    messages = []
    for address in (None, dask):
        with pytest.raises(UnreadableError) as caught:
            make(tmp_path, tmp_path / "to", address)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
    assert messages[0].startswith(f"file {tmp_path}/from/records500/00000/00150_hr.hea: cannot be read")
    assert [path.name for path in tmp_path.iterdir()] == ["from"]
    for name, address in (("local", None), ("dask", dask)):
        make(tmp_path, tmp_path / name, address, skip_unreadable=True)
    assert b"unreadable" in contents(tmp_path / "local")["dropped.csv"]
    assert contents(tmp_path / "dask") == contents(tmp_path / "local")


def test_cluster_does_not_skip_a_file_that_a_worker_does_not_see(dask, tmp_path):
    source = Given((Entry("a", "a", tmp_path / "from" / "a.hea", _gone),))
    settings = dataclasses.replace(SETTINGS, dask_scheduler=dask, skip_unreadable=True)
    with pytest.raises(LfbtError, match=r"its worker on .* does not see .*/from/a\.hea; .* under the same path$"):
        prepare_dataset(source, "given", tmp_path / "from", tmp_path / "to", settings)
    assert list(tmp_path.iterdir()) == []


def test_cluster_has_nothing_to_do_after_an_interrupt(place, dask, tmp_path, monkeypatch):
    def interrupted():
        raise KeyboardInterrupt

    on_record(monkeypatch, 50, interrupted)
    with pytest.raises(KeyboardInterrupt):
        make(place, tmp_path / "to", dask)
    assert list(tmp_path.iterdir()) == []
    with asked(dask) as client:
        for _ in range(100):
            left = client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks))
            if not left:
                break
            time.sleep(0.05)
    assert left == 0


def test_cluster_names_recordings_that_kill_workers_and_a_scheduler_without_workers(place, tmp_path, monkeypatch):
    (tmp_path / "from").mkdir()
    (tmp_path / "from" / "a").write_text("a")
    source = Given((Entry("r7", "p", tmp_path / "from" / "a", _gone),))
    monkeypatch.setattr(cluster_module, "_WORKER_S", 0.5)
    with cluster(tmp_path, workers=1, DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="0") as (address, _, _):
        settings = dataclasses.replace(SETTINGS, dask_scheduler=address)
        with pytest.raises(LfbtError, match=r"several workers of 127.* died over recording r7 to recording r7, "):
            prepare_dataset(source, "given", tmp_path / "from", tmp_path / "to", settings)
        with pytest.raises(LfbtError, match=r"127.* has no workers; start some with `dask worker 127"):
            make(place, tmp_path / "to", address)
    assert not any("to" in path.name for path in tmp_path.iterdir())


@pytest.mark.parametrize(
    ("dies", "message"), [("workers", "has no workers"), ("scheduler", "connection to .* was lost")]
)
def test_cluster_that_is_lost_is_one_line(place, tmp_path, monkeypatch, capfd, dies, message):
    monkeypatch.setattr(cluster_module, "_ANSWER_S", 1.0)
    monkeypatch.setattr(cluster_module, "_WORKER_S", 0.5)
    with cluster(tmp_path, workers=1) as (address, scheduler, workers):
        on_record(monkeypatch, 50, (workers[0] if dies == "workers" else scheduler).kill)
        with pytest.raises(LfbtError, match=message):
            make(place, tmp_path / "to", address)
    assert not any("to" in path.name for path in tmp_path.iterdir())
    assert capfd.readouterr().err == ""


def test_connected_refuses_an_address_without_a_scheduler_before_reading(tmp_path, monkeypatch):
    class Unread:
        def listing(self, folder):
            pytest.fail("the source was read")

    monkeypatch.setattr(cluster_module, "_ANSWER_S", 0.5)
    with socket.socket() as free, socket.socket() as silent:
        free.bind(("127.0.0.1", 0))
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        places = (f"127.0.0.1:{free.getsockname()[1]}", f"127.0.0.1:{silent.getsockname()[1]}", "", "here", "tls://a:1")
        for address in places:
            begun = time.monotonic()
            settings = dataclasses.replace(SETTINGS, dask_scheduler=address)
            with pytest.raises(LfbtError, match=f"^dask_scheduler: '{address}' cannot be reached \\(.+\\); give host"):
                prepare_dataset(Unread(), "unread", tmp_path / "from", tmp_path / "to", settings)
            assert time.monotonic() - begun < 5
    assert list(tmp_path.iterdir()) == []


def test_connected_refuses_workers_with_another_version(place, dask, tmp_path, monkeypatch):
    monkeypatch.setattr("lfbt.__version__", "0.0.1")
    with pytest.raises(LfbtError, match=r"the worker tcp:.* at 127.* does not have lfbt 0\.0\.1 \(\d.*\); install"):
        make(place, tmp_path / "to", dask)
    assert list(tmp_path.iterdir()) == []


def test_connected_names_the_extra_to_install(place, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(LfbtError, match=r"no package to reach it .*; pip install 'lfbt\[dask\]'"):
        make(place, tmp_path / "to", "127.0.0.1:1")


def test_preparation_imports_dask_only_when_needed():
    code = "import sys, lfbt.data.preparation; print(sorted({'distributed', 'dask', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


# --- processes of this machine ---


def test_local_worker_that_is_killed_is_one_line(place, tmp_path, monkeypatch):
    on_record(monkeypatch, 20, lambda: multiprocessing.active_children()[0].kill())
    with pytest.raises(LfbtError, match=r"^workers: one of 2 processes ended early, .*; take fewer --workers$"):
        make(place, tmp_path / "to", None, workers=2)
    assert list(tmp_path.iterdir()) == []
