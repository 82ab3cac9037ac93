"""Measures the open files of a process tree that are memory: memfds, and files on a tmpfs such as /dev/shm.

Their bytes take the machine's memory, but no process's resident size shows them unless they are mapped. A walk over all open
files is slow beside the watchdog's checks. So it runs now and then, for a few milliseconds at a time, and at once when the
machine's shared memory has grown so much that the script may have reached its limit.
"""

# ruff: noqa: PTH116, PTH123
# (importing pathlib would cost every job's start some milliseconds)
from __future__ import annotations

import os
import time

from job_entrypoints.limits.open_files import open_files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_PORTION_SECONDS = 0.002
_REST_SECONDS = 2.0
_REST_SHARE = 20
"""Walking takes at most 1/20 of the time."""
_BLOCK = 512
_CLOCK_STEP_SECONDS = 0.1
"""Times of files lag behind the clock by a tick of the kernel."""
_IN_MEMORY = frozenset({"tmpfs", "ramfs"})


class MemoryFiles:
    """Measures such files of the tree below ``root``. ``used`` is bytes, as of the last walk.

    Files that were last written before this object was made do not count: the script only reads them. Nor do files on the
    file system of ``scratch``, the script's directory, which has a limit of its own.
    """

    def __init__(self, root: int, scratch: str | None = None) -> None:
        self.used = 0
        self._root = root
        self._devices = _memory_devices() - ({os.stat(scratch).st_dev} if scratch else set())
        self._since = time.time() - _CLOCK_STEP_SECONDS
        self._shared_at_walk = _shared_memory()
        self._walk: Iterator[int] | None = None
        self._walk_cost = 0.0
        self._sum = 0
        self._rest_until = time.monotonic() + _REST_SECONDS

    def check(self, room: int) -> None:
        """Measure for a moment. ``room``: bytes that the script may still take."""
        if self._walk is None and (time.monotonic() >= self._rest_until or self._may_fill(room)):
            self._shared_at_walk = _shared_memory()
            self._sum, self._walk_cost = 0, 0.0
            self._walk = self._sizes()
        if self._walk is not None:
            self._go_on(self._walk)

    def measure(self) -> int:
        """Measure to the end, now. Returns bytes."""
        self.used, self._walk = sum(self._sizes()), None
        return self.used

    def _may_fill(self, room: int) -> bool:
        return _shared_memory() - self._shared_at_walk > max(room, 0) // 2

    def _go_on(self, walk: Iterator[int]) -> None:
        began = now = time.monotonic()
        while now - began < _PORTION_SECONDS:
            size = next(walk, None)
            now = time.monotonic()
            if size is None:
                self.used, self._walk = self._sum, None
                break
            self._sum += size
        self._walk_cost += now - began
        self._rest_until = now + max(_REST_SECONDS, self._walk_cost * _REST_SHARE)

    def _sizes(self) -> Iterator[int]:
        for found in open_files(self._root):
            counts = found is not None and found.st_dev in self._devices and found.st_ctime >= self._since
            yield found.st_blocks * _BLOCK if found is not None and counts else 0


def _memory_devices() -> set[int]:
    """The devices of files that are memory: that of memfds, and each mounted tmpfs."""
    devices: set[int] = set()
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("probe")
        devices.add(os.fstat(descriptor).st_dev)
        os.close(descriptor)
    with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as mounts:
        for line in mounts:
            mount, _, source = line.partition(" - ")
            if source.split(" ", 1)[0] in _IN_MEMORY:
                major, _, minor = mount.split()[2].partition(":")
                devices.add(os.makedev(int(major), int(minor)))
    return devices


def _shared_memory() -> int:
    """Bytes of the machine's shared memory, with files in memory."""
    with open("/proc/meminfo", "rb", buffering=0) as file:
        text = file.read(4096)
    _, _, rest = text.partition(b"\nShmem:")
    return int(rest.split(None, 1)[0]) * 1024 if rest else 0
