"""Runs of classifiers compared on the test split they share: ``lfbt compare``."""

from __future__ import annotations

import dataclasses
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import lfbt
from lfbt.errors import LfbtError
from lfbt.evaluation.bootstrap import METRICS, Metric
from lfbt.reports.comparison_rows import LEVEL, Row, table_rows
from lfbt.reports.comparison_table import as_csv, table_cells, table_note, table_text
from lfbt.reports.scored_trials import open_trials
from lfbt.runs.run_folder import hash_runs
from lfbt.utils.files import Outputs, atomic_folder, check_distinct, write_json
from lfbt.utils.finished import check_target
from lfbt.utils.settings import Affects, Range, Seed, create, validate
from lfbt.utils.tables import as_latex, as_markdown, markdown, terminal_width

if TYPE_CHECKING:
    import pandas as pd


_OUTPUTS = Outputs(
    "compare.json", ("compare.csv", "compare.md", "compare.tex", "compare.txt"), needed=("compare.csv", "compare.md")
)


@dataclasses.dataclass(frozen=True)
class CompareSettings:
    """What is compared, and how."""

    runs: tuple[Path, ...]
    """Run folders of probe and finetune: of one trial, or of several (seeds, fractions, lead subsets)."""
    out: Path | None = None
    """New folder for compare.csv, .md, .tex, .txt and .json."""
    overwrite: Annotated[bool, Affects.RUNTIME] = False
    """Replace what the same command has written into that folder before, once all is complete; never other files."""
    draws: Annotated[int, Range("[1, 100000]")] = 1000
    """Draws of test patients that intervals and p-values come from."""
    seed: Seed = 0
    """Seed of the draws."""
    metrics: tuple[Metric, ...] = ("auroc", "auprc")
    """Which figures of the test split."""
    baseline: Path | None = None
    """The run that the others are compared with; the first by default."""

    def check(self) -> None:
        """Raise LfbtError unless there are runs and metrics, each once, and the baseline is one of the runs."""
        if not self.metrics or len(set(self.metrics)) < len(self.metrics):
            given = " ".join(self.metrics) or "none given"
            raise LfbtError(f"metrics: {given}; give one or more, each once, of {', '.join(METRICS)}")
        if not self.runs:
            raise LfbtError("runs: none given; name run folders of probe or finetune")
        check_distinct("runs", self.runs)
        if self.baseline is not None and self.baseline.resolve() not in [run.resolve() for run in self.runs]:
            raise LfbtError(f"baseline: {self.baseline} is not one of the runs compared; name it among them, too")


def compare(
    runs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    baseline: str | os.PathLike[str] | None = None,
    **settings: Any,
) -> pd.DataFrame:
    """Compare runs on their common test records.

    Parameters
    ----------
    runs
        Run folders of `lfbt.probe` and `lfbt.finetune`, of one trial or several; one folder of several, too.
    baseline
        The run that the others are compared with; the first by default.
    **settings
        Any option of ``lfbt compare`` by its name: ``metrics=["auroc", "f1"]``, ``draws=10000``, ``out="comparison"``.

    Returns
    -------
    DataFrame
        One row a run, fraction and lead subset; of each metric the mean over seeds, standard deviation, 95 % interval
        over test patients, and the paired difference from the baseline with its interval and p-values.

    Raises
    ------
    LfbtError
        For settings out of range, a folder without trials, and runs that do not compare: other test records, real and
        synthetic data.

    Examples
    --------
    >>> import tempfile
    >>> import lfbt
    >>> with tempfile.TemporaryDirectory() as place:
    ...     data = f"{place}/data/synthetic"
    ...     report = lfbt.prepare("synthetic", f"{place}/downloads", data, records=60, n_samples=64, workers=1)
    ...     small = {"random_encoder": True, "epochs": 1, "device": "cpu"}
    ...     for seed in (0, 1):
    ...         results = lfbt.probe(data, f"{place}/seed-{seed}", seeds=[seed], **small)
    ...     table = compare([f"{place}/seed-0", f"{place}/seed-1"], draws=50)
    >>> table["run"].tolist()
    ['seed-0', 'seed-1']
    """
    import pandas as pd

    given = create(CompareSettings, {"runs": runs, "baseline": baseline} | settings)
    _, rows = run_comparison(given)
    return pd.read_csv(io.StringIO(as_csv(rows)))


def run_comparison(settings: CompareSettings) -> tuple[str, list[Row]]:
    """Compare runs on the test split, and write all forms of the table where there is an `out`.

    Returns
    -------
    str
        The table as text, as wide as the terminal if there is one.
    list of Row
        Its rows.

    Raises
    ------
    FinishedError
        Where `out` has the table of these runs, as they are, already.
    LfbtError
        For settings out of range, a folder without trials, a missing or corrupt file, and runs that do not compare.
    """
    validate(settings)
    names = _name_runs(settings.runs)
    baseline = None if settings.baseline is None else names[settings.baseline.resolve()]
    stated = {
        "n_draws": settings.draws,
        "seed": settings.seed,
        "metrics": settings.metrics,
        "baseline": baseline,
        "hashes": hash_runs(settings.runs),
    }
    if settings.out is not None:
        check_target(settings.out, _OUTPUTS, settings.overwrite, lambda: stated)
    trials = [trial for folder, name in names.items() for trial in open_trials(folder, name)]
    rows = table_rows(trials, settings.metrics, settings.draws, settings.seed, baseline)
    note = table_note(rows, settings.draws, settings.seed)
    cells = table_cells(rows)
    if settings.out is not None:
        content = {
            "lfbt_version": lfbt.__version__,
            "note": note,
            **stated,
            "level": LEVEL,
            "trials": [f"{trial.run}: {trial.folder.resolve().name}" for trial in trials],
            "rows": [dataclasses.asdict(row) for row in rows],
        }
        with atomic_folder(settings.out, replaces=_OUTPUTS if settings.overwrite else None) as folder:
            for suffix, form in (
                ("txt", f"{table_text(rows)}\n\n{note}"),
                ("md", f"{as_markdown(cells)}\n\n{markdown(note)}"),
            ):
                (folder / f"compare.{suffix}").write_text(form + "\n", encoding="utf-8")
            (folder / "compare.tex").write_text(f"% {note}\n{as_latex(cells)}\n", encoding="utf-8")
            (folder / "compare.csv").write_text(as_csv(rows), encoding="utf-8")
            write_json(folder / "compare.json", content)
    return f"{table_text(rows, terminal_width())}\n\n{note}", rows


def _name_runs(runs: Sequence[Path]) -> dict[Path, str]:
    """The name of each run by its folder: the folder's own, or the path as given where these are not unique."""
    folders = [run.resolve() for run in runs]
    names = [folder.name for folder in folders]
    if len(set(names)) < len(names):
        names = [run.as_posix() for run in runs]
    return dict(zip(folders, names, strict=True))
