"""Encoder folders on the Hugging Face Hub: found by name, downloaded, uploaded; never anything but safetensors."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import lfbt
from lfbt.errors import LfbtError
from lfbt.utils.progress import write_line
from lfbt.utils.settings import as_path

#: What is downloaded and uploaded.
HUB_FILES = ("*.safetensors", "*.json", "README.md")
_SCHEME = "hf://"
_PATH_SCHEME = "hf:/"
# Where the hub's cache has the files of a revision: models--OWNER--NAME/snapshots/REVISION.
_SNAPSHOTS, _REVISION_DIGITS = "snapshots", 12
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def locate_encoder(name: str | os.PathLike[str], *, revision: str | None = None) -> Path:
    """Find the files of an encoder, on this machine or on the hub.

    A file or folder of that name goes first. A text such as ``owner/name`` is a repository of the hub, unless there is
    a folder ``owner`` here; ``hf://owner/name`` always is one. Without network the hub's cache is used.

    Parameters
    ----------
    name : str or Path
        A path, or the name of a repository.
    revision : str, optional
        Branch, tag or commit of the repository.

    Returns
    -------
    Path
        `name` itself, or the folder that the repository was downloaded to.

    Raises
    ------
    LfbtError
        For a repository that cannot be downloaded, for a name that may be a path as well, and for a revision of a path.

    Examples
    --------
    >>> locate_encoder("lfbt-small")
    PosixPath('lfbt-small')
    """
    path = as_path("checkpoint", name, "a path, or the name of a repository of the hub: owner/name")
    repository = str(name).removeprefix(_SCHEME)
    on_hub = isinstance(name, str) and name.startswith(_SCHEME)
    if on_hub and not _REPOSITORY.fullmatch(repository):
        raise LfbtError(f"checkpoint: {name} does not name a repository of the hub; write hf://owner/name")
    if not on_hub and isinstance(name, str) and _REPOSITORY.fullmatch(name) and not path.exists():
        if path.parent.exists():
            raise LfbtError(
                f"checkpoint: {name} does not exist, though {path.parent} does; correct the path, or write hf://{name} "
                "for the hub"
            )
        on_hub = True
    if on_hub:
        return _download(repository, revision)
    if revision is not None:
        raise LfbtError(f"revision: {revision} has no effect on {path}, which is not on the hub; leave it out")
    return path


def take_checkpoint(checkpoint: Path, shown: bool = True) -> Path:
    """Find a checkpoint as `locate_encoder` does, and print a line about one of the hub.

    Parameters
    ----------
    checkpoint : Path
        As it was typed, though a path has one slash of two.
    shown : bool
        Whether the line is printed.

    Returns
    -------
    Path
        Of its files.
    """
    typed = str(checkpoint)
    folder = locate_encoder(typed.replace(_PATH_SCHEME, _SCHEME, 1) if typed.startswith(_PATH_SCHEME) else typed)
    if folder != checkpoint:
        write_line(f"checkpoint: {checkpoint_name(folder)} of the Hugging Face Hub, in {folder}", shown)
    return folder


def checkpoint_name(folder: Path) -> str:
    """Return the name of a checkpoint for the record: ``owner/name@revision`` in the hub's cache, else the last part.

    >>> checkpoint_name(Path("hub/models--owner--name/snapshots/0a1b2c3d4e5f6a7b"))
    'owner/name@0a1b2c3d4e5f'
    >>> checkpoint_name(Path("runs/pretrain"))
    'pretrain'
    """
    folder = folder.absolute() if folder.parent.name == _SNAPSHOTS else folder.resolve()
    if folder.parent.name != _SNAPSHOTS:
        return folder.name
    return f"{folder.parents[1].name.removeprefix('models--').replace('--', '/', 1)}@{folder.name[:_REVISION_DIGITS]}"


def _download(repository: str, revision: str | None) -> Path:
    hub = _import_hub(f"checkpoint: {repository} does not exist here, and there is no package to look on the hub")
    try:
        folder = hub.snapshot_download(
            repository,
            revision=revision,
            allow_patterns=list(HUB_FILES),
            library_name="lfbt",
            library_version=lfbt.__version__,
        )
    except _hub_errors() as error:
        raise LfbtError(
            f"checkpoint: {repository} does not exist here, and cannot be had from the hub ({_first_line(error)})"
        ) from error
    return Path(folder)


def upload_encoder(folder: Path, repository: str, *, private: bool | None, commit_message: str) -> str:
    """Upload an encoder folder; the repository is created where it does not exist.

    Parameters
    ----------
    folder : Path
        With ``config.json``, ``model.safetensors`` and ``README.md``.
    repository : str
        ``owner/name``, or ``name`` of the account's own.
    private : bool, optional
        Whether a new repository is private; None leaves that to the account's settings.
    commit_message : str
        Of the one commit.

    Returns
    -------
    str
        The URL of the commit.

    Raises
    ------
    LfbtError
        Without the package or a token, and for what the hub refuses.
    """
    hub = _import_hub(f"repo_id: there is no package to upload {repository}")
    api = hub.HfApi(library_name="lfbt", library_version=lfbt.__version__)
    try:
        name = api.create_repo(repository, private=private, exist_ok=True).repo_id
        commit = api.upload_folder(
            repo_id=name, folder_path=folder, allow_patterns=list(HUB_FILES), commit_message=commit_message
        )
    except _hub_errors() as error:
        raise LfbtError(
            f"repo_id: {repository} cannot be uploaded ({_first_line(error)}); log in with `hf auth login`, or correct "
            "the name"
        ) from error
    return str(commit.commit_url)


def _import_hub(what: str) -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise LfbtError(f"{what} ({error}); pip install 'lfbt[hub]'") from error
    return huggingface_hub


def _hub_errors() -> tuple[type[Exception], ...]:
    from huggingface_hub.errors import HfHubHTTPError

    # With the errors of the client beneath, such as that of a proxy.
    return (OSError, ValueError, *(kind for kind in HfHubHTTPError.__mro__[1:] if kind.__name__ == "HTTPError"))


def _first_line(error: Exception) -> str:
    """The error's kind, and the first line of its message."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0].rstrip('.')}" if lines else type(error).__name__
