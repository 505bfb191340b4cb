"""A user's table: columns under other names, ids written in two ways, and rows that are cut."""

import re
from pathlib import Path

import pytest
from tests.published_files import write

from lfbt.errors import LfbtError
from lfbt.sources.label_table import apply_table, likely_columns
from lfbt.sources.listing import Entry


def no_reader(_):
    raise AssertionError


def apply(tmp_path, text, names=("r1", "r2", "r3")):
    entries = [Entry(name, name, tmp_path / f"{name}.hea", no_reader) for name in names]
    return apply_table(entries, write(tmp_path / "t.csv", text), tmp_path)


@pytest.mark.parametrize(
    ("column", "name"),
    [
        *(
            (column, "patient")
            for column in (
                *(
                    "patient_id",
                    "Patient",
                    "PATIENT ID",
                    "subject",
                    "subject_id",
                    "patients",
                    "PatientNr",
                    "patient_nr",
                ),
                *("mrn", "case_id", "Patientennummer", "pat-no", "patient key", "SubjectID", "pid", "paciente"),
            )
        ),
        *((column, "label") for column in ("labels", "Label", "class", "Diagnosis", "dx", "target")),
        *((column, "split") for column in ("Split", "strat_fold", "fold", "set", "partition")),
    ],
)
def test_apply_table_refuses_a_column_that_is_likely_another(tmp_path, column, name):
    with pytest.raises(LfbtError, match=rf"t\.csv: column '{column}' is likely {name}, but not called so; rename it"):
        apply(tmp_path, f"record,{column}\nr1,a\nr2,b\n")


def test_apply_table_says_that_each_record_is_a_patient(tmp_path):
    listing = apply(tmp_path, "record,label,patient_age\nr1,x,5\n")
    assert listing.assumption == (
        "t.csv has no column patient, so each record is a patient; columns of t.csv that are not used: patient_age"
    )


@pytest.mark.parametrize(
    "column", ["filename", "file", "id", "name", "path", "ecg_id", "Record", "record_name", "filename_hr"]
)
def test_apply_table_names_the_likely_column_of_records(tmp_path, column):
    with pytest.raises(LfbtError, match=f"column '{column}' is likely record"):
        apply(tmp_path, f"{column},label\nr1,a\n")


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_apply_table_finds_the_separator(tmp_path, separator):
    text = 'record,label,patient\nr1,"b;c",p\nr2,a,q\n'.replace(",", separator)
    listing = apply(tmp_path, text)
    assert [(entry.labels, entry.patient) for entry in listing.entries] == [(("b", "c"), "p"), (("a",), "q")]


def test_apply_table_takes_names_of_files_where_they_are_unique(tmp_path):
    text = "record,label\na/r1.hea,x\nr2.hea,y\nr3.hea,z\n"
    listing = apply(tmp_path, text, names=("a/r1", "r2", "a/r3", "b/r3"))
    assert {entry.id: entry.labels for entry in listing.entries} == {"a/r1": ("x",), "r2": ("y",)}
    assert ("r3.hea", "file absent") in [(item.id, item.reason) for item in listing.dropped]


def test_likely_columns_leave_other_names_alone():
    names = ["patient", "patient_age", "pathology", "site", "sex", "ecg", "I", "MLII", "recorded_at", "setting"]
    assert likely_columns(names) == {}


def test_apply_table_names_the_columns_that_it_does_not_use(tmp_path):
    listing = apply(tmp_path, "record,age,label,patient,patient_id,site\nr1,5,x,p,17,a\n")
    assert listing.label_rule == "the column label of t.csv, several labels separated by a semicolon"
    assert listing.assumption == "columns of t.csv that are not used: age, patient_id, site"
    assert [(entry.patient, entry.labels) for entry in listing.entries] == [("p", ("x",))]


def test_apply_table_writes_numbers_of_patients_and_records_alike(tmp_path):
    """Programs of tables write 3.0 where a cell of the column is empty."""
    listing = apply(tmp_path, "record,patient\n1.0,7\n2,7.0\n3,\n", names=("1", "2", "3"))
    assert [(entry.id, entry.patient) for entry in listing.entries] == [("1", "7"), ("2", "7"), ("3", "3")]


