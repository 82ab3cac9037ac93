"""The supervisor's copy of jobs and sweeps in the store, read again only after a write."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from raylift.domain.job import ACTIVE_STATES, Job, JobState, QueuedJob, Resources
from raylift.domain.sweep import Sweep
from raylift.store import Store

_OF_EACH_OWNER: Final = 50
"""Queued jobs that admission considers first, per owner. More are fetched while nodes have room."""


class StoreView:
    """Jobs and sweeps as of the last ``refresh``, which is almost free while nothing was written."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._mark: str | None = None
        self._active = store.jobs.follow(ACTIVE_STATES)
        self.active: list[Job] = []
        self.cancelled: list[Job] = []
        """Queued jobs whose cancellation was requested."""
        self.waiting: list[QueuedJob] = []
        """First queued jobs of each owner that an empty node could hold."""
        self.released: list[Job] = []
        """Jobs that came after others, all of which have ended, or one has failed."""
        self.sweeps: list[Sweep] = []
        """Sweeps with a step to take."""
        self.jobs_wait = False
        """True where the queue is not empty, also of jobs that no present node could hold."""

    def was_written_to(self) -> bool:
        """Return True after a write since the last ``refresh``. Always False where the check is not free.

        Raises:
            EngineUnavailable: the database does not answer.
        """
        return self._store.changes.is_free and self._store.changes.mark() != self._mark

    def refresh(self, nodes: Sequence[Resources], *, again: bool = False) -> bool:
        """Read everything, if there was a write or ``again`` is set. Returns True where it was read.

        Raises:
            EngineUnavailable: the database does not answer.
        """
        # The mark first: the next refresh sees writes that happen during this one.
        mark = self._store.changes.mark()
        if mark == self._mark and not again:
            return False
        self._mark = None
        # The queue before the active jobs: a job that is admitted meanwhile is seen twice rather than not at all.
        self.jobs_wait = self._store.jobs.has_queued_jobs()
        waiting = self._store.jobs.queue_heads(_OF_EACH_OWNER, nodes=nodes) if self.jobs_wait else []
        self.active = self._active.read()
        self.cancelled = [job for job in self._store.jobs.cancelling() if job.state is JobState.QUEUED]
        admitted = {job.job_id for job in self.active}
        self.waiting = [job for job in waiting if job.job_id not in admitted]
        self.released = self._store.order.due() if self.jobs_wait else []
        self.sweeps = self._store.sweeps.due()
        self._mark = mark
        return True

    def behind(self, room: Sequence[Resources]) -> list[QueuedJob]:
        """Return further queued jobs that fit one of the rooms, of owners with more jobs than ``waiting`` has.

        Raises:
            EngineUnavailable: the database does not answer.
        """
        counts = Counter(job.account for job in self.waiting)
        if not any(count >= _OF_EACH_OWNER for count in counts.values()):
            return []
        known = {job.job_id for job in self.active} | {job.job_id for job in self.waiting}
        return [job for job in self._store.jobs.queue_heads(_OF_EACH_OWNER, nodes=room) if job.job_id not in known]
