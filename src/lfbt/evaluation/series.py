"""What several trials come to: a table, and a curve over fractions or lead subsets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lfbt.evaluation.aggregation import MeanOverSeeds, group_by_seed, mean_over_seeds
from lfbt.runs.results import SERIES_TABLE, Results, describe_rare
from lfbt.utils.figures import format_count
from lfbt.utils.files import atomic_file

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

#: The plot of a series, besides its table.
CURVE = "curve.png"


def series_table(all_results: Sequence[Results]) -> pd.DataFrame:
    """Tabulate a row a lead subset and fraction: number of seeds, and mean and standard deviation over them.

    The deviation is that of a sample (n − 1), and missing with one seed. Where classes are rare there are the means
    without these, too.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for group in group_by_seed(all_results):
        tests = [results.test for results in group]
        rare = tests[0].rare_classes
        row = {
            "leads": group[0].lead_subset or ",".join(group[0].leads),
            "fraction": group[0].fraction,
            "training records": round(float(np.mean([results.data.training_records for results in group]))),
            "seeds": len(group),
            **_columns("AUROC", mean_over_seeds([test.auroc for test in tests])),
            **_columns("AUPRC", mean_over_seeds([test.auprc for test in tests])),
        }
        if rare:
            few = describe_rare(rare)
            row |= _columns(f"AUROC {few}", mean_over_seeds([test.without_rare("auroc") for test in tests]))
            row |= _columns(f"AUPRC {few}", mean_over_seeds([test.without_rare("auprc") for test in tests]))
        rows.append(row)
    table = pd.DataFrame(rows)
    # None where there is no class to score becomes NaN.
    return table.astype({name: float for name in table.columns if name.startswith(("AUROC", "AUPRC"))})


def _columns(name: str, over_seeds: MeanOverSeeds) -> dict[str, float | None]:
    return {name: over_seeds.mean, f"{name} sd": over_seeds.sd}


def write_series(run_dir: Path, all_results: Sequence[Results]) -> None:
    """Summarise several finished trials: ``results.csv``, and ``curve.png`` over fractions or lead subsets."""
    table = series_table(all_results)
    figure = _curve(table, all_results[0])
    with atomic_file(run_dir / SERIES_TABLE) as partial:
        table.to_csv(partial, index=False)
    with atomic_file(run_dir / CURVE) as partial:
        figure.savefig(partial, format="png", dpi=110)


def _curve(table: pd.DataFrame, results: Results) -> Figure:
    """Test AUROC and AUPRC, with the standard deviation over seeds: over fractions, or of each lead subset."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    panels = figure.subplots(1, 2)
    by_fraction = table["fraction"].nunique() > 1
    for axes, name in zip(panels, ("AUROC", "AUPRC"), strict=True):
        if by_fraction:
            for leads, rows in table.groupby("leads", sort=False):
                rows = rows.sort_values("fraction")
                axes.errorbar(rows["fraction"], rows[name], rows[f"{name} sd"].fillna(0), marker="o", label=leads)
            axes.set(xscale="log", xlabel="fraction of the training patients", ylabel=f"macro {name}")
            axes.set_xticks(sorted(table["fraction"].unique()), [f"{x:g}" for x in sorted(table["fraction"].unique())])
            axes.minorticks_off()
        else:
            axes.errorbar(table[name], table["leads"], xerr=table[f"{name} sd"].fillna(0), fmt="o")
            axes.invert_yaxis()
            axes.set(xlabel=f"macro {name}")
    if by_fraction and table["leads"].nunique() > 1:
        panels[0].legend(frameon=False)
    kind = ", ".join(filter(None, (results.kind, results.other_features)))
    title = f"{kind}, {format_count(results.test.records, 'test record')}"
    figure.suptitle(title + (", SYNTHETIC data" if results.synthetic else ""))
    return figure
