"""Time and peak memory of one task in a process of its own: ``python -m benchmarks.memory TASK JSON``."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import seconds_of
from benchmarks.sizes import StepSize
from benchmarks.tasks import TASKS
from lfbt.utils.memory import keep_freed_memory

_STATUS = Path("/proc/self/status")


@dataclasses.dataclass(frozen=True)
class FreshRun:
    """Median seconds of a run without the first; the peak of the process; its rise while the task ran.

    All are None where memory ran out.
    """

    seconds: float | None = None
    peak_gb: float | None = None
    increase_gb: float | None = None


@functools.cache
def in_fresh_process(task: str, size: StepSize, low_memory: bool = False, runs: int = 4) -> FreshRun:
    """Run a task of `TASKS` `runs` times in a new process; results are cached."""
    setup = {"size": dataclasses.asdict(size), "low_memory": low_memory, "runs": runs}
    words = [sys.executable, "-m", "benchmarks.memory", task, json.dumps(setup)]
    done = subprocess.run(words, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
    if done.returncode == -signal.SIGKILL or "can't allocate memory" in done.stderr:
        return FreshRun()
    if done.returncode:
        raise RuntimeError(f"{task} failed with {setup}:\n{done.stderr}")
    return FreshRun(**json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Run the task that the command line names, and print its `FreshRun` as JSON."""
    # If memory runs out, this process is killed, not its parent.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    task, setup = sys.argv[1], json.loads(sys.argv[2])
    if task.startswith("our-step"):
        keep_freed_memory()  # as the commands do
    size = StepSize(**setup["size"] | {"projector": tuple(setup["size"]["projector"])})
    with tempfile.TemporaryDirectory() as folder:
        run = TASKS[task](Path(folder), size, setup["low_memory"])
        before = _reset_peak()
        seconds = [seconds_of(run)[0] for _ in range(setup["runs"])]
        peak = _peak()
    result = FreshRun(statistics.median(seconds[1:]), peak / 1e9, (peak - before) / 1e9)
    print(json.dumps(dataclasses.asdict(result)))


def _reset_peak() -> int:
    """Resident bytes now; resets the recorded peak where the kernel allows it."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return _status("VmRSS") or _peak()


def _peak() -> int:
    """Peak of resident bytes."""
    return _status("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _status(name: str) -> int | None:
    lines = _STATUS.read_text(encoding="ascii").splitlines() if _STATUS.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), None)


if __name__ == "__main__":
    main()
