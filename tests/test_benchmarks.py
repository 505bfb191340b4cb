"""The benchmark: its literal form is the method, its command runs, and the documentation shows what it wrote."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from benchmarks import (
    many_records,
    objectives,
    onnx_variants,
    ours,
    reading,
    real_records,
    reference,
    scaling,
    small_preset,
)
from benchmarks.cases import CASES
from benchmarks.measure import Timings, fitted_exponent
from benchmarks.render import BEGIN, END, render, with_section
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score
from tests.literal import literal_encoder, literal_loss, literal_projector, literal_view
from tests.published_files import write_wfdb

from lfbt.errors import LfbtError
from lfbt.models.encoder import EncoderConfig
from lfbt.recording import PAPER_LEADS
from lfbt.signal import resample_lead
from lfbt.training.train_state import create_train_state
from lfbt.utils.settings import validate

ROOT = Path(__file__).parents[1]


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_literal_loss_is_the_method():
    z1, z2 = random(5, 3, 6), random(5, 3, 6, seed=1)
    total, *_ = literal_loss(z1, z2, 0.8, 0.0051)
    found = reference.lfbt_loss([z.contiguous() for z in z1.unbind(1)], [z.contiguous() for z in z2.unbind(1)])
    torch.testing.assert_close(found, total)


def test_the_literal_views_are_the_method():
    signal = np.random.default_rng(0).standard_normal((3, 64)).astype(np.float32)
    for draws in np.random.default_rng(1).random((20, 4)):
        np.testing.assert_allclose(reference.random_view(signal, draws), literal_view(signal, draws), rtol=0, atol=1e-5)


def test_the_literal_model_is_the_method_with_our_weights():
    model = ours.new_model(PAPER_LEADS[:2], 64, (16, 16))
    literal = reference.Reference(2, (16, 16))
    ours.copy_encoder(model.encoder, literal)
    ours.copy_projectors(model.projectors, literal)
    x = random(6, 2, 64).float()
    for lead, (stack, projector) in enumerate(zip(literal.encoders, literal.projectors, strict=True)):
        expected = literal_encoder(model.encoder.encoders[PAPER_LEADS[lead]])(x[:, lead : lead + 1])
        features = stack(x[:, lead : lead + 1]).mean(dim=2)
        torch.testing.assert_close(features, expected)
        torch.testing.assert_close(projector(features), literal_projector(model.projectors.projectors[lead])(expected))


def test_multiply_adds_are_the_methods():
    """Section 2 of the method: 18.1 million a lead at 2048 samples; the projectors 64 → 2048 → 2048 → 2048."""
    lead = reference.multiply_adds(reference.Reference(1, (1,)), 2048) - 64
    assert lead == pytest.approx(18.1e6, rel=0.005)
    both = reference.multiply_adds(reference.Reference(1, (2048, 2048, 2048)), 2048)
    assert both - lead == 64 * 2048 + 2 * 2048**2


def test_ratios_are_taken_round_by_round():
    assert Timings((2.0, 9.0), (1.0, 3.0)).ratios == (2.0, 3.0)


def test_exponents():
    assert fitted_exponent([1, 10, 100], [3, 300, 30_000]) == pytest.approx(2)
    assert fitted_exponent([1, 10], [None, 3.0]) is None


def test_the_command_runs(tmp_path):
    """At sizes that mean nothing, which the result says."""
    docs, out = tmp_path / "page.md", tmp_path / "results.json"
    docs.write_text(f"above\n{BEGIN}\nold\n{END}\nbelow\n")
    words = ["--quick", "--only", "loss", "step", "reading", "start", "--out", out, "--docs", docs]
    subprocess.run([sys.executable, "-m", "benchmarks", *words], cwd=ROOT, check=True, capture_output=True)
    results = json.loads(out.read_text())
    assert list(results["rows"]) == ["loss", "step", "reading", "start"]
    text = docs.read_text()
    assert text == with_section(f"above\n{BEGIN}\n{END}\nbelow\n", render(results))
    assert "sizes too small to mean anything" in text
    assert "old" not in text
    assert (text.startswith("above\n"), text.endswith("below\n")) == (True, True)


def test_the_model_of_many_gpus_by_hand():
    """Of two processes each sends all gradients once, and half of the batch's projections."""
    gradients, projections, of_loss, norms = scaling.sent(2, 128)
    counted = create_train_state(EncoderConfig(PAPER_LEADS, 204.8, 2048), (2048,) * 3, 1e-3).model.parameters()
    assert gradients.n_bytes == 4 * sum(map(torch.numel, counted))
    assert projections.n_bytes == 4 * 2 * 128 * 8 * 2048 / 2
    assert of_loss.n_bytes == 4 * 64 * 2049
    channels = 8 * (8 + 8 + 16 + 16 + 3 * 32 + 6 * 64) + 3 * 8 * 2048
    assert norms.n_bytes == pytest.approx(4 * 2 * 2 * channels * 2)
    assert norms.collectives == 2 * 2 * (13 + 3)
    alone, waiting = scaling.seconds(1, 128, scaling.NETWORKS[0])
    lead = reference.multiply_adds(reference.Reference(1, (1,)), 2048) - 64
    loss = 2 * 2 * 8 * 128 * 128 * 2048
    step = 6 * 128 * 8 * (lead + 64 * 2048 + 2 * 2048**2) + loss
    assert alone == pytest.approx(step / 7.5e12)
    assert waiting == 0


