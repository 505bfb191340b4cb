"""The form in which watches export an ECG as CSV: facts by name, the lead and its unit, then one value a line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from lfbt.recording import STANDARD_LEADS, is_voltage, lead_name

# A name and a fact; with decimal commas it may be in quotes.
_FACT = re.compile(r'(?P<name>[^,;"]+)[,;]"?(?P<fact>[^"]*)"?')
# In any language that has this word.
_RATE = re.compile(r"(?P<rate>\d+(?:[.,]\d+)?)\s*hertz", re.IGNORECASE)
_VALUE = re.compile(r"[+-]?\d+(?:[.,]\d+)?(?:e[+-]?\d+)?", re.IGNORECASE)
_N_VALUES = 20


class WatchExport(NamedTuple):
    """What such a file states of its one lead; `rate` in Hz is None where no line has it.

    n_skipped: lines before the first value; decimal: the decimal sign of the values.
    """

    lead: str
    unit: str
    rate: float | None
    n_skipped: int
    decimal: str


def find_watch_export(lines: Sequence[str]) -> WatchExport | None:
    """Find out whether these first lines of a file are those of such an export.

    >>> find_watch_export(["Sample Rate,512 hertz", "", "Lead,Lead I", "Unit,µV", "", "-12.5", "8.25"])
    WatchExport(lead='I', unit='µV', rate=512.0, n_skipped=5, decimal='.')
    """
    start = next((number for number, line in enumerate(lines) if _VALUE.fullmatch(line.strip())), None)
    if start is None:
        return None
    matches = [match for line in lines[:start] if (match := _FACT.fullmatch(line.strip()))]
    facts = [(match["name"].strip(), match["fact"].strip()) for match in matches]
    values = [line.strip() for line in lines[start:] if line.strip()][:_N_VALUES]
    if len(facts) < 2 or not all(map(_VALUE.fullmatch, values)):
        return None
    # The two last facts are the lead and its unit, whatever the language calls them; a header has leads or units only.
    (name_of_lead, fact), (name_of_unit, unit) = facts[-2:]
    lead = lead_name(fact)
    is_header = lead_name(name_of_lead) in STANDARD_LEADS or is_voltage(name_of_unit)
    if is_header or lead not in STANDARD_LEADS or not is_voltage(unit):
        return None
    rates = {float(match["rate"].replace(",", ".")) for line in lines[:start] if (match := _RATE.search(line))}
    decimal = "," if any("," in value for value in values) else "."
    return WatchExport(lead, unit, rates.pop() if len(rates) == 1 else None, start, decimal)
