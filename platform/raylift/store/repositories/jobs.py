"""Jobs: uploads, listing, the queue, transitions and deletion."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from functools import cache
from typing import Any, Final, Unpack

from sqlalchemy import ColumnElement, Select, and_, delete, func, literal, or_, select, tuple_, update
from sqlalchemy.orm import InstrumentedAttribute, Session
from sqlalchemy.sql.dml import ReturningInsert

from raylift.domain.errors import JobNotFinished, JobNotFound
from raylift.domain.identifiers import TAG_BATCH, TAG_SCHEDULE
from raylift.domain.job import Attempt, Event, Job, JobSpec, JobState, JobStatus, QueuedJob, Reason, Resources
from raylift.domain.lease import Lease
from raylift.domain.project import PackedProject
from raylift.domain.quota import Held
from raylift.domain.rollouts.gate import Promotion
from raylift.store.engine import trail
from raylift.store.engine.columns import Key, UtcDateTime, utc
from raylift.store.engine.rollout_tables import JobGateRow
from raylift.store.engine.tables import AttemptRow, EventRow, JobProjectRow, JobRow, JobTagRow, SweepJobRow
from raylift.store.engine.transactions import Database, dialect_insert, dialect_of, insert_into
from raylift.store.repositories.followed_jobs import FollowedJobs
from raylift.store.statements import attempts, idempotency, job_data, job_order, queue, ray_submissions, transitions, workspaces
from raylift.store.statements.blobs import projects, scripts
from raylift.store.statements.idempotency import IdempotencyKey
from raylift.store.statements.pages import JobFilter, JobPage, cut, decode_cursor
from raylift.store.statements.records import changed, columns, execute, from_row, job_columns
from raylift.store.statements.transitions import JobAmendment, JobFacts

_INDEXED_CHARACTERS: Final = 500
"""Limit for a tag's key and value. PostgreSQL rejects longer index entries; the spec has the full text."""


