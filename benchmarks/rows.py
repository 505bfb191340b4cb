"""The rows of the table: a target, what was measured, and whether it is met."""

from __future__ import annotations

import dataclasses
import statistics

from benchmarks.measure import Timings


@dataclasses.dataclass(frozen=True)
class Row:
    """One row of the table: medians of both sides in `unit`, their ratio over the rounds, whether the target is met.

    against: what `literal` holds where that is not the literal form.
    """

    what: str
    target: str
    unit: str
    literal: float | None
    ours: float | None
    ratio_median: float | None
    ratio_min: float | None
    ratio_max: float | None
    reached: bool
    note: str = ""
    against: str = ""


def faster(what: str, times: float, timings: Timings, note: str, against: str = "", agree: bool = True) -> Row:
    """A row whose target is `times` times the speed, with the same result (`agree`)."""
    ratio = statistics.median(timings.ratios)
    return Row(
        what=what,
        target=f"≥ {times:g}× faster",
        unit="s",
        literal=statistics.median(timings.literal),
        ours=statistics.median(timings.ours),
        ratio_median=ratio,
        ratio_min=min(timings.ratios),
        ratio_max=max(timings.ratios),
        reached=ratio >= times and agree,
        note=note,
        against=against,
    )


def smaller(what: str, times: float, literal: float | None, own: float | None, note: str) -> Row:
    """A row whose target is 1 / `times` of the memory, in GB; None for a run that ran out of memory."""
    ratio = literal / own if literal is not None and own else None
    return Row(
        what=what,
        target=f"≥ {times:g}× less",
        unit="GB",
        literal=literal,
        ours=own,
        ratio_median=ratio,
        ratio_min=ratio,
        ratio_max=ratio,
        reached=ratio is not None and ratio >= times,
        note=note,
    )


def at_most(what: str, limit: float, own: float | None, unit: str, note: str) -> Row:
    """A row without a literal side: ours must not exceed `limit`."""
    reached = own is not None and own <= limit
    return Row(what, f"≤ {limit:g} {unit}", unit, None, own, None, None, None, reached, note)
