"""The queue, as admission reads it: the first jobs of every owner, however many wait behind them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import JSON, ColumnElement, Row, Select, and_, case, exists, func, or_, select, true, type_coerce
from sqlalchemy.orm import Session, aliased

from raylift.domain.errors import QuotaExceeded
from raylift.domain.job import ACTIVE_STATES, JobState, QueuedJob, Resources
from raylift.domain.node_fit import TOLERANCE
from raylift.domain.quota import Held
from raylift.domain.sweep import SweepState
from raylift.store.engine.tables import JobRow, SweepJobRow, SweepRow
from raylift.store.engine.transactions import dialect_of

IN_THE_QUEUE: Final = JobRow.state == JobState.QUEUED

_SHOWN: Final = (
    JobRow.job_id,
    JobRow.owner,
    JobRow.queue_rank,
    JobRow.created_at,
    JobRow.cpus,
    JobRow.memory_bytes,
    JobRow.gpus,
)
"""What admission needs to know of a job."""

_MAX_PARALLEL: Final = type_coerce(SweepRow.spec, JSON)["max_parallel"].as_integer()

_LIMITING: Final = select(SweepRow.sweep_id).where(
    SweepRow.finished_at.is_(None), or_(SweepRow.state == SweepState.OPENING, _MAX_PARALLEL.is_not(None))
)
"""The sweeps whose jobs may not all start: those without a parent run yet, and those that bound how many run at a time."""

# As a condition on each job, not a list of ids: there may be more of them than a statement takes parameters. Materialized:
# else the document of a sweep would be parsed once for each of its jobs.
_IS_LIMITED: Final = exists().where(
    SweepJobRow.job_id == JobRow.job_id,
    SweepJobRow.sweep_id.in_(select(_LIMITING.cte("limiting_sweeps").prefix_with("MATERIALIZED").c.sweep_id)),
)

_RETRY_SECONDS: Final = 10
"""When an owner whose queue is full may look again."""


_SOMEBODY_WAITS: Final = select(exists().where(IN_THE_QUEUE))


def _owners_of_the_queue() -> Select[str | None]:
    """One step along the index for each owner, not one for each job. Ends with a None."""
    first = select(func.min(JobRow.owner).label("owner")).where(IN_THE_QUEUE).cte("owners", recursive=True)
    later = aliased(JobRow)
    following = (
        select(func.min(later.owner)).where(later.state == JobState.QUEUED, later.owner > first.c.owner).scalar_subquery()
    )
    steps = first.union_all(select(following).where(first.c.owner.is_not(None)))
    return select(steps.c.owner)


# Made once: to put a statement together takes SQLAlchemy longer than the database takes for its answer.
_OWNERS: Final = _owners_of_the_queue()
_ONE_LIMITING: Final = _LIMITING.limit(1)


def heads(session: Session, *, per_owner: int, nodes: Sequence[Resources]) -> list[QueuedJob]:
    """See ``JobRepository.queue_heads``."""
    fits = or_(*(_is_held_by(node) for node in dict.fromkeys(nodes))) if nodes else true()
    if session.scalar(_ONE_LIMITING) is None:
        return [job for owner in owners(session) for job in _first_of(session, owner, per_owner, fits)]
    in_turn: defaultdict[str, list[QueuedJob]] = defaultdict(list)
    for job in _in_turn(session, per_owner, fits):
        in_turn[job.owner].append(job)
    found: list[QueuedJob] = []
    for owner in owners(session):
        theirs = _first_of(session, owner, per_owner, and_(fits, ~_IS_LIMITED)) + in_turn[owner]
        found += sorted(theirs, key=lambda job: (-job.priority, job.created_at, job.job_id))[:per_owner]
    return found


def anybody_waits(session: Session) -> bool:
    """See ``JobRepository.anybody_waits``."""
    return bool(session.scalar(_SOMEBODY_WAITS))


def owners(session: Session) -> list[str]:
    """The owners of queued jobs."""
    return [owner for owner in session.scalars(_OWNERS) if owner is not None]


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


def _first_of(session: Session, owner: str, limit: int, condition: ColumnElement[bool]) -> list[QueuedJob]:
    query = select(*_SHOWN).where(IN_THE_QUEUE, JobRow.owner == owner, condition)
    rows = session.execute(query.order_by(JobRow.queue_rank, JobRow.created_at, JobRow.job_id).limit(limit))
    return [_queued(row) for row in rows]


def _in_turn(session: Session, per_owner: int, fits: ColumnElement[bool]) -> list[QueuedJob]:
    """The first waiting jobs of each owner whose sweeps bound how many run at a time, and have room for them.

    Worked out by the database, over all such sweeps at once: of 10,000 jobs that wait for their turn, none is read.
    """
    waits = JobRow.state == JobState.QUEUED
    one_sweep_s = SweepJobRow.sweep_id
    turn = func.sum(case((waits, 1), else_=0)).over(partition_by=one_sweep_s, order_by=SweepJobRow.position)
    at_work = func.sum(case((waits, 0), else_=1)).over(partition_by=one_sweep_s)
    # Materialized, as above.
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
    place = func.row_number().over(partition_by=JobRow.owner, order_by=(JobRow.queue_rank, JobRow.created_at, JobRow.job_id))
    numbered = (
        select(*_SHOWN, place.label("place"))
        .join(members, members.c.job_id == JobRow.job_id)
        .where(IN_THE_QUEUE, fits, members.c.turn + members.c.at_work <= members.c.max_parallel)
        .subquery()
    )
    shown = [numbered.c[column.key] for column in _SHOWN]
    return [_queued(row) for row in session.execute(select(*shown).where(numbered.c.place <= per_owner))]


def _queued(row: Row[*tuple[Any, ...]]) -> QueuedJob:
    job_id, owner, rank, created_at, cpus, memory, gpus = row
    return QueuedJob(job_id, owner, -rank, created_at, Resources(cpus, memory, gpus))


def _is_held_by(node: Resources) -> ColumnElement[bool]:
    # The rule of ``raylift.domain.node_fit.fits``.
    has_processors = and_(JobRow.cpus <= node.cpus + TOLERANCE, JobRow.gpus <= node.gpus + TOLERANCE)
    return and_(has_processors, JobRow.memory_bytes <= node.memory_bytes)
