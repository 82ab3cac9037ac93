"""Holds a process tree to its memory limit and its number of processes and threads, where no cgroup can.

What counts is anonymous and shared memory, and swap: what the machine cannot take back. Mapped files do not count; files that
are memory (memory_files.py) count whether they are mapped or not: the larger of what is mapped and what is open.
Pages that forked processes share count once (shared_pages.py).
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
"""Bytes a second: faster than a process can make the kernel hand out pages."""
_COST_SHARE = 8
"""Looking, and measuring what is shared, may take one part in so many of the time, while there is room left."""
_FOR_THE_PEAK_SHARE = 20
"""And where the limit cannot be reached, so that only the peak is wanted."""
_PORTION_SECONDS = 0.002
_URGENT_SECONDS = 0.05


class Watchdog:
    """Looks at the tree below ``root``: its memory against ``limit`` bytes, its processes and threads against ``max_tasks``.

    ``max_tasks`` 0: as many as it likes. ``scratch``: the directory below which files have a limit of their own.
    """

    def __init__(self, root: int, limit: int, max_tasks: int = 0, scratch: str | None = None) -> None:
        self.limit = limit
        self.max_tasks = max_tasks
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
        """Measure once. Returns the seconds until the next look."""
        began = time.monotonic()
        parents = descendants(self._root)
        self.tasks = len(parents)
        if self.is_over_tasks:
            # Whoever forks that fast is to be ended, not measured.
            return 0.0
        self._files.check(self.limit - self._at_most())
        self._measure(parents)
        self.peak = max(self.peak, self._at_least())
        self.is_over_memory = self._at_least() > self.limit
        return self._pause(time.monotonic() - began)

    def _measure(self, parents: dict[int, int]) -> None:
        """The tree's memory; counts its threads on the way, which the same files tell."""
        now = {pid: count(pid) for pid in parents}
        self.tasks = sum(each.threads for each in now.values())
        self._pages.look(now, parents)
        if self._files.used > self._pages.shared_at_least and self._at_least() > self.limit:
            # It may have closed them since they were looked at.
            self._files.measure()
        if self._at_least() <= self.limit < self._at_most():
            self._pages.measure(_URGENT_SECONDS)
        elif self._is_to_be_measured():
            self._pages.measure(_PORTION_SECONDS)

    def _is_to_be_measured(self) -> bool:
        pages = self._pages
        if pages.total > self.limit:
            # What is written to shared pages shows in no process's size.
            return pages.has_rested(_COST_SHARE if self._room() > self.limit // 4 else 1)
        return pages.total > self.peak + self.peak // 16 and pages.has_rested(_FOR_THE_PEAK_SHARE)

    def _at_least(self) -> int:
        return self._pages.private_at_least + max(self._pages.shared_at_least, self._files.used)

    def _at_most(self) -> int:
        return self._pages.private_at_most + max(self._pages.shared_at_most, self._files.used)

    def _room(self) -> int:
        return max(self.limit - self._at_most(), 0)

    def _pause(self, cost: float) -> float:
        room = self._room()
        pause = min(max(room / _FASTEST_GROWTH, _FASTEST_SECONDS), _SLOWEST_SECONDS)
        return max(pause, cost * (_COST_SHARE if room > self.limit // 4 else 1))


def machine_limit() -> int:
    """What a script may use that asked for nothing: 80 % of the machine's memory."""
    return sum_fields(read("/proc/meminfo"), (b"MemTotal:",)) * 8 // 10
