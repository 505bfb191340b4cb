"""The command line: parsing and printing only."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import lfbt
from lfbt.errors import LfbtError
from lfbt.recording import parse_leads
from lfbt.utils.interrupts import STOPPED_STATUS, StoppedError
from lfbt.utils.memory import keep_freed_memory

if TYPE_CHECKING:
    import tyro

    from lfbt.runs.results import Results


COMMANDS = {
    "prepare": "Make a data set from a published download or from your own records.",
    "check": "Look for copies, leaks between splits, bad leads and other faults in data sets.",
    "pretrain": "Learn an encoder from records without labels.",
    "probe": "Score a frozen encoder with a linear classifier.",
    "finetune": "Train encoder and classifier together, pretrained or from scratch.",
    "embed": "Write embeddings of records, and probabilities where there is a classifier.",
    "compare": "Compare runs on the test split: means over seeds, intervals, paired differences.",
    "report": "Turn run folders into tables, plots and one HTML file.",
    "runs": "List run folders: how far each is, what it came to, what sets it apart.",
    "reproduce": "Run the paper's whole protocol from its four downloads, or go on with it.",
}
# Those that torchrun or accelerate may launch several of, to share the work.
_OF_SEVERAL_PROCESSES = ("pretrain", "finetune")


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command; ends with status 2 and one line on stderr for what the user can mend."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help"):
        print(_overview("lfbt COMMAND", COMMANDS))
    elif words[0] == "--version":
        print(f"lfbt {lfbt.__version__}")
    else:
        with reporting_errors():
            if words[0] not in COMMANDS:
                raise LfbtError(f"{words[0]!r} is no command; commands are {', '.join(COMMANDS)}")
            if int(os.environ.get("WORLD_SIZE", "1")) > 1 and words[0] not in _OF_SEVERAL_PROCESSES:
                raise LfbtError(f"{words[0]} runs in one process; start it without torchrun or accelerate launch")
            keep_freed_memory()
            _COMMANDS[words[0]](words[1:])


@contextlib.contextmanager
def reporting_errors() -> Iterator[None]:
    """What the user can mend ends the process with status 2 and one line on stderr; a run that was stopped with 75."""
    try:
        yield
    except StoppedError as stopped:
        if is_main():
            print(f"lfbt: {stopped}", file=sys.stderr)
        raise SystemExit(STOPPED_STATUS) from None
    except (LfbtError, OSError) as error:
        print(f"lfbt: error: {' '.join(str(error).split())}", file=sys.stderr)
        raise SystemExit(2) from None
    except (MemoryError, RuntimeError) as error:
        # PyTorch's errors are of many kinds; only this one is the user's to mend.
        if not isinstance(error, MemoryError) and "memory" not in str(error):
            raise
        print("lfbt: error: out of memory; take a smaller --batch-size, or fewer --workers", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print("lfbt: interrupted", file=sys.stderr)
        raise SystemExit(130) from None


def is_main() -> bool:
    """Whether this process is the one of those launched together that prints."""
    return os.environ.get("RANK", "0") == "0"


def _overview(usage: str, names: dict[str, str]) -> str:
    width = max(map(len, names)) + 2
    lines = [f"lfbt {lfbt.__version__}: {lfbt.__doc__}", "", f"Usage: {usage} [OPTIONS]", ""]
    lines += [f"  {name:<{width}}{what}" for name, what in names.items()]
    return "\n".join([*lines, "", f"`{usage} --help` lists the options of one, with defaults and units."])


class _RefusedError(Exception):
    """Passes through tyro, which would take an LfbtError, a ValueError, for a word of the wrong form."""


def _parse(
    target: Callable[..., Any], prog: str, what: str, words: Sequence[str], markers: Sequence[Any] = (), **options: Any
) -> Any:
    """`target` built from the command line; a tuple of names is one comma-separated word."""
    import tyro

    def names(given: list[str]) -> tuple[str, ...]:
        try:
            return parse_leads(given[0])
        except LfbtError as error:
            raise _RefusedError(str(error)) from error

    registry = tyro.constructors.ConstructorRegistry()

    @registry.primitive_rule
    def _names(info: tyro.constructors.PrimitiveTypeInfo) -> tyro.constructors.PrimitiveConstructorSpec[Any] | None:
        if info.type != tuple[str, ...]:
            return None
        return tyro.constructors.PrimitiveConstructorSpec(
            nargs=1,
            metavar="LEAD,LEAD",
            instance_from_str=names,
            is_instance=lambda value: isinstance(value, tuple),
            str_from_instance=lambda leads: [",".join(leads)],
        )

    try:
        with registry:
            config = (tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes, *markers)
            return tyro.cli(target, prog=prog, description=what, args=list(words), config=config, **options)
    except _RefusedError as error:
        raise LfbtError(str(error)) from error


def _prepare(words: Sequence[str]) -> None:
    from lfbt.sources import SOURCES

    if not words or words[0] in ("-h", "--help"):
        summaries = {name: (source.__doc__ or "").split("\n\n")[0] for name, source in SOURCES.items()}
        print(_overview("lfbt prepare SOURCE FROM TO", {k: " ".join(v.split()) for k, v in summaries.items()}))
        return
    name = words[0]
    if name not in SOURCES:
        raise LfbtError(f"source: {name!r} is not one of {', '.join(SOURCES)}")

    import tyro

    from lfbt.data.preparation import prepare
    from lfbt.data.records import PrepareSettings

    source: Any = SOURCES[name]

    def place(metavar: str, what: str) -> Any:
        return tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar=metavar, help=what)]]

    # The fields depend on the source, so that each has the options that mean something to it.
    fields = [
        ("source_folder", place("FROM", "Folder with the download, searched through.")),
        ("target", place("TO", "New folder for the data set.")),
        ("source", tyro.conf.OmitArgPrefixes[source]),  # type: ignore[misc]
        ("settings", tyro.conf.OmitArgPrefixes[PrepareSettings]),
    ]
    command = dataclasses.make_dataclass("Prepare", fields)
    given = _parse(command, f"lfbt prepare {name}", " ".join(source.__doc__.split()), words[1:])
    report = prepare(given.source, name, given.source_folder, given.target, given.settings)

    print(f"{given.target}: {report.records} records of {report.patients} patients. Labels: {report.label_rule}.")
    for split, counts in report.counts.items():
        by_class = ", ".join(f"{label} {count}" for label, count in counts.items() if label)
        print(f"  {split:<6}{report.sizes[split]}{'  (' + by_class + ')' if by_class else ''}")
    for reason, count in report.dropped.items():
        print(f"  dropped {count}: {reason}")


def _check(words: Sequence[str]) -> None:
    import tyro

    from lfbt.audit.checks import CheckSettings, check, report_text

    settings = _parse(CheckSettings, "lfbt check", COMMANDS["check"], words, (tyro.conf.PositionalRequiredArgs,))
    report = check(settings)
    print(report_text(report))
    if settings.out is not None:
        print(settings.out)
    if report.n_errors:
        raise SystemExit(1)


def _pretrain(words: Sequence[str]) -> None:
    import tyro

    from lfbt.training.pretraining import pretrain
    from lfbt.training.settings import PretrainSettings, preset_settings

    # The preset sets the defaults of the other options, so it is read before them.
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--preset", default="paper")
    preset = first.parse_known_args(list(words))[0].preset
    default = preset_settings(preset, data_dir=tyro.MISSING, run_dir=tyro.MISSING)
    settings = _parse(PretrainSettings, "lfbt pretrain", COMMANDS["pretrain"], words, default=default)
    run_dir = pretrain(settings)
    if is_main():
        print(f"{run_dir}: the encoder is in {run_dir / 'encoder'}; use it with --checkpoint {run_dir}")


def _probe(words: Sequence[str]) -> None:
    from lfbt.evaluation.probing import probe
    from lfbt.evaluation.settings import ProbeSettings

    settings = _parse(ProbeSettings, "lfbt probe", COMMANDS["probe"], words)
    print(summary(probe(settings), settings.trials.run_dir))


def _finetune(words: Sequence[str]) -> None:
    from lfbt.evaluation.fine_tuning import finetune
    from lfbt.evaluation.settings import FinetuneSettings

    settings = _parse(FinetuneSettings, "lfbt finetune", COMMANDS["finetune"], words)
    results = finetune(settings)
    if is_main():
        print(summary(results, settings.trials.run_dir))


def summary(trials: Sequence[Results], run_dir: Path) -> str:
    """What a run of the probe or of fine-tuning came to, in a few lines; of several trials, the table of all."""
    results = dataclasses.asdict(trials[0])
    test = results["test"]
    data = "SYNTHETIC data" if results["synthetic"] else "test split"
    if results["folds"]:
        data = f"{results['folds']} folds" + (" of SYNTHETIC data" if results["synthetic"] else "")
    if len(trials) > 1:
        from lfbt.evaluation.trials import series_table

        head = f"{run_dir}: {results['kind']}, {len(trials)} trials, {data}, {test['records']} test records"
        table = series_table(trials).to_string(index=False, float_format=lambda value: f"{value:.4f}", na_rep="-")
        return f"{head}\n{table}"
    kept = ""
    if not results["folds"]:
        kept = ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in results["chosen"].items()) + " kept"
        kept = f", {kept} (validation loss {results['val_loss']:.4f})"
    auroc, auprc = (f"{_figure(test[name])}{_interval(test['intervals'][name])}" for name in ("auroc", "auprc"))
    lines = [
        f"{run_dir}: {results['kind']}{kept}",
        f"  {data}, {test['records']} test records: macro AUROC {auroc}, macro AUPRC {auprc}",
        f"  accuracy {_figure(test['accuracy'])}, balanced {_figure(test['balanced_accuracy'])}, "
        f"F1 {_figure(test['f1'])}, calibration error {_figure(test['ece'])}",
    ]
    lines += [
        f"  {name:<8} {row['records']:>6} records  AUROC {_figure(row['auroc'])}  AUPRC {_figure(row['auprc'])} "
        f"(by chance {row['prior']:.4f})"
        for name, row in test["per_class"].items()
    ]
    if results["data"]["names_assumed"]:
        lines.append(
            f"  the files name no leads and no rate; assumed: {', '.join(results['leads'])} in this order, 10 s"
        )
    for split, counts in results["data"]["counts"].items():
        absent = [name for name, count in counts.items() if not count]
        if absent:
            left_out = ": left out of the means" if split == "test" else ""
            lines.append(f"  no {split} record of {', '.join(absent)}{left_out}")
    return "\n".join(lines)


def _interval(bounds: Sequence[float] | None) -> str:
    return "" if bounds is None else f" [{bounds[0]:.3f}, {bounds[1]:.3f}]"


def _figure(value: float | None) -> str:
    return "   -  " if value is None else f"{value:.4f}"


def _embed(words: Sequence[str]) -> None:
    from lfbt.inference.embedding import EmbedSettings, embed

    settings = _parse(EmbedSettings, "lfbt embed", COMMANDS["embed"], words)
    content = embed(settings)
    columns = len(content["leads"]) * content["n_features"]
    print(f"{settings.out}: embeddings of {content['records']} records, {columns} columns")


def _compare(words: Sequence[str]) -> None:
    import tyro

    from lfbt.reports.comparison import CompareSettings, compare

    settings = _parse(CompareSettings, "lfbt compare", COMMANDS["compare"], words, (tyro.conf.PositionalRequiredArgs,))
    print(compare(settings)[0])
    if settings.out is not None:
        print(settings.out)


def _report(words: Sequence[str]) -> None:
    import tyro

    from lfbt.reports.page import ReportSettings, report

    markers = (tyro.conf.PositionalRequiredArgs,)
    page, table = report(_parse(ReportSettings, "lfbt report", COMMANDS["report"], words, markers))
    if len(table):
        print(table.to_string(index=False, float_format=lambda value: f"{value:.4f}"))
    print(page)


@dataclasses.dataclass(frozen=True)
class _Runs:
    """Where to look for run folders."""

    folder: Path = Path()
    """Folder with run folders in it, at any depth."""


def _runs(words: Sequence[str]) -> None:
    import tyro

    from lfbt.reports.run_list import list_runs, runs_table

    folder = _parse(_Runs, "lfbt runs", COMMANDS["runs"], words, (tyro.conf.Positional,)).folder
    print(runs_table(list_runs(folder), folder))


def _reproduce(words: Sequence[str]) -> None:
    import tyro

    from lfbt.paper.reproduction import ReproduceSettings, quick_defaults, reproduce

    # What is quick sets the defaults of the other options, so it is looked for before them.
    default = ReproduceSettings(out=tyro.MISSING)
    if "--quick" in words:
        default = quick_defaults(default)
    settings = _parse(ReproduceSettings, "lfbt reproduce", COMMANDS["reproduce"], words, default=default)
    print(reproduce(settings, say=lambda line: print(line, file=sys.stderr, flush=True)))


_COMMANDS: dict[str, Callable[[Sequence[str]], None]] = {
    "prepare": _prepare,
    "check": _check,
    "pretrain": _pretrain,
    "probe": _probe,
    "finetune": _finetune,
    "embed": _embed,
    "compare": _compare,
    "report": _report,
    "runs": _runs,
    "reproduce": _reproduce,
}
