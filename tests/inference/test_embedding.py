"""Embeddings of data sets and arrays against those of plain layers; probabilities where there is a classifier."""

import dataclasses
import json
import shutil
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from tests.factories import CLASSES, KINDS, LABELS, ROWS, SPLIT, waves, write_checkpoint, write_labelled, write_packed
from tests.literal import literal_embeddings, z_score
from tests.outputs import contents

import lfbt
from lfbt.data.dataset import from_arrays
from lfbt.data.layouts import open_dataset
from lfbt.errors import LfbtError
from lfbt.evaluation.probing import run_probe
from lfbt.evaluation.settings import ProbeSettings
from lfbt.inference.embedding import EmbedSettings, EmbedSummary, embed, embed_arrays, embed_dataset, write_embeddings
from lfbt.models.encoder import EncoderConfig, estimate_batch_norm, random_encoder
from lfbt.models.heads import load_head
from lfbt.models.pretrained import load_encoder, save_encoder
from lfbt.recording import PAPER_LEADS, STANDARD_LEADS, Recording
from lfbt.signal import choose_leads, fit_samples
from lfbt.sources.synthesis import make_record

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
        ({"workers": -1}, r"workers: -1 is outside \[0, inf\)"),
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


# --- data sets and arrays in memory ---


def calibrated_encoder(leads, normalisation="record"):
    """An encoder of ten seconds at 51.2 Hz whose norms' statistics are those of waves, so that records differ."""
    encoder = random_encoder(EncoderConfig(leads, 51.2, 512, normalisation), seed=2)
    signals = z_score(waves(KINDS, len(leads), 512)).astype(np.float32)
    estimate_batch_norm(encoder, [torch.from_numpy(signals)])
    return encoder


@pytest.fixture(scope="module")
def encoder():
    return calibrated_encoder(("II", "aVF", "V1"))


@pytest.fixture(scope="module")
def ecg():
    """Synthetic ECG ``[records, 12 leads, 5000 samples]`` at 500 Hz in mV."""
    return np.stack([make_record(1, number).signal for number in range(1, 4)]).astype(np.float32)


def prepared(signals, leads, encoder):
    """The encoder's leads and samples, as `lfbt prepare` has them."""
    config = encoder.config
    return np.stack(
        [fit_samples(choose_leads(of, leads, config.leads), of.shape[1], config.n_samples) for of in signals]
    )


def test_embed_dataset_equals_the_command(run, data, checkpoint):
    embeddings = embed_dataset(open_dataset(data), load_encoder(checkpoint), device="cpu")
    assert embeddings.dtype == np.float32
    assert np.array_equal(embeddings, embeddings_of(run()))


def test_embed_dataset_chooses_leads_by_name(checkpoint):
    signals, encoder = waves(KINDS, 3), load_encoder(checkpoint)
    dataset = from_arrays(signals, ("V1", "I", "II"), 6.4)
    embeddings = embed_dataset(dataset, encoder, device="cpu", workers=0)
    assert_close_to_literal(embeddings, literal_embeddings(encoder, signals[:, [2, 0]]))


def test_embed_dataset_leaves_the_encoder_as_it_is(data, checkpoint):
    encoder = load_encoder(checkpoint).train()
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    embed_dataset(open_dataset(data), encoder, device="cpu")
    assert encoder.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in encoder.state_dict().items())


def test_embed_dataset_of_no_records_has_all_columns(encoder):
    dataset = from_arrays(np.zeros((0, 3, 512), dtype=np.float32), ("II", "aVF", "V1"), 51.2)
    assert embed_dataset(dataset, encoder, device="cpu").shape == (0, 192)


@pytest.mark.parametrize(
    ("leads", "rate", "changes", "message"),
    [
        (("II", "V2"), 6.4, {}, "lead V1: not in the data set .*, which has II,V2"),
        (("II", "V1"), 8, {}, r"8 Hz against the encoder's 6\.4 Hz"),
        (("V1", "II"), 6.4, {"names_assumed": True}, r"leads V1,II \(assumed: .*\) against the encoder's II,V1"),
    ],
)
def test_embed_dataset_refuses_data_that_do_not_fit(checkpoint, leads, rate, changes, message):
    dataset = dataclasses.replace(from_arrays(waves(KINDS), leads, rate), **changes)
    with pytest.raises(LfbtError, match=message):
        embed_dataset(dataset, load_encoder(checkpoint), device="cpu")


