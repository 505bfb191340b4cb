"""The paper's whole protocol from its downloads, stage by stage, and a table of what it came to beside the paper's."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

import lfbt
from lfbt.audit.fingerprints import compute_fingerprints
from lfbt.audit.leakage import check_copies, exclude_records
from lfbt.data.dataset import open_dataset
from lfbt.data.layouts import MANIFEST
from lfbt.data.preparation import prepare
from lfbt.data.records import PrepareSettings
from lfbt.errors import LfbtError
from lfbt.evaluation.fine_tuning import finetune
from lfbt.evaluation.probing import probe
from lfbt.evaluation.settings import FinetuneSettings, ProbeSettings
from lfbt.models.pretrained import CONFIG, load_encoder, load_history
from lfbt.models.projector import parse_projector
from lfbt.paper.protocol import (
    FRACTIONS,
    GAMMAS,
    LABELLED,
    Cell,
    cells,
    results_table,
    shown_results,
    shown_sizes,
    sizes_table,
)
from lfbt.runs.results import RESULTS
from lfbt.runs.run_folder import ENCODER_FOLDER
from lfbt.sources import SOURCES, Source
from lfbt.sources.listing import Listing
from lfbt.training.pretraining import pretrain
from lfbt.training.settings import PretrainSettings, preset_settings
from lfbt.utils.files import PARTIAL, atomic_file
from lfbt.utils.interrupts import StoppedError
from lfbt.utils.json_files import read_json, write_json
from lfbt.utils.tables import as_markdown, as_text
from lfbt.utils.validation import check_range

#: What a folder of a reproduction was asked for.
ASKED = "reproduce.json"
TABLE = "table"
_LOCK = ".lock"
_DOWNLOADS = ("ningbo", *LABELLED)


@dataclasses.dataclass(frozen=True)
class ReproduceSettings:
    """What is reproduced, and from what. Defaults are the paper's."""

    out: Path
    """Folder for all stages and the tables: a new one, or to go on with, one that this command began."""
    ningbo: Path | None = None
    """Download of Ningbo (Challenge 2021 or ecg-arrhythmia), to pretrain on; other records in it are passed over."""
    ptbxl: Path | None = None
    """Download of PTB-XL."""
    cpsc2018: Path | None = None
    """Download of CPSC2018."""
    chapman: Path | None = None
    """Download of Chapman-Shaoxing from figshare."""
    encoders: tuple[Path, ...] = ()
    """Instead of pretraining, the encoders of gamma 0.8 and 0.6: run folders, encoder folders or the authors' .pth."""
    seeds: tuple[int, ...] = (0,)
    """Seeds of probes and fine-tunings, each a trial of its own; pretraining has seed 0."""
    quick: bool = False
    """Other defaults below and pretraining's preset small: all of it in minutes, to see that it works. No result."""
    most_records: int = 0
    """Recordings of each download to use at most, chosen by chance; 0 uses all."""
    n_samples: int = 2048
    """Samples of a record of ten seconds."""
    pretrain_epochs: int = 200
    """Passes over the records in pretraining."""
    projector: str = "2048-2048-2048"
    """Sizes of the projectors' layers."""
    batch_size: int = 128
    """Records of a batch, at most, in every training."""
    probe_epochs: int = 100
    """Passes over the features of the training records."""
    finetune_epochs: int = 100
    """Passes over the training records in fine-tuning and from scratch."""
    finetune_learning_rate: float = 1e-4
    """Adam's rate in fine-tuning and from scratch."""
    skip_unreadable: bool = False
    """Drop files that cannot be read, with the reason, instead of stopping at the first."""
    exclude: Path | None = None
    """Records of Ningbo to leave out of pretraining: a file as `lfbt check` writes it, or with an id a line."""
    allow_test_records: bool = False
    """Score encoders although test records are among those that they were pretrained on; the table says so."""
    low_memory: bool = False
    """Pretrain with activations computed twice instead of kept."""
    device: str = "auto"
    """auto, cpu or cuda."""
    workers: int = dataclasses.field(default_factory=lambda: os.cpu_count() or 1)
    """Processes that prepare."""


