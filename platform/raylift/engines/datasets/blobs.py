"""Stored files of datasets, in a directory or in an object store. A key is ``workspace/sha256``, and its bytes never change."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from raylift.engines.datasets.s3 import S3
from raylift.settings import PlatformSettings

CHUNK_BYTES: Final = 1 << 20
_FRESH_SECONDS: Final = 12 * 3600.0
"""Age up to which a stored object may serve a new version: unused ones are removed after a day (``remove_unused_blobs``)."""


@dataclass(frozen=True, slots=True)
class Blob:
    """A stored file in a list."""

    workspace: str
    sha256: str
    changed_at: float
    """Seconds since the epoch."""


class Blobs(Protocol):
    """Files by key. Every method raises OSError where the store does not answer."""

    def put(self, workspace: str, sha256: str, file: Path) -> None:
        """Store a file, which is moved or removed. A repeated call changes nothing."""
        ...

    def open(self, workspace: str, sha256: str, offset: int = 0) -> BinaryIO:
        """Open for reading. Raises FileNotFoundError."""
        ...

    def size(self, workspace: str, sha256: str) -> int | None:
        """Return the size in bytes of a file that will stay for some hours; None where it has to be stored again."""
        ...

    def path(self, workspace: str, sha256: str) -> Path | None:
        """Return the file's path on the platform's machine; None where it has none."""
        ...

    def remove(self, workspace: str, sha256: str, *, unchanged_since: float) -> bool:
        """Remove a file that was not stored again, or meant for a new version, since a time. Returns False where it was."""
        ...

    def all(self) -> Iterator[Blob]: ...


class DirectoryBlobs:
    """Files below a directory: ``workspace/ab/abcd…``."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, workspace: str, sha256: str, file: Path) -> None:
        target = self._file(workspace, sha256)
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with file.open("rb") as written:
            os.fsync(written.fileno())
        # Nodes link it, and jobs may have users of their own.
        file.chmod(0o444)
        os.utime(file)
        file.replace(target)

    def open(self, workspace: str, sha256: str, offset: int = 0) -> BinaryIO:
        file = self._file(workspace, sha256).open("rb")
        file.seek(offset)
        return file

    def size(self, workspace: str, sha256: str) -> int | None:
        file = self._file(workspace, sha256)
        try:
            os.utime(file)
            return file.stat().st_size
        except FileNotFoundError:
            return None

    def path(self, workspace: str, sha256: str) -> Path | None:
        return self._file(workspace, sha256)

    def remove(self, workspace: str, sha256: str, *, unchanged_since: float) -> bool:
        file = self._file(workspace, sha256)
        try:
            if file.stat().st_mtime > unchanged_since:
                return False
            file.unlink()
        except FileNotFoundError:
            return False
        return True

    def all(self) -> Iterator[Blob]:
        for file in self._root.glob("*/??/*"):
            yield Blob(file.parts[-3], file.name, file.stat().st_mtime)

    def _file(self, workspace: str, sha256: str) -> Path:
        return self._root / workspace / sha256[:2] / sha256


class S3Blobs:
    """Objects ``prefix/workspace/abcd…`` in a bucket."""

    def __init__(self, s3: S3, address: str) -> None:
        self._s3 = s3
        self._base = address.rstrip("/")

    def put(self, workspace: str, sha256: str, file: Path) -> None:
        with file.open("rb") as source, self._s3.create(self._address(workspace, sha256)) as target:
            shutil.copyfileobj(source, target, CHUNK_BYTES)
        file.unlink()

    def open(self, workspace: str, sha256: str, offset: int = 0) -> BinaryIO:
        return self._s3.open(self._address(workspace, sha256), offset)

    def size(self, workspace: str, sha256: str) -> int | None:
        found = self._s3.info(self._address(workspace, sha256))
        # Its time cannot be renewed without writing it again.
        return found.size if found is not None and time.time() - found.changed_at < _FRESH_SECONDS else None

    def path(self, workspace: str, sha256: str) -> Path | None:
        return None

    def remove(self, workspace: str, sha256: str, *, unchanged_since: float) -> bool:
        address = self._address(workspace, sha256)
        found = self._s3.info(address)
        if found is None or found.changed_at > unchanged_since:
            return False
        self._s3.remove(address)
        return True

    def all(self) -> Iterator[Blob]:
        for found in self._s3.below(self._base):
            workspace, _, sha256 = found.path.partition("/")
            yield Blob(workspace, sha256, found.changed_at)

    def _address(self, workspace: str, sha256: str) -> str:
        return f"{self._base}/{workspace}/{sha256}"


def blobs_of(settings: PlatformSettings) -> Blobs:
    """Return the store of uploaded files that the settings name."""
    address = settings.datasets.bytes_at
    return DirectoryBlobs(settings.blobs_dir) if address is None else S3Blobs(S3(settings.datasets.s3), address)


def chunks_of(file: BinaryIO) -> Iterator[bytes]:
    """Yield the rest of a file in portions, and close it."""
    with file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
