"""A sweep: one script run as a job for each combination of parameters; its states and the choice of its best job."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from itertools import product
from typing import Final

from raylift.domain.job import Job, JobStatus


class SweepState(StrEnum):
    """State of a sweep. Its jobs have states of their own."""

    OPENING = "opening"
    """Committed with its jobs, which wait until it has its parent run."""
    RUNNING = "running"
    """Its jobs wait and run like any others."""
    CLOSING = "closing"
    """All jobs have ended and the best one is final. Its model is being registered, if requested."""
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


S = SweepState

SWEEP_MOVES: Final[Mapping[SweepState, frozenset[SweepState]]] = {
    S.OPENING: frozenset({S.RUNNING, S.CLOSING}),
    S.RUNNING: frozenset({S.CLOSING}),
    S.CLOSING: frozenset({S.COMPLETED, S.FAILED, S.CANCELLED}),
    S.COMPLETED: frozenset(),
    S.FAILED: frozenset(),
    S.CANCELLED: frozenset(),
}
"""Every allowed move. docs/guides/sweeps.md explains them."""

FINAL_SWEEP_STATES: Final = frozenset(s for s, moves in SWEEP_MOVES.items() if not moves)


class SweepPassing(StrEnum):
    """Way in which a job receives its parameters."""

    ENVIRONMENT = "environment"
    ARGUMENTS = "arguments"
    """``--name value`` after the job's own arguments."""


class SweepMode(StrEnum):
    """Direction in which the metric improves."""

    MAX = "max"
    MIN = "min"


class SweepRegistration(StrEnum):
    """Jobs whose models are registered."""

    ALL = "all"
    BEST = "best"


@dataclass(frozen=True, slots=True)
class SweepSpec:
    """The user's request. Never changes after the upload."""

    parameters: Mapping[str, tuple[str, ...]]
    """Values by name, as text, in the given order."""
    script_name: str
    experiment_name: str
    model_name: str | None = None
    passed_as: SweepPassing = SweepPassing.ENVIRONMENT
    metric: str | None = None
    mode: SweepMode = SweepMode.MAX
    registration: SweepRegistration = SweepRegistration.ALL
    max_parallel: int | None = None
    """Limit of admitted jobs at a time. None: only the cluster's capacity limits them."""
    tags: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Sweep:
    """A sweep as stored, without its jobs. Times are UTC and timezone-aware."""

    sweep_id: str
    spec: SweepSpec
    state: SweepState
    created_at: datetime
    entered_at: datetime
    message: str | None = None
    cancel_requested_at: datetime | None = None
    finished_at: datetime | None = None
    mlflow_experiment_id: str | None = None
    parent_run_id: str | None = None
    best_job_id: str | None = None

    @property
    def is_final(self) -> bool:
        return self.state in FINAL_SWEEP_STATES


def grid(parameters: Mapping[str, Sequence[str]]) -> list[dict[str, str]]:
    """Return every combination of values; the last parameter changes fastest."""
    return [dict(zip(parameters, values, strict=True)) for values in product(*parameters.values())]


def count_by_status(jobs: Iterable[Job]) -> dict[JobStatus, int]:
    """Count jobs by status, zeros included."""
    counts = dict.fromkeys(JobStatus, 0)
    for job in jobs:
        counts[job.status] += 1
    return counts


def status_of(state: SweepState, counts: Mapping[JobStatus, int]) -> JobStatus:
    """Return the status for clients, in the words of jobs. A sweep is queued until one of its jobs leaves the queue."""
    match state:
        case SweepState.COMPLETED:
            return JobStatus.COMPLETED
        case SweepState.FAILED:
            return JobStatus.FAILED
        case SweepState.CANCELLED:
            return JobStatus.CANCELLED
        case SweepState.OPENING | SweepState.RUNNING | SweepState.CLOSING:
            begun = any(count for status, count in counts.items() if status is not JobStatus.QUEUED)
            return JobStatus.RUNNING if begun or state is SweepState.CLOSING else JobStatus.QUEUED


def missing_metric(jobs: Iterable[Job], metric: str) -> str:
    """Return the message for a sweep whose completed jobs all lack its metric."""
    names = sorted({name for job in jobs if job.status is JobStatus.COMPLETED for name in job.metrics})
    there = f"they have: {', '.join(names)}" if names else "they have no metrics at all"
    return f"No completed job has a number as its metric {metric!r}; {there}."


def choose_best(jobs: Iterable[Job], metric: str, mode: SweepMode) -> Job | None:
    """Return the completed job with the best value of the metric, the first of equals. Missing and NaN values are skipped."""
    able = [job for job in jobs if job.status is JobStatus.COMPLETED and math.isfinite(job.metrics.get(metric, math.nan))]
    sign = 1 if mode is SweepMode.MAX else -1
    return max(able, key=lambda job: sign * job.metrics[metric], default=None)
