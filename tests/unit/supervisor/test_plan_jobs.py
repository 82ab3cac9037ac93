from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from raylift.domain.job import FINAL_STATES, Job, JobState, Origin, Reason, Usage
from raylift.engines.attempts.progress import Outcome, Progress
from raylift.engines.ray.jobs import RayJob, RayJobStatus
from raylift.settings import JobSettings
from raylift.supervisor.jobs.plan import (
    Finish,
    JobAction,
    ObservedAttempt,
    Prepare,
    Register,
    Retry,
    ScriptStarted,
    ScriptSucceeded,
    Stop,
    Submit,
    plan_job,
)

Make = Callable[..., Job]
SETTINGS = JobSettings(max_infrastructure_losses=1, start_timeout_seconds=60)
USAGE = Usage(cpu_seconds=1.5, peak_memory_bytes=10, wall_seconds=2.0, memory_enforced_by="watchdog")


def plan(job: Job, now: datetime, **observed: object) -> JobAction | None:
    return plan_job(job, ObservedAttempt(**observed), now, SETTINGS)  # type: ignore[arg-type]


def ray(status: RayJobStatus, **fields: str) -> RayJob:
    return RayJob("job_A-a1", status, "python -m job_entrypoints.train", **fields)  # type: ignore[arg-type]


def ended(now: datetime, outcome: Outcome, **fields: object) -> Progress:
    return Progress(script_started_at=now, outcome=outcome, finished_at=now, usage=USAGE, **fields)  # type: ignore[arg-type]


RUNNING = ray(RayJobStatus.RUNNING)
LATER = timedelta(seconds=10)
MUCH_LATER = timedelta(minutes=5)


@pytest.mark.parametrize("state", sorted(FINAL_STATES | {JobState.QUEUED}))
def test_nothing_is_done_about_jobs_that_are_not_admitted(make_job: Make, now: datetime, state: JobState) -> None:
    assert plan(make_job(state), now) is None


def test_an_admitted_job_gets_its_environment(make_job: Make, now: datetime) -> None:
    assert plan(make_job(JobState.ENVIRONMENT), now) == Prepare()


def test_a_job_cancelled_while_its_environment_is_resolved_ends(make_job: Make, now: datetime) -> None:
    action = plan(make_job(JobState.ENVIRONMENT, cancel_requested_at=now), now)
    assert isinstance(action, Finish)
    assert action.to is JobState.CANCELLED


class TestStarting:
    def test_an_attempt_ray_does_not_know_is_submitted(self, make_job: Make, now: datetime) -> None:
        assert plan(make_job(JobState.STARTING), now) == Submit()

    def test_nothing_is_submitted_while_ray_does_not_answer(self, make_job: Make, now: datetime) -> None:
        assert plan(make_job(JobState.STARTING), now, ray_answers=False) is None

    def test_a_pending_attempt_is_waited_for(self, make_job: Make, now: datetime) -> None:
        assert plan(make_job(JobState.STARTING), now, ray=ray(RayJobStatus.PENDING)) is None

    def test_the_script_started_and_its_deadline_counts_from_then(self, make_job: Make, now: datetime) -> None:
        started = now + LATER
        action = plan(make_job(JobState.STARTING), now, progress=Progress(started), ray=RUNNING)
        assert action == ScriptStarted(started, started + timedelta(seconds=600))

    def test_a_job_handed_straight_to_ray_has_no_deadline(self, make_job: Make, now: datetime) -> None:
        job = make_job(JobState.STARTING)
        job = replace(job, spec=replace(job.spec, origin=Origin.RAY))
        assert plan(job, now, progress=Progress(now)) == ScriptStarted(now, None)

    def test_cancelling_a_pending_attempt_tells_its_wrapper(self, make_job: Make, now: datetime) -> None:
        job = make_job(JobState.STARTING, cancel_requested_at=now)
        assert plan(job, now, ray=ray(RayJobStatus.PENDING)) == Stop(Reason.CANCELLED_BY_USER)

    def test_a_stop_that_was_sent_is_not_sent_again(self, make_job: Make, now: datetime) -> None:
        job = make_job(JobState.STARTING, cancel_requested_at=now, stop_reason=Reason.CANCELLED_BY_USER)
        assert plan(job, now, ray=ray(RayJobStatus.PENDING), stop_sent_at=now) is None

    def test_a_stop_that_a_crash_kept_from_being_sent_is_sent(self, make_job: Make, now: datetime) -> None:
        job = make_job(JobState.STARTING, stop_reason=Reason.TIMEOUT)
        assert plan(job, now, ray=RUNNING) == Stop(Reason.TIMEOUT)

    def test_cancelling_an_attempt_that_never_reached_ray_just_ends_it(self, make_job: Make, now: datetime) -> None:
        action = plan(make_job(JobState.STARTING, cancel_requested_at=now), now)
        assert isinstance(action, Finish)
        assert (action.to, action.reason) == (JobState.CANCELLED, Reason.CANCELLED_BY_USER)

    def test_an_environment_that_does_not_build_fails_with_rays_words(self, make_job: Make, now: datetime) -> None:
        failed = ray(RayJobStatus.FAILED, error_type="RUNTIME_ENV_SETUP_FAILURE", message="no such package")
        action = plan(make_job(JobState.STARTING), now + LATER, ray=failed)
        assert action == Finish(JobState.FAILED, Reason.ENVIRONMENT_ERROR, "no such package")

    def test_an_attempt_that_ray_does_not_start_in_time_is_stopped(self, make_job: Make, now: datetime) -> None:
        action = plan(make_job(JobState.STARTING), now + timedelta(seconds=61), ray=ray(RayJobStatus.PENDING))
        assert action == Stop(Reason.NODE_LOST)

    def test_a_stopped_attempt_whose_script_never_started_is_cancelled(self, make_job: Make, now: datetime) -> None:
        job = make_job(JobState.STARTING, stop_reason=Reason.CANCELLED_BY_USER)
        never = Progress(script_started_at=None, outcome=Outcome.STOPPED, finished_at=now)
        action = plan(job, now, progress=never, ray=RUNNING)
        assert isinstance(action, Finish)
        assert action.to is JobState.CANCELLED


