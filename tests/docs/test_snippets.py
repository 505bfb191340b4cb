"""Every command and every piece of Python in the documentation is run, or says why not.

``pytest -s tests/docs`` prints how many are run, parsed and skipped, by reason.
"""

import functools
import shlex
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests import clinical_files
from tests.cli.helpers import run
from tests.cli.test_help import FLAGS, examples_of
from tests.docs.snippets import (
    PAGES,
    SMALL,
    Block,
    blocks_of,
    commands_of,
    fault_of,
    inline_commands,
    is_snippet,
    perform,
)
from tests.factories import KINDS, LABELS, waves, write_checkpoint, write_labelled
from tests.inference.test_classifier import write_run

import lfbt
from lfbt.cli.overview import COMMANDS
from lfbt.errors import LfbtError
from lfbt.io import read
from lfbt.recording import PAPER_LEADS, STANDARD_LEADS
from lfbt.sources import SOURCES
from lfbt.sources.synthesis import write_ptbxl
from lfbt.sources.synthetic_downloads import write_ningbo

#: What a page needs and does not make, as paths in its working directory; where a colon follows, what it is a copy of.
NEEDS = {
    "docs/check.md": "data/ningbo data/ptbxl",
    "docs/data.md": "ecg.hea ecg.dat data/ptbxl RECORDS:recordings CLASSES ARRAYS COUNTS OFFSET labels.csv files.csv",
    "docs/evaluation.md": "data/ptbxl data/small:data/ptbxl runs/pretrain recordings ecg.dcm holter.dcm "
    "ecg.csv:watch.csv DOWNLOAD:downloads/ptbxl",
    "docs/formats.md": "ecg.csv:microvolts.csv",
    "docs/metrics.md": "runs/random runs/probe runs/a:runs/random runs/b:runs/probe runs/c:runs/scratch",
    "docs/onnx.md": "runs/finetune recordings",
    "docs/pretraining.md": "NINGBO:downloads/ningbo PTBXL:downloads/ptbxl data/a:data/ningbo data/b:data/ptbxl",
    "docs/python.md": "ecg.npy runs/pretrain:small/encoder runs/probe:small/probe",
    "docs/datasets/folder.md": "RECORDS:recordings labels.csv",
}
#: What the examples of `--help` need, each in a folder of its own.
NEEDS_OF_HELP = (
    "data/ptbxl data/ningbo data/a:data/ningbo data/b:data/ptbxl runs/pretrain runs/probe runs/random runs/finetune "
    "runs/a:runs/random runs/b:runs/probe runs/c:runs/scratch runs/ptbxl:runs/probe ecg.dcm recordings model.onnx "
    "records:recordings labels.csv arrays:ARRAYS downloads/ptb-xl:downloads/ptbxl downloads/ningbo"
)
#: Examples of `--help` that are parsed only, by words in them, and why.
PARSED_HELP = {
    **{f"downloads/{name}": "needs the download" for name in SOURCES if name not in ("ningbo", "synthetic")},
    "downloads/challenge-2021": "needs the download",
    "ecg.csv": "needs a classifier of three leads",
}
#: Pages whose commands are parsed only, and why.
PARSED = {page: "needs the download" for page in PAGES if page.startswith("docs/datasets/")}
del PARSED["docs/datasets/folder.md"], PARSED["docs/datasets/synthetic.md"]
#: The functions that are made to fit a test, by the command whose options they take.
FUNCTIONS = ("prepare", "pretrain", "probe", "finetune", "compare")


