"""The command that kills, fills disks and starts twice: it finds what it should find."""

import pytest
from tests import harm


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("harm")
    harm.set_up(place)
    return place


@pytest.mark.parametrize("name", ["check", "predict"])
def test_commands_end_well_after_kills_full_disks_and_beside_another(place, name):
    found = harm.measure(place, name, kills=1, seed=0)
    assert found[:3] == [name, "1", "1"]
    assert set(found[3:]) <= {"yes", "not tried"}


def test_what_differs_or_is_left_is_found(place, tmp_path, capsys):
    words, target = harm.commands(place, tmp_path / "to")["predict"]
    assert harm.run(words)[0] == 0
    whole = harm.contents(target)
    assert harm.is_same(words, target, whole)
    (tmp_path / ".to.partial-1").touch()
    assert not harm.is_same(words, target, whole)
    (tmp_path / ".to.partial-1").unlink()
    assert not harm.is_same(words, target, whole | {"to.csv": b"other"})
    target.write_text("no table")
    assert not harm.is_same(words, target, whole)
    assert "status 2, lfbt: error: --out: " in capsys.readouterr().err
