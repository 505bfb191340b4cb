"""Changed files into every reader: each is read or refused in one line; none crashes, hangs or raises anything else."""

from __future__ import annotations

import collections
import multiprocessing
import random
import signal
import tempfile
import traceback
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

from tests.fuzz.corpora import CORPORA
from tests.fuzz.mutations import mutate

from lfbt.errors import LfbtError

SECONDS = 20
_READY = ("ready", "")
OUTCOMES = ("read", "refused", "ended by a limit", "traceback", "crashed", "hung")


def fuzz(reader: str, inputs: int, seed: int = 0) -> tuple[collections.Counter[str], list[str]]:
    """Count the outcomes of `inputs` changed files, and describe those that should not be."""
    counts: collections.Counter[str] = collections.Counter()
    faults: list[str] = []
    context = multiprocessing.get_context("spawn")
    done = 0
    while done < inputs:
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_try_all, args=(theirs, reader, seed, done, inputs))
        process.start()
        theirs.close()
        answers = _answers(ours)
        if next(answers, None) != _READY:
            raise RuntimeError(f"the files for {reader} cannot be made, or not be read as they are")
        for outcome, what in answers:
            done += 1
            counts[outcome] += 1
            if outcome in OUTCOMES[3:]:
                faults.append(f"{reader} {seed} {done - 1}: {what}")
        process.kill()
        process.join()
        if done < inputs:
            outcome = "hung" if process.exitcode == -signal.SIGKILL else "crashed"
            faults.append(f"{reader} {seed} {done}: {outcome} ({process.exitcode})")
            counts[outcome] += 1
            done += 1
    return counts, faults


def _answers(connection: Connection) -> Iterator[tuple[str, str]]:
    try:
        # Before the first of them files are made; and native code does not see the alarm.
        while connection.poll(10 * SECONDS):
            yield connection.recv()
    except EOFError:
        pass


def _try_all(connection: Connection, reader: str, seed: int, start: int, end: int) -> None:
    corpus = CORPORA[reader]
    signal.signal(signal.SIGALRM, _time_is_up)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "files"
        folder.mkdir()
        corpus.write(folder)
        files = sorted({path for pattern in corpus.patterns for path in folder.glob(pattern) if path.is_file()})
        whole = {path: path.read_bytes() for path in files}
        corpus.read(folder)
        connection.send(_READY)
        for number in range(start, end):
            draw = random.Random(f"{reader} {seed} {number}")
            path = draw.choice(files)
            path.write_bytes(mutate(whole[path], draw))
            signal.alarm(SECONDS)
            try:
                outcome = outcome_of(corpus.read, folder)
            finally:
                signal.alarm(0)
            path.write_bytes(whole[path])
            connection.send(outcome)


class _TimeIsUpError(BaseException):
    pass


def _time_is_up(*_: object) -> None:
    raise _TimeIsUpError


def outcome_of(read: Callable[[Path], object], folder: Path) -> tuple[str, str]:
    """Read files, and say how that ended, with the words of an error."""
    try:
        read(folder)
    except LfbtError as error:
        is_limit = "ended the process" in str(error) or "took longer" in str(error)
        return ("ended by a limit" if is_limit else "refused"), str(error)
    except _TimeIsUpError:
        return "hung", "".join(traceback.format_stack()[-3:])
    except Exception as error:  # noqa: BLE001 - this is what is counted
        last = traceback.extract_tb(error.__traceback__)[-1]
        return "traceback", f"{type(error).__name__}: {str(error)[:100]} at {last.filename}:{last.lineno}"
    return "read", ""


def as_table(counts: dict[str, collections.Counter[str]]) -> str:
    """Markdown, a row a reader."""
    lines = [f"| reader | inputs | {' | '.join(OUTCOMES)} |", "|---" * (len(OUTCOMES) + 2) + "|"]
    for reader, of_reader in counts.items():
        cells = [of_reader[outcome] for outcome in OUTCOMES]
        lines.append(f"| {reader} | {sum(cells)} | {' | '.join(map(str, cells))} |")
    return "\n".join(lines)
