"""Files: written whole or not at all, never over other results; JSON read and written as objects."""

import errno
import fcntl
import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

from lfbt.errors import LfbtError
from lfbt.utils.files import (
    PARTIAL,
    Outputs,
    atomic_file,
    atomic_folder,
    check_distinct,
    check_replaceable,
    check_unoccupied,
    read_json,
    write_json,
)
from lfbt.utils.interrupts import TerminatedError


class Stop(Exception):  # noqa: N818
    """Ends a block early."""


def names(folder):
    return sorted(path.name for path in folder.rglob("*"))


def test_atomic_folder_appears_when_it_is_complete(tmp_path):
    target = tmp_path / "a" / "b"
    with atomic_folder(target) as partial:
        (partial / "sub").mkdir()
        (partial / "sub" / "x").write_text("1")
        assert not target.exists()
        assert partial.parent == target.parent
    assert names(tmp_path) == ["a", "b", "sub", "x"]
    assert (target / "sub" / "x").read_text() == "1"


@pytest.mark.parametrize("error", [Stop, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("there_before", [True, False])
def test_atomic_folder_leaves_nothing_when_the_block_fails(tmp_path, error, there_before):
    target = tmp_path / "new"
    if there_before:
        target.mkdir()
    with pytest.raises(error), atomic_folder(target) as partial:  # noqa: PT012
        (partial / "x").write_text("1")
        raise error
    assert names(tmp_path) == (["new"] if there_before else [])


@pytest.mark.parametrize("can_go_on", [True, False])
def test_atomic_folder_keeps_what_a_terminated_block_can_go_on_with(tmp_path, can_go_on):
    target = tmp_path / "new"
    with pytest.raises(TerminatedError) as stop, atomic_folder(target, lambda _: can_go_on) as partial:  # noqa: PT012
        (partial / "x").write_text("1")
        raise TerminatedError(15)
    assert names(tmp_path) == ([".new.partial-folder", "x"] if can_go_on else [])
    kept = f"what is done is kept in {tmp_path}/.new.partial-folder; the same command goes on"
    assert getattr(stop.value, "__notes__", []) == ([kept] if can_go_on else [])
    with atomic_folder(target, lambda _: can_go_on) as partial:
        assert (partial / "x").is_file() == can_go_on
    assert names(tmp_path) == (["new", "x"] if can_go_on else ["new"])


def test_atomic_folder_fills_an_empty_folder(tmp_path):
    target = tmp_path / "new"
    target.mkdir()
    with atomic_folder(target) as partial:
        (partial / "x").write_text("1")
    assert names(tmp_path) == ["new", "x"]


@pytest.mark.parametrize("held", ["x", ".hidden"])
def test_atomic_folder_refuses_an_occupied_folder(tmp_path, held):
    (tmp_path / held).write_text("mine")
    with pytest.raises(LfbtError, match="holds other results already; name a new or empty folder"):
        check_unoccupied(tmp_path)
    with pytest.raises(LfbtError, match="holds other results already"), atomic_folder(tmp_path):
        pytest.fail("the block was entered")
    assert (tmp_path / held).read_text() == "mine"
    assert names(tmp_path) == [held]


def test_atomic_folder_leaves_a_folder_that_was_filled_meanwhile(tmp_path):
    target = tmp_path / "new"
    with pytest.raises(OSError, match="not empty"), atomic_folder(target) as partial:  # noqa: PT012
        (partial / "x").write_text("mine")
        target.mkdir()
        (target / "y").write_text("another's")
    assert names(tmp_path) == ["new", "y"]


def test_atomic_folder_refuses_a_file(tmp_path):
    (tmp_path / "x").write_text("mine")
    with pytest.raises(LfbtError, match="is a file, not a folder"), atomic_folder(tmp_path / "x"):
        pytest.fail("the block was entered")
    assert (tmp_path / "x").read_text() == "mine"


def test_atomic_folder_removes_what_a_killed_process_left(tmp_path):
    left = tmp_path / ".new.partial-folder"
    (left / "sub").mkdir(parents=True)
    (left / "sub" / "x").write_text("old")
    (left / "y").write_text("old")
    with atomic_folder(tmp_path / "new") as partial:
        assert names(partial) == []
        (partial / "z").write_text("new")
    assert names(tmp_path) == ["new", "z"]


def test_atomic_folder_goes_on_with_what_was_left_where_it_can(tmp_path):
    left = tmp_path / ".new.partial-folder"
    left.mkdir()
    (left / "y").write_text("old")
    with atomic_folder(tmp_path / "new", can_go_on=lambda folder: (folder / "y").read_text() == "old"):
        pass
    assert names(tmp_path / "new") == ["y"]


def test_atomic_folder_is_held_by_one_process(tmp_path):
    with (
        atomic_folder(tmp_path / "new") as partial,
        pytest.raises(LfbtError, match="another process is writing it now"),
        atomic_folder(tmp_path / "new"),
    ):
        pytest.fail("the block was entered")
    assert names(tmp_path) == ["new"]
    assert partial.name == ".new.partial-folder"


def test_check_unoccupied_accepts_absent_and_empty_folders(tmp_path):
    check_unoccupied(tmp_path / "absent")
    check_unoccupied(tmp_path)
    assert names(tmp_path) == []


def test_atomic_file_replaces_a_file_when_the_new_one_is_complete(tmp_path):
    path = tmp_path / "x"
    path.write_text("old")
    with pytest.raises(Stop), atomic_file(path) as partial:  # noqa: PT012
        partial.write_text("ne")
        assert path.read_text() == "old"
        raise Stop
    assert path.read_text() == "old"
    assert names(tmp_path) == ["x"]
    with atomic_file(path) as partial:
        partial.write_text("new")
    assert path.read_text() == "new"
    assert names(tmp_path) == ["x"]


def test_atomic_file_names_the_file_that_cannot_be_written(tmp_path):
    path = tmp_path / "absent" / "x"
    with pytest.raises(LfbtError, match=rf"^{path}: cannot be written \(No such file or directory\)"):  # noqa: SIM117
        with atomic_file(path) as partial:
            partial.write_text("new")


def test_partial_matches_names_of_incomplete_files_only(tmp_path):
    with atomic_file(tmp_path / "x.json") as partial, atomic_folder(tmp_path / "y") as folder:
        partial.write_text("new")
        assert set(tmp_path.glob(PARTIAL)) == {partial, folder, tmp_path / ".y.partial-lock"}
    assert list(tmp_path.glob(PARTIAL)) == []


def test_read_json_returns_what_was_written_as_utf8(tmp_path):
    content = {"b": [1, 2.5, None, True], "a": {"µV": "Größe"}}
    write_json(tmp_path / "x.json", content)
    assert read_json(tmp_path / "x.json") == content
    text = (tmp_path / "x.json").read_bytes().decode()
    assert "Größe" in text
    assert text.endswith("}\n")
    assert json.loads(text) == content


def test_write_json_leaves_the_old_file_when_it_fails(tmp_path):
    path = tmp_path / "x.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {("no", "key"): 1})  # type: ignore[dict-item]
    assert read_json(path) == {"a": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.json"]


def test_write_json_writes_paths_as_text(tmp_path):
    write_json(tmp_path / "x.json", {"folder": tmp_path})
    assert read_json(tmp_path / "x.json") == {"folder": str(tmp_path)}


@pytest.mark.parametrize(
    ("text", "message"),
    [(b"", "is not JSON"), (b'{"a": ', "cut short"), (b"[1]", "holds list, not a JSON object"), (b"\xff{", "not JSON")],
)
def test_read_json_refuses_files_without_a_json_object(tmp_path, text, message):
    path = tmp_path / "x.json"
    path.write_bytes(text)
    with pytest.raises(LfbtError, match=f"^{path}: .*{message}"):
        read_json(path)


def test_read_json_refuses_an_absent_file(tmp_path):
    with pytest.raises(LfbtError, match=r"x\.json: cannot be read \(No such file"):
        read_json(tmp_path / "x.json")


def test_check_distinct_refuses_one_place_by_two_paths(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "a")
    check_distinct("runs", [tmp_path / "a", tmp_path / "b"])
    for other in (tmp_path / "a", tmp_path / "b" / ".." / "a", tmp_path / "link"):
        with pytest.raises(LfbtError, match=f"^runs: {other} is named twice; name each once$"):
            check_distinct("runs", [tmp_path / "a", other])


OUTPUTS = Outputs("made.json", ("signals.npy", "X_*.npy", "encoder/config.json"))


@pytest.fixture
def made(tmp_path):
    """A folder of lfbt's, in a folder of its own."""
    folder = tmp_path / "place" / "made"
    (folder / "encoder").mkdir(parents=True)
    for name in ("signals.npy", "X_train.npy", "encoder/config.json"):
        (folder / name).write_text("old")
    (folder / "made.json").write_text('{"lfbt_version": "0.1.0"}')
    return folder


def test_atomic_folder_replaces_what_lfbt_wrote_when_the_block_succeeds(made):
    with atomic_folder(made, replaces=OUTPUTS) as partial:
        (partial / "made.json").write_text("new")
        assert (made / "signals.npy").read_text() == "old"
    assert names(made.parent) == ["made", "made.json"]
    assert (made / "made.json").read_text() == "new"


@pytest.mark.parametrize("error", [Stop, KeyboardInterrupt, TerminatedError(15)])
def test_atomic_folder_keeps_what_it_would_replace_when_the_block_fails(made, error):
    before = names(made.parent)
    with pytest.raises(type(error) if isinstance(error, BaseException) else error):  # noqa: PT012, SIM117
        with atomic_folder(made, replaces=OUTPUTS) as partial:
            (partial / "made.json").write_text("new")
            raise error
    assert names(made.parent) == before


def test_atomic_folder_puts_back_what_it_would_replace_when_the_new_cannot_be_moved(made, monkeypatch):
    before, rename = names(made.parent), pathlib.Path.rename

    def failing(path, to):
        if path.name.endswith("partial-folder"):
            raise OSError("no")
        return rename(path, to)

    monkeypatch.setattr(pathlib.Path, "rename", failing)
    with pytest.raises(OSError, match="no"), atomic_folder(made, replaces=OUTPUTS) as partial:
        (partial / "made.json").write_text("new")
    assert names(made.parent) == before


def test_atomic_folder_keeps_what_was_put_into_the_folder_meanwhile(made):
    with pytest.raises(LfbtError, match=r"also holds thesis\.tex"), atomic_folder(made, replaces=OUTPUTS):
        (made / "thesis.tex").write_text("mine")
    assert (made / "thesis.tex").read_text() == "mine"
    assert (made / "signals.npy").read_text() == "old"


@pytest.mark.parametrize(
    "foreign", ["thesis.tex", "encoder/notes.txt", "signals.npy/x", "deep/X_train.npy", ".hidden", "empty/"]
)
def test_check_replaceable_refuses_a_folder_with_anything_else(made, foreign):
    path = made / foreign
    if foreign == "signals.npy/x":
        (made / "signals.npy").unlink()
    if foreign.endswith("/"):
        path.mkdir()
    else:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    with pytest.raises(LfbtError, match=r"^overwrite: .*made also holds .*, which is none of the files"):
        check_replaceable(made, OUTPUTS)


def test_check_replaceable_refuses_a_folder_without_a_manifest_of_lfbt(made, tmp_path):
    check_replaceable(made, OUTPUTS)
    check_replaceable(tmp_path / "absent", OUTPUTS)
    (made / "made.json").write_text('{"leads": ["II"]}')
    with pytest.raises(LfbtError, match=r"^overwrite: .*made has no made\.json of lfbt, so it holds other results"):
        check_replaceable(made, OUTPUTS)
    (made / "made.json").unlink()
    with pytest.raises(LfbtError, match=r"^overwrite: .*made has no made\.json of lfbt"):
        check_replaceable(made, OUTPUTS)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(LfbtError, match="is a file, not a folder"):
        check_replaceable(tmp_path / "file", OUTPUTS)


def test_check_replaceable_refuses_links_and_the_folders_one_is_in(made, tmp_path, monkeypatch):
    (tmp_path / "link").symlink_to(made)
    with pytest.raises(LfbtError, match=r"^overwrite: .*link is a link"):
        check_replaceable(tmp_path / "link", OUTPUTS)
    (made / "X_val.npy").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(LfbtError, match=r"also holds X_val\.npy"):
        check_replaceable(made, OUTPUTS)
    (made / "X_val.npy").unlink()
    with monkeypatch.context() as patch:
        patch.chdir(made / "encoder")
        with pytest.raises(LfbtError, match=r"is, or holds, the home folder or the current one"):
            check_replaceable(made, OUTPUTS)
    monkeypatch.setenv("HOME", str(made))
    with pytest.raises(LfbtError, match=r"is, or holds, the home folder or the current one"):
        check_replaceable(made, OUTPUTS)
    for folder in ("/", ".."):
        with pytest.raises(LfbtError, match=r"^overwrite: "):
            check_replaceable(pathlib.Path(folder), OUTPUTS)


def test_atomic_folder_names_the_folder_that_does_not_fit_on_the_disk(tmp_path):
    def fill(number):
        with atomic_folder(tmp_path / "out"):
            raise OSError(number, "No space left on device", "inside")

    with pytest.raises(LfbtError, match=r"out: cannot be written \(No space left on device\); make room there"):
        fill(errno.ENOSPC)
    with pytest.raises(FileNotFoundError):
        fill(errno.ENOENT)
    assert not list(tmp_path.iterdir())


def test_atomic_file_removes_what_a_killed_process_left_of_this_file_only(tmp_path):
    path = tmp_path / "[x].csv"
    killing = (
        "import os, pathlib, signal, sys\n"
        "from lfbt.utils.files import atomic_file\n"
        "with atomic_file(pathlib.Path(sys.argv[1])) as partial:\n"
        "    partial.write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", killing, str(path)], check=False)
    (left,) = names(tmp_path)
    number = left.removeprefix(".[x].csv.partial-")
    kept = [
        # Held by a process, of other files, and none of a process.
        ".[x].csv.partial-1",
        f".[y].csv.partial-{number}",
        f".x.csv.partial-{number}",
        ".[x].csv.partial-folder",
        ".[x].csv.partial-1a",
    ]
    # Numbers of processes that run, as another container's may be.
    unheld = [f".[x].csv.partial-{number}" for number in (os.getpid(), os.getppid(), 10**30)]
    for name in [*kept, *unheld]:
        (tmp_path / name).write_text("")
    with (tmp_path / kept[0]).open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with atomic_file(path) as partial:
            assert not {left, *unheld} - {partial.name} & set(names(tmp_path))
            partial.write_text("whole")
    assert names(tmp_path) == sorted(["[x].csv", *kept])
    assert path.read_text() == "whole"


def test_atomic_file_has_a_name_of_its_own_for_each_writer(tmp_path):
    path = tmp_path / "x"
    with atomic_file(path) as first, atomic_file(path) as second:
        assert first != second
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"
    assert names(tmp_path) == ["x"]


# As in containers that share a folder, in each of which lfbt is process 1.
_WRITERS = """
import os, sys
from pathlib import Path
from lfbt.errors import LfbtError
from lfbt.utils.files import Outputs, atomic_folder, read_json, write_json
os.getpid = lambda: 1
folder, mine = Path(sys.argv[1]), sys.argv[2]
for number in range(40):
    write_json(folder / "x.json", {"by": mine, "text": mine * 20_000})
    content = read_json(folder / "x.json")
    assert content["text"] == content["by"] * 20_000
    try:
        with atomic_folder(folder / "results", replaces=Outputs("m.json", ("y.json",))) as partial:
            write_json(partial / "y.json", {"by": mine})
            write_json(partial / "m.json", {"lfbt_version": mine})
    except LfbtError as error:
        assert "another process is writing it now" in str(error), error
"""


def test_writers_of_one_place_do_not_disturb_each_other(tmp_path):
    writers = [subprocess.Popen([sys.executable, "-c", _WRITERS, str(tmp_path), name]) for name in "abc"]
    assert [writer.wait(120) for writer in writers] == [0, 0, 0]
    assert names(tmp_path) == ["m.json", "results", "x.json", "y.json"]
    assert (
        read_json(tmp_path / "results" / "m.json")["lfbt_version"] == read_json(tmp_path / "results" / "y.json")["by"]
    )


@pytest.mark.parametrize("is_there", [True, False])
def test_atomic_folder_clears_up_after_a_kill_between_two_renames(made, is_there):
    old = made.with_name(".made.partial-replaced")
    made.rename(old)
    if is_there:
        made.mkdir()
        (made / "made.json").write_text('{"lfbt_version": "new"}')
    with pytest.raises(Stop), atomic_folder(made, replaces=OUTPUTS):
        raise Stop
    assert not old.exists()
    assert ("new" in (made / "made.json").read_text()) == is_there


def test_write_json_writes_names_that_are_not_utf_8(tmp_path):
    write_json(tmp_path / "x.json", {"folder": os.fsdecode(b"a\xff")})
    assert read_json(tmp_path / "x.json") == {"folder": "a?"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1, "b": {"c": 1, "c": 2}}', "is not JSON ('c' is there twice)"),
        ('{"a": "\\ud800"}', "is not JSON ('utf-8' codec can't encode character"),
        ("[" * 100_000, "is not JSON (maximum recursion depth"),
        ('{"a": ' + "9" * 5000 + "}", "is not JSON (Exceeds the limit"),
        ("", "is not JSON ("),
        ("null", "holds NoneType, not a JSON object"),
    ],
)
def test_read_json_refuses_what_is_none_or_can_be_read_in_two_ways(tmp_path, text, message):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(LfbtError, match=re.escape(message)):
        read_json(tmp_path / "a.json")


def test_read_json_reads_pairs_of_surrogates(tmp_path):
    (tmp_path / "a.json").write_text('{"a": "\\ud83d\\ude00"}')
    assert read_json(tmp_path / "a.json") == {"a": "😀"}
