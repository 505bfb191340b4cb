"""Kills, full disks and two at once, for each command: ``python -m tests.harm --docs docs/reliability.md``.

Each command runs undisturbed first. Then it is killed by SIGKILL at random moments, it runs on a disk that has room for
half of its results, and twice at the same time. Each time the same words have to end with status 0 afterwards, with the
same files, byte by byte but for times and speeds, and with nothing beside them.
"""

import argparse
import contextlib
import io
import multiprocessing
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.render import with_section
from safetensors.numpy import load_file, save

from lfbt.utils.tables import as_markdown

BEGIN, END = "<!-- harm: begin -->", "<!-- harm: end -->"
_PAGE = os.sysconf("SC_PAGE_SIZE")
#: Of lines of a history, what differs from run to run.
_TIMES = re.compile(rb'"(seconds|records_per_second)": [0-9.e+-]+')
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["torch", "lfbt.cli.app", "lfbt.evaluation.probing", "lfbt.training.pretraining"])

Words = Sequence[Any]


def commands(place: Path, to: Path) -> dict[str, tuple[Words, Path]]:
    """The words of each command that writes, by name, and its target."""
    data, probe, short = ("--data-dir", place / "data"), place / "probe", ("--epochs", 2, "--batch-size", 16)
    here = ("--workers", 0, "--device", "cpu")
    prepared = ("--records", 60, "--n-samples", 64, "--workers", 1)
    return {
        "prepare": (("prepare", "synthetic", place / "download", to, *prepared), to),
        "check": (("check", place / "data", "--out", to), to),
        "pretrain": (
            ("pretrain", *data, "--run-dir", to, *short, "--projector", "16-16", "--save-steps", 1, *here),
            to,
        ),
        "probe": (("probe", *data, "--random-encoder", "--run-dir", to, *short, *here), to),
        "probe, two seeds": (
            ("probe", *data, "--random-encoder", "--run-dir", to, *short, *here, "--seeds", 0, 1),
            to,
        ),
        "finetune": (("finetune", *data, "--from-scratch", "--run-dir", to, *short, *here), to),
        "embed": (("embed", *data, "--checkpoint", probe, "--out", to, *here), to),
        "embed of files": (
            ("embed", place / "data", "--checkpoint", probe, "--out", to.with_suffix(".parquet")),
            to.with_suffix(".parquet"),
        ),
        "predict": (
            ("predict", place / "data", "--classifier", probe, "--out", to.with_suffix(".csv")),
            to.with_suffix(".csv"),
        ),
        "compare": (("compare", probe, place / "other", "--draws", 200, "--out", to), to),
        "report": (("report", probe, "--out", to), to),
        "export": (("export", probe, "--out", to.with_suffix(".onnx")), to.with_suffix(".onnx")),
        "draw": (
            ("draw", place / "data", "--record", 1, "--out", to.with_suffix(".pdf")),
            to.with_suffix(".pdf"),
        ),
    }


def set_up(place: Path) -> None:
    """Write what the commands need."""
    for name, to in (("prepare", "data"), ("probe", "probe"), ("probe", "other")):
        given = list(commands(place, place / to)[name][0])
        status, err = run([*given, "--seeds", 1] if to == "other" else given)
        assert status == 0, (given, err)


def _main(words: Words, out: str) -> None:
    from lfbt.cli.app import main

    with open(out, "w") as file, contextlib.redirect_stderr(file), contextlib.redirect_stdout(io.StringIO()):  # noqa: PTH123
        main([str(word) for word in words])


def start(words: Words, out: Path) -> Any:
    """Start a command in a process of its own, which writes its stderr to `out`."""
    process = _CONTEXT.Process(target=_main, args=(words, str(out)))
    process.start()
    return process


def run(words: Words) -> tuple[int, str]:
    """Run a command; its status, and its last line on stderr."""
    with tempfile.NamedTemporaryFile("r") as file:
        process = start(words, Path(file.name))
        process.join(600)
        assert process.exitcode is not None, f"{words} hangs"
        return process.exitcode, (file.read().splitlines() or [""])[-1]


def contents(target: Path) -> dict[str, bytes]:
    """The files of a target by name, without times and locks."""
    files = sorted(target.rglob("*")) if target.is_dir() else [target]
    return {
        str(path.relative_to(target.parent)): _without_times(path)
        for path in files
        if path.is_file() and path.name not in (".lock", "report.html")
    }


