from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from raylift.domain.job import FINAL_STATES, Job, JobState, Origin, Reason, Usage
from raylift.engines.attempts.mirror import Contact
from raylift.engines.attempts.progress import Outcome, Progress
from raylift.engines.ray_engine.jobs import RayJob, RayJobStatus
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
def test_queued_job_has_no_action(make_job: Make, now: datetime, state: JobState) -> None:
    assert plan(make_job(state), now) is None


def test_admitted_job_gets_its_environment(make_job: Make, now: datetime) -> None:
    assert plan(make_job(JobState.ENVIRONMENT), now) == Prepare()


def test_job_cancelled_during_resolution_ends(make_job: Make, now: datetime) -> None:
    action = plan(make_job(JobState.ENVIRONMENT, cancel_requested_at=now), now)
    assert isinstance(action, Finish)
    assert action.to is JobState.CANCELLED


class TestStarting:
    def test_attempt_unknown_to_ray_is_submitted(self, make_job: Make, now: datetime) -> None:
        assert plan(make_job(JobState.STARTING), now) == Submit()

    def test_no_attempt_is_submitted_while_ray_is_down(self, make_job: Make, now: datetime) -> None:
        assert plan(make_job(JobState.STARTING), now, ray_answers=False) is None

    def test_pending_attempt_has_no_action(self, make_job: Make, now: datetime) -> None:
        assert plan(make_job(JobState.STARTING), now, ray=ray(RayJobStatus.PENDING)) is None

    def test_deadline_counts_from_the_start_of_the_script(self, make_job: Make, now: datetime) -> None:
        started = now + LATER
        action = plan(make_job(JobState.STARTING), now, progress=Progress(started), ray=RUNNING)
        assert action == ScriptStarted(started, started + timedelta(seconds=600))

    def test_direct_submission_has_no_deadline(self, make_job: Make, now: datetime) -> None:
        job = make_job(JobState.STARTING)
        job = replace(job, spec=replace(job.spec, origin=Origin.RAY))
        assert plan(job, now, progress=Progress(now)) == ScriptStarted(now, None)

    def test_cancel_of_a_pending_attempt_stops_its_wrapper(self, make_job: Make, now: datetime) -> None:
        job = make_job(JobState.STARTING, cancel_requested_at=now)
        assert plan(job, now, ray=ray(RayJobStatus.PENDING)) == Stop(Reason.CANCELLED_BY_USER)

    def test_sent_stop_is_not_sent_again(self, make_job: Make, now: datetime) -> None:
        job = make_job(JobState.STARTING, cancel_requested_at=now, stop_reason=Reason.CANCELLED_BY_USER)
        assert plan(job, now, ray=ray(RayJobStatus.PENDING), stop_sent_at=now) is None

    def test_stop_lost_in_a_crash_is_sent(self, make_job: Make, now: datetime) -> None:
        job = make_job(JobState.STARTING, stop_reason=Reason.TIMEOUT)
        assert plan(job, now, ray=RUNNING) == Stop(Reason.TIMEOUT)

    def test_cancel_of_an_unsubmitted_attempt_ends_the_job(self, make_job: Make, now: datetime) -> None:
        action = plan(make_job(JobState.STARTING, cancel_requested_at=now), now)
        assert isinstance(action, Finish)
        assert (action.to, action.reason) == (JobState.CANCELLED, Reason.CANCELLED_BY_USER)

    def test_failed_environment_gives_ray_s_message(self, make_job: Make, now: datetime) -> None:
        failed = ray(RayJobStatus.FAILED, error_type="RUNTIME_ENV_SETUP_FAILURE", message="no such package")
        action = plan(make_job(JobState.STARTING), now + LATER, ray=failed)
        assert action == Finish(JobState.FAILED, Reason.ENVIRONMENT_ERROR, "no such package")

    def test_attempt_that_ray_does_not_start_in_time_is_stopped(self, make_job: Make, now: datetime) -> None:
        action = plan(make_job(JobState.STARTING), now + timedelta(seconds=61), ray=ray(RayJobStatus.PENDING))
        assert action == Stop(Reason.NODE_LOST)

    def test_stopped_attempt_without_a_started_script_is_cancelled(self, make_job: Make, now: datetime) -> None:
        job = make_job(JobState.STARTING, stop_reason=Reason.CANCELLED_BY_USER)
        never = Progress(script_started_at=None, outcome=Outcome.STOPPED, finished_at=now)
        action = plan(job, now, progress=never, ray=RUNNING)
        assert isinstance(action, Finish)
        assert action.to is JobState.CANCELLED


