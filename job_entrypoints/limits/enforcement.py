"""What a script is held to, by whom, and what is said when it goes beyond."""

from __future__ import annotations

import os

from job_entrypoints.attempt.progress import DISK_LIMIT, OUT_OF_MEMORY, PROCESS_LIMIT
from job_entrypoints.limits.cgroup import Cgroup, find_pids_place, find_place, make_cgroup
from job_entrypoints.limits.cpu_affinity import Cores
from job_entrypoints.limits.disk_usage import DiskUsage
from job_entrypoints.limits.memory_watchdog import Watchdog, machine_limit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from job_entrypoints.attempt.progress import Usage
    from job_entrypoints.attempt.record import Attempt

CGROUP, WATCHDOG, AFFINITY = "cgroup", "watchdog", "affinity"

_MEBIBYTE = 2**20
_WALKING_SECONDS = 0.02
_CGROUP_SECONDS = 0.05


class Breach:
    """A limit that was exceeded."""

    def __init__(self, outcome: str, message: str) -> None:
        self.outcome = outcome
        self.message = message


class Limits:
    """The limits of one attempt, whose processes are below ``root``. A cgroup holds what it can; the rest is watched."""

    def __init__(self, attempt: Attempt, root: int) -> None:
        memory = attempt.memory_bytes or machine_limit()
        self._watchdog = Watchdog(root, memory, attempt.max_processes, attempt.directory)
        self._scratch = DiskUsage(attempt.directory, root, attempt.max_scratch_bytes) if attempt.max_scratch_bytes else None
        self._cgroup = make_cgroup(
            attempt.submission_id, find_place(), memory_bytes=memory, max_tasks=attempt.max_processes, cpus=attempt.cpus
        )
        self._pids = self._cgroup
        if self._cgroup is None or not self._cgroup.pids:
            self._pids = make_cgroup(
                attempt.submission_id, find_pids_place(), memory_bytes=0, max_tasks=attempt.max_processes, cpus=0
            )
        by_cgroup = self._cgroup is not None and self._cgroup.cpu
        self._cores = Cores(0 if by_cgroup else attempt.cpus, attempt.path("..", f".cores-{os.uname().nodename}"))
        self.memory_by = CGROUP if self._cgroup is not None and self._cgroup.memory else WATCHDOG
        self.cpu_by = CGROUP if by_cgroup else AFFINITY if self._cores.chosen else None

    def confine(self) -> None:
        """Called in the script's process before it becomes the script."""
        self._cores.apply()
        for group in self._cgroups():
            group.join()

    def check(self) -> tuple[Breach | None, float]:
        """Look once. Returns what is exceeded, if anything, and the seconds until the next look."""
        if self._cgroup is not None and self._cgroup.memory and self._cgroup.pids:
            breach, pause = self._breach_of_cgroup(), _CGROUP_SECONDS
        else:
            pause = self._watchdog.check()
            breach = self._breach_of_cgroup() or self._breach_of_watchdog()
        if breach is None and self._scratch is not None:
            breach = self._disk_limit(self._scratch) if self._scratch.check() else None
            pause = min(pause, _WALKING_SECONDS) if self._scratch.is_walking else pause
        return breach, pause

    def at_the_end(self) -> Breach | None:
        """What was exceeded, when the script has ended by itself."""
        breach = self._breach_of_cgroup()
        if breach is None and self._scratch is not None and self._scratch.check_at_the_end():
            breach = self._disk_limit(self._scratch)
        return breach

    def kill(self) -> None:
        """End all at once, where that can be. The caller sees to the rest."""
        if self._cgroup is not None:
            self._cgroup.kill()

    def close(self, usage: Usage) -> None:
        """When everything has ended: write down what was used."""
        usage.peak_memory_bytes = self._watchdog.peak
        usage.memory_enforced_by, usage.cpu_enforced_by = self.memory_by, self.cpu_by
        if self._cgroup is not None and self._cgroup.memory:
            usage.peak_memory_bytes = self._cgroup.peak_memory_bytes()
        for group in self._cgroups():
            group.remove()

    def _cgroups(self) -> set[Cgroup]:
        return {group for group in (self._cgroup, self._pids) if group is not None}

    def _breach_of_cgroup(self) -> Breach | None:
        group = self._cgroup
        if group is not None and group.ran_out_of_memory():
            return self._out_of_memory(group.peak_memory_bytes(), CGROUP)
        if self._pids is not None and self._pids.was_refused_a_process():
            # It was refused one more than it had; v1 keeps no peak, and many have ended since.
            return self._process_limit(max(self._pids.peak_tasks(), self._watchdog.max_tasks), CGROUP)
        return None

    def _breach_of_watchdog(self) -> Breach | None:
        if self._watchdog.is_over_memory and self.memory_by == WATCHDOG:
            return self._out_of_memory(self._watchdog.peak, WATCHDOG)
        return self._process_limit(self._watchdog.tasks, WATCHDOG) if self._watchdog.is_over_tasks else None

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

    def _disk_limit(self, scratch: DiskUsage) -> Breach:
        why = "80 % of what was free on the disk" if scratch.is_limited_by_room else "jobs.max_scratch_bytes"
        used, limit = scratch.used // _MEBIBYTE, scratch.limit // _MEBIBYTE
        return Breach(
            DISK_LIMIT,
            f"too much on disk: the script's working directory and temporary files took {used} MiB of at most {limit} MiB "
            f"({why}); it was killed, and they are removed",
        )
