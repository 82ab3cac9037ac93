from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import pytest

from raylift.domain.job import Job, JobState
from raylift.supervisor.jobs.plan import CANCELLED_BEFORE_ITS_SCRIPT
from raylift.supervisor.jobs.plan_start import (
    CANCELLED_IN_THE_QUEUE,
    Build,
    EnterEnvironment,
    ObservedEnvironment,
    Resolve,
    Start,
    StartAction,
    plan_start,
)

Make = Callable[..., Job]
LOCK = ("humanize==4.9.0",)


@pytest.mark.parametrize(
    ("state", "lock", "seen", "action"),
    [
        (JobState.QUEUED, None, ObservedEnvironment((), is_ready=True), Start(())),
        (JobState.QUEUED, None, ObservedEnvironment(LOCK, is_ready=True), Start(LOCK)),
        (JobState.QUEUED, None, ObservedEnvironment(LOCK, is_ready=False), EnterEnvironment()),
        (JobState.QUEUED, None, ObservedEnvironment(None, is_ready=False), EnterEnvironment()),
        (JobState.ENVIRONMENT, None, ObservedEnvironment(None, is_ready=False), Resolve()),
        (JobState.ENVIRONMENT, None, ObservedEnvironment(LOCK, is_ready=False), Resolve()),
        (JobState.ENVIRONMENT, LOCK, ObservedEnvironment(LOCK, is_ready=False), Build(LOCK)),
        (JobState.ENVIRONMENT, LOCK, ObservedEnvironment(LOCK, is_ready=True), Start(LOCK)),
    ],
)
def test_an_admitted_job_starts_once_its_environment_is_ready(
    make_job: Make, state: JobState, lock: tuple[str, ...] | None, seen: ObservedEnvironment, action: StartAction
) -> None:
    assert plan_start(make_job(state, environment_lock=lock), seen) == action


@pytest.mark.parametrize(
    ("state", "action"),
    [(JobState.QUEUED, CANCELLED_IN_THE_QUEUE), (JobState.ENVIRONMENT, CANCELLED_BEFORE_ITS_SCRIPT)],
)
def test_a_cancelled_job_does_not_start(make_job: Make, now: datetime, state: JobState, action: StartAction) -> None:
    job = make_job(state, cancel_requested_at=now)
    assert plan_start(job, ObservedEnvironment(LOCK, is_ready=True)) == action
