"""How many bad leads `prepare` and `check` find, and how many good records they lose: the tables of docs/check.md.

    python -m benchmarks.signal_quality --data ../shared/data

Records that people found acceptable or not (CinC 2011), and copies of PTB-XL records in which one lead, or all, were
damaged by a seeded draw. Where NeuroKit2 is installed (``pip install neurokit2``), its index of Zhao and Zhang (2018)
stands beside, for a hundred records of each kind: of a record the worst of its leads.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lfbt.audit.lead_placement import choose_independent, find_misplaced, measure_moments
from lfbt.io import read
from lfbt.recording import STANDARD_LEADS, Recording
from lfbt.signal import Signal
from lfbt.signal_quality import quality_fault
from lfbt.utils.tables import as_markdown
from lfbt.voltages import find_implausible_leads

SEED = 0
# NeuroKit2 takes a tenth of a second a record.
N_RATED_BY_NEUROKIT = 100

Damage = Callable[[Signal, float, np.random.Generator], Signal]


def on_one_lead(change: Callable[[Signal, float, np.random.Generator], Signal]) -> Damage:
    """Damage a lead that is drawn."""

    def damage(signal: Signal, rate: float, rng: np.random.Generator) -> Signal:
        signal, lead = signal.copy(), rng.integers(len(signal))
        signal[lead] = change(signal[lead], rate, rng)
        return signal

    return damage


def hum(amplitude: float) -> Damage:
    """Add mains hum, in mV."""

    def change(lead: Signal, rate: float, rng: np.random.Generator) -> Signal:
        phase = 2 * np.pi * (rng.choice([50, 60]) * np.arange(len(lead)) / rate + rng.random())
        with_hum: Signal = lead + np.float32(amplitude) * np.sin(phase).astype(np.float32)
        return with_hum

    return on_one_lead(change)


def clip(share: float) -> Damage:
    """Cut off what is further from the median than a share of the greatest distance."""

    def change(lead: Signal, _: float, __: np.random.Generator) -> Signal:
        middle = np.median(lead)
        end = share * np.abs(lead - middle).max()
        return np.clip(lead, middle - end, middle + end)

    return on_one_lead(change)


def rest(seconds: float) -> Damage:
    """Set some seconds, at a place that is drawn, to zero."""

    def change(lead: Signal, rate: float, rng: np.random.Generator) -> Signal:
        n = round(seconds * rate)
        start = rng.integers(len(lead) - n + 1)
        return np.where((np.arange(len(lead)) >= start) & (np.arange(len(lead)) < start + n), np.float32(0), lead)

    return on_one_lead(change)


DAMAGE: dict[str, Damage] = {
    "as they are": lambda signal, _, __: signal,
    "a lead of white noise, as large as the lead": on_one_lead(
        lambda lead, _, rng: rng.normal(0, lead.std(), len(lead)).astype(np.float32)
    ),
    "a lead of white noise, σ 0.05 mV": on_one_lead(lambda lead, _, rng: rng.normal(0, 0.05, len(lead)).astype("f4")),
    "mains hum of 2 mV in a lead": hum(2.0),
    "mains hum of 0.5 mV in a lead": hum(0.5),
    "a lead at zero for half of the record": rest(5.0),
    "a lead at zero for 2 seconds": rest(2.0),
    "a lead clipped at 60 %": clip(0.6),
    "a lead clipped at 80 %": clip(0.8),
    "a lead × 1000": on_one_lead(lambda lead, _, __: 1000 * lead),
    "a lead × 10": on_one_lead(lambda lead, _, __: 10 * lead),
}


def is_dropped(signal: Signal, leads: Sequence[str], rate: float) -> bool:
    """Whether `lfbt prepare` drops the record."""
    return bool(quality_fault(signal, leads, rate) or find_implausible_leads(signal, leads, rate))


def neurokit() -> Any | None:
    """NeuroKit2, where it is installed."""
    try:
        import neurokit2  # type: ignore[import-not-found]  # not among the packages of the tests
    except ImportError:
        return None
    return neurokit2


def is_unacceptable(library: Any, signal: Signal, rate: float) -> bool:
    """Whether a lead is unacceptable by NeuroKit2, or cannot be rated."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return any(
                library.ecg_quality(lead, sampling_rate=int(rate), method="zhao2018") == "Unacceptable"
                for lead in signal.astype(np.float64)
            )
        except Exception:  # noqa: BLE001 - it raises many kinds for a lead without beats
            return True


def load(folder: Path) -> list[Recording]:
    """Read the 12-lead recordings of ten seconds below a folder."""
    recordings = [read(header) for header in sorted(folder.rglob("*.hea"))]
    return [one for one in recordings if one.signal.shape[1] == 10 * one.sampling_rate]


