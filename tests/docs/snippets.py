"""The blocks of code in the documentation, the commands in these, and how each is run: as it is, smaller, or not at all.

A block is run unless a comment above it says why not: ``<!-- snippet: parsed, minutes of training -->`` for commands whose
options are checked only, ``<!-- snippet: skipped, needs a GPU -->`` for what is not looked at.
"""

import dataclasses
import importlib
import re
import shlex
import subprocess
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
#: Commands of lfbt that a test does not run, and why; their options are checked.
NEVER_ENDS = {"serve": "runs until it is stopped", "--watch": "runs until it is stopped"}
MINUTES = {"benchmark": "minutes, on a download", "reproduce": "minutes, on four downloads"}

#: Options that make a command fit a test, by the command; those that are given are replaced.
SMALL: dict[str, dict[str, Any]] = {
    "prepare": {"workers": 1},
    "prepare synthetic": {"records": 120},
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
        words = shlex.split(line, comments=True)
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


def parse_within(words: list[str]) -> None:
    """Parse the command of lfbt within the words of a launcher or of a pipe, where there is one."""
    if "lfbt" in words:
        inner = list(words[words.index("lfbt") + 1 :])
        end = next((i for i, word in enumerate(inner) if word in ("|", ">", ";", "&&", "&") or word.endswith(";")), None)
        parse([word.rstrip(";") for word in inner[: None if end is None else end + inner[end].endswith(";")]])


def perform(line: str, words: list[str], verdict: str, reason: str) -> tuple[str, str]:
    """Run one command of a block in the working directory, or check its options; say which, and why."""
    program = next(word for word in words if "=" not in word)
    inner = words[words.index("lfbt") + 1 :] if "lfbt" in words else []
    if verdict == "parsed" or re.search(r"[|;]|&&", line.split("#")[0]):
        parse_within(words)
        return ("parsed", reason or "a pipe or a loop of the shell") if inner else ("skipped", reason)
    if program in NOT_RUN:
        parse_within(words)
        return ("parsed" if inner else "skipped"), NOT_RUN[program]
    if program == "lfbt" and inner[0] in COMMANDS:
        for name, why in (NEVER_ENDS | MINUTES).items():
            if name in inner:
                parse(inner)
                return "parsed", why
    if program == "lfbt":
        status, out, err = run(*smaller(inner))
        # `check` ends with 1 where it found something.
        assert status == 0 or (inner[0] == "check" and status == 1), f"{line}\n{out}\n{err}"
        return "run", ""
    if words[:2] == ["python", "-c"]:
        exec(words[2], {})
        return "run", ""
    assert program in ("mkdir", "cp", "cd"), f"{line}: no rule for {program}"
    subprocess.run(words, check=True)
    return "run", ""


def refuses(words: list[str]) -> bool:
    """Whether a command is refused when its words are parsed."""
    try:
        parse(words)
    except LfbtError:
        return True
    return False
