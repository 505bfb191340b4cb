"""Section 4: how the losses, the rate and the quality went over epochs, and which epoch was kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from lfbt.errors import LfbtError
from lfbt.reports.blocks import Block, Charts, Fold, Heading, Paragraph, Section
from lfbt.reports.charts import N_COLOURS, Chart, Line, make_chart
from lfbt.reports.grouping import Group
from lfbt.reports.material import Material
from lfbt.runs.history import FittingStep
from lfbt.runs.loading import ClassifierRun, PretrainingRun
from lfbt.utils.figures import ABSENT, format_figure

# Groups whose curves are shown; others can be reported by themselves.
_MOST_GROUPS = 12
# Pretrainings that are all open.
_OPEN_PRETRAININGS = 3
_MOST_LEADS = 12

_LOSSES_COMPARE = {
    True: "The loss is a sum over the projector's dimensions: values in the hundreds are normal, and only runs with",
    False: "Only losses of the same objective, and of runs with",
}


def learning(material: Material) -> Section:
    """Draw the histories of pretrainings and classifiers."""
    blocks: list[Block] = []
    for place, run in enumerate(material.pretrainings):
        title, shown = f"{run.name}: {run.title}", tuple(_pretraining(run))
        if len(material.pretrainings) <= _OPEN_PRETRAININGS:
            blocks += [Heading(title), *shown]
        else:
            blocks.append(Fold(title, shown, is_open=place == 0))
    charts: list[Chart] = []
    why: list[str] = []
    for group in material.groups[:_MOST_GROUPS]:
        try:
            charts += _classifier(group)
        except LfbtError as error:
            why.append(str(error))
    if charts:
        caption = (
            "Solid: training loss; dashed: validation loss; a line a seed; the dot is the epoch that was kept, of the "
            "lowest validation loss. Where validation rises while training falls, the classifier overfits."
        )
        blocks += [Heading("Classifiers"), Charts(tuple(charts), caption)]
    blocks += [Paragraph(text, "warning") for text in why]
    left = len(material.groups) - _MOST_GROUPS
    if left > 0:
        blocks.append(Paragraph(f"{left} more groups of runs are not drawn here; report them by themselves.", "note"))
    if not blocks:
        blocks.append(Paragraph("None of these runs has epochs: nothing was learned step by step.", "note"))
    return Section(
        "learning",
        "Learning",
        "A loss that still falls at the last epoch asks for more of them; a validation AUROC that falls while the loss "
        "does, too, asks for fewer.",
        tuple(blocks),
    )


def _pretraining(run: PretrainingRun) -> Iterator[Block]:
    yield Paragraph(_describe_pretraining(run))
    epochs = [line.epoch for line in run.history]
    best = _kept(run)
    losses = [Line(epochs, [line.loss for line in run.history], "loss", colour=0)]
    for colour, term in ((1, "intra"), (2, "inter")):
        values = [np.nan if getattr(line, term) is None else getattr(line, term) for line in run.history]
        if not np.isnan(np.array(values, dtype=float)).all():
            losses.append(Line(epochs, values, term, colour=colour))
    charts = [make_chart("Loss and its terms", [*losses, *_rule(best, losses)], "epoch", "loss", x_whole=True)]
    rates = [Line(epochs, [line.learning_rate for line in run.history], "", colour=4)]
    charts.append(make_chart("Learning rate", rates, "epoch", "rate", x_whole=True))
    for title, name, colour in (("Validation AUROC", "val_auroc", 0), ("Rank of the features", "rank", 2)):
        found = [(line.epoch, getattr(line, name)) for line in run.history if getattr(line, name) is not None]
        if found:
            x, y = [epoch for epoch, _ in found], [value for _, value in found]
            lines = [Line(x, y, "", colour=colour), Line(x, y, "", "point", colour)]
            charts.append(
                make_chart(title, [*lines, *_rule(best, lines)], "epoch", name.replace("_", " "), x_whole=True)
            )
    spread = [(line.epoch, line.spread) for line in run.history if line.spread]
    if spread:
        leads = list(spread[-1][1])[:_MOST_LEADS]
        x = [epoch for epoch, _ in spread]
        lines = [
            Line(x, [of.get(lead, np.nan) for _, of in spread], lead, _kind(len(x), i), i)
            for i, lead in enumerate(leads)
        ]
        charts.append(make_chart("Spread of each lead's features", lines, "epoch", "spread", x_whole=True))
    kept = f" The dotted line is epoch {best}, of the best validation AUROC, kept as encoder-best." if best else ""
    yield Charts(tuple(charts), f"{_LOSSES_COMPARE[_is_lfbt(run)]} the same projector and batch compare.{kept}")


def _kind(n_points: int, number: int) -> Any:
    """A lone point is no line; colours come twice."""
    return "point" if n_points == 1 else "line" if number < N_COLOURS else "dashed"


def _kept(run: PretrainingRun) -> int | None:
    scored = [(line.val_auroc, -line.epoch) for line in run.history if line.val_auroc is not None]
    return -max(scored)[1] if scored else None


def _rule(epoch: int | None, lines: Sequence[Line]) -> list[Line]:
    """A vertical help line at the epoch that was kept."""
    values = np.concatenate([np.asarray(line.y, dtype=np.float64) for line in lines])
    known = values[np.isfinite(values)]
    if epoch is None or not len(known):
        return []
    return [Line([epoch, epoch], [known.min(), known.max()], "", "rule")]


def _is_lfbt(run: PretrainingRun) -> bool:
    return str(run.settings.settings.get("objective", "lfbt")) == "lfbt"


def _describe_pretraining(run: PretrainingRun) -> str:
    first, last, settings = run.history[0], run.history[-1], run.settings.settings
    objective = str(settings.get("objective", "lfbt"))
    if _is_lfbt(run):
        objective += f", γ {settings.get('gamma', ABSENT)}"
        terms = f"intra {format_figure(last.intra, '.1f')}, inter {format_figure(last.inter, '.1f')}"
        loss = f"{first.loss:.1f} → {last.loss:.1f} ({terms})"
    else:
        loss = f"{first.loss:.3f} → {last.loss:.3f}"
    records = ABSENT if run.settings.records is None else run.settings.records
    names = ("preset", "batch_size", "projector")
    preset, batch, projector = (settings.get(name, ABSENT) for name in names)
    seconds = sum(line.seconds for line in run.history)
    return (
        f"{records} records, preset {preset}, objective {objective}, batch {batch}, projector {projector}: "
        f"{len(run.history)} epochs in {seconds:.0f} s, loss {loss}."
    )


def _classifier(group: Group) -> list[Chart]:
    lines: list[Line] = []
    for colour, run in enumerate(group.runs):
        # Of folds the first stands for the others.
        steps = [step for step in run.history if step.epoch is not None and step.fold in (None, 0)]
        steps = [step for step in steps if step.learning_rate in (None, _rate(run, steps))]
        for name, kind in (("train_loss", "line"), ("val_loss", "dashed")):
            values = [np.nan if getattr(step, name) is None else getattr(step, name) for step in steps]
            if steps and not np.isnan(np.array(values, dtype=float)).all():
                seed = f"seed {run.results.seed}" if kind == "line" and len(group.runs) > 1 else ""
                lines.append(Line([step.epoch or 0 for step in steps], values, seed, kind, colour))  # type: ignore[arg-type]
        kept = _chosen_epoch(run)
        at = [(step.epoch, step.val_loss) for step in steps if step.epoch == kept and step.val_loss is not None]
        if at:
            lines.append(Line([at[0][0] or 0], [at[0][1]], "", "point", colour))
    if not lines:
        return []
    folds = ", first fold" if group.first.results.folds else ""
    return [make_chart(_short(f"{group.name}{folds}"), lines, "epoch", "loss", x_whole=True)]


def _chosen(run: ClassifierRun) -> dict[str, int | float]:
    chosen = run.results.chosen
    return chosen if isinstance(chosen, dict) else (chosen[0] if chosen else {})


def _chosen_epoch(run: ClassifierRun) -> float | None:
    return _chosen(run).get("epoch")


def _rate(run: ClassifierRun, steps: Sequence[FittingStep]) -> float | None:
    """The learning rate that was kept, of several."""
    return _chosen(run).get("learning_rate", steps[0].learning_rate if steps else None)


def _short(text: str, most: int = 44) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
