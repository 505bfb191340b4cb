"""Results that are there already."""

import json
from pathlib import Path

import pytest

from lfbt.errors import FinishedError, LfbtError
from lfbt.utils.files import Outputs
from lfbt.utils.finished import check_same_file, check_target, differences

OUTPUTS = Outputs("made.json", ("a.csv",))
MADE = {"lfbt_version": "0.1.0", "settings": {"n_samples": 64, "leads": ["II"]}, "data": {"hash": "a"}, "records": 3}
SAME = {"settings": {"n_samples": 64, "leads": ("II",)}, "data": {"hash": "a"}}


@pytest.fixture
def made(tmp_path):
    folder = tmp_path / "made"
    folder.mkdir()
    (folder / "made.json").write_text(json.dumps(MADE))
    return folder


def never():
    pytest.fail("nothing is there to compare with")


def test_check_target_tells_the_same_results_from_others(made):
    with pytest.raises(FinishedError, match=f"^{made}: finished before, with the same settings and data; ") as caught:
        check_target(made, OUTPUTS, False, lambda: SAME)
    assert caught.value.place == made
    other = SAME | {"data": {"hash": "b"}}
    with pytest.raises(
        LfbtError,
        match=rf"^{made}: holds other results already \(the data changed\); name a new or empty folder, or "
        "replace them with --overwrite$",
    ) as refused:
        check_target(made, OUTPUTS, False, lambda: other)
    assert not isinstance(refused.value, FinishedError)
    check_target(made, OUTPUTS, True, never)


def test_check_target_finds_nothing_finished_where_a_file_is_lost(made):
    outputs = Outputs("made.json", ("a.csv", "b.csv"), needed=("a.csv", "b.csv"))
    (made / "b.csv").write_text("")
    with pytest.raises(
        LfbtError, match=rf"^{made}: has made\.json, but no a\.csv any more; replace .* --overwrite"
    ) as lost:
        check_target(made, outputs, False, never)
    assert not isinstance(lost.value, FinishedError)
    (made / "a.csv").write_text("")
    with pytest.raises(FinishedError):
        check_target(made, outputs, False, lambda: SAME)


def test_check_target_says_what_is_damaged_where_all_is_the_same(made):
    def verify():
        raise LfbtError("a.csv: is cut")

    with pytest.raises(LfbtError, match=r"^a\.csv: is cut; or make the results anew with --overwrite$") as damaged:
        check_target(made, OUTPUTS, False, lambda: SAME, verify)
    assert not isinstance(damaged.value, FinishedError)
    with pytest.raises(LfbtError, match="holds other results already"):
        check_target(made, OUTPUTS, False, lambda: SAME | {"data": {"hash": "b"}}, verify)


def test_check_target_compares_with_the_manifest_of_the_command_only(tmp_path):
    (tmp_path / "a.csv").write_text("")
    with pytest.raises(LfbtError, match=r"holds other results already; name a new or empty folder$"):
        check_target(tmp_path, OUTPUTS, False, never)


def test_check_target_puts_back_what_a_killed_process_was_replacing(made):
    made.rename(made.with_name(".made.partial-replaced"))
    with pytest.raises(FinishedError):
        check_target(made, OUTPUTS, False, lambda: SAME)
    assert (made / "made.json").is_file()


@pytest.mark.parametrize("overwrite", [False, True])
def test_check_target_refuses_before_any_work_what_cannot_be_written(tmp_path, overwrite):
    with pytest.raises(LfbtError, match="cannot be written"):
        check_target(Path("/proc/absent"), OUTPUTS, overwrite, never)
    (tmp_path / "empty").mkdir()
    check_target(tmp_path / "empty", OUTPUTS, overwrite, never)
    check_target(tmp_path / "new" / "deep", OUTPUTS, overwrite, never)
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (SAME, []),
        ({"weights_hash": None}, []),
        ({"settings": {"n_samples": 128}}, ["n_samples is 128 but was 64"]),
        ({"settings": {"table": "x" * 61}}, ["table is not stated there"]),
        ({"settings": {"leads": ["x" * 61]}}, ["leads is another"]),
        ({"settings": {"dtype": "float16"}}, ["dtype is not stated there"]),
        ({"data": {"hash": "x" * 61}, "records": 3}, ["the data changed"]),
        ({"data": None, "records": 4}, ["data is None but was {'hash': 'a'}", "records is 4 but was 3"]),
    ],
)
def test_differences_name_what_is_not_the_same(now, said):
    assert list(differences(now, MADE)) == said


def test_check_same_file_compares_all_bytes(tmp_path):
    out = tmp_path / "a.svg"
    check_same_file(out, b"a", "--overwrite")
    out.write_bytes(b"a")
    with pytest.raises(FinishedError):
        check_same_file(out, b"a", "--overwrite")
    with pytest.raises(LfbtError, match=f"^out: {out} exists, and holds something else; give another name, or --overw"):
        check_same_file(out, b"b", "--overwrite")
