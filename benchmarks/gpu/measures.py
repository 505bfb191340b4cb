"""Where the time of a step goes, and how fast embeddings, probes, fine-tuning and reading are."""

from __future__ import annotations

import statistics

import numpy as np
import torch
import torch.nn.functional as F
from torch._C._autograd import DeviceType

from benchmarks.gpu.agreement import device_state, new_signals
from benchmarks.gpu.commands import probe_inputs, trained_encoder
from benchmarks.gpu.device import Events, arithmetic, medians, milliseconds, peak_gb, reset_peak
from benchmarks.gpu.results import Figure, Found, Place
from benchmarks.gpu.variants import Variant, new_step
from benchmarks.measure import seconds_of
from lfbt.data.dataset import from_arrays
from lfbt.data.loader import prefetch_batches, sequential_batches
from lfbt.evaluation.classifiers import fit
from lfbt.evaluation.settings import FittingSettings
from lfbt.losses.lfbt import lfbt_loss
from lfbt.training.augmentation import draw_views, random_views
from lfbt.training.precision import MixedPrecision
from lfbt.training.settings import Precision

PARTS, KERNELS, EMBED, REST = "parts", "kernels", "embed", "rest"
_PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")
_KERNELS = 15


def parts(place: Place) -> Found:
    """The milliseconds of each part of a step, on the device's clock."""
    by_precision = {}
    with arithmetic("defaults"):
        for precision in _PRECISIONS:
            run = [_parts_once(place, precision) for _ in range(place.sizes.repeats + 2)]
            by_precision[precision] = medians(run[2:])
    names = list(next(iter(by_precision.values())))
    return [
        Figure(PARTS, name, {f"ms in {precision}": found[name] for precision, found in by_precision.items()})
        for name in names
    ]


def _parts_once(place: Place, precision: Precision) -> dict[str, float]:
    size, device = place.sizes.step, place.device
    state, mixed = device_state(size, device), MixedPrecision(precision, device)
    signals, draws = new_signals(size).to(device), draw_views(0, 0, size.batch)
    events = Events(device)
    events.mark("")
    views = random_views(signals, draws)
    events.mark("views")
    features = mixed.forward(state.encoder, views)
    events.mark("encoders, forward")
    at_features = features.detach().requires_grad_()
    z = mixed.forward(state.projectors, at_features)
    events.mark("projectors, forward")
    at_z = z.detach().requires_grad_()
    lfbt_loss(*at_z).total.backward()
    events.mark("loss, forward and backward")
    z.backward(at_z.grad)
    events.mark("projectors, backward")
    features.backward(at_features.grad)
    events.mark("encoders, backward")
    state.optimizer.step()
    events.mark("Adam")
    return events.milliseconds()


