"""``python -m benchmarks.gpu``: check lfbt on a GPU and measure it there, in ten minutes.

    python -m benchmarks.gpu --out gpu.json --docs docs/gpu.md

The results are written after each item; ``--only`` runs some again and keeps the others. The status is 1 where a check
is wrong or fails. Without a GPU ``--device cpu --quick`` tries that everything runs.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import platform
import sys
import time
from pathlib import Path
from typing import Any

import torch

import lfbt
from benchmarks.gpu.device import describe
from benchmarks.gpu.items import ITEMS, chosen, find
from benchmarks.gpu.packages import missing_packages
from benchmarks.gpu.render import WRONG, list_checks, render, summary
from benchmarks.gpu.sizes import FULL, QUICK
from benchmarks.gpu.worker import Worker
from benchmarks.render import with_section

_LEAST_SECONDS = 5.0


def main() -> int:
    """Parse the command line and run; returns the status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="JSON file for the results, written after each item")
    parser.add_argument("--docs", type=Path, help="Markdown file whose section, between its bench markers, is replaced")
    parser.add_argument(
        "--only",
        nargs="+",
        default=[],
        metavar="ITEM",
        help="run these, such as views or step:stacked, keep the others",
    )
    parser.add_argument("--list", action="store_true", help="print the items and end")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1, or cpu to try the command itself")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, only to check that everything runs")
    parser.add_argument("--minutes", type=float, default=9.5, help="no item goes on after so many")
    words = parser.parse_args()
    if words.list:
        print("\n".join(ITEMS))
        return 0
    if not words.device.startswith(("cuda", "cpu")) or (words.device != "cpu" and not torch.cuda.is_available()):
        parser.error(
            f"--device {words.device}: PyTorch finds no such GPU; --device cpu --quick tries the command itself"
        )
    try:
        names = chosen(words.only)
        if words.docs:
            with_section(words.docs.read_text(encoding="utf-8"), "")
        results = _results(words.device, words.quick, words.out if words.only else None)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    run_all(names, words.device, words.quick, 60 * words.minutes, results, functools.partial(_write, words.out))
    if words.docs:
        text = with_section(words.docs.read_text(encoding="utf-8"), render(results))
        words.docs.write_text(text, encoding="utf-8")
    print(summary(results))
    return int(any(check["verdict"] in WRONG for check in list_checks(results)))


def run_all(
    names: list[str], device: str, quick: bool, seconds: float, results: dict[str, Any], write: Any
) -> dict[str, Any]:
    """Run items in a process of their own, add what they find to `results`, and write these after each."""
    began = time.monotonic()
    worker = Worker(find, device, QUICK if quick else FULL)
    try:
        for number, name in enumerate(names, start=1):
            left = seconds - (time.monotonic() - began)
            if left < _LEAST_SECONDS:
                print(f"time is up: {' '.join(names[number - 1 :])} not run; name them with --only", file=sys.stderr)
                break
            item_began = time.monotonic()
            found = worker.find(name, min(ITEMS[name].limit, left))
            found["seconds"] = round(time.monotonic() - item_began, 1)
            all_items = results["items"] | {name: found}
            results["items"] = {one: all_items[one] for one in ITEMS if one in all_items}
            write(results)
            verdicts = ", ".join(check["verdict"] for check in found["checks"] if check["verdict"] != "right") or "done"
            print(f"{number}/{len(names)} {name}: {verdicts} in {found['seconds']:g} s", file=sys.stderr, flush=True)
    finally:
        worker.close()
    return results


def _results(device: str, quick: bool, earlier: Path | None) -> dict[str, Any]:
    """Empty results, or those of a file to go on from. Raises ValueError where that is of another machine."""
    machine = describe(torch.device(device)) | {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "lfbt": lfbt.__version__,
        "without": missing_packages(),
    }
    content = {"quick": quick, "machine": machine, "sizes": dataclasses.asdict(QUICK if quick else FULL), "items": {}}
    now: dict[str, Any] = json.loads(json.dumps(content))
    if earlier is None or not earlier.exists():
        return now
    before: dict[str, Any] = json.loads(earlier.read_text(encoding="utf-8"))
    for what in ("quick", "machine", "sizes"):
        if before.get(what) != now[what]:
            raise ValueError(
                f"{earlier}: {what} was {before.get(what)} and is {now[what]}; run all again, without --only"
            )
    return now | {"items": before["items"]}


def _write(path: Path | None, results: dict[str, Any]) -> None:
    if path is not None:
        partial = path.with_name(f".{path.name}.partial")
        partial.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        partial.replace(path)


if __name__ == "__main__":
    sys.exit(main())