class TestScript:
    def test_running_script_has_no_action(self, make_job: Make, now: datetime) -> None:
        job = make_job(deadline_at=now + LATER)
        assert plan(job, now, progress=Progress(now), ray=RUNNING) is None

    def test_success_leads_to_registration(self, make_job: Make, now: datetime) -> None:
        assert plan(make_job(), now, progress=ended(now, Outcome.EXITED, exit_code=0), ray=RUNNING) == ScriptSucceeded(USAGE)

    def test_record_of_the_wrapper_overrides_ray_s_status(self, make_job: Make, now: datetime) -> None:
        seen = {"progress": ended(now, Outcome.EXITED, exit_code=0), "ray": ray(RayJobStatus.FAILED)}
        assert isinstance(plan(make_job(), now + LATER, **seen), ScriptSucceeded)

    def test_failing_script_fails_the_job(self, make_job: Make, now: datetime) -> None:
        action = plan(make_job(), now, progress=ended(now, Outcome.EXITED, exit_code=3))
        assert isinstance(action, Finish)
        assert (action.to, action.reason, action.exit_code) == (JobState.FAILED, Reason.SCRIPT_ERROR, 3)
        assert "code 3" in action.message

    def test_failing_script_is_retried_if_requested(self, make_job: Make, now: datetime) -> None:
        progress = ended(now, Outcome.EXITED, exit_code=3)
        first = plan(make_job(max_retries=1), now, progress=progress)
        assert isinstance(first, Retry)
        assert not first.lost
        assert isinstance(plan(make_job(max_retries=1, attempt=2), now, progress=progress), Finish)

    def test_losses_do_not_use_up_the_retries(self, make_job: Make, now: datetime) -> None:
        job = make_job(max_retries=1, attempt=2, infrastructure_losses=1)
        assert isinstance(plan(job, now, progress=ended(now, Outcome.EXITED, exit_code=1)), Retry)

    @pytest.mark.parametrize("outcome", [Outcome.OUT_OF_MEMORY, Outcome.PROCESS_LIMIT, Outcome.DISK_LIMIT])
    @pytest.mark.parametrize("stop_reason", [None, Reason.TIMEOUT])
    def test_breach_of_a_limit_is_not_retried(
        self, outcome: Outcome, stop_reason: Reason | None, make_job: Make, now: datetime
    ) -> None:
        progress = ended(now, outcome, message="used 600 MiB of 512 MiB")
        action = plan(make_job(max_retries=3, stop_reason=stop_reason), now, progress=progress)
        assert isinstance(action, Finish)
        assert (action.reason, action.message) == (Reason(outcome.value), "used 600 MiB of 512 MiB")

    def test_wrong_environment_is_retried_as_an_infrastructure_loss(self, make_job: Make, now: datetime) -> None:
        progress = ended(now, Outcome.ENVIRONMENT_ERROR, message="no plugin.")
        action = plan(make_job(), now, progress=progress)
        assert isinstance(action, Retry)
        assert (action.reason, action.lost) == (Reason.ENVIRONMENT_ERROR, True)
        assert action.message.startswith("no plugin. From the next attempt on Ray's own `uv` field")
        once_more = make_job(infrastructure_losses=JobSettings().max_infrastructure_losses)
        assert plan(once_more, now, progress=progress) == Finish(JobState.FAILED, Reason.ENVIRONMENT_ERROR, "no plugin.")

    def test_job_past_its_deadline_is_stopped(self, make_job: Make, now: datetime) -> None:
        assert plan(make_job(deadline_at=now), now, progress=Progress(now), ray=RUNNING) == Stop(Reason.TIMEOUT)

    def test_deadline_is_enforced_while_ray_is_down(self, make_job: Make, now: datetime) -> None:
        assert plan(make_job(deadline_at=now), now, progress=Progress(now), ray_answers=False) == Stop(Reason.TIMEOUT)

    @pytest.mark.parametrize(
        ("reason", "state"), [(Reason.TIMEOUT, JobState.FAILED), (Reason.CANCELLED_BY_USER, JobState.CANCELLED)]
    )
    def test_stopped_job_ends_with_the_reason_of_the_stop(
        self, make_job: Make, now: datetime, reason: Reason, state: JobState
    ) -> None:
        action = plan(make_job(stop_reason=reason), now, progress=ended(now, Outcome.STOPPED))
        assert isinstance(action, Finish)
        assert (action.to, action.reason, action.usage) == (state, reason, USAGE)

    def test_clean_exit_after_a_stop_counts_as_stopped(self, make_job: Make, now: datetime) -> None:
        action = plan(make_job(stop_reason=Reason.TIMEOUT), now, progress=ended(now, Outcome.EXITED, exit_code=0))
        assert isinstance(action, Finish)
        assert action.reason is Reason.TIMEOUT

    def test_stop_through_ray_is_a_cancel_with_a_message(self, make_job: Make, now: datetime) -> None:
        action = plan(make_job(), now, progress=ended(now, Outcome.STOPPED))
        assert isinstance(action, Finish)
        assert action.to is JobState.CANCELLED
        assert "Ray" in action.message

    def test_lost_attempt_is_retried_up_to_the_setting(self, make_job: Make, now: datetime) -> None:
        first = plan(make_job(), now + LATER, progress=Progress(now), wrapper_lives=False)
        assert isinstance(first, Retry)
        assert first.lost
        again = make_job(attempt=2, infrastructure_losses=1)
        second = plan(again, now + LATER, progress=Progress(now), wrapper_lives=False)
        assert isinstance(second, Finish)
        assert second.reason is Reason.NODE_LOST

    def test_ray_and_the_record_may_disagree_briefly(self, make_job: Make, now: datetime) -> None:
        seen = {"progress": Progress(now), "ray": ray(RayJobStatus.SUCCEEDED), "wrapper_lives": False}
        assert plan(make_job(), now, **seen) is None

    def test_no_attempt_is_lost_while_ray_is_down(self, make_job: Make, now: datetime) -> None:
        assert plan(make_job(), now + LATER, progress=Progress(now), ray_answers=False) is None

    def test_lost_cancelled_attempt_is_cancelled(self, make_job: Make, now: datetime) -> None:
        job = make_job(stop_reason=Reason.CANCELLED_BY_USER)
        action = plan(job, now + LATER, progress=Progress(now), wrapper_lives=False)
        assert isinstance(action, Finish)
        assert (action.to, action.lost) == (JobState.CANCELLED, True)

    def test_broken_wrapper_counts_as_a_loss(self, make_job: Make, now: datetime) -> None:
        action = plan(make_job(), now, progress=ended(now, Outcome.WRAPPER_ERROR, message="disk full"))
        assert isinstance(action, Retry)
        assert action.lost