def test_embed_arrays_equals_plain_layers_of_prepared_signals(encoder, ecg):
    embeddings = embed_arrays(ecg, encoder, leads=STANDARD_LEADS, sampling_rate=500, device="cpu")
    assert embeddings.shape == (3, 192)
    assert embeddings.dtype == np.float32
    assert_close_to_literal(embeddings, literal_embeddings(encoder, prepared(ecg, STANDARD_LEADS, encoder)))


def test_embed_arrays_equals_the_command(encoder, ecg, tmp_path):
    folder = write_packed(
        tmp_path / "data", prepared(ecg, STANDARD_LEADS, encoder), leads=encoder.config.leads, sampling_rate=51.2
    )
    save_encoder(tmp_path / "encoder", encoder, {})
    write_embeddings(EmbedSettings((folder,), tmp_path / "out", tmp_path / "encoder", device="cpu"))
    embeddings = embed_arrays(ecg, encoder, leads=STANDARD_LEADS, sampling_rate=500, device="cpu")
    assert np.array_equal(embeddings, embeddings_of(tmp_path / "out"))


@pytest.mark.parametrize("normalisation", ["record", "lead", "none"])
def test_embed_arrays_normalises_once(ecg, normalisation):
    encoder = calibrated_encoder(("II", "V1"), normalisation)
    signals = prepared(ecg, STANDARD_LEADS, encoder)
    literal = {
        "record": lambda x: z_score(x),
        "lead": lambda x: np.stack([z_score(x[:, [lead]])[:, 0] for lead in range(2)], axis=1),
        "none": lambda x: x,
    }[normalisation](signals)
    with torch.no_grad():
        expected = encoder.double()(torch.from_numpy(literal.astype(np.float64))).flatten(1).numpy()
    encoder.float()
    embeddings = embed_arrays(ecg, encoder, leads=STANDARD_LEADS, sampling_rate=500, device="cpu")
    assert_close_to_literal(embeddings, expected)


def embed_ten_seconds(signals, encoder, **changes):
    settings: dict[str, Any] = {"leads": STANDARD_LEADS, "sampling_rate": 500, "device": "cpu"}
    return embed_arrays(signals, encoder, **(settings | changes))


def test_embed_arrays_depends_on_names_and_units_not_on_form(encoder, ecg):
    """Order and spelling of leads, unit, number type, and one record by itself."""
    expected = embed_ten_seconds(ecg, encoder)
    assert np.abs(expected[0] - expected[1]).max() > 0.1 * np.abs(expected).max()
    tolerance = {"rtol": 0, "atol": 1e-5 * np.abs(expected).max()}
    order = np.random.default_rng(0).permutation(12)
    names = ",".join(STANDARD_LEADS[i].lower() for i in order)
    assert np.array_equal(embed_ten_seconds(ecg[:, order], encoder, leads=names), expected)
    microvolts = ecg.astype(np.float64) * 1000
    np.testing.assert_allclose(embed_ten_seconds(microvolts, encoder, unit="uV"), expected, **tolerance)
    np.testing.assert_allclose(embed_ten_seconds(ecg.tolist(), encoder), expected, **tolerance)
    steps = np.round(microvolts).astype(np.int16)
    rounded = embed_ten_seconds(np.round(microvolts) / 1000, encoder)
    np.testing.assert_allclose(embed_ten_seconds(steps, encoder, unit="µV"), rounded, **tolerance)
    one = embed_ten_seconds(ecg[1], encoder)
    assert one.shape == (1, 192)
    np.testing.assert_allclose(one, expected[1:2], **tolerance)
    assert embed_ten_seconds(ecg[:0], encoder).shape == (0, 192)


