"""Uploads at once against a real `lfbt serve` process: what becomes of them, and how much memory it takes.

    python -m benchmarks.serving --classifier runs/probe --recording ecg.hea ecg.dat --docs docs/serving.md

So many clients send a recording, wait for the answer and send it again, until the time is over; each comes again after
503 as Retry-After says. None may be left without an answer. Every tenth sends a file that is no recording, which
must be refused.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

BEGIN, END = "<!-- load: begin -->", "<!-- load: end -->"
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


def memory_mb(pid: int) -> dict[str, float]:
    """Resident memory now and at most, in MB, of a process and its children together."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    now = peak = 0
    for each in (str(pid), *children):
        with contextlib.suppress(OSError):
            status = dict(re.findall(r"(VmRSS|VmHWM):\s+(\d+) kB", Path(f"/proc/{each}/status").read_text()))
            now += int(status["VmRSS"])
            peak += int(status["VmHWM"])
    return {"now": now / 1000, "peak": peak / 1000}


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
            break


class Counts:
    """What became of the requests; seconds: from the first try of an upload to its answer."""

    def __init__(self) -> None:
        self.statuses: collections.Counter[str] = collections.Counter()
        self.seconds: list[float] = []
        self.failed = 0


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


def main() -> None:
    """Run the trial, print its figures, and write them into the documentation."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--classifier", type=Path, required=True)
    parser.add_argument("--recording", type=Path, nargs="+", required=True)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--docs", type=Path)
    words = parser.parse_args()
    with served(words.classifier) as (pid, url):
        before = memory_mb(pid)
        began = time.monotonic()
        counts = asyncio.run(load(url, words.recording, words.clients, words.seconds))
        elapsed = time.monotonic() - began
        after = memory_mb(pid)
    size = sum(path.stat().st_size for path in words.recording)
    waited = sorted(counts.seconds)
    rows = [
        ("clients at once", f"{words.clients}, for {words.seconds:g} s, until the last had its answer {elapsed:.0f} s"),
        ("an upload", f"{size / 1000:.0f} kB; every tenth client sends a file that is no recording"),
        ("cores", f"{len(os.sched_getaffinity(0))}, shared with the clients"),
        *((f"responses {status}", f"{n}") for status, n in sorted(counts.statuses.items())),
        ("uploads answered", f"{len(waited)}, {len(waited) / elapsed:.0f} a second"),
        ("uploads not answered as they should be", f"{counts.failed}"),
        (
            "seconds from the first try to the answer",
            f"median {waited[len(waited) // 2]:.1f}, longest {waited[-1]:.1f}",
        ),
        ("memory of the server and its readers before", f"{before['now']:.0f} MB, peak {before['peak']:.0f} MB"),
        ("memory after", f"{after['now']:.0f} MB, peak {after['peak']:.0f} MB"),
    ]
    table = "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])
    print(table)
    if words.docs is not None:
        text = words.docs.read_text(encoding="utf-8")
        head, rest = text.split(BEGIN)
        words.docs.write_text(f"{head}{BEGIN}\n\n{table}\n\n{END}{rest.split(END)[1]}", encoding="utf-8")
    raise SystemExit(1 if counts.failed else 0)


if __name__ == "__main__":
    main()
