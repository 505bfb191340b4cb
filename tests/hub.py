"""A folder in place of the Hugging Face Hub: calls are checked against the signatures of its own client."""

import inspect
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest


class FakeHub:
    """Repositories ``owner/name`` as folders; what was asked of them is kept."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        import huggingface_hub
        from huggingface_hub.utils._paths import filter_repo_objects

        self.folder = folder
        self.downloads: list[tuple[str, str | None]] = []
        self.created: dict[str, bool | None] = {}
        self.messages: list[str] = []
        self.refuses = False
        self._cache = folder.with_name("hub-cache")
        self._filter = filter_repo_objects
        real, api = huggingface_hub.snapshot_download, huggingface_hub.HfApi
        self._signatures = {
            "snapshot_download": inspect.signature(real),
            "create_repo": inspect.signature(api.create_repo),
            "upload_folder": inspect.signature(api.upload_folder),
        }
        folder.mkdir()
        monkeypatch.setattr(huggingface_hub, "snapshot_download", self._snapshot_download)
        client = SimpleNamespace(create_repo=self._create_repo, upload_folder=self._upload_folder)
        monkeypatch.setattr(huggingface_hub, "HfApi", lambda library_name, library_version: client)

    def _given(self, name: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
        own = () if name == "snapshot_download" else (self,)
        bound = self._signatures[name].bind(*own, *args, **kwargs)
        bound.apply_defaults()
        return bound.arguments

    def _copy(self, source: Path, target: Path, patterns: list[str]) -> None:
        files = [str(path.relative_to(source)) for path in source.rglob("*") if path.is_file()]
        for file in self._filter(files, allow_patterns=patterns):
            (target / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source / file, target / file)

    def _snapshot_download(self, *args: Any, **kwargs: Any) -> str:
        given = self._given("snapshot_download", *args, **kwargs)
        name = given["repo_id"]
        self.downloads.append((name, given["revision"]))
        if not (self.folder / name).is_dir():
            raise FileNotFoundError(f"404 Client Error: no repository {name}\n\nLook at its name.")
        self._copy(self.folder / name, self._cache / name, given["allow_patterns"])
        return str(self._cache / name)

    def _create_repo(self, *args: Any, **kwargs: Any) -> SimpleNamespace:
        given = self._given("create_repo", *args, **kwargs)
        if self.refuses:
            raise OSError("401 Client Error: Unauthorized\n\nInvalid token")
        if given["repo_id"] in self.created and not given["exist_ok"]:
            raise OSError("409 Conflict")
        self.created.setdefault(given["repo_id"], given["private"])
        return SimpleNamespace(repo_id=given["repo_id"])

    def _upload_folder(self, *args: Any, **kwargs: Any) -> SimpleNamespace:
        given = self._given("upload_folder", *args, **kwargs)
        self._copy(Path(given["folder_path"]), self.folder / given["repo_id"], given["allow_patterns"])
        self.messages.append(given["commit_message"])
        url = f"https://huggingface.co/{given['repo_id']}/commit/{len(self.messages)}"
        return SimpleNamespace(commit_url=url)
