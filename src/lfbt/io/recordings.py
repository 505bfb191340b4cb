"""What readers share: a decoded signal becomes a Recording, or an error that names the file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfbt.errors import LfbtError, UnreadableError
from lfbt.recording import STANDARD_LEADS, Recording, check_sampling_rate, lead_name, names_of_leads
from lfbt.voltages import find_offset

# No lead of an ECG rises over so many samples.
_N_RISING = 100


def make_recording(
    path: Path, signal: NDArray[Any], leads: Sequence[str], sampling_rate: float, notes: Iterable[str] = ()
) -> Recording:
    """Make a Recording of `signal` ``[leads, samples]`` in mV. Raises UnreadableError that names the file.

    A negated lead becomes the lead by its sign, with a note, unless the lead is there as well.
    """
    names = names_of_leads(leads)
    if any(name != lead_name(lead) for name, lead in zip(names, leads, strict=True)):
        notes = [*notes, "leads C1 to C6 read as V1 to V6"]
    duplicates = [name for name in names if names.count(name) > 1]
    if duplicates:
        raise UnreadableError(f"file {path}: two of its leads are named {duplicates[0]}, among {','.join(names)}")
    # A value beyond float32 becomes infinite, which the quality checks report.
    with np.errstate(over="ignore"):
        in_mv = np.ascontiguousarray(signal, dtype=np.float32)
    negated = [row for row, name in enumerate(names) if is_negated(name) and name[1:] not in names]
    if negated and len(in_mv) == len(names):
        sign = np.ones((len(names), 1), dtype=np.float32)
        sign[negated] = -1
        in_mv = in_mv * sign
        notes = [*notes, *(sign_note(names[row][1:]) for row in negated)]
        names = tuple(name[1:] if row in negated else name for row, name in enumerate(names))
    try:
        if sampling_rate > 0:  # else the recording says so
            check_sampling_rate(sampling_rate)
        return Recording(signal=in_mv, sampling_rate=sampling_rate, leads=names, notes=tuple(notes))
    except LfbtError as error:
        raise UnreadableError(f"file {path}: {str(error).removeprefix('recording ?: ')}") from error


def leads_first(array: NDArray[Any], n_leads: int) -> tuple[NDArray[Any], list[str]]:
    """Turn an array ``[samples, leads]`` to ``[leads, samples]`` where only that fits `n_leads`, with a note.

    One axis is taken for the samples of one lead.
    """
    if array.ndim == 1 and n_leads == 1:
        return array[None], []
    if array.ndim == 2 and array.shape[0] > n_leads == array.shape[1]:
        return array.T, ["transposed from samples × leads"]
    return array, []


def check_not_times(path: Path, signal: NDArray[Any], leads: Sequence[str]) -> None:
    """Raise UnreadableError if a lead rises from each sample to the next, as only times and row numbers do."""
    if signal.ndim != 2 or signal.shape[1] < _N_RISING or len(signal) != len(leads):
        return
    for row, lead in zip(signal, leads, strict=True):
        # Most leads fall within the first samples.
        if (row[1:_N_RISING] > row[: _N_RISING - 1]).all() and (row[1:] > row[:-1]).all():
            raise UnreadableError(
                f"file {path}: lead {lead} rises from each sample to the next, {row[0]:g}, {row[1]:g}, …, as times and "
                "row numbers do; leave it out, or in a CSV file name it time or sample in the header"
            )


def check_not_offset(path: Path, values: NDArray[Any], unit: str, leads: Sequence[str]) -> None:
    """Raise UnreadableError if `values` in `unit` are likely counts with an offset that the unit does not state."""
    if fault := find_offset(values, unit, leads):
        raise UnreadableError(f"file {path}: {fault}")


def is_negated(name: str) -> bool:
    """Whether a lead's name is that of a negated standard lead, such as ``-aVR``."""
    return name[:1] == "-" and name[1:] in STANDARD_LEADS


def sign_note(lead: str) -> str:
    """Return the note on a `lead` that is negated in its file."""
    return f"negated lead -{lead} read as {lead} with its sign changed"