def share(values: Sequence[bool]) -> str:
    """Format a share with its count."""
    return f"{np.mean(values):.1%} ({sum(values)} of {len(values)})"


def quality_table(data: Path) -> list[list[str]]:
    """The share of records that is dropped, and that NeuroKit2 finds unacceptable."""
    library = neurokit()
    ptbxl = load(data / "ptbxl" / "records500")
    sets: dict[str, list[tuple[Signal, Sequence[str], float]]] = {}
    for grade in ("acceptable", "unacceptable"):
        of_grade = load(data / "cinc2011" / grade)
        sets[f"CinC 2011, {grade}"] = [(one.signal, one.leads, one.sampling_rate) for one in of_grade]
    for name, damage in DAMAGE.items():
        rng = np.random.default_rng(SEED)
        sets[f"PTB-XL, {name}"] = [
            (damage(one.signal, one.sampling_rate, rng), one.leads, one.sampling_rate) for one in ptbxl
        ]
    rows = [["records", "dropped by `prepare`", *(["unacceptable by NeuroKit2"] if library else [])]]
    for name, records in sets.items():
        row = [name, share([is_dropped(*record) for record in records])]
        if library:
            rated = [
                records[i] for i in np.linspace(0, len(records) - 1, min(len(records), N_RATED_BY_NEUROKIT), dtype=int)
            ]
            row.append(share([is_unacceptable(library, signal, rate) for signal, _, rate in rated]))
        rows.append(row)
    return rows


def placement_table(data: Path) -> list[list[str]]:
    """The share of records that `check` warns of where leads are inverted or swapped, one record at a time."""
    recordings = [
        one for one in load(data / "ptbxl" / "records500") if not is_dropped(one.signal, one.leads, one.sampling_rate)
    ]
    rate = recordings[0].sampling_rate
    places = choose_independent(STANDARD_LEADS)
    leads = [STANDARD_LEADS[place] for place in places]
    order = [recordings[0].leads.index(lead) for lead in leads]
    signals = np.stack([one.signal[order] for one in recordings])
    moments = measure_moments(signals, rate)
    chest = [place for place, lead in enumerate(leads) if lead.startswith("V")]

    def repairs() -> dict[str, list[np.ndarray[Any, Any]]]:
        """Matrices ``[leads, leads]`` that damage a record, by name."""
        one = np.eye(len(leads))
        inverted = [one * np.where(np.arange(len(leads)) == place, -1, 1) for place in range(len(leads))]
        swapped = []
        for place in chest[:-1]:
            swap = np.arange(len(leads))
            swap[[place, place + 1]] = swap[[place + 1, place]]
            swapped.append(one[swap])
        arms = one.copy()
        arms[0, 0], arms[1] = -1, np.where(np.arange(len(leads)) == 0, -1, one[1])  # I → −I, II → III = II − I
        return {
            "as they are": [one],
            "a limb lead inverted": inverted[:2],
            "a chest lead inverted": [inverted[place] for place in chest],
            "two neighbouring chest leads swapped": swapped,
            "arm electrodes swapped": [arms],
            "all leads inverted": [-one],
        }

    rows = [["PTB-XL, I, II and V1 to V6", "warned of by `check`", "with the true cause first"]]
    n_changed = 25  # few among many, so that the distribution stays that of sound records
    for name, matrices in repairs().items():
        warned, right = [], []
        for matrix in matrices:
            for start in range(0, len(signals), n_changed):
                changed = np.arange(start, min(start + n_changed, len(signals)))
                products, skewness = moments.products.copy(), moments.skewness.copy()
                products[changed] = matrix @ products[changed] @ matrix.T
                skewness[changed] = measure_moments(matrix @ signals[changed], rate).skewness
                found = {one.row: one.causes[0] for one in find_misplaced(type(moments)(products, skewness), leads)}
                warned += [int(row) in found for row in changed]
                right += [found.get(int(row)) == _cause(matrix, leads) for row in changed]
        rows.append([name, share(warned), "–" if name in ("as they are", "arm electrodes swapped") else share(right)])
    return rows


def _cause(matrix: np.ndarray[Any, Any], leads: Sequence[str]) -> str:
    if np.trace(matrix) == -len(leads):
        return "all leads inverted"
    apart = np.flatnonzero(np.diag(matrix) != 1).tolist()
    return f"{leads[apart[0]]} inverted" if len(apart) == 1 else f"{' and '.join(leads[i] for i in apart)} swapped"


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with ptbxl and cinc2011")
    data = parser.parse_args().data
    for table in (quality_table(data), placement_table(data)):
        print(as_markdown(table), end="\n\n", flush=True)


if __name__ == "__main__":
    main()
