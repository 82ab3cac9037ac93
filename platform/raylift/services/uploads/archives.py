"""Reads the archive of an uploaded project: .zip or .tar.gz, recognised by its content. It may be hostile.

Nothing is written to disk: files are read into memory, and counted while they are decompressed. Sizes in headers do not count.
"""

from __future__ import annotations

import gzip
import io
import stat
import struct
import tarfile
import threading
import unicodedata
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, Final, cast

from raylift.domain.errors import FieldError, InvalidRequest, TooLarge
from raylift.domain.project import ProjectFile, UnsafePath, checked_path
from raylift.domain.quantities import format_bytes
from raylift.settings import JobSettings

FIELD: Final = "project"

_ZIP: Final = (b"PK\x03\x04", b"PK\x05\x06")
_GZIP: Final = b"\x1f\x8b"
_ZIP_ENTRY: Final = b"PK\x01\x02"
_SUPPORTED: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_CHUNK: Final = 1 << 18
_FREE_OF_RATIO: Final = 4 << 20
"""Bytes up to which any compression ratio is accepted."""
_TAR_OVERHEAD: Final = 4096
"""Bytes of headers, padding and long names for each file of a tar."""
_BROKEN: Final = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    ValueError,
    RuntimeError,  # NotImplementedError and RecursionError too
    LookupError,  # of a zip entry without a name
    ArithmeticError,
)
"""Errors of the standard library for damaged archives: a test damages some at every place."""

UNPACKING: Final = threading.Lock()
"""Held while the unpacked files of a project are in memory: the gateway has room for one at a time."""


def read_project(archive: bytes, settings: JobSettings) -> dict[str, ProjectFile]:
    """Return the files and empty directories of the archive by path.

    Raises:
        TooLarge: the archive or its content is over a limit.
        InvalidRequest: it is another format, damaged, or has content that projects must not have.
    """
    if len(archive) > settings.max_project_bytes:
        raise TooLarge(
            f"The project's archive has more than {format_bytes(settings.max_project_bytes)}, the most that is taken "
            "(jobs.max_project_bytes). Leave data out (a .gitignore names it) and read it from where it lies.",
            limit_bytes=settings.max_project_bytes,
        )
    budget = _Budget(len(archive), settings)
    try:
        members = _zip_members(archive, budget) if archive.startswith(_ZIP) else _tar_members(archive, budget)
        files = _distinct(members)
    except _BROKEN as error:
        raise _refusal(f"is damaged: {error or type(error).__name__}") from error
    if all(file.is_directory for file in files.values()):
        raise _refusal("holds no files")
    return files


@dataclass(slots=True)
class _Budget:
    """Counts the content of an archive against the limits."""

    archive_bytes: int
    settings: JobSettings
    files: int = 0
    directories: int = 0
    unpacked: int = 0

    def take_file(self) -> None:
        self.files += 1
        if self.files > self.settings.max_project_files:
            raise _too_many(self.settings)

    def take_directory(self) -> None:
        self.directories += 1
        if self.directories > self.settings.max_project_files:
            raise _too_many(self.settings)

    def take(self, size: int) -> None:
        self.unpacked += size
        limit = self.settings.max_project_unpacked_bytes
        if self.unpacked > limit:
            raise TooLarge(
                f"The project has more than {format_bytes(limit)} unpacked, the most that is taken "
                "(jobs.max_project_unpacked_bytes).",
                limit_bytes=limit,
            )
        if self.unpacked > max(_FREE_OF_RATIO, self.archive_bytes * self.settings.max_project_ratio):
            raise _refusal(f"unpacks to more than {self.settings.max_project_ratio} times its size, as only bombs do")


def _zip_members(archive: bytes, budget: _Budget) -> Iterator[ProjectFile]:
    # Before the directory is read: each of its entries becomes an object of some hundred bytes.
    if archive.count(_ZIP_ENTRY) > 2 * budget.settings.max_project_files + 16:
        raise _too_many(budget.settings)
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        for entry in opened.infolist():
            if entry.is_dir():
                yield from _directory(entry.orig_filename)
                continue
            mode = entry.external_attr >> 16
            path = _path(entry.orig_filename)
            budget.take_file()
            if stat.S_IFMT(mode) not in {0, stat.S_IFREG}:
                raise _refusal(f"has {path!r}, which is no regular file; make the archive without --symlinks (-y)")
            if entry.flag_bits & 0x1:
                raise _refusal(f"has {path!r} encrypted")
            if entry.compress_type not in _SUPPORTED:
                raise _refusal(f"has {path!r} compressed in another way than deflate")
            with opened.open(entry) as file:
                yield ProjectFile(path, _content(file, budget), executable=bool(mode & 0o100))


