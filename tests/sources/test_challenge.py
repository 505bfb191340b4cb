"""The Challenge and Ningbo, on a tiny download in their published form."""

from pathlib import Path

import pytest
from tests.published_files import drops, ids, write, write_wfdb

from lfbt.errors import LfbtError
from lfbt.sources import Arrhythmia, Challenge, CpscExtra, Georgia, Ningbo
from lfbt.sources.challenge import _is_between, dx_codes


@pytest.fixture
def challenge(tmp_path):
    write_wfdb(tmp_path / "cpsc" / "g1", "A0002", dx="#Dx: 59118001,164889003")
    write_wfdb(tmp_path / "cpsc" / "g1", "A0001", dx="# Dx: 426783006 , 59118001 ")
    write_wfdb(tmp_path / "ningbo" / "g1", "JS10647", dx="#Dx:")
    write_wfdb(tmp_path / "ningbo" / "g2", "JS45551", dx="#dx: 164889003,164889003")
    write_wfdb(tmp_path / "chapman", "JS10646")
    return tmp_path


def test_challenge_without_labels_reads_no_header(challenge):
    (challenge / "chapman/JS10646.hea").write_bytes(b"\xff\xff")
    listing = Challenge().listing(challenge)
    assert ids(listing) == ["JS10646", "A0001", "A0002", "JS10647", "JS45551"]
    assert ids(listing) == [entry.patient for entry in listing.entries]
    assert listing.classes == ()
    assert {entry.labels for entry in listing.entries} == {()}


def test_challenge_lists_codes_as_classes(challenge):
    listing = Challenge(labels="codes").listing(challenge)
    assert listing.classes == ("59118001", "164889003", "426783006")
    assert {entry.id: entry.labels for entry in listing.entries} == {
        "JS10646": (),
        "A0001": ("59118001", "426783006"),
        "A0002": ("59118001", "164889003"),
        "JS10647": (),
        "JS45551": ("164889003",),
    }


def test_challenge_maps_codes_to_classes(challenge):
    mapping = write(challenge / "map.csv", "class,code\nSinus,426783006\nAF,164889003\nBlock,59118001\nAF,164890007\n")
    listing = Challenge(labels="mapping", mapping=mapping).listing(challenge)
    assert listing.classes == ("Sinus", "AF", "Block")
    labels = {entry.id: entry.labels for entry in listing.entries}
    assert labels["A0001"] == ("Sinus", "Block")
    assert labels["A0002"] == ("AF", "Block")
    assert "map.csv" in listing.label_rule


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("code,class\n,AF\n", "code '' with class 'AF'"),
        ("code,class\n1,\n", "code '1' with class ''"),
        ("code,class\n1,A;B\n", "name without ;"),
        ("code,class\n1,AF\n1,SR\n", "code 1 has two classes, AF and SR"),
        ("code,class\n", "no rows"),
        ("code,klass\n1,AF\n", "no column class among code, klass"),
        (None, "cannot be read"),
    ],
)
def test_challenge_refuses_bad_mappings(challenge, text, message):
    mapping = challenge / "map.csv"
    if text is not None:
        write(mapping, text)
    with pytest.raises(LfbtError, match=message):
        Challenge(labels="mapping", mapping=mapping).listing(challenge)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": "mapping"}, "mapping: none given, but labels mapping takes the labels from one; give it, too"),
        (
            {"labels": "codes", "mapping": Path("m.csv")},
            r"mapping: m\.csv has no effect with labels codes; give labels mapping, too, or leave it out",
        ),
    ],
    ids=["no mapping", "other labels"],
)
def test_challenge_refuses_labels_and_mapping_that_do_not_fit(challenge, options, message):
    with pytest.raises(LfbtError, match=f"^{message}$"):
        Challenge(**options).listing(challenge)


def test_challenge_makes_duplicate_names_paths(challenge):
    write_wfdb(challenge / "copy", "A0001")
    listing = Challenge().listing(challenge)
    assert ids(listing) == ["JS10646", "copy/A0001", "cpsc/g1/A0001", "A0002", "JS10647", "JS45551"]
    assert [entry.patient for entry in listing.entries].count("A0001") == 2


def test_challenge_drops_headers_that_cannot_be_opened(challenge):
    (challenge / "cpsc/g1/A0003.hea").symlink_to(challenge / "absent.hea")
    listing = Challenge(labels="codes").listing(challenge)
    assert "A0003" not in ids(listing)
    assert [(drop.id, drop.file) for drop in listing.dropped] == [("A0003", "cpsc/g1/A0003.hea")]
    assert listing.dropped[0].reason.startswith("header unreadable")


def test_dx_codes_end_with_their_line(tmp_path):
    header = write(
        tmp_path / "a.hea", "a 1 500 10\r\na.dat 16 1000 16 0 0 0 0 I\r\n#Dx: 3,20\r\n#Rx: 7\r\n#Dx: 100\r\n"
    )
    assert dx_codes(header) == ("3", "20", "100")