class TestScript:
    def test_a_running_script_is_left_alone(self, make_job: Make, now: datetime) -> None:
        job = make_job(deadline_at=now + LATER)
        assert plan(job, now, progress=Progress(now), ray=RUNNING) is None

    def test_success_goes_on_to_registration(self, make_job: Make, now: datetime) -> None:
        assert plan(make_job(), now, progress=ended(now, Outcome.EXITED, exit_code=0), ray=RUNNING) == ScriptSucceeded(USAGE)

    def test_the_wrappers_word_counts_more_than_rays(self, make_job: Make, now: datetime) -> None:
        seen = {"progress": ended(now, Outcome.EXITED, exit_code=0), "ray": ray(RayJobStatus.FAILED)}
        assert isinstance(plan(make_job(), now + LATER, **seen), ScriptSucceeded)

    def test_a_failing_script_fails_the_job(self, make_job: Make, now: datetime) -> None:
        action = plan(make_job(), now, progress=ended(now, Outcome.EXITED, exit_code=3))
        assert isinstance(action, Finish)
        assert (action.to, action.reason, action.exit_code) == (JobState.FAILED, Reason.SCRIPT_ERROR, 3)
        assert "code 3" in action.message

    def test_a_failing_script_is_tried_again_when_asked(self, make_job: Make, now: datetime) -> None:
        progress = ended(now, Outcome.EXITED, exit_code=3)
        first = plan(make_job(max_retries=1), now, progress=progress)
        assert isinstance(first, Retry)
        assert not first.lost
        assert isinstance(plan(make_job(max_retries=1, attempt=2), now, progress=progress), Finish)

    def test_losses_do_not_use_up_the_scripts_own_retries(self, make_job: Make, now: datetime) -> None:
        job = make_job(max_retries=1, attempt=2, infrastructure_losses=1)
        assert isinstance(plan(job, now, progress=ended(now, Outcome.EXITED, exit_code=1)), Retry)

    @pytest.mark.parametrize("outcome", [Outcome.OUT_OF_MEMORY, Outcome.PROCESS_LIMIT, Outcome.DISK_LIMIT])
    @pytest.mark.parametrize("stop_reason", [None, Reason.TIMEOUT])
    def test_going_beyond_a_limit_is_final_even_with_retries(
        self, outcome: Outcome, stop_reason: Reason | None, make_job: Make, now: datetime
    ) -> None:
        progress = ended(now, outcome, message="used 600 MiB of 512 MiB")
        action = plan(make_job(max_retries=3, stop_reason=stop_reason), now, progress=progress)
        assert isinstance(action, Finish)
        assert (action.reason, action.message) == (Reason(outcome.value), "used 600 MiB of 512 MiB")

    def test_another_environment_than_promised_is_tried_again_as_a_loss_of_the_infrastructure(
        self, make_job: Make, now: datetime
    ) -> None:
        progress = ended(now, Outcome.ENVIRONMENT_ERROR, message="no plugin.")
        action = plan(make_job(), now, progress=progress)
        assert isinstance(action, Retry)
        assert (action.reason, action.lost) == (Reason.ENVIRONMENT_ERROR, True)
        assert action.message.startswith("no plugin. From the next attempt on Ray's own `uv` field")
        once_more = make_job(infrastructure_losses=JobSettings().max_infrastructure_losses)
        assert plan(once_more, now, progress=progress) == Finish(JobState.FAILED, Reason.ENVIRONMENT_ERROR, "no plugin.")

    def test_past_its_deadline_it_is_stopped(self, make_job: Make, now: datetime) -> None:
        assert plan(make_job(deadline_at=now), now, progress=Progress(now), ray=RUNNING) == Stop(Reason.TIMEOUT)

    def test_the_deadline_is_kept_while_ray_does_not_answer(self, make_job: Make, now: datetime) -> None:
        assert plan(make_job(deadline_at=now), now, progress=Progress(now), ray_answers=False) == Stop(Reason.TIMEOUT)

    @pytest.mark.parametrize(
        ("reason", "state"), [(Reason.TIMEOUT, JobState.FAILED), (Reason.CANCELLED_BY_USER, JobState.CANCELLED)]
    )
    def test_what_was_stopped_ends_for_the_reason_it_was_stopped(
        self, make_job: Make, now: datetime, reason: Reason, state: JobState
    ) -> None:
        action = plan(make_job(stop_reason=reason), now, progress=ended(now, Outcome.STOPPED))
        assert isinstance(action, Finish)
        assert (action.to, action.reason, action.usage) == (state, reason, USAGE)

    def test_a_script_that_exits_cleanly_when_told_to_stop_is_stopped_all_the_same(self, make_job: Make, now: datetime) -> None:
        action = plan(make_job(stop_reason=Reason.TIMEOUT), now, progress=ended(now, Outcome.EXITED, exit_code=0))
        assert isinstance(action, Finish)
        assert action.reason is Reason.TIMEOUT

    def test_stopped_through_ray_is_cancelled_and_says_so(self, make_job: Make, now: datetime) -> None:
        action = plan(make_job(), now, progress=ended(now, Outcome.STOPPED))
        assert isinstance(action, Finish)
        assert action.to is JobState.CANCELLED
        assert "Ray" in action.message

    def test_a_lost_attempt_is_tried_again_up_to_the_setting(self, make_job: Make, now: datetime) -> None:
        first = plan(make_job(), now + LATER, progress=Progress(now), wrapper_lives=False)
        assert isinstance(first, Retry)
        assert first.lost
        again = make_job(attempt=2, infrastructure_losses=1)
        second = plan(again, now + LATER, progress=Progress(now), wrapper_lives=False)
        assert isinstance(second, Finish)
        assert second.reason is Reason.NODE_LOST

    def test_ray_and_the_wrapper_may_disagree_for_a_moment(self, make_job: Make, now: datetime) -> None:
        seen = {"progress": Progress(now), "ray": ray(RayJobStatus.SUCCEEDED), "wrapper_lives": False}
        assert plan(make_job(), now, **seen) is None

    def test_nothing_is_lost_while_ray_does_not_answer(self, make_job: Make, now: datetime) -> None:
        assert plan(make_job(), now + LATER, progress=Progress(now), ray_answers=False) is None

    def test_a_cancelled_attempt_that_was_lost_is_cancelled(self, make_job: Make, now: datetime) -> None:
        job = make_job(stop_reason=Reason.CANCELLED_BY_USER)
        action = plan(job, now + LATER, progress=Progress(now), wrapper_lives=False)
        assert isinstance(action, Finish)
        assert (action.to, action.lost) == (JobState.CANCELLED, True)

    def test_a_broken_wrapper_counts_as_a_loss(self, make_job: Make, now: datetime) -> None:
        action = plan(make_job(), now, progress=ended(now, Outcome.WRAPPER_ERROR, message="disk full"))
        assert isinstance(action, Retry)
        assert action.lost


