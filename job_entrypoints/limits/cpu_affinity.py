"""The cores a script may use: as many as it asked for, chosen so that jobs beside each other get different ones.

A core that a job was given is a byte of one file that its monitor holds locked: the kernel gives it back when the monitor ends,
however it ends. Where every core is taken, a second job gets the core's second byte, and so on.
"""

from __future__ import annotations

import fcntl
import math
import os

_JOBS_ON_A_CORE = 64
_WIDTH = 4096
"""Bytes of one round of cores; no machine has more cores."""


class Cores:
    """What one monitor has taken. ``chosen`` is empty where the script may use all cores, or did not say how many it needs."""

    def __init__(self, cpus: float, register: str) -> None:
        self.chosen: list[int] = []
        available = sorted(os.sched_getaffinity(0), reverse=True)
        count = math.ceil(cpus)
        if not 0 < count < len(available):
            return
        try:
            # Kept open: closing it would give the cores back.
            self._register = os.open(register, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError:
            return  # Nobody could know who has which core; the libraries' thread pools are bounded all the same.
        for turn in range(_JOBS_ON_A_CORE):
            for core in available:
                if len(self.chosen) < count and core not in self.chosen and self._take(turn * _WIDTH + core):
                    self.chosen.append(core)
        # More jobs than anybody can want: they share the last cores.
        self.chosen += [core for core in available if core not in self.chosen][: count - len(self.chosen)]

    def apply(self) -> None:
        """Hold the calling process, and what it will start, to the cores."""
        if self.chosen:
            os.sched_setaffinity(0, self.chosen)

    def _take(self, place: int) -> bool:
        try:
            fcntl.lockf(self._register, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
        except (BlockingIOError, PermissionError):
            return False
        return True