class JobRepository:
    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self,
        spec: JobSpec,
        script: bytes,
        *,
        job_id: str,
        now: datetime,
        idempotency: IdempotencyKey | None = None,
        project: PackedProject | None = None,
        max_queued: int | None = None,
    ) -> Job:
        """Commit an upload; durable on return. A repeated request returns the first one's job.

        ``project`` may be omitted where the store has it from another job. ``max_queued`` limits the owner's queued jobs, this
        one included.

        Raises:
            QuotaExceeded: the owner already has ``max_queued`` queued jobs.
            IdempotencyMismatch: the key was used for another body.
            NotFound: the spec's project, a version of its data, or a job before it does not exist.
            SubmissionIdTaken: the client's submission id belongs to another job.
        """
        scripts.check(spec.script_sha256, script)
        if project is not None:
            projects.check(spec.project_sha256, project.content)
        job = Job(job_id, spec, JobState.QUEUED, created_at=utc(now), entered_at=utc(now))

        def commit(session: Session) -> Job:
            if idempotency is not None:
                first = _claim(session, idempotency, job_id=job_id, now=now)
                if first != job_id:
                    return _get(session, first)
            if max_queued is not None:
                queue.take_room(session, spec, max_queued, now=now)
            workspaces.claim_model(session, spec.model_name, spec.workspace)
            scripts.keep(session, spec.script_sha256, script)
            if spec.project_sha256 is not None:
                projects.keep(session, spec.project_sha256, project and project.content)
            if not insert(session, job):
                raise ValueError(f"job {job_id} exists already")
            if spec.ray is not None and spec.ray.submission_id is not None:
                ray_submissions.claim(session, spec.ray.submission_id, job_id)
            if idempotency is not None:
                _prune(session, now)
            trail.name_target(session, job_id)
            return job

        return self._database.write_together(commit)

    def check(self, spec: JobSpec, *, jobs: int = 1, max_queued: int | None = None) -> None:
        """Raise what ``add`` would for this many jobs, without storing anything: QuotaExceeded or ModelTaken."""
        with self._database.read() as session:
            if max_queued is not None:
                queue.check_room(session, spec.account, max_queued, more=jobs)
            workspaces.check_model(session, spec.model_name, spec.workspace)

    def adopt(self, spec: JobSpec, script: bytes, *, job_id: str, submission_id: str, now: datetime) -> Job | None:
        """Insert a job that was submitted directly to Ray. Returns None if it exists already."""
        scripts.check(spec.script_sha256, script)
        job = Job(job_id, spec, JobState.STARTING, created_at=utc(now), entered_at=utc(now), submission_id=submission_id)
        with self._database.write() as session:
            scripts.keep(session, spec.script_sha256, script)
            if not insert(session, job):
                return None
            attempts.open_(session, job, now)
            return job

    def get(self, job_id: str) -> Job:
        """Return the job; raises JobNotFound."""
        with self._database.read() as session:
            return _get(session, job_id)

    def of_submission(self, submission_id: str) -> Job | None:
        """Return the job for which a Ray client chose this submission id."""
        with self._database.read() as session:
            job_id = ray_submissions.find_job(session, submission_id)
            return None if job_id is None else _get(session, job_id)

    def list(self, filter: JobFilter, *, limit: int, cursor: str | None = None) -> JobPage:  # noqa: A002 (what it is)
        """Return one page of jobs, newest first. Raises InvalidRequest for an invalid cursor."""
        query = _matching(filter, after=None if cursor is None else decode_cursor(cursor))
        with self._database.read() as session:
            jobs = [from_row(Job, row) for row in session.scalars(query.limit(limit + 1))]
        return JobPage(*cut(jobs, limit, lambda job: (job.created_at, job.job_id)))

    def in_states(self, states: Collection[JobState]) -> list[Job]:
        """Return all jobs in these states, oldest first. The queue may be long: use ``queue_heads`` for it."""
        with self._database.read() as session:
            query = select(JobRow).where(JobRow.state.in_(states)).order_by(JobRow.created_at, JobRow.job_id)
            return [from_row(Job, row) for row in session.scalars(query)]

    def follow(self, states: Collection[JobState]) -> FollowedJobs:
        """Return these jobs for a caller that reads them again and again."""
        return FollowedJobs(self._database, states)

    def queue_heads(self, per_account: int, *, nodes: Sequence[Resources] = ()) -> list[QueuedJob]:
        """Return the first queued jobs of each account, by priority, then age.

        Jobs that their sweep holds back are left out: it has no parent run yet, or its limit of running jobs is reached.

        Args:
            per_account: limit per account, so that one account's long queue does not hide another's jobs.
            nodes: return only jobs that fit one of these nodes when it is empty. Empty: no such condition.
        """
        with self._database.read() as session:
            return queue.heads(session, per_account=per_account, nodes=nodes)

    def has_queued_jobs(self) -> bool:
        """Return True where a job is queued, for any reason."""
        with self._database.read() as session:
            return queue.has_queued_jobs(session)

    def held_by(self, account: str) -> Held:
        """Return the resources held by the account's admitted jobs."""
        with self._database.read() as session:
            return queue.held(session, account)

    def cancelling(self) -> list[Job]:
        """Return unfinished jobs with a cancellation request, oldest request first."""
        with self._database.read() as session:
            asked = and_(JobRow.cancel_requested_at.is_not(None), JobRow.finished_at.is_(None))
            query = select(JobRow).where(asked).order_by(JobRow.cancel_requested_at, JobRow.job_id)
            return [from_row(Job, row) for row in session.scalars(query)]

    def count_by_status(self, workspace: str | None = None) -> dict[JobStatus, int]:
        """Count the jobs of a workspace by status, zeros included; None: of all."""
        query = select(JobRow.status, func.count()).group_by(JobRow.status)
        if workspace is not None:
            query = query.where(JobRow.workspace == workspace)
        with self._database.read() as session:
            counts = dict(session.execute(query).all())
        return {status: counts.get(status, 0) for status in JobStatus}

    def queue_position(self, job: Job) -> int | None:
        """Return the job's position in the queue by priority and age, from 1; None after its admission.

        Fair share and quotas may admit jobs in another order.
        """
        if job.state is not JobState.QUEUED:
            return None
        rank = -job.spec.priority
        ahead = tuple_(JobRow.created_at, JobRow.job_id) < _key(job.created_at, job.job_id)
        with self._database.read() as session:
            # Each of the two counts reads one range of the index; a single one with OR would not.
            before = session.scalar(select(func.count()).where(queue.IS_QUEUED, JobRow.queue_rank < rank)) or 0
            peers = session.scalar(select(func.count()).where(queue.IS_QUEUED, JobRow.queue_rank == rank, ahead)) or 0
        return before + peers + 1

    def queued_before(self, priority: int) -> int:
        """Count the queued jobs that a new one of this priority would stand behind."""
        with self._database.read() as session:
            return session.scalar(select(func.count()).where(queue.IS_QUEUED, JobRow.queue_rank <= -priority)) or 0

    def first_in_queue(self, limit: int) -> list[str]:
        """Return the ids of the first queued jobs by priority and age."""
        order = (JobRow.queue_rank, JobRow.created_at, JobRow.job_id)
        with self._database.read() as session:
            return list(session.scalars(select(JobRow.job_id).where(queue.IS_QUEUED).order_by(*order).limit(limit)))

    def queued(self, limit: int) -> list[Job]:
        """Return the first queued jobs by priority and age."""
        order = (JobRow.queue_rank, JobRow.created_at, JobRow.job_id)
        with self._database.read() as session:
            rows = session.scalars(select(JobRow).where(queue.IS_QUEUED).order_by(*order).limit(limit))
            return [from_row(Job, row) for row in rows]

    def queued_by_account(self) -> dict[str, int]:
        """Count the queued jobs of each account that has some."""
        query = select(JobRow.account, func.count()).where(queue.IS_QUEUED).group_by(JobRow.account)
        with self._database.read() as session:
            return dict(session.execute(query).all())

    def request_cancel(self, job_id: str, *, now: datetime) -> Job:
        """Request a cancellation, which the supervisor carries out. Idempotent; no effect on a finished job.

        Raises:
            JobNotFound: it does not exist.
        """
        with self._database.write() as session:
            cancel(session, JobRow.job_id == job_id, now=now)
            return _get(session, job_id)

    def move(
        self,
        lease: Lease,
        job: Job,
        to: JobState,
        *,
        now: datetime,
        reason: Reason | None = None,
        message: str | None = None,
        **changes: Unpack[JobFacts],
    ) -> Job:
        """Move a job to another state, with its event and attempt, if it is unchanged since the caller read it.

        ``reason`` and ``message`` replace the previous ones. A move back to the queue clears the submission, its start,
        its deadline and the stop reason; the caller passes the next attempt's number.

        Raises:
            IllegalMove: JOB_MOVES has no such move.
            StaleLease: another supervisor has taken over.
            StaleJob: the job has moved since ``job`` was read.
            JobNotFound: it was deleted.
        """
        with self._database.write() as session:
            return transitions.move(session, lease, job, to, now=now, reason=reason, message=message, facts=changes)

    def amend(self, lease: Lease, job: Job, **changes: Unpack[JobAmendment]) -> Job:
        """Change fields of a job without moving it. Same guards and errors as ``move``."""
        with self._database.write() as session:
            return transitions.amend(session, lease, job, changes)

    def events(self, job_id: str) -> list[Event]:
        """Return the job's transitions, oldest first; empty for an unknown job."""
        with self._database.read() as session:
            query = select(EventRow).where(EventRow.job_id == job_id).order_by(EventRow.sequence)
            return [from_row(Event, row) for row in session.scalars(query)]

    def attempts(self, job_id: str) -> list[Attempt]:
        """Return the job's submissions to Ray, oldest first."""
        with self._database.read() as session:
            query = select(AttemptRow).where(AttemptRow.job_id == job_id).order_by(AttemptRow.number)
            return [from_row(Attempt, row) for row in session.scalars(query)]

    def script(self, sha256: str) -> bytes:
        """Return the script's bytes; raises NotFound."""
        with self._database.read() as session:
            content = scripts.read(session, sha256)
        return scripts.checked(sha256, content)

    def project(self, sha256: str) -> bytes:
        """Return the project's archive (raylift.domain.project); raises NotFound."""
        with self._database.read() as session:
            content = projects.read(session, sha256)
        return projects.checked(sha256, content)

    def delete(self, job_id: str) -> Job:
        """Delete a finished job, its events and attempts, and its script and project unless another job uses them.

        Raises:
            JobNotFound: it does not exist.
            JobNotFinished: it is not final yet, or another job waits for it.
        """
        with self._database.write() as session:
            job_order.require_not_awaited(session, job_id)
            statement = delete(JobRow).where(JobRow.job_id == job_id, JobRow.finished_at.is_not(None))
            deleted = changed(session, statement, JobRow, Job)
            if deleted is None:
                job = _get(session, job_id)
                raise JobNotFinished(f"{job_id} is {job.status}: cancel it first.", job_id=job_id, status=job.status)
            scripts.drop_unused(session, deleted.spec.script_sha256)
            if deleted.spec.project_sha256 is not None:
                projects.drop_unused(session, deleted.spec.project_sha256)
            return deleted


