"""Why a job waits. Worked out when somebody asks, so that it is true at that moment and costs waiting jobs nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from raylift.domain.job import Job, JobState, Reason
from raylift.domain.quota import Held
from raylift.services.capacity import Capacity
from raylift.settings import QuotaSettings
from raylift.store import Store


class QueueReasons:
    """Gives queued jobs the reason and the message of this moment. Other jobs have theirs in the store."""

    def __init__(self, store: Store, capacity: Capacity, quotas: QuotaSettings) -> None:
        self._store = store
        self._capacity = capacity
        self._quotas = quotas

    def explained(self, jobs: Sequence[Job]) -> list[Job]:
        """The same jobs in the same order."""
        held: dict[str, Held] = {}
        return [self._explained(job, held) for job in jobs]

    def _explained(self, job: Job, held: dict[str, Held]) -> Job:
        waits_for = self._waits_for(job, held) if job.state is JobState.QUEUED else None
        if waits_for is None:
            return job
        reason, message = waits_for
        # A job that came back to the queue says first why it did.
        return replace(job, reason=reason, message=f"{job.message} {message}" if job.message else message)

    def _waits_for(self, job: Job, held: dict[str, Held]) -> tuple[Reason, str] | None:
        """None when it waits for room, or for its turn."""
        wanted, owner = job.spec.resources, job.spec.owner
        shortfall = self._capacity.shortfall(cpus=wanted.cpus, memory_bytes=wanted.memory_bytes, gpus=wanted.gpus)
        if shortfall is not None:
            message = f"It waits for another node: {shortfall.detail}. It goes on when one joins that can hold it."
            return Reason.WAITING_FOR_NODE, message
        quota = self._quotas.of(owner)
        if not quota.bounds_admission():
            return None
        if owner not in held:
            held[owner] = self._store.jobs.held_by(owner)
        bound = quota.broken_by(wanted, held[owner])
        if bound is None:
            return None
        message = f"With it, {owner!r} would have more than its quota of {bound}. It goes on when others of its jobs end."
        return Reason.WAITING_FOR_QUOTA, message
