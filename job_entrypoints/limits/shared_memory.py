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
    from collections.abc import Iterator

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
    """Exact share of one process in the tree's memory (PSS, bytes), and its counts around that measurement."""

    def __init__(self, private: int, shared: int, counted: Counted, before: Counted) -> None:
        self.private = private
        self.shared = shared
        self.counted = counted
        """Directly after the measurement: later growth is not in ``private``."""
        self.least_private = min(counted.private, before.private)
        """Lowest count since then. Anything above it may be new."""
        self.least_shared = min(counted.shared, before.shared)


class SharedPages:
    """Bounds of the memory of a tree, in bytes; private and shared.

    ``at_least`` is certain. ``at_most`` misses writes to pages of before a fork until they are measured again. Both are exact
    for a tree of one process, and directly after a measurement.
    """

    def __init__(self) -> None:
        self.private_at_least = self.private_at_most = 0
        self.shared_at_least = self.shared_at_most = 0
        self.total = 0
        """Sum over the processes: a shared page counts once for each."""
        self._now: dict[int, Counted] = {}
        self._parents: dict[int, int] = {}
        self._new: list[Counted] = []
        """Processes that were not measured yet."""
        self._shares: dict[int, _Share] = {}
        self._exact_private = self._exact_shared = 0
        """Sums of the last measurement, with processes that have ended since: what they shared is still there."""
        self._measured: dict[int, _Share] = {}
        """Results of the measurement that is under way."""
        self._measuring: Iterator[None] | None = None
        self._cost = 0.0
        self._rest_since = float("-inf")

    def update(self, now: dict[int, Counted], parents: dict[int, int]) -> None:
        """Compute the bounds from the present count of each process."""
        self._now, self._parents = now, parents
        for shares in (self._shares, self._measured):
            _follow(shares, now)
        self._new = [each for pid, each in now.items() if pid not in self._shares and not self._shares_address_space(pid)]
        private, shared = sum(each.private for each in now.values()), sum(each.shared for each in now.values())
        self.total = private + shared
        if len(now) < 2:
            self.private_at_least = self.private_at_most = private
            self.shared_at_least = self.shared_at_most = shared
            return
        self.private_at_least = max(self._certain_private(), *(each.private for each in now.values()))
        self.shared_at_least = max(self._certain_shared(), *(each.shared for each in now.values()))
        self.private_at_most = max(min(private, self._possible_private()), self.private_at_least)
        self.shared_at_most = max(min(shared, self._possible_shared()), self.shared_at_least)

    def measure(self, seconds: float) -> None:
        """Begin a measurement, or go on with it, for about so many seconds."""
        began = time.monotonic()
        if self._measuring is None:
            self._measured, self._cost = {}, 0.0
            self._measuring = self._measure(list(self._now.items()))
        for _ in self._measuring:
            if time.monotonic() - began >= seconds:
                break
        else:
            self._shares, self._measured, self._measuring = self._measured, {}, None
            self._exact_private = sum(share.private for share in self._shares.values())
            self._exact_shared = sum(share.shared for share in self._shares.values())
            self.update(self._now, self._parents)
        self._rest_since = time.monotonic()
        self._cost += self._rest_since - began

    def has_rested(self, share: int) -> bool:
        """True if measuring would take at most 1/``share`` of the time, or is under way."""
        return self._measuring is not None or time.monotonic() - self._rest_since >= self._cost * share

    def _measure(self, processes: list[tuple[int, Counted]]) -> Iterator[None]:
        # Only processes that were there at the beginning: a later fork of one would count a second time.
        for pid, before in processes:
            if self._shares_address_space(pid):
                share = _Share(0, 0, before, before)
            else:
                rollup = read_memory(pid, "smaps_rollup", _EXACT_PRIVATE_FIELDS[0])
                after = count(pid)
                if _EXACT_PRIVATE_FIELDS[0] in rollup:
                    private, shared = sum_fields(rollup, _EXACT_PRIVATE_FIELDS), sum_fields(rollup, _EXACT_SHARED_FIELDS)
                else:
                    # The kernel is older than 5.4, or the process has ended. Its count may be too high.
                    private, shared = after.private, after.shared
                share = _Share(private, shared, after, before)
            self._measured[pid] = share
            yield

    def _shares_address_space(self, pid: int) -> bool:
        """True between vfork and exec: the child shows its parent's memory a second time."""
        parent = self._parents.get(pid, 0)
        return parent in self._now and share_memory(pid, parent)

    # A sum over some of the processes is never too high. So processes that may have lost their share are left out.
    def _certain_private(self) -> int:
        return sum(
            max(share.private + self._now[pid].private - share.counted.private, 0) for pid, share in self._shares.items()
        )

    def _certain_shared(self) -> int:
        # Mapping more of a segment that others map too takes no memory.
        return sum(
            max(share.shared + min(self._now[pid].shared - share.counted.shared, 0), 0) for pid, share in self._shares.items()
        )

    def _possible_private(self) -> int:
        grown = sum(self._now[pid].private - share.least_private for pid, share in self._shares.items())
        return self._exact_private + grown + sum(each.private for each in self._new)

    def _possible_shared(self) -> int:
        grown = sum(self._now[pid].shared - share.least_shared for pid, share in self._shares.items())
        return self._exact_shared + grown + sum(each.shared for each in self._new)


def count(pid: int) -> Counted:
    """Count one process cheaply. All zero for one that has ended or may not be read."""
    status = read_memory(pid, "status", _PRIVATE_FIELDS[0])
    return Counted(sum_fields(status, _PRIVATE_FIELDS), sum_fields(status, _SHARED_FIELDS), number(status, _THREADS_FIELD))


def _follow(shares: dict[int, _Share], now: dict[int, Counted]) -> None:
    for pid in shares.keys() - now.keys():
        del shares[pid]  # At once: the number may be reused.
    for pid, share in shares.items():
        share.least_private = min(share.least_private, now[pid].private)
        share.least_shared = min(share.least_shared, now[pid].shared)