def kernels(place: Place) -> Found:
    """What the device spends a step of the shipped form in bf16 on, and how many kernels it is given."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    activities += [torch.profiler.ProfilerActivity.CUDA] if place.is_gpu else []
    with arithmetic("defaults"):
        run = new_step(Variant(precision="bf16"), place)
        run(), run()
        with torch.profiler.profile(activities=activities) as profiler:
            took = milliseconds(run, place.device, repeats=1, warm_up=0)[0]

    def spent(one: object) -> float:
        return float(getattr(one, "self_device_time_total" if place.is_gpu else "self_cpu_time_total")) / 1e3

    averages = list(profiler.key_averages())
    if place.is_gpu:
        averages = [one for one in averages if one.device_type == DeviceType.CUDA]
    found: Found = [
        Figure(KERNELS, one.key[:100], {"ms": spent(one), "calls": one.count})
        for one in sorted(averages, key=spent, reverse=True)[:_KERNELS]
    ]
    whole = {"ms": sum(map(spent, averages)), "calls": sum(one.count for one in averages)}
    return [Figure(KERNELS, f"all, in a step of {took:.3g} ms under the profiler", whole), *found]


def embed(place: Place) -> Found:
    """Records a second through the encoder in evaluation mode, signals on the device."""
    size = place.sizes.step
    found: Found = []
    encoder = trained_encoder(size).to(place.device)
    for batch in place.sizes.embed_batches:
        signals = new_signals(size)[torch.arange(batch) % size.batch].to(place.device)
        values: dict[str, float | str | None] = {}
        for precision in _PRECISIONS:
            mixed = MixedPrecision(precision, place.device)
            reset_peak(place.device)
            with arithmetic("defaults"), torch.no_grad():
                took = milliseconds(lambda: mixed.forward(encoder, signals), place.device, place.sizes.repeats)  # noqa: B023
            values[f"records/s in {precision}"] = 1e3 * batch / statistics.median(took)
            values[f"peak GB in {precision}"] = peak_gb(place.device)
        found.append(Figure(EMBED, f"batch of {batch}", values))
    return found


def rest(place: Place) -> Found:
    """A step of fine-tuning, a validation batch, an epoch of a probe, and reading onto the device."""
    size, sizes, device = place.sizes.step, place.sizes, place.device
    signals = new_signals(size).to(device)
    found: Found = []
    with arithmetic("defaults"):
        for precision in _PRECISIONS:
            encoder, mixed = device_state(size, device).encoder, MixedPrecision(precision, device)
            head = torch.nn.Linear(size.n_leads * encoder.config.n_features, 4).to(device)
            both = torch.nn.Sequential(encoder, torch.nn.Flatten(1), head)
            optimizer = torch.optim.Adam(both.parameters(), lr=1e-4, fused=True)
            classes = torch.arange(size.batch, device=device) % 4

            def run() -> None:
                loss = F.cross_entropy(mixed.forward(both, signals), classes)  # noqa: B023
                optimizer.zero_grad(set_to_none=True)  # noqa: B023
                mixed.backward(loss)  # noqa: B023
                mixed.step(optimizer)  # noqa: B023

            took = milliseconds(run, device, sizes.repeats)
            found.append(Figure(REST, f"step of fine-tuning in {precision}", {"ms": statistics.median(took)}))
        settings = FittingSettings(epochs=sizes.probe_epochs)
        fold = probe_inputs(sizes.probe_records, size.n_leads * 64, device)
        fit(fold, FittingSettings(epochs=1), seed=0)
        seconds, _ = seconds_of(lambda: fit(fold, settings, seed=0))
        what = f"linear probe on embeddings, {sizes.probe_records:,} records, an epoch"
        found.append(Figure(REST, what, {"ms": 1e3 * seconds / sizes.probe_epochs}))
    return found + _reading(place)


def _reading(place: Place) -> Found:
    """A batch read from memory, z-scored, onto the device: by the loader, and as a copy alone."""
    size, device, repeats = place.sizes.step, place.device, place.sizes.repeats
    signals = np.concatenate([new_signals(size, seed).numpy() for seed in range(4)])
    dataset = from_arrays(signals, size.leads, size.n_samples / 10)
    batches = sequential_batches(np.arange(len(dataset)), size.batch) * repeats
    found: Found = []
    for workers in (0, 2, 4):
        took = milliseconds(
            lambda: [*prefetch_batches(dataset, batches, "record", device, workers)],  # noqa: B023
            device, repeats=1, warm_up=1,
        )  # fmt: skip
        found.append(Figure(REST, f"batch read ahead by {workers} threads", {"ms": took[0] / len(batches)}))
    batch = torch.from_numpy(dataset.batch(batches[0], "record"))
    sides = {"pageable": batch} | ({"pinned": batch.pin_memory()} if place.is_gpu else {})
    for name, tensor in sides.items():
        took = milliseconds(lambda: tensor.to(device, non_blocking=True, copy=True), device, repeats)  # noqa: B023
        found.append(Figure(REST, f"batch copied from {name} memory", {"ms": statistics.median(took)}))
    return found
