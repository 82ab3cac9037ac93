"""Schedules, their moments, and the jobs that these make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, RowMapping, Select, and_, delete, func, literal, or_, select, update
from sqlalchemy.orm import Session

from raylift.domain.audit import AuditEntry, Outcome
from raylift.domain.errors import ScheduleExists, ScheduleNotFound, StaleSchedule
from raylift.domain.job import Job, JobSpec, JobState
from raylift.domain.lease import Lease
from raylift.domain.project import PackedProject
from raylift.domain.schedules.schedule import RunOutcome, Schedule, ScheduleRun
from raylift.domain.webhooks.event import missed_event
from raylift.store.engine import trail
from raylift.store.engine.columns import UtcDateTime, utc
from raylift.store.engine.schedule_tables import ScheduleRow, ScheduleRunRow
from raylift.store.engine.tables import JobRow
from raylift.store.engine.transactions import Database, insert_into
from raylift.store.repositories import jobs
from raylift.store.statements import outbox, queue, workspaces
from raylift.store.statements.blobs import projects, scripts
from raylift.store.statements.lease_guard import guard
from raylift.store.statements.pages import cut, decode_cursor
from raylift.store.statements.records import changed, columns, execute, from_row

_RUN_COLUMNS: Final = tuple(field.name for field in fields(ScheduleRun) if field.name != "job_status")


@dataclass(frozen=True, slots=True)
class ScheduleStep:
    """A planned change of a schedule: its next moments, what becomes of those that were due, and the job of one of them."""

    considered_until: datetime
    wakes_at: datetime | None
    waiting_at: datetime | None
    runs: Sequence[ScheduleRun] = ()
    new_job: NewJob | None = None
    cancels_previous: bool = False


@dataclass(frozen=True, slots=True)
class NewJob:
    """The job that a moment makes; one of the step's runs names it."""

    job_id: str
    spec: JobSpec
    max_queued: int | None = None
    """Limit of the owner's queued jobs, this one included."""


@dataclass(frozen=True, slots=True)
class ScheduleRunPage:
    """Newest first. ``next_cursor`` is None on the last page."""

    runs: list[ScheduleRun]
    next_cursor: str | None