def test_the_score_of_a_candidate_is_that_of_each_fold_by_the_others():
    rng = np.random.default_rng(0)
    classes, fold_of = rng.integers(0, 3, 60), rng.integers(0, 4, 60)
    fold_of[:4] = range(4)
    features = (rng.standard_normal((60, 5)) + classes[:, None]).astype(np.float32)
    targets = classes[:, None] == range(4)  # of the last one there is no record
    probabilities = np.zeros((60, 3))
    for row in range(60):
        others = fold_of != fold_of[row]
        mean, deviation = features[others].mean(axis=0), features[others].std(axis=0)
        model = LogisticRegression(C=0.01, max_iter=1000).fit((features[others] - mean) / deviation, classes[others])
        probabilities[row] = model.predict_proba((features[row : row + 1] - mean) / deviation)
    pairs = [(targets[:, i], probabilities[:, i]) for i in range(3)]
    expected = [[roc_auc_score(*pair) for pair in pairs], [average_precision_score(*pair) for pair in pairs]]
    auroc, auprc = small_preset.score_in_folds(features, targets, fold_of)
    assert [auroc[:3], auprc[:3]] == [pytest.approx(of_classes) for of_classes in expected]
    assert np.isnan([auroc[3], auprc[3]]).all()
    one = small_preset.score_in_folds(features, targets, fold_of, folds=(2,))
    within = [roc_auc_score(truth[fold_of == 2], p[fold_of == 2]) for truth, p in pairs]
    assert one[0, :3] == pytest.approx(within)


def test_pretrain_settings_of_every_objective_and_candidate_are_valid():
    for name, own in objectives.OBJECTIVES.items():
        settings = objectives.pretrain_settings(Path("out"), name, seed=1, epochs=20)
        validate(settings)
        assert settings.loss.objective == own.get("objective", "lfbt")
        assert (settings.preset, settings.model.normalisation, settings.seed) == ("small", "record", 1)
    for name, candidate in small_preset.CANDIDATES.items():
        settings = small_preset.pretrain_settings(Path("out"), name)
        validate(settings)
        assert (settings.optimizer.epochs, settings.data.leads) == (candidate.epochs, candidate.leads)
        assert settings.model.normalisation == candidate.changes.get("normalisation", "record")


def test_the_documentation_shows_the_model():
    assert scaling.render() in (ROOT / "docs" / "scaling.md").read_text()


def test_the_documentation_shows_what_was_measured():
    results = json.loads((ROOT / "docs" / "performance.json").read_text())
    assert not results["quick"]
    text = (ROOT / "docs" / "performance.md").read_text()
    assert list(results["rows"]) == [name for name in CASES if name in results["rows"]]
    for name in CASES.keys() - results["rows"].keys():
        assert f"`--only {name}` was added after the tables below" in text
    assert results["growth"]
    assert render(results) in text


@pytest.mark.parametrize("seed", [0, 1])
def test_reading_finds_nothing_wrong_and_no_traceback(seed):
    counts = reading.count(6, seed)
    for kind, of_kind in counts.items():
        assert (kind, of_kind["wrong"], of_kind["traceback"], of_kind["unneeded"]) == (kind, 0, 0, 0)
        assert of_kind["right"] + of_kind["refused"] == 6
    assert sum(of_kind["right"] for of_kind in counts.values()) > 30
    assert sum(of_kind["refused"] for of_kind in counts.values()) > 10


