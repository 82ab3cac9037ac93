"""Registered files: in folders of the machine and in buckets that the settings allow."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from raylift.engines.datasets.s3 import S3, SCHEME


class SourceRefused(Exception):
    """The address may not be registered, or has no files. The text continues a sentence that begins with it."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file below a registered address."""

    path: str
    """Its path in the dataset."""
    location: str


class Sources:
    """Finds and reads registered files."""

    def __init__(self, folders: Sequence[Path], buckets: Sequence[str], s3: S3) -> None:
        self._folders = [Path(os.path.realpath(folder.expanduser())) for folder in folders]
        self._buckets = buckets
        self._s3 = s3

    def find(self, address: str) -> tuple[list[SourceFile], bool]:
        """Return the files of an address, by path, and True where it is a folder.

        Raises:
            SourceRefused: it may not be registered, or there is nothing.
            OSError: it cannot be read now.
        """
        found = self._in_bucket(address) if address.startswith(SCHEME) else self._on_machine(address)
        if not found[0]:
            raise SourceRefused("has no files")
        return found

    def open(self, location: str, offset: int = 0) -> BinaryIO:
        """Open a registered file. Raises OSError."""
        if location.startswith(SCHEME):
            return self._s3.open(location, offset)
        # Never through a link or a pipe that has taken its place.
        descriptor = os.open(location, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        file = os.fdopen(descriptor, "rb")
        if not stat.S_ISREG(os.fstat(descriptor).st_mode) or not self._is_allowed(Path(os.path.realpath(location))):
            file.close()
            raise OSError(f"{location} is no file of a folder of data any more")
        file.seek(offset)
        return file

    def _in_bucket(self, address: str) -> tuple[list[SourceFile], bool]:
        address = address.rstrip("/")
        if ".." in address.split("/") or not any(_is_below(address, allowed.rstrip("/")) for allowed in self._buckets):
            named = ", ".join(self._buckets) or "none"
            raise SourceRefused(f"is not in a bucket that the setting datasets.sources names: {named}")
        if self._s3.info(address) is not None:
            return [SourceFile(address.rpartition("/")[2], address)], False
        found = sorted(self._s3.below(address), key=lambda each: each.path)
        return [SourceFile(each.path, f"{address}/{each.path}") for each in found], True

    def _on_machine(self, address: str) -> tuple[list[SourceFile], bool]:
        if not Path(address).is_absolute():
            raise SourceRefused("is neither an absolute path nor an s3:// address")
        path = Path(os.path.realpath(address))
        if not self._is_allowed(path):
            named = ", ".join(map(str, self._folders)) or "none"
            raise SourceRefused(f"is not in a folder that the setting jobs.readable_paths names: {named}")
        if path.is_dir():
            return [SourceFile(str(file.relative_to(path)), str(file)) for file in sorted(_files_below(path))], True
        if not path.is_file():
            raise SourceRefused("does not exist on the platform's machine")
        return [SourceFile(path.name, str(path))], False

    def _is_allowed(self, path: Path) -> bool:
        return any(path == folder or folder in path.parents for folder in self._folders)


def _files_below(folder: Path) -> Iterator[Path]:
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            yield from _files_below(Path(entry.path))
        elif entry.is_file(follow_symlinks=False):
            yield Path(entry.path)
        else:
            raise SourceRefused(f"has {entry.path}, which is a link or no regular file: only files can be registered")


def _is_below(address: str, allowed: str) -> bool:
    return address == allowed or address.startswith(f"{allowed}/")
