"""`lfbt prepare SOURCE`: prepare a data set from a download or from own records."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lfbt.cli.output import Output
from lfbt.cli.overview import overview, suggest
from lfbt.cli.parsing import parse_settings
from lfbt.data.layouts import DROPPED
from lfbt.data.preparation import PrepareReport, prepare_dataset
from lfbt.data.records import PrepareSettings
from lfbt.errors import LfbtError
from lfbt.sources import SOURCES
from lfbt.utils.figures import format_count

_EXAMPLES: Mapping[str, Sequence[str]] = {
    "ptbxl": (
        "lfbt prepare ptbxl downloads/ptb-xl data/ptbxl",
        "lfbt prepare ptbxl downloads/ptb-xl data/ptbxl-all --labels statements --keep-multi-label",
    ),
    "challenge": (
        "lfbt prepare challenge downloads/challenge-2021 data/challenge",
        "lfbt prepare challenge downloads/georgia data/georgia --labels mapping --mapping classes.csv",
    ),
    "folder": (
        "lfbt prepare folder records data/mine",
        "lfbt prepare folder records data/mine --labels table --table labels.csv",
        "lfbt prepare folder arrays data/mine --leads I,II,V2 --file-leads I,II,V2 \\\n"
        "    --file-sampling-rate 250 --file-unit uV",
    ),
    "synthetic": (
        "lfbt prepare synthetic downloads/synthetic data/synthetic",
        "lfbt prepare synthetic downloads/synthetic data/synthetic --records 800 --n-samples 512",
    ),
}


@dataclasses.dataclass(frozen=True)
class _Folders:
    source_folder: Path
    """Folder with the download, searched through."""
    target: Path
    """New folder for the data set."""


def parse(words: Sequence[str]) -> Any:
    """Parse the words after the command: the folders, the options of the source, and the settings of all sources."""
    name = words[0]
    kind = SOURCES[name]
    # The fields depend on the source, so that each has only the options that apply to it.
    fields = [("source", kind), ("records", PrepareSettings)]
    command = dataclasses.make_dataclass("Prepare", fields, bases=(_Folders,), frozen=True)
    return parse_settings(
        command,
        f"prepare {name}",
        words[1:],
        _EXAMPLES.get(name) or _common_examples(name),
        description=" ".join((kind.__doc__ or "").split()),
        positional={"source_folder": "FROM", "target": "TO"},
    )


def run(words: Sequence[str]) -> Output:
    """Prepare a data set; without a source, list the sources."""
    if not words or words[0] in ("-h", "--help"):
        summaries = {name: " ".join((kind.__doc__ or "").split("\n\n")[0].split()) for name, kind in SOURCES.items()}
        return Output(overview("lfbt prepare SOURCE FROM TO", summaries), {"sources": summaries})
    name = words[0]
    if name not in SOURCES:
        near = suggest(name, SOURCES)
        hint = f"did you mean `lfbt prepare {near}`?" if near else f"sources are {', '.join(SOURCES)}"
        raise LfbtError(f"{name!r} is no source; {hint}")
    given = parse(words)
    announce = functools.partial(print, flush=True)
    report = prepare_dataset(given.source, name, given.source_folder, given.target, given.records, announce)
    return Output("\n".join(_describe(given.target, report)), {"folder": given.target, **vars(report)})


def _describe(target: Path, report: PrepareReport) -> Iterator[str]:
    """What a data set holds, line by line."""
    has_labels = any(label for counts in report.counts.values() for label in counts)
    held = f"{format_count(report.records, 'record')} of {format_count(report.patients, 'patient')}"
    rule = f"Labels: {report.label_rule}" if has_labels else report.label_rule[:1].upper() + report.label_rule[1:]
    yield f"{target}: {held}, from {format_count(report.recordings, 'recording')}. {rule}."
    # Without labels or official splits all is train.
    for split, counts in report.counts.items() if has_labels or report.sizes["train"] < report.records else ():
        by_class = ", ".join(f"{label} {count}" for label, count in counts.items() if label)
        yield f"  {split:<6}{report.sizes[split]}{'  (' + by_class + ')' if by_class else ''}"
    for reason, count in report.dropped.items():
        yield f"  dropped {count}: {reason}"
    for note, count in report.notes.items():
        yield f"  noted {count}: {note}"
    if report.dropped or report.notes:
        yield f"  listed in {target / DROPPED}"
    if report.assumption:
        yield f"  assumed: {report.assumption}"


def _common_examples(source: str) -> tuple[str, ...]:
    prepare_it = f"lfbt prepare {source} downloads/{source} data/{source}"
    return prepare_it, f"{prepare_it} --n-samples 1024 --workers 8", f"{prepare_it} --leads I,II,V1 --skip-unreadable"
