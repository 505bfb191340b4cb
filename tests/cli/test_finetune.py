"""``lfbt finetune``: what it prints and writes, and what it refuses."""

import pytest
from tests.cli.helpers import REFUSED_OPTIONS, classify_words, everything, read_json, refused


def test_finetune_prints_every_epoch_and_the_summary(chain):
    output = read_json(chain / "outputs.json")["finetune"]
    results = read_json(chain / "finetune" / "results.json")
    lines = output.splitlines()
    chosen = f"epoch {results['chosen']['epoch']} kept (validation loss {results['val_loss']:.4f})"
    assert f"{chain / 'finetune'}: finetune, {chosen}" in lines
    assert (results["settings"]["epochs"], results["settings"]["from_scratch"]) == (2, False)
    assert (results["classifier"], results["encoder"]["checkpoint"]) == (None, "pretrain")


def test_finetune_changes_the_encoder(chain):
    weights = [(chain / run / "encoder" / "model.safetensors").read_bytes() for run in ("pretrain", "finetune")]
    assert weights[0] != weights[1]


@pytest.mark.parametrize("name", REFUSED_OPTIONS)
def test_finetune_refuses_and_writes_nothing(place, tmp_path, name):
    options, message = REFUSED_OPTIONS[name]
    assert message in refused(*classify_words("finetune", place, tmp_path / "to"), *options)
    assert everything(tmp_path) == []


def test_finetune_takes_either_a_checkpoint_or_a_random_start(place, tmp_path):
    both = refused(*classify_words("finetune", place, tmp_path / "to"), "--from-scratch")
    neither = refused("finetune", "--data-dir", place / "data", "--run-dir", tmp_path / "to")
    assert both == neither
    assert both.startswith(
        "--checkpoint: give either --checkpoint, or --random-encoder (probe) or --from-scratch (finetune)"
    )
    assert everything(tmp_path) == []
