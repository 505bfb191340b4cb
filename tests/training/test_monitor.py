"""Quality while training: figures by hand, what selects and what does not, and the warning of a collapse."""

import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import RidgeCV
from sklearn.metrics import roc_auc_score
from tests.factories import LABELS, SPLIT, waves, write_labelled, write_packed
from tests.outputs import contents, read_lines

from lfbt.data.layouts import open_dataset
from lfbt.errors import LfbtError
from lfbt.models.encoder import EncoderConfig, LeadEncoders, estimate_batch_norm, random_encoder
from lfbt.models.feature_maps import PAPER, RICH
from lfbt.models.features import compute_embeddings
from lfbt.models.pretrained import load_encoder, load_history
from lfbt.runs.history import PretrainingEpoch
from lfbt.training import steps as steps_module
from lfbt.training.monitor import (
    Quality,
    QualityMonitor,
    feature_spread,
    open_quality_data,
    rank_me,
    ridge_auroc,
    sample_rows,
)
from lfbt.training.pretraining import Pretrainer
from lfbt.training.records import TrainingRecords
from lfbt.training.settings import PretrainSettings
from lfbt.utils.settings import replace


def test_rank_me_equals_values_by_hand():
    assert rank_me(torch.eye(6) * 3) == pytest.approx(6, rel=1e-4)
    assert rank_me(torch.outer(torch.arange(1.0, 8.0), torch.ones(5))) == pytest.approx(1, rel=1e-4)
    # Shares 3/4 and 1/4: e to 3/4 ln(4/3) + 1/4 ln 4.
    assert rank_me(torch.diag(torch.tensor([3.0, 1.0]))) == pytest.approx(
        math.exp(0.75 * math.log(4 / 3) + 0.25 * math.log(4)), rel=1e-4
    )
    assert rank_me(torch.zeros(3, 2)) == 0


def test_feature_spread_equals_values_by_hand():
    features = torch.tensor([[[1.0, 0.0], [4.0, 4.0]], [[3.0, 4.0], [4.0, 4.0]]])  # 2 records, 2 leads, 2 features
    # Of the first lead: deviations 1 and 2 by a mean size of (1 + 0 + 3 + 4) / 4. The second never changes.
    assert feature_spread(features) == pytest.approx([1.5 / 2, 0])
    assert feature_spread(torch.zeros(3, 1, 4)) == [0]


def test_ridge_auroc_is_one_for_separable_classes_and_chance_for_noise():
    rng = np.random.default_rng(0)
    numbers = rng.integers(0, 3, 90)
    targets = numbers[:, None] == np.arange(3)
    x = torch.from_numpy(np.eye(3)[numbers] + 0.1 * rng.standard_normal((90, 3))).float()
    assert ridge_auroc(x[:60], targets[:60], x[60:], targets[60:]) == 1
    noise = torch.from_numpy(rng.standard_normal((90, 3))).float()
    auroc = ridge_auroc(noise[:60], targets[:60], noise[60:], targets[60:])
    assert auroc is not None
    assert 0.25 < auroc < 0.75
    assert ridge_auroc(x[:60], targets[:60], x[60:70], np.tile([True, False, False], (10, 1))) is None


def test_sample_rows_is_seeded_and_small():
    rows = np.arange(5000) * 2
    sample = sample_rows(rows, 3)
    assert len(sample) == len(set(sample)) == 1024
    assert set(sample) <= set(rows)
    assert np.array_equal(sample, np.sort(sample))
    assert np.array_equal(sample, sample_rows(rows, 3))
    assert not np.array_equal(sample, sample_rows(rows, 4))
    assert np.array_equal(sample_rows(rows[:9], 3), rows[:9])


@pytest.mark.parametrize(
    ("quality", "expected"),
    [
        (Quality(20.0, {"II": 0.4, "V1": 0.2}), None),
        (Quality(20.0, {"II": 0.4, "V1": 0.001}), "the features of V1 hardly differ between records"),
        (Quality(1.01, {"II": 0.4, "V1": 0.2}), "the features fill 1.0 directions only"),
        (Quality(0.0, {"II": 0.0}), "the features of II hardly differ between records"),
    ],
)
def test_quality_collapse_names_what_has_collapsed(quality, expected):
    assert quality.collapse() == expected


@pytest.fixture
def labelled(tmp_path):
    return write_labelled(tmp_path / "labelled")


def examined(folder, encoder):
    dataset = open_dataset(folder)
    records = TrainingRecords(dataset, dataset.rows("train"), batch_size=8, seed=0)
    return QualityMonitor(records, dataset, 1, torch.device("cpu"), 0).evaluate(encoder)