class TestLosses:
    """An attempt is given up only when nothing of it can run any more."""

    @pytest.mark.parametrize("lives", [True, None])
    @pytest.mark.parametrize("seen_by_ray", [None, ray(RayJobStatus.FAILED)])
    def test_a_wrapper_that_may_live_is_told_to_end_first(
        self, make_job: Make, now: datetime, lives: bool | None, seen_by_ray: RayJob | None
    ) -> None:
        seen = {"progress": Progress(now), "ray": seen_by_ray, "wrapper_lives": lives}
        assert plan(make_job(), now + LATER, **seen) == Stop(Reason.NODE_LOST)

    def test_and_is_waited_for(self, make_job: Make, now: datetime) -> None:
        job = make_job(stop_reason=Reason.NODE_LOST)
        seen = {"progress": Progress(now), "wrapper_lives": True, "stop_sent_at": now}
        assert plan(job, now + LATER, **seen) is None
        assert isinstance(plan(job, now + MUCH_LATER, **seen), Retry)

    def test_one_that_was_only_believed_lost_counts_as_it_ended(self, make_job: Make, now: datetime) -> None:
        job = make_job(stop_reason=Reason.NODE_LOST)
        assert isinstance(plan(job, now, progress=ended(now, Outcome.EXITED, exit_code=0)), ScriptSucceeded)
        assert isinstance(plan(job, now, progress=ended(now, Outcome.STOPPED)), Retry)

    def test_a_dead_wrapper_that_ray_still_shows_as_running_is_stopped_then_lost(self, make_job: Make, now: datetime) -> None:
        seen = {"progress": Progress(now), "ray": RUNNING, "wrapper_lives": False}
        assert plan(make_job(), now + LATER, **seen) == Stop(Reason.NODE_LOST)
        job = make_job(stop_reason=Reason.NODE_LOST)
        assert plan(job, now + LATER, **seen, stop_sent_at=now) is None
        assert isinstance(plan(job, now + MUCH_LATER, **seen, stop_sent_at=now), Retry)

    def test_a_script_that_died_with_the_platform_did_not_time_out(self, make_job: Make, now: datetime) -> None:
        job = make_job(deadline_at=now)
        seen = {"progress": Progress(now), "wrapper_lives": False}
        assert plan(job, now + LATER, **seen, ray_answers=False) == Stop(Reason.NODE_LOST)
        assert isinstance(plan(job, now + LATER, **seen), Retry)

    def test_the_exit_code_of_a_signal_is_negative(self, make_job: Make, now: datetime) -> None:
        action = plan(make_job(), now, progress=ended(now, Outcome.SIGNALED, signal=11))
        assert isinstance(action, Finish)
        assert (action.exit_code, "SIGSEGV" in action.message) == (-11, True)

    def test_a_time_out_names_what_kept_a_script_that_had_ended(self, make_job: Make, now: datetime) -> None:
        held_by = "the script had come to its end after 3 s, but the thread 'gpu-watch' kept its process"
        action = plan(make_job(stop_reason=Reason.TIMEOUT), now, progress=ended(now, Outcome.STOPPED, held_by=held_by))
        assert isinstance(action, Finish)
        assert held_by in action.message
        assert "Raise timeout_seconds" not in action.message

    def test_a_stop_that_came_to_nothing_is_sent_again(self, make_job: Make, now: datetime) -> None:
        job = make_job(stop_reason=Reason.TIMEOUT)
        seen = {"progress": Progress(now), "ray": RUNNING, "wrapper_lives": True, "stop_sent_at": now}
        assert plan(job, now + LATER, **seen) is None
        assert plan(job, now + MUCH_LATER, **seen) == Stop(Reason.TIMEOUT)

    def test_nobody_waits_until_a_clock_that_was_put_back_is_there_again(self, make_job: Make, now: datetime) -> None:
        """An hour back: all that the store and the files say happened in the future."""
        seen = {"progress": Progress(now), "wrapper_lives": False}
        assert isinstance(plan(make_job(), now - timedelta(hours=1), **seen), Retry)
        job = make_job(stop_reason=Reason.NODE_LOST)
        seen = {"progress": Progress(now), "ray": RUNNING, "wrapper_lives": True, "stop_sent_at": now}
        assert plan(job, now - timedelta(hours=1), **seen) == Stop(Reason.NODE_LOST)

    def test_a_pending_attempt_that_cannot_be_stopped_is_given_up(self, make_job: Make, now: datetime) -> None:
        seen = {"ray": ray(RayJobStatus.PENDING), "stop_sent_at": now}
        cancelled = plan(make_job(JobState.STARTING, stop_reason=Reason.CANCELLED_BY_USER), now + MUCH_LATER, **seen)
        assert isinstance(cancelled, Finish)
        assert cancelled.to is JobState.CANCELLED
        assert isinstance(plan(make_job(JobState.STARTING, stop_reason=Reason.NODE_LOST), now + MUCH_LATER, **seen), Retry)

    def test_time_spent_while_the_platform_was_down_is_not_rays(self, make_job: Make, now: datetime) -> None:
        later = now + timedelta(hours=1)
        anew = replace(ray(RayJobStatus.PENDING), submitted_at=later)
        assert plan(make_job(JobState.STARTING), later + LATER, ray=anew) is None

    def test_an_adopted_job_that_ray_forgot_is_not_submitted_by_us(self, make_job: Make, now: datetime) -> None:
        job = make_job(JobState.STARTING)
        job = replace(job, spec=replace(job.spec, origin=Origin.RAY))
        action = plan(job, now + LATER)
        assert isinstance(action, Finish)
        assert action.reason is Reason.NODE_LOST


def test_registration_is_repeated_until_done(make_job: Make, now: datetime) -> None:
    assert plan(make_job(JobState.REGISTRATION), now) == Register()
