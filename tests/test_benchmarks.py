"""The benchmark: its literal form is the method, its command runs, and the documentation shows what it wrote."""

import dataclasses
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from benchmarks import (
    isolation,
    load,
    many_records,
    objectives,
    onnx_variants,
    other_views,
    ours,
    preset_search,
    preset_seeds,
    reading,
    real_records,
    reference,
    rich_features,
    rivals,
    scaling,
    serving,
    small_preset,
    threads,
)
from benchmarks.cases import CASES
from benchmarks.gpu import agreement, protocol, variants, worker
from benchmarks.gpu import device as gpu_device
from benchmarks.gpu import render as gpu_render
from benchmarks.gpu.items import ITEMS, chosen
from benchmarks.gpu.results import Check, Figure, Place, at_most
from benchmarks.gpu.sizes import QUICK
from benchmarks.measure import Timings, fitted_exponent
from benchmarks.render import BEGIN, END, render, with_section
from benchmarks.resources import Usage, Watch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score
from tests.factories import KINDS, waves, write_checkpoint, write_packed
from tests.literal import literal_encoder, literal_loss, literal_projector, literal_view
from tests.published_files import write_wfdb

import lfbt
from lfbt.data.dataset import from_arrays
from lfbt.data.layouts import open_dataset
from lfbt.errors import LfbtError
from lfbt.evaluation.settings import ProbeSettings
from lfbt.models.cpu import layer_ops
from lfbt.models.encoder import EncoderConfig
from lfbt.models.feature_maps import RICH
from lfbt.models.features import compute_embeddings
from lfbt.models.pretrained import load_encoder
from lfbt.recording import PAPER_LEADS
from lfbt.signal import resample_lead
from lfbt.training.pretraining import Pretrainer
from lfbt.training.settings import PretrainSettings
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


def test_layouts_divide_the_cores():
    assert threads.layouts(6) == [
        threads.Layout(*one) for one in ((1, 1), (1, 2), (1, 4), (1, 6), (2, 3), (4, 1))
    ]  # fmt: skip


def test_steps_by_threads_and_by_processes_have_the_same_loss():
    size = dataclasses.replace(QUICK.step, batch=4)
    found = [
        (one, *threads.measure(one, size, "fp32", rounds=1)) for one in (threads.Layout(1, 1), threads.Layout(2, 1))
    ]
    assert found[0][2] == pytest.approx(found[1][2], rel=1e-4)
    lines = threads.table(found).splitlines()
    assert "1.00×" in lines[2]
    assert lines[3].startswith("| 2 | 1 |")


def test_the_model_of_many_gpus_by_hand():
    """Of two processes each sends all gradients once, and half of the batch's projections."""
    gradients, projections, of_loss, norms = scaling.sent(2, 128)
    counted = create_train_state(EncoderConfig(PAPER_LEADS, 204.8, 2048), (2048,) * 3, 1e-3).model.parameters()
    assert gradients.n_bytes == 4 * sum(map(torch.numel, counted))
    assert projections.n_bytes == 4 * 2 * 128 * 8 * 2048 / 2
    assert of_loss.n_bytes == 4 * 64 * 2049
    channels = 8 * (8 + 8 + 16 + 16 + 3 * 32 + 6 * 64) + 3 * 8 * 2048
    assert norms.n_bytes == pytest.approx(4 * 2 * 2 * channels * 2)
    assert norms.collectives == 2 * 13 + 2 * 2 * 3
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


def test_settings_of_the_second_search_are_valid(monkeypatch):
    monkeypatch.setattr(preset_search, "prepared", lambda *_: [Path("a"), Path("b")])
    monkeypatch.setattr(preset_search, "_synthetic", lambda *_: Path("c"))
    for name, candidate in preset_search.CANDIDATES.items():
        settings = preset_search.pretrain_settings(Path("data"), Path("out"), name, seed=1)
        validate(settings)
        assert (settings.optimizer.epochs, settings.data.leads) == (candidate.epochs, candidate.leads)
        assert len(settings.data.data_dir) == (3 if candidate.synthetic else 2)


def test_table_of_the_second_search_has_means_over_seeds_and_mean_ranks():
    of = lambda value: {"paper": [value] * 8, "rich": [value] * 8}  # noqa: E731
    lines = preset_search.table({"a": [of(0.5), of(0.7)], "b": [of(0.9)]}).splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["a", "b"]
    assert "| 0.600 ± 0.141 / 0.600 ± 0.141 |" in lines[2]
    assert "| 0.900 / 0.900 |" in lines[3]
    assert [line.split("|")[-2].strip() for line in lines[2:]] == ["2.0", "1.0"]