def test_reading_tells_wrong_values_and_tracebacks():
    value = np.array([1.0, 2.0])

    def fail():
        raise KeyError("x")

    def refuse():
        raise LfbtError("x: is not y")

    cases = {
        "right": reading.Case(lambda: value + 1e-9, value, 1e-6),
        "wrong": reading.Case(lambda: value + 1e-3, value, 1e-6),
        "traceback": reading.Case(fail, value),
        "refused": reading.Case(refuse, None),
    }
    assert {name: reading.outcome(case) for name, case in cases.items()} == {name: name for name in cases}
    assert reading.outcome(reading.Case(lambda: value, None)) == "wrong"


def test_reliability_shows_all_kinds_without_a_fault():
    text = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    rows = [
        line.strip("| ").split(" | ") for line in text.split(BEGIN)[1].split(END)[0].splitlines() if line[:2] == "| "
    ]
    assert [row[0] for row in rows[1:]] == [*reading.KINDS, "all"]
    assert {tuple(row[-2:]) for row in rows[1:]} == {("0", "0")}


def test_many_records_opens_what_it_writes():
    n, seconds, gigabytes = many_records.measure(50)
    assert n == 50
    assert seconds > 0
    assert 0 <= gigabytes < 1


def test_macro_auroc_leaves_out_classes_without_records():
    targets = np.array([[1, 0, 0], [0, 1, 0], [0, 1, 0]], dtype=bool)
    probabilities = np.array([[0.9, 0.4, 0.1], [0.1, 0.6, 0.2], [0.2, 0.3, 0.3]], dtype=np.float32)
    assert onnx_variants.macro_auroc(targets, probabilities) == pytest.approx((1.0 + 0.5) / 2)


def test_real_records_counts_units_and_measures_the_ends(tmp_path):
    """Two leads that drift by 2 mV: taken for periodic, the ends are wrong by most of that."""
    t = np.arange(5000) / 500
    lead = np.round(200 * (0.2 * t + np.sin(2 * np.pi * 1.3 * t))).astype(np.int16)
    write_wfdb(tmp_path, "r", np.stack([lead, lead]), gains=[200, 200], leads=("I", "II"))
    (record,) = real_records.recordings(tmp_path)
    rows = {row.split("|")[1].strip(): row.split("|")[2:-1] for row in real_records.voltages([record])}
    assert [float(cell) for cell in rows["mV, as it is"]] == [1, 0, 0, 0, 0]
    assert all(float(rows[unit][-1]) == 100 for unit in real_records.UNITS)
    periodic = np.array(real_records.errors_of_common_rate(record, real_records.periodic))
    mirrored = np.array(real_records.errors_of_common_rate(record, resample_lead))
    assert (periodic[:, :2] > [0.04, 0.2]).all()
    assert (mirrored[:, :2] < periodic[:, :2] / 5).all()
    assert np.array(real_records.errors_of_prepare(record)).shape == (2, 3)
    assert len(real_records.resampling([record])) == 3


def test_real_records_finds_the_ends_of_real_ecgs_ten_times_nearer(shared_data):
    records = list(real_records.recordings(shared_data / "ptbxl" / "records500"))[:40]
    periodic, mirrored = (
        np.array([lead for record in records for lead in real_records.errors_of_common_rate(record, way)])
        for way in (real_records.periodic, resample_lead)
    )
    assert np.median(mirrored[:, 0]) < 0.005 < 0.01 < np.median(periodic[:, 0])
    assert np.median(mirrored[:, 1]) < 0.01 < 0.05 < np.median(periodic[:, 1])


def test_real_records_refuses_at_most_one_of_a_hundred_acceptable_ecgs_and_all_wrong_units(shared_data):
    records = list(real_records.recordings(shared_data / "cinc2011" / "acceptable"))
    assert len(records) == 773
    found = np.array([real_records.refused(record.signal, record) for record in records])
    assert found.sum(axis=0).tolist() == [6, 33, 2]
    rows = {row.split("|")[1].strip(): float(row.split("|")[-2]) for row in real_records.voltages(records)}
    assert {unit: rows[unit] for unit in real_records.UNITS} == dict.fromkeys(real_records.UNITS, 100.0) | {"V": 99.9}
