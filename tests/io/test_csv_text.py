"""The text of CSV files in the encodings that people have."""

import pytest

from lfbt.errors import UnreadableError
from lfbt.io.csv_text import end_of_lines, first_lines, read_first_lines, read_text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_read_text_gives_utf_8(tmp_path, encoding, end):
    text = end.join(["I (µV),II (µV)", *["1,2"] * 20000])
    (tmp_path / "a.csv").write_bytes(text.encode(encoding))
    expected = text.replace(end, "\n")
    assert read_text(tmp_path / "a.csv").decode() == expected
    for n in (1, 3, 60):
        assert read_first_lines(tmp_path / "a.csv", n) == expected.split("\n")[:n]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_read_first_lines_reads_long_ones(tmp_path, encoding):
    lines = ["µ" * 50000, "ä" * 40001, "end"]
    (tmp_path / "a.csv").write_bytes("\n".join(lines).encode(encoding))
    assert [read_first_lines(tmp_path / "a.csv", n) for n in (1, 2, 9)] == [lines[:1], lines[:2], lines]


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_read_first_lines_reads_as_many_whatever_ends_them(tmp_path, end):
    lines = [f"{number}" * 2000 for number in range(60)]
    (tmp_path / "a.csv").write_bytes("".join(line + end for line in lines).encode())
    assert read_first_lines(tmp_path / "a.csv", 50) == lines[:50]


def test_first_lines_and_what_follows_end_of_lines_are_two_parts():
    assert first_lines(b"a\nb\nc", 2) == ["a", "b"]
    assert first_lines(b"a\n", 5) == ["a"]
    assert [b"a\nb\nc"[end_of_lines(b"a\nb\nc", n) :] for n in range(4)] == [b"a\nb\nc", b"b\nc", b"c", b""]


@pytest.mark.parametrize("data", [b"\xff\xfe1", b"\x89PNG\0\0\0\0", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"a\x81b"])
def test_read_text_refuses_what_is_no_text(tmp_path, data):
    (tmp_path / "a.csv").write_bytes(data)
    with pytest.raises(UnreadableError, match=r"a\.csv: cannot be read \("):
        read_text(tmp_path / "a.csv")