def test_rows_of_several_seeds_draw_these_and_are_paired_with_the_first():
    rng = np.random.default_rng(0)
    one = preset_seeds.Row(rng.random((4, 1, 101)))
    three = preset_seeds.Row(one.figures + np.array([0.1, 0.2, 0.3])[:, None])
    np.testing.assert_array_equal(one.draws(), one.figures[:, 0])
    apart = three.draws() - one.draws()
    np.testing.assert_allclose(apart[:, 0], 0.2)
    # Two of three seeds: their means, each of which occurs.
    assert {round(value, 2) for value in apart[:, 1:].ravel()} == {0.1, 0.15, 0.2, 0.25, 0.3}
    more = preset_seeds.Row(three.figures + 0.5)
    found = {("first", "paper"): one, ("a", "3 runs"): three, ("a, b", "3 runs"): more}
    means, from_first, from_a = preset_seeds.tables(found, ["a", "a, b"]).split("\n\n")
    assert f"| a, 3 runs | {one.figures[0, 0, 0] + 0.2:.3f} ± 0.100 [" in means
    assert from_first.splitlines()[0].startswith("| less first, paper |")
    assert from_first.splitlines()[2].count("| +0.200 [+0.100, +0.300]") == 4
    # The same seeds were drawn for both, so that nothing but the difference is left.
    assert from_a.splitlines()[0].startswith("| less a, the same of it |")
    assert from_a.splitlines()[2:] == ["| a, b, 3 runs | " + " | ".join(["+0.500 [+0.500, +0.500]"] * 4) + " |"]


def test_the_loss_of_mixed_samples_is_the_paper_s():
    z1, z2, mixed = (random(5, 3, 6, seed=seed) for seed in range(3))
    order, alpha = torch.tensor([3, 0, 4, 1, 2]), 0.3
    expected = 0
    for lead in range(3):
        a, b, m = z1[:, lead], z2[:, lead], mixed[:, lead]
        for view in (a, b):
            c = m.T @ view / 5
            c_of_mixture = alpha * a.T @ view / 5 + (1 - alpha) * b[order].T @ view / 5
            expected += (c - c_of_mixture).square().sum() / 2 / 3
    torch.testing.assert_close(other_views.mixed_loss(z1, z2, mixed, alpha, order), expected)
    mixture = alpha * z1 + (1 - alpha) * z2[order]
    assert other_views.mixed_loss(z1, z2, mixture, alpha, order).item() < 1e-24


def test_mixed_samples_change_what_is_learned_and_are_drawn_from_the_seed(tmp_path):
    target = write_packed(tmp_path / "data", waves([i % 3 for i in range(16)]))

    def weights(name, weight=None):
        settings = PretrainSettings.create(
            target, tmp_path / name, epochs=2, batch_size=8, projector="8-8", device="cpu"
        )
        run = Pretrainer(settings) if weight is None else other_views.MixedPretrainer(settings, weight)
        return torch.cat([parameter.flatten() for parameter in load_encoder(run.run()).parameters()])

    learned = weights("mixed", 4.0)
    assert torch.equal(learned, weights("again", 4.0))
    assert not torch.equal(learned, weights("stronger", 8.0))
    torch.testing.assert_close(weights("none", 0.0), weights("two views"))


def test_one_augmented_view_leaves_the_other_as_it_is(tmp_path, monkeypatch):
    target = write_packed(tmp_path / "data", waves([i % 3 for i in range(16)]))
    settings = PretrainSettings.create(target, tmp_path / "run", epochs=1, batch_size=8, projector="8-8", device="cpu")
    run = other_views.OneAugmentedPretrainer(settings)
    seen = []
    learn = Pretrainer.train_step

    def train_step(self, views, batch, rate):
        seen.append((views, batch))
        return learn(self, views, batch, rate)

    monkeypatch.setattr(Pretrainer, "train_step", train_step)
    run.run()
    for views, batch in seen:
        signals = torch.from_numpy(run.records.dataset.batch(batch, "record"))
        torch.testing.assert_close(views[0], signals)
        assert views.shape[0] == 2
        assert not torch.allclose(views[1], signals)


def test_the_documentation_shows_the_model():
    assert scaling.render() in (ROOT / "docs" / "scaling.md").read_text()


