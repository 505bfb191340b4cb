"""Uploads at once against a real `lfbt serve` process: what becomes of them, and what the server holds meanwhile.

    python -m benchmarks.serving --classifier runs/probe --recording ecg.hea ecg.dat --docs docs/serving.md
    python -m benchmarks.serving --classifier runs/probe --recording ecg.hea ecg.dat --clients 10 --minutes 60

So many clients send a recording, wait for the answer and send it again, until the time is over; each comes again after
503 as Retry-After says. None may be left without an answer, and all answers must be the same, to the byte. Every tenth
client sends a file that is no recording, which must be refused. With ``--minutes`` the server must end with the memory,
threads and open files that it had when it was warm; that table is for docs/reliability.md.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import contextlib
import dataclasses
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil

from benchmarks.measure import machine
from benchmarks.render import with_section
from benchmarks.resources import Usage, Watch, usage
from lfbt.utils.tables import as_markdown

#: In docs/serving.md, and with ``--minutes`` in docs/reliability.md.
LOAD, SOAK = (tuple(f"<!-- {name}: {end} -->" for end in ("begin", "end")) for name in ("load", "soak"))
#: With ``--minutes``: intervals, of which the first, in which the server warms up, is not compared.
_INTERVALS = 12
#: With ``--minutes``: by how much a later interval may exceed the second one, in MB, threads and files.
BOUND = Usage(40.0, 2, 8)
_BAD = [("files", ("ecg.csv", b"no numbers\n"))]


@contextlib.contextmanager
def served(classifier: Path) -> Iterator[tuple[int, str]]:
    """The process of a server with its address, which is stopped at the end."""
    words = [sys.executable, "-m", "lfbt", "serve", "--classifier", str(classifier), "--port", "0"]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    try:
        if process.stderr is None:
            raise RuntimeError("no stderr")
        found = None
        while found is None:
            line = process.stderr.readline()
            if not line:
                raise RuntimeError("the server did not start")
            found = re.search(r"at (http://\S+) until", line)
        yield process.pid, found[1]
    finally:
        process.terminate()
        process.wait(timeout=60)
        if process.stderr is not None:
            process.stderr.close()


@dataclasses.dataclass
class Counts:
    """What became of the requests; seconds: from the first try of an upload to its answer; answers: those of 200."""

    statuses: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    seconds: list[float] = dataclasses.field(default_factory=list)
    answers: set[bytes] = dataclasses.field(default_factory=set)
    failed: int = 0


async def client(
    http: httpx.AsyncClient, files: list[tuple[str, tuple[str, bytes]]], until: float, expected: int, counts: Counts
) -> None:
    """Send files again and again until the time is over, and the last ones until they are answered."""
    while time.monotonic() < until:
        began = time.monotonic()
        while True:
            try:
                response = await http.post("predict", files=files)
            except httpx.HTTPError as error:
                counts.statuses[type(error).__name__] += 1
                counts.failed += 1
                break
            counts.statuses[str(response.status_code)] += 1
            if response.status_code == 503:
                await asyncio.sleep(float(response.headers["retry-after"]))
                continue
            counts.failed += response.status_code != expected
            counts.seconds.append(time.monotonic() - began)
            if response.status_code == 200:
                counts.answers.add(response.content)
            break


async def load(url: str, recording: list[Path], clients: int, seconds: float) -> Counts:
    """Let so many clients send a recording for so long."""
    good = [("files", (path.name, path.read_bytes())) for path in recording]
    counts = Counts()
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx.AsyncClient(base_url=url, timeout=120, limits=limits, trust_env=False) as http:
        until = time.monotonic() + seconds
        await asyncio.gather(
            *(
                client(http, _BAD if i % 10 == 9 else good, until, 422 if i % 10 == 9 else 200, counts)
                for i in range(clients)
            )
        )
    return counts


def load_table(words: argparse.Namespace, counts: Counts, elapsed: float, held: list[Usage]) -> str:
    """The table of a load, as markdown; held: before, at most, and after, of the server and its readers."""
    size = sum(path.stat().st_size for path in words.recording)
    waited = sorted(counts.seconds)
    before, most, after = held
    rows = [
        ("clients at once", f"{words.clients}, for {words.seconds:g} s, until the last had its answer {elapsed:.0f} s"),
        ("an upload", f"{size / 1000:.0f} kB; every tenth client sends a file that is no recording"),
        ("cores", f"{len(os.sched_getaffinity(0))} of {machine()['processor']}, shared with the clients"),
        *((f"responses {status}", f"{n}") for status, n in sorted(counts.statuses.items())),
        ("uploads answered", f"{len(waited)}, {len(waited) / elapsed:.0f} a second"),
        ("uploads not answered as they should be", f"{counts.failed}"),
        ("distinct answers to the recording", f"{len(counts.answers)}"),
        (
            "seconds from the first try to the answer",
            f"median {waited[len(waited) // 2]:.1f}, longest {waited[-1]:.1f}",
        ),
        ("memory before, at most, after", f"{before.memory:.0f}, {most.memory:.0f}, {after.memory:.0f} MB"),
        ("threads before, at most, after", f"{before.threads}, {most.threads}, {after.threads}"),
        ("open files and connections before, at most, after", f"{before.handles}, {most.handles}, {after.handles}"),
    ]
    return as_markdown([("", ""), *rows])


def soak_table(clients: int, counts: Counts, intervals: list[tuple[float, Usage]]) -> str:
    """The table of a soak, as markdown: the most of each interval, and what became of the uploads."""
    rows = [
        (f"{ends / 60:.0f}", f"{most.memory:.0f}", str(most.threads), str(most.handles)) for ends, most in intervals
    ]
    answered = (
        f"{len(counts.seconds)} uploads of {clients} clients in {intervals[-1][0] / 60:.0f} minutes; not answered as "
        f"they should be: {counts.failed}; distinct answers to the recording: {len(counts.answers)}; "
        f"{len(os.sched_getaffinity(0))} cores of {machine()['processor']}, shared with the clients and other work."
    )
    heads = ("until minute", "memory in MB", "threads", "open files and connections")
    return f"{as_markdown([heads, *rows])}\n\n{answered}"


def grown(intervals: list[tuple[float, Usage]]) -> bool:
    """Whether an interval exceeds the second one by more than BOUND."""
    (_, warm), *later = intervals[1:]
    return any(
        after > before + bound
        for _, most in later
        for after, before, bound in zip(*map(dataclasses.astuple, (most, warm, BOUND)), strict=True)
    )


def main() -> None:
    """Run the trial, print its figures, and write them into the documentation."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--classifier", type=Path, required=True)
    parser.add_argument("--recording", type=Path, nargs="+", required=True)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--minutes", type=float, help="instead of seconds, with what the server holds over time")
    parser.add_argument("--docs", type=Path)
    words = parser.parse_args()
    seconds = words.seconds if words.minutes is None else 60 * words.minutes
    with served(words.classifier) as (pid, url):
        process = psutil.Process(pid)
        before = usage(process)
        began = time.monotonic()
        with Watch(pid, seconds / _INTERVALS) as watch:
            counts = asyncio.run(load(url, words.recording, words.clients, seconds))
        elapsed = time.monotonic() - began
        time.sleep(1)  # connections that clients have closed
        after = usage(process)
    intervals = watch.intervals[:_INTERVALS]
    if words.minutes is None:
        table, (begin, end) = load_table(words, counts, elapsed, [before, watch.most, after]), LOAD
    else:
        table, (begin, end) = soak_table(words.clients, counts, intervals), SOAK
    print(table)
    if words.docs is not None:
        text = with_section(words.docs.read_text(encoding="utf-8"), f"{table}\n", begin, end)
        words.docs.write_text(text, encoding="utf-8")
    wrong = counts.failed or len(counts.answers) != 1 or (words.minutes is not None and grown(intervals))
    raise SystemExit(1 if wrong else 0)


if __name__ == "__main__":
    main()
