"""Names of uploaded files, and which of several is read."""

import io
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lfbt.errors import LfbtError
from lfbt.serving.uploads import Upload, safe_name, save_uploads


def upload(name, content=b"x"):
    return Upload(name, io.BytesIO(content))


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        ".hidden.csv",
        "../ecg.csv",
        "/etc/passwd",
        "a/b.csv",
        "a\\b.csv",
        "C:\\ecg.csv",
        "a\0.csv",
        "a\n.csv",
        "a\u202e.csv",
        "a" * 98 + ".csv",
        "é" * 60,
    ],
)
def test_safe_name_refuses(name):
    with pytest.raises(LfbtError, match="is no plain file name") as caught:
        safe_name(name)
    assert str(caught.value).isprintable()


@given(st.text(max_size=120))
def test_safe_name_is_a_name_in_its_folder_or_refused(name):
    try:
        stored = safe_name(name)
    except LfbtError:
        return
    assert (Path("folder") / stored).parent == Path("folder")
    assert not stored.startswith(".")
    assert not set(stored) & set("/\\\0 ")
    assert Path(stored).suffix == Path(name).suffix or set(Path(name).suffix) - set(string.ascii_letters + ".")


def test_save_uploads_returns_the_only_file_or_the_header(tmp_path):
    (tmp_path / "one").mkdir()
    path, name = save_uploads(tmp_path / "one", [upload("My ECG.csv", b"I\n1\n")])
    assert (path, name) == (tmp_path / "one" / "My_ECG.csv", "My ECG.csv")
    assert path.read_bytes() == b"I\n1\n"
    (tmp_path / "two").mkdir()
    path, name = save_uploads(tmp_path / "two", [upload("a.dat"), upload("A.HEA", b"a 1\na.dat 16\n")])
    assert (path, name) == (tmp_path / "two" / "A.HEA", "A.HEA")
    assert (tmp_path / "two" / "a.dat").read_bytes() == b"x"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([("a.csv", b""), ("A.csv", b"")], "files: two have the same name"),
        ([("a b.csv", b""), ("a_b.csv", b"")], "files: two have the same name"),
        ([("a.csv", b""), ("b.csv", b"")], "files: 2 files with 0 WFDB headers"),
        ([("a.hea", b""), ("b.hea", b"")], "files: 2 files with 2 WFDB headers"),
        ([("a.hea", b"a 1\na.dat 16\n"), ("b.dat", b"")], "files: b.dat is not named by the header a.hea"),
    ],
)
def test_save_uploads_refuses_what_is_not_one_recording(tmp_path, files, message):
    with pytest.raises(LfbtError) as caught:
        save_uploads(tmp_path, [upload(*file) for file in files])
    assert str(caught.value).startswith(message)
