"""Next step of one schedule: a pure function of the schedule, the time, and of a job of it that has not ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from raylift.domain.schedules.cron import first_moment_after, moments_after, wake_time
from raylift.domain.schedules.schedule import Overlap, RunOutcome, Schedule, ScheduleRun, jitter_of


@dataclass(frozen=True, slots=True)
class SchedulePlan:
    considered_until: datetime
    wakes_at: datetime | None
    waiting_at: datetime | None
    runs: Sequence[ScheduleRun] = ()
    """Moments that make no job."""
    fires: datetime | None = None
    """The moment that makes a job."""
    cancels_previous: bool = False


@dataclass(frozen=True, slots=True)
class _Due:
    """Moments that have come since the last look."""

    considered_until: datetime
    missed: Sequence[datetime]
    """The first and the last of those that make no job, or one."""
    latest: datetime | None
    """The only one that may make a job."""


def plan_schedule(schedule: Schedule, *, now: datetime, is_busy: bool) -> SchedulePlan | None:
    """Return what to do; None where nothing is due.

    Of all moments that came while no supervisor ran, the latest makes a job if it is within the catch-up window.
    """
    due = _due(schedule, now)
    wakes_at = wake_time(schedule.schedule_id, schedule.timetable, due.considered_until)
    waiting, fires, cancels = schedule.waiting_at, None, False
    runs = [_missed(schedule, due, now)] if due.missed else []
    if waiting is not None and not is_busy:
        fires, waiting, is_busy = waiting, None, True
    if due.latest is not None:
        match schedule.timetable.overlap:
            case _ if not is_busy:
                fires = due.latest
            case Overlap.SKIP:
                runs.append(_without_job(schedule, due.latest, now, RunOutcome.SKIPPED, "The previous job has not ended."))
            case Overlap.CANCEL_PREVIOUS:
                fires, cancels = due.latest, True
            case Overlap.QUEUE:
                if waiting is not None:
                    replaced = f"The moment {due.latest:%Y-%m-%d %H:%M} UTC took its place in the queue."
                    runs.append(_without_job(schedule, waiting, now, RunOutcome.SKIPPED, replaced))
                waiting = due.latest
                runs.append(_without_job(schedule, waiting, now, RunOutcome.WAITING, "The previous job has not ended."))
    plan = SchedulePlan(due.considered_until, wakes_at, waiting, runs, fires, cancels)
    idle = SchedulePlan(schedule.considered_until, schedule.wakes_at, schedule.waiting_at, [])
    return None if plan == idle else plan


def _due(schedule: Schedule, now: datetime) -> _Due:
    timetable, done = schedule.timetable, schedule.considered_until
    window = timedelta(seconds=timetable.catch_up_seconds)
    # Moments before the window are not enumerated: after a year there may be half a million.
    start = max(done, now - window - timedelta(seconds=timetable.jitter_seconds + 1))
    before = first_moment_after(timetable.cron, timetable.timezone, done) if done < start else None
    missed = [before] if before is not None and before <= start else []
    latest = None
    considered_until = start if missed else done
    for moment in moments_after(timetable.cron, timetable.timezone, start):
        fires_at = moment + jitter_of(schedule.schedule_id, moment, timetable.jitter_seconds)
        if fires_at > now:
            break
        considered_until = moment
        if latest is not None:
            missed.append(latest)
        latest = moment if now - fires_at <= window else None
        if latest is None:
            missed.append(moment)
    return _Due(considered_until, missed if len(missed) < 2 else [missed[0], missed[-1]], latest)


def _missed(schedule: Schedule, due: _Due, now: datetime) -> ScheduleRun:
    first, last = due.missed[0], due.missed[-1]
    which = "it" if first == last else f"the moments from this one to {last:%Y-%m-%d %H:%M} UTC"
    follows = " The latest moment makes the one job for all." if due.latest is not None else ""
    message = f"The platform did not run in time for {which}.{follows}"
    return _without_job(schedule, first, now, RunOutcome.MISSED, message)


def _without_job(schedule: Schedule, due_at: datetime, now: datetime, outcome: RunOutcome, message: str) -> ScheduleRun:
    return ScheduleRun(schedule.schedule_id, due_at, now, outcome, message=message)
