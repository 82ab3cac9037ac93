"""Queries of the queue for admission: the first jobs of every account."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import JSON, ColumnElement, Row, Select, and_, case, exists, func, or_, select, true, type_coerce
from sqlalchemy.orm import Session, aliased

from raylift.domain.errors import QuotaExceeded
from raylift.domain.job import ACTIVE_STATES, JobSpec, JobState, QueuedJob, Resources
from raylift.domain.nodes.fit import TOLERANCE, largest
from raylift.domain.quota import Held, sum_of
from raylift.domain.sweep import SweepState
from raylift.domain.webhooks.event import quota_event
from raylift.store.engine.tables import JobRow, SweepJobRow, SweepRow
from raylift.store.engine.transactions import dialect_of
from raylift.store.statements import job_order, outbox

IS_QUEUED: Final = JobRow.state == JobState.QUEUED

_SHOWN: Final = (
    JobRow.job_id,
    JobRow.account,
    JobRow.queue_rank,
    JobRow.created_at,
    JobRow.cpus,
    JobRow.memory_bytes,
    JobRow.gpus,
    JobRow.gang,
)
"""Columns that admission needs."""

_MAX_PARALLEL: Final = type_coerce(SweepRow.spec, JSON)["max_parallel"].as_integer()

_LIMITING: Final = select(SweepRow.sweep_id).where(
    SweepRow.finished_at.is_(None), or_(SweepRow.state == SweepState.OPENING, _MAX_PARALLEL.is_not(None))
)
"""Sweeps that hold jobs back: without a parent run yet, or with a limit of running jobs."""

# A condition per job, because a list of ids could exceed the limit of parameters. Materialized, because otherwise the
# database would parse a sweep's JSON once per job.
_IS_LIMITED: Final = exists().where(
    SweepJobRow.job_id == JobRow.job_id,
    SweepJobRow.sweep_id.in_(select(_LIMITING.cte("limiting_sweeps").prefix_with("MATERIALIZED").c.sweep_id)),
)

_RETRY_SECONDS: Final = 10
"""Retry-After of an account whose queue is full."""

_HAS_QUEUED: Final = select(exists().where(IS_QUEUED))


def _accounts_of_the_queue() -> Select[str | None]:
    """Select the accounts of queued jobs with one index step per account instead of one per job. The last row is None."""
    first = select(func.min(JobRow.account).label("account")).where(IS_QUEUED).cte("accounts", recursive=True)
    later = aliased(JobRow)
    following = (
        select(func.min(later.account)).where(later.state == JobState.QUEUED, later.account > first.c.account).scalar_subquery()
    )
    steps = first.union_all(select(following).where(first.c.account.is_not(None)))
    return select(steps.c.account)


# Built once: SQLAlchemy takes longer to build the statement than the database to execute it.
_ACCOUNTS: Final = _accounts_of_the_queue()
_ONE_LIMITING: Final = _LIMITING.limit(1)


def heads(session: Session, *, per_account: int, nodes: Sequence[Resources]) -> list[QueuedJob]:
    """See ``JobRepository.queue_heads``."""
    fits = _may_fit(nodes) if nodes else true()
    if session.scalar(job_order.ANY_IS_HELD) is not None:
        fits = and_(fits, ~job_order.IS_HELD)
    if session.scalar(_ONE_LIMITING) is None:
        return [job for account in accounts(session) for job in _first_of(session, account, per_account, fits)]
    in_turn: defaultdict[str, list[QueuedJob]] = defaultdict(list)
    for job in _in_turn(session, per_account, fits):
        in_turn[job.account].append(job)
    found: list[QueuedJob] = []
    for account in accounts(session):
        theirs = _first_of(session, account, per_account, and_(fits, ~_IS_LIMITED)) + in_turn[account]
        found += sorted(theirs, key=lambda job: (-job.priority, job.created_at, job.job_id))[:per_account]
    return found


def has_queued_jobs(session: Session) -> bool:
    """See ``JobRepository.has_queued_jobs``."""
    return bool(session.scalar(_HAS_QUEUED))


def accounts(session: Session) -> list[str]:
    """Return the accounts of queued jobs."""
    return [account for account in session.scalars(_ACCOUNTS) if account is not None]


def take_room(session: Session, spec: JobSpec, max_queued: int, *, now: datetime, more: int = 1) -> None:
    """Raise as ``check_room`` for jobs that this transaction will queue. Records the event where they reach the quota."""
    if check_room(session, spec.account, max_queued, more=more) == max_queued:
        outbox.record(session, spec.workspace, lambda: quota_event(spec.workspace, spec.owner, max_queued, now))


def check_room(session: Session, account: str, max_queued: int, *, more: int = 1) -> int:
    """Raise QuotaExceeded unless the account may queue ``more`` jobs. Serializes the account's uploads.

    Returns the number of queued jobs with them.
    """
    if dialect_of(session) == "postgresql":  # SQLite has one writer at a time.
        session.execute(select(func.pg_advisory_xact_lock(func.hashtext(f"queue of {account}"))))
    waiting = session.scalar(select(func.count()).where(IS_QUEUED, JobRow.account == account)) or 0
    if waiting + more > max_queued:
        added = "" if more == 1 else f", these are {more} more"
        raise QuotaExceeded(
            f"{waiting} jobs of {account!r} wait already{added}, and its quota is {max_queued} (jobs.quotas, max_queued_jobs). "
            "Wait until some have started, cancel some, or have the quota raised.",
            owner=account,
            max_queued_jobs=max_queued,
            retry_after_seconds=_RETRY_SECONDS,
        )
    return waiting + more


def held(session: Session, account: str) -> Held:
    """Return the resources held by the account's admitted jobs."""
    sums = (func.count(), func.sum(JobRow.cpus), func.sum(JobRow.memory_bytes), func.sum(JobRow.gpus))
    of_owner = and_(JobRow.state.in_(ACTIVE_STATES), JobRow.account == account)
    jobs, cpus, memory, gpus = session.execute(select(*sums).where(of_owner)).one()
    return Held(jobs, float(cpus or 0), int(memory or 0), float(gpus or 0))