def test_the_documentation_shows_what_was_measured():
    results = json.loads((ROOT / "docs" / "performance.json").read_text())
    assert not results["quick"]
    text = (ROOT / "docs" / "performance.md").read_text()
    assert list(results["rows"]) == list(CASES)
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


def test_watch_sees_memory_threads_and_files_of_children():
    """A child of the process holds 60 MB, three threads and twenty files more, for a while."""
    child = """
import threading, time
threads = [threading.Thread(target=time.sleep, args=(0.5,)) for _ in range(3)]
[thread.start() for thread in threads]
held = bytearray(b"x" * 60_000_000), [open("/dev/null") for _ in range(20)]
time.sleep(0.5)
"""
    parent = f"import subprocess, sys; sys.stdin.read(1); subprocess.run([sys.executable, '-c', {child!r}], check=True)"
    process = subprocess.Popen([sys.executable, "-c", parent], stdin=subprocess.PIPE)
    with Watch(process.pid, every=0.02) as before:
        time.sleep(0.3)
    with Watch(process.pid, seconds=0.2, every=0.02) as watch:
        process.communicate(b"x")
    assert process.returncode == 0
    assert watch.most.memory > before.most.memory + 60
    assert watch.most.threads >= before.most.threads + 4
    assert watch.most.handles >= before.most.handles + 20
    # The child lives for half a second or more.
    assert len(watch.intervals) >= 2


def test_load_tells_growth_of_memory_and_of_files():
    def held(records, memory, handles):
        return load.Held("check", records, 2.0, Usage(memory, 1, handles))

    assert load.table([held(1000, 100.0, 4), held(10, 99.0, 4)]) == [
        (
            "lfbt …",
            *(f"{what}, {n} records" for what in ("s", "MB", "open files") for n in ("10", "1,000")),
            "kB a record",
        ),
        ("check", "2", "2", "99", "100", "4", "4", "1.01"),
    ]
    assert not load.grown([held(10, 99.0, 4), held(1000, 100.0, 4)])
    assert load.grown([held(10, 99.0, 4), held(1000, 100 + 990 * load.KILOBYTES / 1000, 4)])
    assert load.grown([held(10, 99.0, 4), held(1000, 100.0, 5 + load.HANDLES)])


@pytest.mark.filterwarnings("ignore:The inplace keyword in DataFrame.drop:DeprecationWarning")
def test_the_files_whose_reading_is_timed_are_read(tmp_path):
    found = {name: read() for name, read in isolation.write_files(tmp_path).items()}
    assert {recording.signal.shape for recording in found.values()} == {(12, 5000), (12, 30000)}


def test_recordings_of_load_are_kept_and_none_is_a_copy(tmp_path):
    load.write_recordings(tmp_path / "recordings", 210)
    leads = ",".join(load.LEADS)
    sizes = {"n_samples": load.N_SAMPLES, "duration": load.N_SAMPLES / load.RATE, "leads": leads, "workers": 1}
    stated = {"file_leads": leads, "file_sampling_rate": load.RATE}
    lfbt.prepare("folder", tmp_path / "recordings", tmp_path / "data", **stated, **sizes)
    signals = open_dataset(tmp_path / "data").signals[np.arange(210)]
    assert len({signal.tobytes() for signal in np.asarray(signals)}) == 210


def test_soak_tells_a_server_that_grows():
    warm = Usage(500.0, 6, 40)
    flat = [(60.0, Usage(400.0, 4, 30)), (120.0, warm), (180.0, Usage(500.0 + serving.BOUND.memory, 6, 40))]
    assert not serving.grown(flat)
    for more in (Usage(541.0, 6, 40), Usage(500.0, 9, 40), Usage(500.0, 6, 49)):
        assert serving.grown([*flat, (240.0, more)])


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


