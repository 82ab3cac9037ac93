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


def test_new_sweep_gets_a_parent_run_if_jobs_remain() -> None:
    assert plan_sweep(sweep(SweepState.OPENING), [job("a", JobState.QUEUED)]) == OpenSweep()
    assert plan_sweep(sweep(SweepState.OPENING), [job("a", JobState.CANCELLED)]) == CloseSweep(None)


@pytest.mark.parametrize("state", [JobState.QUEUED, JobState.SCRIPT, JobState.REGISTRATION])
def test_unfinished_job_delays_the_choice(state: JobState) -> None:
    assert plan_sweep(sweep(SweepState.RUNNING), [job("a", acc=1.0), job("b", state)]) is None


def test_best_job_is_chosen_after_all_jobs_ended() -> None:
    jobs = [job("a", acc=1.0), job("b", acc=2.0), job("c", JobState.FAILED)]
    assert plan_sweep(sweep(SweepState.RUNNING), jobs) == CloseSweep("b")
    assert plan_sweep(sweep(SweepState.RUNNING, metric=None, best=False), jobs) == CloseSweep(None)


def test_choice_is_not_changed_later() -> None:
    action = concluded(sweep(SweepState.CLOSING, best_job_id="a"), job("a", acc=1.0), job("b", acc=2.0))
    assert (action.to, action.registers, action.best and action.best.job_id) == (SweepState.COMPLETED, True, "a")


def test_best_job_is_registered_only_if_requested() -> None:
    action = concluded(sweep(SweepState.CLOSING, best=False, best_job_id="a"), job("a", acc=1.0))
    assert (action.to, action.registers) == (SweepState.COMPLETED, False)


def test_sweep_without_its_metric_names_the_available_metrics() -> None:
    action = concluded(sweep(SweepState.CLOSING), job("a", loss=1.0), job("b", acc=float("nan")))
    assert (action.to, action.registers, action.best) == (SweepState.FAILED, False, None)
    assert "'acc'; they have: acc, loss. Nothing was registered." in action.message
    # The best was not requested, so this is no failure.
    assert concluded(sweep(SweepState.CLOSING, best=False), job("a")).to is SweepState.COMPLETED


def test_deleted_best_job_fails_the_sweep() -> None:
    action = concluded(sweep(SweepState.CLOSING, best_job_id="gone"), job("a", acc=1.0))
    assert (action.to, action.best) == (SweepState.FAILED, None)
    assert "gone, was deleted" in action.message


def test_sweep_fails_only_if_no_job_completed() -> None:
    assert concluded(sweep(SweepState.CLOSING), job("a", JobState.FAILED)).to is SweepState.FAILED
    some = concluded(sweep(SweepState.CLOSING, best_job_id="b"), job("a", JobState.FAILED), job("b", acc=1.0))
    assert some.to is SweepState.COMPLETED
    assert "2 jobs: 1 completed, 1 failed." in some.message


def test_cancelled_sweep_registers_nothing() -> None:
    asked = sweep(SweepState.CLOSING, best_job_id="a", cancel_requested_at=NOW)
    action = concluded(asked, job("a", acc=1.0), job("b", JobState.CANCELLED))
    assert (action.to, action.registers) == (SweepState.CANCELLED, False)
    # The cancel came too late: all jobs had completed.
    assert concluded(asked, job("a", acc=1.0)).to is SweepState.COMPLETED
    # The cancel of a single job does not cancel the sweep.
    assert concluded(sweep(SweepState.CLOSING, best_job_id="a"), job("a", acc=1.0), job("b", JobState.CANCELLED)).registers


@pytest.mark.parametrize("state", [SweepState.COMPLETED, SweepState.FAILED, SweepState.CANCELLED])
def test_final_sweep_has_no_action(state: SweepState) -> None:
    assert plan_sweep(sweep(state), [job("a")]) is None
