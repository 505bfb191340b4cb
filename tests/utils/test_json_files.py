"""JSON files: read and written as objects."""

import json

import pytest

from lfbt.errors import LfbtError
from lfbt.utils.json_files import read_json, write_json


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
