"""Uploads of files in parts. What has come stays for a day, so a broken upload goes on where it was."""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from raylift.domain.datasets.dataset import SHA256
from raylift.domain.errors import FieldError, InvalidRequest, TooLarge, UploadConflict
from raylift.domain.quantities import format_bytes
from raylift.engines.datasets.blobs import CHUNK_BYTES, Blobs

_KEPT_SECONDS: Final = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class UploadState:
    """State of one file."""

    have: int
    """Bytes that the platform has."""
    complete: bool


class FileUploads:
    """Files on their way into ``blobs``, by workspace: who knows a SHA-256 does not get the bytes of another workspace."""

    def __init__(self, folder: Path, blobs: Blobs, max_bytes: int) -> None:
        self._folder = folder
        self._blobs = blobs
        self._max_bytes = max_bytes

    def state(self, workspace: str, sha256: str) -> UploadState:
        """Return how much of a file has come. Raises InvalidRequest for a text that is no SHA-256."""
        _check(sha256)
        size = self._blobs.size(workspace, sha256)
        if size is not None:
            return UploadState(size, complete=True)
        try:
            return UploadState(self._part(workspace, sha256).stat().st_size, complete=False)
        except FileNotFoundError:
            return UploadState(0, complete=False)

    def take(self, workspace: str, sha256: str, part: bytes, *, offset: int, total: int) -> UploadState:
        """Take the part of a file that begins at ``offset``. The last one completes it.

        Raises:
            InvalidRequest: the whole file has another SHA-256; it has to come again.
            UploadConflict: the part does not follow those before.
            TooLarge: the file is over the limit.
        """
        _check(sha256)
        if total > self._max_bytes:
            detail = (
                f"The file has {format_bytes(total)}; datasets may have {format_bytes(self._max_bytes)} (datasets.max_bytes)."
            )
            raise TooLarge(detail, limit_bytes=self._max_bytes)
        known = self._blobs.size(workspace, sha256)
        if known is not None:
            return UploadState(known, complete=True)
        path = self._part(workspace, sha256)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(path) as descriptor:
            have = os.fstat(descriptor).st_size
            if offset != have:
                detail = f"The platform has {have} bytes of the file, and the part begins at {offset}. Go on at {have}."
                raise UploadConflict(detail, have=have)
            if have + len(part) > total:
                path.unlink()
                raise InvalidRequest.of(FieldError("total", f"is {total}, but more bytes have come"))
            os.lseek(descriptor, 0, os.SEEK_END)
            _write(descriptor, part)
            have += len(part)
            if have < total:
                return UploadState(have, complete=False)
            found = _digest(path)
            if found != sha256:
                path.unlink()
                raise InvalidRequest.of(
                    FieldError("sha256", f"is not that of the bytes, which is {found}: send the file again")
                )
            self._blobs.put(workspace, sha256, path)
        return UploadState(have, complete=True)

    def remove_old(self) -> None:
        """Remove parts of uploads that went on for the last time a day ago."""
        for path in self._folder.glob("*/*"):
            with suppress(FileNotFoundError):  # Its last part came a moment ago.
                if path.lstat().st_mtime < time.time() - _KEPT_SECONDS:
                    path.unlink()

    def _part(self, workspace: str, sha256: str) -> Path:
        return self._folder / workspace / sha256


def _check(sha256: str) -> None:
    if not SHA256.fullmatch(sha256):
        raise InvalidRequest.of(FieldError("sha256", "must be the file's SHA-256: 64 digits and letters a to f"))


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    """Open the file of parts, for one request at a time."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            # Another request may have completed it meanwhile.
            if _is_at(descriptor, path):
                yield descriptor
                return
        finally:
            os.close(descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _write(descriptor: int, part: bytes) -> None:
    view = memoryview(part)
    while view:
        view = view[os.write(descriptor, view) :]


def _digest(path: Path) -> str:
    sha256 = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            sha256.update(chunk)
    return sha256.hexdigest()
