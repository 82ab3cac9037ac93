"""Creates, shows, changes and deletes schedules, and runs one now."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from typing import TypeVar

from raylift.domain.errors import FieldError, InvalidRequest, ScheduleNotFound
from raylift.domain.identifiers import new_schedule_id
from raylift.domain.job import Job, JobSpec
from raylift.domain.project import PackedProject
from raylift.domain.schedules.cron import cron_error, moments_after, time_zone_error, wake_time
from raylift.domain.schedules.schedule import (
    SCHEDULE_ID,
    Overlap,
    RunOutcome,
    Schedule,
    ScheduleRun,
    TemplateKind,
    Timetable,
    name_error,
)
from raylift.services.jobs.reruns import RerunChanges, rerun_spec
from raylift.services.ports import Clock, utc_now
from raylift.services.schedules.jobs import ScheduledJobs
from raylift.services.uploads.checks import CheckedUpload
from raylift.store import ScheduleRunPage, Store

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Template:
    """The jobs of a schedule, and their source unless the store has it."""

    kind: TemplateKind
    spec: JobSpec
    script: bytes | None = None
    project: PackedProject | None = None


@dataclass(frozen=True, slots=True)
class ScheduleChanges:
    """Changes of a schedule. None keeps the present value."""

    cron: str | None = None
    timezone: str | None = None
    overlap: Overlap | None = None
    catch_up_seconds: int | None = None
    jitter_seconds: int | None = None
    paused: bool | None = None
    template: Template | None = None
    take_over: bool = False
    """Make the caller the owner. A new template does it, too."""


class ScheduleService:
    """Writes requests of users to the store. The supervisor makes the jobs when they are due."""

    def __init__(self, store: Store, jobs: ScheduledJobs, *, clock: Clock = utc_now) -> None:
        self._store = store
        self._jobs = jobs
        self._clock = clock

    def template_of(self, upload: CheckedUpload) -> Template:
        """Return the template of an upload. Raises InvalidRequest for a sweep, and for a job that comes after others."""
        if upload.sweep is not None:
            raise InvalidRequest.of(FieldError("train.sweep", "cannot be scheduled: a schedule makes one job at a time"))
        if upload.spec.after:
            detail = "cannot be scheduled: each run is a new job, and those before it are not run again"
            raise InvalidRequest.of(FieldError("train.after", detail))
        return Template(TemplateKind.TRAIN, upload.spec, upload.script, upload.project)

    def template_of_job(self, job: Job) -> Template:
        """Return the template that runs a job again, in its locked environment. Raises InvalidRequest for a batch."""
        if job.spec.batch is not None:
            raise InvalidRequest.of(FieldError("rerun", "is a batch: schedule one with its fields, in batch"))
        return Template(TemplateKind.RERUN, rerun_spec(job, RerunChanges(take_traffic=job.spec.take_traffic)))

    def create(
        self, name: str, timetable: Timetable, template: Template, *, owner: str, workspace: str, paused: bool = False
    ) -> Schedule:
        """Store a schedule, whose first moment is after now.

        Raises:
            InvalidRequest: the name, the expression or the time zone is wrong.
            ScheduleExists: the workspace has one of this name.
        """
        _require_valid(name, timetable)
        now = self._clock()
        schedule = Schedule(
            new_schedule_id(now.timestamp()),
            name,
            workspace,
            owner,
            template.kind,
            timetable,
            template.spec,
            created_at=now,
            updated_at=now,
            updated_by=owner,
            considered_until=now,
            wakes_at=None,
            paused_at=now if paused else None,
        )
        schedule = _from(schedule, now)
        self._store.schedules.add(schedule, template.script, template.project)
        return schedule

    def check(self, name: str, timetable: Timetable, count: int, *, workspace: str) -> list[datetime]:
        """Return the first moments, in UTC, of a schedule that is not stored.

        Raises:
            InvalidRequest: the name, the expression or the time zone is wrong, or the name is taken.
        """
        _require_valid(name, timetable)
        with suppress(ScheduleNotFound):
            self._store.schedules.find(workspace, name)
            raise InvalidRequest.of(FieldError("name", f"is {name!r}, which a schedule of the workspace has already"))
        return list(islice(moments_after(timetable.cron, timetable.timezone, self._clock()), count))

    def find(self, name: str, *, workspace: str, visible_workspace: str | None) -> Schedule:
        """Return a schedule by its name in the caller's workspace, or by its id. Raises ScheduleNotFound."""
        if not SCHEDULE_ID.fullmatch(name):
            return self._store.schedules.find(workspace, name)
        schedule = self._store.schedules.get(name)
        if visible_workspace not in (None, schedule.workspace):
            raise ScheduleNotFound(f"There is no schedule {name}.", schedule_id=name)
        return schedule

    def list(self, workspace: str | None) -> list[tuple[Schedule, ScheduleRun | None]]:
        """Return the schedules of a workspace, or of all, each with its newest moment."""
        last = self._store.schedules.last_runs(workspace)
        return [(schedule, last.get(schedule.schedule_id)) for schedule in self._store.schedules.list(workspace)]

    def runs(self, schedule: Schedule, *, limit: int, cursor: str | None = None) -> ScheduleRunPage:
        return self._store.schedules.runs(schedule.schedule_id, limit=limit, cursor=cursor)

    def next_moments(self, schedule: Schedule, count: int) -> list[datetime]:
        """Return the next moments in UTC, without their jitter; none while it is paused."""
        if schedule.paused_at is not None:
            return []
        after = max(schedule.considered_until, self._clock())
        return list(islice(moments_after(schedule.timetable.cron, schedule.timetable.timezone, after), count))

    def change(self, schedule: Schedule, changes: ScheduleChanges, *, by: str) -> Schedule:
        """Change a schedule. Moments before now do not come again: with new times, and after a pause, it goes on from now.

        Raises:
            InvalidRequest: the expression or the time zone is wrong.
            StaleSchedule: it was changed at the same time.
        """
        now, former, template = self._clock(), schedule.timetable, changes.template
        timetable = Timetable(
            cron=_new(changes.cron, former.cron),
            timezone=_new(changes.timezone, former.timezone),
            overlap=_new(changes.overlap, former.overlap),
            catch_up_seconds=_new(changes.catch_up_seconds, former.catch_up_seconds),
            jitter_seconds=_new(changes.jitter_seconds, former.jitter_seconds),
        )
        errors = list(_timetable_errors(timetable))
        if errors:
            raise InvalidRequest.of(*errors)
        paused_at = schedule.paused_at if changes.paused in (None, schedule.paused_at is not None) else now
        if changes.paused is False:
            paused_at = None
        drops_waiting = paused_at is not None or timetable.overlap is not Overlap.QUEUE
        changed = replace(
            schedule,
            timetable=timetable,
            owner=by if template is not None or changes.take_over else schedule.owner,
            kind=schedule.kind if template is None else template.kind,
            template=schedule.template if template is None else template.spec,
            paused_at=paused_at,
            waiting_at=None if drops_waiting else schedule.waiting_at,
            updated_at=now,
            updated_by=by,
        )
        times_changed = (timetable.cron, timetable.timezone) != (former.cron, former.timezone)
        if times_changed or (schedule.paused_at is not None and paused_at is None):
            changed = _from(changed, now)
        elif timetable.jitter_seconds != former.jitter_seconds:
            changed = _from(changed, changed.considered_until)
        return self._store.schedules.update(
            changed,
            script=template.script if template else None,
            project=template.project if template else None,
            drops_waiting=drops_waiting and schedule.waiting_at is not None,
        )

    def run_now(self, schedule: Schedule) -> Job:
        """Make a job at once, also while it is paused or a job of it runs.

        Raises:
            Forbidden: the owner may not run it any more.
            InvalidRequest, QuotaExceeded: its job is not accepted.
        """
        now = self._clock()
        new = self._jobs.new_job(schedule, now, now=now)
        run = ScheduleRun(schedule.schedule_id, now, now, RunOutcome.SUBMITTED, manual=True, job_id=new.job_id)
        return self._store.schedules.run_now(schedule, run, new, now=now)

    def delete(self, schedule: Schedule) -> None:
        """Delete a schedule with its history. Its jobs stay, and go on."""
        self._store.schedules.delete(schedule)


def _from(schedule: Schedule, moment: datetime) -> Schedule:
    """Return the schedule with all moments up to ``moment`` done with."""
    wakes_at = wake_time(schedule.schedule_id, schedule.timetable, moment)
    return replace(schedule, considered_until=moment, wakes_at=wakes_at)


def _new(asked: T | None, present: T) -> T:
    return present if asked is None else asked


def _require_valid(name: str, timetable: Timetable) -> None:
    errors = [*_named("name", name_error(name)), *_timetable_errors(timetable)]
    if errors:
        raise InvalidRequest.of(*errors)


def _timetable_errors(timetable: Timetable) -> Iterator[FieldError]:
    yield from _named("cron", cron_error(timetable.cron))
    yield from _named("timezone", time_zone_error(timetable.timezone))


def _named(field: str, detail: str | None) -> Iterator[FieldError]:
    if detail is not None:
        yield FieldError(field, detail)
