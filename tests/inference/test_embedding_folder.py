"""Folders of embeddings against those of plain layers; probabilities where there is a classifier."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from tests.factories import CLASSES, KINDS, LABELS, ROWS, SPLIT, waves, write_checkpoint, write_labelled, write_packed
from tests.literal import literal_embeddings
from tests.outputs import contents

import lfbt
from lfbt.data.layouts import open_dataset
from lfbt.errors import FinishedError, LfbtError
from lfbt.evaluation.probing import run_probe
from lfbt.evaluation.settings import ProbeSettings
from lfbt.inference.embed_settings import EmbedSettings
from lfbt.inference.embedding import embed_dataset
from lfbt.inference.embedding_folder import EmbedSummary, write_embeddings
from lfbt.models.heads import load_head
from lfbt.models.pretrained import load_encoder
from lfbt.utils.files import holding

COLUMNS = [f"p_{name}" for name in CLASSES]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_labelled(tmp_path_factory.mktemp("embed") / "data")


@pytest.fixture(scope="module")
def checkpoint(data):
    return write_checkpoint(data.with_name("checkpoint"))


@pytest.fixture(scope="module")
def probed(data, checkpoint):
    """A run folder with a classifier, which no test may change."""
    folder = data.with_name("probed")
    settings = {"epochs": 3, "batch_size": 8, "learning_rate": (1e-2,), "device": "cpu", "workers": 0}
    run_probe(ProbeSettings.create(data_dir=data, run_dir=folder, checkpoint=checkpoint, standardise=True, **settings))
    return folder


@pytest.fixture
def run(data, checkpoint, tmp_path):
    """Embed with some settings changed; returns the folder."""

    def run_embed(name="out", **changes):
        settings = {"data_dir": (data,), "checkpoint": checkpoint, "out": tmp_path / name}
        write_embeddings(EmbedSettings(**(settings | {"device": "cpu", "workers": 0} | changes)))
        return tmp_path / name

    return run_embed


def embeddings_of(folder):
    return np.load(folder / "embeddings.npy")


def table_of(folder, name):
    return pd.read_csv(folder / name, dtype=str, keep_default_na=False)


def assert_close_to_literal(mine, literal):
    """Single precision keeps five digits of the largest feature."""
    np.testing.assert_allclose(mine, literal, rtol=0, atol=1e-5 * np.abs(literal).max())


def test_embed_equals_plain_layers(run, checkpoint, data):
    embeddings = embeddings_of(run())
    assert embeddings.shape == (48, 128)
    assert embeddings.dtype == np.float32
    assert_close_to_literal(embeddings, literal_embeddings(load_encoder(checkpoint), np.load(data / "signals.npy")))


def test_embed_in_bf16_is_the_encoder_under_autocast_and_says_so(run, data, checkpoint):
    single, folder = embeddings_of(run()), run("bf16", precision="bf16")
    half = embeddings_of(folder)
    assert half.dtype == np.float32
    signals = torch.from_numpy(open_dataset(data).batch(np.arange(48), "record"))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        expected = load_encoder(checkpoint).eval()(signals).flatten(1)
    np.testing.assert_array_equal(half, expected.numpy())
    assert not np.array_equal(half, single)
    assert EmbedSummary.load(folder).precision == "bf16"


def test_embed_writes_three_files(run, data):
    folder = run()
    assert sorted(path.name for path in folder.iterdir()) == ["embed.json", "embeddings.npy", "records.csv"]
    table = table_of(folder, "records.csv")
    assert table["id"].tolist() == [f"r{i}" for i in range(48)]
    assert table["patient"].tolist() == [f"p{i}" for i in range(48)]
    assert table["split"].tolist() == SPLIT
    assert table["labels"].tolist() == LABELS
    content = json.loads((folder / "embed.json").read_text())
    expected = {
        "lfbt_version": lfbt.__version__,
        "synthetic": False,
        "records": 48,
        "leads": ["II", "V1"],
        "n_features": 64,
    }
    assert content | expected == content
    assert content["data"] | {"folders": ["data"], "hash": open_dataset(data).hash} == content["data"]
    assert content["encoder"] == {"checkpoint": "checkpoint", "history": {"method": "test", "epochs_done": 7}}


def test_embed_returns_what_embed_json_has(data, checkpoint, tmp_path):
    summary = write_embeddings(EmbedSettings((data,), tmp_path / "out", checkpoint, device="cpu"))
    assert EmbedSummary.load(tmp_path / "out") == summary
    (tmp_path / "out" / "embed.json").write_text('{"lfbt_version": 1}')
    with pytest.raises(LfbtError, match=r"embed\.json: field lfbt_version: Expected `str`, got `int`"):
        EmbedSummary.load(tmp_path / "out")


def test_embed_takes_more_records_than_a_batch(run, checkpoint, tmp_path):
    """300 records: two full batches and a part of one, in order; workers change nothing."""
    signals = waves([i % 3 for i in range(300)])
    folder = run(data_dir=(write_packed(tmp_path / "many", signals),), workers=3)
    assert_close_to_literal(embeddings_of(folder), literal_embeddings(load_encoder(checkpoint), signals))
    assert len(table_of(folder, "records.csv")) == 300


def test_embed_takes_several_data_sets(run, data, tmp_path):
    more = write_packed(tmp_path / "more", waves([2, 0, 1], seed=4), synthetic=True)
    folder = run("both", data_dir=(data, more))
    expected = np.concatenate([embeddings_of(run("one")), embeddings_of(run("two", data_dir=(more,)))])
    assert_close_to_literal(embeddings_of(folder), expected)
    table = table_of(folder, "records.csv")
    assert table["id"].tolist() == [f"data/r{i}" for i in range(48)] + ["more/r0", "more/r1", "more/r2"]
    assert json.loads((folder / "embed.json").read_text())["synthetic"] is True


def test_embed_chooses_leads_by_name(run, checkpoint, data):
    """One lead, and both in another order; the record is z-scored over the leads that are used."""
    signals = np.load(data / "signals.npy")
    encoder = load_encoder(checkpoint)
    one = embeddings_of(run("one", leads=("V1",)))
    assert_close_to_literal(one, literal_embeddings(encoder.select_leads(("V1",)), signals[:, 1:]))
    swapped = embeddings_of(run("swapped", leads=("V1", "II")))
    both = literal_embeddings(encoder, signals)
    assert_close_to_literal(swapped, np.hstack([both[:, 64:], both[:, :64]]))


def test_embed_chooses_leads_of_a_data_set_with_more(run, checkpoint, tmp_path):
    signals = waves(KINDS, 3)
    more = write_packed(tmp_path / "more", signals, leads=("V1", "I", "II"))
    folder = run(data_dir=(more,), leads=("II", "V1"))
    assert_close_to_literal(embeddings_of(folder), literal_embeddings(load_encoder(checkpoint), signals[:, [2, 0]]))


def test_embed_takes_the_authors_folder_with_allow_mismatch(run, checkpoint, tmp_path):
    (tmp_path / "npy" / "samples").mkdir(parents=True)
    signals = waves([i % 3 for i in range(12)])
    for i, signal in enumerate(signals):
        np.save(tmp_path / "npy" / "samples" / f"sample_{i}.npy", signal)
    with pytest.raises(LfbtError, match=r"leads lead1,lead2 .*against the encoder's II,V1"):
        run(data_dir=(tmp_path / "npy",))
    folder = run(data_dir=(tmp_path / "npy",), allow_mismatch=True)
    assert_close_to_literal(embeddings_of(folder), literal_embeddings(load_encoder(checkpoint), signals))
    assert table_of(folder, "records.csv")["id"].tolist() == [f"samples/sample_{i}" for i in range(12)]


def test_embed_writes_probabilities_of_a_classifier(run, probed, data):
    folder = run(checkpoint=probed)
    table = pd.read_csv(folder / "probabilities.csv")
    assert list(table) == ["id", "patient", *COLUMNS]
    assert table["id"].tolist() == [f"r{i}" for i in range(48)]
    assert table["patient"].tolist() == [f"p{i}" for i in range(48)]
    p = table[COLUMNS].to_numpy()
    # Written as single precision in decimals.
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=0, atol=1e-6)
    predictions = pd.read_csv(probed / "predictions.csv")
    # The same features from a batch of another size.
    np.testing.assert_allclose(p[ROWS["test"]], predictions[COLUMNS], rtol=1e-4)
    head, classes = load_head(probed / "head")
    assert classes == CLASSES
    with torch.no_grad():
        literal = head.double()(
            torch.from_numpy(literal_embeddings(load_encoder(probed), np.load(data / "signals.npy")))
        )
    np.testing.assert_allclose(p, literal.softmax(dim=1).numpy(), rtol=1e-3)


def test_embed_ignores_the_classifier_beside_an_encoder_folder(run, probed):
    """The run's encoder alone may be used with some of its leads; its classifier may not."""
    folder = run(checkpoint=probed / "encoder", leads=("V1",))
    assert embeddings_of(folder).shape == (48, 64)
    assert not (folder / "probabilities.csv").exists()
    with pytest.raises(LfbtError, match=r"leads: the classifier of .* leave --leads out, or name its encoder folder"):
        run("refused", checkpoint=probed, leads=("V1",))
    assert not (folder.with_name("refused")).exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data_dir": ()}, "data_dir: none given"),
        ({"leads": ("V9",)}, "lead V9: the encoder has none of that name"),
        ({"device": "abacus"}, "device: 'abacus' cannot be used"),
        ({"workers": -1}, r"workers: -1 is outside \[0, 1024\]"),
        ({"split_seed": -1}, "split_seed: -1 is outside"),
    ],
)
def test_embed_refuses_wrong_settings(run, tmp_path, changes, message):
    with pytest.raises(LfbtError, match=message):
        run(**changes)
    assert list(tmp_path.iterdir()) == []


