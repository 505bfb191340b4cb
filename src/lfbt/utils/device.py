"""The device to compute on, and the memory used."""

from __future__ import annotations

import resource
import sys

import torch

from lfbt.errors import LfbtError


def resolve_device(name: str) -> torch.device:
    """Resolve the name of a device.

    Parameters
    ----------
    name : str
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
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        if device.type not in ("cpu", "cuda"):
            raise RuntimeError(f"lfbt does not run on {device.type}")
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise LfbtError(
            f"device: {name!r} cannot be used ({str(error).splitlines()[0]}); allowed: auto, cpu, cuda"
        ) from error
    return device


def peak_memory_gb(device: torch.device) -> float:
    """Peak memory of this process in GB: on the device if it is a GPU, resident memory otherwise."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
