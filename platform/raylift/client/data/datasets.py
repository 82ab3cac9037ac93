"""Datasets: add, list, show, download, delete."""

from __future__ import annotations

import builtins
import hashlib
import os
from collections.abc import Callable, Iterator
from os import PathLike
from pathlib import Path
from typing import Any

from raylift.api import paths
from raylift.api.datasets.datasets import (
    PART_BYTES,
    DatasetList,
    DatasetSummary,
    DatasetVersionView,
    DatasetView,
    FileUploadView,
)
from raylift.client.http.connection import Content
from raylift.client.http.errors import APIError
from raylift.client.http.part import Part
from raylift.domain.datasets.dataset import parse_reference
from raylift.domain.errors import UploadConflict

_CHUNK = 1 << 20
_SILENCE_SECONDS = 60.0
_ADD_SECONDS = 900.0
"""Longest answer to a new version: registered files are read whole, and tables are profiled."""

Progress = Callable[[int, int], None]
"""Called with the bytes that are done, and those of all files."""


class Datasets(Part):
    """``client.datasets``. A version is named ``name@3``; ``name`` alone is the newest."""

    def add(
        self, name: str, data: str | PathLike[str], *, register: bool = False, progress: Progress | None = None
    ) -> DatasetVersionView:
        """Add a version of a dataset. The same bytes are the same version.

        Args:
            name: Name of the dataset in your workspace.
            data: File or folder to upload; or an ``s3://`` address, whose files stay where they are.
            register: ``data`` is a path on the platform's machine, whose files stay where they are.
            progress: Called with the bytes that are done, and those of all files.

        Raises:
            OSError: A file cannot be read.
            InvalidRequest: E.g. the name is invalid, or the address is not one that the platform allows.
            APIError: The data is larger than the platform takes (413).
        """
        if register or str(data).startswith("s3://"):
            return self._post({"name": name, "uri": str(data)})
        path = Path(data)
        files = list(_files(path))
        total, done = sum(file.stat().st_size for file in files), 0
        sent: builtins.list[dict[str, str]] = []
        for file in files:
            inside = file.relative_to(path).as_posix() if path.is_dir() else file.name
            sha256 = _sha256(file)
            for came in self._send(file, sha256):
                if progress is not None:
                    progress(done + came, total)
            sent.append({"path": inside, "sha256": sha256})
            done += file.stat().st_size
        return self._post({"name": name, "files": sent, "folder": path.is_dir()})

    def list(self) -> builtins.list[DatasetSummary]:
        """The datasets of your workspace by name, each with its newest version."""
        return self._connection.view(DatasetList, "GET", paths.DATASETS).datasets

    def versions(self, name: str) -> DatasetView:
        """All versions of a dataset, newest first, and the jobs that got it. Raises NotFound."""
        return self._connection.view(DatasetView, "GET", paths.dataset(name))

    def get(self, reference: str) -> DatasetVersionView:
        """One version with its files, schema and profile, and the jobs that got it. Raises NotFound."""
        name, version = self._resolved(reference)
        return self._connection.view(DatasetVersionView, "GET", paths.dataset_version(name, version))

    def download(self, reference: str, target: str | PathLike[str]) -> Path:
        """Download a version, and check its bytes.

        Args:
            reference: ``name@3``, or ``name`` for the newest.
            target: An existing folder, or the path of the new file; of a folder's version, that of the new folder.

        Returns:
            The path of the file or folder.

        Raises:
            OSError: A file cannot be written, or exists already.
            ValueError: The bytes that came are not those of the version.
        """
        found, path = self.get(reference), Path(target)
        root = path / found.name if found.folder and path.is_dir() else path
        for file in found.files:
            # The platform's paths lead out of no folder; a copy of it may be less careful.
            if ".." in file.path.split("/") or file.path.startswith("/"):
                raise ValueError(f"{file.path!r} leads out of the dataset")
            here = root / file.path if found.folder or root.is_dir() else root
            here.parent.mkdir(parents=True, exist_ok=True)
            self._fetch(f"{found.links['self']}/file", file.path, here, file.sha256)
        return root if found.folder or not root.is_dir() else root / found.files[0].path

    def delete(self, reference: str) -> None:
        """Delete a version, ``name@3``, or with ``name`` alone all of them.

        Raises:
            NotFound: There is none.
            Conflict: A job that has not ended gets it.
        """
        name, version = _parsed(reference)
        self._connection.json("DELETE", paths.dataset(name) if version is None else paths.dataset_version(name, version))

    def _post(self, body: dict[str, Any]) -> DatasetVersionView:
        # The same content is the same version, so it may arrive twice.
        return self._connection.view(DatasetVersionView, "POST", paths.DATASETS, json=body, resend=True, timeout=_ADD_SECONDS)

    def _resolved(self, reference: str) -> tuple[str, int]:
        name, version = _parsed(reference)
        return name, self.versions(name).versions[0].version if version is None else version

    def _send(self, file: Path, sha256: str) -> Iterator[int]:
        """Upload a file. Yields the number of bytes that have come, after each part."""
        size = file.stat().st_size
        have = self._state(sha256).have if size > PART_BYTES else 0
        with file.open("rb") as source:
            while True:
                source.seek(have)
                part = source.read(PART_BYTES)
                try:
                    state = self._put(sha256, part, have, size)
                except APIError as error:
                    if error.code != UploadConflict.code:
                        raise
                    # Another client sends it, or an answer was lost.
                    state = self._state(sha256)
                have = state.have
                yield have
                if state.complete:
                    return

    def _put(self, sha256: str, part: bytes, offset: int, total: int) -> FileUploadView:
        content, where = Content(part, "application/octet-stream"), {"offset": offset, "total": total}
        path = paths.dataset_file(sha256)
        return self._connection.view(
            FileUploadView, "PUT", path, content=content, params=where, resend=True, timeout=_ADD_SECONDS
        )

    def _state(self, sha256: str) -> FileUploadView:
        return self._connection.view(FileUploadView, "GET", paths.dataset_file(sha256))

    def _fetch(self, path: str, inside: str, target: Path, sha256: str) -> None:
        digest = hashlib.sha256()
        params = {"path": inside}
        with (
            target.open("xb") as file,
            self._connection.stream(path, params=params, headers={}, silence=_SILENCE_SECONDS) as answer,
        ):
            for chunk in answer.iter_bytes(_CHUNK):
                digest.update(chunk)
                file.write(chunk)
        if digest.hexdigest() != sha256:
            target.unlink()
            raise ValueError(f"{inside} came with other bytes than those of the version: download it again")


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
        return
    if not path.is_dir():
        raise FileNotFoundError(f"{path} does not exist")
    found = sorted(Path(folder, name) for folder, _, names in os.walk(path) for name in names)
    for file in found:
        if not file.is_file():
            raise OSError(f"{file} is no regular file")
    if not found:
        raise OSError(f"{path} has no files")
    yield from found


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as source:
        while chunk := source.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _parsed(reference: str) -> tuple[str, int | None]:
    parsed = parse_reference(reference)
    if parsed is None:
        raise ValueError(f"{reference!r} names no dataset: write NAME, or NAME@3 for a version")
    return parsed