class ScheduleRepository:
    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, schedule: Schedule, script: bytes | None, project: PackedProject | None = None) -> None:
        """Store a schedule with its source; durable on return. None: the store has the source of an earlier job.

        Raises:
            ScheduleExists: the workspace has one of this name.
            ModelTaken: its model belongs to another workspace.
            NotFound: the source does not exist.
        """
        _check_source(schedule.template, script, project)
        with self._database.write() as session:
            _keep_source(session, schedule.template, script, project)
            row = columns(schedule) | _source_columns(schedule.template)
            insert = insert_into(session, ScheduleRow).on_conflict_do_nothing(index_elements=["workspace", "name"])
            if session.scalar(insert.returning(ScheduleRow.schedule_id), row) is None:
                detail = f"There is a schedule {schedule.name!r} already: change it with PATCH, or choose another name."
                raise ScheduleExists(detail, name=schedule.name)
            trail.name_target(session, schedule.name)

    def get(self, schedule_id: str) -> Schedule:
        """Raises ScheduleNotFound."""
        with self._database.read() as session:
            row = session.get(ScheduleRow, schedule_id)
            if row is None:
                raise ScheduleNotFound(f"There is no schedule {schedule_id}.", schedule_id=schedule_id)
            return from_row(Schedule, row)

    def find(self, workspace: str, name: str) -> Schedule:
        """Return the schedule of this name in the workspace. Raises ScheduleNotFound."""
        with self._database.read() as session:
            row = session.scalar(select(ScheduleRow).where(ScheduleRow.workspace == workspace, ScheduleRow.name == name))
            if row is None:
                raise ScheduleNotFound(f"There is no schedule {name!r} in the workspace {workspace!r}.", name=name)
            return from_row(Schedule, row)

    def list(self, workspace: str | None = None) -> list[Schedule]:
        """Return the schedules of one workspace, or of all, by name."""
        query = select(ScheduleRow).order_by(ScheduleRow.name, ScheduleRow.workspace)
        if workspace is not None:
            query = query.where(ScheduleRow.workspace == workspace)
        with self._database.read() as session:
            return [from_row(Schedule, row) for row in session.scalars(query)]

    def due(self, now: datetime) -> list[Schedule]:
        """Return the schedules that have a due moment, or one that waits."""
        is_due = or_(ScheduleRow.wakes_at <= literal(now, UtcDateTime()), ScheduleRow.waiting_at.is_not(None))
        query = select(ScheduleRow).where(ScheduleRow.paused_at.is_(None), is_due).order_by(ScheduleRow.wakes_at)
        with self._database.read() as session:
            return [from_row(Schedule, row) for row in session.scalars(query)]

    def unfinished_jobs(self, schedule_id: str) -> list[str]:
        """Return ids of the schedule's jobs that have not ended, oldest first."""
        with self._database.read() as session:
            return list(session.scalars(_unfinished(schedule_id).order_by(ScheduleRunRow.due_at)))

    def update(
        self, schedule: Schedule, *, script: bytes | None = None, project: PackedProject | None = None, drops_waiting: bool
    ) -> Schedule:
        """Replace a schedule that is unchanged since it was read, with its source if the template is new.

        Args:
            schedule: the new state, with the revision that was read.
            script: source of a new template; None where the store has it.
            project: archive of a new template's project.
            drops_waiting: a moment that waits is recorded as skipped.

        Raises:
            StaleSchedule: it has changed in the meantime, or was deleted.
        """
        _check_source(schedule.template, script, project)
        with self._database.write() as session:
            source = select(ScheduleRow.script_sha256, ScheduleRow.project_sha256)
            former = session.execute(source.where(ScheduleRow.schedule_id == schedule.schedule_id)).one_or_none()
            _keep_source(session, schedule.template, script, project)
            values = columns(schedule) | _source_columns(schedule.template) | {"revision": schedule.revision + 1}
            statement = update(ScheduleRow).where(_unchanged(schedule)).values(values)
            updated = changed(session, statement, ScheduleRow, Schedule)
            if updated is None:
                raise _stale(schedule)
            if drops_waiting:
                waiting = (ScheduleRunRow.schedule_id == schedule.schedule_id, ScheduleRunRow.outcome == RunOutcome.WAITING)
                execute(session, update(ScheduleRunRow).where(*waiting).values(outcome=RunOutcome.SKIPPED, message="Paused."))
            if former is not None:
                _drop_source(session, former.script_sha256, former.project_sha256)
            return updated

    def apply(self, lease: Lease, schedule: Schedule, step: ScheduleStep, *, now: datetime) -> Schedule:
        """Carry out a planned step in one transaction, if the schedule is unchanged since it was read.

        A moment that has its row already makes no second job.

        Raises:
            StaleLease: another supervisor has taken over.
            StaleSchedule: it has changed in the meantime, or was deleted.
            QuotaExceeded: the owner has as many queued jobs as its quota allows.
            ModelTaken: its model belongs to another workspace.
        """
        values = {
            "considered_until": step.considered_until,
            "wakes_at": step.wakes_at,
            "waiting_at": step.waiting_at,
            "revision": schedule.revision + 1,
        }
        with self._database.write() as session:
            unchanged = and_(_unchanged(schedule), guard(session, lease))
            moved = changed(session, update(ScheduleRow).where(unchanged).values(values), ScheduleRow, Schedule)
            if moved is None:
                raise _stale(schedule)
            if step.cancels_previous:
                jobs.cancel(session, JobRow.job_id.in_(_unfinished(schedule.schedule_id)), now=now)
            recorded = [run for run in step.runs if _record(session, run)]
            for run in recorded:
                if run.outcome is RunOutcome.MISSED:
                    outbox.record(session, schedule.workspace, lambda run=run: missed_event(schedule, run))
            new = step.new_job
            if new is not None and any(run.job_id == new.job_id for run in recorded):
                _make_job(session, new, now)
                trail.add_entry(session, _act(schedule, new.job_id))
            return moved

    def run_now(self, schedule: Schedule, run: ScheduleRun, new: NewJob, *, now: datetime) -> Job:
        """Make a job at once, outside of the timetable.

        Raises:
            ScheduleNotFound: it was deleted.
            QuotaExceeded, ModelTaken: as ``apply``.
        """
        with self._database.write() as session:
            same = ScheduleRow.schedule_id == schedule.schedule_id
            statement = update(ScheduleRow).where(same).values(revision=ScheduleRow.revision + 1)
            if changed(session, statement, ScheduleRow, Schedule) is None:
                raise ScheduleNotFound(f"There is no schedule {schedule.name!r}.", name=schedule.name)
            job = _make_job(session, new, now)
            _record(session, run)
            return job

    def delete(self, schedule: Schedule) -> None:
        """Delete a schedule with its history, and its source unless something else uses it. Its jobs stay."""
        with self._database.write() as session:
            statement = delete(ScheduleRow).where(ScheduleRow.schedule_id == schedule.schedule_id)
            deleted = changed(session, statement, ScheduleRow, Schedule)
            if deleted is not None:
                _drop_source(session, deleted.template.script_sha256, deleted.template.project_sha256)

    def runs(self, schedule_id: str, *, limit: int, cursor: str | None = None) -> ScheduleRunPage:
        """Return one page of a schedule's moments. Raises InvalidRequest for an invalid cursor."""
        query = _runs().where(ScheduleRunRow.schedule_id == schedule_id).order_by(ScheduleRunRow.due_at.desc())
        if cursor is not None:
            query = query.where(ScheduleRunRow.due_at < literal(decode_cursor(cursor)[0], UtcDateTime()))
        with self._database.read() as session:
            found = [_run(row) for row in session.execute(query.limit(limit + 1)).mappings()]
        return ScheduleRunPage(*cut(found, limit, lambda run: (run.due_at, run.schedule_id)))

    def last_runs(self, workspace: str | None = None) -> dict[str, ScheduleRun]:
        """Return the newest moment of each schedule of a workspace, or of all, by id."""
        newest = select(ScheduleRunRow.schedule_id, func.max(ScheduleRunRow.due_at).label("due_at"))
        if workspace is not None:
            in_workspace = select(ScheduleRow.schedule_id).where(ScheduleRow.workspace == workspace)
            newest = newest.where(ScheduleRunRow.schedule_id.in_(in_workspace))
        last = newest.group_by(ScheduleRunRow.schedule_id).subquery()
        same = and_(last.c.schedule_id == ScheduleRunRow.schedule_id, last.c.due_at == ScheduleRunRow.due_at)
        with self._database.read() as session:
            found = [_run(row) for row in session.execute(_runs().join(last, same)).mappings()]
        return {run.schedule_id: run for run in found}

    def forget_runs_before(self, moment: datetime) -> None:
        """Delete old moments. One that waits stays."""
        old = ScheduleRunRow.due_at < literal(moment, UtcDateTime())
        with self._database.write() as session:
            execute(session, delete(ScheduleRunRow).where(old, ScheduleRunRow.outcome != RunOutcome.WAITING))


