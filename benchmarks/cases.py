"""The rows of the table: targets relative to the literal form, and what lfbt reaches."""

from __future__ import annotations

import copy
import dataclasses
import functools
import itertools
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from benchmarks import ours, reference
from benchmarks.answers import answers
from benchmarks.data import CLASSES, write_npy, write_packed
from benchmarks.measure import Timings, interleaved, matmul_peak, median_seconds, seconds_of
from benchmarks.memory import in_fresh_process
from benchmarks.rows import Row, at_most, faster, smaller
from benchmarks.sizes import Sizes, StepSize
from benchmarks.tasks import literal_loss, literal_step, literal_views, our_loss, our_step, packed_batch
from lfbt.recording import PAPER_LEADS
from lfbt.signal import Normalisation
from lfbt.sources.listing import SPLITS

# Relative, in float32. Where rounding alone moves the literal form this far, ours may differ by a few times as much.
_AGREEMENT = 1e-3
_ROUNDING = 3.0
# In float64 the literal form needs twice its memory.
_CHECK_BATCH = 32


def relative_difference(own: Tensor, literal: Tensor) -> float:
    """The norm of the difference, relative to that of the second tensor."""
    return float((own.double() - literal.double()).norm() / literal.double().norm())


def loss(sizes: Sizes) -> list[Row]:
    """The loss alone, forward and backward."""
    size = sizes.step
    literal, own = literal_loss(size), our_loss(size)
    difference = relative_difference(own(), literal())
    timings = interleaved(literal, own, sizes.rounds)
    literal_run, own_run = (in_fresh_process(task, size) for task in ("literal-loss", "our-loss"))
    what = f"loss, forward and backward, {_batch(size)}, D {size.projector[-1]}"
    return [
        faster(f"{what}: time", 20, timings, f"values differ by {difference:.1e}", agree=difference <= _AGREEMENT),
        smaller(
            f"{what}: memory",
            20,
            literal_run.increase_gb,
            own_run.increase_gb,
            "rise of the peak over what was resident before, in a fresh process",
        ),
    ]


def _equal_models(size: StepSize) -> tuple[ours.TrainState, reference.Reference]:
    """Ours and the literal form with the same weights."""
    own = ours.new_model(size.leads, size.n_samples, size.projector)
    literal = reference.Reference(size.n_leads, size.projector)
    ours.copy_encoder(own.encoder, literal)
    ours.copy_projectors(own.projectors, literal)
    return own, literal


def step(sizes: Sizes) -> list[Row]:
    """A complete pretraining step, and the share of the machine's peak that its arithmetic reaches."""
    size = sizes.step
    own_model, literal_model = _equal_models(size)
    peaks: list[float] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        check = dataclasses.replace(size, batch=min(size.batch, _CHECK_BATCH))
        differences = _differences(folder / "check", check, own_model, literal_model)
        literal, own = literal_step(folder, size, literal_model), our_step(folder, size, own_model)
        timings = interleaved(literal, own, sizes.rounds, lambda: peaks.append(matmul_peak(sizes.matmul)))
    agree = all(a <= max(_AGREEMENT, _ROUNDING * b) for a, b in differences.values())
    found = "; ".join(f"{what} {a:.1e} (literal {b:.1e})" for what, (a, b) in differences.items())
    note = (
        "read, views, forward, backward, Adam; no worker processes; relative distance to the literal form in float64, "
        f"same weights and draws, {check.batch} records: {found}"
    )
    # Forward once, backward twice the arithmetic of forward, two views.
    giga = 3 * 2 * size.batch * reference.multiply_adds(literal_model, size.n_samples) / 1e9
    peak = statistics.median(peaks)
    shares = [giga / seconds / peak for seconds in timings.ours]
    share = statistics.median(shares)
    what = f"pretraining step, {_batch(size)}, {size.n_samples} samples"
    return [
        faster(f"{what}: time", 3, timings, note, agree=agree),
        Row(
            what=f"{what}: share of the peak of a matrix product",
            target="≥ 55 %",
            unit="GMAC/s",
            literal=peak,
            ours=share * peak,
            ratio_median=share,
            ratio_min=min(shares),
            ratio_max=max(shares),
            reached=share >= 0.55,
            note=f"{giga:.1f} GMAC a step in encoders and projectors, the loss not counted; float32 products of "
            f"{sizes.matmul} × {sizes.matmul}, sampled between the rounds",
            against="peak",
        ),
    ]


