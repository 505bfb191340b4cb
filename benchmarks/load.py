"""Many records through the commands: what each holds at most, with few of them and with ten times as many.

    python -m benchmarks.load --docs docs/reliability.md

Synthetic recordings of 2.56 s at 100 Hz, in two leads, one file each: short, so that a hundred thousand of them take
half an hour. They are prepared, checked, learned from for an epoch, and embedded. Memory may grow by what a
table of the records takes, and open files not at all.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.measure import machine
from benchmarks.render import with_section
from benchmarks.resources import Usage, Watch
from lfbt.recording import STANDARD_LEADS
from lfbt.sources.synthesis import make_record
from lfbt.utils.tables import as_markdown

BEGIN, END = "<!-- many records: begin -->", "<!-- many records: end -->"
LEADS, RATE, N_SAMPLES = ("II", "V2"), 100, 256
_TEMPLATES = 100
#: By how much a command may grow, in kB for a record more, and in open files.
KILOBYTES, HANDLES = 4.0, 8


@dataclasses.dataclass(frozen=True)
class Held:
    """What a command held at most, and the seconds that it took."""

    command: str
    records: int
    seconds: float
    most: Usage


def write_recordings(folder: Path, records: int) -> None:
    """Write a ``.npy`` file of each record: a part of one of 100 synthetic ECGs, of another size, with noise."""
    rng = np.random.default_rng(0)
    rows = [STANDARD_LEADS.index(lead) for lead in LEADS]
    templates = [make_record(0, number).signal[rows, ::5] for number in range(1, _TEMPLATES + 1)]
    for number in range(records):
        template = templates[number % _TEMPLATES]
        first = rng.integers(template.shape[1] - N_SAMPLES)
        signal = rng.uniform(0.7, 1.3) * template[:, first : first + N_SAMPLES] + rng.normal(0, 0.01, (2, N_SAMPLES))
        place = folder / f"{number // 1000:04d}"
        place.mkdir(parents=True, exist_ok=True)
        np.save(place / f"{number:07d}.npy", signal.astype(np.float32))


def measure(folder: Path, records: int) -> list[Held]:
    """Let each command run over so many records in `folder`, in a process of its own."""
    write_recordings(folder / "recordings", records)
    stated = ["--file-leads", ",".join(LEADS), "--file-sampling-rate", RATE, "--leads", ",".join(LEADS)]
    sizes = ["--n-samples", N_SAMPLES, "--duration", N_SAMPLES / RATE, "--workers", 1]
    small = ["--epochs", 1, "--projector", "64-64-64", "--device", "cpu", "--workers", 1]
    data, run = folder / "data", folder / "run"
    commands = [
        ["prepare", "folder", folder / "recordings", data, *stated, *sizes],
        ["check", data],
        ["pretrain", "--data-dir", data, "--run-dir", run, *small],
        ["embed", "--data-dir", data, "--checkpoint", run, "--out", folder / "embeddings", "--device", "cpu"],
    ]
    return [_watched([str(word) for word in words], records) for words in commands]


def _watched(words: Sequence[str], records: int) -> Held:
    began = time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", "lfbt", *words, "--quiet"])
    with Watch(process.pid) as watch:
        status = process.wait()
    if status:
        raise RuntimeError(f"lfbt {' '.join(words)} ended with status {status}")
    return Held(words[0], records, time.monotonic() - began, watch.most)


def table(found: Sequence[Held]) -> list[tuple[str, ...]]:
    """A row of each command, with a group of columns of each number of records; the last is kB for a record more."""
    counts = sorted({each.records for each in found})
    heads = [f"{what}, {count:,} records" for what in ("s", "MB", "open files") for count in counts]
    rows = [("lfbt …", *heads, "kB a record")]
    for command in dict.fromkeys(each.command for each in found):
        of_command = sorted((each for each in found if each.command == command), key=lambda each: each.records)
        rows.append(
            (
                command,
                *(f"{each.seconds:.0f}" for each in of_command),
                *(f"{each.most.memory:.0f}" for each in of_command),
                *(f"{each.most.handles}" for each in of_command),
                f"{growth(of_command):.2f}",
            )
        )
    return rows


def growth(of_command: Sequence[Held]) -> float:
    """KB of memory for a record more, from the smallest number of records to the largest."""
    few, many = of_command[0], of_command[-1]
    return 1000 * (many.most.memory - few.most.memory) / (many.records - few.records)


def grown(found: Sequence[Held]) -> bool:
    """Whether a command takes more for a record more than KILOBYTES, or more open files by HANDLES."""
    of_commands = [[each for each in found if each.command == command] for command in {each.command for each in found}]
    return any(
        growth(each) > KILOBYTES or each[-1].most.handles > each[0].most.handles + HANDLES for each in of_commands
    )


def main() -> None:
    """Run the commands, print the table, and write it into the documentation."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, nargs="+", default=[10_000, 100_000], help="from few to many")
    parser.add_argument("--docs", type=Path)
    words = parser.parse_args()
    found: list[Held] = []
    for records in words.records:
        with tempfile.TemporaryDirectory() as folder:
            found += measure(Path(folder), records)
    place = (
        f"One process each; {len(os.sched_getaffinity(0))} cores of {machine()['processor']}, shared with other work."
    )
    section = f"{as_markdown(table(found))}\n\n{place}\n"
    print(section)
    if words.docs is not None:
        text = with_section(words.docs.read_text(encoding="utf-8"), section, BEGIN, END)
        words.docs.write_text(text, encoding="utf-8")
    raise SystemExit(1 if grown(found) else 0)


if __name__ == "__main__":
    main()
