"""Runs as one HTML file that needs nothing else: ``lfbt report``; data, then sections, then the template's page."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import importlib.resources
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import lfbt
from lfbt.drawing.ecg_paper import STYLE
from lfbt.errors import LfbtError
from lfbt.reports.blocks import Paragraph, Section
from lfbt.reports.data import data
from lfbt.reports.embedding_map import embedding_map
from lfbt.reports.encoders import load_best
from lfbt.reports.errors import errors
from lfbt.reports.glance import glance
from lfbt.reports.learning import learning
from lfbt.reports.material import Material, gather
from lfbt.reports.results import results, results_table
from lfbt.reports.views import views
from lfbt.reports.why import why
from lfbt.runs.loading import ClassifierRun, PretrainingRun, load_runs
from lfbt.runs.results import Results
from lfbt.runs.run_folder import REPORT, hash_runs
from lfbt.utils.figures import format_count
from lfbt.utils.files import Outputs, atomic_file, atomic_folder, check_distinct, write_json
from lfbt.utils.finished import check_target
from lfbt.utils.settings import Affects, validate

if TYPE_CHECKING:
    import pandas as pd

Run = ClassifierRun | PretrainingRun
RunT = TypeVar("RunT", bound=Run)

TABLE = "results.csv"
MANIFEST = "report.json"
# The last is of earlier versions.
OUTPUTS = Outputs(MANIFEST, (REPORT, TABLE, "overview.png"), needed=(REPORT,))


@dataclasses.dataclass(frozen=True)
class ReportSettings:
    """What is reported, and where."""

    runs: tuple[Path, ...]
    """Run folders of pretrain, probe and finetune."""
    out: Path = Path("report")
    """New folder for report.html, results.csv and report.json."""
    overwrite: Annotated[bool, Affects.RUNTIME] = False
    """Replace what the same command has written into that folder before, once all is complete; never other files."""

    def check(self) -> None:
        """Raise LfbtError unless there are runs, each once."""
        if not self.runs:
            raise LfbtError("runs: none given; name run folders of pretrain, probe or finetune")
        check_distinct("runs", self.runs)


def report(settings: ReportSettings) -> tuple[Path, pd.DataFrame]:
    """Write the report of runs as one HTML file, with its table beside it.

    Returns
    -------
    Path
        The HTML file.
    pandas.DataFrame
        The table of all classifiers.

    Raises
    ------
    FinishedError
        Where the report of these runs, as they are, is there already.
    LfbtError
        For a folder that is not a run or has a corrupt file, for real and synthetic results together, and for
        classifiers that were not tested on the same records.
    """
    began = time.monotonic()
    validate(settings)
    # Before they are read: a run may be going on.
    stated = {"hashes": hash_runs(settings.runs)}
    check_target(settings.out, OUTPUTS, settings.overwrite, lambda: stated)
    runs = [run for folder in settings.runs for run in load_runs(folder)]
    material = _gather(runs)
    page = render(material, began, with_encoder=True)
    table = results_table([run for run in runs if isinstance(run, ClassifierRun)])
    with atomic_folder(settings.out, replaces=OUTPUTS if settings.overwrite else None) as folder:
        names = [run.name for run in runs]
        write_json(folder / MANIFEST, {"lfbt_version": lfbt.__version__, "runs": names, **stated})
        (folder / REPORT).write_text(page, encoding="utf-8")
        table.to_csv(folder / TABLE, index=False)
    return settings.out / REPORT, table


def write_run_report(folder: Path) -> Path:
    """Write the report of one finished run into its own folder, without what its encoder would have to compute.

    Raises LfbtError as `report` does.
    """
    began = time.monotonic()
    page = render(_gather(load_runs(folder)), began, with_encoder=False)
    with atomic_file(folder / REPORT) as partial:
        partial.write_text(page, encoding="utf-8")
    return folder / REPORT


def _gather(runs: Sequence[Run]) -> Material:
    _check_belong_together(runs, [run for run in runs if isinstance(run, ClassifierRun)])
    return gather(runs)


def render(material: Material, began: float, with_encoder: bool) -> str:
    """Make the page of all sections, those that need the encoder if asked for; `began`: by the monotonic clock."""
    makers: list[tuple[str, Callable[[], Section]]] = [("Data", lambda: data(material))]
    if with_encoder:
        makers.append(("Views", lambda: views(material)))
    makers += [
        ("Learning", lambda: learning(material)),
        ("Results", lambda: results(material)),
        ("Errors", lambda: errors(material)),
    ]
    if with_encoder and material.groups:
        makers.append(("Embedding map", lambda: embedding_map(material, load_best(material, with_head=False))))
        makers.append(("Why", lambda: why(material, load_best(material, with_head=True))))
    sections = [_made(title, make) for title, make in makers]
    sections = [glance(material, time.monotonic() - began), *sections]
    n = format_count(len(material.runs), "run")
    more = "" if with_encoder else "; lfbt report RUN adds views, the embedding map and why"
    return _fill("lfbt report", f"lfbt {lfbt.__version__}, {n}{more}", material.runs[0].synthetic, sections)


def _made(title: str, make: Callable[[], Section]) -> Section:
    """A section; where what it reads is damaged, what is the matter."""
    try:
        return make()
    except LfbtError as error:
        key = title.lower().replace(" ", "-")
        return Section(key, title, "This section could not be made.", (Paragraph(str(error), "warning"),))


def _fill(title: str, subtitle: str, synthetic: bool, sections: Sequence[Section]) -> str:
    # Jinja takes a while to import, and other reports do without it.
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    files = importlib.resources.files("lfbt.reports") / "templates"
    template, style, script = (
        files.joinpath(f"report.{suffix}").read_text(encoding="utf-8") for suffix in ("html", "css", "js")
    )
    style += STYLE
    # Names in run folders are others'. Were one not escaped, no browser would run it, or load anything for it.
    policy = (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; base-uri 'none'; form-action 'none'"
    )
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=False)
    return environment.from_string(template).render(
        title=title,
        subtitle=subtitle,
        synthetic=synthetic,
        sections=sections,
        version=lfbt.__version__,
        policy=Markup(policy),
        style=Markup(style),
        script=Markup(script),
    )


def _hash(text: str) -> str:
    """The source of a policy that allows an element of this text."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _check_belong_together(runs: Sequence[Run], classifiers: Sequence[ClassifierRun]) -> None:
    unlike = _find_unlike(runs, lambda run: run.synthetic)
    if unlike:
        of = [f"{run.folder} is of {'synthetic' if run.synthetic else 'real'} data" for run in unlike]
        raise LfbtError(f"runs: {' and '.join(of)}; report them apart")
    tested = _find_unlike(classifiers, lambda run: run.results.data.hash)
    if tested:
        on = [f"{run.folder} on {run.results.data.folder} ({run.results.data.hash[:8]})" for run in tested]
        raise LfbtError(f"runs: they were tested on different data sets: {', '.join(on)}; report them apart")
    tested = _find_unlike(classifiers, lambda run: run.results.folds)
    if tested:
        how = [f"{run.folder} {_split(run.results)}" for run in tested]
        raise LfbtError(
            f"runs: some were tested on the test split and others in folds: {', '.join(how)}; report them apart"
        )


def _split(results: Results) -> str:
    return f"in {results.folds} folds" if results.folds else "on the test split"


def _find_unlike(runs: Sequence[RunT], value: Callable[[RunT], object]) -> list[RunT]:
    """The first run and one that differs from it in a value; empty where all agree."""
    other = next((run for run in runs if value(run) != value(runs[0])), None)
    return [] if other is None else [runs[0], other]