class TestLosses:
    """An attempt counts as lost only when none of its processes can run any more."""

    @pytest.mark.parametrize("lives", [True, None])
    @pytest.mark.parametrize("seen_by_ray", [None, ray(RayJobStatus.FAILED)])
    def test_wrapper_that_may_live_is_stopped_first(
        self, make_job: Make, now: datetime, lives: bool | None, seen_by_ray: RayJob | None
    ) -> None:
        seen = {"progress": Progress(now), "ray": seen_by_ray, "wrapper_lives": lives}
        assert plan(make_job(), now + LATER, **seen) == Stop(Reason.NODE_LOST)

    def test_wrapper_that_may_live_is_waited_for(self, make_job: Make, now: datetime) -> None:
        job = make_job(stop_reason=Reason.NODE_LOST)
        seen = {"progress": Progress(now), "wrapper_lives": True, "stop_sent_at": now}
        assert plan(job, now + LATER, **seen) is None
        assert isinstance(plan(job, now + MUCH_LATER, **seen), Retry)

    def test_attempt_believed_lost_counts_as_it_ended(self, make_job: Make, now: datetime) -> None:
        job = make_job(stop_reason=Reason.NODE_LOST)
        assert isinstance(plan(job, now, progress=ended(now, Outcome.EXITED, exit_code=0)), ScriptSucceeded)
        assert isinstance(plan(job, now, progress=ended(now, Outcome.STOPPED)), Retry)

    def test_dead_wrapper_that_ray_shows_as_running_is_stopped(self, make_job: Make, now: datetime) -> None:
        seen = {"progress": Progress(now), "ray": RUNNING, "wrapper_lives": False}
        assert plan(make_job(), now + LATER, **seen) == Stop(Reason.NODE_LOST)
        job = make_job(stop_reason=Reason.NODE_LOST)
        assert plan(job, now + LATER, **seen, stop_sent_at=now) is None
        assert isinstance(plan(job, now + MUCH_LATER, **seen, stop_sent_at=now), Retry)

    def test_script_that_died_with_the_platform_did_not_time_out(self, make_job: Make, now: datetime) -> None:
        job = make_job(deadline_at=now)
        seen = {"progress": Progress(now), "wrapper_lives": False}
        assert plan(job, now + LATER, **seen, ray_answers=False) == Stop(Reason.NODE_LOST)
        assert isinstance(plan(job, now + LATER, **seen), Retry)

    def test_exit_code_of_a_signal_is_negative(self, make_job: Make, now: datetime) -> None:
        action = plan(make_job(), now, progress=ended(now, Outcome.SIGNALED, signal=11))
        assert isinstance(action, Finish)
        assert (action.exit_code, "SIGSEGV" in action.message) == (-11, True)

    def test_timeout_names_the_process_that_outlived_the_script(self, make_job: Make, now: datetime) -> None:
        held_by = "the script had come to its end after 3 s, but the thread 'gpu-watch' kept its process"
        action = plan(make_job(stop_reason=Reason.TIMEOUT), now, progress=ended(now, Outcome.STOPPED, held_by=held_by))
        assert isinstance(action, Finish)
        assert held_by in action.message
        assert "Raise timeout_seconds" not in action.message

    def test_ineffective_stop_is_sent_again(self, make_job: Make, now: datetime) -> None:
        job = make_job(stop_reason=Reason.TIMEOUT)
        seen = {"progress": Progress(now), "ray": RUNNING, "wrapper_lives": True, "stop_sent_at": now}
        assert plan(job, now + LATER, **seen) is None
        assert plan(job, now + MUCH_LATER, **seen) == Stop(Reason.TIMEOUT)

    def test_clock_set_back_delays_no_action(self, make_job: Make, now: datetime) -> None:
        """One hour back: all times in the store and the files lie in the future."""
        seen = {"progress": Progress(now), "wrapper_lives": False}
        assert isinstance(plan(make_job(), now - timedelta(hours=1), **seen), Retry)
        job = make_job(stop_reason=Reason.NODE_LOST)
        seen = {"progress": Progress(now), "ray": RUNNING, "wrapper_lives": True, "stop_sent_at": now}
        assert plan(job, now - timedelta(hours=1), **seen) == Stop(Reason.NODE_LOST)

    def test_pending_attempt_that_cannot_be_stopped_is_lost(self, make_job: Make, now: datetime) -> None:
        seen = {"ray": ray(RayJobStatus.PENDING), "stop_sent_at": now}
        cancelled = plan(make_job(JobState.STARTING, stop_reason=Reason.CANCELLED_BY_USER), now + MUCH_LATER, **seen)
        assert isinstance(cancelled, Finish)
        assert cancelled.to is JobState.CANCELLED
        assert isinstance(plan(make_job(JobState.STARTING, stop_reason=Reason.NODE_LOST), now + MUCH_LATER, **seen), Retry)

    def test_downtime_does_not_count_as_ray_s_start_time(self, make_job: Make, now: datetime) -> None:
        later = now + timedelta(hours=1)
        anew = replace(ray(RayJobStatus.PENDING), submitted_at=later)
        assert plan(make_job(JobState.STARTING), later + LATER, ray=anew) is None

    def test_adopted_job_unknown_to_ray_is_not_submitted(self, make_job: Make, now: datetime) -> None:
        job = make_job(JobState.STARTING)
        job = replace(job, spec=replace(job.spec, origin=Origin.RAY))
        action = plan(job, now + LATER)
        assert isinstance(action, Finish)
        assert action.reason is Reason.NODE_LOST


