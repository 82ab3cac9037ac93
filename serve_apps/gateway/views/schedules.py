"""Schedules in the REST API. Moments are shown in the schedule's time zone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from raylift.api.jobs.schedules import ScheduleCheck, ScheduleRunView, ScheduleSummary, ScheduleView
from raylift.domain.job import JobSpec
from raylift.domain.schedules.schedule import Schedule, ScheduleRun, Timetable
from serve_apps.gateway.http.paths import schedule_links
from serve_apps.gateway.views.jobs import MASK, resource_view


def schedule_summary(schedule: Schedule, last: ScheduleRun | None, following: Sequence[datetime]) -> ScheduleSummary:
    return ScheduleSummary.model_validate(_summary(schedule, last, following))


def schedule_view(
    schedule: Schedule, last: ScheduleRun | None, following: Sequence[datetime], notes: Sequence[str] = ()
) -> ScheduleView:
    spec = schedule.template
    view = {
        **_summary(schedule, last, following),
        "entrypoint": spec.entrypoint,
        "requirements": list(spec.requirements),
        "args": list(spec.args),
        "environment": dict.fromkeys(spec.environment, MASK),
        "secrets": list(spec.secrets),
        "params": dict(spec.params),
        "tags": dict(spec.tags),
        "isolation": spec.isolation.value,
        "input": spec.batch and spec.batch.input,
        "output": spec.batch and spec.batch.output,
        "notes": list(notes),
    }
    return ScheduleView.model_validate(view)


def schedule_check(
    timetable: Timetable, following: Sequence[datetime], spec: JobSpec | None, notes: Sequence[str]
) -> ScheduleCheck:
    zone = ZoneInfo(timetable.timezone)
    return ScheduleCheck(
        next_runs=[moment.astimezone(zone) for moment in following],
        script_name=spec.script_name if spec else None,
        requirements=list(spec.requirements) if spec else [],
        resources=resource_view(spec.resources) if spec else None,
        notes=list(notes),
    )


def schedule_run_view(schedule: Schedule, run: ScheduleRun) -> ScheduleRunView:
    return ScheduleRunView(
        due_at=run.due_at.astimezone(ZoneInfo(schedule.timetable.timezone)),
        recorded_at=run.recorded_at,
        outcome=run.outcome.value,
        manual=run.manual,
        message=run.message,
        job_id=run.job_id,
        job_status=None if run.job_status is None else run.job_status.value,
    )


def _summary(schedule: Schedule, last: ScheduleRun | None, following: Sequence[datetime]) -> dict[str, Any]:
    timetable, spec = schedule.timetable, schedule.template
    zone = ZoneInfo(timetable.timezone)
    return {
        "schedule_id": schedule.schedule_id,
        "name": schedule.name,
        "workspace": schedule.workspace,
        "owner": schedule.owner,
        "cron": timetable.cron,
        "timezone": timetable.timezone,
        "overlap": timetable.overlap.value,
        "catch_up_seconds": timetable.catch_up_seconds,
        "jitter_seconds": timetable.jitter_seconds,
        "paused": schedule.paused_at is not None,
        "paused_at": schedule.paused_at,
        "kind": schedule.kind.value,
        "script_name": spec.script_name,
        "experiment_name": spec.experiment_name,
        "model_name": spec.batch.model_name if spec.batch is not None else spec.model_name,
        "next_runs": [moment.astimezone(zone) for moment in following],
        "last_run": None if last is None else schedule_run_view(schedule, last),
        "created_at": schedule.created_at,
        "updated_at": schedule.updated_at,
        "updated_by": schedule.updated_by,
        "links": schedule_links(schedule),
    }
