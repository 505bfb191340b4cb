"""One recording becomes records of one shape."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np

from lfbt.data.packed_signals import hash_signal
from lfbt.errors import AbsentLeadError, LfbtError, UnreadableError
from lfbt.recording import PAPER_LEADS, Recording, check_leads
from lfbt.signal import Signal, choose_leads, cut_pieces, fit_samples, limb_leads_used
from lfbt.signal_quality import FLAT_MV, quality_fault
from lfbt.sources.listing import Dropped, Entry
from lfbt.utils.settings import Affects, LeadNames, Range, Seed, check_range
from lfbt.voltages import find_implausible_leads, implausible_span, measure_spans

#: Samples of a record: more than a day at 100 Hz.
MAX_SAMPLES = 10_000_000
#: Of prepared records, in Hz: they may have been resampled to few samples, or to many.
SAMPLING_RATES = "(0, 1e6]"

# A recording that is shorter than the duration is kept, and padded, from this many seconds on.
_SHORTEST_RECORDING = 5.0


@dataclasses.dataclass(frozen=True)
class PrepareSettings:
    """How recordings become records of one shape."""

    leads: LeadNames = PAPER_LEADS
    """Leads to keep, by name and in this order, comma-separated. Missing limb leads are derived."""
    n_samples: Annotated[int, Range(f"[32, {MAX_SAMPLES}]", "the encoder halves them five times")] = 2048
    """Samples of a record after resampling."""
    duration: Annotated[float, Range("(0, 86400)", "it is in seconds")] = 10.0
    """Seconds of a record. Longer recordings are cut, shorter ones zero-padded at the end."""
    pieces: Literal["all", "first"] = "all"
    """Which pieces of a recording longer than the duration are kept."""
    shortest: Annotated[float | None, Range("[0, 86400)", "it is in seconds")] = None
    """Seconds that a piece must have; shorter ones are dropped. By default half of the duration, of a recording that is
    not cut at most 5."""
    allow_implausible: bool = False
    """Keep signals whose voltages no ECG has: a lead over 30 mV in most seconds, a median lead under 0.05 or over
    10 mV."""
    keep_multi_label: bool = False
    """Keep records with several labels (the paper drops them); probe and fine-tuning are multi-label then."""
    test_fraction: Annotated[float, Range("[0, 1)")] = 0.2
    """Fraction of the patients for the test split, where the source has no official split."""
    val_fraction: Annotated[float, Range("[0, 1)")] = 0.1
    """Fraction of the other patients for the validation split, where the source has no official split."""
    split_seed: Seed = 0
    """Seed of the split."""
    layout: Literal["packed", "npy"] = "packed"
    """packed: one array in mV with a table. npy: the authors' folders of z-scored files."""
    dtype: Literal["float32", "float16"] = "float32"
    """Numbers of the packed array. float16 takes half the disk, and rounds voltages to one part in 2,000 or finer."""
    skip_unreadable: bool = False
    """Drop files that cannot be read, with the reason, instead of stopping at the first."""
    overwrite: Annotated[bool, Affects.RUNTIME] = False
    """Replace what the same command has written into TO before, with layout packed, once all is complete."""
    workers: Annotated[int, Range("[1, 1024]"), Affects.PROCESS] = dataclasses.field(
        default_factory=lambda: os.cpu_count() or 1
    )
    """Processes that read and resample; with 1 this process does it."""
    dask_scheduler: Annotated[str | None, Affects.PROCESS] = None
    """Address of a Dask scheduler, host:port, whose workers do this instead; they must see FROM under the same path."""

    def shortest_piece(self, n_pieces: int) -> float:
        """Seconds that a piece must have, of a recording that is cut into `n_pieces`."""
        if self.shortest is not None:
            return self.shortest
        return self.duration / 2 if n_pieces > 1 else min(_SHORTEST_RECORDING, self.duration / 2)

    def check(self) -> None:
        """Raise LfbtError for lead names that cannot be, and for settings that exclude each other."""
        check_leads(self.leads)
        if self.shortest is not None and self.shortest > self.duration:
            raise LfbtError(f"shortest: {self.shortest:g} s is more than the duration of {self.duration:g} s")
        if self.layout == "npy" and self.keep_multi_label:
            raise LfbtError("layout npy puts a record into one class folder: it does not go with --keep-multi-label")
        if self.layout == "npy" and self.dtype != "float32":
            raise LfbtError("layout npy has the authors' float32: --dtype float16 goes with --layout packed only")


@dataclasses.dataclass(frozen=True)
class Piece:
    """One piece of a recording: its number from 0, ``[leads, samples]`` in mV, and the SHA-256 of these if stored."""

    number: int
    signal: Signal
    hash: str = ""


@dataclasses.dataclass(frozen=True)
class Prepared:
    """The records of one recording.

    n_pieces: into how many it was cut; pieces: those that are kept; dropped: the others; spans: of the median lead of
    each piece that is finite and moves, in mV; notes: what its reader decided, such as signals that are no ECG.
    """

    entry: Entry
    n_pieces: int
    pieces: list[Piece]
    dropped: list[Dropped]
    spans: list[float] = dataclasses.field(default_factory=list)
    notes: tuple[str, ...] = ()


