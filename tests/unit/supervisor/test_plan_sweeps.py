from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from raylift.domain.job import Job, JobSpec, JobState
from raylift.domain.sweep import Sweep, SweepRegistration, SweepSpec, SweepState
from raylift.supervisor.sweeps.plan import CloseSweep, ConcludeSweep, OpenSweep, plan_sweep

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def job(job_id: str, state: JobState = JobState.COMPLETED, **metrics: float) -> Job:
    return Job(job_id, JobSpec("0" * 64, "train.py", "exp"), state, NOW, NOW, metrics=metrics)


def sweep(state: SweepState, *, metric: str | None = "acc", best: bool = True, **fields: Any) -> Sweep:
    registration = SweepRegistration.BEST if best else SweepRegistration.ALL
    spec = SweepSpec({"a": ("1", "2")}, "train.py", "exp", "m", metric=metric, registration=registration)
    return Sweep("sweep_A", spec, state, NOW, NOW, **fields)


def concluded(chosen: Sweep, *jobs: Job) -> ConcludeSweep:
    action = plan_sweep(chosen, jobs)
    assert isinstance(action, ConcludeSweep)
    return action


def test_a_new_sweep_gets_its_parent_run_unless_nothing_of_it_is_left_to_do() -> None:
    assert plan_sweep(sweep(SweepState.OPENING), [job("a", JobState.QUEUED)]) == OpenSweep()
    assert plan_sweep(sweep(SweepState.OPENING), [job("a", JobState.CANCELLED)]) == CloseSweep(None)


@pytest.mark.parametrize("state", [JobState.QUEUED, JobState.SCRIPT, JobState.REGISTRATION])
def test_nothing_happens_while_a_job_goes_on(state: JobState) -> None:
    assert plan_sweep(sweep(SweepState.RUNNING), [job("a", acc=1.0), job("b", state)]) is None


def test_the_choice_is_made_once_all_have_ended() -> None:
    jobs = [job("a", acc=1.0), job("b", acc=2.0), job("c", JobState.FAILED)]
    assert plan_sweep(sweep(SweepState.RUNNING), jobs) == CloseSweep("b")
    assert plan_sweep(sweep(SweepState.RUNNING, metric=None, best=False), jobs) == CloseSweep(None)


def test_the_choice_stands_whatever_becomes_of_the_others() -> None:
    action = concluded(sweep(SweepState.CLOSING, best_job_id="a"), job("a", acc=1.0), job("b", acc=2.0))
    assert (action.to, action.registers, action.best and action.best.job_id) == (SweepState.COMPLETED, True, "a")


def test_only_a_sweep_that_was_asked_to_registers_its_best() -> None:
    action = concluded(sweep(SweepState.CLOSING, best=False, best_job_id="a"), job("a", acc=1.0))
    assert (action.to, action.registers) == (SweepState.COMPLETED, False)


def test_without_the_metric_nothing_is_registered_and_the_metrics_there_are_are_named() -> None:
    action = concluded(sweep(SweepState.CLOSING), job("a", loss=1.0), job("b", acc=float("nan")))
    assert (action.to, action.registers, action.best) == (SweepState.FAILED, False, None)
    assert "'acc'; they have: acc, loss. Nothing was registered." in action.message
    # Nobody asked for the best: then it is no failure.
    assert concluded(sweep(SweepState.CLOSING, best=False), job("a")).to is SweepState.COMPLETED


def test_a_deleted_best_is_said_to_be() -> None:
    action = concluded(sweep(SweepState.CLOSING, best_job_id="gone"), job("a", acc=1.0))
    assert (action.to, action.best) == (SweepState.FAILED, None)
    assert "gone, was deleted" in action.message


def test_it_fails_when_no_job_completed_and_not_when_some_did() -> None:
    assert concluded(sweep(SweepState.CLOSING), job("a", JobState.FAILED)).to is SweepState.FAILED
    some = concluded(sweep(SweepState.CLOSING, best_job_id="b"), job("a", JobState.FAILED), job("b", acc=1.0))
    assert some.to is SweepState.COMPLETED
    assert "2 jobs: 1 completed, 1 failed." in some.message


def test_a_cancelled_sweep_registers_nothing() -> None:
    asked = sweep(SweepState.CLOSING, best_job_id="a", cancel_requested_at=NOW)
    action = concluded(asked, job("a", acc=1.0), job("b", JobState.CANCELLED))
    assert (action.to, action.registers) == (SweepState.CANCELLED, False)
    # It came too late: all had completed.
    assert concluded(asked, job("a", acc=1.0)).to is SweepState.COMPLETED
    # A job that was cancelled by itself is not the sweep's cancellation.
    assert concluded(sweep(SweepState.CLOSING, best_job_id="a"), job("a", acc=1.0), job("b", JobState.CANCELLED)).registers


@pytest.mark.parametrize("state", [SweepState.COMPLETED, SweepState.FAILED, SweepState.CANCELLED])
def test_a_final_sweep_is_left_alone(state: SweepState) -> None:
    assert plan_sweep(sweep(state), [job("a")]) is None