def _differences(
    folder: Path, size: StepSize, own: ours.TrainState, literal: reference.Reference
) -> dict[str, tuple[float, float]]:
    """Distances of ours and of the literal form from the literal form in float64, for loss and gradients.

    All start from the same weights and draws. A ReLU input near zero that rounding pushes across zero changes the
    gradient abruptly, which is chance at tiny sizes: the literal form's own distance shows the size of this effect.
    """
    dataset, draws = packed_batch(folder / "packed", size)
    own_found = ours.gradients(own, ours.read_batch(dataset, np.arange(size.batch)), draws)
    first, second = next(iter(literal_views(folder, size)))
    exact = copy.deepcopy(literal).double()
    literal_found = _literal_outcome(literal, first, second)
    exact_found = _literal_outcome(exact, first.double(), second.double())
    names = ("loss", "gradient of the first convolution", "gradient of the last convolution")
    return {
        name: (relative_difference(a, c), relative_difference(b, c))
        for name, a, b, c in zip(names, own_found, literal_found, exact_found, strict=True)
    }


def _literal_outcome(model: reference.Reference, first: Tensor, second: Tensor) -> tuple[Tensor, ...]:
    """The loss, and the gradients of the first and of the last convolution ``[leads, out, in, 3]``."""
    loss = reference.backward(model, first, second)
    stacks = [[layer for layer in stack.children() if isinstance(layer, nn.Conv1d)] for stack in model.encoders]
    weights = ([layers[place].weight.grad for layers in stacks] for place in (0, -1))
    gradients = (torch.stack([weight for weight in of_place if weight is not None]) for of_place in weights)
    return torch.tensor(loss, dtype=torch.float64), *gradients


def half_precision(sizes: Sizes) -> list[Row]:
    """The same step in bf16, beside the literal form in float32 and in PyTorch's own bf16; the small preset's step."""
    size = sizes.step
    own_model, literal_model = _equal_models(size)
    small = sizes.small_step
    small_model = ours.new_model(small.leads, small.n_samples, small.projector)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        check = dataclasses.replace(size, batch=min(size.batch, _CHECK_BATCH))
        differences = _differences_in_bf16(folder / "check", check, own_model, literal_model)
        literal, own = literal_step(folder, size, literal_model), our_step(folder, size, own_model, "bf16")
        timings = interleaved(literal, own, sizes.rounds)
        autocast = interleaved(_autocast(literal), own, sizes.rounds)
        single, half = (our_step(folder / "small", small, small_model, precision) for precision in ("fp32", "bf16"))
        small_timings = interleaved(single, half, 4 * sizes.rounds)
    agree = all(a <= _ROUNDING * b for a, b in differences.values())
    found = "; ".join(f"{what} {a:.1e} ({b:.1e})" for what, (a, b) in differences.items())
    note = (
        "literal in float32; relative distance of ours to it, and in brackets of PyTorch's own layers under autocast, "
        f"{check.batch} records: {found}"
    )
    memory = [in_fresh_process(task, size) for task in ("literal-step", "our-step-bf16")]
    what = f"pretraining step in bf16, {_batch(size)}, {size.n_samples} samples"
    default = "ours in float32"
    return [
        faster(f"{what}: time", 6, timings, note, agree=agree),
        faster(f"{what}: time beside PyTorch's autocast", 1, autocast, "the literal form in bf16", "autocast"),
        smaller(f"{what}: peak memory", 4, memory[0].peak_gb, memory[1].peak_gb, "as of the step in float32"),
        faster(f"pretraining step of the preset small, {_batch(small)}: time", 1.8, small_timings, default, default),
    ]


def _autocast(task: Callable[[], object]) -> Callable[[], None]:
    """The task under PyTorch's own autocast to bf16."""

    def run() -> None:
        with torch.autocast("cpu", torch.bfloat16):
            task()

    return run