def test_embed_arrays_derives_limb_leads(encoder, ecg):
    rows = [STANDARD_LEADS.index(lead) for lead in ("III", "I", "V1")]
    derived = embed_ten_seconds(ecg[:, rows], encoder, leads=("III", "I", "V1"))
    literal = np.stack([ecg[:, 2] + ecg[:, 0], ecg[:, 2] + ecg[:, 0] / 2, ecg[:, 6]], axis=1)
    np.testing.assert_allclose(
        derived, embed_ten_seconds(literal, encoder, leads=("II", "aVF", "V1")), rtol=0, atol=1e-4
    )


def test_embed_arrays_leaves_the_signals_as_they_are(encoder, ecg):
    before = ecg.copy()
    embed_ten_seconds(ecg, encoder)
    assert np.array_equal(ecg, before)


@pytest.mark.parametrize(("rate", "n_samples"), [(257, 2570), (333.3, 3333), (51.25, 512), (51.25, 513)])
def test_embed_arrays_accepts_durations_within_half_a_sample(encoder, rate, n_samples):
    signals = np.random.default_rng(0).standard_normal((1, 12, n_samples))
    assert embed_ten_seconds(signals, encoder, sampling_rate=rate).shape == (1, 192)


@pytest.mark.parametrize(
    ("rate", "n_samples"), [(500, 4999), (500, 5001), (250, 5000), (51.2, 513), (500, 0), (0.1, 1)]
)
def test_embed_arrays_refuses_another_duration(encoder, rate, n_samples):
    signals = np.zeros((1, 12, n_samples))
    lasts = "sample at {:g} Hz lasts" if n_samples == 1 else "samples at {:g} Hz last"
    message = rf"{n_samples} {lasts.format(rate)} {n_samples / rate:g} s, but the encoder's records last 10 s"
    with pytest.raises(LfbtError, match=message):
        embed_ten_seconds(signals, encoder, sampling_rate=rate)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_embed_arrays_refuses_values_that_are_not_finite(encoder, ecg, value):
    signals = ecg.astype(np.float64)
    signals[2, 6, 17] = value
    with pytest.raises(LfbtError, match="signals: record 2 holds NaN or infinity in lead V1"):
        embed_ten_seconds(signals, encoder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"unit": "mmHg"}, "unit: 'mmHg' is not a voltage"),
        ({"leads": STANDARD_LEADS[:11]}, r"shape \[3, 12, 5000\] is not \[records, 11 leads, samples\]"),
        ({"leads": ("V1",) * 12}, "leads: V1 is named twice"),
        ({"leads": ()}, "leads: none given"),
        (
            {"leads": (*STANDARD_LEADS[:6], *"abcdef")},
            r"leads: the signals have I,II,.*,f, the encoder takes II,aVF,V1: absent lead V1",
        ),
        ({"sampling_rate": 0}, r"sampling_rate: 0 is outside \(0, inf\)"),
        ({"sampling_rate": float("nan")}, r"sampling_rate: nan is outside \(0, inf\)"),
        ({"device": "abacus"}, "device: 'abacus' cannot be used"),
    ],
)
def test_embed_arrays_refuses_wrong_arguments(encoder, ecg, changes, message):
    with pytest.raises(LfbtError, match=message):
        embed_ten_seconds(ecg, encoder, **changes)


@pytest.mark.parametrize(
    ("signals", "message"),
    [
        (np.zeros((3, 5000, 12)), r"shape \[3, 5000, 12\] is not \[records, 12 leads, samples\]"),
        (np.zeros(5000), r"shape \[5000\] is not"),
        (np.zeros((1, 12, 5000), dtype=complex), "complex128 is not a type of real numbers"),
        ([["1"]], "is not a type of real numbers"),
        ([[1.0, 2.0], [3.0]], "signals: not an array"),
    ],
)
def test_embed_arrays_refuses_what_is_not_an_array_of_signals(encoder, signals, message):
    with pytest.raises(LfbtError, match=message):
        embed_ten_seconds(signals, encoder)


