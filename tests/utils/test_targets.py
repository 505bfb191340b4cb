"""Whether results can be written to a place: found out before the work."""

import os
import subprocess
from pathlib import Path

import pytest

from lfbt.errors import LfbtError
from lfbt.utils.targets import check_creatable, write_error


def test_check_creatable_leaves_nothing_where_there_is_nothing_to_say(tmp_path):
    (tmp_path / "there").mkdir()
    for name in ("new", "a/b/c", "there", "there/new", "x.csv"):
        check_creatable(tmp_path / name)
        check_creatable(tmp_path / name, in_place=True)
    assert [path.name for path in tmp_path.rglob("*")] == ["there"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (os.fsdecode(b"\xff"), "its name is not UTF-8"),
        ("link", "link: is a link; name what it leads to, or another"),
        ("dangling", "dangling: is a link"),
        ("loop", "loop: is a link"),
        ("file/x", r"file/x: cannot be written \(Not a directory\); name another place"),
        ("x" * 250, r"cannot be written \(File name too long\); name another place"),
        ("new/" + "x" * 250, r"cannot be written \(File name too long\)"),
        ("dangling/x", "dangling/x: cannot be written"),
    ],
)
def test_check_creatable_says_what_is_wrong_with_a_place(tmp_path, name, message):
    (tmp_path / "file").write_text("")
    (tmp_path / "there").mkdir()
    for link, to in (("link", "there"), ("dangling", "absent"), ("loop", "loop")):
        (tmp_path / link).symlink_to(to)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(LfbtError, match=message):
        check_creatable(tmp_path / name)
    assert sorted(tmp_path.rglob("*")) == before


def test_check_creatable_in_place_takes_a_link_to_a_folder(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there")
    check_creatable(tmp_path / "link", in_place=True)
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(LfbtError, match="is a link"):
        check_creatable(tmp_path / "loop", in_place=True)


def test_check_creatable_refuses_a_mount_point_but_in_place():
    with pytest.raises(LfbtError, match=r"is a mount point, .* name a folder in it, such as /dev/shm/results"):
        check_creatable(Path("/dev/shm"))
    check_creatable(Path("/dev/shm"), in_place=True)


def test_check_creatable_refuses_where_the_user_may_not_write(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    tmp_path.chmod(0o500)
    with pytest.raises(LfbtError, match=r"x: cannot be written \(Permission denied\); make room there, or fix"):
        check_creatable(tmp_path / "x")


@pytest.mark.parametrize(("options", "message"), [("ro", "Read-only file system"), ("size=64k", "No space left")])
def test_check_creatable_refuses_read_only_and_full_disks(tmp_path, options, message):
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", tmp_path], check=False, capture_output=True)
    if mount.returncode:
        pytest.skip("only root may mount")
    try:
        with pytest.raises(LfbtError, match=rf"x: cannot be written \({message}"):
            check_creatable(tmp_path / "x")
        assert list(tmp_path.iterdir()) == []
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_check_creatable_takes_what_a_killed_process_has_left_and_bears_another_one(tmp_path, monkeypatch):
    left = tmp_path / ".x.partial-0000000000000000"
    left.write_bytes(b"left")
    check_creatable(tmp_path / "x")
    assert list(tmp_path.iterdir()) == []
    opened = os.fdopen

    def removing(*words):
        left.unlink()
        return opened(*words)

    monkeypatch.setattr(os, "fdopen", removing)
    check_creatable(tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_write_error_names_the_place_and_what_to_do(tmp_path):
    assert str(write_error(Path("a"), OSError(28, "No space left on device"))) == (
        "a: cannot be written (No space left on device); make room there, or fix its permissions"
    )
    assert str(write_error(Path("a"), ValueError("x"))).startswith("a: cannot be written (x)")
