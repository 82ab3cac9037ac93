from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raylift.domain.job import JobSpec
from raylift.domain.schedules.cron import wake_time
from raylift.domain.schedules.schedule import Overlap, RunOutcome, Schedule, TemplateKind, Timetable, jitter_of
from raylift.supervisor.schedules.plan import SchedulePlan, plan_schedule

START = datetime(2026, 5, 5, 12, 0, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
DUE = datetime(2026, 5, 5, 12, 1, tzinfo=UTC)


def schedule_of(cron: str = "* * * * *", *, waiting_at: datetime | None = None, **timetable: Any) -> Schedule:
    table = Timetable(cron, **timetable)
    spec = JobSpec(script_sha256="0" * 64, script_name="train.py", experiment_name="churn")
    return Schedule(
        "schedule_A", "nightly", "default", "anna", TemplateKind.TRAIN, table, spec, START, START, "anna",
        considered_until=START, wakes_at=wake_time("schedule_A", table, START), waiting_at=waiting_at,
    )  # fmt: skip


def planned(schedule: Schedule, now: datetime, *, is_busy: bool = False) -> SchedulePlan:
    plan = plan_schedule(schedule, now=now, is_busy=is_busy)
    assert plan is not None
    return plan


def after(schedule: Schedule, plan: SchedulePlan | None) -> Schedule:
    if plan is None:
        return schedule
    return replace(
        schedule, considered_until=plan.considered_until, wakes_at=plan.wakes_at, waiting_at=plan.waiting_at
    )  # fmt: skip


def test_nothing_is_due_before_its_moment() -> None:
    assert plan_schedule(schedule_of(), now=DUE - timedelta(seconds=1), is_busy=False) is None


def test_due_moment_makes_a_job_and_the_next_one_is_known() -> None:
    plan = planned(schedule_of(), DUE)
    assert plan == SchedulePlan(DUE, DUE + MINUTE, None, [], fires=DUE)


def test_after_downtime_only_the_latest_moment_makes_a_job() -> None:
    plan = planned(schedule_of(), DUE + timedelta(minutes=10, seconds=5))
    assert plan.fires == DUE + 10 * MINUTE
    (missed,) = plan.runs
    assert (missed.due_at, missed.outcome) == (DUE, RunOutcome.MISSED)
    assert "to 2026-05-05 12:10 UTC" in str(missed.message)


def test_moment_beyond_the_catch_up_window_is_missed() -> None:
    schedule = schedule_of("0 3 * * *", catch_up_seconds=3600)
    due = datetime(2026, 5, 6, 3, tzinfo=UTC)
    assert planned(schedule, due + timedelta(hours=1)).fires == due
    plan = planned(schedule, due + timedelta(hours=1, seconds=1))
    assert plan.fires is None
    assert [(run.due_at, run.outcome) for run in plan.runs] == [(due, RunOutcome.MISSED)]
    assert plan.considered_until >= due
    assert plan.wakes_at == due + timedelta(days=1)


def test_a_year_of_downtime_is_one_entry() -> None:
    plan = planned(schedule_of(catch_up_seconds=3600), START + timedelta(days=365))
    assert plan.fires == (START + timedelta(days=365)).replace(second=0)
    assert [run.outcome for run in plan.runs] == [RunOutcome.MISSED]


def test_clock_put_back_fires_nothing_twice() -> None:
    schedule = after(schedule_of(), planned(schedule_of(), DUE))
    for minutes in range(-120, 1):
        assert plan_schedule(schedule, now=DUE + minutes * MINUTE, is_busy=False) is None
    assert planned(schedule, DUE + MINUTE).fires == DUE + MINUTE


def test_skip() -> None:
    plan = planned(schedule_of(overlap=Overlap.SKIP), DUE, is_busy=True)
    assert plan.fires is None
    assert [run.outcome for run in plan.runs] == [RunOutcome.SKIPPED]
    assert plan.considered_until == DUE


def test_cancel_previous() -> None:
    plan = planned(schedule_of(overlap=Overlap.CANCEL_PREVIOUS), DUE, is_busy=True)
    assert (plan.fires, plan.cancels_previous, plan.runs) == (DUE, True, [])
    assert not planned(schedule_of(overlap=Overlap.CANCEL_PREVIOUS), DUE).cancels_previous


def test_queue_keeps_one_moment_and_fires_it_when_the_job_has_ended() -> None:
    schedule = schedule_of(overlap=Overlap.QUEUE)
    first = planned(schedule, DUE, is_busy=True)
    assert (first.fires, first.waiting_at, [run.outcome for run in first.runs]) == (None, DUE, [RunOutcome.WAITING])
    second = planned(after(schedule, first), DUE + MINUTE, is_busy=True)
    assert second.waiting_at == DUE + MINUTE
    assert [(run.due_at, run.outcome) for run in second.runs] == [
        (DUE, RunOutcome.SKIPPED),
        (DUE + MINUTE, RunOutcome.WAITING),
    ]
    ended = planned(after(after(schedule, first), second), DUE + MINUTE + timedelta(seconds=9))
    assert (ended.fires, ended.waiting_at, list(ended.runs)) == (DUE + MINUTE, None, [])


def test_moment_that_comes_when_the_queued_one_starts_waits() -> None:
    schedule = schedule_of(overlap=Overlap.QUEUE)
    waiting = after(schedule, planned(schedule, DUE, is_busy=True))
    plan = planned(waiting, DUE + MINUTE)
    assert (plan.fires, plan.waiting_at) == (DUE, DUE + MINUTE)


def test_jitter_delays_by_a_fixed_amount() -> None:
    schedule = schedule_of("0 3 * * *", jitter_seconds=600)
    due = datetime(2026, 5, 6, 3, tzinfo=UTC)
    delay = jitter_of("schedule_A", due, 600)
    assert timedelta() <= delay <= timedelta(seconds=600)
    assert schedule.wakes_at == due + delay
    assert plan_schedule(schedule, now=due + delay - timedelta(seconds=1), is_busy=False) is None
    assert planned(schedule, due + delay).fires == due
    delays = {jitter_of("schedule_A", due + timedelta(days=day), 600) for day in range(50)}
    assert len(delays) > 30
    assert jitter_of("schedule_A", due, 0) == timedelta()


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(("* * * * *", "*/7 * * * *", "30 2 * * *", "0,30 1,2,3 * * *")),
    st.sampled_from(("UTC", "Europe/Berlin", "America/New_York")),
    st.sampled_from((datetime(2026, 10, 24, 22, tzinfo=UTC), datetime(2026, 3, 28, 22, tzinfo=UTC))),
    st.sampled_from((0, 90)),
    st.sampled_from(Overlap),
    st.lists(st.tuples(st.integers(-1800, 5400), st.booleans()), min_size=5, max_size=30),
)
def test_no_moment_fires_twice_whatever_the_clock_does(
    cron: str, zone: str, start: datetime, jitter: int, overlap: Overlap, looks: list[tuple[int, bool]]
) -> None:
    """A clock that goes on by any steps and also back, and jobs that end at any time."""
    table = Timetable(cron, zone, overlap, jitter_seconds=jitter)
    schedule = replace(
        schedule_of(), timetable=table, considered_until=start, wakes_at=wake_time("schedule_A", table, start)
    )  # fmt: skip
    now, fired, done = start, list[datetime](), list[datetime]()
    for seconds, is_busy in looks:
        now += timedelta(seconds=seconds)
        plan = plan_schedule(schedule, now=now, is_busy=is_busy)
        if plan is None:
            continue
        assert plan.considered_until >= schedule.considered_until
        fired += [plan.fires] if plan.fires else []
        done += [run.due_at for run in plan.runs if run.outcome is not RunOutcome.WAITING]
        schedule = after(schedule, plan)
    assert len(set(fired)) == len(fired)
    assert not set(fired) & set(done)


@pytest.mark.parametrize("seconds", [1, 30, 59])
def test_each_moment_of_a_running_platform_fires_once(seconds: int) -> None:
    schedule, fired, now = schedule_of(), list[datetime](), START
    while now < START + timedelta(minutes=30):
        now += timedelta(seconds=seconds)
        plan = plan_schedule(schedule, now=now, is_busy=False)
        if plan is not None:
            assert not plan.runs
            fired += [plan.fires] if plan.fires else []
            schedule = after(schedule, plan)
    assert fired == [DUE + minute * MINUTE for minute in range(len(fired))]
    assert len(fired) >= 29