@pytest.mark.parametrize(
    ("comment", "codes"),
    [
        ("#Dx: RBBB,I-AVB, 59118001", ("59118001", "I-AVB", "RBBB")),
        ("#Dx: Unknown", ()),
        ("#Dx: NaN, 5", ("5",)),
        ("#Dx:", ()),
        ("#Dxx: 5", ()),
    ],
)
def test_dx_codes_reads_acronyms_and_comments_without_codes(tmp_path, comment, codes):
    assert dx_codes(write(tmp_path / "a.hea", f"a 1 500 10\n{comment}\n#Rx: 7\n")) == codes


def test_challenge_maps_acronyms_too(tmp_path):
    write_wfdb(tmp_path, "A1386", dx="#Dx: RBBB")
    write_wfdb(tmp_path, "A0001", dx="#Dx: 59118001")
    assert Challenge(labels="codes").listing(tmp_path).classes == ("59118001", "RBBB")
    mapping = write(tmp_path / "map.csv", "code,class\n59118001,Block\nRBBB,Block\n")
    listing = Challenge(labels="mapping", mapping=mapping).listing(tmp_path)
    assert [entry.labels for entry in listing.entries] == [("Block",), ("Block",)]


def test_ningbo_takes_its_own_numbers(challenge):
    listing = Ningbo(labels="codes").listing(challenge)
    assert ids(listing) == ["JS10647", "JS45551"]
    assert listing.classes == ("164889003",)
    assert Ningbo.names is not None
    assert sum(_is_between(f"JS{number:05d}", *Ningbo.names) for number in range(100_000)) == 34_905
    assert not _is_between("JS45552", *Ningbo.names)
    assert not _is_between("E10647", *Ningbo.names)
    with pytest.raises(LfbtError, match=r"not any header JS10647\.hea to JS45551\.hea"):
        Ningbo().listing(challenge / "cpsc")


def test_parts_of_the_challenge_take_their_own_records(challenge):
    for name in ("E00001", "E10344", "E10345", "Q0001", "Q3581", "Q3582"):
        write_wfdb(challenge / "more", name, dx="#Dx: 164889003")
    georgia = Georgia(labels="codes").listing(challenge)
    assert (ids(georgia), georgia.classes) == (["E00001", "E10344"], ("164889003",))
    assert ids(CpscExtra().listing(challenge)) == ["Q0001", "Q3581"]
    assert ids(Arrhythmia().listing(challenge)) == ["JS10646", "JS10647", "JS45551"]
    for part, wanted in ((Georgia, "E00001.hea to E10344.hea"), (CpscExtra, "Q0001.hea to Q3581.hea")):
        with pytest.raises(LfbtError, match=f"^source {part.name}: .* but not any header {wanted}"):
            part().listing(challenge / "cpsc")


def test_arrhythmia_drops_the_two_headers_that_are_corrupt_as_published(tmp_path):
    folder = tmp_path / "WFDBRecords" / "01" / "019"
    for name in ("JS01051", "JS01052", "JS23074"):
        write_wfdb(folder, name, dx="#Dx: 426783006")
    header = folder / "JS01052.hea"
    # The line feed after the first line is lost.
    header.write_text(header.read_text().replace("\n", " ", 1))
    listing = Arrhythmia(labels="codes").listing(tmp_path)
    # One that was mended is read.
    assert ids(listing) == ["JS01051", "JS23074"]
    assert drops(listing) == [("JS01052", "WFDBRecords/01/019/JS01052.hea", "header corrupt as published")]


@pytest.mark.parametrize("labels", ["codes", "mapping"])
def test_challenge_refuses_labels_that_no_record_has(tmp_path, labels):
    write_wfdb(tmp_path, "A0001", dx="#Dx: Unknown")
    mapping = write(tmp_path / "map.csv", "code,class\n59118001,Block\n") if labels == "mapping" else None
    with pytest.raises(LfbtError, match=rf"labels: {labels}, but no record of .* has a label; give labels none"):
        Challenge(labels=labels, mapping=mapping).listing(tmp_path)


def test_challenge_takes_a_code_of_a_mapping_with_point_zero_and_names_what_no_record_has(challenge):
    mapping = write(
        challenge / "map.csv", "code,class\n426783006.0,Sinus\n164889003,AF\n164890007,AF\n4.26783E+08,Other\n"
    )
    listing = Challenge(labels="mapping", mapping=mapping).listing(challenge)
    assert {entry.id: entry.labels for entry in listing.entries}["A0001"] == ("Sinus",)
    assert listing.label_rule.endswith("; no record has: 164890007, 4.26783E+08, Other")
    write(mapping, "code,class\n426783006,Sinus\n")
    assert "no record has" not in Challenge(labels="mapping", mapping=mapping).listing(challenge).label_rule
    write(mapping, "code,class\n426783006,Sinus\n426783006.0,AF\n")
    with pytest.raises(LfbtError, match="code 426783006 has two classes"):
        Challenge(labels="mapping", mapping=mapping).listing(challenge)


def test_challenge_cuts_a_long_list_of_codes_that_no_record_has(challenge):
    mapping = challenge.parent / "mapping.csv"
    codes = "".join(f"{code},Other\n" for code in range(100, 400))
    mapping.write_text(f"code,class\n426783006,NORM\n{codes}")
    rule = Challenge(labels="mapping", mapping=mapping).listing(challenge).label_rule
    assert rule.endswith("; no record has: 100, 101, 102, 103, 104, 105, 106, 107, 108, 109 and 291 more")