def test_apply_table_writes_whole_numbers_alike_among_other_ids(tmp_path):
    listing = apply(tmp_path, "record,patient,label\nr1,3.0,1\nr2,x,1.0\nr3,1.5,2\n")
    assert [entry.patient for entry in listing.entries] == ["3", "x", "1.5"]
    assert listing.classes == ("1", "2")


def test_apply_table_takes_the_exact_name_of_a_record_first(tmp_path):
    listing = apply(tmp_path, "record,label\n1.0,B\n2.0,A\n", names=("1", "1.0", "2"))
    assert [(entry.id, entry.labels) for entry in listing.entries] == [("1.0", ("B",)), ("2", ("A",))]


@pytest.mark.parametrize("word", ["NA", "nan", "NaN", "null", "None", "?", "-", "#N/A"])
def test_apply_table_refuses_words_for_a_missing_value(tmp_path, word):
    for column, row in (("patient", f"r1,{word}"), ("label", f"r1,SR;{word}")):
        with pytest.raises(LfbtError, match=f"{column} '{re.escape(word)}' stands for a missing value; leave the cell"):
            apply(tmp_path, f"record,{column}\n{row}\n")


@pytest.mark.parametrize(("one", "other"), [("NORM", "norm"), ("AF ", "A F"), ("01", "1")])
def test_apply_table_refuses_labels_that_differ_in_spelling_only(tmp_path, one, other):
    with pytest.raises(LfbtError, match="differ in spelling only; write one label alike"):
        apply(tmp_path, f"record,label\nr1,{one}\nr2,{other}\n")


def test_apply_table_refuses_a_column_of_labels_that_is_empty(tmp_path):
    with pytest.raises(LfbtError, match="its column label is empty for all records"):
        apply(tmp_path, "record,label\nr1,\nr2,;\n")
    assert apply(tmp_path, "record,patient\nr1,a\nr2,b\n").classes == ()


def test_apply_table_takes_composed_and_decomposed_letters_for_the_same(tmp_path):
    listing = apply(tmp_path, "record,patient\nr1,M\u00fcller\nr2,Mu\u0308ller\n")
    assert {entry.patient for entry in listing.entries} == {"M\u00fcller"}


@pytest.mark.parametrize(("one", "other"), [("P1", "p1"), ("003", "3"), ("p 1", "p1"), ("a-01", "a-1")])
def test_apply_table_refuses_patients_that_differ_in_spelling_only(tmp_path, one, other):
    text = f"record,patient\nr1,{one}\nr2,{other}\n"
    with pytest.raises(LfbtError, match=f"patients '{one}' and '{other}' differ in spelling only"):
        apply(tmp_path, text)


def test_apply_table_refuses_a_label_that_a_comma_cuts(tmp_path):
    with pytest.raises(LfbtError, match=r"line 3 has more than the 2 cells of the header; put a cell with a comma"):
        apply(tmp_path, "record,label\nr1,x\nr2,block, left\n")
    assert apply(tmp_path, 'record,label\nr1,x\nr2,"block, left"\n').classes == ("block, left", "x")


def test_apply_table_refuses_a_column_that_is_there_twice(tmp_path):
    with pytest.raises(LfbtError, match=r"column 'label' is there twice"):
        apply(tmp_path, "record,label,label\nr1,x,y\n")


def test_apply_table_drops_records_and_rows_without_the_other(tmp_path):
    listing = apply(tmp_path, "record\nr1\nr9\n", names=("r1", "r2"))
    assert [(item.id, item.reason) for item in listing.dropped] == [("r9", "file absent"), ("r2", "not in the table")]
    assert Path(listing.dropped[1].file) == Path("r2.hea")


def test_apply_table_says_how_many_records_have_no_patient(tmp_path):
    listing = apply(tmp_path, "record,patient\nr1,p\nr2,\nr3,p\n")
    assert listing.assumption == "1 record without a patient in t.csv counts as one each"


def test_apply_table_says_that_there_are_no_labels(tmp_path):
    listing = apply(tmp_path, "record,patient,AF\nr1,p,1\nr2,q,0\n")
    assert listing.label_rule == "no labels were read, as t.csv has no column label"
    for column in ("Befund", "Rhythmus", "id_patient", "cv_fold"):
        with pytest.raises(LfbtError, match=f"column '{column}' is likely"):
            apply(tmp_path, f"record,{column}\nr1,x\n")


