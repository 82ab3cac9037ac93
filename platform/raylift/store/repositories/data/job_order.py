"""Order of jobs: those that may start now, and the graph of a job."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from sqlalchemy import exists, or_, select
from sqlalchemy.orm import aliased

from raylift.domain.job import ENDED_BADLY, Job, JobSpec, JobState
from raylift.domain.jobs_order import Edge
from raylift.domain.lease import Lease
from raylift.store.engine.queue_tables import JobAfterRow
from raylift.store.engine.tables import JobRow
from raylift.store.engine.transactions import Database
from raylift.store.statements import job_data, job_order, transitions
from raylift.store.statements.records import from_row

_AT_ONCE: Final = 500
_DUE_AT_ONCE: Final = 200


class JobOrderRepository:
    def __init__(self, database: Database) -> None:
        self._database = database

    def due(self) -> list[Job]:
        """Return the oldest waiting jobs of which every job before has ended, or one has failed; the others follow."""
        before = aliased(JobRow)
        theirs = exists().where(JobAfterRow.job_id == JobRow.job_id, before.job_id == JobAfterRow.after)
        waiting = select(JobAfterRow.job_id).where(JobAfterRow.is_waiting)
        goes_on, failed = theirs.where(before.finished_at.is_(None)), theirs.where(before.status.in_(ENDED_BADLY))
        query = select(JobRow).where(JobRow.job_id.in_(waiting), JobRow.state == JobState.QUEUED, or_(failed, ~goes_on))
        with self._database.read() as session:
            if session.scalar(job_order.ANY_IS_HELD) is None:
                return []
            oldest = query.order_by(JobRow.created_at, JobRow.job_id).limit(_DUE_AT_ONCE)
            return [from_row(Job, row) for row in session.scalars(oldest)]

    def release(self, lease: Lease, job: Job, spec: JobSpec) -> Job:
        """Let a waiting job start with ``spec``, which has what the jobs before it have made.

        Raises:
            StaleLease, StaleJob, JobNotFound: as ``JobRepository.move``.
            DatasetNotFound: a version of its data was deleted.
        """
        with self._database.write() as session:
            released = transitions.amend(session, lease, job, {"spec": spec})
            job_data.keep(session, released, but=job.spec.data)
            job_order.end_wait(session, job.job_id)
            return released

    def waits_for(self, job_id: str) -> list[str] | None:
        """Return the unfinished jobs that a job waits for; None where it waits for none any more."""
        row = JobAfterRow
        query = select(row.after, JobRow.finished_at).outerjoin(JobRow, JobRow.job_id == row.after)
        with self._database.read() as session:
            found = session.execute(query.where(row.job_id == job_id, row.is_waiting).order_by(row.after)).all()
        return [before for before, ended in found if ended is None] if found else None

    def edges_of(self, job_ids: Collection[str]) -> list[Edge]:
        """Return the pairs in which one of the jobs comes before or after another."""
        row, names, found = JobAfterRow, sorted(job_ids), set[Edge]()
        with self._database.read() as session:
            for start in range(0, len(names), _AT_ONCE):
                some = names[start : start + _AT_ONCE]
                query = select(row.after, row.job_id).where(or_(row.job_id.in_(some), row.after.in_(some)))
                found |= {Edge(before, after) for before, after in session.execute(query)}
        return sorted(found)
