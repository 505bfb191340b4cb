"""Where the files of an encoder are: in a run folder, in a folder of their own, or in this package by a name."""

from __future__ import annotations

from pathlib import Path

from lfbt.errors import LfbtError
from lfbt.runs.run_folder import ENCODER_FOLDER

#: The encoder that comes with lfbt.
BUNDLED = "lfbt-small"
_BUNDLED_FOLDER = Path(__file__).parents[1] / "models" / "bundled"


def is_bundled(checkpoint: Path) -> bool:
    """Tell whether a checkpoint is the encoder that comes with lfbt.

    Parameters
    ----------
    checkpoint
        A path, or `BUNDLED`.

    Raises
    ------
    LfbtError
        Where there is a file or folder of that name, too.

    Examples
    --------
    >>> is_bundled(Path("lfbt-small")), is_bundled(Path("runs/lfbt-small"))
    (True, False)
    """
    if str(checkpoint) != BUNDLED:
        return False
    if checkpoint.exists():
        raise LfbtError(
            f"checkpoint: {BUNDLED} is the encoder that comes with lfbt, and also a path here; give "
            f"{checkpoint.absolute()} to use the path, or rename it"
        )
    return True


def encoder_folder(checkpoint: Path) -> Path:
    """Return the folder with the encoder of a run folder, or of `BUNDLED`; any other path as it is."""
    if is_bundled(checkpoint):
        return _BUNDLED_FOLDER / BUNDLED
    inside = checkpoint / ENCODER_FOLDER
    return inside if inside.is_dir() else checkpoint
