"""The blocks of code in the documentation, the commands in these, and how each is run: smaller, parsed, or not at all.

A block is run unless a comment above it says why not: ``<!-- snippet: parsed, minutes of training -->`` for commands
whose options are checked only, ``<!-- snippet: skipped, needs a GPU -->`` for what is not looked at.
"""

import dataclasses
import importlib
import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.cli.helpers import run

from lfbt.cli.overview import COMMANDS
from lfbt.errors import LfbtError

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "ARCHITECTURE.md", *ROOT.glob("docs/**/*.md")]
)
#: Languages of blocks that are no snippets: what commands print, trees, files.
_NO_SNIPPETS = ("text", "bibtex", "dockerfile", "ini")
_FENCE = re.compile(r"^```(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"<!-- snippet: (parsed|skipped), (.+) -->\n+\Z")
_INLINE = re.compile(r"(?<!`)`(lfbt [^`]+)`(?!`)")

#: Programs that a test does not run, and why.
NOT_RUN = {
    "accelerate": "a launcher of several processes",
    "curl": "needs a server",
    "dask": "needs a cluster",
    "docker": "needs Docker",
    "git": "needs a network",
    "hf": "needs a network",
    "make": "runs by itself what the tests run",
    "pip": "installs",
    "py": "needs Windows",
    "sbatch": "needs a cluster",
    "source": "changes the shell",
    "srun": "needs a cluster",
    "torchrun": "a launcher of several processes",
    "wget": "downloads",
}
MODULES = {"tests": "kills and changes that take minutes", "benchmarks": "minutes to half an hour", "venv": "installs"}
#: Commands and options of lfbt that a test does not run, and why; they are parsed.
NOT_ENDED = {
    "serve": "runs until it is stopped",
    "--watch": "runs until it is stopped",
    "benchmark": "minutes, on a download",
    "reproduce": "minutes, on four downloads",
}

#: Options that make a command fit a test, by the command; those that are given are replaced.
SMALL: dict[str, dict[str, Any]] = {
    "prepare": {"workers": 1},
    "prepare synthetic": {"records": 80},
    "pretrain": {"epochs": 1, "batch_size": 32, "projector": "16-16", "workers": 0},
    "probe": {"epochs": 2},
    "finetune": {"epochs": 1, "batch_size": 32, "workers": 0},
    "compare": {"draws": 50},
}


@dataclasses.dataclass(frozen=True)
class Block:
    """A block of code, with what the comment above it says."""

    page: str
    line: int
    language: str
    text: str
    verdict: str
    reason: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks_of(page: str) -> list[Block]:
    """The blocks of a page; one without a language is an error of the page."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = []
    for fence in _FENCE.finditer(text):
        comment = _COMMENT.search(text[: fence.start()])
        line = text[: fence.start()].count("\n") + 1
        verdict, reason = comment.groups() if comment else ("run", "")
        found.append(Block(page, line, fence[1], fence[2], verdict, reason))
    return found


def is_snippet(block: Block) -> bool:
    """Whether a block is one to run; raises for one of an unknown language, or commands in one that is no snippet."""
    if block.language in ("bash", "python"):
        return True
    assert block.language in _NO_SNIPPETS, f"{block}: a block in {block.language or 'no language'}"
    first = [line.split()[0] for line in block.text.splitlines() if line.split()]
    assert block.language != "text" or not {"lfbt", "python", *NOT_RUN} & set(first), f"{block}: commands in text"
    return False


def inline_commands(page: str) -> list[str]:
    """The commands of lfbt within the text of a page, but for those with a placeholder."""
    text = _FENCE.sub("", (ROOT / page).read_text(encoding="utf-8"))
    lines = [" ".join(found.split()) for found in _INLINE.findall(text)]
    whole = [line for line in lines if "…" not in line and line.split()[1] in COMMANDS and len(line.split()) > 2]
    return [line for line in whole if not {"SOURCE", "--help"} & set(line.split())]


def commands_of(text: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the commands of a block, each as a line and as its words without comments."""
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        words = shlex.split(re.sub(r";(?= |$)", " ;", line), comments=True)
        if words:
            yield line, words


def is_small_classifier(words: list[str]) -> bool:
    """Whether a probe has a classifier that knows no epochs."""
    return "--classifier" in words and "adam" not in words


def smaller(words: list[str]) -> list[str]:
    """The words after ``lfbt`` with options that make the command fit a test."""
    options = {name: value for key in (words[0], " ".join(words[:2])) for name, value in SMALL.get(key, {}).items()}
    if is_small_classifier(words):
        options.pop("epochs", None)
    for name, value in options.items():
        flag = f"--{name.replace('_', '-')}"
        if flag in words:
            start = words.index(flag)
            end = next((i for i in range(start + 1, len(words)) if words[i].startswith("--")), len(words))
            words = words[:start] + words[end:]
        words = [*words, flag, str(value)]
    return words


def parse(words: list[str]) -> None:
    """Check that the words after ``lfbt`` are a command with options that exist and values in their ranges."""
    command = importlib.import_module(f"lfbt.cli.{words[0]}")
    command.parse([word for word in words[1:] if word not in ("--json", "--quiet")])


def fault_of(words: list[str]) -> str:
    """What is wrong with the words after ``lfbt``, or nothing."""
    try:
        parse(words)
    except LfbtError as error:
        return str(error)
    return ""


def words_of_lfbt(words: list[str]) -> list[str]:
    """The command of lfbt and its words within a line of the shell, which may launch it or pipe something into it."""
    for place, word in enumerate(words[:-1]):
        if word == "lfbt" and (words[place + 1] in COMMANDS or place == 0):
            inner = words[place + 1 :]
            end = next((i for i, word in enumerate(inner) if word in ("|", ">", "&&", "&", ";")), len(inner))
            return inner[:end]
    return []


def perform(line: str, words: list[str], verdict: str, reason: str) -> tuple[str, str]:
    """Run one command of a block in the working directory, or check its options; say which, and why."""
    if verdict == "skipped":
        return verdict, reason
    inner = words_of_lfbt(words)
    why = reason or _why_not_run(line, words)
    if why:
        if inner:
            parse(inner)
        return ("parsed" if inner else "skipped"), why
    assert words[0] == "lfbt", f"{line}: no rule for {words[0]}"
    status, out, err = run(*smaller(inner))
    # `check` ends with 1 where it found something.
    assert status == 0 or (inner[0] == "check" and status == 1), f"{line}\n{out}\n{err}"
    return "run", ""


def _why_not_run(line: str, words: list[str]) -> str:
    """Why a command is not run by a test; empty where it is."""
    if re.search(r"[|;]|&&", line.split("#")[0]):
        return "a pipe or a loop of the shell"
    if words[1:2] == ["-m"]:
        assert importlib.util.find_spec(words[2]), f"{line}: there is no such module"
        return MODULES[words[2].partition(".")[0]]
    program = next((word for word in words if "=" not in word), "")
    return NOT_RUN.get(program) or next((why for name, why in NOT_ENDED.items() if name in words), "")
