"""Files that are answered as they arrive in a folder."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import functools
import hashlib
import os
import stat
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple, NoReturn, Protocol

from lfbt.data.manifest import MANIFEST
from lfbt.errors import LfbtError, UnreadableError
from lfbt.inference.answer_log import Version, open_log
from lfbt.inference.answer_table import Row, json_writer
from lfbt.inference.prediction import Answer, Model, iterate_answers
from lfbt.inference.recordings import FileSettings, ServedLeads, iterate_pieces, list_file
from lfbt.io import wfdb_signal_files
from lfbt.sources import signal_files, table_column
from lfbt.sources.listing import Dropped, Entry
from lfbt.utils.figures import format_count
from lfbt.utils.interrupts import StoppedError, StopRequest, catch_stop_signals
from lfbt.utils.opening import shown_name
from lfbt.utils.progress import write_line
from lfbt.utils.settings import Affects, Range

_POLL_SECONDS = 2.0
# How soon a signal ends the pause between two looks.
_NAP_SECONDS = 0.1
# How often a file is waited for before that is said: parts of a record arrive one after another.
_LOOKS_BEFORE_WAITING = 3
# Suffixes of what is being written, as browsers and transfer programs have them; of files no such suffix is read.
_BEING_WRITTEN = (".part", ".partial", ".tmp")
# Of a folder with weights: what decides its answers.
_MODEL_FILES = ("*.safetensors", "config.json", "results.json")


@dataclasses.dataclass(frozen=True)
class WatchSettings:
    """A folder whose files are answered as they arrive."""

    watch: Annotated[Path | None, Affects.LOCATION] = None
    """In place of inputs, a folder: its files are answered as they arrive, until Ctrl-C or SIGTERM. With --out .csv or
    .jsonl each once, also after a restart; without, lines of JSON are printed and nothing is remembered."""
    poll_seconds: Annotated[float, Range("[0.01, 3600]"), Affects.RUNTIME] = _POLL_SECONDS
    """With --watch: seconds between two looks at the folder; a file that is alike in both is complete."""

    def check(self) -> None:
        """Raise LfbtError for a pause without a folder, and for a folder that cannot be watched."""
        if self.watch is None:
            if self.poll_seconds != _POLL_SECONDS:
                raise LfbtError("poll_seconds: has no effect without --watch; leave it out")
        elif not self.watch.is_dir():
            what = "is not a folder" if self.watch.exists() else "does not exist"
            raise LfbtError(f"watch: {self.watch} {what}; make it, or give another one")
        elif (self.watch / MANIFEST).is_file():
            raise LfbtError(f"watch: {self.watch} is a prepared data set, which is complete; name it without --watch")


class Answers(Protocol):
    """Where answers go, and which there are."""

    answered: set[Version]

    def append(self, version: Version, rows: Sequence[Row]) -> None:
        """Add the rows of a file."""


class _Printed:
    """Answers as lines of JSON on stdout, remembered while the process runs."""

    def __init__(self) -> None:
        self.answered: set[Version] = set()

    def append(self, version: Version, rows: Sequence[Row]) -> None:
        """Print the rows of a file."""
        write = json_writer(sys.stdout)
        for row in rows:
            write(row)
        sys.stdout.flush()
        self.answered.add(version)


@dataclasses.dataclass(frozen=True)
class Answering:
    """How files are answered.

    Parameters
    ----------
    model : Model
        What computes.
    files : FileSettings
        What files do not state.
    rows : callable
        Makes the rows of an answer.
    columns : list of str
        The columns of these rows.
    weights : Path
        File or folder that `model` was loaded from.
    served : ServedLeads
        Which leads suffice.
    """

    model: Model
    files: FileSettings
    rows: Callable[[Answer], Iterator[dict[str, Any]]]
    columns: list[str]
    weights: Path
    served: ServedLeads = dataclasses.field(default_factory=ServedLeads)

    def made_by(self) -> str:
        """16 digits that stand for weights, leads, columns and options."""
        found = [self.weights] if self.weights.is_file() else []
        for pattern in _MODEL_FILES:
            found += sorted(self.weights.rglob(pattern))
        digest = hashlib.sha256(repr((self.model.config.leads, self.columns, self.files)).encode())
        for file in found:
            digest.update(file.read_bytes())
        return digest.hexdigest()[:16]


def watch_folder(settings: WatchSettings, out: Path | None, answering: Answering, batch_size: int = 64) -> NoReturn:
    """Answer the files that are in a folder and those that arrive, until a signal asks to stop.

    Parameters
    ----------
    settings
        With the folder.
    out
        See `lfbt.inference.answer_log.open_log`; without it the answers are printed.
    answering
        How files are answered.
    batch_size
        Pieces that are computed at a time.

    Raises
    ------
    StoppedError
        After SIGTERM or SIGINT, when the files in hand are answered.
    LfbtError
        For an output of other answers, and where the folder vanishes.
    """
    settings.check()
    folder = Path(os.path.realpath(settings.watch or ""))
    with contextlib.ExitStack() as stack:
        answers: Answers = _Printed()
        if out is not None:
            answers, is_cut = stack.enter_context(open_log(out, answering.columns, answering.made_by()))
            if is_cut:
                write_line(f"{out}: the last answer was cut short, and is computed again")
        before = len(answers.answered)
        known = f", {format_count(before, 'file')} of {out} answered before" if before else ""
        stop = stack.enter_context(catch_stop_signals())
        write_line(f"watching {settings.watch} every {settings.poll_seconds:g} s{known}; Ctrl-C ends it")
        watch = _Watch(folder, None if out is None else out.resolve(), answering, answers, stop)
        last: dict[Path, Version] = {}
        while stop.signal is None:
            if not folder.is_dir():
                raise LfbtError(f"watch: {settings.watch} is not there any more; {watch.summary()}")
            now = watch.look()
            watch.answer([item for item in now.items() if last.get(item[0]) == item[1]], batch_size)
            last = now
            _pause(settings.poll_seconds, stop)
    where = "" if out is None else f" in {out}, and the same command goes on"
    raise StoppedError(f"stopped by {stop.signal}: {watch.summary()}{where}")


def _pause(seconds: float, stop: StopRequest) -> None:
    end = time.monotonic() + seconds
    while stop.signal is None and (left := end - time.monotonic()) > 0:
        time.sleep(min(left, _NAP_SECONDS))


class _Watch:
    """One watch of a folder."""

    def __init__(
        self, folder: Path, out: Path | None, answering: Answering, answers: Answers, stop: StopRequest
    ) -> None:
        self._folder, self._out, self._answering, self._answers, self._stop = folder, out, answering, answers, stop
        self._tables: set[Version] = set()
        self._lines: collections.Counter[str] = collections.Counter()
        self._answered = self._failed = 0
        # A header is parsed once, not in each look.
        self._parts = functools.lru_cache(maxsize=100_000)(_parts)

    def summary(self) -> str:
        """How many files were answered."""
        failed = f", {self._failed} could not be" if self._failed else ""
        return f"{format_count(self._answered, 'file')} answered{failed}"

    def look(self) -> dict[Path, Version]:
        """The files that are all there and may be read, with what belongs to them."""
        there = dict(_walk(self._folder, self._say))
        if self._out is not None:
            there.pop(self._out, None)
        files = signal_files(path for path, version in there.items() if version not in self._tables)
        found = {file: self._version(file, there.get) for file in files}
        return {file: version for file, version in found.items() if version is not None}

    def _version(self, file: Path, version_of: Callable[[Path], Version | None]) -> Version | None:
        """The file with its parts; None while some are not there or may not be read, which is said if it lasts."""
        own = version_of(file)
        if own is None:
            return None
        parts = {file: own}
        for path in self._parts(file, own) if file.suffix.lower() == ".hea" else ():
            part = version_of(path)
            if part is None:
                self._say(f"{own.file} waits for {shown_name(path.name)}", _LOOKS_BEFORE_WAITING)
                return None
            parts[path] = part
        for path in parts:
            if not os.access(path, os.R_OK):
                self._say(f"{parts[path].file} may not be read yet; fix its permissions", _LOOKS_BEFORE_WAITING)
                return None
        size, mtime_ns = sum(part.size for part in parts.values()), max(part.mtime_ns for part in parts.values())
        return Version(own.file, size, mtime_ns)

    def answer(self, found: Iterable[tuple[Path, Version]], batch_size: int) -> None:
        """Answer those that are not answered yet; where a signal asks to stop, no more than those that are in hand."""
        how = self._answering
        new = [(path, version) for path, version in found if version not in self._answers.answered]
        hand: collections.deque[_InHand] = collections.deque()
        rows: list[dict[str, Any]] = []
        reasons: list[str] = []
        pieces = iterate_pieces(
            self._items(new, hand), how.model.config, how.files, how.served, how.model.needs_voltages
        )
        for one in iterate_answers(pieces, how.model, batch_size):
            rows += how.rows(one)
            reasons.append(one.pieces.reason)
            if len(reasons) == hand[0].recordings:
                self._finish(hand.popleft(), rows, any(reasons))
                rows, reasons = [], []

    def _items(
        self, found: Sequence[tuple[Path, Version]], hand: collections.deque[_InHand]
    ) -> Iterator[Entry | Dropped]:
        """The recordings in the files, each of which is put into `hand` before."""
        for path, version in found:
            if self._stop.signal is not None:
                return
            if path.suffix.lower() == ".csv" and (column := table_column(path)):
                self._tables.add(version)
                self._say(f"{version.file} is passed over: a table with the column {column}, not samples")
                continue
            items = list_file(path, self._answering.files) or [Dropped(path.stem, str(path), "holds no recording")]
            hand.append(_InHand(path, version, len(items)))
            yield from items

    def _finish(self, one: _InHand, rows: Sequence[dict[str, Any]], has_failed: bool) -> None:
        """Keep the answers to a file, unless it has changed while it was read, or went before it was."""
        now = self._version(one.path, _version_of)
        if now != one.version and (now is not None or has_failed):
            return
        self._answers.append(one.version, rows)
        self._answered += not has_failed
        self._failed += has_failed

    def _say(self, line: str, patience: int = 1) -> None:
        """Print a line once, when there was reason to so many times."""
        self._lines[line] += 1
        if self._lines[line] == patience:
            write_line(line)


class _InHand(NamedTuple):
    """A file that is being answered, and how many recordings it has."""

    path: Path
    version: Version
    recordings: int


def _parts(path: Path, _: Version) -> list[Path]:
    """The signal files of a version of a WFDB header; none of one that is unreadable, which its reader will say."""
    try:
        return [part for part in wfdb_signal_files(path) if part.parent == path.parent]
    except UnreadableError:
        return []


def _walk(folder: Path, say: Callable[[str], None]) -> Iterator[tuple[Path, Version]]:
    """All files below a folder that are neither hidden nor being written; links to folders are not followed."""

    def cannot_enter(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            say(f"{error.filename} cannot be entered ({error.strerror}); make it readable")

    for parent, folders, names in os.walk(folder, onerror=cannot_enter):
        folders[:] = [name for name in folders if not (name.startswith(".") or name.endswith(_BEING_WRITTEN))]
        for name in names:
            version = None if name.startswith(".") else _version_of(Path(parent, name))
            if version is not None:
                yield Path(parent, name), version


def _version_of(path: Path) -> Version | None:
    """A file by itself; None where it is not there, or is none, such as a pipe."""
    try:
        found = path.stat()
    except OSError:
        return None
    return Version(shown_name(str(path)), found.st_size, found.st_mtime_ns) if stat.S_ISREG(found.st_mode) else None