def test_registration_is_repeated_until_it_succeeds(make_job: Make, now: datetime) -> None:
    assert plan(make_job(JobState.REGISTRATION), now) == Register()


class TestOnAnotherNode:
    """An attempt on a node that does not see its directory ends by itself when the contact is lost."""

    HEARD = timedelta(seconds=59)
    FENCED = timedelta(seconds=60)

    @pytest.mark.parametrize("state", [JobState.STARTING, JobState.SCRIPT])
    @pytest.mark.parametrize("seen", [ray(RayJobStatus.FAILED, message="node died"), None])
    def test_job_is_not_run_again_while_its_script_may_run(
        self, make_job: Make, now: datetime, state: JobState, seen: RayJob | None
    ) -> None:
        job, contact = make_job(state, stop_reason=Reason.NODE_LOST), Contact("worker-2", now, timedelta(seconds=45))
        fresh = plan(job, now + self.HEARD, ray=seen, contact=contact, stop_sent_at=now)
        assert fresh is None or isinstance(fresh, Stop)

    @pytest.mark.parametrize("state", [JobState.STARTING, JobState.SCRIPT])
    def test_job_is_run_again_once_its_script_has_ended(self, make_job: Make, now: datetime, state: JobState) -> None:
        contact = Contact("worker-2", now, timedelta(seconds=45))
        action = plan(make_job(state), now + self.FENCED, ray=ray(RayJobStatus.FAILED), contact=contact)
        assert isinstance(action, Retry)
        assert action.message == "Its node worker-2 was out of contact for 60 s."

    def test_silent_script_is_lost_even_if_ray_says_it_runs(self, make_job: Make, now: datetime) -> None:
        contact = Contact("worker-2", now, timedelta(seconds=45))
        assert plan(make_job(), now + self.HEARD, ray=RUNNING, contact=contact) is None
        assert isinstance(plan(make_job(), now + self.FENCED, ray=RUNNING, contact=contact), Retry)

    def test_cancelled_job_out_of_contact_ends_after_its_script(self, make_job: Make, now: datetime) -> None:
        job = make_job(stop_reason=Reason.CANCELLED_BY_USER, cancel_requested_at=now)
        contact = Contact("worker-2", now, timedelta(seconds=45))
        action = plan(job, now + self.FENCED, ray=RUNNING, contact=contact, stop_sent_at=now)
        assert isinstance(action, Finish)
        assert action.to is JobState.CANCELLED


def test_node_that_cannot_read_the_attempt_is_named_and_avoided(make_job: Make, now: datetime) -> None:
    said = "Job entrypoint command failed, last available logs:\nx\n[raylift] not prepared: worker-2: it does not see /state\n"
    seen = ray(RayJobStatus.FAILED, message=said, exit_code=76, node_id="n2")  # type: ignore[arg-type]
    action = plan(make_job(JobState.STARTING), now + LATER, ray=seen)
    assert isinstance(action, Retry)
    assert (action.reason, action.avoid_node) == (Reason.NODE_NOT_PREPARED, "n2")
    assert action.message == "Its node is not prepared: worker-2: it does not see /state."
    last = plan(make_job(JobState.STARTING, infrastructure_losses=1), now + LATER, ray=seen)
    assert isinstance(last, Finish)
    assert last.reason is Reason.NODE_NOT_PREPARED
