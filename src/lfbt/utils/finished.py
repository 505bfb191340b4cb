"""Whether the results of a command are there already: the same words again say so, and compute nothing."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from lfbt.errors import FinishedError, LfbtError
from lfbt.utils.files import Outputs, check_replaceable, check_unoccupied, holding, read_json, restore_replaced
from lfbt.utils.opening import read_bytes
from lfbt.utils.targets import check_creatable

# Longer values, such as hashes, are not shown.
_LONGEST = 60


# In place of the names of hashes, which say nothing to a reader.
_CALLED = {
    "hash": "the data",
    "data_hash": "the data",
    "weights_hash": "the weights",
    "recordings_hash": "a recording, a label, or the size or time of a file",
    "hashes": "the runs or what they hold",
}


def check_target(
    folder: Path,
    outputs: Outputs,
    overwrite: bool,
    describe: Callable[[], Mapping[str, Any]],
    verify: Callable[[], object] = lambda: None,
) -> None:
    """Check, before any work, whether a command can write its results into `folder`.

    Parameters
    ----------
    folder
        Where the results will be.
    outputs
        What the command writes there.
    overwrite
        Whether earlier results are to be replaced.
    describe
        Returns what the manifest will state of settings and data. Called only where there is a manifest.
    verify
        Raises LfbtError where the results that are there are damaged. Called only where they are the same.

    Raises
    ------
    FinishedError
        When a manifest is there that states the same.
    LfbtError
        For a folder that holds something else, or cannot be made; in order to `overwrite` as `check_replaceable` does.
    """
    restore_replaced(folder)
    if overwrite:
        check_replaceable(folder, outputs)
    elif (folder / outputs.manifest).is_file():
        manifest = read_json(folder / outputs.manifest)
        if lost := [name for name in outputs.needed if not (folder / name).is_file()]:
            raise LfbtError(
                f"{folder}: has {outputs.manifest}, but no {', '.join(lost)} any more; replace what is left with "
                "--overwrite, or name a new or empty folder"
            )
        error = finished_or_other(folder, describe(), manifest, "replace them with --overwrite")
        if isinstance(error, FinishedError):
            try:
                verify()
            except LfbtError as damage:
                raise LfbtError(f"{damage}; or make the results anew with --overwrite") from damage
        raise error
    else:
        check_unoccupied(folder)
    check_creatable(folder)


@contextlib.contextmanager
def holding_target(
    folder: Path,
    outputs: Outputs,
    overwrite: bool,
    describe: Callable[[], Mapping[str, Any]],
    verify: Callable[[], object] = lambda: None,
) -> Iterator[None]:
    """Check a folder as `check_target` does, and hold it while the block computes and writes its results.

    Raises as `check_target` does, and LfbtError where another process writes there.
    """
    check_target(folder, outputs, overwrite, describe, verify)
    with holding(folder):
        # Another process may have written it in between.
        check_target(folder, outputs, overwrite, describe, verify)
        yield


def finished_or_other(place: Path, now: Mapping[str, Any], was: Mapping[str, Any], remedy: str) -> LfbtError:
    """Return what to raise for results in `place` that state `was`, where a command would state `now`.

    A FinishedError where these are the same. Only what `now` has is compared.
    """
    differing = list(differences(now, was))
    if not differing:
        return FinishedError(place)
    return LfbtError(
        f"{place}: holds other results already ({', '.join(differing)}); name a new or empty folder, or {remedy}"
    )


def differences(now: Mapping[str, Any], was: Mapping[str, Any], within: str = "") -> Iterator[str]:
    """Yield in words what of `now` is not the same in `was`, JSON that was read; mappings in them by their names."""
    for name, value in json.loads(json.dumps(now, default=str)).items():
        called = f"{within}{name}"
        stated = was.get(name)
        if value == stated:
            continue
        if name not in was:
            yield f"{called} is not stated there"
        elif isinstance(value, dict) and isinstance(stated, dict):
            # Of settings each has its own name.
            yield from differences(value, stated, "" if name == "settings" else f"{called}.")
        else:
            shown = [text if len(text := str(side)) <= _LONGEST else "" for side in (value, stated)]
            if shown[0] == shown[1]:  # a number and its text
                shown = [text if len(text := json.dumps(side)) <= _LONGEST else "" for side in (value, stated)]
            if name in _CALLED:
                yield f"{_CALLED[name]} changed"
            else:
                yield f"{called} is {shown[0]} but was {shown[1]}" if all(shown) else f"{called} is another"


def check_same_file(path: Path, content: bytes, remedy: str) -> None:
    """Raise FinishedError where the file `path` has this content already, and LfbtError where it has another."""
    if path.exists():
        if read_bytes(path) == content:
            raise FinishedError(path)
        raise LfbtError(f"out: {path} exists, and holds something else; give another name, or {remedy}")