@pytest.fixture(scope="module")
def workshop(tmp_path_factory):
    """Downloads, data sets, runs and files of the names that pages use."""
    shop = tmp_path_factory.mktemp("workshop")
    for name, write in (("ptbxl", write_ptbxl), ("ningbo", write_ningbo)):
        (shop / "downloads" / name).mkdir(parents=True)
        write(shop / "downloads" / name, 100, 0)
        lfbt.prepare(name, shop / "downloads" / name, shop / "data" / name, n_samples=256, workers=1)
    data = shop / "data" / "ptbxl"
    quick: dict[str, Any] = {"device": "cpu", "workers": 0}
    lfbt.pretrain(shop / "data" / "ningbo", shop / "runs" / "pretrain", preset="small", **SMALL["pretrain"] | quick)
    lfbt.probe(data, shop / "runs" / "probe", shop / "runs" / "pretrain", **SMALL["probe"] | quick)
    lfbt.probe(data, shop / "runs" / "random", random_encoder=True, **SMALL["probe"] | quick)
    lfbt.finetune(data, shop / "runs" / "finetune", shop / "runs" / "pretrain", **SMALL["finetune"] | quick)
    lfbt.export(shop / "runs" / "finetune", shop / "model.onnx")
    lfbt.finetune(data, shop / "runs" / "scratch", from_scratch=True, **SMALL["finetune"] | quick)
    _write_recordings(shop)
    (shop / "small").mkdir()
    write_checkpoint(shop / "small" / "encoder")
    write_run(shop / "small" / "probe", write_labelled(shop / "small" / "data"))
    return shop


def _write_recordings(shop: Path) -> None:
    """Write a few recordings, alone and in a folder, and a table of these."""
    headers = sorted((shop / "downloads" / "ptbxl").rglob("*_hr.hea"))[:6]
    (shop / "recordings").mkdir()
    for header in headers:
        for file in (header, header.with_suffix(".dat")):
            shutil.copy(file, shop / "recordings")
    (shop / "ecg.hea").write_text(headers[0].read_text().replace(headers[0].stem, "ecg"))
    shutil.copy(headers[0].with_suffix(".dat"), shop / "ecg.dat")
    recording = read(headers[0])
    microvolts = np.round(1000 * recording.signal)
    np.savetxt(shop / "microvolts.csv", microvolts.T, "%d", ",", header=",".join(recording.leads), comments="")
    watch = np.concatenate([read(header).signal[0, ::4] for header in headers])
    np.savetxt(shop / "watch.csv", np.round(1000 * watch), "%d", header="ecg", comments="")
    np.save(shop / "ecg.npy", _two_leads()[0])
    for name, leads in (("ecg", STANDARD_LEADS), ("holter", ("II", "V1"))):
        steps = microvolts[[STANDARD_LEADS.index(lead) for lead in leads]] / 2.5
        clinical_files.dicom(shop / f"{name}.dcm", (("RHYTHM", steps.astype(np.int16)),), leads=leads)
    labels = {header.stem: "AF" if i % 2 else "NORM" for i, header in enumerate(headers)}
    rows = [f"{name},p-of-{name},{label}" for name, label in labels.items()]
    (shop / "labels.csv").write_text("\n".join(["record,patient,label", *rows, ""]))
    for name in ("ARRAYS", "COUNTS", "OFFSET"):
        (shop / name).mkdir()
    for name, label in labels.items():
        (shop / "CLASSES" / label).mkdir(parents=True, exist_ok=True)
        for file in (shop / "recordings").glob(f"{name}.*"):
            shutil.copy(file, shop / "CLASSES" / label)
        np.save(shop / "ARRAYS" / f"{name}.npy", microvolts[[0, 1, 7], ::2])
        for folder, offset in (("COUNTS", 0), ("OFFSET", 2048)):
            steps = (microvolts.T / 5 + offset).round()
            np.savetxt(shop / folder / f"{name}.csv", steps, "%d", ",", header=",".join(recording.leads), comments="")
    rows = [f'{name}.npy,"I,II,V2",250,uV' for name in labels]
    (shop / "files.csv").write_text("\n".join(["file,leads,sampling_rate,unit", *rows, ""]))


def _two_leads() -> np.ndarray:
    """Records of II and V1, ten seconds at 500 Hz, of the kinds in LABELS."""
    return waves(KINDS, n_samples=5000)


def _names_of(page: str) -> dict[str, Any]:
    """The variables that the Python of a page takes for given."""
    if page == "docs/python.md":
        return {"signals": _two_leads(), "labels": LABELS}
    if page == "docs/onnx.md":
        return {"signals": np.zeros((2, len(PAPER_LEADS), 256), np.float32)}
    return {}


