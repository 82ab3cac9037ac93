"""What one owner may have at a time, and what an owner has: pure, and the same for the supervisor and the gateway."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from raylift.domain.job import Resources
from raylift.domain.node_fit import TOLERANCE
from raylift.domain.quantities import format_bytes


@dataclass(frozen=True, slots=True)
class Held:
    """What an owner's admitted jobs hold together."""

    jobs: int = 0
    cpus: float = 0.0
    memory_bytes: int = 0
    gpus: float = 0.0

    def plus(self, wanted: Resources) -> Held:
        return Held(self.jobs + 1, self.cpus + wanted.cpus, self.memory_bytes + wanted.memory_bytes, self.gpus + wanted.gpus)

    def share_of(self, nodes: Iterable[Resources]) -> float:
        """The dominant share, 0 to 1: of CPUs, memory and GPUs, the part of the cluster's total that is largest."""
        total = Held()
        for node in nodes:
            total = total.plus(node)
        pairs = ((self.cpus, total.cpus), (self.memory_bytes, total.memory_bytes), (self.gpus, total.gpus))
        return max((part / whole for part, whole in pairs if whole > 0), default=0.0)


@dataclass(frozen=True, slots=True)
class Quota:
    """Bounds of one owner; None: unbounded."""

    max_running_jobs: int | None = None
    """Admitted jobs: those that start, run or register."""
    max_queued_jobs: int | None = None
    """Jobs that wait to be admitted."""
    max_cpus: float | None = None
    """Of the admitted jobs together."""
    max_memory_bytes: int | None = None
    """Of the admitted jobs together."""

    def bounds_admission(self) -> bool:
        return (self.max_running_jobs, self.max_cpus, self.max_memory_bytes) != (None, None, None)

    def broken_by(self, wanted: Resources, held: Held) -> str | None:
        """The bound that one more job would break, in words; None when it is within all of them."""
        after = held.plus(wanted)
        if self.max_running_jobs is not None and after.jobs > self.max_running_jobs:
            return f"{self.max_running_jobs} running jobs"
        if self.max_cpus is not None and after.cpus > self.max_cpus + TOLERANCE:
            return f"{self.max_cpus:g} CPUs"
        if self.max_memory_bytes is not None and after.memory_bytes > self.max_memory_bytes:
            return f"{format_bytes(self.max_memory_bytes)} of memory"
        return None
