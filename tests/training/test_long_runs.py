"""Long runs end to end, across modules: killed at any time, disk full, files corrupt, started twice, several hosts."""

import contextlib
import functools
import itertools
import json
import math
import multiprocessing
import os
import random
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tests.factories import waves, write_labelled, write_packed
from tests.outputs import assert_same_tensors, read_lines
from tests.training.helpers import assert_same_run, change_a_bit, cut_short, empty

import lfbt.training.checkpoints as checkpoints_module
from lfbt.cli.app import main
from lfbt.errors import LfbtError
from lfbt.runs.run_folder import RunSettings, acquire_run_folder, is_running
from lfbt.training import steps as steps_module
from lfbt.training.checkpoints import last_checkpoint, save_checkpoint
from lfbt.training.pretraining import Pretrainer
from lfbt.training.settings import PretrainSettings
from lfbt.utils.interrupts import STOPPED_STATUS
from lfbt.utils.settings import replace

#: What a process that was launched has at most to end when another one fails, in seconds.
_A_MINUTE = 60

SIGNALS = waves([0, 1, 2] * 5)
WORDS = ["--batch-size", "5", "--projector", "16-16", "--device", "cpu", "--workers", "0", "--quality-every", "0"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_packed(tmp_path_factory.mktemp("long") / "data", SIGNALS)


@pytest.fixture(scope="module")
def spawn():
    """Start a function in a new process that has the modules already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["lfbt.training.pretraining", "lfbt.models.cpu.numba_ops", "torch._dynamo", "pandas"]
    )

    def start(*words, limit=None, errors=os.devnull):
        process = context.Process(target=_command, args=([str(word) for word in words], limit, str(errors)))
        process.start()
        return process

    return start


def _command(words, limit, errors):
    """`lfbt` with `words`; no file may get longer than `limit` bytes, and what it prints goes to `errors`."""
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    with Path(errors).open("a", buffering=1) as file, contextlib.redirect_stderr(file):
        main(words)


def words_of(data, run_dir, *more):
    return ["pretrain", "--data-dir", data, "--run-dir", run_dir, *WORDS, *more]


def steps_saved(run_dir):
    return sorted(int(path.stem.removeprefix("step-")) for path in (run_dir / "checkpoints").glob("step-*"))


def test_pretrain_killed_six_times_equals_a_run_never_killed(data, tmp_path, spawn):
    """kill −9 at random times, while it starts, learns or saves; the same command each time; the end is the same."""
    long = ["--epochs", 30, "--save-steps", 1, "--batch-size", 8, "--leads", "II"]
    complete = spawn(*words_of(data, tmp_path / "complete", *long))
    complete.join()
    assert complete.exitcode == 0
    run_dir, rng = tmp_path / "killed", random.Random(0)
    last = 0
    for kills in range(6):
        process = spawn(*words_of(data, run_dir, *long, "--resume"))
        if kills % 3:  # the others are killed while they start, or soon after
            wait_until(functools.partial(has_saved, run_dir, last), process)
        process.join(timeout=rng.uniform(0, 0.2))
        assert process.is_alive(), "it ended before it was killed"
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        assert max(steps_saved(run_dir), default=0) >= last
        last = max(steps_saved(run_dir), default=0)
    # Asked to resume or not.
    process = spawn(*words_of(data, run_dir, *long))
    process.join()
    assert process.exitcode == 0
    assert_same_run(tmp_path / "complete", run_dir)
    assert len(steps_saved(run_dir)) == 2
    assert not list(run_dir.rglob("*.partial-*"))


def has_saved(run_dir, since):
    return max(steps_saved(run_dir), default=0) > since


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_pretrain_saves_on_a_signal_and_prints_how_to_go_on(data, tmp_path, spawn, number):
    words = words_of(data, tmp_path / "run", "--epochs", 400, "--save-minutes", 0)
    process = spawn(*words, errors=tmp_path / "printed")
    wait_until((tmp_path / "run" / "history.jsonl").exists, process)
    os.kill(process.pid, number)
    process.join(timeout=_A_MINUTE)
    assert process.exitcode == STOPPED_STATUS == 75
    printed = (tmp_path / "printed").read_text().splitlines()
    assert printed[-1].startswith(f"lfbt: stopped by {number.name} and saved in {tmp_path / 'run'}, ")
    assert re.search(r", \d epochs? and \d+ steps? done; the same command goes on$", printed[-1])
    assert len(steps_saved(tmp_path / "run")) == 1


def wait_until(is_so: Callable[[], bool], process: Any) -> None:
    until = time.monotonic() + _A_MINUTE
    while not is_so():
        assert (process.poll() if isinstance(process, subprocess.Popen) else process.exitcode) is None
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.fixture
def stopped(data, tmp_path):
    """A run of six steps with checkpoints of the second and the fourth, as if it had been killed after these."""
    settings = PretrainSettings.create(
        (data,), tmp_path / "run", epochs=2, batch_size=5, projector="16-16", device="cpu", workers=0,
        quality_every=0, save_steps=2, keep=3,
    )  # fmt: skip
    Pretrainer(settings).run()
    shutil.copytree(settings.run_dir, tmp_path / "complete")
    (settings.run_dir / "checkpoints" / "step-000000006.safetensors").unlink()
    assert steps_saved(settings.run_dir) == [2, 4]
    return settings


def resume(settings):
    return Pretrainer(replace(settings, resume=True)).run()


def test_pretrain_keeps_the_last_checkpoint_when_the_disk_is_full(stopped, tmp_path, spawn):
    words = words_of(
        stopped.data.data_dir[0], stopped.run_dir, "--epochs", 2, "--save-steps", 2, "--keep", 3, "--resume"
    )
    size = (stopped.run_dir / "checkpoints" / "step-000000004.safetensors").stat().st_size
    process = spawn(*words, limit=size - 1000, errors=tmp_path / "printed")
    process.join()
    assert process.exitcode == 2
    printed = (tmp_path / "printed").read_text().splitlines()[-1]
    assert printed.startswith("lfbt: error: checkpoint of step 6: ")
    assert "File too large" in printed
    assert printed.endswith("the one of step 4 is kept. Go on from it with --resume once that is fixed")
    assert steps_saved(stopped.run_dir) == [2, 4]
    assert not list((stopped.run_dir / "checkpoints").glob(".*"))
    resume(stopped)
    assert_same_run(stopped.run_dir, tmp_path / "complete")


@pytest.mark.parametrize("corrupt", [cut_short, change_a_bit, empty])
def test_pretrainer_resumes_from_the_checkpoint_before_a_corrupt_one(stopped, tmp_path, capfd, corrupt):
    corrupt(stopped.run_dir / "checkpoints" / "step-000000004.safetensors")
    resume(stopped)
    printed = capfd.readouterr().err
    assert "step-000000004.safetensors: is not a complete checkpoint" in printed
    assert "it is left out" in printed
    assert (stopped.run_dir / "checkpoints" / "step-000000004.spoilt").exists()
    assert_same_run(stopped.run_dir, tmp_path / "complete")


def test_pretrainer_removes_what_a_kill_left_half_written(stopped):
    """Of this run, that is: another program may be writing into a folder of its own there."""
    half = [stopped.run_dir / place / ".x.partial-12345" for place in (".", "checkpoints", "encoder")]
    other = stopped.run_dir / ".probe.partial-12345"
    other.mkdir()
    for path in (*half, other / "x"):
        path.write_bytes(b"half")
    resume(stopped)
    assert not any(path.exists() for path in half)
    assert (other / "x").exists()


def test_pretrainer_begins_where_a_kill_left_no_settings(stopped, tmp_path):
    other = replace(stopped, run_dir=tmp_path / "killed")
    other.run_dir.mkdir()
    for name in (".lock", ".settings.json.partial-99"):
        (other.run_dir / name).write_text("")
    resume(other)
    assert_same_run(other.run_dir, tmp_path / "complete")


def test_pretrainer_saves_files_that_others_may_read(stopped):
    modes = {path.suffix: path.stat().st_mode & 0o777 for path in stopped.run_dir.rglob("*") if path.is_file()}
    assert modes[".safetensors"] == modes[".json"] != 0


def test_pretrainer_refuses_to_resume_with_other_quality_data(stopped, tmp_path):
    """The best quality so far is theirs."""
    first, second = (
        write_labelled(tmp_path / name, signals=waves([i % 3 for i in range(48)], seed=seed), hash=name)
        for seed, name in enumerate(("first", "second"))
    )
    looking = replace(stopped, quality_data=first, quality_every=1, run_dir=tmp_path / "looking")
    Pretrainer(looking).run()
    with pytest.raises(LfbtError, match="resume: quality_hash is second but was first"):
        resume(replace(looking, quality_data=second))


def test_pretrainer_leaves_files_that_are_not_checkpoints_alone(stopped, tmp_path):
    backup = stopped.run_dir / "checkpoints" / "step-000000004-backup.safetensors"
    backup.write_bytes(b"mine")
    resume(stopped)
    assert backup.read_bytes() == b"mine"
    assert_same_run(stopped.run_dir, tmp_path / "complete")


def test_pretrainer_keeps_a_checkpoint_that_cannot_be_read_now(stopped, monkeypatch):
    def stale(path, **options):
        raise OSError(116, "Stale file handle")

    monkeypatch.setattr(checkpoints_module, "safe_open", stale)
    with pytest.raises(LfbtError, match=r"step-000000004\.safetensors: cannot be read .*Stale file handle"):
        resume(stopped)
    assert steps_saved(stopped.run_dir) == [2, 4]


def test_pretrainer_does_not_overwrite_an_encoder_without_checkpoints(stopped):
    shutil.rmtree(stopped.run_dir / "checkpoints")
    before = (stopped.run_dir / "history.jsonl").read_text()
    with pytest.raises(LfbtError, match="has an encoder but no checkpoint any more, so it cannot be resumed"):
        resume(stopped)
    assert (stopped.run_dir / "history.jsonl").read_text() == before


def test_pretrainer_writes_the_encoder_of_a_run_killed_after_its_last_checkpoint(stopped, tmp_path):
    resume(stopped)
    (stopped.run_dir / "encoder" / "config.json").unlink()
    shutil.copytree(tmp_path / "complete" / "encoder", tmp_path / "kept")
    resume(stopped)
    folders = (stopped.run_dir / "encoder", tmp_path / "kept")
    mine, theirs = (load_file(folder / "model.safetensors") for folder in folders)
    assert_same_tensors(mine, theirs)


def test_pretrainer_warns_of_a_lost_history(stopped, capfd):
    (stopped.run_dir / "history.jsonl").unlink()
    resume(stopped)
    assert "the history has 0 of the 1 epoch that the checkpoint has" in capfd.readouterr().err
    assert [line["epoch"] for line in read_lines(stopped.run_dir / "history.jsonl")] == [2]


def test_pretrainer_names_the_history_that_a_full_disk_does_not_take(stopped, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lfbt.runs.history.os.fsync", full)
    with pytest.raises(LfbtError, match=r"history\.jsonl.*: cannot be written \(No space left on device\); make room"):
        resume(stopped)
    assert steps_saved(stopped.run_dir) == [2, 4]


def test_pretrainer_never_saves_weights_that_are_not_finite(stopped, tmp_path, monkeypatch):
    """The loss before a step does not show what the step, here the last one, does."""
    step, steps = steps_module.train_step, itertools.count(5)

    def corrupting(views, model, *rest):
        terms = step(views, model, *rest)
        if next(steps) == 6:
            with torch.no_grad():
                next(model.parameters()).fill_(math.nan)
        return terms

    with monkeypatch.context() as patch:
        patch.setattr(steps_module, "train_step", corrupting)
        with pytest.raises(LfbtError, match="after 6 steps weights are not finite, and nothing of them was saved"):
            resume(replace(stopped, save_steps=0))
    assert steps_saved(stopped.run_dir) == [2, 4]
    resume(stopped)
    assert_same_run(stopped.run_dir, tmp_path / "complete")


def test_pretrainer_refuses_another_number_of_processes_with_statistics_of_each(stopped, tmp_path):
    other = replace(stopped, batch_norm="process", run_dir=tmp_path / "other")
    Pretrainer(other).run()
    settings = tmp_path / "other" / "settings.json"
    content = json.loads(settings.read_text())
    assert content["processes"] == 1
    settings.write_text(json.dumps(content | {"processes": 2}))
    with pytest.raises(LfbtError, match="resume: processes is 1 but was 2"):
        resume(other)


def test_pretrainer_refuses_to_resume_without_a_complete_checkpoint(stopped):
    for path in (stopped.run_dir / "checkpoints").iterdir():
        cut_short(path)
    with pytest.raises(LfbtError, match="none of its 2 checkpoints can be read; start a new run"):
        resume(stopped)
    assert steps_saved(stopped.run_dir) == [2, 4]


def test_pretrainer_refuses_a_checkpoint_of_another_model(stopped):
    folder = stopped.run_dir / "checkpoints"
    tensors = last_checkpoint(folder, print)
    assert tensors is not None
    save_checkpoint(folder, 5, {**tensors, "encoder.encoders.II.convolutions.0.weight": torch.zeros(1)}, keep=9)
    with pytest.raises(LfbtError, match=r"of another model \(encoder\.encoders\.II\.convolutions\.0\.weight\)"):
        resume(stopped)


def test_pretrainer_refuses_a_folder_where_another_run_goes_on(stopped):
    settings = RunSettings.load(stopped.run_dir)
    with acquire_run_folder(stopped.run_dir, settings, frozenset(), resume=True):
        assert is_running(stopped.run_dir)
        with pytest.raises(LfbtError, match="another run is going on there"):
            resume(stopped)
    assert not is_running(stopped.run_dir)
    resume(stopped)


def test_pretrain_started_twice_at_once_runs_once(data, tmp_path, spawn):
    both = [spawn(*words_of(data, tmp_path / "run", "--epochs", 3), errors=tmp_path / "printed") for _ in range(2)]
    for process in both:
        process.join()
    codes = sorted(process.exitcode for process in both)
    assert len(read_lines(tmp_path / "run" / "history.jsonl")) == 3
    # The other one waits an instant for the first.
    printed = (tmp_path / "printed").read_text()
    assert codes == [0, 0] or (codes == [0, 2] and "another run is going on there" in printed)


# Launched by torchrun


def torchrun(*words, n_processes=2, **options) -> Any:
    """The command in several processes on this machine."""
    launcher = ["--standalone", "--nproc-per-node", n_processes] if not options else []
    launcher += [word for name, value in options.items() for word in ("--" + name.replace("_", "-"), value)]
    command = [sys.executable, "-m", "torch.distributed.run", *launcher, "-m", "lfbt", *words]
    environment = {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | environment,
    )  # fmt: skip


@pytest.fixture
def launch():
    """`torchrun`; whatever still runs at the end is ended."""
    with contextlib.ExitStack() as stack:

        def start(*words, **options):
            process = torchrun(*words, **options)
            stack.callback(process.kill)
            return process

        yield start


def test_torchrun_saves_on_a_signal_and_resumes(data, tmp_path, launch):
    """The real commands: one line in the end, and the same command with --resume goes on to the end."""
    long = ["--epochs", 25, "--save-minutes", 0]
    process = launch(*words_of(data, tmp_path / "run", *long))
    wait_until((tmp_path / "run" / "history.jsonl").exists, process)
    process.terminate()
    _, printed = process.communicate(timeout=_A_MINUTE)
    assert printed.count("lfbt: stopped by SIGTERM and saved in") == 1
    n_epochs = len(read_lines(tmp_path / "run" / "history.jsonl"))
    assert 0 < n_epochs < 25
    process = launch(*words_of(data, tmp_path / "run", *long, "--resume"))
    out, printed = process.communicate(timeout=_A_MINUTE)
    assert process.returncode == 0, printed
    # One process prints for both.
    assert out.count("the encoder is in") == 1
    assert printed.count("epoch 25/25") == printed.count(f"epoch {n_epochs + 1}/25") == 1
    assert f"epoch {n_epochs}/25" not in printed
    assert "Warning" not in printed
    assert [line["epoch"] for line in read_lines(tmp_path / "run" / "history.jsonl")] == list(range(1, 26))


def test_torchrun_ends_all_processes_with_the_message_of_one_that_fails(tmp_path, launch):
    signals = SIGNALS.copy()
    signals[4, 1, 7] = np.nan
    bad = write_packed(tmp_path / "bad", signals, hash="bad")
    began = time.monotonic()
    process = launch(*words_of(bad, tmp_path / "run", "--epochs", 400), n_processes=3)
    _, printed = process.communicate(timeout=_A_MINUTE)
    assert process.returncode != 0
    assert time.monotonic() - began < _A_MINUTE
    lines = [line for line in printed.splitlines() if line.startswith("lfbt: error: ")]
    assert f"lfbt: error: {bad}: record r4 holds NaN or infinity; remove it or prepare the data set again" in lines
    assert all("lost another one" in line or "record r4" in line for line in lines)
    assert not any("src/lfbt" in line for line in printed.splitlines())


def test_torchrun_joins_two_hosts(data, tmp_path, launch):
    """Two launchers that meet at an address, as on two machines: docs/scaling.md has the recipe."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = words_of(data, tmp_path / "run", "--epochs", 2)
    meeting = {"nnodes": 2, "nproc_per_node": 1, "rdzv_backend": "c10d", "rdzv_endpoint": f"127.0.0.1:{port}"}
    hosts = [launch(*words, **meeting, rdzv_id="test", local_addr=address) for address in ("127.0.0.1", "127.0.0.2")]
    found = [process.communicate(timeout=2 * _A_MINUTE) for process in hosts]
    assert [process.returncode for process in hosts] == [0, 0], found
    assert sorted(out.count("the encoder is in") for out, _ in found) == [0, 1]
    assert [line["epoch"] for line in read_lines(tmp_path / "run" / "history.jsonl")] == [1, 2]


def test_torchrun_with_one_process_learns_the_same_as_the_plain_command(data, tmp_path, launch):
    """DistributedDataParallel is there, too, which must not meet gradients that are used as they come."""
    words = ["--epochs", 2, "--low-memory"]
    process = launch(*words_of(data, tmp_path / "launched", *words), n_processes=1)
    _, printed = process.communicate(timeout=_A_MINUTE)
    assert process.returncode == 0, printed
    main([str(word) for word in words_of(data, tmp_path / "plain", *words)])
    assert_same_run(tmp_path / "launched", tmp_path / "plain")


@pytest.mark.parametrize("command", ["probe", "embed", "report", "prepare"])
def test_main_refuses_other_commands_in_several_processes(monkeypatch, capsys, command):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 2
    assert f"{command} runs in one process; start it without torchrun or accelerate launch" in capsys.readouterr().err


def test_pretrain_ends_with_a_checkpoint_where_its_data_are_cut_under_it(tmp_path, spawn):
    data = write_packed(tmp_path / "data", SIGNALS)
    whole = (data / "signals.npy").read_bytes()
    run_dir, errors = tmp_path / "run", tmp_path / "errors"
    words = words_of(data, run_dir, "--epochs", 2000, "--leads", "II")
    process = spawn(*words, errors=errors)
    wait_until(lambda: (run_dir / "history.jsonl").is_file(), process)
    os.truncate(data / "signals.npy", 300)
    process.join(timeout=_A_MINUTE)
    assert process.exitcode == 2
    line = errors.read_text().splitlines()[-1]
    (steps,) = steps_saved(run_dir)
    assert re.search(r"signals\.npy: has 300 bytes, and had .*; prepare it again; ", line)
    assert f"{steps} steps saved in {run_dir}, where --resume goes on with the data as it was" in line
    (data / "signals.npy").write_bytes(whole)
    process = spawn(*words, "--resume", errors=errors)
    wait_until(lambda: len(read_lines(run_dir / "history.jsonl")) > steps // 3 + 1, process)
    process.kill()
    process.join()
