"""A project: the files of an upload, in the one form in which the platform keeps them.

That form is a tar of regular files and empty directories, sorted by path, without times and owners, compressed with gzip.
The SHA-256 of the tar (before compression, whose bytes differ between versions of zlib) names it:
``gunzip -c project.tar.gz | sha256sum``.
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

    ``path`` is relative, with slashes, and has passed ``checked_path``; a directory's ends in a slash.
    """

    path: str
    content: bytes
    executable: bool = False

    @property
    def is_directory(self) -> bool:
        return self.path.endswith("/")


@dataclass(frozen=True, slots=True)
class PackedProject:
    """A project as it is stored and handed out."""

    sha256: str
    content: bytes


class UnsafePath(ValueError):
    """A path that is none inside a project, or not the same one everywhere."""


def checked_path(name: str) -> str:
    """``name`` as a path inside the project: ``./a//b`` is ``a/b``.

    Raises:
        UnsafePath: it leads out of the project, or could not be a file's path on some machine.
    """
    if name.startswith("/") or (len(name) > 1 and name[1] == ":"):
        raise UnsafePath("is an absolute path")
    if "\\" in name:
        raise UnsafePath("has a backslash in its path")
    if not name.isprintable():  # Neither are control characters nor the surrogates that stand for undecodable bytes.
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
    """The canonical archive of ``files``: the same for the same files, whatever archive they came in."""
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
    """The files of an archive that ``pack`` made, one at a time."""
    with tarfile.open(fileobj=io.BytesIO(content), mode="r|gz") as archive:
        for entry in archive:
            if entry.isdir():
                yield ProjectFile(f"{checked_path(entry.name)}/", b"")
                continue
            file = archive.extractfile(entry)
            if file is None:
                raise UnsafePath(f"{entry.name} is no regular file and no directory: pack() did not make this archive")
            yield ProjectFile(checked_path(entry.name), file.read(), executable=bool(entry.mode & 0o100))


def digest_of(content: bytes) -> str:
    """The SHA-256 by which an archive that ``pack`` made is known."""
    digest = hashlib.sha256()
    with gzip.GzipFile(fileobj=io.BytesIO(content)) as tar:
        while chunk := tar.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


class _Hashing:
    """Passes on what is written, and hashes it."""

    def __init__(self, target: gzip.GzipFile) -> None:
        self._target = target
        self.digest = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        return self._target.write(data)