def _without_times(path: Path) -> bytes:
    if path.parent.name != "checkpoints":
        return _TIMES.sub(b"", path.read_bytes())
    tensors = load_file(path)
    # The first five numbers count epochs, steps and records; then come seconds.
    tensors["progress"] = tensors["progress"][:5]
    return save(tensors)


def remove(target: Path) -> None:
    """Remove a target, whatever it is."""
    if target.is_dir():
        shutil.rmtree(target)
    else:
        target.unlink(missing_ok=True)


def is_same(words: Words, target: Path, whole: dict[str, bytes]) -> bool:
    """Whether the same words end well now, with the same files and nothing beside them."""
    status, err = run(words)
    beside = [path.name for path in target.parent.iterdir() if path != target]
    differing = {
        name for name in whole.keys() | contents(target).keys() if whole.get(name) != contents(target).get(name)
    }
    if status or beside or differing:
        print(f"{words[0]}: status {status}, {err}; differing {sorted(differing)}, left {beside}", file=sys.stderr)
    return not (status or beside or differing)


def killed(words: Words, target: Path, whole: dict[str, bytes], seconds: float, rng: random.Random) -> bool | None:
    """Kill a command at a random moment; None where it had ended by then."""
    remove(target)
    process = start(words, Path(os.devnull))
    process.join(rng.uniform(0, seconds))
    was_alive = process.is_alive()
    process.kill()
    process.join()
    return is_same(words, target, whole) if was_alive else None


def on_full_disk(words: Words, target: Path, whole: dict[str, bytes]) -> bool | None:
    """Run a command where half of its results fit, then where all do; None where no disk can be mounted."""
    # Over the folder of the target, whose name some results state.
    disk = target.parent
    pages = sum(-(-len(content) // _PAGE) for content in whole.values())
    size = max(2, pages // 2) * _PAGE
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", disk], check=False).returncode:
        return None
    try:
        status, err = run(words)
        is_clear = status == 2 and err.startswith("lfbt: error: ")
        if not is_clear:
            print(f"{words[0]} on a full disk: status {status}, {err}", file=sys.stderr)
        subprocess.run(["mount", "-o", f"remount,size={64 << 20}", disk], check=True)
        return is_clear and is_same(words, target, whole)
    finally:
        subprocess.run(["umount", disk], check=True)


def two_at_once(words: Words, target: Path, whole: dict[str, bytes]) -> bool:
    """Start a command twice; one of them at least ends well, the other says why it does not."""
    remove(target)
    with tempfile.TemporaryDirectory() as logs:
        both = [start(words, Path(logs, str(number))) for number in range(2)]
        for process in both:
            process.join()
        found = sorted(
            (process.exitcode, (Path(logs, str(number)).read_text().splitlines() or [""])[-1])
            for number, process in enumerate(both)
        )
    if found[0][0] != 0 or not (found[1][0] == 0 or (found[1][0] == 2 and found[1][1].startswith("lfbt: error: "))):
        print(f"{words[0]} twice at once: {found}", file=sys.stderr)
        return False
    return is_same(words, target, whole)


def measure(place: Path, name: str, kills: int, seed: int) -> list[str]:
    """A row of the table."""
    folder = place / "targets"
    folder.mkdir(exist_ok=True)
    words, target = commands(place, folder / "to")[name]
    begin = time.monotonic()
    status, err = run(words)
    assert status == 0, (name, err)
    seconds, whole = time.monotonic() - begin, contents(target)
    rng = random.Random(seed)
    found: list[bool] = []
    for _ in range(10 * kills):
        if len(found) < kills and (same := killed(words, target, whole, seconds, rng)) is not None:
            found.append(same)
    at_once = two_at_once(words, target, whole)
    remove(target)
    full = on_full_disk(words, target, whole)
    shown = {True: "yes", False: "NO", None: "not tried"}
    return [name, str(len(found)), str(sum(found)), shown[full], shown[at_once]]


def main() -> int:
    """Print the table; the status is 1 where something was not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=5, help="of each command")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", help="commands of the table")
    parser.add_argument("--docs", type=Path)
    words = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        set_up(place)
        names = words.only or list(commands(place, place))
        rows = [measure(place, name, words.kills, words.seed) for name in names]
    heads = ["lfbt …", "kills", "same files afterwards", "full disk: one line, then the same", "two at once: the same"]
    text = as_markdown([heads, *rows])
    print(text)
    if words.docs:
        page = words.docs.read_text(encoding="utf-8")
        words.docs.write_text(with_section(page, text, BEGIN, END), encoding="utf-8")
    return int(any(row[1] != row[2] or "NO" in row for row in rows))


if __name__ == "__main__":
    sys.exit(main())
