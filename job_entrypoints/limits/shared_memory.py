"""Bounds the memory of a process tree whose processes share pages since a fork.

/proc/PID/status is cheap, but counts a shared page once for each process. The kernel's exact shares (PSS, smaps_rollup) cost
tens of milliseconds for each gigabyte and process. So they are read now and then, a few processes at a time, and status updates
them in between: a process that grows is seen at once, however many share its pages.
"""

from __future__ import annotations

import time

from job_entrypoints.linux.proc import number, read_memory, sum_fields
from job_entrypoints.linux.process_control import share_memory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_THREADS_FIELD = b"\nThreads:"
_PRIVATE_FIELDS = (b"\nRssAnon:", b"\nVmSwap:")
_SHARED_FIELDS = (b"\nRssShmem:",)
_EXACT_PRIVATE_FIELDS = (b"\nPss_Anon:", b"\nSwapPss:")
_EXACT_SHARED_FIELDS = (b"\nPss_Shmem:",)


class Counted:
    """Memory of one process in bytes, with pages that others have too. ``shared``: shared memory, such as /dev/shm."""

    def __init__(self, private: int, shared: int, threads: int) -> None:
        self.private = private
        self.shared = shared
        self.threads = threads


class _Share:
    """Exact share of one process (PSS, bytes), and its counts before and after that measurement."""

    def __init__(self, exact: int, before: int, after: int) -> None:
        self.exact = exact
        self.counted = after
        self.least = min(before, after)
        """Lowest count since then. Anything above it may be new."""


class Bounds:
    """Bounds of one kind of memory of a tree, in bytes.

    ``at_least`` is certain. ``at_most`` misses writes to pages of before a fork until they are measured again. Both are exact
    for a tree of one process, and directly after a measurement.
    """

    def __init__(self, *, growth_counts: bool) -> None:
        self.at_least = self.at_most = 0
        self.shares: dict[int, _Share] = {}
        """Results of the last measurement, of processes that still run."""
        self.pending: dict[int, _Share] = {}
        """Results of the measurement that is under way."""
        self._growth_counts = growth_counts
        """False for shared memory: mapping more of a segment that others map too takes no memory."""
        self._exact = 0
        """Sum of the last measurement, with processes that have ended since: what they shared is still there."""

    def update(self, now: dict[int, int], new: Iterable[int]) -> None:
        """Compute the bounds from the count of each process. ``new``: processes that were not measured yet."""
        for shares in (self.shares, self.pending):
            for pid in shares.keys() - now.keys():
                del shares[pid]  # At once: the number may be reused.
            for pid, share in shares.items():
                share.least = min(share.least, now[pid])
        total = sum(now.values())
        if len(now) < 2:
            self.at_least = self.at_most = total
            return
        certain, possible = 0, self._exact + sum(now[pid] for pid in new)
        # A sum over some of the processes is never too high. So processes that may have lost their share are left out.
        for pid, share in self.shares.items():
            growth = now[pid] - share.counted
            certain += max(share.exact + (growth if self._growth_counts else min(growth, 0)), 0)
            possible += now[pid] - share.least
        self.at_least = max(certain, *now.values())
        self.at_most = max(min(total, possible), self.at_least)

    def finish(self) -> None:
        """Adopt the results of a measurement that is complete."""
        self.shares, self.pending = self.pending, {}
        self._exact = sum(share.exact for share in self.shares.values())


class SharedPages:
    """Bounds of the memory of a tree. ``total`` counts a shared page once for each process."""

    def __init__(self) -> None:
        self.private = Bounds(growth_counts=True)
        self.shared = Bounds(growth_counts=False)
        self.total = 0
        self._now: dict[int, Counted] = {}
        self._parents: dict[int, int] = {}
        self._measuring: Iterator[None] | None = None
        self._cost = 0.0
        self._rest_since = float("-inf")

    def update(self, now: dict[int, Counted], parents: dict[int, int]) -> None:
        """Compute the bounds from the present count of each process."""
        self._now, self._parents = now, parents
        self.total = sum(each.private + each.shared for each in now.values())
        new = [pid for pid in now if pid not in self.private.shares and not self._shares_address_space(pid)]
        self.private.update({pid: each.private for pid, each in now.items()}, new)
        self.shared.update({pid: each.shared for pid, each in now.items()}, new)

    def measure(self, seconds: float) -> None:
        """Begin a measurement, or go on with it, for about so many seconds."""
        began = time.monotonic()
        if self._measuring is None:
            self.private.pending, self.shared.pending, self._cost = {}, {}, 0.0
            self._measuring = self._measure(list(self._now.items()))
        for _ in self._measuring:
            if time.monotonic() - began >= seconds:
                break
        else:
            self._measuring = None
            self.private.finish()
            self.shared.finish()
            self.update(self._now, self._parents)
        self._rest_since = time.monotonic()
        self._cost += self._rest_since - began

    def has_rested(self, share: int) -> bool:
        """True if measuring would take at most 1/``share`` of the time, or is under way."""
        return self._measuring is not None or time.monotonic() - self._rest_since >= self._cost * share

    def _measure(self, processes: list[tuple[int, Counted]]) -> Iterator[None]:
        # Only processes that were there at the beginning: a later fork of one would count a second time.
        for pid, before in processes:
            private, shared, after = 0, 0, before
            if not self._shares_address_space(pid):
                rollup = read_memory(pid, "smaps_rollup", _EXACT_PRIVATE_FIELDS[0])
                after = count(pid)
                # Without a rollup the kernel is older than 5.4, or the process has ended. Its count may be too high.
                private, shared = after.private, after.shared
                if _EXACT_PRIVATE_FIELDS[0] in rollup:
                    private, shared = sum_fields(rollup, _EXACT_PRIVATE_FIELDS), sum_fields(rollup, _EXACT_SHARED_FIELDS)
            self.private.pending[pid] = _Share(private, before.private, after.private)
            self.shared.pending[pid] = _Share(shared, before.shared, after.shared)
            yield

    def _shares_address_space(self, pid: int) -> bool:
        """True between vfork and exec: the child shows its parent's memory a second time."""
        parent = self._parents.get(pid, 0)
        return parent in self._now and share_memory(pid, parent)


def count(pid: int) -> Counted:
    """Count one process cheaply. All zero for one that has ended or may not be read."""
    status = read_memory(pid, "status", _PRIVATE_FIELDS[0])
    return Counted(sum_fields(status, _PRIVATE_FIELDS), sum_fields(status, _SHARED_FIELDS), number(status, _THREADS_FIELD))
