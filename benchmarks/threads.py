"""``python -m benchmarks.threads``: a pretraining step by the number of threads, and of processes that share the cores.

Each layout runs in fresh processes: threads doubled up to the cores, then all cores divided among processes. With
``--cores 16`` on a machine that has fewer the cores are shared, which shows results, not times. The quickest layout is
the one to take on this machine: ``OMP_NUM_THREADS=T torchrun --nproc-per-node P -m lfbt pretrain …``.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.measure import seconds_of
from benchmarks.sizes import Sizes, StepSize
from lfbt.losses.lfbt import lfbt_loss
from lfbt.models.encoder import EncoderConfig
from lfbt.training.augmentation import draw_views, random_views
from lfbt.training.distributed import World, init_distributed
from lfbt.training.precision import MixedPrecision
from lfbt.training.settings import Precision
from lfbt.training.steps import Steps
from lfbt.training.train_state import create_train_state, free_gradients_early, warm_up_buckets
from lfbt.utils.memory import keep_freed_memory
from lfbt.utils.tables import as_markdown

_ROOT = Path(__file__).parents[1]


@dataclasses.dataclass(frozen=True)
class Layout:
    """Processes that share the batch, and the threads of each."""

    processes: int
    threads: int


def layouts(n_cores: int) -> list[Layout]:
    """Threads of one process doubled up to all cores, then processes doubled with the cores divided among them.

    >>> [(one.processes, one.threads) for one in layouts(4)]
    [(1, 1), (1, 2), (1, 4), (2, 2), (4, 1)]
    """
    powers = [2**i for i in range(n_cores.bit_length())]
    threads = list(dict.fromkeys([*powers, n_cores]))
    return [Layout(1, n) for n in threads] + [Layout(n, n_cores // n) for n in powers[1:]]


def measure(layout: Layout, size: StepSize, precision: Precision, rounds: int) -> tuple[float, float]:
    """Median seconds of a step, and the loss of the last one, in fresh processes."""
    setup = {"size": dataclasses.asdict(size), "precision": precision, "rounds": rounds}
    words = [sys.executable, "-m"]
    if layout.processes > 1:
        words += ["torch.distributed.run", "--standalone", "--nproc-per-node", str(layout.processes), "-m"]
    environment = os.environ | {"OMP_NUM_THREADS": str(layout.threads)}
    environment |= {"GLOO_SOCKET_IFNAME": "lo"} if sys.platform == "linux" else {}
    done = subprocess.run(
        [*words, __spec__.name, "--process", json.dumps(setup)],
        cwd=_ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{layout} failed:\n{done.stderr}")
    seconds, loss = json.loads(done.stdout.splitlines()[-1])
    return seconds, loss


def run_process(setup: str) -> None:
    """Make steps as one of the processes of a layout; the main one prints seconds and loss as JSON."""
    given = json.loads(setup)
    size = StepSize(**given["size"] | {"projector": tuple(given["size"]["projector"])})
    keep_freed_memory()
    with init_distributed(torch.device("cpu")) as world:
        seconds, losses = _make_steps(world, size, given["precision"], given["rounds"])
        if world.is_main:
            print(json.dumps([statistics.median(seconds[1:]), losses[-1]]), flush=True)


def _make_steps(world: World, size: StepSize, precision: Precision, rounds: int) -> tuple[list[float], list[float]]:
    config = EncoderConfig(size.leads, size.n_samples / 10, size.n_samples)
    state = create_train_state(config, size.projector, learning_rate=1e-3, sync_batch_norm=world.size > 1)
    model = world.parallelise(state.model)
    if world.size > 1:
        warm_up_buckets(model, state)
    else:
        free_gradients_early(state.model, state.optimizer)
    signals = torch.randn((size.batch, size.n_leads, size.n_samples), generator=torch.Generator().manual_seed(0))
    rows, sizes = world.shard(torch.arange(size.batch).numpy()), world.shard_sizes(size.batch)
    mixed = MixedPrecision(precision, world.device)
    learn = Steps(model, state.optimizer, lambda a, b, of: lfbt_loss(a, b, sizes=of), mixed)
    seconds, losses = [], []
    for number in range(1 + rounds):
        draws = draw_views(0, number, size.batch)[rows]
        took, terms = seconds_of(lambda: learn(random_views(signals[rows], draws), sizes))  # noqa: B023
        seconds.append(took)
        losses.append(terms[0])
    return seconds, losses


def table(found: Sequence[tuple[Layout, float, float]]) -> str:
    """A row for each layout; speed and loss beside those of the first."""
    (_, one, loss), *_ = found
    rows = [
        [str(layout.processes), str(layout.threads), f"{took:.3g}", f"{one / took:.2f}×", f"{abs(own / loss - 1):.1e}"]
        for layout, took, own in found
    ]
    return as_markdown([["processes", "threads of each", "seconds a step", "speed", "loss differs by"], *rows])


def main() -> None:
    """Parse the command line, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.threads", description=__doc__.splitlines()[0])
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)), help="cores to divide")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--small", action="store_true", help="the step of the preset small instead of the paper's")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--process", help=argparse.SUPPRESS)
    words = parser.parse_args()
    if words.process:
        run_process(words.process)
        return
    size = Sizes().small_step if words.small else Sizes().step
    found = [(layout, *measure(layout, size, words.precision, words.rounds)) for layout in layouts(words.cores)]
    print(f"{size}, {words.precision}, {words.cores} of {len(os.sched_getaffinity(0))} cores")
    print(table(found))


if __name__ == "__main__":
    main()