# The parameter `idempotency` of `add` hides the module of that name.
_claim = idempotency.claim
_prune = idempotency.prune


def _get(session: Session, job_id: str) -> Job:
    row = session.get(JobRow, job_id)
    if row is None:
        raise JobNotFound(f"There is no job {job_id}.", job_id=job_id)
    return from_row(Job, row)


def cancel(session: Session, wanted: ColumnElement[bool], *, now: datetime) -> None:
    """Request the cancellation of unfinished jobs."""
    unfinished = and_(JobRow.finished_at.is_(None), JobRow.cancel_requested_at.is_(None))
    execute(session, update(JobRow).where(wanted, unfinished).values(cancel_requested_at=now))


def insert(session: Session, job: Job) -> bool:
    """Insert the job with its tags and first event. Returns False if its id exists."""
    if session.scalar(_insert_job(dialect_of(session)), job_columns(job)) is None:
        return False
    # Shortened keys may coincide: the last one is indexed, the spec has both.
    tags = {_indexed(key): _indexed(value) for key, value in job.spec.tags.items()}
    if job.spec.schedule is not None:
        tags[TAG_SCHEDULE] = job.spec.schedule.name
    if job.spec.batch is not None:
        tags[TAG_BATCH] = job.spec.batch.model_name
    if tags:
        rows = [{"job_id": job.job_id, "key": k, "value": v, "created_at": job.created_at} for k, v in tags.items()]
        session.execute(insert_into(session, JobTagRow), rows)
    if job.spec.project_sha256 is not None:
        reference = {"job_id": job.job_id, "project_sha256": job.spec.project_sha256}
        session.execute(insert_into(session, JobProjectRow), reference)
    job_data.keep(session, job)
    job_order.keep(session, job)
    if job.spec.promote is not None:
        session.execute(insert_into(session, JobGateRow), columns(Promotion(job.job_id)))
    transitions.record_upload(session, job)
    return True


