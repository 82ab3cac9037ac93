"""Order of jobs: which wait for which."""

from __future__ import annotations

from sqlalchemy import exists, select, update
from sqlalchemy.orm import Session, aliased

from raylift.domain.errors import JobNotFinished, JobNotFound
from raylift.domain.job import Job
from raylift.store.engine.queue_tables import JobAfterRow
from raylift.store.engine.tables import JobRow
from raylift.store.engine.transactions import insert_into
from raylift.store.statements.records import execute

IS_HELD = exists().where(JobAfterRow.job_id == JobRow.job_id, JobAfterRow.is_waiting)
"""The job waits for others, which it comes after."""
IS_AWAITED = exists().where(JobAfterRow.after == JobRow.job_id, JobAfterRow.is_waiting)
"""Another job waits for this one."""
ANY_IS_HELD = select(JobAfterRow.job_id).where(JobAfterRow.is_waiting).limit(1)


def keep(session: Session, job: Job) -> None:
    """Record the jobs that come before this one, and lock them until the transaction ends, so that none is deleted meanwhile.

    Raises:
        JobNotFound: one does not exist in the job's workspace.
    """
    if not job.spec.after:
        return
    for before in job.spec.after:
        same = JobRow.job_id == before, JobRow.workspace == job.spec.workspace
        if session.scalar(select(JobRow.job_id).where(*same).with_for_update(read=True)) is None:
            raise JobNotFound(f"There is no job {before} in this workspace to come after.", job_id=before)
    rows = [{"job_id": job.job_id, "after": before, "is_waiting": True} for before in job.spec.after]
    session.execute(insert_into(session, JobAfterRow), rows)


def end_wait(session: Session, job_id: str) -> None:
    """Record that a job waits for no other any more."""
    execute(session, update(JobAfterRow).where(JobAfterRow.job_id == job_id).values(is_waiting=False))


def require_not_awaited(session: Session, job_id: str) -> None:
    """Lock a job that is to be deleted. Raises JobNotFinished where another one waits for it."""
    session.execute(select(JobRow.job_id).where(JobRow.job_id == job_id).with_for_update())
    later = aliased(JobRow)
    query = select(later.job_id).join(JobAfterRow, JobAfterRow.job_id == later.job_id)
    waiting = session.scalar(query.where(JobAfterRow.after == job_id, JobAfterRow.is_waiting).limit(1))
    if waiting is not None:
        detail = f"{waiting} comes after {job_id}, and has not started. Cancel it first, or wait for its start."
        raise JobNotFinished(detail, job_id=job_id, status="awaited")
