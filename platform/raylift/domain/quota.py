"""Quotas of owners, and the resources that an owner's jobs hold."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from raylift.domain.job import Resources
from raylift.domain.nodes.fit import TOLERANCE
from raylift.domain.quantities import format_bytes


@dataclass(frozen=True, slots=True)
class Held:
    """Resources held by an owner's admitted jobs together."""

    jobs: int = 0
    cpus: float = 0.0
    memory_bytes: int = 0
    gpus: float = 0.0

    def plus(self, wanted: Resources) -> Held:
        if wanted.workers is not None:
            wanted = wanted.whole
        return Held(self.jobs + 1, self.cpus + wanted.cpus, self.memory_bytes + wanted.memory_bytes, self.gpus + wanted.gpus)

    def share_of(self, total: Held) -> float:
        """Return the dominant share, 0 to 1: the largest of the shares of the cluster's CPUs, memory and GPUs."""
        pairs = ((self.cpus, total.cpus), (self.memory_bytes, total.memory_bytes), (self.gpus, total.gpus))
        return max((part / whole for part, whole in pairs if whole > 0), default=0.0)


def sum_of(requests: Iterable[Resources]) -> Held:
    total = Held()
    for wanted in requests:
        total = total.plus(wanted)
    return total


@dataclass(frozen=True, slots=True)
class Quota:
    """Bounds of one owner. None: unbounded."""

    max_running_jobs: int | None = None
    """Admitted jobs: those in the phases environment, starting, script and registration."""
    max_queued_jobs: int | None = None
    """Jobs that wait for admission."""
    max_cpus: float | None = None
    """Sum over admitted jobs."""
    max_memory_bytes: int | None = None
    """Sum over admitted jobs."""

    def bounds_admission(self) -> bool:
        return (self.max_running_jobs, self.max_cpus, self.max_memory_bytes) != (None, None, None)

    def exceeded_by(self, wanted: Resources, held: Held) -> str | None:
        """Return the bound that one more job would exceed, in words; None when it stays within all."""
        if not self.bounds_admission():
            return None
        after = held.plus(wanted)
        if self.max_running_jobs is not None and after.jobs > self.max_running_jobs:
            return f"{self.max_running_jobs} running jobs"
        if self.max_cpus is not None and after.cpus > self.max_cpus + TOLERANCE:
            return f"{self.max_cpus:g} CPUs"
        if self.max_memory_bytes is not None and after.memory_bytes > self.max_memory_bytes:
            return f"{format_bytes(self.max_memory_bytes)} of memory"
        return None