@cache  # Building a statement takes more CPU time than executing it.
def _insert_job(dialect: str) -> ReturningInsert[Any]:
    return dialect_insert(dialect, JobRow).on_conflict_do_nothing().returning(JobRow.__table__.c.job_id)


def _matching(wanted: JobFilter, *, after: tuple[datetime, str] | None) -> Select[JobRow]:
    query = select(JobRow)
    created_at: InstrumentedAttribute[datetime] = JobRow.created_at
    job_id: InstrumentedAttribute[str] = JobRow.job_id
    for column, value in (
        (JobRow.status, wanted.status),
        (JobRow.model_name, wanted.model_name),
        (JobRow.experiment_name, wanted.experiment_name),
        (JobRow.owner, wanted.owner),
        (JobRow.workspace, wanted.workspace),
    ):
        if value is not None:
            query = query.where(column == value)
    if wanted.reason is not None:
        query = query.where(_has_reason(wanted.reason))
    if wanted.text is not None:
        named = (JobRow.job_id, JobRow.model_name, JobRow.experiment_name, JobRow.owner)
        query = query.where(or_(*(column.icontains(wanted.text, autoescape=True) for column in named)))
    if wanted.tag is not None:
        key, value = wanted.tag
        query = query.join(JobTagRow, JobTagRow.job_id == JobRow.job_id).where(JobTagRow.key == _indexed(key))
        if value is not None:
            query = query.where(JobTagRow.value == _indexed(value))
        # The index on tags has the order of the page.
        created_at, job_id = JobTagRow.created_at, JobTagRow.job_id
    if wanted.schedule is not None:
        of_it = and_(JobTagRow.key == TAG_SCHEDULE, JobTagRow.value == wanted.schedule)
        query = query.where(JobRow.job_id.in_(select(JobTagRow.job_id).where(of_it)))
    if wanted.sweep_id is not None:
        query = query.join(SweepJobRow, SweepJobRow.job_id == JobRow.job_id).where(SweepJobRow.sweep_id == wanted.sweep_id)
    if after is not None:
        query = query.where(tuple_(created_at, job_id) < _key(*after))
    return query.order_by(created_at.desc(), job_id.desc())


def _has_reason(reason: Reason) -> ColumnElement[bool]:
    """Match the shown reason: a queued job without a stored one waits for capacity."""
    if reason is Reason.WAITING_FOR_CAPACITY:
        return or_(JobRow.reason == reason, and_(JobRow.reason.is_(None), JobRow.state == JobState.QUEUED))
    return JobRow.reason == reason


def _key(created_at: datetime, job_id: str) -> ColumnElement[tuple[datetime, str]]:
    return tuple_(literal(created_at, UtcDateTime()), literal(job_id, Key()))


def _indexed(text: str) -> str:
    return text[:_INDEXED_CHARACTERS]
