"""One recording becomes records of one shape."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from typing import Literal

from lfbt.errors import AbsentLeadError, UnreadableError
from lfbt.recording import PAPER_LEADS
from lfbt.signal import Signal, choose_leads, cut_pieces, fit_samples, limb_leads_used, quality_fault
from lfbt.sources.listing import Dropped, Entry


@dataclasses.dataclass(frozen=True)
class PrepareSettings:
    """How recordings become records of one shape."""

    leads: tuple[str, ...] = PAPER_LEADS
    """Leads to keep, by name and in this order, comma-separated. Missing limb leads are derived."""
    n_samples: int = 2048
    """Samples of a record after resampling."""
    duration: float = 10.0
    """Seconds of a record. Longer recordings are cut, shorter ones zero-padded at the end."""
    pieces: Literal["all", "first"] = "all"
    """Which pieces of a recording longer than the duration are kept."""
    keep_multi_label: bool = False
    """Keep records with several labels (the paper drops them); probe and fine-tuning are multi-label then."""
    test_fraction: float = 0.2
    """Part of the patients put aside for the test, where the source has no official split."""
    val_fraction: float = 0.1
    """Part of the other patients put aside for validation, where the source has no official split."""
    split_seed: int = 0
    """Seed of the split."""
    layout: Literal["packed", "npy"] = "packed"
    """packed: one array in mV with a table. npy: the authors' folders of z-scored files."""
    skip_unreadable: bool = False
    """Drop files that cannot be read, with the reason, instead of stopping at the first."""
    workers: int = dataclasses.field(default_factory=lambda: os.cpu_count() or 1)
    """Processes that read and resample; with 1 this process does it."""
    dask_scheduler: str | None = None
    """Address of a Dask scheduler, host:port, whose workers do this instead; they must see FROM under the same path."""


@dataclasses.dataclass(frozen=True)
class Piece:
    """A record: which piece of its recording it is, ``[leads, samples]`` in mV, and the SHA-256 of these."""

    number: int
    signal: Signal
    hash: str


@dataclasses.dataclass(frozen=True)
class Prepared:
    """What became of one recording: in how many pieces it was cut, those that are kept, and what was dropped."""

    entry: Entry
    n_pieces: int
    pieces: list[Piece]
    dropped: list[Dropped]


def prepare_entry(entry: Entry, settings: PrepareSettings) -> Prepared:
    """Read one recording and make its records. Raises UnreadableError, unless the settings say to drop such files."""
    pieces: list[Piece] = []
    dropped: list[Dropped] = []
    n_pieces = 0
    try:
        recording = entry.read()
        n_raw = round(settings.duration * recording.sampling_rate)
        if n_raw < 2:
            raise UnreadableError(
                f"sampling rate {recording.sampling_rate:g} Hz is too low for {settings.duration:g} s"
            )
        # A fault of a lead that others are derived from is a fault of theirs.
        used = limb_leads_used(recording.leads, settings.leads)
        checked = (*settings.leads, *(lead for lead in used if lead not in settings.leads))
        chosen = choose_leads(recording.signal, recording.leads, checked)
        cut = cut_pieces(chosen, n_raw, settings.pieces)
        n_pieces = len(cut)
        for number, piece in enumerate(cut):
            fault = quality_fault(piece, checked, recording.sampling_rate)
            if fault:
                where = f" (piece {number + 1} of {n_pieces})" if n_pieces > 1 else ""
                dropped.append(Dropped(entry.id, str(entry.file), fault + where))
            else:
                signal = fit_samples(piece[: len(settings.leads)], n_raw, settings.n_samples)
                pieces.append(Piece(number, signal, hashlib.sha256(signal.data).hexdigest()))
    except UnreadableError as error:
        if not settings.skip_unreadable:
            raise UnreadableError(f"{error}; mend or remove it, or drop such files with --skip-unreadable") from error
        dropped.append(Dropped(entry.id, str(entry.file), f"unreadable: {error}"))
    except AbsentLeadError as error:
        dropped.append(Dropped(entry.id, str(entry.file), str(error)))
    return Prepared(entry, n_pieces, pieces, dropped)
