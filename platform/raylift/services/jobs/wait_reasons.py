"""Reasons why jobs wait, computed for each request: always up to date, and no cost for waiting jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Final

from raylift.domain.errors import SweepNotFound
from raylift.domain.job import Job, JobState, Reason
from raylift.domain.listing import listed
from raylift.domain.quantities import format_bytes
from raylift.domain.quota import Held
from raylift.domain.sweep import SweepState
from raylift.engines.environments.overlays.build_record import BuildRecord, read_record
from raylift.engines.environments.overlays.overlay import is_built, overlay_directory
from raylift.services.cluster.capacity import Capacity
from raylift.services.cluster.holdings import ClusterHoldings
from raylift.services.ports import Clock, utc_now
from raylift.settings import QuotaSettings
from raylift.store import Store

_USUAL_START: Final = timedelta(seconds=10)
"""Time that a job takes to start when nothing delays it."""


@dataclass(frozen=True, slots=True)
class _Lookups:
    """Cached lookups for one list of jobs."""

    held: dict[str, Held] = field(default_factory=dict[str, Held])
    """By account."""
    held_back: dict[str, Mapping[str, str]] = field(default_factory=dict[str, Mapping[str, str]])
    """Messages by sweep and job."""


class WaitReasons:
    """Adds the present reason and message to waiting jobs. Other jobs have theirs in the store."""

    def __init__(
        self,
        store: Store,
        capacity: Capacity,
        holdings: ClusterHoldings,
        quotas: QuotaSettings,
        environments_dir: Path,
        clock: Clock = utc_now,
    ) -> None:
        self._store = store
        self._holdings = holdings
        self._capacity = capacity
        self._quotas = quotas
        self._environments_dir = environments_dir
        self._clock = clock

    def explained(self, jobs: Sequence[Job]) -> list[Job]:
        """Return the same jobs in the same order, with their reasons."""
        lookups = _Lookups()
        return [self._explained(job, lookups) for job in jobs]

    def _explained(self, job: Job, lookups: _Lookups) -> Job:
        if job.state is JobState.ENVIRONMENT:
            return self._in_environment(job)
        if job.state is JobState.STARTING and self._clock() - job.entered_at > _USUAL_START:
            return self._starting(job)
        waits_for = self._waits_for(job, lookups) if job.state is JobState.QUEUED else None
        if waits_for is None:
            return job
        reason, message = waits_for
        if reason is Reason.WAITING_FOR_CAPACITY and job.reason is not None:
            return job
        # A retried job first says why it is back in the queue.
        return replace(job, reason=reason, message=f"{job.message} {message}" if job.message else message)

    def build_of(self, job: Job) -> BuildRecord | None:
        """Return the build that the job waits for; None where it waits for none."""
        if job.state not in {JobState.ENVIRONMENT, JobState.STARTING} or not job.environment_lock:
            return None
        return read_record(overlay_directory(job.environment_lock, self._environments_dir))

    def _in_environment(self, job: Job) -> Job:
        if job.environment_lock is None:
            return replace(job, message=f"Its requirements are being resolved: {listed(job.spec.requirements)}.")
        build, note = self.build_of(job), f" {job.message}" if job.message else ""
        return replace(
            job, message=f"Its environment is being built, {_progress(build)}: {listed(job.environment_lock)}.{note}"
        )

    def _starting(self, job: Job) -> Job:
        lock = job.environment_lock or ()
        if lock and not is_built(overlay_directory(lock, self._environments_dir)):
            message = f"It waits for its environment, which is being installed: {listed(lock)}."
            return replace(job, reason=Reason.BUILDING_ENVIRONMENT, message=message)
        return replace(job, message="It waits for Ray, which has it and has not started its process on a node yet.")

    def _waits_for(self, job: Job, lookups: _Lookups) -> tuple[Reason, str] | None:
        """Return reason and message; None when the job waits for capacity and no node is known."""
        if job.spec.after and (before := self._store.order.waits_for(job.job_id)) is not None:
            soon = "It starts in a moment: the jobs before it have completed, and their results are looked up."
            return Reason.WAITING_FOR_JOB, f"It waits for {listed(before)}." if before else soon
        wanted, account = job.spec.resources, job.spec.account
        needs_node = self._capacity.wait_for_node(wanted)
        if needs_node is not None:
            return Reason.WAITING_FOR_NODE, needs_node
        if job.spec.sweep is not None:
            held_back = self._held_back(job.spec.sweep.sweep_id, lookups)
            if job.job_id in held_back:
                return Reason.WAITING_FOR_SWEEP, held_back[job.job_id]
        quota = self._quotas.of(account)
        if quota.bounds_admission():
            if account not in lookups.held:
                lookups.held[account] = self._store.jobs.held_by(account)
            bound = quota.exceeded_by(wanted, lookups.held[account])
            if bound is not None:
                message = (
                    f"With it, {account!r} would have more than its quota of {bound}. It goes on when others of its jobs end."
                )
                return Reason.WAITING_FOR_QUOTA, message
        held = self._holdings.now().sentence(wanted, job.job_id)
        return None if held is None else (Reason.WAITING_FOR_CAPACITY, held)

    def _held_back(self, sweep_id: str, lookups: _Lookups) -> Mapping[str, str]:
        """Return a message for each job that waits for its sweep."""
        if sweep_id not in lookups.held_back:
            try:
                sweep = self._store.sweeps.get(sweep_id)
            except SweepNotFound:  # It was cancelled and deleted in the meantime.
                return {}
            message = "It waits until its sweep has its parent run in MLflow."
            if sweep.state is not SweepState.OPENING:
                message = f"It goes on when other jobs of its sweep end, of which {sweep.spec.max_parallel} run at a time."
            lookups.held_back[sweep_id] = dict.fromkeys(self._store.sweeps.held_back(sweep), message)
        return lookups.held_back[sweep_id]


def _progress(build: BuildRecord | None) -> str:
    if build is None or build.downloads is None:
        return "nothing downloaded yet"
    return f"{format_bytes(build.downloads.done)} of {format_bytes(build.downloads.size)} downloaded"