def _differences_in_bf16(
    folder: Path, size: StepSize, own: ours.TrainState, literal: reference.Reference
) -> dict[str, tuple[float, float]]:
    """Distances from the literal form in float32: of ours in bf16, and of the literal form under PyTorch's autocast."""
    dataset, draws = packed_batch(folder / "packed", size)
    own_found = ours.gradients(own, ours.read_batch(dataset, np.arange(size.batch)), draws, "bf16")
    views = next(iter(literal_views(folder, size)))
    with torch.autocast("cpu", torch.bfloat16):
        rounded_found = _literal_outcome(literal, *views)
    literal_found = _literal_outcome(literal, *views)
    names = ("loss", "gradient of the first convolution", "gradient of the last convolution")
    return {
        name: (relative_difference(a, c), relative_difference(b, c))
        for name, a, b, c in zip(names, own_found, rounded_found, literal_found, strict=True)
    }


def compiled(sizes: Sizes) -> list[Row]:
    """One lead's encoder under torch.compile."""
    size = sizes.step
    model = ours.new_model(size.leads[:1], size.n_samples, (1,))
    stack = reference.Reference(1, (1,)).encoders[0].train()
    signals = torch.randn(size.batch, 1, size.n_samples)
    fast = torch.compile(stack)
    first, _ = seconds_of(lambda: fast(signals).sum().backward())
    timings = interleaved(
        lambda: fast(signals).sum().backward(), lambda: model.encoder(signals).sum().backward(), sizes.rounds
    )
    note = f"literal: PyTorch's layers under torch.compile, whose first call took {first:.0f} s"
    return [faster(f"one lead's encoder, forward and backward, B {size.batch}", 1, timings, note, against="compiled")]


def memory(sizes: Sizes) -> list[Row]:
    """Peak memory of a step, and the time that `low_memory` costs."""
    size = sizes.step
    literal, own = (in_fresh_process(task, size) for task in ("literal-step", "our-step"))
    low = in_fresh_process("our-step", size, low_memory=True)
    with tempfile.TemporaryDirectory() as name:
        low_step, default_step = (
            our_step(Path(name), size, ours.new_model(size.leads, size.n_samples, size.projector, low_memory))
            for low_memory in (True, False)
        )
        timings = interleaved(low_step, default_step, sizes.rounds)
    slowdown = statistics.median(timings.ratios)
    what = f"pretraining step, {_batch(size)}, {size.n_samples} samples"
    whole = "peak of a fresh process over four steps, all of Python, PyTorch and the weights included"
    rise = "rise of the peak over what was resident before the first step: activations, gradients and Adam's moments"
    return [
        smaller(f"{what}: peak memory", 2, literal.peak_gb, own.peak_gb, whole),
        smaller(f"{what}: peak memory with low memory", 6, literal.peak_gb, low.peak_gb, whole),
        smaller(f"{what}: memory of the step with low memory", 6, literal.increase_gb, low.increase_gb, rise),
        Row(
            what=f"{what}: time with low memory",
            target="≤ 1.4× the default's",
            unit="s",
            literal=statistics.median(timings.ours),
            ours=statistics.median(timings.literal),
            ratio_median=slowdown,
            ratio_min=min(timings.ratios),
            ratio_max=max(timings.ratios),
            reached=slowdown <= 1.4,
            against="our default",
        ),
    ]


def large_batch(sizes: Sizes) -> list[Row]:
    """A batch that fits an ordinary machine only with `low_memory`."""
    size = dataclasses.replace(sizes.step, batch=sizes.large_batch)
    run = in_fresh_process("our-step", size, low_memory=True, runs=2)
    note = f"{run.seconds:.3g} s a step" if run.seconds is not None else "memory was not enough"
    return [at_most(f"pretraining step, {_batch(size)}, low memory: peak memory", 16, run.peak_gb, "GB", note)]


