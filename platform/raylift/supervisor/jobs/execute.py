"""Executes the planned steps of one job. Every step may be repeated: it adopts what it finds."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

from raylift.domain.errors import (
    DatasetNotFound,
    DeploymentNotFound,
    EngineUnavailable,
    SecretNotFound,
    SecretUnreadable,
    StaleJob,
    StaleLease,
)
from raylift.domain.identifiers import submission_id
from raylift.domain.job import Job, JobState, Reason
from raylift.domain.lease import Lease
from raylift.domain.sources.script_notes import ScriptNotes
from raylift.engines.attempts.orphan_processes import end_orphans
from raylift.engines.batches.directory import BatchDirectory
from raylift.engines.datasets.results import ResultRefused
from raylift.engines.environments import EnvironmentBuildFailed, EnvironmentUnresolvable
from raylift.engines.environments.overlays.overlay import environment_hash
from raylift.engines.mlflow_engine.client import MlflowRefused
from raylift.engines.mlflow_engine.registry import Registry
from raylift.engines.mlflow_engine.tracking import Tracking
from raylift.engines.ray_engine.jobs import RayJobs, SubmissionRefused
from raylift.settings import PlatformSettings
from raylift.store import Store
from raylift.supervisor.jobs.end_runs import FINISHED, RunEnder, status_of_runs
from raylift.supervisor.jobs.gangs import Gangs, GroupNotPlaced
from raylift.supervisor.jobs.placement import Placement
from raylift.supervisor.jobs.plan import (
    CANCELLED_BEFORE_ITS_SCRIPT,
    Finish,
    JobAction,
    Prepare,
    Register,
    Retry,
    ScriptStarted,
    ScriptSucceeded,
    Stop,
    Submit,
    lost,
)
from raylift.supervisor.jobs.plan_start import Build, EnterEnvironment, ObservedEnvironment, Resolve, Start, plan_start
from raylift.supervisor.jobs.preparation import Preparation
from raylift.supervisor.jobs.registration import NoModelLogged, deploy, register
from raylift.supervisor.jobs.submit import JobSubmitter
from raylift.supervisor.order.results import JobResults
from raylift.supervisor.serial_tasks import MAX_STEP_TRIES

log = logging.getLogger(__name__)

_REGISTRATION_PATIENCE: Final = timedelta(minutes=10)
"""Time for which a registration is repeated while MLflow does not answer, from the first try of this supervisor."""
_STEP_FAILED: Final = {
    JobState.ENVIRONMENT: Reason.ENVIRONMENT_ERROR,
    JobState.STARTING: Reason.SUBMISSION_ERROR,
    JobState.REGISTRATION: Reason.REGISTRATION_ERROR,
}


class JobExecutor:
    """Executes planned job actions against Ray, MLflow and the store."""

    def __init__(
        self,
        settings: PlatformSettings,
        store: Store,
        ray_jobs: RayJobs,
        tracking: Tracking,
        registry: Registry,
        clock: Callable[[], datetime],
        placement: Placement,
        preparation: Preparation,
        gangs: Gangs,
    ) -> None:
        self._settings = settings
        self._store = store
        self._ray_jobs = ray_jobs
        self._tracking = tracking
        self._registry = registry
        self._clock = clock
        self._preparation = preparation
        self._placement = placement
        self._gangs = gangs
        self._submitter = JobSubmitter(settings, store, ray_jobs, placement)
        self._runs = RunEnder(tracking, clock)
        self._results = JobResults(store, settings)
        self._unregistered_since: dict[str, datetime] = {}
        """Time of the first registration that MLflow did not answer, by job."""
        self._failures: dict[str, int] = {}
        """Number of consecutive failures of a job's step while all engines answered."""
        self._claimed: set[tuple[str, str]] = set()
        """Environments and workspaces that the store knows to belong together."""

    def start(self, lease: Lease, job: Job) -> None:
        """Take a queued job towards Ray as far as it goes now. It was admitted, or its cancellation requested."""
        environment = self._environment(job)
        action = plan_start(job, environment)
        if isinstance(action, EnterEnvironment):
            job = self._move(lease, job, JobState.ENVIRONMENT, reason=Reason.BUILDING_ENVIRONMENT)
            action = plan_start(job, environment)
        try:
            while isinstance(action, Resolve | Build):
                prepared = self._prepare(lease, job, action)
                if prepared is None:
                    return
                job, environment = prepared
                action = plan_start(job, environment)
        except (EnvironmentUnresolvable, EnvironmentBuildFailed) as error:
            self._move(lease, job, JobState.FAILED, reason=Reason.ENVIRONMENT_ERROR, message=error.detail)
            return
        if isinstance(action, Start):
            self._begin_attempt(lease, job, action.lock)
        elif isinstance(action, Finish):
            self._finish(lease, job, action)

    def execute(self, lease: Lease, job: Job, action: JobAction) -> None:
        """Carry out one action.

        Raises:
            EngineUnavailable: an engine did not answer; the action is planned again.
            StaleLease: another supervisor has taken over.
        """
        try:
            self._carry_out(lease, job, action)
        except (EngineUnavailable, StaleJob, StaleLease):
            raise
        except Exception as error:
            if not self._give_up(lease, job, error):
                raise
            log.exception("%s: given up", job.job_id)
        self._failures.pop(job.job_id, None)

    def _give_up(self, lease: Lease, job: Job, error: Exception) -> bool:
        """End a job whose step always fails: it would hold its resources for ever."""
        failures = self._failures[job.job_id] = self._failures.get(job.job_id, 0) + 1
        reason = _STEP_FAILED.get(job.state)
        if reason is None or failures < MAX_STEP_TRIES:
            return False
        self._close(job)
        message = f"Failed {failures} times, the last time with {type(error).__name__}: {error}. The supervisor's log has more."
        self._move(lease, job, JobState.FAILED, reason=reason, message=message)
        return True

    def _carry_out(self, lease: Lease, job: Job, action: JobAction) -> None:
        match action:
            case Prepare():
                self.start(lease, job)
            case Submit():
                self._submit(lease, job)
            case ScriptStarted(at=at, deadline_at=deadline_at):
                self._move(lease, job, JobState.SCRIPT, started_at=at, deadline_at=deadline_at)
            case Stop(reason=reason):
                self._stop(lease, job, reason)
            case ScriptSucceeded(usage=usage):
                self._close(job)
                self._move(lease, job, JobState.REGISTRATION, exit_code=0, usage=usage)
            case Register():
                self._register(lease, job)
            case Retry():
                self._retry(lease, job, action)
            case Finish():
                self._finish(lease, job, action)

    def _prepare(self, lease: Lease, job: Job, action: Resolve | Build) -> tuple[Job, ObservedEnvironment] | None:
        """Return the job and its environment after the step; None while the step runs in the background."""
        if isinstance(action, Build):
            return (job, ObservedEnvironment(action.lock, is_ready=True)) if self._preparation.build(job, action.lock) else None
        resolved = self._preparation.resolve(job)
        if resolved is None:
            return None
        job = self._store.jobs.amend(lease, job, environment_lock=resolved.lock, message=resolved.note)
        self._claim(job, resolved.lock)
        return job, self._environment(job)

    def _environment(self, job: Job) -> ObservedEnvironment:
        return self._preparation.observe(job, mechanism=self._submitter.mechanism(job))

    def _claim(self, job: Job, lock: tuple[str, ...]) -> None:
        """Note once that the job's workspace needs the environment."""
        if not lock:
            return
        claim = (environment_hash(lock), job.spec.workspace)
        if claim not in self._claimed:
            self._store.workspaces.claim_environment(*claim)
            self._claimed.add(claim)

    def _begin_attempt(self, lease: Lease, job: Job, lock: tuple[str, ...]) -> None:
        self._claim(job, lock)
        started = self._move(
            lease,
            job,
            JobState.STARTING,
            message=job.message if job.state is JobState.ENVIRONMENT else None,  # It stays in the event.
            submission_id=submission_id(job.job_id, job.attempt),
            environment_lock=lock,
            stop_reason=None,
            deadline_at=None,
        )
        self._submit(lease, started)

    def _submit(self, lease: Lease, job: Job) -> None:
        try:
            is_needed = self._gangs.are_needed(job)
            group = self._gangs.ready(job) if is_needed else None
            if is_needed and group is None:
                return  # Planned again: Ray has not placed it yet.
            if not self._submitter.submit(job, group):
                self._finish(lease, job, CANCELLED_BEFORE_ITS_SCRIPT)
        except GroupNotPlaced as error:
            self._carry_out(lease, job, lost(job, str(error), self._settings.jobs))
        except (DatasetNotFound, DeploymentNotFound, SecretNotFound, SecretUnreadable, SubmissionRefused) as error:
            self._move(lease, job, JobState.FAILED, reason=Reason.SUBMISSION_ERROR, message=error.detail)

    def _stop(self, lease: Lease, job: Job, reason: Reason) -> None:
        if job.stop_reason is None:
            job = self._store.jobs.amend(lease, job, stop_reason=reason)
        # The file first: a wrapper that Ray starts later finds it, and starts nothing.
        directory = self._submitter.directory(job)
        directory.request_stop(_cause(job, reason))
        self._ray_jobs.stop(directory.path.name)

    def _register(self, lease: Lease, job: Job) -> None:
        if job.spec.batch is not None:
            result = BatchDirectory(self._settings.batches_dir, job.job_id).result()
            message = "Done. Its result cannot be read." if result is None else result.sentence()
            self._move(lease, job, JobState.COMPLETED, message=message)
            return
        try:
            output = self._results.keep(job, self._submitter.directory(job))
        except ResultRefused as error:
            shown = self._runs.end(job, status_of_runs(Reason.NO_OUTPUT))
            self._move(lease, job, JobState.FAILED, reason=Reason.NO_OUTPUT, message=str(error), **shown)
            return
        except EngineUnavailable as error:
            self._unregistered(lease, job, error)
            return
        try:
            made = register(job, self._tracking, self._registry, self._notes(job), self._lost_attempts(job))
        except NoModelLogged as error:
            shown = self._runs.end(job, FINISHED)
            self._move(lease, job, JobState.FAILED, reason=Reason.NO_MODEL_LOGGED, message=error.detail, **shown)
            return
        except (EngineUnavailable, MlflowRefused) as error:
            self._unregistered(lease, job, error)
            return
        self._unregistered_since.pop(job.job_id, None)
        self._runs.end(job, FINISHED)
        answers = ""
        if made.version is not None:
            config = self._settings.serving.default_deployment()
            answers = deploy(job, made.version, self._store, config, now=self._clock(), files=made.files)
        self._move(
            lease,
            job,
            JobState.COMPLETED,
            message=f"{made.message} {answers}".rstrip(),
            mlflow_experiment_id=made.experiment_id,
            mlflow_run_id=made.run.run_id if made.run else None,
            metrics=made.metrics,
            model_version=made.version.version if made.version else None,
            output=output,
        )
        if output is not None:
            self._submitter.directory(job).remove_result()

    def _unregistered(self, lease: Lease, job: Job, error: EngineUnavailable | MlflowRefused) -> None:
        """End a job whose registration was refused, or found no answer for too long. Raises the error before that."""
        # From the first try, not from the state's start: the platform may have been down for most of that time.
        since = self._unregistered_since.setdefault(job.job_id, self._clock())
        if isinstance(error, EngineUnavailable) and self._clock() - since < _REGISTRATION_PATIENCE:
            raise error
        del self._unregistered_since[job.job_id]
        self._move(lease, job, JobState.FAILED, reason=Reason.REGISTRATION_ERROR, message=error.detail)

    def _lost_attempts(self, job: Job) -> frozenset[int]:
        if not job.infrastructure_losses:
            return frozenset()
        return frozenset(it.number for it in self._store.jobs.attempts(job.job_id) if it.reason is Reason.NODE_LOST)

    def _notes(self, job: Job) -> ScriptNotes:
        try:
            progress = self._submitter.directory(job).progress()
        except (ValueError, OSError) as error:
            log.warning("%s: progress.json cannot be read: %s", job.job_id, error)
            return ScriptNotes()
        return progress.notes if progress else ScriptNotes()

    def _retry(self, lease: Lease, job: Job, action: Retry) -> None:
        if action.avoid_node is not None:
            self._placement.avoid(action.avoid_node)
        self._close(job, lost=action.lost)
        self._runs.end(job, status_of_runs(action.reason))
        self._move(
            lease,
            job,
            JobState.QUEUED,
            reason=action.reason,
            message=f"Attempt {job.attempt}: {action.message} Queued again.",
            attempt=job.attempt + 1,
            infrastructure_losses=job.infrastructure_losses + (1 if action.lost else 0),
            exit_code=action.exit_code,
            usage=action.usage,
        )

    def _finish(self, lease: Lease, job: Job, action: Finish) -> None:
        facts: dict[str, Any] = {}
        if job.state is not JobState.QUEUED:  # A queued job has no attempt to end; facts of the last one stay.
            stopped_at = self._submitter.directory(job).stop_requested_at() if job.stop_reason is not None else None
            self._close(job, lost=action.lost)
            runs = self._runs.end(job, status_of_runs(action.reason), stopped_at)
            facts = {"exit_code": action.exit_code, "usage": action.usage, **runs}
        self._move(lease, job, action.to, reason=action.reason, message=action.message, **facts)

    def _close(self, job: Job, *, lost: bool = False) -> None:
        """Make sure that nothing of the attempt runs, now or later, before the store records its end.

        A submission that Ray still holds back, or that a supervisor without lease submits late, finds the stop file.

        Raises:
            EngineUnavailable: some of its processes do not end.
        """
        if job.submission_id is None:
            return
        directory = self._submitter.directory(job)
        directory.request_stop()
        if lost:
            end_orphans(job.submission_id)
        directory.remove_variables()

    def _move(
        self, lease: Lease, job: Job, to: JobState, *, reason: Reason | None = None, message: str | None = None, **changes: Any
    ) -> Job:
        moved = self._store.jobs.move(lease, job, to, now=self._clock(), reason=reason, message=message, **changes)
        if to is not JobState.ENVIRONMENT:
            self._preparation.leave(job.job_id)
        log.info("%s: %s -> %s%s", job.job_id, job.state, to, f" ({reason})" if reason else "")
        return moved


def _cause(job: Job, reason: Reason) -> str:
    """Return the cause of a stop, for the log of the script."""
    match reason:
        case Reason.TIMEOUT:
            return f"its time limit of {job.spec.timeout_seconds} s is over"
        case Reason.CANCELLED_BY_USER:
            return "the job was cancelled"
        case _:
            return "the platform lost sight of it"
