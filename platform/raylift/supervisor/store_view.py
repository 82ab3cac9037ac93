"""What the store says of jobs: read again only when something was written, or when it is asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from raylift.domain.job import ACTIVE_STATES, Job, JobState, QueuedJob, Resources
from raylift.domain.sweep import Sweep
from raylift.store import Store

_OF_EACH_OWNER: Final = 50
"""Waiting jobs looked at, the most deserving first. Further ones are, where they fit what these leave."""


class StoreView:
    """Active, cancelled and waiting jobs as of the last ``refresh``, which costs next to nothing while nobody writes."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._mark: str | None = None
        self.active: list[Job] = []
        self.cancelled: list[Job] = []
        """Waiting jobs that are to be cancelled."""
        self.waiting: list[QueuedJob] = []
        """The first waiting jobs of each owner that some node could hold, were it empty."""
        self.sweeps: list[Sweep] = []
        """The sweeps that something is to be done about."""
        self.somebody_waits = False
        """Also for a node that there is not."""

    def was_written_to(self) -> bool:
        """Whether something was written since the last ``refresh``, where asking is free; else False.

        Raises:
            EngineUnavailable: the database does not answer.
        """
        return self._store.changes.is_free and self._store.changes.mark() != self._mark

    def refresh(self, nodes: Sequence[Resources], *, again: bool = False) -> bool:
        """Read what was written since the last time, or all of it ``again``. True when anything was read.

        Raises:
            EngineUnavailable: the database does not answer.
        """
        # The mark first: what is written while the rest is read is seen next time.
        mark = self._store.changes.mark()
        if mark == self._mark and not again:
            return False
        self._mark = None
        # The queue before what is active: a job that is being admitted meanwhile is seen twice rather than not at all.
        self.somebody_waits = self._store.jobs.has_queued_jobs()
        waiting = self._store.jobs.queue_heads(_OF_EACH_OWNER, nodes=nodes) if self.somebody_waits else []
        self.active = self._store.jobs.in_states(ACTIVE_STATES)
        self.cancelled = [job for job in self._store.jobs.cancelling() if job.state is JobState.QUEUED]
        admitted = {job.job_id for job in self.active}
        self.waiting = [job for job in waiting if job.job_id not in admitted]
        self.sweeps = self._store.sweeps.due()
        self._mark = mark
        return True

    def behind(self, room: Sequence[Resources]) -> list[QueuedJob]:
        """Waiting jobs that fit one of the rooms, of owners of whom ``waiting`` has not all.

        Raises:
            EngineUnavailable: the database does not answer.
        """
        looked_at = Counter(job.owner for job in self.waiting)
        if not any(count >= _OF_EACH_OWNER for count in looked_at.values()):
            return []
        known = {job.job_id for job in self.active} | {job.job_id for job in self.waiting}
        return [job for job in self._store.jobs.queue_heads(_OF_EACH_OWNER, nodes=room) if job.job_id not in known]