@pytest.mark.parametrize(
    "column", ["codigo_paciente", "Fallnummer", "ptid", "subject", "SubjectID", "PatNr", "pid", "Nr_Patient"]
)
def test_apply_table_refuses_patients_under_names_of_other_languages(tmp_path, column):
    with pytest.raises(LfbtError, match=f"column '{column}' is likely patient"):
        apply(tmp_path, f"record,{column}\nr1,a\nr2,a\n")


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("device_id", ("D1", "D1", "D2", "D3")),
        ("hadm_id", ("1", "1", "2", "3")),
        ("stayNumber", ("7", "8", "9", "9")),
        ("code", ("a", "b", "c", "c")),
        ("quem", ("P1", "P1", "P2", "P3")),
        ("who", ("10000032", "10000032", "10000980", "10001176")),
        ("x", ("001", "002", "001", "003")),
    ],
)
def test_apply_table_refuses_a_column_whose_values_records_share_as_patients(tmp_path, column, values):
    names = ("r1", "r2", "r3", "r4")
    rows = [f"{name},{label},{value}" for name, label, value in zip(names, "xyxy", values, strict=True)]
    text = "\n".join([f"record,label,{column}", *rows]) + "\n"
    with pytest.raises(LfbtError, match=rf"no column patient, but records share values of '{column}', such as '\w+'"):
        apply(tmp_path, text, names)
    # With patients it is one of the columns that are not used.
    patients = zip(text.split(), ("patient", *"pqrs"), strict=True)
    with_patients = "\n".join(f"{line},{patient}" for line, patient in patients)
    assert apply(tmp_path, with_patients, names).assumption == f"columns of t.csv that are not used: {column}"


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("age", ("61", "61", "70", "34")),
        ("year", ("2019", "2019", "2020", "2021")),
        ("date", ("2020-01-05", "2020-01-05", "2020-01-06", "2020-01-07")),
        ("day_of_ecg", ("20200105", "20200105", "20200106", "20200107")),
        ("acquired", ("20200105", "20200105", "20200106", "20200107")),
        ("device", ("MAC5500", "MAC5500", "CS-200", "AT-102")),
        ("physician", ("Dr1", "Dr1", "Dr2", "Dr3")),
        ("recorder_id", ("A", "B", "A", "B")),  # no more values than classes
        ("ecg_name", ("P1", "P2", "P3", "P4")),  # none is shared
    ],
)
def test_apply_table_names_columns_that_are_no_ids_of_patients(tmp_path, column, values):
    names = ("r1", "r2", "r3", "r4")
    rows = [f"{name},{label},{value}" for name, label, value in zip(names, "xyxy", values, strict=True)]
    listing = apply(tmp_path, "\n".join([f"record,label,{column}", *rows]) + "\n", names)
    assert f"columns of t.csv that are not used: {column}" in listing.assumption


@pytest.mark.parametrize(("one", "other"), [("P-1", "P_1"), ("P-1", "P1"), ("1-23", "1/23"), ("p.07", "P 7")])
def test_apply_table_refuses_patients_that_differ_in_other_signs_only(tmp_path, one, other):
    with pytest.raises(LfbtError, match=f"patients '{one}' and '{other}' differ in spelling only"):
        apply(tmp_path, f"record,patient\nr1,{one}\nr2,{other}\n")


def test_apply_table_tells_numbers_apart_by_where_their_parts_end(tmp_path):
    listing = apply(tmp_path, "record,patient\nr1,1-23\nr2,12-3\nr3,123\n")
    assert [entry.patient for entry in listing.entries] == ["1-23", "12-3", "123"]


def test_apply_table_refuses_a_record_without_patient_whose_name_is_a_patient(tmp_path):
    with pytest.raises(LfbtError, match=r"record 3 has no patient, .* 3 is a patient of other records; fill the cell"):
        apply(tmp_path, "record,patient\n1,3\n2,7\n3,\n", names=("1", "2", "3"))


@pytest.mark.parametrize("name", ["a\\r1", "A/R1.HEA", ".\\a\\R1.hea", "R1"])
def test_apply_table_takes_names_in_another_case_or_with_backslashes_and_says_so(tmp_path, name):
    listing = apply(tmp_path, f"record,label\n{name},x\nb/r2,y\n", names=("a/r1", "b/r2"))
    assert [entry.labels for entry in listing.entries] == [("x",), ("y",)]
    said = f"t.csv writes 1 file in another case or with backslashes, such as {name} for "
    assert said in listing.assumption


