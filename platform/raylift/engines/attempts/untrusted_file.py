"""Reads files that a job's script may have replaced by a pipe, a link, a directory or a sparse terabyte."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO, Final

_NOT_A_FILE: Final = frozenset({errno.ENOENT, errno.ELOOP, errno.EISDIR, errno.ENOTDIR, errno.ENXIO})


def open_plain(path: Path) -> BinaryIO | None:
    """Open a regular file for reading; None if it is missing or of another kind. Never waits, never follows a link."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in _NOT_A_FILE:
            return None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return None
    return os.fdopen(descriptor, "rb")


def read_plain(path: Path, limit: int) -> bytes | None:
    """Read a regular file; None if there is none. Raises ValueError if it has more than ``limit`` bytes."""
    file = open_plain(path)
    if file is None:
        return None
    with file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise ValueError(f"{path.name} has more than {limit} bytes")
    return content


def plain_size(path: Path) -> int:
    """Size of a regular file in bytes; 0 if there is none."""
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return 0
    return found.st_size if stat.S_ISREG(found.st_mode) else 0
