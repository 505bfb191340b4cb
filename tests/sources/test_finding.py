"""Recognising the source whose published form a folder has."""

import csv
import dataclasses
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.published_files import write, write_wfdb

from lfbt.errors import LfbtError
from lfbt.sources import Challenge, Cpsc2018, MimicIvEcg, PtbXl, Sph, Zzu
from lfbt.sources.finding import (
    check_labelled,
    clean_id,
    download_above,
    files_below,
    fitting_source,
    fold_name,
    fold_names,
    iter_table,
    note_spelling,
    parse_flag,
    patient_id,
    read_table,
    recognise_download,
    unique_names,
)
from lfbt.sources.listing import Entry


@pytest.mark.parametrize(
    ("file", "fitting"),
    [
        ("ptbxl_database.csv", "ptbxl"),
        ("REFERENCE.csv", "cpsc2018"),
        ("Diagnostics.xlsx", "chapman"),
        ("x.npy", "folder"),
        ("synthetic.json", "synthetic"),
        ("record_list.csv", "mimic-iv-ecg"),
        ("exams_part17.hdf5", "code15"),
        ("exams_part3.zip", "code15"),
        ("ecg_tracings.hdf5", "code-test"),
        ("exams.hdf5", "sami-trop"),
        ("patient001/s0010_re.hea", "ptb"),
        ("I01.hea", "incart"),
    ],
)
def test_not_found_names_the_source_that_might_fit(tmp_path, file, fitting):
    write(tmp_path / "sub" / file, "")
    with pytest.raises(LfbtError, match=f"the source {fitting} might fit|is a download of {fitting}; prepare it with"):
        Challenge().listing(tmp_path)
    write_wfdb(tmp_path / "wfdb", "A1")
    write(tmp_path / "wfdb" / "A1.mat", "")
    with pytest.raises(LfbtError, match="the source challenge might fit"):
        PtbXl().listing(tmp_path / "wfdb")


def test_fitting_source_needs_all_files_of_a_download(tmp_path):
    for names, source in (
        (("metadata.csv", "code.csv"), "sph"),
        (("AttributesDictionary.csv", "ECGCode.csv"), "zzu"),
        (("ConditionNames_SNOMED-CT.csv",), "arrhythmia"),
        (("echonext_metadata_100k.csv",), "echonext"),
        (("EchoNext_metadata_100k.csv",), "echonext"),
    ):
        files = [tmp_path / name for name in names]
        assert fitting_source(files) == source
        assert fitting_source([*files[:-1], tmp_path / "other.csv"]) == "folder"
    # A challenge record of INCART, and a header beside no patient's folder, are not of these downloads.
    assert fitting_source([tmp_path / "I0001.hea", tmp_path / "patients" / "s0001.hea"]) == "folder"
    assert fitting_source([]) == ""


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=8)


@given(rows=st.lists(st.lists(CELLS, min_size=3, max_size=3), max_size=5))
def test_iter_table_reads_what_was_written_and_as_read_table_does(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("table") / "table.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["a", " b ", "c"], *rows])
    assert list(iter_table(path, ["c", "a"])) == [[row[2].strip(), row[0].strip()] for row in rows]
    assert [[row["c"], row["a"]] for row in read_table(path, ["c", "a"])] == list(iter_table(path, ["c", "a"]))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"table\.csv: no column a, b among none; add it"),
        (b"a,c\n1,2\n", r"table\.csv: no column b among a, c; add it"),
        (b"a,b\n1,2\n3\n", r"table\.csv: line 3 has 1 cells, not the 2 of the header; download it again"),
        (b"a,b\n\xff,2\n", r"table\.csv: cannot be read .*; give a CSV file in UTF-8"),
    ],
)
def test_iter_table_refuses_other_tables_in_one_line(tmp_path, content, message):
    (tmp_path / "table.csv").write_bytes(content)
    with pytest.raises(LfbtError, match=message):
        list(iter_table(tmp_path / "table.csv", ["a", "b"]))


def test_iter_table_leaves_out_empty_lines_and_a_byte_order_mark(tmp_path):
    (tmp_path / "table.csv").write_bytes(b"\xef\xbb\xbfa,b\r\n1,2\r\n\r\n")
    assert list(iter_table(tmp_path / "table.csv", ["b", "a"])) == [["2", "1"]]


def test_unique_names_refuses_two_files_of_one_name(tmp_path):
    files = [tmp_path / "a" / "r1.h5", tmp_path / "a" / "r2.h5"]
    assert unique_names(files, "sph") == {"r1": files[0], "r2": files[1]}
    with pytest.raises(
        LfbtError, match=r"source sph: record r1 is a duplicate, as .*a/r1\.h5 and .*b/r1\.h5; move one"
    ):
        unique_names([*files, tmp_path / "b" / "r1.h5"], "sph")


def test_files_below_follows_links_once_and_without_loops(tmp_path):
    write(tmp_path / "elsewhere" / "b" / "x.csv", "")
    write(tmp_path / "root" / "a" / "y.csv", "")
    root = tmp_path / "root"
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "again").symlink_to(tmp_path / "elsewhere" / "b")
    (root / "A").symlink_to(root / "a")
    (root / "a" / "loop").symlink_to(root)
    (tmp_path / "elsewhere" / "back").symlink_to(tmp_path)
    found = [file.relative_to(root).as_posix() for file in files_below(root)]
    assert found == ["a/y.csv", "again/x.csv"]


