"""A file of answers that grows: what is cut off after a kill, and what is refused and left as it is."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lfbt.errors import LfbtError
from lfbt.inference.answer_log import Version, open_log
from lfbt.inference.answer_table import check_table, is_held

COLUMNS = ["file", "record", "patient", "pieces", "p_A", "notes", "error"]
SUFFIXES = pytest.mark.parametrize("suffix", [".csv", ".jsonl"])


def rows_of(name, n=1, notes=""):
    return [{"file": name, "record": f"{name}/{row}", "pieces": 1, "p_A": 0.25, "notes": notes} for row in range(n)]


def write(out, *files, made_by="m"):
    with open_log(out, COLUMNS, made_by) as (log, _):
        for name, n in files:
            log.append(Version(name, 10, 7), rows_of(name, n))
    return out.read_bytes()


def answered(out, made_by="m"):
    with open_log(out, COLUMNS, made_by) as (log, is_cut):
        return {version.file for version in log.answered}, is_cut


def test_append_writes_rows_with_what_identifies_the_file(tmp_path):
    assert write(tmp_path / "a.csv", ("x", 1)) == (
        b"file,record,patient,pieces,p_A,notes,error,size,mtime_ns,rows,made_by\nx,x/0,,1,0.25,,,10,7,1,m\n"
    )
    write(tmp_path / "a.jsonl", ("x", 1))
    own = {"size": 10, "mtime_ns": 7, "rows": 1, "made_by": "m"}
    assert (
        json.loads((tmp_path / "a.jsonl").read_text()) == {"file": "x", "record": "x/0", "pieces": 1, "p_A": 0.25} | own
    )


@SUFFIXES
def test_open_log_goes_on_with_what_is_there(tmp_path, suffix):
    out = tmp_path / f"a{suffix}"
    first = write(out, ("x", 2), ("y", 1))
    assert answered(out) == ({"x", "y"}, False)
    assert write(out, ("z", 1)).startswith(first)
    assert answered(out) == ({"x", "y", "z"}, False)


@SUFFIXES
def test_open_log_keeps_whole_files_after_a_kill_at_any_byte(tmp_path, suffix):
    """A name with quotes, a comma and a line end has rows of two lines in CSV."""
    out = tmp_path / f"a{suffix}"
    odd = 'x", \n"y'
    ends = [len(write(out))]
    ends += [len(write(out, (name, n))) for name, n in (("x", 2), (odd, 3), ("z", 1))]
    content = out.read_bytes()
    for n_bytes in range(len(content) + 1):
        out.write_bytes(content[:n_bytes])
        whole = sum(end <= n_bytes for end in ends[1:])
        assert answered(out) == ({"x", odd, "z"} if whole == 3 else set(["x", odd][:whole]), n_bytes > ends[whole])
        assert out.read_bytes() == content[: ends[whole]]


@SUFFIXES
@given(data=st.data())
def test_open_log_reads_what_it_wrote(tmp_path_factory, suffix, data):
    text = st.text(st.characters(exclude_categories=["Cs"]))
    files = data.draw(st.dictionaries(text.filter(bool), st.tuples(st.integers(1, 3), text)))
    out = tmp_path_factory.mktemp("log") / f"a{suffix}"
    with open_log(out, COLUMNS, "m") as (log, _):
        for name, (n, notes) in files.items():
            log.append(Version(name, 1, 2), rows_of(name, n, notes))
    assert answered(out) == (set(files), False)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", b"hello"),
        ("a.csv", b"file,record,patient,pieces,p_B,notes,error,size,mtime_ns,rows,made_by\n"),
        ("a.jsonl", b"hello"),
        ("a.jsonl", b'{"record": "x"}\n'),
    ],
)
def test_open_log_refuses_other_files_and_leaves_them(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(LfbtError, match="has other columns than these answers, or was not made by --watch; name"):
        answered(tmp_path / name)
    assert (tmp_path / name).read_bytes() == content


@SUFFIXES
def test_open_log_refuses_answers_of_another_model(tmp_path, suffix):
    out = tmp_path / f"a{suffix}"
    content = write(out, ("x", 1))
    with pytest.raises(LfbtError, match=r"answers of another model, or by other options \(made_by m, now other\)"):
        answered(out, made_by="other")
    assert out.read_bytes() == content


@SUFFIXES
@pytest.mark.parametrize("change", [(b"7", b"8"), (b"x/0", b'"x/0'), (b"10", b"ten"), (b"m", b""), (b"2", b"0")])
def test_open_log_refuses_an_edited_file_and_leaves_it(tmp_path, suffix, change):
    out = tmp_path / f"a{suffix}"
    lines = write(out, ("x", 2), ("y", 1)).splitlines(keepends=True)
    first = 1 if suffix == ".csv" else 0
    lines[first] = lines[first][::-1].replace(change[0][::-1], change[1][::-1], 1)[::-1]
    out.write_bytes(edited := b"".join(lines))
    with pytest.raises(LfbtError, match=r"was edited, near the answer to|answers of another model"):
        answered(out)
    assert out.read_bytes() == edited


def test_open_log_refuses_a_second_process(tmp_path):
    out = tmp_path / "a.csv"
    with open_log(out, COLUMNS, "m"):
        assert is_held(out)
        with pytest.raises(LfbtError, match=r"^out: another process is adding to .*a\.csv now; end it, or name"):
            answered(out)
        with pytest.raises(LfbtError, match=r"^overwrite: another process is adding to .*a\.csv now"):
            check_table(out, overwrite=True)
    assert not is_held(out)


def test_append_refuses_a_file_that_was_moved_away(tmp_path):
    out = tmp_path / "a.csv"
    with open_log(out, COLUMNS, "m") as (log, _):
        out.rename(tmp_path / "b.csv")
        with pytest.raises(LfbtError, match="was removed or replaced meanwhile"):
            log.append(Version("x", 1, 2), rows_of("x"))


def test_open_log_refuses_what_it_cannot_add_to(tmp_path):
    with pytest.raises(LfbtError, match=r"a\.parquet cannot be added to; .* that ends in \.csv or \.jsonl"):
        answered(tmp_path / "a.parquet")
    with pytest.raises(LfbtError, match=r"the folder of .* does not exist"):
        answered(tmp_path / "absent" / "a.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(LfbtError, match=r"folder\.csv: cannot be written"):
        answered(tmp_path / "folder.csv")
