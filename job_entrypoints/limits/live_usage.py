"""Writes usage.json while the script runs: what it uses now, for people who watch it."""

from __future__ import annotations

import os
import time

from job_entrypoints.attempt.record import write_json
from job_entrypoints.contract import LIVE_USAGE_FILE
from job_entrypoints.linux.proc import read
from job_entrypoints.linux.process_tree import descendants

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from job_entrypoints.contract import LiveUsageRecord

PAUSE_SECONDS = 2.0
_TICKS = os.sysconf("SC_CLK_TCK")


class LiveUsage:
    """The usage of the tree below ``root``. Processes that have ended count by what the monitor reaped."""

    def __init__(self, directory: str, root: int) -> None:
        self._path = os.path.join(directory, LIVE_USAGE_FILE)
        self._root = root
        self._due_at = time.monotonic() + PAUSE_SECONDS / 2
        self._before: tuple[float, float] | None = None

    def write_when_due(self, memory_bytes: Callable[[], int], reaped_seconds: float) -> None:
        """Write if it is time. Only then is the memory asked for: the monitor calls this for each portion of output."""
        now = time.monotonic()
        if now < self._due_at:
            return
        self._due_at = now + PAUSE_SECONDS
        tree = descendants(self._root)
        total = reaped_seconds + sum(map(_cpu_seconds, tree))
        cpus = 0.0
        if self._before is not None and now > self._before[0]:
            # A process that ends between two looks is reaped a moment later: the sum may fall for that moment.
            cpus = max(total - self._before[1], 0.0) / (now - self._before[0])
        self._before = (now, total)
        record: LiveUsageRecord = {
            "at": time.time(),
            "cpu_seconds": round(total, 2),
            "cpus": round(cpus, 2),
            "memory_bytes": memory_bytes(),
            "processes": len(tree),
        }
        write_json(self._path, record)


def _cpu_seconds(pid: int) -> float:
    """CPU time of a process and of its ended children that it has waited for."""
    fields = read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    return sum(map(int, fields[11:15])) / _TICKS if len(fields) > 15 else 0.0