def prepare_entry(entry: Entry, settings: PrepareSettings) -> Prepared:
    """Read one recording and make its records.

    Parameters
    ----------
    entry : Entry
        The recording.
    settings : PrepareSettings
        How to make records of it.

    Returns
    -------
    Prepared
        The pieces ``[leads, n_samples]`` without faults, and what was dropped with the reasons.

    Raises
    ------
    UnreadableError
        If the file cannot be read and such files are not to be dropped.
    """
    try:
        prepared = cut_recording(entry, entry.read(), settings)
        pieces = [dataclasses.replace(piece, hash=hash_signal(piece.signal)) for piece in prepared.pieces]
        return dataclasses.replace(prepared, pieces=pieces)
    except UnreadableError as error:
        if not settings.skip_unreadable:
            raise UnreadableError(f"{error}; repair or remove it, or drop such files with --skip-unreadable") from error
        reason = f"unreadable: {error}"
    except AbsentLeadError as error:
        reason = str(error)
    return Prepared(entry, 0, [], [Dropped(entry.id, str(entry.file), reason)])


def cut_recording(entry: Entry, recording: Recording, settings: PrepareSettings) -> Prepared:
    """Make the records of a recording that was read from `entry`, without hashes.

    Raises UnreadableError for a sampling rate that is too low, and AbsentLeadError for a lead that is not there.
    """
    n_raw = round(settings.duration * recording.sampling_rate)
    if n_raw < 2:
        # Of one file among many that are dropped it may be the rate that is wrong.
        error = UnreadableError if settings.skip_unreadable else LfbtError
        raise error(
            f"duration: {settings.duration:g} s is less than two samples at the {recording.sampling_rate:g} Hz of "
            f"{entry.file}; give {2 / recording.sampling_rate:g} or more, or correct the rate"
        )
    check_range("n_samples / duration", settings.n_samples / settings.duration, SAMPLING_RATES, "it is in Hz")
    # A fault of a lead from which others are derived is a fault of theirs.
    used = limb_leads_used(recording.leads, settings.leads)
    checked = (*settings.leads, *(lead for lead in used if lead not in settings.leads))
    chosen = choose_leads(recording.signal, recording.leads, checked)
    cut = cut_pieces(chosen, n_raw, settings.pieces)
    n_shortest = math.ceil(settings.shortest_piece(math.ceil(chosen.shape[1] / n_raw)) * recording.sampling_rate - 1e-6)
    pieces: list[Piece] = []
    dropped: list[Dropped] = []
    spans: list[float] = []
    for number, piece in enumerate(cut):
        if piece.shape[1] < n_shortest:
            fault: str | None = f"short: {piece.shape[1] / recording.sampling_rate:.3g} s"
        else:
            fault = quality_fault(piece, checked, recording.sampling_rate)
            if recording.in_mv and not (fault and fault.startswith("not finite")):
                lead_spans = measure_spans(piece)
                spans.append(float(np.median(lead_spans)))
                if not settings.allow_implausible:
                    fault = _voltage_fault(piece, checked, recording.sampling_rate, lead_spans) or fault
        if fault:
            where = f" (piece {number + 1} of {len(cut)})" if len(cut) > 1 else ""
            dropped.append(Dropped(entry.id, str(entry.file), fault + where))
        else:
            signal = fit_samples(piece[: len(settings.leads)], n_raw, settings.n_samples)
            if settings.dtype == "float16":
                signal = _round_to_float16(signal, entry)
            pieces.append(Piece(number, signal))
    return Prepared(entry, len(cut), pieces, dropped, [span for span in spans if span > 0], recording.notes)


def _voltage_fault(piece: Signal, leads: Sequence[str], sampling_rate: float, spans: Signal) -> str | None:
    """Why `piece` cannot be an ECG in mV, with the likely unit where all of it is in another."""
    fault = find_implausible_leads(piece, leads, sampling_rate)
    if fault:
        unit = implausible_span(spans)
        return f"implausible: {fault}" + (f"; {unit}" if unit else "")
    # In a unit that is too large by a thousand all leads look flat.
    if 0 < spans.max() <= FLAT_MV and (unit := implausible_span(spans)):
        return f"flat: {','.join(leads)}; {unit}"
    return None


def _round_to_float16(signal: Signal, entry: Entry) -> Signal:
    """Round `signal` to what float16 can hold. Raises LfbtError for a voltage beyond it."""
    with np.errstate(over="ignore"):
        rounded = signal.astype(np.float16).astype(np.float32)
    if not np.isfinite(rounded).all():
        raise LfbtError(
            f"dtype: float16 ends at 65504 mV, but record {entry.id} reaches {np.abs(signal).max():.0f} mV; use float32"
        )
    return rounded
