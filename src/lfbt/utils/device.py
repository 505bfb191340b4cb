"""The device to compute on, and the memory used."""

from __future__ import annotations

import os
import resource
import sys

import torch

from lfbt.errors import LfbtError
from lfbt.utils.threads import find_load


def resolve_device(name: str | torch.device) -> torch.device:
    """Resolve the name of a device.

    Parameters
    ----------
    name : str or torch.device
        ``auto`` (the GPU if there is one), ``cpu``, ``cuda`` or ``cuda:1``.

    Returns
    -------
    torch.device
        Which can be used.

    Raises
    ------
    LfbtError
        For a device that is absent or not supported.

    Examples
    --------
    >>> resolve_device("cpu")
    device(type='cpu')
    """
    has_gpu = torch.cuda.is_available()
    if name == "auto":
        return torch.device("cuda" if has_gpu else "cpu")
    wanted = str(name)
    reason = ""
    if wanted.partition(":")[0] not in ("cpu", "cuda"):
        reason = "lfbt does not run on it"
    elif wanted.startswith("cuda") and not has_gpu:
        reason = "PyTorch finds no GPU"
    else:
        try:
            device = torch.device(wanted)
            torch.empty(1, device=device)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
    if reason:
        allowed = "auto, cpu, cuda" if has_gpu else "auto, cpu"
        raise LfbtError(f"device: {name!r} cannot be used ({reason}); allowed: {allowed}")
    return device


def describe_device(device: torch.device) -> str:
    """Describe what computes: the GPU by its name, or the CPU's threads of this process."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    n_threads = torch.get_num_threads()
    return f"{device}, {n_threads} thread{'s' if n_threads > 1 else ''}"


def load_hint(device: torch.device) -> str | None:
    """Say that other processes hold the CPUs, where their load of the last minute shows it; for the start of work.

    None where a GPU computes.
    """
    if device.type != "cpu":
        return None
    load = find_load()
    if load is None:
        return None
    return (
        f"other processes seem to hold the cores (load {load:.1f} of {os.cpu_count()} in the last minute); it takes "
        "longer then"
    )


def peak_memory_gb(device: torch.device) -> float:
    """Peak memory of this process in GB: on the device if it is a GPU, resident memory otherwise."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
