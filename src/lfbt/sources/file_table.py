"""A user's table of what single files do not state: leads, sampling rate and unit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lfbt.errors import LfbtError
from lfbt.recording import check_sampling_rate, parse_leads, unit_in_mv
from lfbt.sources.finding import fold_name, fold_names, note_spelling, read_table

_COLUMNS = ("file", "leads", "sampling_rate", "unit")


def read_file_table(table: Path, files: Sequence[Path], folder: Path) -> tuple[dict[Path, Mapping[str, Any]], str]:
    """Read what a table states of single files.

    Parameters
    ----------
    table
        CSV file with a column ``file``, each a path below `folder`, and some of ``leads`` (``I,II,V1``, between
        quotes), ``sampling_rate`` (Hz) and ``unit``; an empty cell states nothing.
    files
        The files that may be named.
    folder
        Where they are.

    Returns
    -------
    dict
        By file the options that are stated: leads, sampling_rate, unit.
    str
        What is assumed: files that the table writes in another case, or with backslashes; or empty.

    Raises
    ------
    LfbtError
        For another column, a file that is not there or named twice, and values that are no leads, rate or unit.
    """
    rows = read_table(table, ["file"])
    unknown = [name for name in (rows[0] if rows else ()) if name not in _COLUMNS]
    if unknown:
        raise LfbtError(
            f"table {table}: column {unknown[0]!r} is not one of {', '.join(_COLUMNS)}; rename or remove it"
        )
    by_name = {file.relative_to(folder).as_posix(): file for file in files}
    folded = fold_names(by_name)
    stated: dict[Path, Mapping[str, Any]] = {}
    otherwise: list[str] = []
    for row in rows:
        name = row["file"] if row["file"] in by_name else folded.get(fold_name(row["file"]), "")
        file = by_name.get(name)
        if file and name != row["file"]:
            otherwise.append(f"{row['file']} for {name}")
        if file is None:
            example = next(iter(by_name), "a.npy")
            raise LfbtError(
                f"table {table}: {row['file']!r} is no file of {folder} that it can be for, such as {example}"
            )
        if file in stated:
            raise LfbtError(f"table {table}: {row['file']} is named twice; keep one row a file")
        try:
            stated[file] = _options(row)
        except ValueError as error:
            raise LfbtError(f"table {table}: file {row['file']}: {error}") from error
    return stated, note_spelling(otherwise, table)


def _options(row: Mapping[str, str]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if row.get("leads"):
        options["leads"] = parse_leads(row["leads"])
    if row.get("sampling_rate"):
        try:
            rate = float(row["sampling_rate"])
        except ValueError as error:
            raise LfbtError(f"sampling_rate: {row['sampling_rate']!r} is not a number in Hz, such as 500") from error
        check_sampling_rate(rate)
        options["sampling_rate"] = rate
    if row.get("unit"):
        unit_in_mv(row["unit"])
        options["unit"] = row["unit"]
    return options