def test_files_below_lists_linked_files(tmp_path):
    write(tmp_path / "elsewhere" / "x.csv", "")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "x.csv").symlink_to(tmp_path / "elsewhere" / "x.csv")
    (tmp_path / "root" / "sub").symlink_to(tmp_path / "elsewhere")
    assert files_below(tmp_path / "root") == [tmp_path / "root" / "sub" / "x.csv", tmp_path / "root" / "x.csv"]


def test_check_labelled_refuses_labels_that_no_record_has():
    bare = Entry("a", "a", Path("a"), reader=lambda _: pytest.fail("read"))
    check_labelled([bare, dataclasses.replace(bare, labels=("x",))], "codes", Path("d"))
    check_labelled([bare], "none", Path("d"))
    check_labelled([], "codes", Path("d"))
    with pytest.raises(LfbtError, match=r"^labels: codes, but no record of d has a label; give labels none"):
        check_labelled([bare], "codes", Path("d"))


@pytest.mark.parametrize("value", ["", "2", "yes", "nan", "01", "1.5"])
def test_parse_flag_refuses_what_is_neither_true_nor_false(value):
    with pytest.raises(LfbtError, match=rf"^table t: record 1 has '{value}', which is neither True nor False, 1 nor 0"):
        parse_flag(value, Path("t"), "record 1")


@given(number=st.integers(0, 10**20), zeros=st.integers(0, 3))
def test_clean_id_takes_the_zeros_behind_the_point_of_whole_numbers_only(number, zeros):
    assert clean_id(f"{number}.{'0' * zeros}") == clean_id(str(number)) == str(number)
    assert clean_id(f"{number}.5") == f"{number}.5"
    assert clean_id(f"P{number}.0") == f"P{number}.0"


@pytest.mark.parametrize("value", ["", "NA", "NaN", "?"])
def test_patient_id_refuses_a_missing_value(value):
    with pytest.raises(LfbtError, match=f"table t: record 7 has patient '{re.escape(value)}', which is none"):
        patient_id(value, Path("t"), "7")


@pytest.mark.parametrize("line", ["1,2", "1", ""])
def test_read_table_refuses_a_row_with_fewer_cells_than_the_header(tmp_path, line):
    text = f"a,b,c\n1,2,\n{line}\n"
    if not line:
        assert read_table(write(tmp_path / "t.csv", text), ["a"]) == [{"a": "1", "b": "2", "c": ""}]
        return
    with pytest.raises(LfbtError, match=r"t\.csv: line 3 has fewer than the 3 cells of the header"):
        read_table(write(tmp_path / "t.csv", text), ["a"])


@pytest.mark.parametrize(
    ("source", "inside"),
    [
        (MimicIvEcg(), "files"),
        (MimicIvEcg(), "files/p1000/p10000032/s40689238"),
        (PtbXl(), "records500"),
        (PtbXl(), "records100/00000"),
        (Zzu(), "Child_ecg/P00/P00001"),
        (Sph(), "records"),
    ],
)
def test_not_found_names_the_folder_above_that_is_the_download(tmp_path, source, inside):
    names = {
        "MimicIvEcg": ("mimic-iv-ecg", ["record_list.csv"]),
        "PtbXl": ("ptbxl", ["ptbxl_database.csv", "scp_statements.csv"]),
        "Zzu": ("zzu", ["AttributesDictionary.csv", "ECGCode.csv"]),
        "Sph": ("sph", ["metadata.csv", "code.csv"]),
    }
    name, own = names[type(source).__name__]
    for file in own:
        write(tmp_path / "dl" / file, "")
    write_wfdb(tmp_path / "dl" / inside, "a")
    part = rf"{tmp_path}/dl/{inside} is a part of {tmp_path}/dl, a download of {name}"
    message = rf"^source {name}: .*; {part}; give that folder$"
    with pytest.raises(LfbtError, match=message):
        source.listing(tmp_path / "dl" / inside)
    # Asked of another source, the message names this one.
    with pytest.raises(LfbtError, match=rf"a download of {name}; give that folder, to that source$"):
        Cpsc2018().listing(tmp_path / "dl" / inside)


def test_recognise_download_leaves_records_without_a_table_alone(tmp_path):
    assert recognise_download([tmp_path / "a.hea", tmp_path / "a.mat"]) == ""
    assert recognise_download([tmp_path / "record_list.csv"]) == "mimic-iv-ecg"
    assert download_above(tmp_path / "a" / "b") is None


@given(
    name=st.text(st.characters(codec="utf-8", exclude_characters="\\/"), min_size=1).filter(lambda name: name != ".")
)
def test_fold_name_compares_without_case_and_kind_of_slash(name):
    assert fold_name(f".\\{name}\\A.hea") == fold_name(f"{name}/a.HEA")
    assert fold_names(["x/A", "x\\a", "b"]) == {"b": "b"}


def test_note_spelling_is_empty_for_nothing():
    assert note_spelling([], Path("t.csv")) == ""
    assert note_spelling(["A for a", "B for b"], Path("d/t.csv")) == (
        "t.csv writes 2 files in another case or with backslashes, such as A for a"
    )
