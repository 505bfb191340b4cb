"""What several commands refuse alike: data and folders that they cannot use."""

import numpy as np
import pytest
from tests.helpers_cli import classify_words, embed_words, everything, other_data, pretrain_words, refused

#: Options of probe and finetune, and words of the message.
CLASSIFY = {
    "unknown lead": (("--leads", "II,V9"), "lead V9: the encoder has none of that name"),
    "batch of 1": (("--batch-size", 1), "batch-size: 1 is outside"),
    "number of classes": (("--num-classes", 3), "num-classes: 3 contradicts the 5 classes of"),
    "no fraction": (("--fraction", 0), "fraction: 0.0 is outside (0, 1]"),
    "whole and more": (("--fraction", 1.5), "fraction: 1.5 is outside"),
    "no epoch": (("--epochs", 0), "epochs: 0 is outside"),
    "seed": (("--seeds", -1), "seeds: -1 is outside"),
    "absent data": (("--data-dir", "absent"), "data-dir: absent is not a folder"),
    "absent checkpoint": (("--checkpoint", "absent"), "checkpoint: absent is not an encoder"),
}


@pytest.mark.parametrize("command", ["probe", "finetune"])
@pytest.mark.parametrize("name", CLASSIFY)
def test_probe_and_finetune_refuse_and_write_nothing(place, tmp_path, command, name):
    options, message = CLASSIFY[name]
    assert message in refused(*classify_words(command, place, tmp_path / "to"), *options)
    assert everything(tmp_path) == []


@pytest.mark.parametrize(("command", "start"), [("probe", "--random-encoder"), ("finetune", "--from-scratch")])
def test_probe_and_finetune_take_either_a_checkpoint_or_a_random_start(place, tmp_path, command, start):
    both = refused(*classify_words(command, place, tmp_path / "to"), start)
    neither = refused(command, "--data-dir", place / "data", "--run-dir", tmp_path / "to")
    assert both == neither
    assert both.startswith(
        "checkpoint: give either --checkpoint, or --random-encoder (probe) or --from-scratch (finetune)"
    )
    assert everything(tmp_path) == []


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"samples": 256}, "25.6 Hz against the encoder's 12.8 Hz; 256 samples against the encoder's 128"),
        ({"leads": 12}, "against the encoder's II,III,V1,V2,V3,V4,V5,V6"),
        ({"leads": 3}, "leads lead1,lead2,lead3"),
    ],
    ids=str,
)
def test_commands_refuse_data_that_does_not_fit_the_encoder_with_both_sides(place, tmp_path, shape, message):
    data = other_data(tmp_path / "data", **shape)
    before = everything(tmp_path)
    for words in (
        embed_words(place, tmp_path / "to"),
        classify_words("probe", place, tmp_path / "to"),
        classify_words("finetune", place, tmp_path / "to"),
    ):
        said = refused(*words, "--data-dir", data)
        assert said.startswith(f"{data}: the data set does not fit the encoder: ")
        assert message in said
        assert "--allow-mismatch" in said
    assert everything(tmp_path) == before


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_commands_refuse_records_that_are_not_finite_by_name(place, tmp_path, bad):
    data = other_data(tmp_path / "data", bad=bad)
    before = everything(tmp_path)
    for words in (
        pretrain_words(place, tmp_path / "to"),
        embed_words(place, tmp_path / "to"),
        classify_words("probe", place, tmp_path / "to"),
        classify_words("finetune", place, tmp_path / "to"),
    ):
        batch = () if words[0] == "embed" else ("--batch-size", 4)
        said = refused(*words, *batch, "--data-dir", data)
        assert f"{data}: record " in said
        assert "holds NaN or infinity" in said
        assert everything(tmp_path) == before


@pytest.mark.parametrize("words", [pretrain_words, embed_words])
def test_commands_refuse_an_empty_data_folder(place, tmp_path, words):
    (tmp_path / "data").mkdir()
    said = refused(*words(place, tmp_path / "to"), "--data-dir", tmp_path / "data")
    assert said.startswith(f"data-dir: {tmp_path / 'data'} holds no data set; give a packed data set")
    assert everything(tmp_path) == ["data"]


@pytest.mark.parametrize("command", ["pretrain", "probe", "finetune", "embed"])
def test_commands_leave_an_occupied_run_folder_as_it_is(place, tmp_path, command):
    (tmp_path / "mine").write_text("mine")
    words = {"pretrain": pretrain_words(place, tmp_path), "embed": embed_words(place, tmp_path)}
    given = words.get(command) or classify_words(command, place, tmp_path)
    batch = ("--batch-size", 16) if command == "pretrain" else ()
    assert "holds other results already" in refused(*given, *batch)
    assert everything(tmp_path) == ["mine"]


@pytest.mark.parametrize("command", ["pretrain", "probe", "embed"])
def test_commands_refuse_a_folder_that_cannot_be_written_to(place, tmp_path, command):
    (tmp_path / "file").write_text("mine")
    target = tmp_path / "file" / "to"
    words = {"pretrain": pretrain_words(place, target), "embed": embed_words(place, target)}
    given = words.get(command) or classify_words(command, place, target)
    batch = ("--batch-size", 16) if command == "pretrain" else ()
    assert str(tmp_path / "file") in refused(*given, *batch)
    assert everything(tmp_path) == ["file"]
