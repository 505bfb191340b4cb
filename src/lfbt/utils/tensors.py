"""Tensors: safetensors files, precision and seeded initialisation."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lfbt.errors import LfbtError
from lfbt.utils.files import atomic_file
from lfbt.utils.targets import write_error

# Values of a module that is made before its shapes are compared with those of a file: 40 MB.
_MADE = 10**7


def to_full_precision(x: Tensor) -> Tensor:
    """Convert half precision to single; other tensors are returned as they are."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed PyTorch's generator for CPU tensors inside the block, and restore its state afterwards.

    Examples
    --------
    >>> with seeded(0):
    ...     first = torch.rand(3)
    >>> with seeded(0):
    ...     print(torch.equal(first, torch.rand(3)))
    True
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write tensors as a safetensors file, complete or not at all. Raises LfbtError where the disk refuses it."""
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with atomic_file(path) as partial:
        partial.touch()
        mode = partial.stat().st_mode  # safetensors would let only the owner read it
        try:
            save_file(contiguous, partial, None if metadata is None else dict(metadata))
        except SafetensorError as error:
            raise write_error(path, error) from error
        partial.chmod(mode)


def load_tensors(path: Path, n_values: int = 0) -> dict[str, Tensor]:
    """Read a safetensors file. Raises LfbtError when it is missing, incomplete, too small for `n_values`, or none.

    So a few bytes of JSON that describe it cannot have a large model made.
    """
    if not path.is_file():
        raise LfbtError(f"{path}: is not there")
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except (SafetensorError, OSError) as error:
        raise LfbtError(
            f"{path}: is not a complete safetensors file ({error}); it was cut short or is something else"
        ) from error
    found = sum(tensor.numel() for tensor in tensors.values())
    if n_values > max(found, _MADE):
        raise LfbtError(
            f"{path}: holds {found} values, but the config.json beside it describes {n_values}; restore both files"
        )
    return tensors


def load_state(module: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Load tensors into a module.

    Raises LfbtError, naming the file `path`, when names or shapes differ, and for values that are not finite.
    """
    try:
        module.load_state_dict(dict(tensors))
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise LfbtError(f"{path}: does not hold the weights that its config.json describes ({first})") from error
    check_finite(module, str(path))


def check_finite(module: nn.Module, what: str) -> None:
    """Raise LfbtError, which begins with `what` and names the tensor, where weights or statistics are not finite."""
    for name, tensor in module.state_dict().items():
        if not tensor.isfinite().all():
            raise LfbtError(f"{what}: {name} holds NaN or infinity; take an earlier checkpoint, or restore the file")
