"""What an encoder has learned from, kept as fingerprints, and the refusal of test records that are among it."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from lfbt.audit.fingerprints import (
    FREQUENCIES,
    LEAST_CORRELATION,
    Fingerprints,
    compute_fingerprints,
    find_matches,
    pair_correlations,
)
from lfbt.data.dataset import Dataset
from lfbt.errors import LfbtError
from lfbt.runs.run_folder import ENCODER_FOLDER
from lfbt.utils.tensors import load_tensors, save_tensors

#: The file of an encoder folder with the fingerprints of the records that the encoder has learned from.
FINGERPRINTS = "records.safetensors"

_PREFIX = "bits."
_N_FREQUENCIES = "n_frequencies"
_INSIST = "or insist with --allow-test-records"


def check_copies(
    seen: Fingerprints, dataset: Dataset, rows: NDArray[np.int64], tests: Sequence[tuple[Dataset, NDArray[np.int64]]]
) -> None:
    """Raise LfbtError when a record to learn from is a copy of one of `tests`, data sets and rows of test records.

    seen: the fingerprints of `rows` of `dataset`. Copies are alike by fingerprint and by correlation.
    """
    for other, other_rows in tests:
        found = find_matches(seen, compute_fingerprints(other, other_rows))
        mine, theirs = rows[found.first], other_rows[found.second]
        copies = np.abs(pair_correlations(dataset, mine, other, theirs)) >= LEAST_CORRELATION
        if copies.any():
            pairs = [f"{dataset.ids[i]} is {other.ids[j]}" for i, j in zip(mine[copies], theirs[copies], strict=True)]
            folder = f" of {other.folder}" if other.folder != dataset.folder else ""
            raise LfbtError(
                f"{dataset.folder}: {len(set(mine[copies]))} of the {len(rows)} records to learn from are test records"
                f"{folder} ({_some(pairs)}); leave them out with --exclude FILE, which `lfbt check DATA ... --out DIR` "
                f"writes as DIR/exclude.csv, {_INSIST}"
            )


def check_leakage(checkpoint: Path, dataset: Dataset, rows: NDArray[np.int64], allowed: bool) -> None:
    """Raise LfbtError when any of `rows`, test records, is among those that the encoder has learned from.

    checkpoint: as `load_encoder` takes it. Nothing is refused if that is `allowed`, or where the encoder's folder does
    not tell what it learned from, as the authors' files do not.
    """
    file = _folder(checkpoint) / FINGERPRINTS
    if allowed or not file.is_file():
        return
    found = np.unique(find_matches(load_fingerprints(file), compute_fingerprints(dataset, rows)).second)
    if len(found):
        ids = [dataset.ids[row] for row in rows[found]]
        raise LfbtError(
            f"{dataset.folder}: {len(found)} of {len(rows)} test records ({_some(ids)}) are among the records that "
            f"{checkpoint} has learned from, so a score of them would be too good; pretrain without them, with "
            f"--exclude FILE, which `lfbt check` writes, {_INSIST}"
        )


def save_fingerprints(folder: Path, seen: Fingerprints) -> None:
    """Write what the encoder in `folder` has learned from, whole or not at all; what is there already stays."""
    if not (folder / FINGERPRINTS).is_file():
        folder.mkdir(parents=True, exist_ok=True)
        of_leads = {f"{_PREFIX}{lead}": torch.from_numpy(seen.bits[:, i]) for i, lead in enumerate(seen.leads)}
        save_tensors(folder / FINGERPRINTS, of_leads | {_N_FREQUENCIES: torch.tensor(seen.n_frequencies)})


def load_fingerprints(file: Path) -> Fingerprints:
    """What `save_fingerprints` wrote. Raises LfbtError when the file is not whole, or another."""
    tensors = load_tensors(file)
    leads = tuple(name.removeprefix(_PREFIX) for name in tensors if name.startswith(_PREFIX))
    bits = [tensors[f"{_PREFIX}{lead}"] for lead in leads]
    shapes = {tuple(of_lead.shape) for of_lead in bits}
    n_bytes = {shape[1] for shape in shapes if len(shape) == 2}
    bytewise = all(of_lead.dtype == torch.uint8 for of_lead in bits)
    if len(shapes) != 1 or n_bytes != {len(FREQUENCIES) // 4} or not bytewise or _N_FREQUENCIES not in tensors:
        raise LfbtError(f"{file}: holds no fingerprints of records; remove it to use the encoder without this guard")
    return Fingerprints(leads, int(tensors[_N_FREQUENCIES]), torch.stack(bits, dim=1).numpy())


def write_fingerprints(
    checkpoint: Path | None, folder: Path, dataset: Dataset, learned: NDArray[np.int64] | None
) -> None:
    """Write what the encoder in `folder` has learned from: what the one in `checkpoint` has, and the rows `learned`.

    Of leads that only one of both has, the other has nothing. Nothing is written where nothing is known.
    """
    parts = [] if learned is None else [compute_fingerprints(dataset, learned)]
    if checkpoint is not None and (_folder(checkpoint) / FINGERPRINTS).is_file():
        parts.append(load_fingerprints(_folder(checkpoint) / FINGERPRINTS))
    if parts:
        save_fingerprints(folder, _together(parts))


def _together(parts: Sequence[Fingerprints]) -> Fingerprints:
    leads = tuple(dict.fromkeys(lead for part in parts for lead in part.leads))
    rows = []
    for part in parts:
        bits = np.zeros((len(part), len(leads), len(FREQUENCIES) // 4), dtype=np.uint8)
        bits[:, [leads.index(lead) for lead in part.leads]] = part.bits
        rows.append(bits)
    # Records that are too short to be known have no frequencies and must not take those of the others away.
    known = [part.n_frequencies for part in parts if part.n_frequencies]
    return Fingerprints(leads, min(known, default=0), np.concatenate(rows))


def _folder(checkpoint: Path) -> Path:
    return checkpoint / ENCODER_FOLDER if (checkpoint / ENCODER_FOLDER).is_dir() else checkpoint


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def exclude_records(
    dataset: Dataset, folders: Sequence[Path], rows: NDArray[np.int64], file: Path
) -> NDArray[np.int64]:
    """`rows` of `dataset`, the one or the several in `folders`, less the records that `file` names.

    file: a CSV with a column ``id`` and, if wanted, ``data`` with the name or path of a data set, lines of others than
    `folders` being passed over; or any other file with an id a line. Among several data sets without ``data`` an id is
    NAME/ID.

    Raises LfbtError for a file that cannot be read, for an id that no record has, and when all that the file names is
    of other data sets.
    """
    known, chosen, unknown = set(dataset.ids), set(), []
    named = _named(file)
    for data, name in named:
        places = [folder for folder in folders if data in (folder.name, folder.as_posix())]
        if data and not places:
            continue
        ids = {name}
        if data and len(folders) > 1:
            ids = {f"{prefix}/{name}" for folder in places for prefix in (folder.name, folder.as_posix())}
        chosen |= ids & known
        if not ids & known:
            unknown.append(name)
    if unknown:
        raise LfbtError(
            f"exclude: {file} names {_some(unknown)}, which {', '.join(map(str, folders))} does not have; give ids as "
            f"records.csv has them{', with a column data or as NAME/ID' if len(folders) > 1 else ''}"
        )
    if named and not chosen:
        raise LfbtError(f"exclude: {file} names no record of {', '.join(map(str, folders))}; leave --exclude out")
    return rows[[dataset.ids[row] not in chosen for row in rows]]


def _named(file: Path) -> list[tuple[str, str]]:
    """The data set (or empty text) and the id of each line of `file`."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise LfbtError(
            f"exclude: {file} cannot be read ({error}); give a CSV with a column id, or an id a line"
        ) from error
    if file.suffix.lower() != ".csv":
        return [("", line.strip()) for line in text.splitlines() if line.strip()]
    lines = list(csv.DictReader(text.splitlines()))
    if lines and "id" not in lines[0]:
        raise LfbtError(f"exclude: {file} has no column id, but {', '.join(map(str, lines[0]))}; name one so")
    return [((line.get("data") or "").strip(), (line["id"] or "").strip()) for line in lines]