def test_quality_monitor_ignores_test_records(labelled, tmp_path):
    changed = waves([i % 3 for i in range(48)])
    changed[36:] = 5 * waves([2] * 12, seed=7)
    other = write_labelled(tmp_path / "other", signals=changed)
    encoder = random_encoder(EncoderConfig(("II", "V1"), 6.4, 64), 1)
    estimate_batch_norm(encoder, [torch.from_numpy(open_dataset(labelled).batch(np.arange(24), "record"))])
    assert examined(labelled, encoder) == examined(other, encoder)
    # Validation records do.
    changed[24:36] = changed[36:]
    assert examined(labelled, encoder) != examined(write_labelled(tmp_path / "third", signals=changed), encoder)


@pytest.fixture
def settings(tmp_path):
    """Sixty steps, evaluated every 10 from the 50th on; validation AUROC as the epoch's number says."""
    data = write_packed(tmp_path / "data", waves([0, 1, 2] * 5))
    return PretrainSettings.create(
        (data,), tmp_path / "run", epochs=12, batch_size=3, projector="16-16", device="cpu", workers=0, quality_every=2
    )


def test_pretrainer_evaluates_the_shortest_run_at_its_end_with_labelled_data(settings, labelled):
    short = replace(settings, epochs=2, quality_every=1)
    Pretrainer(replace(short, quality_data=labelled)).run()
    lines = read_lines(short.run_dir / "history.jsonl")
    assert [line["epoch"] for line in lines if "rank" in line] == [2]
    assert load_history(short.run_dir / "encoder-best")["val_auroc"] == lines[1]["val_auroc"]
    unlabelled = replace(short, run_dir=short.run_dir.with_name("unlabelled"))
    Pretrainer(unlabelled).run()
    assert not any("rank" in line for line in read_lines(unlabelled.run_dir / "history.jsonl"))


def test_pretrainer_prints_and_records_quality_from_step_50_on(settings, labelled, capfd):
    settings = replace(settings, quality_data=labelled)
    Pretrainer(settings).run()
    lines = read_lines(settings.run_dir / "history.jsonl")
    assert [line["epoch"] for line in lines if "val_auroc" in line] == [10, 12]
    quality = examined(labelled, load_encoder(settings.run_dir))
    assert lines[-1]["val_auroc"] == quality.auroc
    assert lines[-1].keys() >= {"rank", "spread_II", "spread_V1"}
    printed = capfd.readouterr().err
    assert f"validation AUROC {quality.auroc:.4f}, rank " in printed
    assert load_history(settings.run_dir)["val_auroc"] == quality.auroc


def test_quality_monitor_changes_nothing_that_is_learned(settings, labelled, tmp_path):
    Pretrainer(replace(settings, quality_data=labelled)).run()
    Pretrainer(replace(settings, quality_every=0, run_dir=tmp_path / "blind")).run()
    seen, blind = (contents(folder / "encoder") for folder in (settings.run_dir, tmp_path / "blind"))
    assert seen["model.safetensors"] == blind["model.safetensors"]
    assert not (tmp_path / "blind" / "encoder-best").exists()
    assert all("rank" not in line for line in read_lines(tmp_path / "blind" / "history.jsonl"))


def test_pretrainer_keeps_the_best_encoder_beside_the_last(settings, labelled, monkeypatch):
    scores = iter([0.6, 0.9, 0.7, 0.8])
    evaluate = QualityMonitor.evaluate

    def scored(self, encoder, should_stop):
        quality = evaluate(self, encoder)
        assert quality is not None
        return dataclasses.replace(quality, auroc=next(scores))

    monkeypatch.setattr(QualityMonitor, "evaluate", scored)
    settings = replace(settings, quality_data=labelled, quality_every=1, epochs=13)
    Pretrainer(settings).run()
    assert load_history(settings.run_dir / "encoder-best")["epochs_done"] == 11
    assert load_history(settings.run_dir / "encoder-best")["val_auroc"] == 0.9
    assert load_history(settings.run_dir)["epochs_done"] == 13
    best, last = (contents(settings.run_dir / name)["model.safetensors"] for name in ("encoder-best", "encoder"))
    assert best != last


def test_pretrainer_warns_of_a_collapse(settings, monkeypatch, capfd):
    """An encoder whose convolutions are all zero gives the same features for every record."""
    step = steps_module.train_step

    def killing(views, model, *rest):
        terms = step(views, model, *rest)
        with torch.no_grad():
            for name, parameter in model.encoder.named_parameters():
                if "norms.12.weight" in name:
                    parameter.zero_()
        return terms

    monkeypatch.setattr(steps_module, "train_step", killing)
    Pretrainer(settings).run()
    printed = capfd.readouterr().err
    assert "warning: the features of II, V1 hardly differ between records: the encoder has collapsed; try" in printed


