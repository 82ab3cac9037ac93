"""Adds, shows and deletes datasets. Each belongs to a workspace."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final

from raylift.domain.datasets.dataset import DataFile, Dataset, DatasetUse, DatasetVersion, digest_of
from raylift.domain.errors import EngineUnavailable, FieldError, InvalidRequest, NotFound, TooLarge
from raylift.domain.identifiers import MODEL_NAME
from raylift.domain.project import UnsafePath, checked_path
from raylift.domain.quantities import format_bytes
from raylift.engines.datasets.blobs import CHUNK_BYTES, Blobs, blobs_of, chunks_of
from raylift.engines.datasets.profiling import profile_of
from raylift.engines.datasets.results import copy_in, files_below
from raylift.engines.datasets.s3 import S3, SCHEME
from raylift.engines.datasets.sources import SourceRefused, Sources
from raylift.services.datasets.uploads import FileUploads
from raylift.services.ports import Clock, utc_now
from raylift.settings import PlatformSettings
from raylift.store import Store

NAME_FORM: Final = "1 to 128 letters, digits, dots, dashes and underscores, beginning and ending with a letter or digit"
MAX_USES: Final = 100
"""Jobs of a dataset that are shown."""


class DatasetService:
    """Datasets of workspaces."""

    def __init__(self, store: Store, settings: PlatformSettings, *, clock: Clock = utc_now) -> None:
        self._store = store
        self._limits = settings.datasets
        self._drafts = settings.uploads_dir
        self._blobs: Blobs = blobs_of(settings)
        self._sources = Sources(
            settings.jobs.readable_paths,
            settings.datasets.sources,
            S3(settings.datasets.s3),
            protected=settings.protected_paths,
            for_others=os.geteuid() == 0,
        )
        self._clock = clock
        self.uploads = FileUploads(settings.uploads_dir, self._blobs, settings.datasets.max_bytes)

    def add(
        self,
        workspace: str,
        name: str,
        files: Sequence[tuple[str, str]],
        *,
        is_folder: bool,
        by: str,
    ) -> tuple[DatasetVersion, bool]:
        """Add a version of uploaded files, given as pairs of path and SHA-256.

        Returns:
            The version, and True where it is new: the same content has one version.

        Raises:
            InvalidRequest: the name or a path is invalid, or a file has not been uploaded.
            TooLarge: the version is over a limit.
        """
        errors = [*check_name(name), *_check_paths([path for path, _ in files], is_folder)]
        if errors:
            raise InvalidRequest.of(*errors)
        self._check_count(len(files))
        found: list[DataFile] = []
        for index, (path, sha256) in enumerate(files):
            state = self.uploads.state(workspace, sha256)
            if not state.complete:
                detail = f"is {path!r}, whose bytes have not come: PUT /mlops/datasets/files/{sha256}"
                errors.append(FieldError(f"files[{index}]", detail))
            found.append(DataFile(path, sha256, state.have))
        if errors:
            raise InvalidRequest.of(*errors)
        return self._store_version(workspace, name, found, is_folder=is_folder, by=by)

    def register(self, workspace: str, name: str, address: str, *, by: str) -> tuple[DatasetVersion, bool]:
        """Add a version of files that stay where they are. All bytes are read once, for their SHA-256.

        Raises:
            InvalidRequest: the name is invalid, or the address may not be registered.
            TooLarge: the version is over a limit.
            EngineUnavailable: the files cannot be read now.
        """
        errors = list(check_name(name))
        if errors:
            raise InvalidRequest.of(*errors)
        try:
            sources, is_folder = self._sources.find(address)
            self._check_count(len(sources))
            found: list[DataFile] = []
            total = 0
            for source in sources:
                sha256, size = self._hashed(self._sources.open(source.location), total)
                total += size
                found.append(DataFile(source.path, sha256, size, source.location))
        except SourceRefused as error:
            raise InvalidRequest.of(FieldError("uri", f"{error}")) from error
        except OSError as error:
            raise EngineUnavailable(f"{address} cannot be read: {error}") from error
        errors = list(_check_paths([file.path for file in found], is_folder))
        if errors:
            raise InvalidRequest.of(*errors)
        return self._store_version(workspace, name, found, is_folder=is_folder, by=by, source=address)

    def add_result(self, workspace: str, name: str, folder: Path, *, by: str, job_id: str) -> DatasetVersion | None:
        """Add a version of the files that a job has made; None where there are none. Repeated, it finds the first one.

        Raises:
            ResultRefused, InvalidRequest: something there is no file, or has a path that no dataset takes.
            TooLarge: the version is over a limit.
            EngineUnavailable: the files cannot be stored now.
        """
        paths = files_below(folder, self._limits.max_files)
        if not paths:
            return None
        self._check_count(len(paths))
        # As ``raylift data add``: one file is the dataset, several are a folder.
        is_folder = len(paths) > 1 or "/" in paths[0]
        errors = list(_check_paths(paths, is_folder))
        if errors:
            raise InvalidRequest.of(*errors)
        # Before the copies.
        self._check_size(sum((folder / path).lstat().st_size for path in paths))
        draft = self._drafts / workspace / f"{job_id}.{secrets.token_hex(8)}"  # A supervisor without lease may copy, too.
        try:
            files = [copy_in(folder, path, workspace, self._blobs, draft, self._limits.max_bytes) for path in paths]
        except OSError as error:
            raise EngineUnavailable(f"The files of {job_id} cannot be stored: {error}") from error
        finally:
            draft.unlink(missing_ok=True)
        return self._store_version(workspace, name, files, is_folder=is_folder, by=by, job_id=job_id)[0]

    def list(self, workspace: str) -> list[Dataset]:
        return self._store.datasets.list(workspace)

    def get(self, workspace: str, name: str, version: int | None = None) -> DatasetVersion:
        """Return a version; None: the newest. Raises DatasetNotFound."""
        return self._store.datasets.get(workspace, name, version)

    def versions(self, workspace: str, name: str) -> Sequence[DatasetVersion]:
        """Return all versions, newest first. Raises DatasetNotFound."""
        return self._store.datasets.versions(workspace, name)

    def files(self, version: DatasetVersion) -> Sequence[DataFile]:
        return self._store.datasets.files(version.workspace, version.name, version.version)

    def uses(self, workspace: str, name: str, version: int | None = None) -> Sequence[DatasetUse]:
        """Return the newest jobs that got it, up to ``MAX_USES``."""
        return self._store.datasets.uses(workspace, name, version, limit=MAX_USES)

    def content(self, version: DatasetVersion, path: str) -> tuple[DataFile, Iterator[bytes]]:
        """Return a file and its bytes in portions.

        Raises:
            NotFound: the version has no such file.
            EngineUnavailable: it cannot be read.
        """
        file = next((each for each in self.files(version) if each.path == path), None)
        if file is None:
            raise NotFound(f"{version.reference} has no file {path!r}.", name=version.name, version=version.version)
        return file, self.stream(version.workspace, file, 0)

    def stream(self, workspace: str, file: DataFile, offset: int) -> Iterator[bytes]:
        """Return the bytes of a file from ``offset`` on. Raises EngineUnavailable where it cannot be read."""
        try:
            return chunks_of(self._open(workspace, file, offset))
        except OSError as error:
            raise EngineUnavailable(f"{file.location or file.sha256} cannot be read: {error}") from error

    def delete(self, workspace: str, name: str, version: int | None = None) -> int:
        """Delete a version, or all. Its bytes are removed within two days.

        Raises:
            DatasetNotFound: there is none.
            DatasetInUse: a job that has not ended gets it.
        """
        return self._store.datasets.delete(workspace, name, version)

    def _store_version(
        self,
        workspace: str,
        name: str,
        files: Sequence[DataFile],
        *,
        is_folder: bool,
        by: str,
        source: str | None = None,
        job_id: str | None = None,
    ) -> tuple[DatasetVersion, bool]:
        size = sum(file.size_bytes for file in files)
        self._check_size(size)
        digest = digest_of(files, is_folder=is_folder)
        known = self._store.datasets.of_digest(workspace, name, digest)
        if known is not None:
            return known, False
        profile = profile_of(
            files,
            [self._path(workspace, file) for file in files],
            lambda file: self._open(workspace, file, 0),
            within=[] if source is None or source.startswith(SCHEME) else self._sources.folders,
            protected=[] if source is None else self._sources.protected,
        )
        new = DatasetVersion(
            workspace,
            name,
            0,
            digest,
            size,
            len(files),
            is_folder,
            self._clock(),
            by,
            source=source,
            job_id=job_id,
            profile=profile,
        )
        return self._store.datasets.add(new, files)

    def _path(self, workspace: str, file: DataFile) -> Path | None:
        if file.location is None:
            return self._blobs.path(workspace, file.sha256)
        return None if file.location.startswith(SCHEME) else Path(file.location)

    def _open(self, workspace: str, file: DataFile, offset: int) -> BinaryIO:
        if file.location is not None:
            return self._sources.open(file.location, offset)
        return self._blobs.open(workspace, file.sha256, offset)

    def _hashed(self, file: BinaryIO, before: int) -> tuple[str, int]:
        sha256, size = hashlib.sha256(), 0
        with file:
            while chunk := file.read(CHUNK_BYTES):
                sha256.update(chunk)
                size += len(chunk)
                self._check_size(before + size)
        return sha256.hexdigest(), size

    def _check_size(self, size: int) -> None:
        most = self._limits.max_bytes
        if size > most:
            detail = f"The dataset has more than {format_bytes(most)}, the most that a version may have (datasets.max_bytes)."
            raise TooLarge(detail, limit_bytes=most)

    def _check_count(self, count: int) -> None:
        most = self._limits.max_files
        if count > most:
            raise TooLarge(f"The dataset has {count} files; a version may have {most} (datasets.max_files).", limit_files=most)


def check_name(name: str, field: str = "name") -> Iterator[FieldError]:
    """Yield an error for a text that cannot be a dataset's name."""
    if not MODEL_NAME.fullmatch(name):
        yield FieldError(field, f"is {name!r}, which cannot be a dataset's name: use {NAME_FORM}")


def _check_paths(paths: Sequence[str], is_folder: bool) -> Iterator[FieldError]:
    if not paths:
        yield FieldError("files", "is empty: give at least one file")
    if not is_folder and len(paths) > 1:
        yield FieldError("folder", f"is false, but there are {len(paths)} files")
    known: set[str] = set()
    for index, path in enumerate(paths):
        field = f"files[{index}].path"
        try:
            clean = checked_path(path)
        except UnsafePath as error:
            yield FieldError(field, str(error))
            continue
        if clean != path or (not is_folder and "/" in path):
            yield FieldError(field, f"is {path!r}; write {clean.rpartition('/')[2] if not is_folder else clean!r}")
        elif path in known:
            yield FieldError(field, f"is {path!r}, which is there twice")
        known.add(clean)
    for index, path in enumerate(paths):
        parents = path.split("/")[:-1]
        if any("/".join(parents[: count + 1]) in known for count in range(len(parents))):
            yield FieldError(f"files[{index}].path", f"is {path!r}, and a folder in it is also a file")