def reading(sizes: Sizes) -> list[Row]:
    """Random batches of a packed data set and of .npy files."""
    size = sizes.step
    with tempfile.TemporaryDirectory() as name:
        packed = Path(name) / "packed"
        write_packed(packed, sizes.read_records, size.leads, size.n_samples)
        files = write_npy(packed, Path(name) / "npy")
        dataset = ours.open_dataset(packed)
        rows = np.random.default_rng(0).integers(sizes.read_records, size=(sizes.read_batches, size.batch))
        batches = rows.tolist()
        # Both sides find everything in the page cache.
        for number, file in enumerate(files):
            file.read_bytes()
            np.asarray(dataset.signals[np.array([number])])
        ways: list[tuple[reference.Records, Normalisation]] = [
            (reference.Records(files, np.load), "none"),
            (reference.Records(files), "record"),
        ]
        stored, scored = (
            interleaved(
                lambda: sum(map(len, DataLoader(records, batch_sampler=batches))),  # noqa: B023
                lambda: ours.read_batches(dataset, list(rows), how),  # noqa: B023 - called before the next
                sizes.rounds,
            )
            for records, how in ways
        )
    what = f"read random batches of {size.batch} from {sizes.read_records:,} records"
    note = (
        f"{sizes.read_batches} batches a round, as stored; page cache warm on both sides; no worker processes, ours in "
        "two threads, its records compared with their hashes in an untimed round before; literal: one .npy file a "
        "record, a DataLoader. z-scored too, ours takes "
        f"{statistics.median(scored.ours):.3g} s and is {statistics.median(scored.ratios):.3g}× faster"
    )
    return [faster(what, 20, stored, note)]


def embedding(sizes: Sizes) -> list[Row]:
    """Embeddings of records by a frozen encoder."""
    size, n = sizes.step, sizes.embed_records
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_packed(folder / "packed", n, size.leads, size.n_samples)
        files = write_npy(folder / "packed", folder / "npy")
        dataset = ours.open_dataset(folder / "packed")
        encoder = ours.new_encoder(dataset, folder / "encoder")
        model = reference.Reference(size.n_leads, size.projector)
        ours.copy_encoder(encoder, model)
        literal = functools.partial(reference.features_of, model, files, 128)
        single = functools.partial(ours.embeddings, encoder, dataset, n, "fp32")
        half = functools.partial(ours.embeddings, encoder, dataset, n, "bf16")
        exact = reference.features_of(model, files, 128)
        differences = [relative_difference(own(), exact) for own in (single, half)]
        timings = interleaved(literal, single, sizes.rounds)
        half_timings = interleaved(single, half, sizes.rounds)
        rounded = interleaved(_autocast(literal), half, sizes.rounds)
        fast = copy.deepcopy(model).eval()
        fast.encoders = nn.ModuleList(torch.compile(stack) for stack in fast.encoders)  # type: ignore[misc]
        compiled = functools.partial(reference.features_of, fast, files, 128)
        compiling, _ = seconds_of(compiled)
        by_inductor = interleaved(compiled, single, sizes.rounds)
        by_onnx = interleaved(ours.onnx_embeddings(folder / "encoder", dataset, n), single, sizes.rounds)
    what = f"embed {n:,} records, {size.n_leads} leads, {size.n_samples} samples"
    notes = [f"relative distance to the literal form {difference:.1e}" for difference in differences]
    notes[0] += f"; {n * size.n_leads * reference.encoder_multiply_adds(size.n_samples) / 1e9:.0f} GMAC"
    agree = differences[0] <= _AGREEMENT
    return [
        faster(f"{what}: time", 4, timings, f"{_per_second(n, timings)}; {notes[0]}", agree=agree),
        faster(f"{what}: time in bf16", 1.3, half_timings, f"{_per_second(n, half_timings)}; {notes[1]}", "fp32"),
        faster(f"{what}: time in bf16 beside PyTorch's autocast", 1, rounded, "the literal form in bf16", "autocast"),
        faster(f"{what}: time beside torch.compile", 1, by_inductor, f"first call {compiling:.0f} s", "compiled"),
        faster(f"{what}: time beside onnxruntime", 1, by_onnx, "the exported encoder, signals in mV", "onnxruntime"),
    ]


