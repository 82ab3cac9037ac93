"""Changes of a job: guarded by the lease and the caller's snapshot, and written with their event, also for webhooks."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, TypedDict

from sqlalchemy import and_, func, select, update
from sqlalchemy.orm import Session

from raylift.domain.errors import IllegalMove, JobNotFound, StaleJob
from raylift.domain.job import FINAL_STATES, JOB_MOVES, STATUS_OF, Event, Job, JobSpec, JobState, Reason, Usage
from raylift.domain.job_data import DatasetReference
from raylift.domain.lease import Lease
from raylift.domain.webhooks.event import job_event
from raylift.store.engine.tables import EventRow, JobRow
from raylift.store.engine.transactions import insert_into
from raylift.store.statements import attempts, job_order, outbox
from raylift.store.statements.lease_guard import guard
from raylift.store.statements.records import changed, check_fields, columns


class JobFacts(TypedDict, total=False):
    """Fields that a move or an amendment may change with the state."""

    attempt: int
    infrastructure_losses: int
    submission_id: str | None
    started_at: datetime | None
    deadline_at: datetime | None
    stop_reason: Reason | None
    usage: Usage | None
    exit_code: int | None
    environment_lock: tuple[str, ...] | None
    mlflow_experiment_id: str | None
    mlflow_run_id: str | None
    metrics: Mapping[str, float]
    model_version: str | None
    output: DatasetReference | None


class JobAmendment(JobFacts, total=False):
    spec: JobSpec
    reason: Reason | None
    message: str | None


_OF_THE_ATTEMPT: Final = ("submission_id", "started_at", "deadline_at", "stop_reason")
"""Fields that a move back to the queue clears."""


def move(
    session: Session,
    lease: Lease,
    job: Job,
    to: JobState,
    *,
    now: datetime,
    reason: Reason | None,
    message: str | None,
    facts: JobFacts,
) -> Job:
    """See ``JobRepository.move``."""
    if to not in JOB_MOVES[job.state]:
        raise IllegalMove(f"{job.job_id} cannot move from {job.state} to {to}")
    check_fields(facts, JobFacts, "job")
    changes: dict[str, Any] = dict.fromkeys(_OF_THE_ATTEMPT) if to is JobState.QUEUED else {}
    changes |= facts
    changes |= {
        "state": to,
        "status": STATUS_OF[to],
        "entered_at": now,
        "reason": reason,
        "message": message,
        "phases": _phases(job, now),
    }
    if to in FINAL_STATES:
        changes["finished_at"] = now
    moved = _compare_and_set(session, lease, job, changes)
    if to in FINAL_STATES and job.spec.after:
        job_order.end_wait(session, job.job_id)
    _record(session, moved, job.state)
    attempts.follow(session, job, moved, now)
    return moved


def amend(session: Session, lease: Lease, job: Job, amendment: JobAmendment) -> Job:
    """See ``JobRepository.amend``."""
    check_fields(amendment, JobAmendment, "job")
    if not amendment:
        raise ValueError("an amendment changes something")
    amended = _compare_and_set(session, lease, job, dict(amendment))
    attempts.follow(session, job, amended, amended.entered_at)
    return amended


def record_upload(session: Session, job: Job) -> None:
    """Write the first event of a job that was just inserted."""
    session.execute(insert_into(session, EventRow), _event(job, before=None, sequence=1))
    outbox.record(session, job.spec.workspace, lambda: job_event(job))


def _record(session: Session, job: Job, before: JobState) -> None:
    # Needs no lock, because this transaction has written the job's row.
    last = session.scalar(select(func.max(EventRow.sequence)).where(EventRow.job_id == job.job_id)) or 0
    session.execute(insert_into(session, EventRow), _event(job, before, sequence=last + 1))
    if job.status is not STATUS_OF[before]:
        outbox.record(session, job.spec.workspace, lambda: job_event(job))


def _event(job: Job, before: JobState | None, sequence: int) -> dict[str, Any]:
    return columns(Event(job.job_id, sequence, job.entered_at, before, job.state, job.attempt, job.reason, job.message))


def _compare_and_set(session: Session, lease: Lease, job: Job, changes: dict[str, Any]) -> Job:
    unchanged = and_(
        JobRow.job_id == job.job_id,
        JobRow.state == job.state,
        JobRow.attempt == job.attempt,
        # Detects a job that went through the queue and is in the same state and attempt again.
        JobRow.entered_at == job.entered_at,
    )
    changed_job = changed(session, update(JobRow).where(unchanged, guard(session, lease)).values(changes), JobRow, Job)
    if changed_job is not None:
        return changed_job
    state = session.scalar(select(JobRow.state).where(JobRow.job_id == job.job_id))
    if state is None:
        raise JobNotFound(f"There is no job {job.job_id}.", job_id=job.job_id)
    raise StaleJob(f"{job.job_id} has moved on from {job.state}: it is {state} now.", job_id=job.job_id, state=state)


def _phases(job: Job, now: datetime) -> dict[str, float]:
    spent = max((now - job.entered_at).total_seconds(), 0.0)
    return {**job.phases, job.state: job.phases.get(job.state, 0.0) + spent}
