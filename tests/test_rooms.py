"""The rooms of the package: their doors, their sizes, what they import, and where their tests are."""

import ast
import importlib.util
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SRC = ROOT / "src"


def _module_name(path: Path) -> str:
    """Return the dotted name of a module or package by its file in src."""
    names = path.relative_to(SRC).with_suffix("").parts
    return ".".join(names[:-1] if names[-1] == "__init__" else names)


FILES = {_module_name(path): path for path in sorted((SRC / "lfbt").rglob("*.py"))}
TREES = {name: ast.parse(path.read_text()) for name, path in FILES.items()}
#: The rooms, each with its modules and the rooms inside it.
ROOMS = {
    room: {name for name in FILES if name.rpartition(".")[0] == room}
    for room, path in FILES.items()
    if path.name == "__init__.py" and room != "lfbt"
}


def _door(room: str) -> list[str]:
    """Return the names in `__all__` of a room."""
    for node in TREES[room].body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return ast.literal_eval(node.value)
    pytest.fail(f"{room} has no __all__")


DOORS = {room: _door(room) for room in ROOMS}


def _crossings(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the room, and the name in it, of each import of a file from a room that the file is not in."""
    in_package = path.is_relative_to(SRC)
    package = ".".join(path.relative_to(SRC).parent.parts) if in_package else ""
    importer = _module_name(path) if in_package else path.stem
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            source = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            targets = [f"{source}.{alias.name}" for alias in node.names]
        else:
            continue
        for target in targets:
            *parents, name = target.split(".")
            while parents:
                room = ".".join(parents)
                if room in ROOMS and not f"{importer}.".startswith(f"{room}."):
                    yield room, name
                name = parents.pop()


#: The files that may use a room by its door only, and the tests of the command line, which may look inside as well.
USERS = [
    *FILES.values(),
    *SRC.rglob("*.pyi"),
    *ROOT.glob("*.py"),
    *ROOT.glob("benchmarks/*.py"),
    *ROOT.glob("examples/*.py"),
]
CLI_TESTS = [*ROOT.glob("tests/cli/*.py")]
CROSSINGS = {path: set(_crossings(path)) for path in [*USERS, *CLI_TESTS]}
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]


def _contracts(kind: str) -> list[dict]:
    return [contract for contract in CONTRACTS if contract["type"] == kind]


def _names(nodes: list[ast.expr]) -> set[str]:
    """Return the variables and attributes that expressions name."""
    named = [part for node in nodes for part in ast.walk(node)]
    return {part.id for part in named if isinstance(part, ast.Name)} | {
        part.attr for part in named if isinstance(part, ast.Attribute)
    }


def _run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_rooms_are_found():
    assert {"lfbt.audit", "lfbt.data", "lfbt.io", "lfbt.models.cpu"} <= set(ROOMS)
    assert ("lfbt.models.cpu", "fused") in CROSSINGS[FILES["lfbt.models.encoder"]]


def test_imports_between_rooms_go_through_doors():
    for user in USERS:
        assert not {f"{room}.{name}" for room, name in CROSSINGS[user] if name not in DOORS[room]}, user


def test_doors_name_modules_that_are_used_from_outside():
    used = {f"{room}.{name}" for crossings in CROSSINGS.values() for room, name in crossings}
    named = {f"{room}.{name}" for room, door in DOORS.items() for name in door}
    assert not (named & set(FILES)) - used


def test_contracts_put_the_modules_of_each_room_into_layers():
    layered = {contract["containers"][0] for contract in _contracts("layers") if contract["exhaustive"]}
    assert layered == {"lfbt", *(room for room, modules in ROOMS.items() if len(modules) > 1)}


def test_modules_have_450_lines_at_most():
    lines = {name: len(path.read_text().splitlines()) for name, path in FILES.items()}
    assert not {name: count for name, count in lines.items() if count > 450}


def test_private_records_have_eight_fields_at_most():
    fields = {
        f"{module}.{node.name}": sum(isinstance(line, ast.AnnAssign) for line in node.body)
        for module, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and node.name.startswith("_")
        if {"dataclass", "NamedTuple"} & _names([*node.decorator_list, *node.bases])
    }
    assert fields
    assert not {name: count for name, count in fields.items() if count > 8}


def test_modules_have_tests_at_mirrored_places():
    untested = set()
    for name, path in FILES.items():
        place = path.relative_to(SRC / "lfbt")
        if not path.name.startswith("__") and not (ROOT / "tests" / place.parent / f"test_{place.name}").is_file():
            untested.add(name)
    assert not untested


def test_doors_import_neither_torch_nor_other_slow_packages():
    slow = "{'matplotlib', 'numba', 'pandas', 'scipy', 'sklearn', 'torch', 'tyro', 'wfdb'}"
    assert _run(f"import sys, {', '.join(ROOMS)}; print(sorted({slow} & set(sys.modules)))") == "[]\n"


def test_torch_free_modules_do_not_import_torch():
    (contract,) = _contracts("forbidden")
    sources = contract["source_modules"]
    modules = [name for name in FILES if any(f"{name}.".startswith(f"{source}.") for source in sources)]
    left = {"lfbt.data.loader", "lfbt.utils.collectives", "lfbt.utils.device", "lfbt.utils.tensors"}
    assert (ROOMS["lfbt.data"] | ROOMS["lfbt.utils"]) - set(modules) == left
    assert _run(f"import sys, {', '.join(modules)}; print('torch' in sys.modules)") == "False\n"


#: What each room does at most without torch.
PROGRAMS = {
    "signal": "from lfbt.signal import normalise; normalise(np.ones((2, 5), np.float32), 'record')",
    "io": """
from lfbt.io import read
np.save(folder / "a.npy", np.ones((2, 5)))
read(folder / "a.npy", leads="I,II", sampling_rate=500)
(folder / "a.csv").write_text("I,II\\n1,2\\n")
read(folder / "a.csv", sampling_rate=500)
from lfbt.sources.synthesis import write_ptbxl
write_ptbxl(folder, 1, 0)
read(folder / "records500/00000/00001_hr")
""",
    "sources": """
from lfbt.sources import SOURCES
SOURCES["synthetic"](records=2).listing(folder / "new")
""",
    "data": """
from lfbt.data.layouts import open_dataset, open_datasets
from lfbt.data.preparation import prepare_dataset
from lfbt.data.records import PrepareSettings
from lfbt.sources import Synthetic
settings = PrepareSettings(n_samples=64, workers=1)
prepare_dataset(Synthetic(records=30), "synthetic", folder / "from", folder / "to", settings)
dataset = open_datasets([folder / "to"])
dataset.batch(dataset.rows("train"), "record")
dataset[0]
""",
}


@pytest.mark.parametrize("room", PROGRAMS)
def test_data_is_read_and_prepared_without_torch(tmp_path, room):
    head = f"import sys; from pathlib import Path; import numpy as np; folder = Path({str(tmp_path)!r})\n"
    assert _run(head + PROGRAMS[room] + "\nprint('torch' in sys.modules)") == "False\n"