def test_the_gpu_command_checks_everything_on_a_cpu(tmp_path):
    """At sizes that mean nothing; the documentation still says that no GPU was tried."""
    docs, out = tmp_path / "gpu.md", tmp_path / "gpu.json"
    docs.write_text(f"above\n{BEGIN}\nold\n{END}\nbelow\n")
    words = [sys.executable, "-m", "benchmarks.gpu", "--device", "cpu", "--quick", "--out", out, "--docs", docs]
    done = subprocess.run(words, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    results = json.loads(out.read_text())
    assert list(results["items"]) == list(ITEMS)
    checks = gpu_render.list_checks(results)
    assert {check["verdict"] for check in checks} == {"right", "not available"}
    # Two GPUs and a GPU's own features; all else has run.
    why = {check["note"] for check in checks if check["verdict"] == "not available"}
    assert all(reason.startswith(("NCCL", "CUDA graphs", "precision: fp16 needs a GPU")) for reason in why)
    assert docs.read_text() == with_section(f"above\n{BEGIN}\n{END}\nbelow\n", gpu_render.render(results))
    assert gpu_render.UNTRIED in docs.read_text()
    assert "right, 0 wrong, 0 failed" in done.stdout


def test_the_gpu_command_goes_on_with_some_items_and_refuses_unknown_ones(tmp_path):
    out = tmp_path / "gpu.json"

    def run(*words):
        command = [sys.executable, "-m", "benchmarks.gpu", "--quick", "--out", out, *words]
        return subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)

    assert run("--device", "cpu", "--only", "views").returncode == 0
    results = json.loads(out.read_text())
    wrong = {"what": "x", "verdict": "wrong", "value": 2.0, "bound": 1.0, "note": ""}
    results["items"] = {"probe": {"checks": [wrong], "figures": [], "seconds": 0.5}}
    out.write_text(json.dumps(results))
    assert run("--device", "cpu", "--only", "views").returncode == 1
    assert list(json.loads(out.read_text())["items"]) == ["views", "probe"]
    refused = run("--device", "cpu", "--only", "vews")
    assert (refused.returncode, "'vews' is none of views" in refused.stderr) == (2, True)
    if not torch.cuda.is_available():
        assert "PyTorch finds no such GPU" in run().stderr


def _item(name, place):
    """An item that hangs, ends its process, raises, lacks a package, or finds something."""
    if name == "hangs":
        time.sleep(60)
    if name == "crashes":
        os._exit(7)
    if name == "raises":
        raise RuntimeError("CUDA error: an illegal memory access\nmore")
    if name == "lacks":
        raise ModuleNotFoundError("No module named 'msgspec'", name="msgspec")
    return [at_most(f"in {os.getpid()}", 1.0, 2.0), Figure("steps", "one", {"ms": 3.0})]


def test_worker_outlives_items_that_hang_crash_or_raise():
    of_items = worker.Worker(_item, "cpu", QUICK)
    try:
        found = {
            name: of_items.find(name, limit)
            for name, limit in {
                "first": 60,
                "lacks": 60,
                "second": 60,
                "raises": 60,
                "hangs": 1,
                "crashes": 60,
                "last": 60,
            }.items()
        }
    finally:
        of_items.close()
    notes = {name: (one["checks"][0]["verdict"], one["checks"][0]["note"]) for name, one in found.items()}
    assert notes["raises"] == ("failed", "RuntimeError: CUDA error: an illegal memory access")
    assert notes["hangs"] == ("failed", "not done after 1 s")
    assert notes["crashes"] == ("failed", "the process ended with status 7")
    assert notes["lacks"] == ("not available", "the package msgspec is not installed")
    processes = [found[name]["checks"][0]["what"] for name in ("first", "second", "last")]
    # A GPU that refused something once may refuse all else: only what raises nothing keeps its process.
    assert (processes[0] == processes[1], processes[1] == processes[2]) == (True, False)
    assert found["last"]["figures"] == [{"table": "steps", "what": "one", "values": {"ms": 3.0}}]


def test_at_most_takes_what_is_no_number_for_wrong():
    assert [at_most("x", value, 1.0).verdict for value in (1.0, 1.1, float("nan"))] == ["right", "wrong", "wrong"]


@pytest.mark.parametrize("name", ["fp32", "defaults", "tf32", "bf16", "fp16"])
def test_bounds_find_a_gradient_that_is_zero_twice_or_reversed(name, monkeypatch):
    monkeypatch.setattr(layer_ops, "has_numba", lambda: False)  # compiling takes longer than all else
    exact = agreement.exact_outcome(QUICK.check)
    limits = agreement.bounds(QUICK.check, name)
    for factor in (2.5, -1.0):
        found = agreement.distances({what: factor * value for what, value in exact.items()}, exact)
        assert all(found[what] > limits[what] for what in exact)
    zero = agreement.distances({what: 0 * value for what, value in exact.items()}, exact)
    assert all(zero[what] > limits[what] for what in exact if name != "bf16" or "gradient" not in what)


def test_rounded_keeps_so_many_bits():
    x = torch.tensor([1.0, -1 - 2**-10, 1 + 2**-11 + 2**-20, 3e5, 0.0])
    assert agreement.rounded(x, 10).tolist() == [1.0, -1 - 2**-10, 1 + 2**-10, 2**18 * round(3e5 / 2**8) / 2**10, 0.0]
    assert torch.equal(agreement.rounded(x, 7), x.bfloat16().float())