def _tar_members(archive: bytes, budget: _Budget) -> Iterator[ProjectFile]:
    if not archive.startswith(_GZIP):
        raise _refusal("is neither a .zip nor a .tar.gz")
    # As a stream, which only goes forward: headers that point back cannot cause a loop.
    bounded = cast("IO[bytes]", _BoundedTar(archive, budget.settings))
    with tarfile.open(fileobj=bounded, mode="r|", errorlevel=2) as opened:
        for entry in opened:
            if entry.isdir():
                budget.take_directory()
                yield from _directory(entry.name)
                continue
            path = _path(entry.name)
            budget.take_file()
            if entry.issym() or entry.islnk():
                raise _refusal(f"has {path!r}, which is a link; make it with tar --dereference --hard-dereference")
            if not entry.isreg() or entry.issparse():
                raise _refusal(f"has {path!r}, which is no regular file")
            file = opened.extractfile(entry)
            if file is None:
                raise _refusal(f"has {path!r} without content")
            content = _content(file, budget)
            if len(content) != entry.size:
                raise _refusal(f"is damaged: {path!r} is cut off")
            yield ProjectFile(path, content, executable=bool(entry.mode & 0o100))


class _BoundedTar:
    """The tar in a gzip file, up to the maximum size of a project within its limits."""

    def __init__(self, archive: bytes, settings: JobSettings) -> None:
        self._stream = gzip.GzipFile(fileobj=io.BytesIO(archive))
        self._left = settings.max_project_unpacked_bytes + settings.max_project_files * _TAR_OVERHEAD

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise _refusal("has more in its headers than in its files")
        return data


def _content(file: IO[bytes], budget: _Budget) -> bytes:
    chunks: list[bytes] = []
    while chunk := file.read(_CHUNK):
        budget.take(len(chunk))
        chunks.append(chunk)
    return b"".join(chunks)


def _directory(name: str) -> Iterator[ProjectFile]:
    if PurePosixPath(name).parts:  # Else it is the project's own folder.
        yield ProjectFile(f"{_path(name)}/", b"")


def _path(name: str) -> str:
    try:
        return checked_path(name)
    except UnsafePath as error:
        raise _refusal(f"has {name!r}, which {error}") from error


def _distinct(members: Iterable[ProjectFile]) -> dict[str, ProjectFile]:
    """Return the members by path, without directories that are not empty.

    Paths must be distinct on every file system, and no file may also be a directory.
    """
    files: dict[str, ProjectFile] = {}
    spelled: dict[str, str] = {}
    for file in members:
        path = PurePosixPath(file.path)
        for part in (path, *path.parents[:-1]):
            known = spelled.setdefault(_folded(str(part)), str(part))
            if known != str(part):
                raise _refusal(f"has {known!r} and {str(part)!r}, which are one name where case does not count")
        if file.path in files and not file.is_directory:
            raise _refusal(f"has {file.path!r} twice")
        files[file.path] = file
    holding = {str(parent) for path in files for parent in PurePosixPath(path).parents[:-1]}
    for directory in (*holding, *(path.rstrip("/") for path, file in files.items() if file.is_directory)):
        if directory in files:
            raise _refusal(f"has {directory!r} both as a file and as a directory")
    return {path: file for path, file in files.items() if not file.is_directory or path.rstrip("/") not in holding}


def _folded(path: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", path).casefold())


def _too_many(settings: JobSettings) -> InvalidRequest:
    return _refusal(f"has more than {settings.max_project_files} files or directories, the most that is taken")


def _refusal(detail: str) -> InvalidRequest:
    return InvalidRequest(f"{FIELD} {detail}", [FieldError(FIELD, detail)])
