"""Changes of modules that their tests should find: ``python -m tests.mutants --docs docs/reliability.md``.

cosmic-ray says what can be changed: an operator, a comparison, a number, a condition, a decorator, a loop. At each
place of a module one change is drawn by the seed; of more than ``--sample`` places, that many are. The module's own
test file and its examples then run in a copy of the repository: a change is found if a test fails, or does not end.
Annotations, which have no effect, are not changed.
"""

import argparse
import ast
import contextlib
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.render import with_section

from lfbt.utils.tables import as_markdown

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- mutants: begin -->", "<!-- mutants: end -->"
#: Modules, each with tests that its own test file leaves to another one.
MODULES: dict[str, list[str]] = {
    "losses/lfbt": ["tests/losses/test_objectives.py", "-k", "not objectives or several_processes"],
    "training/augmentation": [],
    "training/distortions": [],
    "signal": [],
    "evaluation/metrics": [],
    "data/splits": [],
    "data/record_hash": [],
    "utils/opening": [],
    "utils/limits": [],
    "io/guarding": [
        f"tests/io/test_isolation.py::test_{name}"
        for name in ("one_process_reads_all_files_and_is_another", "memory_is_limited_by_the_size_of_the_file")
    ],
}
#: Address space of a test process: a changed bound may read a device that never ends.
_MEMORY_BYTES = 8 << 30


def changes(source, sample, seed):
    """Drawn changes of a module's `source`, as pairs of line and changed source, and the number of places."""
    # Installed by `make mutants` only.
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator, operator_names

    unseen = [
        (node.lineno, node.col_offset, node.end_lineno, node.end_col_offset)
        for parent in ast.walk(ast.parse(source))
        for node in (getattr(parent, "annotation", None), getattr(parent, "returns", None))
        if node is not None
    ]
    places: dict[tuple[int, int], list] = {}
    nodes = list(ast_nodes(get_ast(source)))
    for name in sorted(operator_names()):
        kind = get_operator(name)
        if kind.arguments():
            continue
        starts = (start for node in nodes for start, _ in kind().mutation_positions(node))
        for occurrence, start in enumerate(starts):
            if not any(first <= start < last for *_, first, last in map(_ends, unseen)):
                places.setdefault(start, []).append((kind, occurrence))
    rng = random.Random(seed)
    drawn = sorted(rng.sample(sorted(places), min(sample, len(places))))
    chosen = [(place[0], *rng.choice(places[place])) for place in drawn]
    return [(line, mutate_code(source, kind(), occurrence)) for line, kind, occurrence in chosen], len(places)


def _ends(place):
    return place[:2], place[2:]


def outcome(tests, seconds, **environment):
    """How tests end: ``passed``, ``failed`` with what pytest said, or ``no end``."""
    words = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    # Plugins take longer than most of the files.
    environment = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": "src"} | environment
    process = subprocess.Popen(
        words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True, text=True
    )
    try:
        said, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        return "no end"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return "passed" if process.returncode == 0 else f"failed: {said}"


def survivors(module, sample, seed):
    """Changes of a module that its tests do not find, as lines to print; how many were tried, of how many."""
    path = Path("src/lfbt", f"{module}.py")
    tests = [str(Path("tests", module).with_name(f"test_{path.name}")), str(path), *MODULES[module]]
    began = time.monotonic()
    if (clean := outcome(tests, 600)) != "passed":
        raise RuntimeError(f"{tests} without a change: {clean}")
    seconds = 10 + 3 * (time.monotonic() - began)
    # A compiled module of the same second and size would be taken for the changed one.
    for compiled in path.parent.glob(f"__pycache__/{path.stem}.*.pyc"):
        compiled.unlink()
    source = path.read_text(encoding="utf-8")
    drawn, places = changes(source, sample, seed)
    found = []
    for line, changed in drawn:
        path.write_text(changed, encoding="utf-8")
        if outcome(tests, seconds, PYTHONDONTWRITEBYTECODE="1") == "passed":
            before, after = source.splitlines()[line - 1], changed.splitlines()[line - 1]
            found.append(f"{path}:{line}\n  - {before.strip()}\n  + {after.strip()}")
            print(found[-1], flush=True)
    path.write_text(source, encoding="utf-8")
    return found, len(drawn), places


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__.splitlines()[0])
    parser.add_argument("--module", nargs="+", choices=MODULES, default=list(MODULES))
    parser.add_argument("--sample", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--docs", type=Path)
    words = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    docs = words.docs and words.docs.resolve()
    rows = [("module", "places", "changed", "found by a test", "in percent")]
    with tempfile.TemporaryDirectory() as folder:
        for name in ("src", "tests", "benchmarks", "docs"):
            shutil.copytree(ROOT / name, Path(folder, name), ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", folder)
        os.chdir(folder)
        for module in words.module:
            found, tried, places = survivors(module, words.sample, words.seed)
            killed = tried - len(found)
            rows.append((f"{module}.py", str(places), str(tried), str(killed), f"{100 * killed / tried:.0f}"))
            print(" | ".join(rows[-1]), flush=True)
        os.chdir(ROOT)
    section = f"{as_markdown(rows)}\n"
    print(section)
    if docs:
        docs.write_text(with_section(docs.read_text(encoding="utf-8"), section, BEGIN, END), encoding="utf-8")


if __name__ == "__main__":
    main()
