"""Measures the open files of a process tree that are memory: memfds, and files on a tmpfs such as /dev/shm.

Their bytes take the machine's memory, but no process's resident size shows them unless they are mapped. A walk over all open
files is slow beside the watchdog's checks. So it runs now and then, for a few milliseconds at a time, and at once when the
machine's shared memory has grown so much that the script may have reached its limit.
"""

from __future__ import annotations

import os
import time

from job_entrypoints.limits.open_files import open_files
from job_entrypoints.limits.paced_sum import PacedSum

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

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
        self._root = root
        self._devices = _memory_devices() - ({os.stat(scratch).st_dev} if scratch else set())
        self._since = time.time() - _CLOCK_STEP_SECONDS
        self._shared_at_walk = _shared_memory()
        self._sum = PacedSum(self._sizes)

    @property
    def used(self) -> int:
        return self._sum.value

    def check(self, room: int) -> None:
        """Measure for a moment. ``room``: bytes that the script may still take."""
        if not self._sum.is_walking and (self._sum.is_due or self._may_fill(room)):
            self._shared_at_walk = _shared_memory()
            self._sum.begin()
        self._sum.go_on()

    def measure(self) -> int:
        """Measure to the end, now. Returns bytes."""
        return self._sum.finish()

    def _may_fill(self, room: int) -> bool:
        return _shared_memory() - self._shared_at_walk > max(room, 0) // 2

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