def test_embed_refuses_a_classifier_with_its_leads_in_another_order(tmp_path):
    d, c = write_labelled(tmp_path / "d"), write_checkpoint(tmp_path / "c")
    run_probe(ProbeSettings.create(d, tmp_path / "p", checkpoint=c, epochs=2, batch_size=8, device="cpu"))
    with pytest.raises(LfbtError, match="leads"):
        write_embeddings(EmbedSettings((d,), tmp_path / "e", tmp_path / "p", leads=("V1", "II"), device="cpu"))


def test_embed_refuses_records_of_too_few_samples_even_if_allowed(tmp_path):
    s, c = write_labelled(tmp_path / "s", signals=waves(KINDS, 2, 20)), write_checkpoint(tmp_path / "c")
    with pytest.raises(LfbtError, match="samples"):
        write_embeddings(EmbedSettings((s,), tmp_path / "e", c, allow_mismatch=True, device="cpu"))


@pytest.mark.parametrize(
    ("scale", "message"),
    [
        (
            20,
            r"^signals: record 0: II spans 85\.7 mV, .*more than any ECG; correct its unit, .* with allow_implausible",
        ),
        (0.004, r"the median lead spans 0\.0\d+ mV, .* insist with allow_implausible"),
    ],
)
def test_embed_refuses_voltages_that_no_ecg_has(scale, message):
    encoder = random_encoder(EncoderConfig(("II", "V1"), 100, 64), seed=0)
    signals = np.random.default_rng(0).standard_normal((3, 2, 64)) * scale
    options: dict[str, Any] = {"leads": "II,V1", "sampling_rate": 100, "device": "cpu"}
    with pytest.raises(LfbtError, match=message):
        embed(signals, encoder, **options)
    assert embed(signals, encoder, **options, allow_implausible=True).shape == (3, 128)
    # The right unit is all that they lack.
    assert embed(signals * 1000 / scale, encoder, **options, unit="uV").shape == (3, 128)
    recording = Recording(signals[0].astype(np.float32), 100.0, ("II", "V1"))
    with pytest.raises(LfbtError, match="insist with allow_implausible"):
        embed(recording, encoder, device="cpu")
    dataset = from_arrays(signals.astype(np.float32), ("II", "V1"), 100)
    with pytest.raises(LfbtError, match="insist with allow_implausible"):
        embed(dataset, encoder, device="cpu")


def test_embed_takes_z_scores_of_the_authors_folders(tmp_path):
    """They are no voltages, whatever they span."""
    (tmp_path / "samples").mkdir()
    np.save(tmp_path / "samples" / "a.npy", np.random.default_rng(0).standard_normal((8, 64)).astype(np.float32) * 50)
    encoder = random_encoder(EncoderConfig(PAPER_LEADS, 6.4, 64), seed=0)
    assert embed(tmp_path, encoder, device="cpu").shape == (1, 512)


def test_embed_refuses_codes_for_invalid_samples_before_resampling_blurs_them():
    encoder = random_encoder(EncoderConfig(("II", "V1"), 50, 500), seed=0)
    signals = np.random.default_rng(0).normal(0, 0.3, (1, 2, 5000))
    signals[0, 1, 2000:2003] = -32.768
    options: dict[str, Any] = {"leads": "II,V1", "sampling_rate": 500, "device": "cpu"}
    with pytest.raises(
        LfbtError, match=r"^signals: record 0: V1 spans 33\.\d mV, more than any ECG; .* allow_implausible"
    ):
        embed(signals, encoder, **options)
    assert embed(signals, encoder, **options, allow_implausible=True).shape == (1, 128)


def test_embed_refuses_rates_that_no_ecg_has():
    encoder = random_encoder(EncoderConfig(("II", "V1"), 0.5, 64), seed=0)
    with pytest.raises(LfbtError, match=r"^sampling_rate: 0\.5 Hz is none of an ECG; allowed: 5 to 50000 Hz"):
        embed(np.ones((1, 2, 64)), encoder, leads="II,V1", sampling_rate=0.5, device="cpu")
