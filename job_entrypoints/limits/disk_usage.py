"""Holds what a script writes in its attempt's directory (its working directory and TMPDIR among it) to a limit.

The directory is walked a few milliseconds at a time, so that 100,000 files keep nobody from looking at memory. A walk is begun
now and then, and at once when the file system has lost so much room that the script may have reached its limit. What was there
before the script started does not count: a project, the script itself. Nor do its output, which has a cap of its own, and
files elsewhere. Files that were deleted while they are open count: they take room until they are closed.
"""

from __future__ import annotations

import os
import stat
import time

from job_entrypoints.limits.open_files import open_files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_NOT_THE_SCRIPTS = frozenset({"output.log", "output.tail"})
_PORTION_SECONDS = 0.002
_REST_SECONDS = 2.0
_REST_SHARE = 20
"""Walking takes one part in so many of the time."""
_BLOCK = 512


class DiskUsage:
    """Measures the directory below which a script writes. ``limit`` and ``used`` are bytes."""

    def __init__(self, directory: str, root: int, limit: int) -> None:
        self._directory = directory
        self._root = root
        # Held open: the script may remove the directory.
        self._descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._device = os.fstat(self._descriptor).st_dev
        free = self._free()
        # The store may be on the same disk: no job may take all that is left of it.
        self.limit = min(limit, free * 8 // 10)
        self.is_limited_by_room = self.limit < limit
        self.used = 0
        self._free_at_walk = free
        self._walk: Iterator[int] | None = None
        self._walk_cost = 0.0
        self._sum = 0
        self._rest_until = time.monotonic() + _REST_SECONDS
        self._before = sum(self._sizes())

    def check(self) -> bool:
        """Go on measuring for a moment. Returns whether the limit is exceeded, as far as is known."""
        if self._walk is None and (time.monotonic() >= self._rest_until or self._room_is_going()):
            self._begin()
        if self._walk is not None:
            self._go_on(self._walk)
        return self.used > self.limit

    def check_at_the_end(self) -> bool:
        """When the script has ended: measure once more if it may have written a lot since the last walk."""
        if self._room_is_going():
            self.used = sum(self._sizes()) - self._before
        return self.used > self.limit

    @property
    def is_walking(self) -> bool:
        return self._walk is not None

    def _begin(self) -> None:
        self._free_at_walk = self._free()
        self._sum = -self._before
        self._walk_cost = 0.0
        self._walk = self._sizes()

    def _go_on(self, walk: Iterator[int]) -> None:
        began = now = time.monotonic()
        while now - began < _PORTION_SECONDS:
            # A clock is read each time: a single look at a slow file system may take all of the portion.
            size = next(walk, None)
            now = time.monotonic()
            if size is None:
                self.used, self._walk = max(self._sum, 0), None
                break
            self._sum += size
            if self._sum > self.limit:
                self.used, self._walk = self._sum, None
                break
        self._walk_cost += now - began
        self._rest_until = now + max(_REST_SECONDS, self._walk_cost * _REST_SHARE)

    def _room_is_going(self) -> bool:
        """Whether so much was written to the file system, by anybody, that the script may be over its limit."""
        return self._free_at_walk - self._free() > max(self.limit - self.used, 0) // 2

    def _free(self) -> int:
        room = os.fstatvfs(self._descriptor)
        return room.f_bavail * room.f_frsize

    def _sizes(self) -> Iterator[int]:
        """The bytes on disk of one file after the other; of one with several names once."""
        seen: set[int] = set()
        directories = [self._directory]
        while directories:
            directory = directories.pop()
            try:
                entries = os.scandir(directory)
            except OSError:
                continue  # The script has just removed it, or hides it from itself.
            with entries:
                for entry in entries:
                    if directory == self._directory and entry.name in _NOT_THE_SCRIPTS:
                        continue
                    found = _look(entry)
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
            is_ours = found is not None and found.st_dev == self._device and found.st_nlink == 0
            yield found.st_blocks * _BLOCK if found is not None and is_ours else 0


def _look(entry: os.DirEntry[str]) -> os.stat_result | None:
    try:
        return entry.stat(follow_symlinks=False)
    except OSError:
        return None  # It was there a moment ago.
