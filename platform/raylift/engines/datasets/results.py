"""Files that a job has made, copied to where the platform keeps bytes of datasets. Its script may have left anything there."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from raylift.domain.datasets.dataset import DataFile
from raylift.engines.attempts.untrusted_file import open_plain
from raylift.engines.datasets.blobs import CHUNK_BYTES, Blobs


class ResultRefused(Exception):
    """The files cannot become a version. The text is a sentence."""


def files_below(folder: Path, most: int) -> list[str]:
    """Return the paths of the files below a folder, sorted, one more than ``most`` at most; none where it does not exist.

    Raises:
        ResultRefused: there is a link or something else than a file.
    """
    return sorted(islice(_walk(folder, ""), most + 1)) if folder.is_dir() and not folder.is_symlink() else []


def copy_in(folder: Path, path: str, workspace: str, blobs: Blobs, draft: Path, most: int) -> DataFile:
    """Copy a file to the platform's, by its content. A copy, since processes of the job's user may still write to the file.

    Raises:
        ResultRefused: it is no file any more.
        OSError: it cannot be read or stored.
    """
    try:
        source = open_plain(folder / path)
    except PermissionError as error:
        raise ResultRefused(f"{path!r} cannot be read: {error.strerror}.") from error
    if source is None:
        raise ResultRefused(f"{path!r} is no file any more.")
    sha256, size = hashlib.sha256(), 0
    draft.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with source, draft.open("wb") as copy:
        while chunk := source.read(CHUNK_BYTES):
            sha256.update(chunk)
            copy.write(chunk)
            size += len(chunk)
            if size > most:
                raise ResultRefused(f"{path!r} grew while it was copied: end all processes that write to it.")
    blobs.put(workspace, sha256.hexdigest(), draft)
    return DataFile(path, sha256.hexdigest(), size)


def _walk(folder: Path, prefix: str) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(Path(entry.path), f"{prefix}{entry.name}/")
            elif entry.is_file(follow_symlinks=False):
                yield prefix + entry.name
            else:
                raise ResultRefused(f"{prefix + entry.name!r} is a link or no regular file: write only files there.")
