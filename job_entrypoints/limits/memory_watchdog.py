"""Watches the memory of a process tree and the number of its processes and threads, where no cgroup can.

Anonymous memory, shared memory and swap count: the kernel cannot take them back. Mapped files do not count. Of files that are
memory (memory_files.py) the larger counts: the mapped or the open bytes. Pages that forked processes share count once
(shared_memory.py).
"""

from __future__ import annotations

import time

from job_entrypoints.limits.memory_files import MemoryFiles
from job_entrypoints.limits.shared_memory import SharedPages, count
from job_entrypoints.linux.proc import read, sum_fields
from job_entrypoints.linux.process_tree import descendants

_SLOWEST_SECONDS = 0.05
_FASTEST_SECONDS = 0.004
_FASTEST_GROWTH = 8 * 2**30
"""Bytes a second: more than a process can get from the kernel."""
_COST_SHARE = 8
"""While there is room left, checks and measurements may take 1/8 of the time."""
_FOR_THE_PEAK_SHARE = 20
"""While the limit is out of reach and only the peak is wanted, measurements may take 1/20 of the time."""
_PORTION_SECONDS = 0.002
_URGENT_SECONDS = 0.05


class Watchdog:
    """Compares the tree below ``root`` with ``limit`` bytes of memory and ``max_tasks`` processes and threads (0: no limit).

    ``scratch``: the directory below which files have a limit of their own.
    """

    def __init__(self, root: int, limit: int, max_tasks: int = 0, scratch: str | None = None) -> None:
        self.limit = limit
        self.max_tasks = max_tasks
        self.used = 0
        """As of the last check."""
        self.peak = 0
        self.tasks = 0
        self.is_over_memory = False
        self._root = root
        self._files = MemoryFiles(root, scratch)
        self._pages = SharedPages()

    @property
    def is_over_tasks(self) -> bool:
        return 0 < self.max_tasks < self.tasks

    def check(self) -> float:
        """Measure once. Returns the seconds until the next check."""
        began = time.monotonic()
        parents = descendants(self._root)
        self.tasks = len(parents)
        if self.is_over_tasks:
            return 0.0  # A fork bomb is ended, not measured.
        self._files.check(self.limit - self._at_most())
        self._measure(parents)
        self.used = self._at_least()
        self.peak = max(self.peak, self.used)
        self.is_over_memory = self._at_least() > self.limit
        return self._pause(time.monotonic() - began)

    def _measure(self, parents: dict[int, int]) -> None:
        """Measure the tree's memory, and count its threads from the same files."""
        now = {pid: count(pid) for pid in parents}
        self.tasks = sum(each.threads for each in now.values())
        self._pages.update(now, parents)
        if self._files.used > self._pages.shared.at_least and self._at_least() > self.limit:
            # The tree may have closed files since the last walk.
            self._files.measure()
        if self._at_least() <= self.limit < self._at_most():
            self._pages.measure(_URGENT_SECONDS)
        elif self._should_measure():
            self._pages.measure(_PORTION_SECONDS)

    def _should_measure(self) -> bool:
        pages = self._pages
        if pages.total > self.limit:
            # No process's size shows that it writes to shared pages.
            return pages.has_rested(_COST_SHARE if self._room() > self.limit // 4 else 1)
        return pages.total > self.peak + self.peak // 16 and pages.has_rested(_FOR_THE_PEAK_SHARE)

    def _at_least(self) -> int:
        return self._pages.private.at_least + max(self._pages.shared.at_least, self._files.used)

    def _at_most(self) -> int:
        return self._pages.private.at_most + max(self._pages.shared.at_most, self._files.used)

    def _room(self) -> int:
        return max(self.limit - self._at_most(), 0)

    def _pause(self, cost: float) -> float:
        room = self._room()
        pause = min(max(room / _FASTEST_GROWTH, _FASTEST_SECONDS), _SLOWEST_SECONDS)
        return max(pause, cost * (_COST_SHARE if room > self.limit // 4 else 1))


def machine_limit() -> int:
    """Bytes that a script may use if it asked for none: 80 % of the machine's memory."""
    return sum_fields(read("/proc/meminfo"), (b"MemTotal:",)) * 8 // 10