def test_arithmetic_sets_and_restores_the_switches():
    def switches():
        cudnn = torch.backends.cudnn
        return cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32, cudnn.deterministic, cudnn.benchmark

    before = switches()
    for name, (convolutions, products) in gpu_device.TF32.items():
        for free in (False, True):
            with gpu_device.arithmetic(name, free):
                assert switches() == (convolutions, products, not free, free)
    assert switches() == before


def test_events_time_parts_by_the_clock_of_a_gpu(monkeypatch):
    class Event:
        """At the number of milliseconds that is the number of events so far, squared."""

        recorded = 0

        def __init__(self, enable_timing):
            assert enable_timing

        def record(self):
            self.at, Event.recorded = Event.recorded**2, Event.recorded + 1

        def elapsed_time(self, other):
            return other.at - self.at

    waited: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "synchronize", waited.append)
    events = gpu_device.Events(torch.device("cuda"))
    for name in ("", "views", "loss", "views"):
        events.mark(name)
    assert events.milliseconds() == {"views": 1 + 5, "loss": 3}
    assert waited == [torch.device("cuda")]


def test_variants_and_items_have_names_of_their_own():
    assert variants.Variant().name == "shipped, defaults"
    graphed = variants.Variant("batched", "bf16", graph=True, adam="foreach")
    assert graphed.name == "batched, bf16, CUDA graph, Adam foreach"
    assert len(variants.VARIANTS) == len(variants._all())
    assert chosen(["step:stacked:bf16:CUDA-graph", "views"]) == ["views", "step:stacked:bf16:CUDA-graph"]
    assert set(chosen(["step"])) == {name for name in ITEMS if name.startswith("step:")}


def test_the_protocol_by_hand():
    """273 batches of 128 records, 200 epochs, two γ; PTB-XL's 12978 training records are 102 batches, and so on."""
    assert protocol.pretraining_steps() == 2 * 200 * 273
    of_data = {"ptbxl": (11, 21, 51, 102), "cpsc2018": (7, 14, 35, 70), "chapman": (6, 12, 30, 60)}
    assert protocol.classifier_work()[0] == 2 * 100 * sum(map(sum, of_data.values()))
    found = protocol.hours(step_ms=40, finetune_ms=0, embed_rate=1e9, probe_ms=0)
    assert found["in all"] == pytest.approx(109_200 * 0.04 / 3600, rel=0.001)


def test_the_gpu_page_says_which_checks_are_wrong_and_which_target_is_reached(tmp_path):
    place = Place(torch.device("cuda"), QUICK, tmp_path)
    found = worker.answer_of(lambda *_: [at_most("loss | x", 0.5, 0.1), Check("y", "failed", note="why")], "a", place)
    steps = worker.answer_of(
        lambda *_: [
            Figure("steps", what, {"ms": ms})
            for what, ms in (("shipped, bf16, CUDA graph", 41.0), ("stacked, bf16", 12.0))
        ],
        "b",
        place,
    )
    results = {"quick": False, "machine": {"device": "GPU"}, "items": {"a": found, "b": steps}}
    page, lines = gpu_render.render(results), gpu_render.summary(results)
    assert gpu_render.UNTRIED not in page
    assert "| pretraining step, as shipped (shipped, bf16, CUDA graph) | ≤ 40 ms | 41 ms | no |" in page
    assert "| pretraining step, fastest candidate (stacked, bf16) | ≤ 40 ms | 12 ms | yes |" in page
    assert "0 right, 1 wrong, 1 failed, 0 not available" in page
    assert "WRONG loss | x: 0.5 > 0.1" in lines
    assert "FAILED y: why" in lines


def test_the_gpu_page_shows_what_was_run():
    text, file = (ROOT / "docs" / "gpu.md").read_text(), ROOT / "docs" / "gpu.json"
    results = json.loads(file.read_text()) if file.exists() else {}
    assert gpu_render.render(results) in text
    assert (gpu_render.UNTRIED in text) == (results.get("machine", {}).get("device", "cpu") == "cpu")


