"""Checking data sets of synthetic ECG: sound ones, several layouts."""

import numpy as np
import pytest
from tests.audit.helpers import (
    SPLIT,
    generate_ecg,
    list_excluded,
    prepare_differently,
    run_check,
    run_command,
    tally,
    write,
)

from lfbt.errors import LfbtError
from lfbt.recording import PAPER_LEADS


def test_check_finds_nothing_in_sound_data_sets(tmp_path, capsys):
    one = write(tmp_path / "one")
    other = write(tmp_path / "other", generate_ecg(seed=1), leads=PAPER_LEADS)
    report = run_check(one, other)
    assert tally(report) == {"limb leads not checked": 1}
    assert (report.copies, report.exclude, report.n_errors) == ((), (), 0)
    assert run_command(one, other) == 0
    out = capsys.readouterr().out
    assert "one: 20 records of 20 patients (train 10, val 4, test 6)" in out
    assert "0 errors, 0 warnings" in out


def test_check_reads_npy_folders(tmp_path):
    signals = prepare_differently(generate_ecg())
    for row, split in enumerate(SPLIT):
        place = tmp_path / "npy" / split / ("ab"[row % 2])
        place.mkdir(parents=True, exist_ok=True)
        np.save(place / f"sample_{row}.npy", signals[row].astype(np.float32))
    pretraining = write(tmp_path / "all", split=["train"] * 20)
    report = run_check(pretraining, tmp_path / "npy")
    tested = sorted(f"r{19 - row}" for row, split in enumerate(SPLIT) if split == "test")
    assert sorted(name for of, name in list_excluded(report) if of == "all") == tested
    assert tally(report, "error") == {"test record of one data set in another's training data": 6}
    assert tally(report, "warning") == {
        "record in two data sets, in other splits": 4,
        "record in two data sets": 10,
    }


def test_check_refuses_an_unknown_split(tmp_path):
    data = write(tmp_path / "data", split=["train"] * 19 + ["exam"])
    with pytest.raises(LfbtError, match="has a split that is not one of"):
        run_check(data)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "data: none given; name at least one data set"),
        (["absent"], "absent is not a folder: it does not exist; give a packed data set"),
        (["DATA", "DATA"], "is named twice; name each once"),
        (["DATA", "--out", "DATA"], "holds other results already"),
        (["DATA", "--split-seed", "-1"], "split-seed: -1 is outside [0, 4294967295]"),
    ],
    ids=str,
)
def test_check_command_ends_with_status_2_on_wrong_use(tmp_path, capsys, words, message):
    data = write(tmp_path / "data")
    assert run_command(*[str(data) if word == "DATA" else word for word in words]) == 2
    captured = capsys.readouterr()
    assert message in captured.err + captured.out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]


def test_check_names_data_sets_of_one_name_by_their_paths(tmp_path):
    one, two = write(tmp_path / "a" / "data"), write(tmp_path / "b" / "data", generate_ecg(seed=1))
    assert run_check(one, two).names == (one.as_posix(), two.as_posix())
