"""One ECG of a file, a folder or a data set, drawn into a file: ``lfbt draw``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import numpy as np

from lfbt.data.dataset import Dataset
from lfbt.drawing.files import check_drawing, save_drawing
from lfbt.drawing.layout import lay_out
from lfbt.errors import LfbtError, UnreadableError
from lfbt.inference.recordings import FileSettings, list_recordings
from lfbt.recording import Recording
from lfbt.sources.listing import Dropped, Entry
from lfbt.utils.figures import format_names
from lfbt.utils.opening import shown_name
from lfbt.utils.settings import Affects, validate
from lfbt.voltages import find_implausible_leads, implausible_span, measure_spans

# Records that a message lists.
_LISTED = 3


@dataclasses.dataclass(frozen=True)
class DrawSettings:
    """Which ECG is drawn, and where to."""

    file: Annotated[tuple[Path, ...], Affects.LOCATION]
    """A recording in any format that predict reads; or a folder or a prepared data set, one record of which --record
    names."""
    out: Annotated[Path | None, Affects.LOCATION] = None
    """New file .svg, .png or .pdf; by default the record's name and .svg, in the current folder."""
    record: str = ""
    """Which record, by its id, where there are several."""
    overwrite: Annotated[bool, Affects.RUNTIME] = False
    """Replace a drawing of that name."""
    files: FileSettings = dataclasses.field(default_factory=FileSettings)

    def check(self) -> None:
        """Raise LfbtError unless one place is named."""
        if len(self.file) != 1:
            raise LfbtError(f"file: {len(self.file)} are given; give one, or draw one after another")


@dataclasses.dataclass(frozen=True)
class Drawn:
    """A drawing that was written: where, of which record, what it says of its scale, and what the reader decided."""

    out: Path
    record: str
    scale: str
    notes: tuple[str, ...]


def draw_file(settings: DrawSettings) -> Drawn:
    """Draw one ECG into a file.

    Raises
    ------
    FinishedError
        When the same drawing is there already.
    LfbtError
        For a file that cannot be read or written, several records of which none is named, voltages that no ECG has
        unless allowed, and z-scores, which have no scale.
    """
    validate(settings)
    if settings.out is not None:
        check_drawing(settings.out)
    recording = _read(settings)
    if recording.in_mv and not settings.files.allow_implausible:
        _check_voltages(recording)
    out = settings.out or Path(f"{recording.id.replace('/', '-') or 'ecg'}.svg")
    check_drawing(out)
    save_drawing(recording, out, settings.overwrite)
    scale, *notes = lay_out(recording).foot
    return Drawn(out, recording.id, scale, (*recording.notes, *notes))


def _read(settings: DrawSettings) -> Recording:
    """Read the record that the settings name."""
    (place,) = settings.file
    found = list_recordings([place], settings.files)
    if isinstance(found[0], Dataset):
        return recording_of(found[0], _place_of(settings.record, list(found[0].ids), found[0].folder))
    entries = [item for item in found if isinstance(item, Entry)]
    ids = [entry.id for entry in entries]
    if not entries:
        reasons = [item.reason for item in found if isinstance(item, Dropped)]
        raise UnreadableError(f"{place}: holds no recording: {'; '.join(reasons[:_LISTED])}")
    entry = entries[_place_of(settings.record, ids, place)]
    return dataclasses.replace(entry.reader(entry.file), id=shown_name(entry.id))


def _place_of(record: str, ids: list[str], place: Path) -> int:
    """The place of a record among `ids`; of a lone one it need not be named."""
    if record in ids:
        return ids.index(record)
    if record:
        raise LfbtError(f"record: {record} is not in {place}, which has {format_names(ids, _LISTED)}")
    if len(ids) > 1:
        raise LfbtError(f"record: none given, but {place} has {len(ids)}: {format_names(ids, _LISTED)}; name one")
    return 0


def recording_of(dataset: Dataset, row: int) -> Recording:
    """Return a record as a recording; one of synthetic data says so in its id."""
    id = dataset.ids[row] + (" (SYNTHETIC)" if dataset.synthetic else "")
    (signal,) = dataset.batch(np.array([row]), "none")
    return Recording(signal, dataset.sampling_rate, dataset.leads, id=id, in_mv=dataset.in_mv)


def _check_voltages(recording: Recording) -> None:
    finite = np.where(np.isfinite(recording.signal), recording.signal, 0)
    spans = measure_spans(finite)
    fault = find_implausible_leads(finite, recording.leads, recording.sampling_rate)
    fault = fault or implausible_span([float(span) for span in spans if span > 0])
    if fault:
        raise LfbtError(
            f"{recording.id}: {fault}; state the right unit where it can be (file_unit), or insist with "
            "allow_implausible"
        )
