from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from raylift.domain.job import Job, JobSpec, JobState, JobStatus
from raylift.domain.sweep import (
    FINAL_SWEEP_STATES,
    SWEEP_MOVES,
    SweepMode,
    SweepState,
    choose_best,
    count_by_status,
    grid,
    status_of,
)

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def job(job_id: str, metrics: Mapping[str, float], state: JobState = JobState.COMPLETED) -> Job:
    return Job(job_id, JobSpec("0" * 64, "train.py", "exp"), state, NOW, NOW, metrics=metrics)


def test_last_parameter_changes_fastest() -> None:
    assert grid({"lr": ("1", "2"), "depth": ("3", "5")}) == [
        {"lr": "1", "depth": "3"},
        {"lr": "1", "depth": "5"},
        {"lr": "2", "depth": "3"},
        {"lr": "2", "depth": "5"},
    ]


def test_every_state_has_its_moves_and_is_reachable() -> None:
    assert set(SWEEP_MOVES) == set(SweepState)
    assert {to for moves in SWEEP_MOVES.values() for to in moves} == set(SweepState) - {SweepState.OPENING}
    assert {state.value for state in FINAL_SWEEP_STATES} == {"completed", "failed", "cancelled"}


@pytest.mark.parametrize(("mode", "best"), [(SweepMode.MAX, "b"), (SweepMode.MIN, "a")])
def test_best_job_by_the_metric_is_the_first_of_equals(mode: SweepMode, best: str) -> None:
    jobs = [job("a", {"acc": 0.1}), job("b", {"acc": 0.9}), job("c", {"acc": 0.9}), job("d", {"acc": 0.1})]
    chosen = choose_best(jobs, "acc", mode)
    assert chosen is not None
    assert chosen.job_id == best


@pytest.mark.parametrize(
    "loser",
    [
        job("x", {}),
        job("x", {"other": 9.0}),
        job("x", {"acc": float("nan")}),
        job("x", {"acc": float("inf")}),
        job("x", {"acc": 9.0}, JobState.FAILED),
        job("x", {"acc": 9.0}, JobState.REGISTRATION),
    ],
)
def test_no_job_is_best_without_a_finite_metric(loser: Job) -> None:
    assert choose_best([loser], "acc", SweepMode.MAX) is None
    winner = job("b", {"acc": -1.0})
    assert choose_best([loser, winner], "acc", SweepMode.MAX) is winner


@pytest.mark.parametrize(
    ("state", "jobs", "status"),
    [
        (SweepState.OPENING, [JobState.QUEUED], JobStatus.QUEUED),
        (SweepState.RUNNING, [JobState.QUEUED, JobState.STARTING], JobStatus.QUEUED),
        (SweepState.RUNNING, [JobState.QUEUED, JobState.SCRIPT], JobStatus.RUNNING),
        (SweepState.RUNNING, [JobState.COMPLETED, JobState.QUEUED], JobStatus.RUNNING),
        (SweepState.CLOSING, [], JobStatus.RUNNING),
        (SweepState.FAILED, [JobState.COMPLETED], JobStatus.FAILED),
        (SweepState.CANCELLED, [], JobStatus.CANCELLED),
        (SweepState.COMPLETED, [JobState.FAILED], JobStatus.COMPLETED),
    ],
)
def test_status_shows_the_progress(state: SweepState, jobs: list[JobState], status: JobStatus) -> None:
    assert status_of(state, count_by_status(job("x", {}, state) for state in jobs)) is status
