"""Two processes that share a batch, launched by torchrun, learn what one does: NCCL on two GPUs, gloo otherwise.

Also what each of them runs: ``python -m benchmarks.gpu.ranks FILE DEVICE BACKEND JSON``.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor

from benchmarks.gpu.agreement import device_state, new_signals
from benchmarks.gpu.results import Found, Place, at_most, not_available
from benchmarks.sizes import StepSize
from lfbt.losses.lfbt import lfbt_loss
from lfbt.training.augmentation import draw_views, random_views
from lfbt.training.distributed import World, init_distributed
from lfbt.training.steps import train_step
from lfbt.training.train_state import warm_up_buckets

_STEPS, _BOUND = 3, 1e-6
_ROOT = Path(__file__).parents[2]


def two_ranks(place: Place) -> Found:
    """Loss and weights after some steps of two processes, and of one."""
    n_gpus = torch.cuda.device_count() if place.is_gpu else 0
    found: Found = []
    if n_gpus >= 2:
        found += _compared(place, "cuda", "nccl", "two GPUs, NCCL")
    else:
        why = f"NCCL needs a GPU for each process; there {'is one' if n_gpus else 'is none'}"
        found.append(not_available("two GPUs, NCCL", why))
    shared = "two processes on one GPU, gloo" if place.is_gpu else "two processes, gloo"
    return found + _compared(place, str(place.device), "gloo", shared)


def _compared(place: Place, device: str, backend: str, what: str) -> Found:
    file, size = place.folder / f"{backend}.pt", place.sizes.exact
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    words = [*words, "-m", __name__, str(file), device, backend, json.dumps(dataclasses.asdict(size))]
    environment = os.environ | ({"GLOO_SOCKET_IFNAME": "lo"} if sys.platform == "linux" else {})
    done = subprocess.run(words, cwd=_ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "Error" in line] or done.stderr.splitlines()[-1:]
        raise RuntimeError(f"{what}: {lines[0] if lines else 'no message'}")
    by_two = torch.load(file, weights_only=True)
    by_one = learn(World(place.device), size)
    loss = float((by_two["losses"] - by_one["losses"]).abs().max() / by_one["losses"].abs().max())
    weights = max(
        float((by_two[name] - value).norm() / value.norm().clamp(min=1e-12)) for name, value in by_one.items()
    )
    note = f"{_STEPS} steps in double precision"
    return [at_most(f"{what}: loss", loss, _BOUND, note), at_most(f"{what}: weights", weights, _BOUND, note)]


def learn(world: World, size: StepSize) -> dict[str, Tensor]:
    """Losses and weights after some steps, on the CPU."""
    # In double precision what is left of another order of sums stays small, which Adam would magnify.
    state = device_state(size, world.device, sync_batch_norm=world.size > 1)
    state.model.double()
    for values in state.optimizer.state.values():
        values |= {name: values[name].double() for name in ("exp_avg", "exp_avg_sq")}
    model = world.parallelise(state.model)
    if world.size > 1:
        torch.set_default_dtype(torch.float64)
        warm_up_buckets(model, state)
        torch.set_default_dtype(torch.float32)
    losses = []
    for number in range(_STEPS):
        rows = world.shard(torch.arange(size.batch).numpy())
        signals = new_signals(size)[torch.from_numpy(rows)].to(world.device)
        views = random_views(signals, draw_views(0, number, size.batch)[rows]).double()
        sizes = world.shard_sizes(size.batch)
        terms = train_step(views, model, state.optimizer, lambda a, b, of: lfbt_loss(a, b, sizes=of), sizes)
        losses.append(terms[0])
    weights = {name: value.detach().cpu() for name, value in state.model.named_parameters()}
    return weights | {"losses": torch.tensor(losses, dtype=torch.float64)}


def main() -> None:
    """Learn as one of the processes that torchrun launched; the first writes what it learned."""
    file, name, backend, content = Path(sys.argv[1]), sys.argv[2], sys.argv[3], json.loads(sys.argv[4])
    size = StepSize(**content | {"projector": tuple(content["projector"])})
    device = torch.device(name)
    if device.type == "cuda":
        # Each its own with NCCL; with gloo all have the one.
        own = int(os.environ["LOCAL_RANK"]) if backend == "nccl" else device.index or 0
        device = torch.device("cuda", own)
        torch.cuda.set_device(device)
    if backend == "gloo":
        # On a GPU `init_distributed` would take NCCL, which refuses two processes on one.
        dist.init_process_group("gloo")
    with init_distributed(device) as world:
        found = learn(world, size)
        if world.is_main:
            torch.save(found, file)


if __name__ == "__main__":
    main()
