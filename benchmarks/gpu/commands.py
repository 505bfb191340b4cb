"""What follows pretraining, on the device: reading ahead, embeddings, a probe, fine-tuning, and too little memory."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.data import write_packed
from benchmarks.gpu.agreement import bounds, new_signals, new_state
from benchmarks.gpu.device import arithmetic
from benchmarks.gpu.results import Found, Place, at_most, holds
from benchmarks.sizes import StepSize
from lfbt.data.dataset import from_arrays
from lfbt.data.loader import prefetch_batches, sequential_batches
from lfbt.evaluation.classifiers import Fold, fit
from lfbt.evaluation.settings import FittingSettings
from lfbt.inference.embedding import embed_dataset
from lfbt.models.encoder import LeadEncoders, estimate_batch_norm
from lfbt.training.augmentation import draw_views, random_views

# Of probabilities, and of figures on a test set of a hundred records.
_PROBABILITY, _AUROC = 1e-3, 0.02


def trained_encoder(size: StepSize) -> LeadEncoders:
    """An encoder with random weights and estimated statistics, in evaluation mode, on the CPU."""
    encoder = new_state(size).encoder
    estimate_batch_norm(encoder, [new_signals(size)])
    return encoder


def embeddings(place: Place) -> Found:
    """`lfbt.embed` beside the CPU's, with and without TF32."""
    size = place.sizes.check
    found: Found = []
    dataset = from_arrays(new_signals(size, seed=1).numpy(), size.leads, size.n_samples / 10)
    encoder = trained_encoder(size)
    expected = embed_dataset(dataset, encoder, allow_implausible=True, device="cpu")
    for name, what in (("fp32", "embed, fp32"), ("defaults", "embed, TF32 as PyTorch has it")):
        with arithmetic(name):
            own = embed_dataset(dataset, encoder, allow_implausible=True, device=place.device)
        difference = float(np.linalg.norm(own - expected) / np.linalg.norm(expected))
        found.append(at_most(what, difference, bounds(size, name)["features"]))
    return found


