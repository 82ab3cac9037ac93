"""The queue, as admission reads it: the first jobs of every owner, however many wait behind them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import Session, aliased

from raylift.domain.errors import QuotaExceeded
from raylift.domain.job import ACTIVE_STATES, JobState, QueuedJob, Resources
from raylift.domain.quota import Held
from raylift.store.tables import JobRow
from raylift.store.transactions import dialect_of

IN_THE_QUEUE: Final = JobRow.state == JobState.QUEUED

_RETRY_SECONDS: Final = 10
"""When an owner whose queue is full may look again."""


def heads(
    session: Session,
    *,
    per_owner: int,
    nodes: Sequence[Resources],
    passed_over: Collection[str],
    held_back: Collection[str] = (),
) -> list[QueuedJob]:
    """See ``JobRepository.queue_heads``."""
    fits = or_(*(_is_held_by(node) for node in dict.fromkeys(nodes))) if nodes else None
    found: list[QueuedJob] = []
    for owner in owners(session):
        if owner not in passed_over:
            found += _first_of(session, owner, per_owner, fits, held_back)
    return found


def owners(session: Session) -> list[str]:
    """The owners of queued jobs: one step along the index for each, not one for each job."""
    first = select(func.min(JobRow.owner).label("owner")).where(IN_THE_QUEUE).cte("owners", recursive=True)
    later = aliased(JobRow)
    following = (
        select(func.min(later.owner)).where(later.state == JobState.QUEUED, later.owner > first.c.owner).scalar_subquery()
    )
    steps = first.union_all(select(following).where(first.c.owner.is_not(None)))
    return [owner for owner in session.scalars(select(steps.c.owner)) if owner is not None]


def check_room(session: Session, owner: str, max_queued: int, *, more: int = 1) -> None:
    """Raise QuotaExceeded unless ``more`` jobs of the owner may wait. No other upload of the owner comes in between."""
    if dialect_of(session) == "postgresql":  # SQLite has one writer at a time anyway.
        session.execute(select(func.pg_advisory_xact_lock(func.hashtext(f"queue of {owner}"))))
    waiting = session.scalar(select(func.count()).where(IN_THE_QUEUE, JobRow.owner == owner)) or 0
    if waiting + more > max_queued:
        theirs = "" if more == 1 else f", these are {more} more"
        raise QuotaExceeded(
            f"{waiting} jobs of {owner!r} wait already{theirs}, and its quota is {max_queued} (jobs.quotas, max_queued_jobs). "
            "Wait until some have started, cancel some, or have the quota raised.",
            owner=owner,
            max_queued_jobs=max_queued,
            retry_after_seconds=_RETRY_SECONDS,
        )


def held(session: Session, owner: str) -> Held:
    """What the owner's admitted jobs hold."""
    sums = (func.count(), func.sum(JobRow.cpus), func.sum(JobRow.memory_bytes), func.sum(JobRow.gpus))
    of_owner = and_(JobRow.state.in_(ACTIVE_STATES), JobRow.owner == owner)
    jobs, cpus, memory, gpus = session.execute(select(*sums).where(of_owner)).one()
    return Held(jobs, float(cpus or 0), int(memory or 0), float(gpus or 0))


def _first_of(
    session: Session, owner: str, limit: int, fits: ColumnElement[bool] | None, held_back: Collection[str]
) -> list[QueuedJob]:
    columns = (JobRow.job_id, JobRow.owner, JobRow.queue_rank, JobRow.created_at, JobRow.cpus, JobRow.memory_bytes, JobRow.gpus)
    query = select(*columns).where(IN_THE_QUEUE, JobRow.owner == owner)
    if fits is not None:
        query = query.where(fits)
    if held_back:
        query = query.where(JobRow.job_id.not_in(held_back))
    rows = session.execute(query.order_by(JobRow.queue_rank, JobRow.created_at, JobRow.job_id).limit(limit))
    return [
        QueuedJob(job_id, owner, -rank, created_at, Resources(cpus, memory, gpus))
        for job_id, owner, rank, created_at, cpus, memory, gpus in rows
    ]


def _is_held_by(node: Resources) -> ColumnElement[bool]:
    # A millionth of a CPU: sums of tenths are not exact.
    return and_(JobRow.cpus <= node.cpus + 1e-6, JobRow.memory_bytes <= node.memory_bytes, JobRow.gpus <= node.gpus + 1e-6)
