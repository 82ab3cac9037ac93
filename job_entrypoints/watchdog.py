"""Holds a process tree to its memory limit, where no cgroup can.

What counts is anonymous and shared memory, and swap: what the machine cannot take back. Mapped files do not count.
The sum over processes of what /proc/PID/status says is cheap, but counts pages that forked processes share once for each of
them, so it can only be too high. Only when it is over the limit are the kernel's exact shares (PSS) asked for, which costs
milliseconds per gigabyte.
"""

from __future__ import annotations

import os
import time

from job_entrypoints.process_control import share_memory
from job_entrypoints.process_tree import descendants

_SLOWEST_SECONDS = 0.05
_FASTEST_SECONDS = 0.004
_FASTEST_GROWTH = 8 * 2**30
"""Bytes a second: faster than a process can make the kernel hand out pages."""
_COST_SHARE = 8
"""Looking may take one part in so many of the time, while there is room left."""

_UPPER_FIELDS = (b"\nRssAnon:", b"\nRssShmem:", b"\nVmSwap:")
_EXACT_FIELDS = (b"\nPss_Anon:", b"\nPss_Shmem:", b"\nSwapPss:")


class Watchdog:
    """Looks at the tree below ``root`` and says when its memory is over ``limit`` bytes."""

    def __init__(self, root: int, limit: int) -> None:
        self.limit = limit
        self.peak = 0
        self._root = root

    def check(self) -> tuple[bool, float]:
        """Measure once. Returns whether the limit is exceeded, and the seconds until the next look."""
        began = time.monotonic()
        parents = descendants(self._root)
        used = sum(_sum_fields(f"/proc/{pid}/status", _UPPER_FIELDS) for pid in parents)
        if used > self.limit and len(parents) > 1:
            # 0: a kernel before 5.4, which cannot say. What is too high is then all there is.
            used = _exact(parents) or used
        self.peak = max(self.peak, used)
        return used > self.limit, self._pause(used, time.monotonic() - began)

    def _pause(self, used: int, cost: float) -> float:
        room = max(self.limit - used, 0)
        pause = min(max(room / _FASTEST_GROWTH, _FASTEST_SECONDS), _SLOWEST_SECONDS)
        return max(pause, cost * (_COST_SHARE if room > self.limit // 4 else 1))


def machine_limit() -> int:
    """What a script may use that asked for nothing: 80 % of the machine's memory."""
    return _sum_fields("/proc/meminfo", (b"MemTotal:",)) * 8 // 10


def _exact(parents: dict[int, int]) -> int:
    # Between vfork and exec a child is its parent's own memory, shown a second time.
    return sum(
        _sum_fields(f"/proc/{pid}/smaps_rollup", _EXACT_FIELDS)
        for pid, parent in parents.items()
        if parent not in parents or not share_memory(pid, parent)
    )


def _sum_fields(path: str, fields: tuple[bytes, ...]) -> int:
    """The sum, in bytes, of ``Name:  123 kB`` lines; 0 for a process that has ended or is not ours to see."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return 0
    try:
        text = os.read(descriptor, 8192)
    except OSError:
        return 0
    finally:
        os.close(descriptor)
    total = 0
    for field in fields:
        at = text.find(field)
        if at >= 0:
            total += int(text[at + len(field) : at + len(field) + 20].split(None, 1)[0])
    return total * 1024