def test_embed_refuses_a_broken_checkpoint(run, probed, tmp_path):
    with pytest.raises(LfbtError, match=r"checkpoint: .*absent is not an encoder"):
        run(checkpoint=tmp_path / "absent")
    shutil.copytree(probed, tmp_path / "broken")
    path = tmp_path / "broken" / "head" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(LfbtError, match=r"head/model\.safetensors: is not a complete safetensors file"):
        run(checkpoint=tmp_path / "broken")
    assert [entry.name for entry in tmp_path.iterdir()] == ["broken"]


def test_embed_refuses_a_data_set_that_does_not_fit(run, tmp_path):
    other = write_packed(tmp_path / "other", waves(KINDS, 2, 80), leads=("II", "V2"))
    with pytest.raises(LfbtError, match=r"leads II,V2 .* II,V1; 8 Hz .* 6\.4 Hz; 80 samples .* 64"):
        run(data_dir=(other,))
    assert [entry.name for entry in tmp_path.iterdir()] == ["other"]
    assert embeddings_of(run(data_dir=(other,), allow_mismatch=True)).shape == (48, 128)


def test_embed_leaves_nothing_when_a_record_is_not_finite(run, tmp_path):
    signals = waves(KINDS)
    signals[47, 0, 0] = np.inf
    bad = write_packed(tmp_path / "bad", signals, hash="x")
    with pytest.raises(LfbtError, match="record r47 holds NaN or infinity"):
        run(data_dir=(bad,))
    assert [entry.name for entry in tmp_path.iterdir()] == ["bad"]


