"""Render the results as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"


def render(results: Mapping[str, Any]) -> str:
    """Machine, table of rows, notes and growth tables, from the content of the JSON file."""
    parts = [_machine(results["machine"])]
    if results["quick"]:
        parts.insert(0, "**quick: sizes too small to mean anything**")
    rows = [row for group in results["rows"].values() for row in group]
    if rows:
        parts += [_rows(rows), "\n".join(f"- {row['what']}: {row['note']}" for row in rows if row["note"])]
    if results["parts"]:
        parts.append(_parts(results["parts"]))
    parts += [_series(series) for series in results["growth"]]
    return "\n\n".join(filter(None, parts)) + "\n"


def with_section(text: str, section: str, begin: str = BEGIN, end: str = END) -> str:
    """Put `section` between the markers in `text`. Raises ValueError unless each marker occurs once, in order."""
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise ValueError(f"the file must have the lines {begin} and {end} once each, in this order")
    before, rest = text.split(begin)
    return f"{before}{begin}\n\n{section}\n{end}{rest.split(end)[1]}"


def row_line(row: Mapping[str, Any]) -> str:
    """Format one row of the table."""
    literal = _value(row["literal"], row["unit"]) + (f" ({row['against']})" if row["against"] else "")
    cells = [row["what"], row["target"], literal, _value(row["ours"], row["unit"]), _ratio(row)]
    return _line([*cells, "yes" if row["reached"] else "no"])


def _machine(machine: Mapping[str, Any]) -> str:
    return (
        f"Measured on {machine['processor']} ({machine['vector_extension']}), {machine['threads']} threads, "
        f"{machine['memory_gib']} GiB of memory, with Python {machine['python']}, PyTorch {machine['torch']}, "
        f"lfbt {machine['lfbt']}. Both sides take turns; ratios are medians over the rounds, with lowest and highest."
    )


def _rows(rows: Sequence[Mapping[str, Any]]) -> str:
    return "\n".join([*_head(["what", "asked", "literal", "ours", "ratio (min–max)", "reached"]), *map(row_line, rows)])


def _parts(found: Sequence[Mapping[str, Any]]) -> str:
    """A table a step, in seconds."""
    text = ["Where the time of a pretraining step goes, in seconds, and what its multiplications alone would take:"]
    for step in dict.fromkeys(one["step"] for one in found):
        lines = _head([f"step: {step}", "seconds", "share", "seconds at the peak of a matrix product"])
        for one in (part for part in found if part["step"] == step):
            cells = [_number(one["seconds"]), f"{100 * one['share']:.0f} %", _number(one["at_peak"])]
            lines.append(_line([one["part"], *cells]))
        text += ["", *lines]
    return "\n".join(text)


def _series(series: Mapping[str, Any]) -> str:
    lines = _head([series["size_name"], *series["values"]])
    for i, size in enumerate(series["sizes"]):
        lines.append(_line([f"{size:,}", *(_number(column[i]) for column in series["values"].values())]))
    exponents = (_number(series["exponents"][name], 2) for name in series["values"])
    return "\n".join(
        [
            f"Growth with the number of {series['size_name']}: {series['what']}",
            "",
            *lines,
            _line(["fitted exponent", *exponents]),
        ]
    )


def _ratio(row: Mapping[str, Any]) -> str:
    median, low, high = (row[f"ratio_{name}"] for name in ("median", "min", "max"))
    if median is None:
        return "–"
    if row["target"].endswith("%"):
        return f"{100 * median:.0f} %" + ("" if low == high else f" ({100 * low:.0f}–{100 * high:.0f})")
    spread = "" if low == high else f" ({_number(low)}–{_number(high)})"
    return f"{_number(median)}×{spread}"


def _value(value: float | None, unit: str) -> str:
    return "–" if value is None else f"{_number(value)} {unit}"


def _number(value: float | None, digits: int = 3) -> str:
    """Format `value` to `digits` significant digits, large numbers without an exponent."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 10**digits else f"{value:.{digits}g}"


def _head(cells: Sequence[str]) -> list[str]:
    return [_line(cells), _line(["---"] * len(cells))]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
