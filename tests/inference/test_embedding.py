"""Embeddings of data sets and arrays against those of plain layers."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.factories import KINDS, waves, write_checkpoint, write_labelled, write_packed
from tests.literal import literal_embeddings, z_score

from lfbt.data.dataset import from_arrays
from lfbt.data.layouts import open_dataset
from lfbt.errors import LfbtError, UnreadableError
from lfbt.inference.embed_settings import EmbedSettings
from lfbt.inference.embedding import embed, embed_arrays, embed_dataset
from lfbt.inference.embedding_folder import write_embeddings
from lfbt.models.encoder import EncoderConfig, LeadEncoders, estimate_batch_norm, random_encoder
from lfbt.models.pretrained import load_encoder, save_encoder
from lfbt.recording import PAPER_LEADS, STANDARD_LEADS, Recording
from lfbt.signal import choose_leads, fit_samples
from lfbt.sources.synthesis import make_record


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_labelled(tmp_path_factory.mktemp("embed") / "data")


@pytest.fixture(scope="module")
def checkpoint(data):
    return write_checkpoint(data.with_name("checkpoint"))


def assert_close_to_literal(mine, literal):
    """Single precision keeps five digits of the largest feature."""
    np.testing.assert_allclose(mine, literal, rtol=0, atol=1e-5 * np.abs(literal).max())


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


def test_embed_dataset_chooses_leads_by_name(checkpoint):
    signals, encoder = waves(KINDS, 3), load_encoder(checkpoint)
    dataset = from_arrays(signals, ("V1", "I", "II"), 6.4)
    embeddings = embed_dataset(dataset, encoder, device="cpu", workers=0)
    assert_close_to_literal(embeddings, literal_embeddings(encoder, signals[:, [2, 0]]))


def trained_in_part(encoder):
    next(iter(encoder.encoders["V1"].children())).train()
    return encoder


@pytest.mark.parametrize("change", [LeadEncoders.eval, LeadEncoders.train, LeadEncoders.double, trained_in_part])
def test_embed_dataset_leaves_the_encoder_as_it_is(data, checkpoint, change):
    encoder = change(load_encoder(checkpoint))
    modes = [module.training for module in encoder.modules()]
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    found = embed_dataset(open_dataset(data), encoder, device="cpu")
    np.testing.assert_array_equal(found, embed_dataset(open_dataset(data), load_encoder(checkpoint), device="cpu"))
    assert [module.training for module in encoder.modules()] == modes
    assert encoder.state_dict().keys() == before.keys()
    for name, tensor in encoder.state_dict().items():
        assert tensor.dtype == before[name].dtype
        assert torch.equal(tensor, before[name])


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
    assert np.array_equal(embeddings, np.load(tmp_path / "out" / "embeddings.npy"))


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


@settings(max_examples=30)  # of thirty cases: fifteen sets of leads in two orders
@given(st.sets(st.sampled_from(("II", "III", "V1", "V2")), min_size=1), st.booleans())
def test_embed_with_missing_leads_nan_equals_the_encoders_of_the_leads_that_there_are(leads, backwards):
    encoder = random_encoder(EncoderConfig(("II", "III", "V1", "V2"), 6.4, 64), 0).eval()
    names = sorted(leads, reverse=backwards)
    signals = np.random.default_rng(0).standard_normal((2, len(names), 64)).astype(np.float32)
    options: dict[str, Any] = {"leads": names, "sampling_rate": 6.4, "device": "cpu"}
    whole = embed(signals, encoder, missing_leads="nan", **options).reshape(2, 4, 64)
    present = [lead for lead in encoder.config.leads if lead in leads]
    part = embed(signals, encoder.select_leads(present), **options).reshape(2, len(present), 64)
    for i, lead in enumerate(encoder.config.leads):
        if lead in leads:
            np.testing.assert_array_equal(whole[:, i], part[:, present.index(lead)])
        else:
            assert np.isnan(whole[:, i]).all()


def test_embed_with_missing_leads_nan_takes_recordings_of_different_leads_and_data_sets(tmp_path):
    encoder = random_encoder(EncoderConfig(("II", "III", "V1"), 6.4, 64), 0).eval()
    signal = np.random.default_rng(0).standard_normal((3, 64)).astype(np.float32)
    recordings = [Recording(signal[:2], 6.4, ("I", "II")), Recording(signal, 6.4, ("II", "III", "V1"))]
    found = embed(recordings, encoder, missing_leads="nan", device="cpu").reshape(2, 3, 64)
    assert np.isnan(found).all(axis=2).tolist() == [[False, False, True], [False, False, False]]
    dataset = from_arrays(signal[None, :2], ("V1", "II"), 6.4)
    found = embed(dataset, encoder, missing_leads="nan", device="cpu").reshape(1, 3, 64)
    assert np.isnan(found).all(axis=2).tolist() == [[False, True, False]]
    assert not np.isnan(found[:, [0, 2]]).any()


def test_embed_refuses_missing_leads_unless_asked_and_where_there_are_none(tmp_path):
    encoder = random_encoder(EncoderConfig(("II", "V1"), 6.4, 64), 0).eval()
    signal = np.random.default_rng(0).standard_normal((1, 64)).astype(np.float32)
    with pytest.raises(LfbtError, match=r"absent lead V1 .*missing_leads='nan'"):
        embed(Recording(signal, 6.4, ("II",)), encoder)
    with pytest.raises(LfbtError, match="absent lead II,V1"):
        embed(Recording(signal, 6.4, ("V2",)), encoder, missing_leads="nan")
    wrong: Any = "zero"
    with pytest.raises(LfbtError, match="missing_leads: 'zero' is not one of refuse, nan"):
        embed(Recording(signal, 6.4, ("II",)), encoder, missing_leads=wrong)
    settings = EmbedSettings((tmp_path,), tmp_path / "out", missing_leads="nan")
    with pytest.raises(LfbtError, match="missing_leads: nan has an effect on inputs only"):
        write_embeddings(settings)


def test_embed_arrays_reads_counts_with_an_offset_only_where_it_is_stated():
    encoder = random_encoder(EncoderConfig(("II", "V1"), sampling_rate=100, n_samples=1000), seed=0)
    steps = np.random.default_rng(0).integers(-200, 200, size=(1, 2, 1000))
    options: dict[str, Any] = {"leads": "II,V1", "sampling_rate": 100, "device": "cpu"}
    expected = embed_arrays(steps, encoder, unit="200/mV", **options)
    counts = (steps + 2048).astype(np.uint16)
    np.testing.assert_array_equal(embed_arrays(counts, encoder, unit="200(2048)/mV", **options), expected)
    with pytest.raises(LfbtError, match=r"signals: record 0: lead .* give the unit 200\(2048\)/mV"):
        embed_arrays(counts, encoder, unit="200/mV", **options)


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


def test_embed_of_a_folder_is_that_of_its_files_by_path(tmp_path):
    """Also in sub-folders; tables about records and files that are no signal files are passed over."""
    encoder = random_encoder(EncoderConfig(("II", "V1"), 6.4, 64), seed=1)
    folder = tmp_path / "files"
    paths = [folder / "a.npy", folder / "b" / "c.npy", folder / "d.csv"]
    (folder / "b").mkdir(parents=True)
    signals = waves([0, 1, 2])
    for path, signal in zip(paths, signals, strict=True):
        if path.suffix == ".npy":
            np.save(path, signal * 1000)
        else:
            np.savetxt(path, signal.T * 1000, delimiter=",", header="II,V1", comments="", fmt="%.8g")
    (folder / "notes.txt").write_text("none")
    (folder / "labels.csv").write_text("record,label\na,AF\n")
    about: dict[str, Any] = {"leads": "II,V1", "sampling_rate": 6.4, "unit": "uV"}
    found = embed(str(folder), encoder, **about, device="cpu")
    np.testing.assert_array_equal(found, embed(paths, encoder, **about, device="cpu"))
    np.save(folder / "e.npy", waves([0], n_samples=40)[0] * 1000)
    with pytest.raises(LfbtError, match=r"^file .*e\.npy: signals: 40 samples .* the encoder's records last 10 s"):
        embed(folder, encoder, **about, device="cpu")
    (folder / "e.npy").write_text("none")
    with pytest.raises(UnreadableError, match=r"e\.npy"):
        embed(folder, encoder, **about, device="cpu")
    with pytest.raises(LfbtError, match=r"^sampling_rate: none given, but .*a\.npy does not state its own"):
        embed(folder, encoder, leads="II,V1", device="cpu")


def test_embed_refuses_a_folder_that_is_a_data_set_by_some_of_its_recordings(tmp_path):
    encoder = random_encoder(EncoderConfig(("II", "V1"), 6.4, 64), seed=1)
    (tmp_path / "A").mkdir()
    np.save(tmp_path / "A" / "a.npy", waves([0])[0])
    np.savetxt(tmp_path / "b.csv", waves([1])[0].T, delimiter=",", header="II,V1", comments="", fmt="%.8g")
    with pytest.raises(LfbtError, match=r"is a data set by its \.npy files, but also has b\.csv; give leads="):
        embed(tmp_path, encoder, device="cpu")
    assert embed(tmp_path, encoder, leads="II,V1", sampling_rate=6.4, device="cpu").shape == (2, 128)


def test_embed_of_rich_features_has_amplitudes_in_mv_whatever_the_unit(tmp_path):
    encoder = load_encoder(write_checkpoint(tmp_path / "encoder"))
    signals = waves(KINDS[:3]) * 0.5
    about: dict[str, Any] = {"leads": "II,V1", "sampling_rate": 6.4, "device": "cpu", "features": "rich"}
    found = embed(signals, encoder, **about)
    assert found.shape == (3, 2 * 258)
    of_leads = found.reshape(3, 2, 258)
    np.testing.assert_allclose(of_leads[..., -2], np.log(signals.std(axis=2)), atol=1e-5)
    np.testing.assert_allclose(of_leads[..., -1], np.ptp(signals, axis=2), atol=1e-5)
    np.testing.assert_allclose(embed(signals * 1000, encoder, unit="uV", **about), found, atol=1e-3)
    paper = embed(signals, encoder, leads="II,V1", sampling_rate=6.4, device="cpu").reshape(3, 2, 64)
    np.testing.assert_allclose(of_leads[..., 128:192], paper, atol=1e-5)


def test_embed_of_rich_features_refuses_z_scores_and_other_names(tmp_path):
    encoder = load_encoder(write_checkpoint(tmp_path / "encoder"))
    signals = waves(KINDS[:3])
    signals[1] = (signals[1] - signals[1].mean()) / signals[1].std()
    about: dict[str, Any] = {"leads": "II,V1", "sampling_rate": 6.4, "device": "cpu"}
    assert embed(signals, encoder, **about).shape == (3, 128)
    with pytest.raises(LfbtError, match="signals: record 1: the signal is a z-score"):
        embed(signals, encoder, features="rich", **about)
    recording = Recording(signals[0], 6.4, ("II", "V1"), in_mv=False)
    with pytest.raises(LfbtError, match="embed: the signal is a z-score"):
        embed(recording, encoder, features="rich", device="cpu")
    with pytest.raises(LfbtError, match="features: 'poor' is not one of paper, rich"):
        embed(signals, encoder, **{**about, "features": "poor"})
