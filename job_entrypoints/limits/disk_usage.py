"""Measures the bytes that a script writes in its attempt's directory, with its working directory and TMPDIR.

The walk goes on for a few milliseconds at a time, so that 100,000 files do not delay the check of memory. A walk begins now and
then, and at once when the file system has lost so much room that the script may have reached its limit. Deleted files count
while they are open. Not counted are files of before the script's start (its project), its output, which has a cap of its own,
and files elsewhere.
"""

from __future__ import annotations

import os
import stat

from job_entrypoints.contract import OUTPUT_FILE, OUTPUT_TAIL_FILE
from job_entrypoints.limits.open_files import open_files
from job_entrypoints.limits.paced_sum import PacedSum

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_UNCOUNTED = frozenset({OUTPUT_FILE, OUTPUT_TAIL_FILE})
_BLOCK = 512


class DiskUsage:
    """Measures the directory below which a script writes. ``limit`` and ``used`` are bytes."""

    def __init__(self, directory: str, root: int, limit: int) -> None:
        self._directory = directory
        self._root = root
        # It stays open: the script may remove the directory.
        self._descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._device = os.fstat(self._descriptor).st_dev
        free = self._free()
        # The store may be on the same disk: no job may fill it.
        self.limit = min(limit, free * 8 // 10)
        self.is_limited_by_room = self.limit < limit
        self._free_at_walk = free
        self._sum = PacedSum(self._sizes)
        self._before = self._sum.finish()

    @property
    def used(self) -> int:
        return max(self._sum.value - self._before, 0)

    @property
    def is_walking(self) -> bool:
        return self._sum.is_walking

    def check(self) -> bool:
        """Measure for a moment. Returns true once the limit is known to be exceeded."""
        if not self.is_walking and (self._sum.is_due or self._may_be_over()):
            self._free_at_walk = self._free()
            self._sum.begin()
        self._sum.go_on(self.limit + self._before)
        return self.used > self.limit

    def check_at_the_end(self) -> bool:
        """Measure a last time after the script's end, if it may have written a lot since the last walk."""
        if self._may_be_over():
            self._sum.finish()
        return self.used > self.limit

    def _may_be_over(self) -> bool:
        """True once the file system has lost so much room, by any writer, that the script may be over its limit."""
        return self._free_at_walk - self._free() > max(self.limit - self.used, 0) // 2

    def _free(self) -> int:
        room = os.fstatvfs(self._descriptor)
        return room.f_bavail * room.f_frsize

    def _sizes(self) -> Iterator[int]:
        """Bytes on disk of each file. One with several names counts once."""
        seen: set[int] = set()
        directories = [self._directory]
        while directories:
            directory = directories.pop()
            try:
                entries = os.scandir(directory)
            except OSError:
                continue  # The script has just removed it, or closed it to itself.
            with entries:
                for entry in entries:
                    if directory == self._directory and entry.name in _UNCOUNTED:
                        continue
                    found = _status(entry)
                    if found is None or (found.st_nlink > 1 and found.st_ino in seen):
                        continue
                    if stat.S_ISDIR(found.st_mode):
                        directories.append(entry.path)
                    elif found.st_nlink > 1:
                        seen.add(found.st_ino)
                    yield found.st_blocks * _BLOCK
        yield from self._deleted_but_open()

    def _deleted_but_open(self) -> Iterator[int]:
        for found in open_files(self._root):
            counts = found is not None and found.st_dev == self._device and found.st_nlink == 0
            yield found.st_blocks * _BLOCK if found is not None and counts else 0


def _status(entry: os.DirEntry[str]) -> os.stat_result | None:
    try:
        return entry.stat(follow_symlinks=False)
    except OSError:
        return None  # It was removed a moment ago.
