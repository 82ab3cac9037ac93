"""Executes planned steps of schedules. A killed supervisor leaves a step done or not begun: a step is one transaction."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from raylift.domain.errors import DeploymentNotReady, EngineUnavailable, PlatformError, StaleLease, StaleSchedule
from raylift.domain.lease import Lease
from raylift.domain.schedules.schedule import RunOutcome, Schedule, ScheduleRun
from raylift.services.schedules.jobs import ScheduledJobs
from raylift.store import NewJob, ScheduleStep, Store
from raylift.supervisor.schedules.plan import SchedulePlan, plan_schedule

log = logging.getLogger(__name__)

_READY_PATIENCE: Final = timedelta(minutes=10)
"""Time after its moment for which a schedule waits for a version whose files are still read or scanned."""


class ScheduleExecutor:
    def __init__(self, store: Store, jobs: ScheduledJobs, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._jobs = jobs
        self._clock = clock

    def attend(self, lease: Lease) -> None:
        """Plan and execute the steps of all schedules that are due. One that fails does not keep the others.

        Raises:
            EngineUnavailable: the database does not answer.
            StaleLease: another supervisor has taken over.
        """
        now, failure = self._clock(), None
        for schedule in self._store.schedules.due(now):
            try:
                self._advance(lease, schedule, now)
            except StaleSchedule as error:
                log.debug("%s", error)  # A user changed it: the next look plans from there.
            except (EngineUnavailable, StaleLease):
                raise
            except Exception as error:
                log.exception("schedule %s", schedule.schedule_id)
                failure = error
        if failure is not None:
            raise failure

    def _advance(self, lease: Lease, schedule: Schedule, now: datetime) -> None:
        is_busy = bool(self._store.schedules.unfinished_jobs(schedule.schedule_id))
        plan = plan_schedule(schedule, now=now, is_busy=is_busy)
        if plan is None:
            return
        if plan.fires is None:
            self._store.schedules.apply(lease, schedule, _step(plan), now=now)
            return
        try:
            new = self._jobs.new_job(schedule, plan.fires, now=now)
        except EngineUnavailable as error:
            # MLflow, which knows the aliases: the next look tries again. Other schedules do not wait for it.
            log.warning("schedule %s: %s", schedule.schedule_id, error)
            return
        except PlatformError as error:
            if isinstance(error, DeploymentNotReady) and now - plan.fires < _READY_PATIENCE:
                return
            self._refuse(lease, schedule, plan, error, now)
            return
        try:
            step = _step(plan, _run(schedule, plan.fires, now, RunOutcome.SUBMITTED, job_id=new.job_id), new)
            self._store.schedules.apply(lease, schedule, step, now=now)
        except (EngineUnavailable, StaleLease, StaleSchedule):
            raise
        except PlatformError as error:
            self._refuse(lease, schedule, plan, error, now)

    def _refuse(self, lease: Lease, schedule: Schedule, plan: SchedulePlan, error: PlatformError, now: datetime) -> None:
        log.warning("schedule %s: %s", schedule.schedule_id, error)
        refused = _run(schedule, plan.fires or now, now, RunOutcome.REFUSED, message=error.detail)
        self._store.schedules.apply(lease, schedule, _step(plan, refused), now=now)


def _step(plan: SchedulePlan, run: ScheduleRun | None = None, new: NewJob | None = None) -> ScheduleStep:
    return ScheduleStep(
        plan.considered_until,
        plan.wakes_at,
        plan.waiting_at,
        runs=[*plan.runs, *([] if run is None else [run])],
        new_job=new,
        cancels_previous=plan.cancels_previous and new is not None,
    )


def _run(
    schedule: Schedule,
    due_at: datetime,
    now: datetime,
    outcome: RunOutcome,
    *,
    message: str | None = None,
    job_id: str | None = None,
) -> ScheduleRun:
    return ScheduleRun(schedule.schedule_id, due_at, now, outcome, message=message, job_id=job_id)