def test_open_quality_data_refuses_unsuitable_data(settings, labelled, tmp_path):
    other = write_packed(tmp_path / "other-leads", waves([0] * 4), leads=("II", "V2"), labels=["a", "b"] * 2)
    unlabelled = settings.data.data_dir[0]
    no_val = write_packed(tmp_path / "no-val", waves([0] * 4), labels=["a", "b"] * 2)
    for folder, message in (
        (other, "lead V1: not in the data set"),
        (unlabelled, "a classifier needs two or more"),
        (no_val, "quality_data: .* has no records in split val; it needs some"),
    ):
        with pytest.raises(LfbtError, match=message):
            Pretrainer(replace(settings, quality_data=folder)).run()
        assert not settings.run_dir.exists()


def test_quality_monitor_evaluate_ends_when_asked_to_stop(settings, labelled, monkeypatch):
    """A scheduler that has sent SIGTERM does not wait for long."""
    encoder = random_encoder(EncoderConfig(("II", "V1"), 6.4, 64), 1)
    dataset = open_dataset(labelled)
    records = TrainingRecords(dataset, np.tile(np.arange(48), 20), batch_size=8, seed=0)
    monitor = QualityMonitor(records, dataset, 1, torch.device("cpu"), 0)
    seen: list[int] = []
    compute = LeadEncoders.forward

    def seeing(self, signals):
        seen.append(len(signals))
        return compute(self, signals)

    monkeypatch.setattr(LeadEncoders, "forward", seeing)
    assert monitor.evaluate(encoder, should_stop=lambda: len(seen) >= 2) is None
    assert len(seen) == 2


def test_open_quality_data_selects_the_encoders_leads(settings, tmp_path):
    wide = write_labelled(tmp_path / "wide", signals=waves([i % 3 for i in range(48)], 3), leads=("V1", "V9", "II"))
    Pretrainer(replace(settings, quality_data=wide)).run()
    assert "val_auroc" in read_lines(settings.run_dir / "history.jsonl")[-1]


def test_pretrainer_prints_that_a_run_is_too_short_for_quality(settings, labelled, capfd):
    Pretrainer(replace(settings, quality_data=labelled, epochs=2)).run()
    assert "quality is evaluated at the end only, and is preliminary: this run has less than" in capfd.readouterr().err


def test_pretraining_epoch_figures_have_plain_names():
    epoch = PretrainingEpoch(1, 2.0, 1e-3, 5.0, 10.0)
    plain = {"loss": 2.0, "learning_rate": 1e-3, "seconds": 5.0, "records_per_second": 10.0}
    figures = epoch.with_quality(0.75, 3.0, {"II": 0.5}).figures()
    assert json.loads(json.dumps(figures)) == plain | {"val_auroc": 0.75, "rank": 3.0, "spread_II": 0.5}
    assert "val_auroc" not in epoch.with_quality(None, 3.0, {"II": 0.5}).figures()
    assert len(LABELS) == len(SPLIT)


def test_quality_monitor_probes_with_the_features_asked_for(labelled):
    """By hand: standardised rich features of the validation records, amplitudes three times; rank is the paper's."""
    encoder = random_encoder(EncoderConfig(("II", "V1"), 6.4, 64), 1).eval()
    dataset = open_dataset(labelled)
    records = TrainingRecords(dataset, dataset.rows("train"), batch_size=8, seed=0)
    cpu = torch.device("cpu")
    paper, rich = (
        QualityMonitor(records, dataset, 1, cpu, 0, features).evaluate(encoder) for features in (PAPER, RICH)
    )
    assert paper is not None
    assert rich is not None
    assert (paper.rank, paper.spread) == (rich.rank, rich.spread)
    rows = [dataset.rows(split) for split in ("train", "val")]
    train, val = (compute_embeddings(encoder, dataset, one, cpu, 0, features=RICH).double() for one in rows)
    targets = [dataset.targets()[one] for one in rows]
    mean, deviation = train.mean(dim=0), train.std(dim=0, correction=0)
    scaled = [(x - mean) / deviation.where(deviation > 0, 1.0) for x in (train, val)]
    for x in scaled:
        x.unflatten(1, (2, 258))[..., -2:] *= 3
    scores = RidgeCV(np.logspace(-1, 5, 7)).fit(scaled[0], targets[0].astype(float)).predict(scaled[1])
    expected = np.mean([roc_auc_score(y, p) for y, p in zip(targets[1].T, scores.T, strict=True)])
    assert rich.auroc == pytest.approx(expected, abs=1e-3)


def test_open_quality_data_refuses_z_scores_for_rich_features(tmp_path):
    encoder = random_encoder(EncoderConfig(("II", "V1"), 6.4, 64), 1)
    folder = write_labelled(tmp_path / "z", unit="z-score (data set)")
    open_quality_data(folder, 0, encoder)
    with pytest.raises(LfbtError, match="features: rich has the leads' amplitudes in mV"):
        open_quality_data(folder, 0, encoder, RICH)