def linear_probe(sizes: Sizes) -> list[Row]:
    """The linear probe from signals to test scores: one round, as it takes minutes."""
    from sklearn.metrics import roc_auc_score

    size, seed = sizes.step, 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_packed(folder / "packed", sizes.probe_records, size.leads, size.n_samples, labelled=True)
        files = write_npy(folder / "packed", folder / "npy")
        dataset = ours.open_dataset(folder / "packed")
        encoder = ours.new_encoder(dataset, folder / "encoder")
        model = reference.Reference(size.n_leads, size.projector)
        ours.copy_encoder(encoder, model)
        rows = {split: dataset.rows(split) for split in SPLITS}
        targets = {split: dataset.targets()[chosen].argmax(axis=1) for split, chosen in rows.items()}
        literal_seconds, literal = seconds_of(
            lambda: reference.probe(
                model,
                ours.new_head(size.n_leads * encoder.config.n_features, len(CLASSES), seed),
                {split: [files[row] for row in chosen] for split, chosen in rows.items()},
                targets,
                lambda epoch: [
                    batch.tolist() for batch in ours.epoch_batches(np.arange(len(rows["train"])), 128, seed, epoch)
                ],
                sizes.probe_epochs,
            )
        )
        seconds, results = seconds_of(
            lambda: ours.probed(folder / "packed", folder / "encoder", folder / "run", sizes.probe_epochs, seed)
        )
    literal_auroc = float(roc_auc_score(targets["test"], literal.test, multi_class="ovr"))
    auroc, chosen = results.test.auroc or 0.0, results.chosen
    epoch = chosen["epoch"] if isinstance(chosen, dict) else None
    agree = epoch == literal.best_epoch and abs(auroc - literal_auroc) <= 1e-3
    what = f"linear probe, {sizes.probe_records:,} records, {sizes.probe_epochs} epochs, same result"
    note = (
        f"one round; epoch kept {epoch}, literal {literal.best_epoch}; test AUROC {auroc:.5f}, literal "
        f"{literal_auroc:.5f}; ours also scores and writes its run folder"
    )
    return [faster(what, 4, Timings((literal_seconds,), (seconds,)), note, agree=agree)]


def preparation(sizes: Sizes) -> list[Row]:
    """WFDB recordings to records."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ours.write_ptbxl(folder / "download", sizes.prepare_records, seed=0)
        headers = sorted((folder / "download").rglob("*.hea"))
        numbers = itertools.count()

        def target() -> Path:
            return folder / f"target-{next(numbers)}"

        def plain() -> None:
            reference.prepare(headers, PAPER_LEADS, 2048, target())

        def own(workers: int) -> None:
            # Of the synthetic ones two in four thousand are no better than noise or hum.
            if ours.prepared(folder / "download", target(), workers) < 0.999 * len(headers):
                raise RuntimeError("lfbt dropped more than one in a thousand of the records that the literal form kept")

        against_plain = interleaved(plain, lambda: own(1), sizes.rounds)
        against_one = interleaved(lambda: own(1), lambda: own(2), sizes.rounds)
    what = f"prepare {sizes.prepare_records:,} WFDB recordings"
    return [
        faster(f"{what}, 1 worker", 1.5, against_plain, _per_second(sizes.prepare_records, against_plain)),
        faster(f"{what}, 2 workers", 1.7, against_one, _per_second(sizes.prepare_records, against_one), "1 worker"),
    ]


def _per_second(n_records: int, timings: Timings) -> str:
    before, after = (n_records / statistics.median(side) for side in (timings.literal, timings.ours))
    return f"{before:.0f} → {after:.0f} records a second"


def start(sizes: Sizes) -> list[Row]:
    """Start-up time of the command, and what the import loads."""
    seconds = median_seconds(lambda: _python("-m", "lfbt", "--help"), sizes.rounds)
    without_torch = _python("-c", "import sys, lfbt; print('torch' in sys.modules)").strip() == "False"
    return [
        at_most("lfbt --help", 0.5, seconds, "s", "a new process, files in the page cache"),
        Row("import lfbt", "does not import torch", "", None, None, None, None, None, without_torch),
    ]


def _python(*words: str) -> str:
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, check=True).stdout


def _batch(size: StepSize) -> str:
    return f"B {size.batch}, {size.n_leads} leads"


#: The cases by their name on the command line, in the table's order.
CASES: dict[str, Callable[[Sizes], Sequence[Row]]] = {
    "loss": loss,
    "step": step,
    "bf16": half_precision,
    "compile": compiled,
    "memory": memory,
    "large-batch": large_batch,
    "reading": reading,
    "embed": embedding,
    "probe": linear_probe,
    "prepare": preparation,
    "start": start,
    "answers": lambda sizes: answers(sizes.answer_files),
}