def test_apply_table_does_not_guess_between_two_files_that_differ_in_case(tmp_path):
    listing = apply(tmp_path, "record,label\nAB,x\nr2,y\n", names=("ab", "Ab", "r2"))
    assert [(entry.id, entry.labels) for entry in listing.entries] == [("r2", ("y",))]
    assert ("AB", "file absent") in [(item.id, item.reason) for item in listing.dropped]


def test_apply_table_reads_a_column_of_0_and_1_a_class(tmp_path):
    listing = apply(tmp_path, "record,patient,NORM,AF,sex\nr1,p,1,0,0\nr2,q,1,1,1\nr3,r,0,0,1\n")
    assert [entry.labels for entry in listing.entries] == [("NORM",), ("AF", "NORM"), ()]
    assert listing.classes == ("AF", "NORM")
    assert listing.label_rule == "the columns NORM, AF of t.csv, a class each, where they are 1"
    assert listing.assumption == "columns of t.csv that are not used: sex"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "cp1252", "utf-16"])
def test_apply_table_reads_what_spreadsheets_write(tmp_path, encoding):
    (tmp_path / "t.csv").write_text("record\tlabel\tort\nr1\tMüde\tKöln\n", encoding=encoding)
    listing = apply_table([Entry("r1", "r1", tmp_path / "r1.hea", no_reader)], tmp_path / "t.csv", tmp_path)
    assert listing.classes == ("Müde",)


def test_apply_table_says_that_ids_have_lost_their_zeros(tmp_path):
    with pytest.raises(LfbtError, match="such as 001; 1 lacks zeros at its start, so write the column record as text"):
        apply(tmp_path, "record,label\n1,a\n2,b\n", ("001", "002"))


def test_apply_table_names_the_column_of_numbers_that_r_writes(tmp_path):
    with pytest.raises(LfbtError, match=r"more than the 2 cells.*if R put row numbers there, name their column"):
        apply(tmp_path, '"record","label"\n"1","r1","a"\n"2","r2","b"\n')


def test_apply_table_refuses_patients_of_merged_cells(tmp_path):
    with pytest.raises(
        LfbtError, match=r"t\.csv: row 2 has no patient, and no .* merged; write the patient, likely P1,"
    ):
        apply(tmp_path, "record,patient\nr1,P1\nr2,\nr3,P2\n")
    # A patient in two cells, or none in the first, is no merged cell.
    names = ("r1", "r2", "r3", "r4")
    assert len(apply(tmp_path, "record,patient\nr1,P1\nr2,\nr3,\nr4,P1\n", names).entries) == 4
    assert len(apply(tmp_path, "record,patient\nr1,\nr2,P1\nr3,P2\n").entries) == 3


@pytest.mark.parametrize("number", ["1.23457E+11", "1,23457e+11", "2E+10"])
def test_apply_table_refuses_patients_that_a_spreadsheet_has_rounded(tmp_path, number):
    with pytest.raises(LfbtError, match="is a number that a spreadsheet has rounded"):
        apply(tmp_path, f'record,patient\nr1,"{number}"\nr2,1\n')


@pytest.mark.parametrize("word", ["#REF!", "#NAME?", "#VALUE!", "#DIV/0!"])
def test_apply_table_refuses_errors_of_spreadsheets(tmp_path, word):
    with pytest.raises(LfbtError, match=r"stands for a missing value; leave the cell empty"):
        apply(tmp_path, f"record,patient,label\nr1,{word},a\nr2,P2,b\n")
    with pytest.raises(LfbtError, match=r"stands for a missing value; leave the cell empty"):
        apply(tmp_path, f"record,patient,label\nr1,P1,a\nr2,P2,{word}\n")


@pytest.mark.parametrize("start", [b"PK\3\4", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"])
def test_apply_table_names_a_workbook(tmp_path, start):
    (tmp_path / "t.xlsx").write_bytes(start + bytes(range(256)))
    with pytest.raises(LfbtError, match=r"t\.xlsx: a workbook; save the sheet as CSV"):
        apply_table([], tmp_path / "t.xlsx", tmp_path)
