"""A project: the files of an upload as a canonical archive.

The archive is a gzipped tar of regular files and empty directories, sorted by path, without times and owners. Its name is the
SHA-256 of the tar, because compressed bytes differ between versions of zlib: ``gunzip -c project.tar.gz | sha256sum``.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, Final, cast

_LEVEL: Final = 6
_CHUNK: Final = 1 << 20
_MODES: Final = {False: 0o644, True: 0o755}
_MAX_NAME_BYTES: Final = 255
_MAX_PATH_BYTES: Final = 1024


@dataclass(frozen=True, slots=True)
class ProjectFile:
    """One file, or an empty directory.

    ``path`` is relative, uses slashes, and has passed ``checked_path``. A directory's path ends in a slash.
    """

    path: str
    content: bytes
    executable: bool = False

    @property
    def is_directory(self) -> bool:
        return self.path.endswith("/")


@dataclass(frozen=True, slots=True)
class PackedProject:
    """A project's archive and the name it is stored under."""

    sha256: str
    content: bytes


class UnsafePath(ValueError):
    """A path that leads out of the project, or is not valid on every machine."""


def checked_path(name: str) -> str:
    """Normalize ``name`` to a path inside the project: ``./a//b`` becomes ``a/b``.

    Raises:
        UnsafePath: it leads out of the project, or is not a valid path on some machine.
    """
    if name.startswith("/") or (len(name) > 1 and name[1] == ":"):
        raise UnsafePath("is an absolute path")
    if "\\" in name:
        raise UnsafePath("has a backslash in its path")
    if not name.isprintable():  # Rejects control characters, and the surrogates that undecodable bytes become.
        raise UnsafePath("has a path with control characters, or that is not UTF-8")
    path = PurePosixPath(name)
    if ".." in path.parts:
        raise UnsafePath("leads out of the project with '..'")
    if not path.parts:
        raise UnsafePath("has no path")
    encoded = str(path).encode()
    if len(encoded) > _MAX_PATH_BYTES or any(len(part.encode()) > _MAX_NAME_BYTES for part in path.parts):
        raise UnsafePath(f"has a path of more than {_MAX_PATH_BYTES} bytes, or a name of more than {_MAX_NAME_BYTES}")
    return str(path)


def pack(files: Iterable[ProjectFile]) -> PackedProject:
    """Build the canonical archive of ``files``: the same bytes of tar for the same files."""
    compressed = io.BytesIO()
    with gzip.GzipFile(fileobj=compressed, mode="wb", filename="", compresslevel=_LEVEL, mtime=0) as zipped:
        hashing = _Hashing(zipped)
        with tarfile.open(fileobj=cast("IO[bytes]", hashing), mode="w|", format=tarfile.PAX_FORMAT) as archive:
            for file in sorted(files, key=lambda file: file.path.encode()):
                entry = tarfile.TarInfo(file.path.rstrip("/"))
                entry.size, entry.mode = len(file.content), _MODES[file.executable or file.is_directory]
                entry.type = tarfile.DIRTYPE if file.is_directory else tarfile.REGTYPE
                archive.addfile(entry, io.BytesIO(file.content))
    return PackedProject(hashing.digest.hexdigest(), compressed.getvalue())


def unpack(content: bytes) -> Iterator[ProjectFile]:
    """Yield the files of an archive made by ``pack``, one at a time."""
    with tarfile.open(fileobj=io.BytesIO(content), mode="r|gz") as archive:
        for entry in archive:
            if entry.isdir():
                yield ProjectFile(f"{checked_path(entry.name)}/", b"")
                continue
            file = archive.extractfile(entry)
            if file is None:
                raise UnsafePath(f"{entry.name} is neither a regular file nor a directory: pack() did not make this archive")
            yield ProjectFile(checked_path(entry.name), file.read(), executable=bool(entry.mode & 0o100))


def digest_of(content: bytes) -> str:
    """Return the SHA-256 that names an archive made by ``pack``."""
    digest = hashlib.sha256()
    with gzip.GzipFile(fileobj=io.BytesIO(content)) as tar:
        while chunk := tar.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


class _Hashing:
    """Writer that hashes what it passes on."""

    def __init__(self, target: gzip.GzipFile) -> None:
        self._target = target
        self.digest = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        return self._target.write(data)
