"""``python -m benchmarks``: measure the cases, write them as JSON, and update the tables in the documentation."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import torch

from benchmarks.cases import CASES
from benchmarks.growth import growth
from benchmarks.measure import machine, seconds_of
from benchmarks.parts import parts
from benchmarks.render import render, row_line, with_section
from benchmarks.sizes import PAPER, QUICK, Sizes
from lfbt.utils.device import load_hint
from lfbt.utils.files import read_json, write_json
from lfbt.utils.memory import keep_freed_memory

PARTS, GROWTH = "parts", "growth"


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--out", type=Path, help="JSON file for the results, written after each case")
    parser.add_argument("--docs", type=Path, help="Markdown file whose tables, between its bench markers, are replaced")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=[*CASES, PARTS, GROWTH],
        default=[],
        help="measure these, keep the others in --out",
    )
    parser.add_argument("--quick", action="store_true", help="tiny sizes, only to check that the command runs")
    words = parser.parse_args()

    if words.docs:
        try:
            with_section(words.docs.read_text(encoding="utf-8"), "")
        except (OSError, ValueError) as error:
            parser.error(f"{words.docs}: {error}")
    hint = load_hint(torch.device("cpu"))
    if hint is not None:
        print(f"{hint}: times here are too long; measure again with nothing else running", file=sys.stderr)
    keep_freed_memory()  # as the commands do; the literal form benefits too
    sizes = QUICK if words.quick else PAPER
    results = new_results(sizes, quick=words.quick)
    if words.only and words.out and words.out.exists():
        try:
            results = merged(read_json(words.out), results)
        except ValueError as error:
            parser.error(f"{words.out}: {error}")
    for name in words.only or [*CASES, PARTS, GROWTH]:
        seconds, _ = seconds_of(lambda: run(name, sizes, results))  # noqa: B023
        print(f"{name}: done in {seconds:.0f} s", file=sys.stderr)
        if words.out:
            write_json(words.out, results)
    if words.docs:
        text = with_section(words.docs.read_text(encoding="utf-8"), render(results))
        words.docs.write_text(text, encoding="utf-8")
    print(render(results))


def new_results(sizes: Sizes, quick: bool) -> dict[str, Any]:
    """Results without rows, in the form in which JSON is read back."""
    content = {
        "quick": quick,
        "machine": machine(),
        "sizes": dataclasses.asdict(sizes),
        "rows": {},
        PARTS: [],
        GROWTH: [],
    }
    plain: dict[str, Any] = json.loads(json.dumps(content))
    return plain


def merged(earlier: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """Continue from `earlier` results. Raises ValueError if machine or sizes differ."""
    for what in ("quick", "machine", "sizes"):
        if earlier.get(what) != now[what]:
            raise ValueError(f"{what} was {earlier.get(what)} and is {now[what]}; measure all again, without --only")
    return {**now, **earlier}


def run(name: str, sizes: Sizes, results: dict[str, Any]) -> None:
    """Measure `name` and add it to `results`, in the table's order."""
    if name == PARTS:
        results[PARTS] = [dataclasses.asdict(part) for part in parts(sizes)]
        return
    if name == GROWTH:
        results[GROWTH] = [dataclasses.asdict(series) for series in growth(sizes)]
        return
    rows = [dataclasses.asdict(row) for row in CASES[name](sizes)]
    for row in rows:
        print(row_line(row), file=sys.stderr)
    found = results["rows"] | {name: rows}
    results["rows"] = {case: found[case] for case in CASES if case in found}


if __name__ == "__main__":
    main()
