"""Registered files: in folders of the machine and in buckets that the settings allow."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from job_entrypoints.data.regular_file import open_regular
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

    def __init__(
        self,
        folders: Sequence[Path],
        buckets: Sequence[str],
        s3: S3,
        *,
        protected: Sequence[Path] = (),
        for_others: bool = False,
    ) -> None:
        """Allow what sandboxed scripts may read.

        Args:
            folders: folders of the machine.
            buckets: addresses of an object store.
            s3: the object store.
            protected: folders of the platform, which are closed, also inside of ``folders``.
            for_others: files must be open to users other than their owner, as they are for jobs with a user of their own.
        """
        self.folders = [Path(os.path.realpath(folder.expanduser())) for folder in folders]
        self.protected = [Path(os.path.realpath(folder)) for folder in protected]
        self._for_others = for_others
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
        path = Path(location)
        if not self._is_allowed(path):
            raise OSError(f"{location} is in no folder of data any more")
        file = os.fdopen(open_regular(location), "rb")
        if self._for_others and (closed := self._closed(path)) is not None:
            file.close()
            raise OSError(_closed_error(closed))
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
            named = ", ".join(map(str, self.folders)) or "none"
            raise SourceRefused(f"is not in a folder that the setting jobs.readable_paths names: {named}")
        if path.is_dir():
            files = sorted(_files_below(path))
        elif path.is_file():
            files = [path]
        else:
            raise SourceRefused("does not exist on the platform's machine")
        for file in files:
            if not self._is_allowed(file):
                raise SourceRefused(f"has {file}, which belongs to the platform: register a folder without it")
            if self._for_others and (closed := self._closed(file)) is not None:
                raise SourceRefused(f"cannot be registered: {_closed_error(closed)}")
        if files == [path]:
            return [SourceFile(path.name, str(path))], False
        return [SourceFile(str(file.relative_to(path)), str(file)) for file in files], True

    def _is_allowed(self, path: Path) -> bool:
        return any(map(path.is_relative_to, self.folders)) and not any(map(path.is_relative_to, self.protected))

    def _closed(self, path: Path) -> Path | None:
        """Return the file, or the folder between it and the allowed one, that other users than its owner may not read."""
        if not path.stat().st_mode & stat.S_IROTH:
            return path
        between = [folder for folder in path.parents if any(each in folder.parents for each in self.folders)]
        return next((folder for folder in between if not folder.stat().st_mode & stat.S_IXOTH), None)


def _files_below(folder: Path) -> Iterator[Path]:
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            yield from _files_below(Path(entry.path))
        elif entry.is_file(follow_symlinks=False):
            yield Path(entry.path)
        else:
            raise SourceRefused(f"has {entry.path}, which is a link or no regular file: only files can be registered")


def _closed_error(path: Path) -> str:
    return f"jobs have a user of their own, and {path} is closed to it: chmod o+rX {path}"


def _is_below(address: str, allowed: str) -> bool:
    return address == allowed or address.startswith(f"{allowed}/")