def _first_of(session: Session, account: str, limit: int, condition: ColumnElement[bool]) -> list[QueuedJob]:
    query = select(*_SHOWN).where(IS_QUEUED, JobRow.account == account, condition)
    rows = session.execute(query.order_by(JobRow.queue_rank, JobRow.created_at, JobRow.job_id).limit(limit))
    return [_queued(row) for row in rows]


def _in_turn(session: Session, per_account: int, fits: ColumnElement[bool]) -> list[QueuedJob]:
    """Return the first jobs of each account that belong to sweeps with a limit and are within it.

    The database computes it over all such sweeps at once, so jobs beyond the limit are not read.
    """
    waits = JobRow.state == JobState.QUEUED
    sweep_id = SweepJobRow.sweep_id
    turn = func.sum(case((waits, 1), else_=0)).over(partition_by=sweep_id, order_by=SweepJobRow.position)
    at_work = func.sum(case((waits, 0), else_=1)).over(partition_by=sweep_id)
    sweeps = (
        select(SweepRow.sweep_id, _MAX_PARALLEL.label("max_parallel"))
        .where(SweepRow.finished_at.is_(None), SweepRow.state != SweepState.OPENING, _MAX_PARALLEL.is_not(None))
        .cte("bounded_sweeps")
        .prefix_with("MATERIALIZED")
    )
    members = (
        select(JobRow.job_id, turn.label("turn"), at_work.label("at_work"), sweeps.c.max_parallel)
        .join(SweepJobRow, SweepJobRow.job_id == JobRow.job_id)
        .join(sweeps, sweeps.c.sweep_id == SweepJobRow.sweep_id)
        .where(JobRow.finished_at.is_(None))
        .subquery()
    )
    place = func.row_number().over(partition_by=JobRow.account, order_by=(JobRow.queue_rank, JobRow.created_at, JobRow.job_id))
    numbered = (
        select(*_SHOWN, place.label("place"))
        .join(members, members.c.job_id == JobRow.job_id)
        .where(IS_QUEUED, fits, members.c.turn + members.c.at_work <= members.c.max_parallel)
        .subquery()
    )
    shown = [numbered.c[column.key] for column in _SHOWN]
    return [_queued(row) for row in session.execute(select(*shown).where(numbered.c.place <= per_account))]


def _queued(row: Row[*tuple[Any, ...]]) -> QueuedJob:
    job_id, account, rank, created_at, cpus, memory, gpus, gang = row
    return QueuedJob(job_id, account, -rank, created_at, gang or Resources(cpus, memory, gpus))


def _may_fit(nodes: Sequence[Resources]) -> ColumnElement[bool]:
    """Return the condition of jobs that fit a node, and of gangs that are no larger than all nodes together."""
    together = sum_of(nodes)
    fits_one = or_(*(_is_held_by(node) for node in largest(nodes)))
    fits_all = _is_held_by(Resources(together.cpus, together.memory_bytes, together.gpus))
    return case((JobRow.gang.is_(None), fits_one), else_=fits_all)


def _is_held_by(node: Resources) -> ColumnElement[bool]:
    # The rule of ``raylift.domain.nodes.fit.fits``.
    has_processors = and_(JobRow.cpus <= node.cpus + TOLERANCE, JobRow.gpus <= node.gpus + TOLERANCE)
    return and_(has_processors, JobRow.memory_bytes <= node.memory_bytes)