def reading_ahead(place: Place) -> Found:
    """Batches that arrive on the device are those that were read, whatever the number of threads."""
    size = place.sizes.check
    signals = np.concatenate([new_signals(size, seed).numpy() for seed in range(4)])
    dataset = from_arrays(signals, size.leads, size.n_samples / 10)
    batches = sequential_batches(np.arange(len(dataset)), max(2, size.batch // 2))
    expected = [dataset.batch(rows, "record") for rows in batches]
    different = 0
    for workers in (0, 1, 4):
        for own, read in zip(
            prefetch_batches(dataset, batches, "record", place.device, workers), expected, strict=True
        ):
            different += own.device.type != place.device.type or not np.array_equal(own.cpu().numpy(), read)
    found: Found = [at_most("prefetch: batches that differ", different, 0, "0, 1 and 4 threads")]
    if place.is_gpu:
        pinned = torch.from_numpy(expected[0]).pin_memory().to(place.device, non_blocking=True)
        found.append(holds("a copy from pinned memory", np.array_equal(pinned.cpu().numpy(), expected[0])))
    return found


def probe_inputs(n_records: int, n_columns: int, device: torch.device) -> Fold:
    """Embeddings of four classes, two thirds train, for a probe."""
    generator = torch.Generator().manual_seed(0)
    classes = torch.randint(4, (n_records,), generator=generator)
    x = torch.randn(n_records, n_columns, generator=generator)
    x[torch.arange(n_records), classes] += 1.0
    known = (classes[:, None] == torch.arange(4)).numpy()
    cuts = np.array_split(np.arange(n_records), [4 * n_records // 6, 5 * n_records // 6])
    rows = dict(zip(("train", "val", "test"), cuts, strict=True))
    inputs = {split: x[chosen].to(device) for split, chosen in rows.items()}
    return Fold(rows, inputs, {split: known[chosen] for split, chosen in rows.items()}, exclusive=True)


def probe(place: Place) -> Found:
    """The linear classifier of a probe beside the CPU's, from the same embeddings."""
    settings = FittingSettings(epochs=min(20, place.sizes.probe_epochs))
    n_records = min(1200, place.sizes.probe_records)
    with arithmetic("defaults"):
        own, expected = (
            fit(probe_inputs(n_records, 128, device), settings, seed=0)
            for device in (place.device, torch.device("cpu"))
        )
    difference = float(np.abs(own.probabilities["test"] - expected.probabilities["test"]).max())
    same = own.chosen == expected.chosen
    return [
        at_most("probe: probabilities", difference, _PROBABILITY, "largest difference"),
        holds("probe: the same epoch is kept", same, f"{own.chosen.get('epoch')}, CPU {expected.chosen.get('epoch')}"),
    ]


def finetuning(place: Place) -> Found:
    """`lfbt.probe` and `lfbt.finetune` by their settings, files and all, beside the CPU's."""
    from lfbt.evaluation.fine_tuning import run_finetune
    from lfbt.evaluation.probing import run_probe
    from lfbt.evaluation.settings import FinetuneSettings, ProbeSettings
    from lfbt.models.pretrained import save_encoder

    size, folder = place.sizes.check, place.folder
    write_packed(folder / "data", place.sizes.records, size.leads, size.n_samples, labelled=True)
    save_encoder(folder / "encoder", trained_encoder(size), {"method": "random"})
    tasks: dict[str, Any] = {
        "lfbt probe": lambda out, **own: run_probe(
            ProbeSettings.create(folder / "data", out, folder / "encoder", epochs=10, **own)
        ),
        "lfbt finetune": lambda out, **own: run_finetune(
            FinetuneSettings.create(folder / "data", out, folder / "encoder", epochs=2, **own)
        ),
        "lfbt finetune in bf16": lambda out, **own: run_finetune(
            FinetuneSettings.create(folder / "data", out, folder / "encoder", epochs=2, precision="bf16", **own)
        ),
    }
    found: Found = []
    for number, (what, run) in enumerate(tasks.items()):
        own, expected = (
            run(folder / f"run-{number}-{side}", device=device)[0].test.auroc
            for side, device in (("own", str(place.device)), ("cpu", "cpu"))
        )
        found.append(at_most(f"{what}: test AUROC", abs(own - expected), _AUROC, f"{own:.4f}, CPU {expected:.4f}"))
    return found


def out_of_memory(place: Place) -> Found:
    """A batch that does not fit ends a command with one line; the device can be used afterwards."""
    from lfbt.cli.errors import reporting_errors

    line, status = io.StringIO(), None
    try:
        with contextlib.redirect_stderr(line), reporting_errors():
            _far_too_large(place)
    except SystemExit as end:
        status = end.code
    said = line.getvalue().strip()
    is_one = status == 2 and said.count("\n") == 0 and "out of memory" in said and "--batch-size" in said
    if place.is_gpu:
        torch.cuda.empty_cache()
    size = place.sizes.exact
    again = random_views(new_signals(size).to(place.device), draw_views(0, 0, size.batch))
    return [
        holds("out of memory: one line and status 2", is_one, f"status {status}: {said}"),
        holds("out of memory: the device computes afterwards", bool(again.isfinite().all())),
    ]


def _far_too_large(place: Place) -> Tensor:
    """Views of more records than memory holds; on a CPU an allocation that no machine can make."""
    size = place.sizes.check
    if not place.is_gpu:
        return torch.empty(2**50, dtype=torch.float32)
    of_record = 4 * size.n_leads * size.n_samples
    n_records = 2 * torch.cuda.get_device_properties(place.device).total_memory // of_record
    one = new_signals(size)[:1].to(place.device)
    return random_views(one.expand(n_records, -1, -1), np.zeros((n_records, 2, 4)))
