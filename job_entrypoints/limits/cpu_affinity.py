"""Pins a script to as many cores as it asked for. Concurrent jobs get different cores.

Each core of a job is a byte of one file, which the job's monitor holds locked. The kernel releases the lock when the monitor
ends, however it ends. Once every core is taken, the next job locks a core's second byte, and so on.
"""

from __future__ import annotations

import fcntl
import math
import os

_JOBS_ON_A_CORE = 64
_WIDTH = 4096
"""Bytes of one round of cores; no machine has more cores."""


class CpuAffinity:
    """Cores that one monitor has taken. ``cores`` is empty where the script may use all, or did not say how many it needs."""

    def __init__(self, cpus: float, register: str) -> None:
        self.cores: list[int] = []
        available = sorted(os.sched_getaffinity(0), reverse=True)
        count = math.ceil(cpus)
        if not 0 < count < len(available):
            return
        try:
            # It stays open: closing it would release the cores.
            self._register = os.open(register, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError:
            return  # Without the file, only the thread-pool variables bound the script.
        for turn in range(_JOBS_ON_A_CORE):
            for core in available:
                if len(self.cores) < count and core not in self.cores and self._take(turn * _WIDTH + core):
                    self.cores.append(core)
        # More jobs than the file has room for: they share the last cores.
        self.cores += [core for core in available if core not in self.cores][: count - len(self.cores)]

    def apply(self) -> None:
        """Pin the calling process, and those that it starts later, to the cores."""
        if self.cores:
            os.sched_setaffinity(0, self.cores)

    def _take(self, place: int) -> bool:
        try:
            fcntl.lockf(self._register, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
        except (BlockingIOError, PermissionError):
            return False
        return True