def test_embed_refuses_an_occupied_folder(run, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    with pytest.raises(LfbtError, match="out: holds other results already"):
        run()
    assert contents(tmp_path / "out") == {"notes.txt": b"mine"}


def test_embed_again_is_finished_whatever_folders_are_called_unless_it_is_incomplete(run, data, checkpoint, tmp_path):
    out = run()
    for number, (name, source) in enumerate((("data_dir", data), ("checkpoint", checkpoint))):
        copied = shutil.copytree(source, tmp_path / f"copied-{number}")
        with pytest.raises(FinishedError):
            run(**{name: (copied,) if name == "data_dir" else copied})
    records = (out / "records.csv").read_text()
    (out / "records.csv").write_text("".join(records.splitlines(keepends=True)[:3]))
    with pytest.raises(LfbtError, match=r"records\.csv: has 2 of \d+ records; .* with --overwrite$"):
        run()
    (out / "records.csv").write_text(records)
    (out / "embeddings.npy").write_bytes((out / "embeddings.npy").read_bytes()[:-4])
    with pytest.raises(LfbtError, match=r"embeddings\.npy.*; or make the results anew with --overwrite$"):
        run()


def test_embed_dataset_equals_the_command(run, data, checkpoint):
    embeddings = embed_dataset(open_dataset(data), load_encoder(checkpoint), device="cpu")
    assert embeddings.dtype == np.float32
    assert np.array_equal(embeddings, embeddings_of(run()))


def test_embed_again_misses_lost_probabilities_and_a_second_one_at_once_is_refused(tmp_path):
    d, c = write_labelled(tmp_path / "d"), write_checkpoint(tmp_path / "c")
    run_probe(ProbeSettings.create(d, tmp_path / "p", checkpoint=c, epochs=2, batch_size=8, device="cpu"))
    settings = EmbedSettings((d,), tmp_path / "e", tmp_path / "p", device="cpu")
    with holding(tmp_path / "e"), pytest.raises(LfbtError, match="another process is writing it now"):
        write_embeddings(settings)
    write_embeddings(settings)
    (tmp_path / "e" / "probabilities.csv").unlink()
    with pytest.raises(LfbtError, match=r"probabilities\.csv: cannot be read .*--overwrite$"):
        write_embeddings(settings)


def test_embed_refuses_a_classifier_with_its_leads_in_another_order(tmp_path):
    d, c = write_labelled(tmp_path / "d"), write_checkpoint(tmp_path / "c")
    run_probe(ProbeSettings.create(d, tmp_path / "p", checkpoint=c, epochs=2, batch_size=8, device="cpu"))
    with pytest.raises(LfbtError, match="leads"):
        write_embeddings(EmbedSettings((d,), tmp_path / "e", tmp_path / "p", leads=("V1", "II"), device="cpu"))


def test_embed_refuses_records_of_too_few_samples_even_if_allowed(tmp_path):
    s, c = write_labelled(tmp_path / "s", signals=waves(KINDS, 2, 20)), write_checkpoint(tmp_path / "c")
    with pytest.raises(LfbtError, match="samples"):
        write_embeddings(EmbedSettings((s,), tmp_path / "e", c, allow_mismatch=True, device="cpu"))


def test_embed_and_pretrain_refuse_a_full_disk_before_they_compute(run, data, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(LfbtError, match=r"out: takes .* kB or more, but its disk has 1 kB left; make room"):
        run()
    with pytest.raises(LfbtError, match=r"run: takes .* MB or more, but its disk has 1 kB left; make room"):
        lfbt.pretrain(data, tmp_path / "run", batch_size=8, projector="16-16", device="cpu")
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "run").exists()
