"""``lfbt serve``: the real command, asked over HTTP, and how it ends."""

import asyncio
import contextlib
import json
import re
import signal
import subprocess
import sys

import httpx
import numpy as np
import pytest
from benchmarks.serving import load
from tests.cli.helpers import output_of, refused
from tests.factories import write_labelled
from tests.inference.test_classifier import write_run
from tests.serving.helpers import wfdb

from lfbt.data.layouts import open_dataset

STATED = {"leads": "II,V1", "sampling_rate": "6.4"}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A run with a classifier, and a recording."""
    place = tmp_path_factory.mktemp("serve")
    dataset = open_dataset(write_labelled(place / "data"))
    write_run(place / "run", place / "data")
    np.save(place / "ecg.npy", np.asarray(dataset.signals[np.array([0])])[0])
    return place


@contextlib.contextmanager
def served(*words):
    """The process of a server, its address, and what it printed before."""
    command = [sys.executable, "-m", "lfbt", "serve", *words, "--port", 0, "--device", "cpu", "--workers", 1]
    process = subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        lines: list[str] = []
        assert process.stderr is not None
        while not lines or not (found := re.search(r"at (http://\S+) until Ctrl-C", lines[-1])):
            line = process.stderr.readline()
            assert line, lines
            lines.append(line)
        yield process, found[1], lines
    finally:
        process.kill()
        process.communicate()


def answer(url, place, path="predict", **fields):
    return httpx.post(
        f"{url}{path}", files={"files": ("ecg.npy", (place / "ecg.npy").read_bytes())}, data=STATED | fields, timeout=60
    )


@pytest.mark.parametrize(
    ("number", "status", "line"),
    [
        (signal.SIGTERM, 143, "lfbt: stopped by SIGTERM\n"),
        (signal.SIGHUP, 129, "lfbt: stopped by SIGHUP\n"),
        (signal.SIGINT, 130, "lfbt: interrupted\n"),
    ],
)
def test_serve_answers_as_predict_does_and_ends_on_a_signal(place, number, status, line):
    words = ("predict", place / "ecg.npy", "--classifier", place / "run", "--device", "cpu", "--json")
    printed = output_of(*words, "--file-leads", "II,V1", "--file-sampling-rate", 6.4)
    (row,) = json.loads(printed)["rows"]
    with served("--classifier", place / "run") as (process, url, lines):
        assert "classes fast, middle, slow; 24 training records to compare with" in lines[-1]
        assert len(lines) == 1
        found = answer(url, place).json()
        assert httpx.get(f"{url}health").json()["status"] == "ok"
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (status, line)
    assert {f"p_{name}": p for name, p in found["probabilities"].items()} == pytest.approx(
        {name: value for name, value in row.items() if name.startswith("p_")}, abs=1e-9
    )
    assert (";".join(found["predicted"]), found["notes"]) == (row["predicted"], [])
    assert ";".join(found["above_threshold"]) == row["above_threshold"]


def test_serve_of_an_encoder_embeds_and_says_who_can_reach_it(place):
    encoder = ("--checkpoint", place / "run", "--neighbours", place / "data", "--host", "0.0.0.0")
    with served(*encoder) as (process, url, lines):
        assert "embedding the training records" in lines[0]
        assert "embeddings only" in lines[-1]
        assert "without a password" in process.stderr.readline()
        url = url.replace("0.0.0.0", "127.0.0.1")
        found = answer(url, place, "embed")
        assert found.status_code == 200
        assert len(found.json()["embedding"]) == 128
        assert found.json()["neighbours"][0]["distance"] == pytest.approx(0, abs=1e-4)
        assert answer(url, place).status_code == 404


def test_no_upload_is_lost_under_load(place, tmp_path):
    """One place, and ten clients that come again when they are told to."""
    wfdb(tmp_path)
    with served("--classifier", place / "run", "--queue", 0) as (_, url, _):
        counts = asyncio.run(load(url, [tmp_path / "ecg.hea", tmp_path / "ecg.dat"], clients=10, seconds=0.5))
    assert counts.failed == 0
    assert set(counts.statuses) == {"200", "422", "503"}
    assert len(counts.answers) == 1
    assert len(counts.seconds) == counts.statuses["200"] + counts.statuses["422"] >= 10


def test_serve_refuses_in_one_line(place):
    run = ("--classifier", place / "run", "--port", 0)
    assert refused("serve").startswith("--classifier: none given")
    assert refused("serve", *run, "--checkpoint", "lfbt-small").startswith("--checkpoint: lfbt-small is given beside")
    assert "is no run with a classifier" in refused("serve", "--classifier", place / "data", "--port", 0)
    assert refused("serve", *run, "--host", "no-such-host.invalid").startswith("--host: 'no-such-host.invalid'")
    assert refused("serve", *run, "--upload-mb", 0).startswith("--upload-mb: 0.0 is outside")
    with served("--classifier", place / "run") as (_, url, _):
        port = url.rstrip("/").rpartition(":")[2]
        message = refused("serve", "--classifier", place / "run", "--port", port)
        assert message.startswith(f"--port: {port} of 127.0.0.1 cannot be used (address already in use)")
