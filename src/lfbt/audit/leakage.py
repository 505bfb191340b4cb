"""Leakage of test records: fingerprints of what an encoder learned from, and the refusal of test records among them."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lfbt.audit.fingerprints import (
    FINGERPRINTS,
    MIN_CORRELATION,
    Fingerprints,
    compute_fingerprints,
    compute_pair_correlations,
    concatenate,
    find_matches,
    load_fingerprints,
    save_fingerprints,
)
from lfbt.data.dataset import Dataset
from lfbt.errors import LfbtError
from lfbt.runs.encoder_folder import encoder_folder
from lfbt.utils.figures import format_names
from lfbt.utils.opening import read_text

# Records that a message lists.
_LISTED = 3
_INSIST = "or insist with --allow-test-records"


def check_copies(
    seen: Fingerprints, dataset: Dataset, rows: NDArray[np.int64], tests: Sequence[tuple[Dataset, NDArray[np.int64]]]
) -> None:
    """Refuse training records that are copies of test records, by fingerprint and by correlation.

    Parameters
    ----------
    seen
        Fingerprints of the training records.
    dataset, rows
        The training records.
    tests
        Data sets, each with the rows of its test records.

    Raises
    ------
    LfbtError
        Where there are copies; it names them.
    """
    for other, other_rows in tests:
        matches = find_matches(seen, compute_fingerprints(other, other_rows))
        trained, tested = rows[matches.first], other_rows[matches.second]
        copies = np.abs(compute_pair_correlations(dataset, trained, other, tested)) >= MIN_CORRELATION
        if copies.any():
            pairs = [
                f"{dataset.ids[i]} is {other.ids[j]}" for i, j in zip(trained[copies], tested[copies], strict=True)
            ]
            folder = f" of {other.folder}" if other.folder != dataset.folder else ""
            raise LfbtError(
                f"{dataset.folder}: {len(set(trained[copies]))} of the {len(rows)} records to learn from are test "
                f"records{folder} ({format_names(pairs, _LISTED)}); leave them out with --exclude FILE, which `lfbt "
                "check DATA ... "
                f"--out DIR` writes as DIR/exclude.csv, {_INSIST}"
            )


def check_leakage(checkpoint: Path, dataset: Dataset, rows: NDArray[np.int64], allowed: bool) -> None:
    """Refuse test records that an encoder has learned from.

    Parameters
    ----------
    checkpoint
        The encoder, as `lfbt.models.pretrained.load_encoder` takes it. One without fingerprints, such as the authors',
        is accepted.
    dataset, rows
        The test records.
    allowed
        Accept any.

    Raises
    ------
    LfbtError
        Where the encoder has learned from some of them; it names them.
    """
    file = encoder_folder(checkpoint) / FINGERPRINTS
    if allowed or not file.is_file():
        return
    leaked = np.unique(find_matches(load_fingerprints(file), compute_fingerprints(dataset, rows)).second)
    if len(leaked):
        ids = [dataset.ids[row] for row in rows[leaked]]
        # `lfbt check` lists copies of test records only, but with folds every record is tested.
        if (dataset.split[rows[leaked]] == "test").all():
            advice = "pretrain without them, with --exclude FILE, which `lfbt check` writes"
        else:
            advice = "with --folds all records are tested: take an encoder of other records, leave --folds out"
        raise LfbtError(
            f"{dataset.folder}: {len(leaked)} of {len(rows)} test records ({format_names(ids, _LISTED)}) are among "
            "the records that "
            f"{checkpoint} has learned from, so a score of them would be too good; {advice}, {_INSIST}"
        )


def write_fingerprints(
    checkpoint: Path | None, folder: Path, dataset: Dataset, learned: NDArray[np.int64] | None
) -> None:
    """Write the fingerprints of all that a trained encoder has learned from, as far as it is known.

    Parameters
    ----------
    checkpoint
        The encoder that training started from, if any; its fingerprints are taken over.
    folder
        Folder of the new encoder.
    dataset, learned
        The data set, and the rows of it that the encoder was trained on; None for none.
    """
    parts = [] if learned is None else [compute_fingerprints(dataset, learned)]
    if checkpoint is not None and (file := encoder_folder(checkpoint) / FINGERPRINTS).is_file():
        parts.append(load_fingerprints(file))
    if parts:
        save_fingerprints(folder, concatenate(parts))


def exclude_records(
    dataset: Dataset, folders: Sequence[Path], rows: NDArray[np.int64], file: Path
) -> NDArray[np.int64]:
    """Leave out the records that a file names.

    Parameters
    ----------
    dataset
        The data set, or several opened as one.
    folders
        The folder or folders that `dataset` was opened from.
    rows
        Rows to choose from.
    file
        A CSV with a column ``id`` and, optionally, ``data`` with the name or path of a data set, where lines of others
        than `folders` are ignored; or any other file with one id per line. Among several data sets without ``data`` an
        id is NAME/ID.

    Returns
    -------
    NDArray[int64]
        The other `rows`, in order.

    Raises
    ------
    LfbtError
        For a file that cannot be read, for an id that no record has, and where all that the file names is of other
        data sets.
    """
    known, chosen, unknown = set(dataset.ids), set(), []
    lines = _read_ids(file)
    for data, name in lines:
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
            f"exclude: {file} names {format_names(unknown, _LISTED)}, which {', '.join(map(str, folders))} does not "
            "have; give ids "
            f"as records.csv has them{', with a column data or as NAME/ID' if len(folders) > 1 else ''}"
        )
    if lines and not chosen:
        raise LfbtError(f"exclude: {file} names no record of {', '.join(map(str, folders))}; leave --exclude out")
    return rows[[dataset.ids[row] not in chosen for row in rows]]


def _read_ids(file: Path) -> list[tuple[str, str]]:
    """The data set (or empty text) and the id of each line of `file`."""
    try:
        text = read_text(file, "utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise LfbtError(
            f"exclude: {file} cannot be read ({error}); give a CSV with a column id, or one id per line"
        ) from error
    if file.suffix.lower() != ".csv":
        return [("", line.strip()) for line in text.splitlines() if line.strip()]
    reader = csv.DictReader(text.splitlines())
    if reader.fieldnames and "id" not in reader.fieldnames:
        raise LfbtError(
            f"exclude: {file} has no column id, but {', '.join(map(str, reader.fieldnames))}; name the column of ids so"
        )
    return [((line.get("data") or "").strip(), (line["id"] or "").strip()) for line in reader]
