"""Attempts of a job, written together with changes of the job."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Update, update
from sqlalchemy.orm import Session

from raylift.domain.job import FINAL_STATES, Attempt, Job, JobState
from raylift.store.engine.tables import AttemptRow
from raylift.store.engine.transactions import insert_into
from raylift.store.statements.records import columns


def follow(session: Session, before: Job, after: Job, now: datetime) -> None:
    """Write the attempt's creation, start and end that follow from a change of its job."""
    began = after.submission_id is not None and (before.submission_id, before.attempt) != (after.submission_id, after.attempt)
    if began:
        open_(session, after, now)
    elif after.submission_id is not None and after.started_at != before.started_at:
        session.execute(_row(after).values(started_at=after.started_at))
    if _has_ended(before, after):
        _close(session, before, after, now)


def open_(session: Session, job: Job, now: datetime) -> None:
    """Insert the job's present attempt."""
    if job.submission_id is None:
        raise ValueError(f"{job.job_id} has no submission")
    attempt = Attempt(job.job_id, job.attempt, job.submission_id, created_at=now, started_at=job.started_at)
    insert = insert_into(session, AttemptRow)
    again = {"submission_id": insert.excluded.submission_id, "started_at": insert.excluded.started_at}
    session.execute(insert.on_conflict_do_update(index_elements=["job_id", "number"], set_=again), columns(attempt))


def _has_ended(before: Job, after: Job) -> bool:
    if after.state is before.state:
        return False
    return after.state in FINAL_STATES | {JobState.QUEUED, JobState.REGISTRATION}


def _close(session: Session, before: Job, after: Job, now: datetime) -> None:
    # The first end counts: an attempt that succeeded remains so if the registration of its model fails.
    session.execute(
        _row(before)
        .where(AttemptRow.finished_at.is_(None))
        .values(finished_at=now, exit_code=after.exit_code, reason=after.reason, message=after.message, usage=after.usage)
    )


def _row(job: Job) -> Update:
    return update(AttemptRow).where(AttemptRow.job_id == job.job_id, AttemptRow.number == job.attempt)
