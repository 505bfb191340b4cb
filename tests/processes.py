"""Functions run in several processes at once, as if they were launched to learn together."""

import multiprocessing
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

_SECONDS = 120


def in_processes(n_processes: int, function: Callable[..., Any], *args: Any) -> list[Any]:
    """What `function` returns in each of `n_processes` new processes of one thread; several are a group over gloo."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        processes = [
            context.Process(target=_child, args=(function, rank, n_processes, folder, args))
            for rank in range(n_processes)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join(timeout=_SECONDS)
            process.kill()
        assert [process.exitcode for process in processes] == [0] * n_processes
        return [torch.load(folder / f"result-{rank}", weights_only=True) for rank in range(n_processes)]


def _child(function: Callable[..., Any], rank: int, n: int, folder: Path, args: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    if n == 1:
        torch.save(function(*args), folder / f"result-{rank}")
        return
    by_launcher = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": n, "LOCAL_WORLD_SIZE": n}
    os.environ |= {name: str(value) for name, value in by_launcher.items()} | {"GLOO_SOCKET_IFNAME": "lo"}
    dist.init_process_group("gloo", init_method=f"file://{folder / 'store'}", rank=rank, world_size=n)
    # A command ends its group; here several of them follow one another.
    end, dist.destroy_process_group = dist.destroy_process_group, lambda *_: None
    torch.save(function(*args), folder / f"result-{rank}")
    dist.barrier()
    end()
