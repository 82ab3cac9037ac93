"""Sweeps and their membership of jobs. Their jobs are stored and moved like any others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypedDict, Unpack

from sqlalchemy import and_, delete, exists, func, literal, or_, select, tuple_, update
from sqlalchemy.orm import Session

from raylift.domain.errors import IllegalMove, StaleSweep, SweepNotFinished, SweepNotFound
from raylift.domain.job import Job, JobSpec, JobState, JobStatus
from raylift.domain.lease import Lease
from raylift.domain.project import PackedProject
from raylift.domain.sweep import FINAL_SWEEP_STATES, SWEEP_MOVES, Sweep, SweepSpec, SweepState
from raylift.store.engine import trail
from raylift.store.engine.columns import Key, UtcDateTime, utc
from raylift.store.engine.tables import JobRow, SweepJobRow, SweepRow
from raylift.store.engine.transactions import Database, insert_into
from raylift.store.repositories import jobs
from raylift.store.statements import idempotency as idempotency_keys
from raylift.store.statements import queue, workspaces
from raylift.store.statements.blobs import projects, scripts
from raylift.store.statements.idempotency import IdempotencyKey
from raylift.store.statements.lease_guard import guard
from raylift.store.statements.pages import cut, decode_cursor
from raylift.store.statements.records import changed, columns, execute, from_row

_CANCELLABLE: Final = (SweepState.OPENING, SweepState.RUNNING)
_OVER: Final = and_(SweepRow.finished_at.is_not(None), ~exists().where(SweepJobRow.sweep_id == SweepRow.sweep_id))


class SweepFacts(TypedDict, total=False):
    """Fields that a move may change with the state."""

    mlflow_experiment_id: str | None
    parent_run_id: str | None
    best_job_id: str | None


@dataclass(frozen=True, slots=True)
class AddedSweep:
    """A committed sweep; ``repeated`` if an earlier request with the same key made it."""

    sweep: Sweep
    jobs: list[Job]
    """In the order of the combinations."""
    repeated: bool


@dataclass(frozen=True, slots=True)
class SweepListing:
    """A sweep in a list."""

    sweep: Sweep
    counts: dict[JobStatus, int]
    """Its jobs by status, zeros included."""


@dataclass(frozen=True, slots=True)
class SweepPage:
    """Newest first. ``next_cursor`` is None on the last page."""

    sweeps: list[SweepListing]
    next_cursor: str | None


class SweepRepository:
    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self,
        spec: SweepSpec,
        specs: Sequence[tuple[str, JobSpec]],
        script: bytes,
        *,
        sweep_id: str,
        now: datetime,
        idempotency: IdempotencyKey | None = None,
        project: PackedProject | None = None,
        max_queued: int | None = None,
    ) -> AddedSweep:
        """Commit a sweep with all its jobs; durable on return. A repeated request returns the first one's sweep.

        ``specs`` are job ids and specs, of one script and one project, in the order of the combinations.

        Raises:
            QuotaExceeded: the owner would have more than ``max_queued`` queued jobs.
            IdempotencyMismatch: the key was used for another body.
        """
        first_id, first_spec = specs[0]
        scripts.check(first_spec.script_sha256, script)
        if project is not None:
            projects.check(first_spec.project_sha256, project.content)
        sweep = Sweep(sweep_id, spec, SweepState.OPENING, created_at=utc(now), entered_at=utc(now))
        with self._database.write() as session:
            if idempotency is not None:
                # A key refers to a job; a sweep's key refers to its first job.
                known = idempotency_keys.claim(session, idempotency, job_id=first_id, now=now)
                if known != first_id:
                    return _repeated(session, known)
            if max_queued is not None:
                queue.take_room(session, first_spec, max_queued, more=len(specs), now=now)
            workspaces.claim_model(session, first_spec.model_name, first_spec.workspace)
            scripts.keep(session, first_spec.script_sha256, script)
            if first_spec.project_sha256 is not None:
                projects.keep(session, first_spec.project_sha256, project and project.content)
            session.execute(insert_into(session, SweepRow), columns(sweep) | {"workspace": first_spec.workspace})
            made = [Job(job_id, job, JobState.QUEUED, created_at=utc(now), entered_at=utc(now)) for job_id, job in specs]
            for position, job in enumerate(made):
                if not jobs.insert(session, job):
                    raise ValueError(f"job {job.job_id} exists already")
                row = {"job_id": job.job_id, "sweep_id": sweep_id, "position": position}
                session.execute(insert_into(session, SweepJobRow), row)
            if idempotency is not None:
                idempotency_keys.prune(session, now)
            trail.name_target(session, sweep_id)
            return AddedSweep(sweep, made, repeated=False)

    def get(self, sweep_id: str) -> Sweep:
        """Return the sweep; raises SweepNotFound."""
        with self._database.read() as session:
            return _get(session, sweep_id)

    def jobs(self, sweep_id: str) -> list[Job]:
        """Return its jobs, without deleted ones, in the order of the combinations; empty for an unknown sweep."""
        with self._database.read() as session:
            return _jobs(session, sweep_id)

    def held_back(self, sweep: Sweep) -> frozenset[str]:
        """Return ids of queued jobs that may not start yet: no parent run, or the limit of running jobs is reached."""
        query = (
            select(JobRow.job_id, JobRow.state)
            .join(SweepJobRow, SweepJobRow.job_id == JobRow.job_id)
            .where(SweepJobRow.sweep_id == sweep.sweep_id, JobRow.finished_at.is_(None))
            .order_by(SweepJobRow.position)
        )
        with self._database.read() as session:
            members = session.execute(query).all()
        waiting = [job_id for job_id, state in members if state is JobState.QUEUED]
        if sweep.state is SweepState.OPENING:
            return frozenset(waiting)
        if sweep.spec.max_parallel is None:
            return frozenset()
        at_work = len(members) - len(waiting)
        return frozenset(waiting[max(sweep.spec.max_parallel - at_work, 0) :])

    def list(self, *, limit: int, cursor: str | None = None, workspace: str | None = None) -> SweepPage:
        """Return one page of sweeps, of one workspace or of all, newest first. Raises InvalidRequest for an invalid cursor."""
        query = select(SweepRow).order_by(SweepRow.created_at.desc(), SweepRow.sweep_id.desc())
        if workspace is not None:
            query = query.where(SweepRow.workspace == workspace)
        if cursor is not None:
            created_at, sweep_id = decode_cursor(cursor)
            after = tuple_(literal(created_at, UtcDateTime()), literal(sweep_id, Key()))
            query = query.where(tuple_(SweepRow.created_at, SweepRow.sweep_id) < after)
        with self._database.read() as session:
            found = [from_row(Sweep, row) for row in session.scalars(query.limit(limit + 1))]
            shown, next_cursor = cut(found, limit, lambda sweep: (sweep.created_at, sweep.sweep_id))
            counts = _counts(session, [sweep.sweep_id for sweep in shown])
        return SweepPage([SweepListing(sweep, counts[sweep.sweep_id]) for sweep in shown], next_cursor)

    def due(self) -> list[Sweep]:
        """Return sweeps that need an action, oldest first: opening, closing, or running with all jobs ended."""
        of_it = and_(SweepJobRow.sweep_id == SweepRow.sweep_id, JobRow.finished_at.is_(None))
        goes_on = exists().where(JobRow.job_id == SweepJobRow.job_id, of_it)
        query = select(SweepRow).where(SweepRow.finished_at.is_(None), or_(SweepRow.state != SweepState.RUNNING, ~goes_on))
        with self._database.read() as session:
            return [from_row(Sweep, row) for row in session.scalars(query.order_by(SweepRow.created_at, SweepRow.sweep_id))]

    def request_cancel(self, sweep_id: str, *, now: datetime) -> Sweep:
        """Request cancellation of the sweep and its jobs. Idempotent; no effect after the best job was chosen.

        Raises:
            SweepNotFound: it does not exist.
        """
        with self._database.write() as session:
            first = func.coalesce(SweepRow.cancel_requested_at, literal(now, UtcDateTime()))
            statement = update(SweepRow).where(SweepRow.sweep_id == sweep_id, SweepRow.state.in_(_CANCELLABLE))
            cancelled = changed(session, statement.values(cancel_requested_at=first), SweepRow, Sweep)
            if cancelled is None:
                return _get(session, sweep_id)
            members = select(SweepJobRow.job_id).where(SweepJobRow.sweep_id == sweep_id)
            jobs.cancel(session, JobRow.job_id.in_(members), now=now)
            return cancelled

    def move(
        self,
        lease: Lease,
        sweep: Sweep,
        to: SweepState,
        *,
        now: datetime,
        message: str | None = None,
        **changes: Unpack[SweepFacts],
    ) -> Sweep:
        """Move a sweep to another state if it is still in the state of ``sweep``. The only place that changes its state.

        Raises:
            IllegalMove: SWEEP_MOVES has no such move.
            StaleLease: another supervisor has taken over.
            StaleSweep: it has moved on or was deleted.
        """
        if to not in SWEEP_MOVES[sweep.state]:
            raise IllegalMove(f"{sweep.sweep_id} cannot move from {sweep.state} to {to}")
        values: dict[str, Any] = {**changes, "state": to, "entered_at": now, "message": message}
        if to in FINAL_SWEEP_STATES:
            values["finished_at"] = now
        with self._database.write() as session:
            unchanged = and_(SweepRow.sweep_id == sweep.sweep_id, SweepRow.state == sweep.state)
            statement = update(SweepRow).where(unchanged, guard(session, lease)).values(values)
            moved = changed(session, statement, SweepRow, Sweep)
        if moved is None:
            raise StaleSweep(f"{sweep.sweep_id} is no longer {sweep.state}.", sweep_id=sweep.sweep_id)
        return moved

    def delete(self, sweep_id: str) -> None:
        """Delete a finished sweep without jobs. An unknown sweep is no error.

        Raises:
            SweepNotFinished: it has not ended, or has jobs.
        """
        with self._database.write() as session:
            execute(session, delete(SweepRow).where(SweepRow.sweep_id == sweep_id, _OVER))
            row = session.get(SweepRow, sweep_id)
            if row is not None:
                raise SweepNotFinished(f"{sweep_id} is {row.state} and has jobs.", sweep_id=sweep_id)

    def forget_empty(self) -> None:
        """Delete all finished sweeps whose jobs have been deleted."""
        with self._database.write() as session:
            execute(session, delete(SweepRow).where(_OVER))


def _get(session: Session, sweep_id: str) -> Sweep:
    row = session.get(SweepRow, sweep_id)
    if row is None:
        raise SweepNotFound(f"There is no sweep {sweep_id}.", sweep_id=sweep_id)
    return from_row(Sweep, row)


def _jobs(session: Session, sweep_id: str) -> list[Job]:
    query = (
        select(JobRow)
        .join(SweepJobRow, SweepJobRow.job_id == JobRow.job_id)
        .where(SweepJobRow.sweep_id == sweep_id)
        .order_by(SweepJobRow.position)
    )
    return [from_row(Job, row) for row in session.scalars(query)]


def _repeated(session: Session, job_id: str) -> AddedSweep:
    sweep_id = session.scalars(select(SweepJobRow.sweep_id).where(SweepJobRow.job_id == job_id)).one()
    return AddedSweep(_get(session, sweep_id), _jobs(session, sweep_id), repeated=True)


def _counts(session: Session, sweep_ids: Sequence[str]) -> dict[str, dict[JobStatus, int]]:
    counts = {sweep_id: dict.fromkeys(JobStatus, 0) for sweep_id in sweep_ids}
    query = (
        select(SweepJobRow.sweep_id, JobRow.status, func.count())
        .join(JobRow, JobRow.job_id == SweepJobRow.job_id)
        .where(SweepJobRow.sweep_id.in_(sweep_ids))
        .group_by(SweepJobRow.sweep_id, JobRow.status)
    )
    for sweep_id, status, count in session.execute(query):
        counts[sweep_id][status] = count
    return counts
