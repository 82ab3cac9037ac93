"""Lists the open files of a process tree: deleted files cannot be found by name, and some files are memory."""

from __future__ import annotations

import os
import stat

from job_entrypoints.linux.proc import directories
from job_entrypoints.linux.process_tree import descendants

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


def open_files(root: int) -> Iterator[os.stat_result | None]:
    """Yield each regular file that a process below ``root`` has open, once, and None after each process: a place to pause."""
    seen: set[tuple[int, int]] = set()
    for pid in descendants(root):
        for path in _descriptors(pid):
            try:
                found = os.stat(path)
            except OSError:
                continue
            if stat.S_ISREG(found.st_mode) and (found.st_dev, found.st_ino) not in seen:
                seen.add((found.st_dev, found.st_ino))
                yield found
        yield None


def _descriptors(pid: int) -> list[str]:
    for directory in directories(pid):
        try:
            names = os.listdir(f"{directory}/fd")
        except OSError:
            return []  # It has ended.
        if names:
            return [f"{directory}/fd/{name}" for name in names]
    return []
