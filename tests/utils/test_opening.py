"""Files that a user gives: regular ones only, and none that is too large."""

import os
import socket

import pytest

from lfbt.errors import UnreadableError
from lfbt.utils.opening import check_regular, open_regular, open_text, read_bytes, read_text


def make(kind, path, monkeypatch):
    """Something at `path` that is no regular file; a socket's address is short."""
    if kind == "named pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    else:
        monkeypatch.chdir(path.parent)
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(path.name)


@pytest.mark.parametrize("kind", ["named pipe", "device", "folder", "socket"])
@pytest.mark.parametrize("read", [check_regular, open_regular, open_text, read_bytes, read_text])
def test_what_is_no_regular_file_is_refused_at_once(tmp_path, monkeypatch, kind, read):
    path = tmp_path / "a"
    make(kind, path, monkeypatch)
    with pytest.raises(UnreadableError, match=rf"a: is a {kind}, and not a regular file; give a file"):
        read(path)


def test_open_regular_does_not_wait_for_a_pipe_that_took_the_place_of_a_file(tmp_path, monkeypatch):
    path = tmp_path / "a"
    os.mkfifo(path)
    monkeypatch.setattr("lfbt.utils.opening.check_regular", lambda *_: 0)
    with pytest.raises(UnreadableError, match="is a named pipe"):
        open_regular(path)


def test_a_file_over_the_bound_is_refused_before_it_is_read(tmp_path, monkeypatch):
    path = tmp_path / "a"
    with path.open("wb") as file:
        file.truncate((4 << 30) + 1)  # takes no room
    with pytest.raises(UnreadableError, match="has 4,294,967,297 bytes, over the 4,294,967,296 that are read"):
        read_bytes(path)
    assert check_regular(path, None) == (4 << 30) + 1
    monkeypatch.setenv("LFBT_MAX_FILE_BYTES", str((4 << 30) + 1))
    assert check_regular(path) == (4 << 30) + 1
    monkeypatch.setenv("LFBT_MAX_FILE_BYTES", "9")
    with pytest.raises(UnreadableError, match=r"over the 9 that are read; cut it .* or set .* LFBT_MAX_FILE_BYTES$"):
        check_regular(path)
    with pytest.raises(UnreadableError, match=r"over the 3 that are read; cut it into several files$"):
        check_regular(path, 3)


def test_a_file_is_read_whole_and_by_links_and_names_of_any_bytes(tmp_path):
    path = tmp_path / os.fsdecode(b"\xff.txt")
    path.write_bytes("µ\r\n".encode())
    (tmp_path / "link").symlink_to(path)
    for one in (path, tmp_path / "link"):
        assert check_regular(one) == len("µ\r\n".encode())
        assert read_bytes(one) == "µ\r\n".encode()
        assert read_text(one) == "µ\n"
        with open_text(one, newline="") as file:
            assert file.read() == "µ\r\n"
        with open_regular(one) as file:
            assert file.readline() == "µ\r\n".encode()


def test_absent_files_and_loops_of_links_are_errors_of_the_system(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    for name in ("absent", "loop"):
        with pytest.raises(OSError, match=name):
            read_bytes(tmp_path / name)
