"""Enforces the limits of an attempt and words the message of a breach."""

from __future__ import annotations

import os

from job_entrypoints.contract import DISK_LIMIT, OUT_OF_MEMORY, PROCESS_LIMIT
from job_entrypoints.limits.cgroup import Cgroup, find_pids_place, find_place, make_cgroup
from job_entrypoints.limits.cpu_affinity import CpuAffinity
from job_entrypoints.limits.disk_usage import DiskUsage
from job_entrypoints.limits.memory_watchdog import Watchdog, machine_limit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    from job_entrypoints.attempt.progress import Usage
    from job_entrypoints.attempt.record import Attempt


_MEBIBYTE = 2**20
_WALKING_SECONDS = 0.02
_CGROUP_SECONDS = 0.05


class Breach:
    """A limit that was exceeded."""

    def __init__(self, outcome: str, message: str) -> None:
        self.outcome = outcome
        self.message = message


class Limits:
    """The limits of one attempt, whose processes are below ``root``. A cgroup enforces what it can, the monitor the rest."""

    def __init__(self, attempt: Attempt, root: int) -> None:
        memory = attempt.memory_bytes or machine_limit()
        self._watchdog = Watchdog(root, memory, attempt.max_processes, attempt.directory)
        self._disk = DiskUsage(attempt.directory, root, attempt.max_scratch_bytes) if attempt.max_scratch_bytes else None
        self._cgroup = make_cgroup(
            attempt.submission_id, find_place(), memory_bytes=memory, max_tasks=attempt.max_processes, cpus=attempt.cpus
        )
        self._pids = self._cgroup
        if self._cgroup is None or not self._cgroup.pids:
            self._pids = make_cgroup(
                attempt.submission_id, find_pids_place(), memory_bytes=0, max_tasks=attempt.max_processes, cpus=0
            )
        by_cgroup = self._cgroup is not None and self._cgroup.cpu
        self._affinity = CpuAffinity(0 if by_cgroup else attempt.cpus, attempt.path("..", f".cores-{os.uname().nodename}"))
        self._memory_by: Literal["cgroup", "watchdog"]
        self._memory_by = "cgroup" if self._cgroup is not None and self._cgroup.memory else "watchdog"
        self._cpu_by: Literal["cgroup", "affinity"] | None
        self._cpu_by = "cgroup" if by_cgroup else "affinity" if self._affinity.cores else None

    def confine(self) -> None:
        """Confine the calling process: the script's, before it becomes the script."""
        self._affinity.apply()
        for group in self._cgroups():
            group.join()

    def check(self) -> tuple[Breach | None, float]:
        """Check once. Returns the breach, if any, and the seconds until the next check."""
        if self._cgroup is not None and self._cgroup.memory and self._cgroup.pids:
            breach, pause = self._breach_of_cgroup(), _CGROUP_SECONDS
        else:
            pause = self._watchdog.check()
            breach = self._breach_of_cgroup() or self._breach_of_watchdog()
        if breach is None and self._disk is not None:
            breach = self._disk_limit(self._disk) if self._disk.check() else None
            pause = min(pause, _WALKING_SECONDS) if self._disk.is_walking else pause
        return breach, pause

    def memory_now(self) -> int:
        """Bytes in use as of the last check."""
        if self._cgroup is not None and self._cgroup.memory:
            return self._cgroup.memory_bytes()
        return self._watchdog.used

    def at_the_end(self) -> Breach | None:
        """The breach, if any, of a script that has ended by itself."""
        breach = self._breach_of_cgroup()
        if breach is None and self._disk is not None and self._disk.check_at_the_end():
            breach = self._disk_limit(self._disk)
        return breach

    def kill(self) -> None:
        """Kill the cgroup, where there is one. The caller kills processes outside of it."""
        if self._cgroup is not None:
            self._cgroup.kill()

    def close(self, usage: Usage) -> None:
        """After every process has ended: fill in ``usage`` and remove the cgroups."""
        usage.peak_memory_bytes = self._watchdog.peak
        usage.memory_enforced_by, usage.cpu_enforced_by = self._memory_by, self._cpu_by
        if self._cgroup is not None and self._cgroup.memory:
            usage.peak_memory_bytes = self._cgroup.peak_memory_bytes()
        for group in self._cgroups():
            group.remove()

    def _cgroups(self) -> set[Cgroup]:
        return {group for group in (self._cgroup, self._pids) if group is not None}

    def _breach_of_cgroup(self) -> Breach | None:
        group = self._cgroup
        if group is not None and group.ran_out_of_memory():
            return self._out_of_memory(group.peak_memory_bytes(), "cgroup")
        if self._pids is not None and self._pids.was_refused_a_process():
            # v1 keeps no peak, and many processes have ended since the refusal: there were at least max_tasks.
            return self._process_limit(max(self._pids.peak_tasks(), self._watchdog.max_tasks), "cgroup")
        return None

    def _breach_of_watchdog(self) -> Breach | None:
        if self._watchdog.is_over_memory and self._memory_by == "watchdog":
            return self._out_of_memory(self._watchdog.peak, "watchdog")
        return self._process_limit(self._watchdog.tasks, "watchdog") if self._watchdog.is_over_tasks else None

    def _out_of_memory(self, peak: int, by: str) -> Breach:
        used, limit = peak // _MEBIBYTE, self._watchdog.limit // _MEBIBYTE
        return Breach(
            OUT_OF_MEMORY, f"out of memory: the script used {used} MiB of the {limit} MiB it asked for and was killed ({by})"
        )

    def _process_limit(self, count: int, by: str) -> Breach:
        limit = self._watchdog.max_tasks
        return Breach(
            PROCESS_LIMIT,
            f"too many processes: the script had {count} processes and threads of at most {limit} (jobs.max_processes) "
            f"and was killed ({by})",
        )

    def _disk_limit(self, disk: DiskUsage) -> Breach:
        why = "80 % of what was free on the disk" if disk.is_limited_by_room else "jobs.max_scratch_bytes"
        used, limit = disk.used // _MEBIBYTE, disk.limit // _MEBIBYTE
        return Breach(
            DISK_LIMIT,
            f"too much on disk: the script's working directory and temporary files took {used} MiB of at most {limit} MiB "
            f"({why}); it was killed, and they are removed",
        )
