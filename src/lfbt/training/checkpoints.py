"""Files of a run, and its checkpoints: everything that resuming needs, the last few kept, each complete or absent."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor, uint8

from lfbt.audit.fingerprints import FINGERPRINTS
from lfbt.errors import LfbtError
from lfbt.models.pretrained import CONFIG, MODEL
from lfbt.runs.history import HISTORY
from lfbt.runs.run_folder import BEST_ENCODER_FOLDER, CHECKPOINTS, ENCODER_FOLDER, REPORT, SETTINGS
from lfbt.runs.trackers import LOGS
from lfbt.utils.files import Outputs
from lfbt.utils.opening import check_regular
from lfbt.utils.tensors import save_tensors

#: The records of the batch whose loss was not finite.
NOT_FINITE = "not_finite.json"

#: The files of a run. Those of W&B are not among them: they may be the only copy.
OUTPUTS = Outputs(
    SETTINGS,
    (
        *(HISTORY, NOT_FINITE, REPORT, f"{CHECKPOINTS}/step-*.safetensors", f"{CHECKPOINTS}/step-*.spoilt"),
        *(f"{ENCODER_FOLDER}/{name}" for name in (CONFIG, MODEL, FINGERPRINTS)),
        *(f"{BEST_ENCODER_FOLDER}/{name}" for name in (CONFIG, MODEL, FINGERPRINTS)),
        *(f"{LOGS}/events.out.tfevents.*", f"{LOGS}/*/events.out.tfevents.*"),
    ),
)

_CHECKSUM = "crc32"
_NAME = re.compile(r"step-(\d+)\.safetensors")


class _CorruptError(LfbtError):
    """A checkpoint that is not what was written."""


def save_checkpoint(folder: Path, step: int, tensors: Mapping[str, Tensor], keep: int) -> None:
    """Write a checkpoint of `step` steps, then remove all but the last `keep`.

    Raises LfbtError where the disk does not take it; those before it stay.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # On the CPU once, for both the checksum and the file.
    here = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        save_tensors(folder / f"step-{step:09d}.safetensors", here, {_CHECKSUM: _checksum(here)})
    except (LfbtError, OSError) as error:
        last = max(_steps(folder), default=None)
        kept = f"the one of step {last} is kept. Go on from it with --resume once that is fixed"
        raise LfbtError(
            f"checkpoint of step {step}: {error}; {'there is none before it' if last is None else kept}"
        ) from error
    for old in sorted(_steps(folder).items())[:-keep]:
        old[1].unlink()


def last_checkpoint(folder: Path, warn: Callable[[str], None]) -> dict[str, Tensor] | None:
    """Read the newest complete checkpoint in `folder`; None where there is none at all.

    `warn` gets a line for a corrupt one, which is renamed. Raises LfbtError when all are corrupt, or one cannot be read
    for another reason.
    """
    paths = [path for _, path in sorted(_steps(folder).items(), reverse=True)]
    for path in paths:
        try:
            tensors = _read(path)
        except _CorruptError as error:
            warn(f"{error}; it is left out")
            continue
        for corrupt in paths[: paths.index(path)]:
            corrupt.rename(corrupt.with_suffix(".spoilt"))
        return tensors
    if paths:
        raise LfbtError(f"{folder}: none of its {len(paths)} checkpoints can be read; start a new run")
    return None


def _steps(folder: Path) -> dict[int, Path]:
    """The checkpoints in `folder` by their step."""
    found = ((_NAME.fullmatch(path.name), path) for path in folder.glob("step-*.safetensors"))
    return {int(match[1]): path for match, path in found if match}


def _read(path: Path) -> dict[str, Tensor]:
    try:
        check_regular(path, None)
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
    except SafetensorError as error:
        raise _CorruptError(f"{path}: is not a complete checkpoint ({error}); it was cut short") from error
    except OSError as error:
        raise LfbtError(f"{path}: cannot be read ({error}); try again when it can") from error
    if metadata.get(_CHECKSUM) != _checksum(tensors):
        raise _CorruptError(f"{path}: is not a complete checkpoint (its checksum is another); it was changed")
    return tensors


def _checksum(tensors: Mapping[str, Tensor]) -> str:
    checksum = 0
    for name in sorted(tensors):
        checksum = zlib.crc32(tensors[name].reshape(-1).view(uint8).numpy().data, zlib.crc32(name.encode(), checksum))
    return f"{checksum:08x}"