_QUICK: dict[str, Any] = {
    "most_records": 400,
    "n_samples": 512,
    "pretrain_epochs": 8,
    "projector": "256-256-256",
    "batch_size": 64,
    "finetune_epochs": 4,
    "finetune_learning_rate": 1e-3,
}
# The stages that a setting bears on, by their folder; nothing else changes what comes out.
_BEARS_ON = {
    "quick": ("data", "pretrain", "probe", "finetune", "scratch"),
    "most_records": ("data",),
    "n_samples": ("data",),
    "skip_unreadable": ("data",),
    "pretrain_epochs": ("pretrain",),
    "projector": ("pretrain",),
    "exclude": ("pretrain",),
    "batch_size": ("pretrain", "probe", "finetune", "scratch"),
    "probe_epochs": ("probe",),
    "finetune_epochs": ("finetune", "scratch"),
    "finetune_learning_rate": ("finetune", "scratch"),
    "encoders": ("pretrain", "probe", "finetune"),
}


def quick_defaults(settings: ReproduceSettings) -> ReproduceSettings:
    """`settings` with the sizes of a quick trial."""
    return dataclasses.replace(settings, **_QUICK)


@dataclasses.dataclass(frozen=True)
class Stage:
    """A part of the protocol that has a folder of its own, below the reproduction's."""

    folder: str
    what: str
    is_done: Callable[[], bool]
    run: Callable[[], object]


def reproduce(settings: ReproduceSettings, say: Callable[[str], None] = print) -> str:
    """Run all stages that are not done yet, and write and return the tables as text; `say` is told of each stage.

    `out` holds ``data/``, ``pretrain/``, ``probe/``, ``finetune/`` and ``scratch/`` with a folder a stage, as
    `prepare`, `pretrain`, `probe` and `finetune` write them; and ``table.md``, ``table.txt``, ``table.csv`` and
    ``sizes.csv``. Called again it goes on, also with more downloads or seeds than before. Downloads and encoders that
    were named before need not be named again.

    Raises LfbtError for settings out of range, or other than those of stages that are there already, a folder that
    another process is in, and all that the stages raise it for; StoppedError when a signal has ended pretraining.
    """
    _check(settings)
    with _held(settings.out):
        settings = _as_before(settings)
        names = [name for name in _DOWNLOADS if getattr(settings, name) or _has(settings, f"data/{name}")]
        _check_enough(settings, names)
        all_stages = stages(settings, names)
        for name in names:
            if not _has(settings, f"data/{name}"):
                # Before hours of work, and before anything is written.
                _source(name, settings).listing(getattr(settings, name))
        write_json(settings.out / ASKED, {"lfbt_version": lfbt.__version__, **dataclasses.asdict(settings)})
        for number, stage in enumerate(all_stages, start=1):
            _run(stage, f"[{number}/{len(all_stages)}] {stage.what}", say)
            if number == len(names):  # the last preparation
                _tell_sizes(settings, names, say)
                if not all(stage.is_done() for stage in all_stages if stage.folder.startswith("pretrain/")):
                    _refuse_copies(settings, names)
        return _write_tables(settings, names)


def _run(stage: Stage, line: str, say: Callable[[str], None]) -> None:
    if stage.is_done():
        say(f"{line}: done before")
        return
    say(f"{line} ...")
    began = time.monotonic()
    try:
        stage.run()
    except StoppedError:
        raise StoppedError(f"stopped in {stage.folder} and saved; the same command goes on") from None
    say(f"{line}: {time.monotonic() - began:.0f} s")


def _check(settings: ReproduceSettings) -> None:
    """Raise LfbtError for what a stage would refuse only after hours."""
    for name, allowed in (
        ("most_records", "[0, inf)"),
        ("n_samples", "[32, inf)"),
        ("pretrain_epochs", "[1, inf)"),
        ("batch_size", "[2, inf)"),
        ("probe_epochs", "[1, inf)"),
        ("finetune_epochs", "[1, inf)"),
        ("finetune_learning_rate", "(0, 1000]"),
        ("workers", "[1, inf)"),
    ):
        check_range(name.replace("_", "-"), getattr(settings, name), allowed)
    parse_projector(settings.projector)
    if not settings.seeds or len(set(settings.seeds)) < len(settings.seeds) or min(settings.seeds) < 0:
        given = " ".join(map(str, settings.seeds)) or "none given"
        raise LfbtError(f"seeds: {given}; give one or more from 0 on, each once")
    for seed in settings.seeds:
        check_range("seeds", seed, "[0, 4294967295]")
    if settings.encoders and settings.ningbo:
        raise LfbtError("encoders: they stand for pretraining; give either --ningbo or --encoders")
    if len(settings.encoders) not in (0, len(GAMMAS)):
        raise LfbtError(f"encoders: {len(settings.encoders)} given; give two, of gamma {GAMMAS[0]} and {GAMMAS[1]}")