@pytest.fixture(scope="module")
def counts():
    """How many snippets there are, and what was done with them."""
    found: Counter[str] = Counter()
    yield found
    print("", *(f"{n:5}  {what}" for what, n in sorted(found.items())), sep="\n")


@pytest.fixture
def small_functions(monkeypatch):
    """The functions of lfbt that take minutes, with settings that take moments."""
    for name in FUNCTIONS:
        monkeypatch.setattr(lfbt, name, functools.partial(_call_small, getattr(lfbt, name), name))


def _call_small(function, name, *words, **settings):
    options = SMALL[name] | (SMALL["prepare synthetic"] if words[0] == "synthetic" else {})
    if settings.get("classifier", "adam") != "adam":
        options = {option: value for option, value in options.items() if option != "epochs"}
    return function(*words, **settings | options)


@pytest.mark.usefixtures("small_functions")
@pytest.mark.parametrize("page", PAGES)
def test_snippets_of_a_page_run(page, workshop, tmp_path, monkeypatch, counts):
    """In the order of the page, in one folder, as a reader would."""
    blocks = [block for block in blocks_of(page) if is_snippet(block)]
    _copy(workshop, NEEDS.get(page, ""), tmp_path)
    monkeypatch.chdir(tmp_path)
    names = _names_of(page)
    for block in blocks:
        counts["blocks"] += 1
        if block.language == "python":
            _run_python(block, names, counts)
        else:
            _run_commands(block, counts)


def _copy(workshop: Path, needs: str, folder: Path) -> None:
    """Copy what is needed into a folder, under the names that it needs."""
    for need in needs.split():
        place, _, source = need.partition(":")
        origin, target = workshop / (source or place), folder / place
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(origin, target) if origin.is_dir() else shutil.copy(origin, target)


def _run_python(block: Block, names: dict[str, Any], counts: Counter[str]) -> None:
    counts["Python, run" if block.verdict == "run" else f"Python, {block.verdict}: {block.reason}"] += 1
    code = compile(block.text, str(block), "exec")
    if block.verdict == "run":
        exec(code, names)


def _run_commands(block: Block, counts: Counter[str]) -> None:
    verdict, reason = block.verdict, block.reason
    if block.page in PARSED:
        verdict, reason = "parsed", PARSED[block.page]
    for line, words in commands_of(block.text):
        try:
            done, why = perform(line, words, verdict, reason)
        except LfbtError as error:
            raise AssertionError(f"{block}: {line}") from error
        counts[f"commands, {done}" + (f": {why}" if why else "")] += 1


@pytest.mark.parametrize("page", PAGES)
def test_commands_within_sentences_are_parsed(page, counts):
    """A part of a command needs what it does not name, and nothing else may be wrong with it."""
    for line in inline_commands(page):
        counts["commands in sentences and tables, parsed"] += 1
        fault = fault_of(shlex.split(line)[1:])
        assert not fault or "required, but not given" in fault, f"{page}: {line}"


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_of_the_help_run(name, workshop, tmp_path, monkeypatch, counts):
    """Each by itself; what it writes is not there yet."""
    texts = {command: run(*command.split(), "--help")[1] for command in FLAGS if command.split()[0] == name}
    examples = {" ".join(words): words for text in texts.values() for words in examples_of(text)}
    for number, (line, words) in enumerate(examples.items()):
        why = next((why for name, why in PARSED_HELP.items() if name in words), "")
        if not why:
            folder = tmp_path / str(number)
            _copy(workshop, NEEDS_OF_HELP, folder)
            monkeypatch.chdir(folder)
            for flag in {"--run-dir", "--out"} & set(words):
                _remove(folder / words[words.index(flag) + 1])
            if words[0] == "prepare":
                _remove(folder / words[3])
        done, why = perform(line, ["lfbt", *words], "parsed" if why else "run", why)
        counts[f"examples of --help, {done}" + (f": {why}" if why else "")] += 1


def _remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