def test_rich_features_of_the_search_are_those_of_the_library(tmp_path):
    encoder = load_encoder(write_checkpoint(tmp_path / "encoder"))
    dataset = from_arrays(waves(KINDS[:5]), ("II", "V1"), 6.4)
    chosen = rich_features.CANDIDATES["mean, max, blocks 4–5 + amplitudes, 3 times"]
    features, weights = rich_features.pool(encoder, dataset).columns(chosen)
    expected = compute_embeddings(encoder, dataset, np.arange(5), torch.device("cpu"), 0, features=RICH)
    torch.testing.assert_close(features, expected, rtol=0, atol=1e-4)
    assert weights.tolist() == RICH.weights(2, features.shape[1]).tolist()


def test_rich_features_predict_leaves_out_the_patients_it_scores():
    """One feature is the class: of patients that are never trained on, too."""
    classes = np.arange(60) % 2
    features = torch.from_numpy(np.stack([classes * 2.0 - 1, np.ones(60)], axis=1)).float()
    targets = np.eye(2, dtype=bool)[classes]
    patients = [str(i // 4) for i in range(60)]
    found = rich_features.predict(features, torch.ones(2), targets, patients, seed=0)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)
    assert (found.argmax(axis=1) == classes).all()


def test_the_documentation_shows_the_rivals_that_were_measured():
    results = json.loads((ROOT / "docs" / "rivals.json").read_text())
    page = (ROOT / "docs" / "rivals.md").read_text()
    assert rivals.render(results) in page
    for found in results["fractions"].values():
        assert [row["run"] for row in found["rows"]] == [*rivals.ROWS, rivals.FROM_SCRATCH]
        assert {row["test_records"] for row in found["rows"]} == {415}
        assert {len(row["seeds"]) for row in found["rows"]} == {3}
        assert {rival: tuple(row["run"] for row in rows) for rival, rows in found["added"].items()} == rivals.ADDED


def test_the_page_of_rivals_says_what_is_above_and_what_excludes_zero():
    """By hand: one row surely above, one below by no more than chance."""
    figure = {"mean": 0.8, "sd": 0.01, "interval": [0.7, 0.9], "counted": 1000}

    def row(run, difference=None, bounds=None, p=None):
        one = figure | {"difference": difference, "difference_interval": bounds, "p": p, "p_holm": p}
        figures = dict.fromkeys(("auroc", "auprc", "auroc_without_rare", "auprc_without_rare"), one)
        return {
            "run": run, "against": None if difference is None else "LFBT", "rare_classes": ["HYP"], "figures": figures,
            "seeds": [0, 1, 2], "test_records": 415, "test_patients": 395,
        }  # fmt: skip

    rows = [row("LFBT"), row("a", 0.03, [0.01, 0.05], 0.02), row("b", -0.01, [-0.04, 0.02], 0.6)]
    found = {"rows": rows, "added": {"a": [row("LFBT + a", 0.02, [-0.01, 0.05], 0.4)]}}
    page = rivals.render({"classes": {"HYP": 6, "NORM": 409}, "fractions": {"1": found, "0.1": found}})
    assert "415 records of 395 patients (HYP 6, NORM 409)" in page
    assert "for the 2 rows compared" in page
    assert "- AUROC without HYP: above it a*. Below it b." in page
    assert "### All labels" in page
    assert "### 0.1 of the training patients' labels" in page
    assert "What LFBT adds to a rival, with all labels:" in page
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("| ")]
    assert ["b", *["0.800 ± 0.010 [0.700, 0.900]", "0.6"] * 4] in lines
    assert ["LFBT + a", *["+0.020 [-0.010, +0.050]"] * 4] in lines


def test_the_rows_of_rivals_are_valid_settings_and_have_equal_candidates(tmp_path):
    for name, changes in rivals.ROWS.items():
        settings = ProbeSettings.create(tmp_path, tmp_path / "run", folds=10, **changes)
        validate(settings)
        assert settings.fitting.c == rivals.ROWS["MiniRocket"]["c"] or settings.fitting.classifier == "boosting", name


def test_the_rate_of_a_classifier_from_scratch_is_chosen_on_validation():
    def trial(auroc, test):
        val = None if auroc is None else SimpleNamespace(auroc=auroc if auroc else None)
        return SimpleNamespace(results=SimpleNamespace(val=val, test=SimpleNamespace(auroc=test)))

    rows: list[Any] = [
        [trial(None, 0.99), trial(0, 0.9)],
        [trial(0.6, 0.8), trial(0.6, 0.9)],
        [trial(0.7, 0.5), trial(0.6, 0.4)],
        [trial(0.9, 0.9), trial(None, 0.9)],
    ]
    assert rivals.best_on_validation(rows) is rows[2]