def _check_enough(settings: ReproduceSettings, names: list[str]) -> None:
    if not settings.encoders and "ningbo" not in names:
        raise LfbtError("ningbo: nothing to pretrain on; give --ningbo DOWNLOAD, or --encoders with two that are there")
    if not set(names) & set(LABELLED):
        raise LfbtError("nothing to score encoders on; give one or more of --ptbxl, --cpsc2018, --chapman")
    for gamma, path in zip(GAMMAS, settings.encoders, strict=False):
        config = load_encoder(path).config
        if config.n_samples != settings.n_samples:
            raise LfbtError(
                f"n-samples: {settings.n_samples}, but the encoder of gamma {gamma}, {path}, has {config.n_samples}; "
                f"give --n-samples {config.n_samples}"
            )


@contextlib.contextmanager
def _held(out: Path) -> Iterator[None]:
    """Hold `out` for this process, and remove what a killed one left half written; without results it is removed again.

    Raises LfbtError when another process has it, or when it holds anything else.
    """
    if out.exists() and not out.is_dir():
        raise LfbtError(f"out: {out} is a file, not a folder; name a new folder")
    others = [path for path in out.iterdir() if path.name != _LOCK and not path.match(PARTIAL)] if out.is_dir() else []
    if others and not (out / ASKED).is_file():
        raise LfbtError(f"out: {out} holds something else than a reproduction; name a new or empty folder")
    out.mkdir(parents=True, exist_ok=True)
    lock = FileLock(out / _LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise LfbtError(f"out: another process is at work in {out}; wait for its end, or name another folder") from None
    try:
        for place in (out, out / "data", *(out / kind for kind in ("probe", "finetune", "scratch"))):
            for half in place.glob(PARTIAL):
                shutil.rmtree(half) if half.is_dir() else half.unlink()
        yield
    finally:
        if not (out / ASKED).is_file():
            # Whatever stands in the way here must not hide why it ended.
            with contextlib.suppress(OSError):
                (out / _LOCK).unlink(missing_ok=True)
                out.rmdir()
        lock.release()


def _as_before(settings: ReproduceSettings) -> ReproduceSettings:
    """`settings` with the downloads and encoders that were named before.

    Raises LfbtError where stages are there already that were made with others.
    """
    downloads = {name: path and path.absolute() for name in _DOWNLOADS for path in [getattr(settings, name)]}
    encoders = tuple(path.absolute() for path in settings.encoders)
    exclude = settings.exclude and settings.exclude.absolute()
    settings = dataclasses.replace(settings, **downloads, encoders=encoders, exclude=exclude)
    if not (settings.out / ASKED).is_file():
        return settings
    was = read_json(settings.out / ASKED)
    absent = [name for name in (*_DOWNLOADS, "encoders", "allow_test_records") if name not in was]
    if absent:
        raise LfbtError(f"{settings.out / ASKED}: does not name {absent[0]}; name another folder")
    kept: dict[str, Any] = {name: Path(was[name]) for name in LABELLED if was[name] and not getattr(settings, name)}
    if not settings.ningbo and not settings.encoders:
        kept["ningbo"] = was["ningbo"] and Path(was["ningbo"])
        kept["encoders"] = tuple(map(Path, was["encoders"]))
    # What was pretrained or scored so stays so.
    kept["allow_test_records"] = settings.allow_test_records or was["allow_test_records"]
    settings = dataclasses.replace(settings, **kept)
    bears_on = _BEARS_ON | {name: (f"data/{name}",) for name in _DOWNLOADS}
    now = json.loads(json.dumps(dataclasses.asdict(settings), default=str))
    for name, folders in bears_on.items():
        begun = [folder for folder in folders if _has(settings, folder)]
        if begun and now[name] != was.get(name):
            raise LfbtError(
                f"{name.replace('_', '-')}: {_said(now[name])}, but {settings.out / begun[0]} was made with "
                f"{_said(was.get(name))}; give that, or name another folder"
            )
    return settings


def _said(value: Any) -> str:
    return " ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)


def _has(settings: ReproduceSettings, folder: str) -> bool:
    """Whether anything of the stages in `folder` is there."""
    place = settings.out / folder
    return place.is_dir() and any(place.iterdir())


# --- stages ---


def stages(settings: ReproduceSettings, names: list[str]) -> list[Stage]:
    """All stages for the data sets `names`, in the order in which they are run."""
    found = [_preparation(settings, name) for name in names]
    if not settings.encoders:
        found += [_pretraining(settings, gamma) for gamma in GAMMAS]
    of_all = cells([name for name in names if name in LABELLED])
    for kind in ("probe", "finetune", "scratch"):
        found += [
            _classification(settings, cell, seed) for seed in settings.seeds for cell in of_all if cell.kind == kind
        ]
    return found


def _preparation(settings: ReproduceSettings, name: str) -> Stage:
    folder = settings.out / "data" / name
    options = PrepareSettings(
        n_samples=settings.n_samples, skip_unreadable=settings.skip_unreadable, workers=settings.workers
    )
    run = functools.partial(prepare, _source(name, settings), name, getattr(settings, name), folder, options)
    return Stage(f"data/{name}", f"prepare {name}", (folder / MANIFEST).is_file, run)


def _source(name: str, settings: ReproduceSettings) -> Source:
    return Part(SOURCES[name](), settings.most_records) if settings.most_records else SOURCES[name]()


@dataclasses.dataclass(frozen=True)
class Part:
    """At most so many recordings of a source, chosen by chance."""

    source: Source
    most_records: int

    def listing(self, folder: Path) -> Listing:
        """The chosen recordings, in the source's order."""
        whole = self.source.listing(folder)
        chosen = np.sort(np.random.default_rng(0).permutation(len(whole.entries))[: self.most_records])
        return dataclasses.replace(whole, entries=[whole.entries[i] for i in chosen])


def _pretraining(settings: ReproduceSettings, gamma: float) -> Stage:
    folder = settings.out / "pretrain" / f"gamma-{gamma}"

    def is_done() -> bool:
        saved = folder / ENCODER_FOLDER
        return (saved / CONFIG).is_file() and load_history(saved).get("epochs_done") == settings.pretrain_epochs

    return Stage(
        f"pretrain/{folder.name}", f"pretrain γ {gamma}", is_done, lambda: pretrain(_pretrain_settings(settings, gamma))
    )


def _pretrain_settings(settings: ReproduceSettings, gamma: float) -> PretrainSettings:
    data, folder = settings.out / "data" / "ningbo", settings.out / "pretrain" / f"gamma-{gamma}"
    default = preset_settings("small" if settings.quick else "paper", (data,), folder)
    batch_size, epochs = settings.batch_size, settings.pretrain_epochs
    if settings.quick:
        batch_size = min(batch_size, int(read_json(data / MANIFEST)["records"]))
    return dataclasses.replace(
        default,
        gamma=gamma,
        epochs=epochs,
        batch_size=batch_size,
        projector=settings.projector,
        warmup_epochs=min(default.warmup_epochs, epochs / 4),
        exclude=settings.exclude,
        allow_test_records=settings.allow_test_records,
        low_memory=settings.low_memory,
        device=settings.device,
        resume=folder.exists(),
    )


def _classification(settings: ReproduceSettings, cell: Cell, seed: int) -> Stage:
    folder = _folder(settings, cell, seed)
    encoder = None
    if cell.gamma is not None:
        encoders = settings.encoders or [settings.out / "pretrain" / f"gamma-{gamma}" for gamma in GAMMAS]
        encoder = encoders[GAMMAS.index(cell.gamma)]
    common: dict[str, Any] = {
        "data_dir": settings.out / "data" / cell.data,
        "run_dir": folder,
        "checkpoint": encoder,
        "fraction": (cell.fraction,),
        "seeds": (seed,),
        "batch_size": settings.batch_size,
        "allow_test_records": settings.allow_test_records,
        "device": settings.device,
    }
    run: Callable[[], object]
    if cell.kind == "probe":
        run = functools.partial(probe, ProbeSettings.create(**common, epochs=settings.probe_epochs))
    else:
        more = FinetuneSettings.create(
            **common,
            epochs=settings.finetune_epochs,
            learning_rate=settings.finetune_learning_rate,
            from_scratch=cell.kind == "scratch",
        )
        run = functools.partial(finetune, more)
    gamma = "" if cell.gamma is None else f" γ {cell.gamma}"
    fraction = "" if cell.kind == "probe" else f" fraction {cell.fraction:g}"
    what = f"{cell.kind} {cell.data}{gamma}{fraction} seed {seed}"
    return Stage(f"{cell.kind}/{folder.name}", what, (folder / RESULTS).is_file, run)


def _folder(settings: ReproduceSettings, cell: Cell, seed: int) -> Path:
    return settings.out / cell.kind / f"{cell.name}-seed-{seed}"


# --- what it came to ---


def _manifests(settings: ReproduceSettings, names: list[str]) -> dict[str, dict[str, Any]]:
    return {name: read_json(settings.out / "data" / name / MANIFEST) for name in names}


def _tell_sizes(settings: ReproduceSettings, names: list[str], say: Callable[[str], None]) -> None:
    for row in sizes_table(_manifests(settings, names)).to_dict("records"):
        unexpected = not row["as_published"] and not settings.most_records
        advice = "; a part of the download, or another release?" if unexpected else ""
        say(f"{'warning: ' if unexpected else ''}{row['data']}: {row['verdict']}{advice}")


def _refuse_copies(settings: ReproduceSettings, names: list[str]) -> None:
    """Raise LfbtError when test records are among those to pretrain on, before it is done for nothing."""
    if settings.allow_test_records:
        return
    folder = settings.out / "data" / "ningbo"
    ningbo = open_dataset(folder)
    rows = ningbo.rows("train")
    if settings.exclude is not None:
        rows = exclude_records(ningbo, (folder,), rows, settings.exclude)
    labelled = [open_dataset(settings.out / "data" / name) for name in names if name in LABELLED]
    tests = [(dataset, dataset.rows("test")) for dataset in labelled]
    check_copies(compute_fingerprints(ningbo, rows), ningbo, rows, tests)


def _write_tables(settings: ReproduceSettings, names: list[str]) -> str:
    """Write the tables and return them as text."""
    manifests = _manifests(settings, names)
    sizes = sizes_table(manifests)
    results = results_table(
        {
            cell: [read_json(_folder(settings, cell, seed) / RESULTS) for seed in settings.seeds]
            for cell in cells([name for name in names if name in LABELLED])
        }
    )
    title, notes = _title(settings, manifests), _notes(settings, names)
    text = "\n\n".join([title, as_text(shown_results(results)), as_text(shown_sizes(sizes)), "\n".join(notes)])
    page = [
        f"# {title}",
        as_markdown(shown_results(results)),
        "## Records",
        as_markdown(shown_sizes(sizes)),
        "\n".join(f"- {note}" for note in notes),
    ]
    for name, content in (
        (f"{TABLE}.txt", text + "\n"),
        (f"{TABLE}.md", "\n\n".join(page) + "\n"),
        (f"{TABLE}.csv", results.to_csv(index=False)),
        ("sizes.csv", sizes.to_csv(index=False)),
    ):
        with atomic_file(settings.out / name) as partial:
            partial.write_text(content, encoding="utf-8")
    return text


def _title(settings: ReproduceSettings, manifests: Mapping[str, Mapping[str, Any]]) -> str:
    title = "lfbt reproduce: the paper's protocol"
    if _departures(settings):
        command = "lfbt reproduce --quick" if settings.quick else "lfbt reproduce"
        title = f"{command}: NOT the paper's protocol"
    synthetic = [name for name, manifest in manifests.items() if manifest["synthetic"]]
    if len(synthetic) == len(manifests):
        return f"{title}, on SYNTHETIC data"
    return f"{title}, {', '.join(synthetic)} SYNTHETIC" if synthetic else title


def _departures(settings: ReproduceSettings) -> list[str]:
    """The settings that the paper has otherwise."""
    paper = ReproduceSettings(settings.out)
    unused = ("pretrain_epochs", "projector", "exclude") if settings.encoders else ()
    names = [name for name in _BEARS_ON if name not in ("quick", "encoders", "skip_unreadable", *unused)]
    changed = [name for name in names if getattr(settings, name) != getattr(paper, name)]
    how = ["pretraining preset small"] if settings.quick else []
    if settings.encoders:
        how = ["encoders from elsewhere"]
    return how + [f"{name.replace('_', '-')} {getattr(settings, name)}" for name in changed]


def _notes(settings: ReproduceSettings, names: list[str]) -> list[str]:
    n_seeds = len(settings.seeds)
    spread = "[ ] is the 95 % interval over test patients" if n_seeds == 1 else f"± is the spread over {n_seeds} seeds"
    fractions = ", ".join(f"{fraction:g}" for fraction in FRACTIONS)
    notes = [
        "LP: linear probe; FT: fine-tuned; TFS: trained from scratch; labels: the part of the training labels used "
        f"({fractions}).",
        f"Macro AUROC and AUPRC of the test split, scored once; {spread}.",
        "The paper's figures are as a third party's notes give them, of pretraining on Ningbo; - where none is known.",
    ]
    departures = _departures(settings)
    if departures:
        notes.append(f"Other than the paper's: {', '.join(departures)}.")
    if settings.encoders:
        notes.append(f"Encoders, not pretrained here: {', '.join(path.name for path in settings.encoders)}.")
    if settings.allow_test_records:
        notes.append("Test records may be among those pretrained on (--allow-test-records).")
    absent = [LABELLED[name] for name in LABELLED if name not in names]
    if absent:
        notes.append(f"No download was given of {', '.join(absent)}.")
    return notes
