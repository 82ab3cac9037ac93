"""Next step of one sweep: a pure function of the sweep and its jobs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from raylift.domain.job import Job, JobStatus
from raylift.domain.sweep import Sweep, SweepRegistration, SweepState, choose_best, count_by_status, missing_metric


@dataclass(frozen=True, slots=True)
class OpenSweep:
    """Make the parent run. Then the jobs may start."""


@dataclass(frozen=True, slots=True)
class CloseSweep:
    """Record the best job after all have ended."""

    best_job_id: str | None


@dataclass(frozen=True, slots=True)
class ConcludeSweep:
    """Register the best job's model if ``registers`` is set, end the parent run, enter a final state."""

    to: SweepState
    message: str
    best: Job | None = None
    registers: bool = False


SweepAction = OpenSweep | CloseSweep | ConcludeSweep


def plan_sweep(sweep: Sweep, jobs: Sequence[Job]) -> SweepAction | None:
    """Return the next step of a sweep; None while its jobs run."""
    match sweep.state:
        case SweepState.OPENING | SweepState.RUNNING if all(job.is_final for job in jobs):
            return CloseSweep(_best_job_id(sweep, jobs))
        case SweepState.OPENING:
            return OpenSweep()
        case SweepState.CLOSING:
            return _conclude(sweep, jobs)
        case SweepState.RUNNING | SweepState.COMPLETED | SweepState.FAILED | SweepState.CANCELLED:
            return None


def _best_job_id(sweep: Sweep, jobs: Sequence[Job]) -> str | None:
    if sweep.spec.metric is None:
        return None
    best = choose_best(jobs, sweep.spec.metric, sweep.spec.mode)
    return best.job_id if best else None


def _conclude(sweep: Sweep, jobs: Sequence[Job]) -> ConcludeSweep:
    counts = count_by_status(jobs)
    ended = ", ".join(f"{count} {status}" for status, count in counts.items() if count) or "none left"
    summary = f"{len(jobs)} jobs: {ended}."
    best = next((job for job in jobs if job.job_id == sweep.best_job_id), None)
    if sweep.cancel_requested_at is not None and counts[JobStatus.CANCELLED]:
        return ConcludeSweep(SweepState.CANCELLED, f"Cancelled on request. {summary}", best)
    if not counts[JobStatus.COMPLETED]:
        return ConcludeSweep(SweepState.FAILED, f"No job of the sweep completed. {summary}")
    registers = sweep.spec.registration is SweepRegistration.BEST
    if best is not None:
        return ConcludeSweep(
            SweepState.COMPLETED, f"{summary} The best by {sweep.spec.metric} is {best.job_id}.", best, registers
        )
    if sweep.spec.metric is None:
        return ConcludeSweep(SweepState.COMPLETED, summary)
    to = SweepState.FAILED if registers else SweepState.COMPLETED
    return ConcludeSweep(to, f"{summary} {_why_no_best(sweep.spec.metric, jobs, sweep.best_job_id, registers=registers)}")


def _why_no_best(metric: str, jobs: Sequence[Job], best_job_id: str | None, *, registers: bool) -> str:
    nothing = " Nothing was registered." if registers else ""
    if best_job_id is not None:
        return f"The best, {best_job_id}, was deleted.{nothing}"
    return f"{missing_metric(jobs, metric)}{nothing}"
