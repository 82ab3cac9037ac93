"""Holds a process tree to its memory limit and its number of processes and threads, where no cgroup can.

What counts is anonymous and shared memory, and swap: what the machine cannot take back. Mapped files do not count; files that
are memory (memory_files.py) count whether they are mapped or not: the larger of what is mapped and what is open.
The sum over processes of what /proc/PID/status says is cheap, but counts pages that forked processes share once for each of
them, so it can only be too high. Only when it is over the limit are the kernel's exact shares (PSS) asked for, which costs
milliseconds per gigabyte.
"""

from __future__ import annotations

import os
import time

from job_entrypoints.memory_files import MemoryFiles
from job_entrypoints.process_control import share_memory
from job_entrypoints.process_tree import descendants

_SLOWEST_SECONDS = 0.05
_FASTEST_SECONDS = 0.004
_FASTEST_GROWTH = 8 * 2**30
"""Bytes a second: faster than a process can make the kernel hand out pages."""
_COST_SHARE = 8
"""Looking may take one part in so many of the time, while there is room left."""

_PRIVATE_FIELDS = (b"\nRssAnon:", b"\nVmSwap:")
_SHARED_FIELDS = (b"\nRssShmem:",)
_THREADS_FIELD = b"\nThreads:"
_EXACT_PRIVATE_FIELDS = (b"\nPss_Anon:", b"\nSwapPss:")
_EXACT_SHARED_FIELDS = (b"\nPss_Shmem:",)


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
        self._used = 0

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
        self._files.check(self.limit - self._used)
        self._used = used = self._measure(parents)
        self.peak = max(self.peak, used)
        self.is_over_memory = used > self.limit
        return self._pause(used, time.monotonic() - began)

    def _measure(self, parents: dict[int, int]) -> int:
        """The tree's memory; counts its threads on the way, which the same files tell."""
        private = shared = tasks = 0
        for pid in parents:
            status = _read(f"/proc/{pid}/status")
            private += _sum_fields(status, _PRIVATE_FIELDS)
            shared += _sum_fields(status, _SHARED_FIELDS)
            tasks += _number(status, _THREADS_FIELD)
        self.tasks = tasks
        if self._files.used > shared and private + self._files.used > self.limit:
            # It may have closed them since they were looked at.
            self._files.measure()
        used = private + max(shared, self._files.used)
        if used > self.limit and len(parents) > 1:
            private, shared = _exact(parents)
            # 0: a kernel before 5.4, which cannot say. What is too high is then all there is.
            used = private + max(shared, self._files.used) if private else used
        return used

    def _pause(self, used: int, cost: float) -> float:
        room = max(self.limit - used, 0)
        pause = min(max(room / _FASTEST_GROWTH, _FASTEST_SECONDS), _SLOWEST_SECONDS)
        return max(pause, cost * (_COST_SHARE if room > self.limit // 4 else 1))


def machine_limit() -> int:
    """What a script may use that asked for nothing: 80 % of the machine's memory."""
    return _sum_fields(_read("/proc/meminfo"), (b"MemTotal:",)) * 8 // 10


def _exact(parents: dict[int, int]) -> tuple[int, int]:
    """The tree's private and shared memory, each page once."""
    private = shared = 0
    for pid, parent in parents.items():
        # Between vfork and exec a child is its parent's own memory, shown a second time.
        if parent not in parents or not share_memory(pid, parent):
            rollup = _read(f"/proc/{pid}/smaps_rollup")
            private += _sum_fields(rollup, _EXACT_PRIVATE_FIELDS)
            shared += _sum_fields(rollup, _EXACT_SHARED_FIELDS)
    return private, shared


def _read(path: str) -> bytes:
    """The file's beginning; nothing for a process that has ended or is not ours to see."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return b""
    try:
        return os.read(descriptor, 8192)
    except OSError:
        return b""
    finally:
        os.close(descriptor)


def _sum_fields(text: bytes, fields: tuple[bytes, ...]) -> int:
    """The sum, in bytes, of ``Name:  123 kB`` lines."""
    return sum(_number(text, field) for field in fields) * 1024


def _number(text: bytes, field: bytes) -> int:
    at = text.find(field)
    return 0 if at < 0 else int(text[at + len(field) : at + len(field) + 20].split(None, 1)[0])