def _unchanged(schedule: Schedule) -> ColumnElement[bool]:
    return and_(ScheduleRow.schedule_id == schedule.schedule_id, ScheduleRow.revision == schedule.revision)


def _stale(schedule: Schedule) -> StaleSchedule:
    detail = f"The schedule {schedule.name!r} was changed at the same time: read it, and try again."
    return StaleSchedule(detail, name=schedule.name)


def _unfinished(schedule_id: str) -> Select[Any]:
    query = select(ScheduleRunRow.job_id).join(JobRow, JobRow.job_id == ScheduleRunRow.job_id)
    return query.where(ScheduleRunRow.schedule_id == schedule_id, JobRow.finished_at.is_(None))


def _runs() -> Select[Any]:
    own = [ScheduleRunRow.__table__.c[name] for name in _RUN_COLUMNS]
    query = select(*own, JobRow.status.label("job_status"))
    return query.select_from(ScheduleRunRow).outerjoin(JobRow, JobRow.job_id == ScheduleRunRow.job_id)


def _run(row: RowMapping) -> ScheduleRun:
    return ScheduleRun(**{name: row[name] for name in (*_RUN_COLUMNS, "job_status")})


def _record(session: Session, run: ScheduleRun) -> bool:
    """Write a moment. Returns False where it is done with already."""
    values = {name: getattr(run, name) for name in _RUN_COLUMNS}
    insert = insert_into(session, ScheduleRunRow)
    changes = {name: insert.excluded[name] for name in ("recorded_at", "outcome", "message", "job_id")}
    waits = ScheduleRunRow.__table__.c.outcome == RunOutcome.WAITING
    statement = insert.on_conflict_do_update(index_elements=["schedule_id", "due_at"], set_=changes, where=waits)
    return session.scalar(statement.returning(ScheduleRunRow.due_at), values) is not None


def _make_job(session: Session, new: NewJob, now: datetime) -> Job:
    spec = new.spec
    if new.max_queued is not None:
        queue.take_room(session, spec, new.max_queued, now=now)
    _keep_source(session, spec, None, None)
    job = Job(new.job_id, spec, JobState.QUEUED, created_at=utc(now), entered_at=utc(now))
    if not jobs.insert(session, job):
        raise ValueError(f"job {job.job_id} exists already")
    return job


def _act(schedule: Schedule, job_id: str) -> AuditEntry:
    act = trail.Act(schedule.owner, "schedule.fire", job_id, workspace=schedule.workspace)
    return act.entry(Outcome.DONE, f"Schedule {schedule.name}.")


def _check_source(spec: JobSpec, script: bytes | None, project: PackedProject | None) -> None:
    if script is not None:
        scripts.check(spec.script_sha256, script)
    if project is not None:
        projects.check(spec.project_sha256, project.content)


def _source_columns(spec: JobSpec) -> dict[str, str | None]:
    return {"script_sha256": spec.script_sha256, "project_sha256": spec.project_sha256}


def _keep_source(session: Session, spec: JobSpec, script: bytes | None, project: PackedProject | None) -> None:
    workspaces.claim_model(session, spec.model_name, spec.workspace)
    scripts.keep(session, spec.script_sha256, script)
    if spec.project_sha256 is not None:
        projects.keep(session, spec.project_sha256, project and project.content)


def _drop_source(session: Session, script_sha256: str, project_sha256: str | None) -> None:
    scripts.drop_unused(session, script_sha256)
    if project_sha256 is not None:
        projects.drop_unused(session, project_sha256)
