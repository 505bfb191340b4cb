"""``lfbt reproduce``: its options and one short run; `tests/paper/test_reproduction.py` has the protocol."""

import pytest
from tests.cli.helpers import everything, refused, run

from lfbt.cli.reproduce import parse
from lfbt.models.encoder import EncoderConfig, random_encoder
from lfbt.models.pretrained import save_encoder
from lfbt.recording import PAPER_LEADS

TINY = (
    *("--quick", "--n-samples", 64, "--batch-size", 16, "--probe-epochs", 1, "--finetune-epochs", 1),
    *("--workers", 1, "--device", "cpu"),
)


def test_reproduce_prints_stages_on_stderr_and_tables_on_stdout(place, tmp_path):
    encoder = random_encoder(EncoderConfig(PAPER_LEADS, sampling_rate=6.4, n_samples=64), 0)
    for gamma in (0.8, 0.6):
        save_encoder(tmp_path / f"gamma-{gamma}", encoder, {"method": "LFBT", "gamma": gamma})
    encoders = ("--encoders", tmp_path / "gamma-0.8", tmp_path / "gamma-0.6")
    words = ("reproduce", "--out", tmp_path / "out", "--ptbxl", place / "download", *encoders, *TINY)
    status, output, messages = run(*words)
    assert status == 0, messages
    assert "SYNTHETIC" in output
    assert messages.startswith("[1/")
    assert not output.startswith("[")


def test_parse_of_quick_changes_defaults_and_no_option_given():
    full, quick = parse(["--out", "x"]), parse(["--out", "x", "--quick"])
    assert quick.pretrain_epochs < full.pretrain_epochs
    for words in (["--quick", "--pretrain-epochs", "77"], ["--pretrain-epochs", "77", "--quick"]):
        assert parse(["--out", "x", *words]).pretrain_epochs == 77


@pytest.mark.parametrize(
    ("words", "message"),
    [((), "out"), (("--out", "to", "--ptbxl", "absent", "--ningbo", "absent"), "absent")],
    ids=["no folder", "absent download"],
)
def test_reproduce_refuses_in_one_line(tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    assert message in refused("reproduce", *words)
    assert everything(tmp_path) == []
