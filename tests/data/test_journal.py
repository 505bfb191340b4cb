"""The journal of a preparation: what it keeps, and for which preparation."""

import dataclasses
import functools
import os
from pathlib import Path

import numpy as np
import pytest

from lfbt.data.journal import JOURNAL, Journal, hash_recordings, preparation_key, read_journal
from lfbt.data.records import Piece, Prepared
from lfbt.io import read_npy
from lfbt.sources.listing import Dropped, Entry


def entry(name, file):
    return Entry(name, name, file, lambda _: pytest.fail("nothing is read"))


@pytest.fixture
def entries(tmp_path):
    for name in "abc":
        (tmp_path / name).write_text(name)
    return [entry(name, tmp_path / name) for name in "abc"]


def prepared(entry, n=1):
    pieces = [Piece(number, np.ones((2, 3), np.float32), f"hash {number}") for number in range(n)]
    return Prepared(
        entry, n + 1, pieces, [Dropped(entry.id, str(entry.file), "short: 1 s")], [1.5] * n, ("a note",) * n
    )


def written(folder, entries, key="k"):
    journal = Journal(folder, key, entries)
    for number, one in enumerate(entries[:2]):
        journal.append(prepared(one, number + 1))
    journal.close()


def test_journal_returns_what_was_appended_without_signals(tmp_path, entries):
    written(tmp_path, entries)
    journal = Journal(tmp_path, "k", entries)
    journal.close()
    assert journal.n_records == 3
    for done, number in zip(journal.done, (1, 2), strict=True):
        expected = prepared(entries[number - 1], number)
        assert (done.entry, done.n_pieces, done.dropped, done.spans, done.notes) == (
            expected.entry, expected.n_pieces, expected.dropped, expected.spans, expected.notes,
        )  # fmt: skip
        assert [(piece.number, piece.hash) for piece in done.pieces] == [(n, f"hash {n}") for n in range(number)]


@pytest.mark.parametrize("cut", [1, 5, 40])
def test_journal_leaves_out_a_line_that_is_cut_and_writes_it_again(tmp_path, entries, cut):
    written(tmp_path, entries)
    whole = (tmp_path / JOURNAL).read_bytes()
    (tmp_path / JOURNAL).write_bytes(whole[:-cut])
    journal = Journal(tmp_path, "k", entries)
    assert len(journal.done) == 1
    journal.append(prepared(entries[1], 2))
    journal.close()
    assert (tmp_path / JOURNAL).read_bytes() == whole


@pytest.mark.parametrize("damage", [b"garbage\n", b"\0" * 50 + b"\n", b'{"key"\n'])
def test_journal_ends_before_a_line_that_is_damaged(tmp_path, entries, damage):
    written(tmp_path, entries)
    lines = (tmp_path / JOURNAL).read_bytes().splitlines(keepends=True)
    (tmp_path / JOURNAL).write_bytes(lines[0] + lines[1] + damage + lines[2])
    journal = Journal(tmp_path, "k", entries)
    journal.close()
    assert len(journal.done) == 1
    assert (tmp_path / JOURNAL).read_bytes() == lines[0] + lines[1]


def test_journal_of_another_preparation_begins_anew(tmp_path, entries):
    written(tmp_path, entries)
    assert read_journal(tmp_path, "other", entries) == ([], 0)
    journal = Journal(tmp_path, "other", entries)
    journal.close()
    assert journal.done == []
    assert read_journal(tmp_path, "k", entries) == ([], 0)


def test_read_journal_of_an_empty_folder_has_nothing(tmp_path, entries):
    assert read_journal(tmp_path, "k", entries) == ([], 0)
    (tmp_path / JOURNAL).write_bytes(b'{"key": "k')
    assert read_journal(tmp_path, "k", entries) == ([], 0)


def test_preparation_key_follows_settings_recordings_and_version(monkeypatch):
    key = preparation_key({"n_samples": 64}, "a")
    assert key == preparation_key({"n_samples": 64}, "a")
    assert len({key, preparation_key({"n_samples": 65}, "a"), preparation_key({"n_samples": 64}, "b")}) == 3
    monkeypatch.setattr("lfbt.__version__", "99.0.0")
    assert preparation_key({"n_samples": 64}, "a") != key


def test_hash_recordings_follows_entries_and_their_files(tmp_path, entries):
    key = hash_recordings(entries, tmp_path)
    assert key == hash_recordings(list(entries), tmp_path)
    assert key != hash_recordings(entries[:2], tmp_path)
    assert key != hash_recordings(entries[::-1], tmp_path)
    assert key != hash_recordings([dataclasses.replace(entries[0], age="33"), *entries[1:]], tmp_path)
    before = (tmp_path / "a").stat()
    (tmp_path / "a").write_text("b")
    os.utime(tmp_path / "a", ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert hash_recordings(entries, tmp_path) != key
    (tmp_path / "a").unlink()
    assert hash_recordings(entries, tmp_path) != key


def test_hash_recordings_does_not_depend_on_how_the_folder_is_named(tmp_path, entries, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for place in (Path(), Path("..") / tmp_path.name):
        named = [dataclasses.replace(one, file=place / one.id) for one in entries]
        assert hash_recordings(named, place) == hash_recordings(entries, tmp_path)


def test_hash_recordings_follows_the_signal_files_beside_a_header(tmp_path, entries):
    (tmp_path / "a.dat").write_bytes(b"1234")
    key = hash_recordings(entries, tmp_path)
    (tmp_path / ".hidden").write_text("")
    assert hash_recordings(entries, tmp_path) == key
    (tmp_path / "a.dat").write_bytes(b"123456")
    assert hash_recordings(entries, tmp_path) != key


def test_hash_recordings_differs_with_what_a_reader_is_given(tmp_path):
    def entry(rate):
        return Entry(
            "a", "a", tmp_path / "a.npy", functools.partial(read_npy, leads=("II",), sampling_rate=rate, unit="mV")
        )

    assert hash_recordings([entry(500.0)], tmp_path) == hash_recordings([entry(500.0)], tmp_path)
    assert hash_recordings([entry(500.0)], tmp_path) != hash_recordings([entry(250.0)], tmp_path)
