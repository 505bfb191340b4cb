"""What is written: whole or not at all, and never over another's results."""

import json

import pytest

from lfbt.errors import LfbtError
from lfbt.utils.files import atomic_file, atomic_folder, check_unoccupied
from lfbt.utils.json_files import read_json, write_json
from lfbt.utils.progress import progress, progress_bar


class Stop(Exception):  # noqa: N818
    """What ends a block early."""


def names(folder):
    return sorted(path.name for path in folder.rglob("*"))


# --- folders ---


def test_a_new_folder_appears_whole_at_the_end(tmp_path):
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
def test_a_block_that_fails_leaves_nothing(tmp_path, error, there_before):
    target = tmp_path / "new"
    if there_before:
        target.mkdir()
    with pytest.raises(error), atomic_folder(target) as partial:  # noqa: PT012
        (partial / "x").write_text("1")
        raise error
    assert names(tmp_path) == (["new"] if there_before else [])


def test_an_empty_folder_may_be_filled(tmp_path):
    target = tmp_path / "new"
    target.mkdir()
    with atomic_folder(target) as partial:
        (partial / "x").write_text("1")
    assert names(tmp_path) == ["new", "x"]


@pytest.mark.parametrize("held", ["x", ".hidden"])
def test_a_folder_in_use_is_refused_and_left_as_it_is(tmp_path, held):
    (tmp_path / held).write_text("mine")
    with pytest.raises(LfbtError, match="holds other results already; name a new or empty folder"):
        check_unoccupied(tmp_path)
    with pytest.raises(LfbtError, match="holds other results already"), atomic_folder(tmp_path):
        pytest.fail("the block was entered")
    assert (tmp_path / held).read_text() == "mine"
    assert names(tmp_path) == [held]


def test_a_folder_filled_meanwhile_is_left_as_it_is(tmp_path):
    target = tmp_path / "new"
    with pytest.raises(OSError, match="not empty"), atomic_folder(target) as partial:  # noqa: PT012
        (partial / "x").write_text("mine")
        target.mkdir()
        (target / "y").write_text("another's")
    assert names(tmp_path) == ["new", "y"]


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "x").write_text("mine")
    with pytest.raises(LfbtError, match="is a file, not a folder"), atomic_folder(tmp_path / "x"):
        pytest.fail("the block was entered")
    assert (tmp_path / "x").read_text() == "mine"


def test_absent_and_empty_folders_are_free(tmp_path):
    check_unoccupied(tmp_path / "absent")
    check_unoccupied(tmp_path)
    assert names(tmp_path) == []


# --- files ---


def test_a_file_is_replaced_only_when_the_new_one_is_whole(tmp_path):
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


def test_json_comes_back_and_is_utf8(tmp_path):
    content = {"b": [1, 2.5, None, True], "a": {"µV": "Größe"}}
    write_json(tmp_path / "x.json", content)
    assert read_json(tmp_path / "x.json") == content
    text = (tmp_path / "x.json").read_bytes().decode()
    assert "Größe" in text
    assert text.endswith("}\n")
    assert json.loads(text) == content


def test_json_that_cannot_be_written_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {("no", "key"): 1})  # type: ignore[dict-item]
    assert read_json(path) == {"a": 1}
    assert names(tmp_path) == ["x.json"]


def test_paths_are_written_as_text(tmp_path):
    write_json(tmp_path / "x.json", {"folder": tmp_path})
    assert read_json(tmp_path / "x.json") == {"folder": str(tmp_path)}


@pytest.mark.parametrize(
    ("text", "message"),
    [(b"", "is not JSON"), (b'{"a": ', "cut short"), (b"[1]", "holds list, not a JSON object"), (b"\xff{", "not JSON")],
)
def test_files_that_are_no_json_object_are_named(tmp_path, text, message):
    path = tmp_path / "x.json"
    path.write_bytes(text)
    with pytest.raises(LfbtError, match=f"^{path}: .*{message}"):
        read_json(path)


def test_absent_files_are_named(tmp_path):
    with pytest.raises(LfbtError, match=r"x\.json: cannot be read \(No such file"):
        read_json(tmp_path / "x.json")


# --- progress ---


def test_progress_passes_items_on_lazily(capsys):
    left = iter(range(3))
    items = progress(left, 3, "count")
    assert next(items) == 0
    assert next(left) == 1
    assert list(items) == [2]
    assert capsys.readouterr() == ("", "")


def test_without_a_terminal_only_what_is_said_is_printed_on_one_line(capsys):
    line = "a long line [bold]as it is[/bold] " + "x" * 200
    with progress_bar(2, "train") as bar:
        bar.advance()
        bar.say(line)
    assert capsys.readouterr() == ("", line + "\n")
