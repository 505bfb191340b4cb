"""`history.jsonl`: a line an epoch, without what is None; what is written is read."""

import json

import pytest

from lfbt.errors import LfbtError
from lfbt.runs.history import FittingStep, PretrainingEpoch, append_history, read_history, write_history

EPOCHS = [
    PretrainingEpoch(1, 25.5, 1e-3, 2.0, 50.0, intra=20.0, inter=47.5),
    PretrainingEpoch(
        2, 24.5, 1e-3, 2.0, 50.0, intra=19.0, inter=46.5, val_auroc=0.8, rank=9.5, spread={"II": 0.5, "aVR": 0.25}
    ),
]


def lines_of(folder):
    return [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]


def test_read_history_returns_the_epochs_written(tmp_path):
    write_history(tmp_path, EPOCHS[:1])
    append_history(tmp_path, EPOCHS[1])
    assert read_history(tmp_path, PretrainingEpoch) == EPOCHS
    first, second = lines_of(tmp_path)
    assert list(first) == ["epoch", "loss", "intra", "inter", "learning_rate", "seconds", "records_per_second"]
    assert (second["spread_II"], second["spread_aVR"]) == (0.5, 0.25)


@pytest.mark.parametrize(
    ("step", "line"),
    [
        (FittingStep(1.5, 1.6, epoch=1), '{"epoch": 1, "train_loss": 1.5, "val_loss": 1.6}'),
        (
            FittingStep(1.5, 1.6, epoch=1, learning_rate=0.01, fold=2),
            '{"fold": 2, "learning_rate": 0.01, "epoch": 1, "train_loss": 1.5, "val_loss": 1.6}',
        ),
        (FittingStep(1.5, c=0.001, fold=0), '{"fold": 0, "c": 0.001, "train_loss": 1.5}'),
        (FittingStep(val_loss=0.5, neighbours=5), '{"neighbours": 5, "val_loss": 0.5}'),
    ],
    ids=["epoch", "epoch of a fold", "logistic", "neighbours"],
)
def test_write_history_writes_fitting_steps_as_the_last_version_did(tmp_path, step, line):
    write_history(tmp_path, [step])
    assert (tmp_path / "history.jsonl").read_text() == line + "\n"
    assert read_history(tmp_path, FittingStep) == [step]


def test_read_history_ends_at_a_line_cut_short(tmp_path):
    write_history(tmp_path, EPOCHS)
    path = tmp_path / "history.jsonl"
    path.write_text(path.read_text()[:-20])
    assert read_history(tmp_path, PretrainingEpoch) == EPOCHS[:1]


def test_read_history_is_empty_without_a_file(tmp_path):
    assert read_history(tmp_path, FittingStep) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"epoch": 1}', r"history\.jsonl: .*`loss`; it was edited"),
        ('{"epoch": "one", "loss": 1.0}', r"history\.jsonl: field epoch: .*; it was edited"),
        ("[1, 2]", r"history\.jsonl: line 1 holds '\[1, 2\]', not a JSON object; it was edited"),
    ],
)
def test_read_history_names_file_field_and_remedy(tmp_path, text, message):
    (tmp_path / "history.jsonl").write_text(text + "\n")
    with pytest.raises(LfbtError, match=message):
        read_history(tmp_path, PretrainingEpoch)


def test_read_history_names_a_corrupt_line_before_the_last(tmp_path):
    write_history(tmp_path, EPOCHS)
    path = tmp_path / "history.jsonl"
    path.write_text(path.read_text()[1:])
    with pytest.raises(LfbtError, match=r"history\.jsonl: line 1 is not JSON"):
        read_history(tmp_path, PretrainingEpoch)


def test_read_history_names_a_file_that_is_not_text(tmp_path):
    (tmp_path / "history.jsonl").write_bytes(b"\xff\n")
    with pytest.raises(LfbtError, match=r"history\.jsonl: is not text in UTF-8"):
        read_history(tmp_path, PretrainingEpoch)
