"""Carry out what was planned for one job. Every step may be repeated: it adopts what it finds."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

from job_entrypoints.contract import JOB_ID_VARIABLE, SUBMISSION_ID_VARIABLE, wrapper_command
from raylift.domain.errors import EngineUnavailable, StaleJob, StaleLease
from raylift.domain.identifiers import MLFLOW_PARENT_RUN, TAG_SWEEP_ID, TAG_SWEEP_PARAMETER, submission_id
from raylift.domain.job import Job, JobState, Reason
from raylift.domain.lease import Lease
from raylift.domain.script_notes import ScriptNotes
from raylift.engines.attempts.directory import AttemptDirectory
from raylift.engines.attempts.orphan_processes import end_orphans
from raylift.engines.environments import (
    OVERLAY,
    RAY_UV,
    EnvironmentBuildFailed,
    EnvironmentUnresolvable,
    runtime_env_for,
)
from raylift.engines.mlflow.client import MlflowRefused
from raylift.engines.mlflow.registry import Registry
from raylift.engines.mlflow.tracking import Tracking
from raylift.engines.ray.jobs import RayJobs, SubmissionRefused
from raylift.settings import PlatformSettings
from raylift.store import Store
from raylift.supervisor.jobs.choose_model import choose_run
from raylift.supervisor.jobs.end_runs import FINISHED, end_runs, status_of_runs
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
)
from raylift.supervisor.jobs.preparation import Preparation, known_lock
from raylift.supervisor.jobs.registration import NoModelLogged, deploy, parameters, register

log = logging.getLogger(__name__)

_REGISTRATION_PATIENCE: Final = timedelta(minutes=10)
"""How long a registration is tried again while MLflow does not answer. Counts only while this supervisor tries."""

_RUNS_PATIENCE: Final = timedelta(seconds=30)
"""Seconds that the end of a job waits for MLflow to end its runs."""

_TRIES: Final = 10
"""Of a job's step that fails for no reason we know; the pauses between them sum up to about two minutes."""

_STEP_FAILED: Final = {
    JobState.ENVIRONMENT: Reason.ENVIRONMENT_ERROR,
    JobState.STARTING: Reason.SUBMISSION_ERROR,
    JobState.REGISTRATION: Reason.REGISTRATION_ERROR,
}

_RAY_STOP_MARGIN_SECONDS: Final = 5.0
"""Ray's own SIGKILL comes this much after the wrapper's, so that the wrapper can still report."""


def _cause(job: Job, reason: Reason) -> str:
    """Why an attempt is stopped, for the script's log."""
    match reason:
        case Reason.TIMEOUT:
            return f"its time limit of {job.spec.timeout_seconds} s is over"
        case Reason.CANCELLED_BY_USER:
            return "the job was cancelled"
        case _:
            return "the platform lost sight of it"


class JobExecutor:
    """The supervisor's hands, as far as jobs go."""

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
    ) -> None:
        self._preparation = preparation
        self._settings = settings
        self._store = store
        self._ray_jobs = ray_jobs
        self._tracking = tracking
        self._registry = registry
        self._clock = clock
        self._placement = placement
        self._unregistered_since: dict[str, datetime] = {}
        """When MLflow first did not answer about a job."""
        self._runs_open_since: dict[str, datetime] = {}
        """When MLflow first did not answer about the runs of a job that has ended."""
        self._failures: dict[str, int] = {}
        """Steps of a job that failed one after the other, though every engine answered."""

    def admit(self, lease: Lease, job: Job) -> None:
        """Let a waiting job go: to its environment, or straight to Ray when nothing is to be resolved. A cancelled one ends."""
        if job.cancel_requested_at is not None:
            self.cancel_waiting(lease, job)
            return
        lock = known_lock(job)
        if lock is not None and not self._is_to_be_built(job, lock):
            self._start(lease, job, lock)
        else:
            self._prepare(lease, self._move(lease, job, JobState.ENVIRONMENT, reason=Reason.BUILDING_ENVIRONMENT))

    def cancel_waiting(self, lease: Lease, job: Job) -> None:
        """End a job that was cancelled before it was admitted."""
        message = "Cancelled while it waited in the queue."
        self._move(lease, job, JobState.CANCELLED, reason=Reason.CANCELLED_BY_USER, message=message)

    def execute(self, lease: Lease, job: Job, action: JobAction) -> None:
        """Carry out one action.

        Raises:
            EngineUnavailable: an engine did not answer; nothing is lost, the action is planned again.
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
        """End a job whose next step always fails: it would keep its place in the cluster from others for ever."""
        failures = self._failures[job.job_id] = self._failures.get(job.job_id, 0) + 1
        reason = _STEP_FAILED.get(job.state)
        if reason is None or failures < _TRIES:
            return False
        self._close(job)
        said = f"Failed {failures} times, the last time with {type(error).__name__}: {error}. The supervisor's log has more."
        self._move(lease, job, JobState.FAILED, reason=reason, message=said)
        return True

    def _carry_out(self, lease: Lease, job: Job, action: JobAction) -> None:
        match action:
            case Prepare():
                self._prepare(lease, job)
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

    def _prepare(self, lease: Lease, job: Job) -> None:
        """Start the job if its environment is there; it comes again otherwise."""
        try:
            if job.environment_lock is None:
                if (resolved := self._preparation.resolve(job)) is None:
                    return
                job = self._store.jobs.amend(lease, job, environment_lock=resolved.lock, message=resolved.note)
            lock = job.environment_lock or ()
            if self._is_to_be_built(job, lock) and not self._preparation.is_built(job, lock):
                return
        except (EnvironmentUnresolvable, EnvironmentBuildFailed) as error:
            self._move(lease, job, JobState.FAILED, reason=Reason.ENVIRONMENT_ERROR, message=error.detail)
        else:
            self._start(lease, job, lock)

    def _is_to_be_built(self, job: Job, lock: tuple[str, ...]) -> bool:
        """True where its environment is made before the job is handed to Ray, and is not there yet."""
        return self._mechanism(job) == OVERLAY and self._preparation.lacks(lock)

    def _start(self, lease: Lease, job: Job, lock: tuple[str, ...]) -> None:
        chosen = submission_id(job.job_id, job.attempt)
        started = self._move(
            lease,
            job,
            JobState.STARTING,
            message=job.message if job.state is JobState.ENVIRONMENT else None,  # It stays in the event.
            submission_id=chosen,
            environment_lock=lock,
            stop_reason=None,
            deadline_at=None,
        )
        self._submit(lease, started)

    def _submit(self, lease: Lease, job: Job) -> None:
        directory = self._directory(job)
        mechanism = self._mechanism(job)
        directory.prepare(
            job,
            self._store.jobs.script(job.spec.script_sha256),
            mlflow_url=self._settings.mlflow_url,
            settings=self._settings.jobs,
            project=self._store.jobs.project(job.spec.project_sha256) if job.spec.project_sha256 else None,
            run_tags=self._sweep_tags(job),
            in_overlay=mechanism == OVERLAY,
        )
        runtime_env = self._runtime_env(job, directory.path.name, mechanism)
        # Asked last of all: the job was read before its requirements were resolved, which may take minutes.
        if self._store.jobs.get(job.job_id).cancel_requested_at is not None:
            self._finish(lease, job, CANCELLED_BEFORE_ITS_SCRIPT)
            return
        try:
            self._ray_jobs.submit(
                directory.path.name,
                wrapper_command(directory.path),
                job.spec.resources,
                runtime_env=runtime_env,
                metadata={
                    **(job.spec.ray.metadata if job.spec.ray else {}),
                    "raylift.job_id": job.job_id,
                    "raylift.attempt": str(job.attempt),
                },
                avoid_nodes=self._placement.to_avoid(job.job_id, job.spec.resources),
            )
        except SubmissionRefused as error:
            self._move(lease, job, JobState.FAILED, reason=Reason.SUBMISSION_ERROR, message=error.detail)

    def _mechanism(self, job: Job) -> str:
        """How its environment comes to be: Ray's own way once an attempt came upon a node without the plugin."""
        if job.attempt > 1 and any(it.reason is Reason.ENVIRONMENT_ERROR for it in self._store.jobs.attempts(job.job_id)):
            return RAY_UV
        return self._settings.environments.mechanism

    def _runtime_env(self, job: Job, attempt: str, mechanism: str) -> dict[str, Any]:
        grace = self._settings.jobs.stop_grace_seconds + _RAY_STOP_MARGIN_SECONDS
        return {
            "env_vars": {
                JOB_ID_VARIABLE: job.job_id,
                # Unique to the attempt: Ray remembers a failed environment by its exact content.
                SUBMISSION_ID_VARIABLE: attempt,
                "RAY_JOB_STOP_WAIT_TIME_S": f"{grace:.0f}",
            },
            **runtime_env_for(
                job.environment_lock or (),
                self._settings.environments_dir,
                mechanism=mechanism,
                max_bytes=self._settings.environments.max_bytes,
            ),
        }

    def _sweep_tags(self, job: Job) -> dict[str, str]:
        """What makes MLflow show the job's runs beneath the one of its sweep."""
        if job.spec.sweep is None:
            return {}
        sweep_id, parameters = job.spec.sweep.sweep_id, job.spec.sweep.parameters
        tags = {TAG_SWEEP_ID: sweep_id, **{f"{TAG_SWEEP_PARAMETER}{name}": value for name, value in parameters.items()}}
        parent = self._store.sweeps.get(sweep_id).parent_run_id
        return tags if parent is None else {**tags, MLFLOW_PARENT_RUN: parent}

    def _stop(self, lease: Lease, job: Job, reason: Reason) -> None:
        if job.stop_reason is None:
            job = self._store.jobs.amend(lease, job, stop_reason=reason)
        # The file first: a wrapper that Ray has not started yet finds it and starts nothing.
        directory = self._directory(job)
        directory.request_stop(_cause(job, reason))
        self._ray_jobs.stop(directory.path.name)

    def _register(self, lease: Lease, job: Job) -> None:
        try:
            made = register(job, self._tracking, self._registry, self._notes(job))
        except NoModelLogged as error:
            shown = self._ended_runs(job, FINISHED)
            self._move(lease, job, JobState.FAILED, reason=Reason.NO_MODEL_LOGGED, message=error.detail, **shown)
            return
        except (EngineUnavailable, MlflowRefused) as error:
            # Not since the job entered this state: the platform may have been down for most of that time.
            since = self._unregistered_since.setdefault(job.job_id, self._clock())
            if isinstance(error, EngineUnavailable) and self._clock() - since < _REGISTRATION_PATIENCE:
                raise
            del self._unregistered_since[job.job_id]
            self._move(lease, job, JobState.FAILED, reason=Reason.REGISTRATION_ERROR, message=error.detail)
            return
        self._unregistered_since.pop(job.job_id, None)
        self._ended_runs(job, FINISHED)
        answers = ""
        if made.version is not None:
            answers = deploy(job, made.version, self._store, self._settings.serving.default_deployment(), now=self._clock())
        self._move(
            lease,
            job,
            JobState.COMPLETED,
            message=f"{made.message} {answers}".rstrip(),
            mlflow_experiment_id=made.experiment_id,
            mlflow_run_id=made.run.run_id if made.run else None,
            metrics=made.metrics,
            model_version=made.version.version if made.version else None,
        )

    def _notes(self, job: Job) -> ScriptNotes:
        try:
            progress = self._directory(job).progress()
        except (ValueError, OSError) as error:
            log.warning("%s: progress.json cannot be understood: %s", job.job_id, error)
            return ScriptNotes()
        return progress.notes if progress else ScriptNotes()

    def _ended_runs(self, job: Job, status: str, stopped_at: datetime | None = None) -> dict[str, Any]:
        """End the job's runs. Returns the one to show, so that a job that failed has its metrics, too.

        Raises:
            EngineUnavailable: MLflow does not answer; it is waited for, for a while.
        """
        if job.started_at is None:
            return {}
        try:
            runs = self._tracking.runs_of_job(job.job_id)
            end_runs(self._tracking, runs, status, stopped_at=stopped_at)
            run, params = choose_run(runs, None), parameters(job)
            if run is not None and params:
                self._tracking.add_params(run.run_id, params)
        except (EngineUnavailable, MlflowRefused) as error:
            since = self._runs_open_since.setdefault(job.job_id, self._clock())
            if isinstance(error, EngineUnavailable) and self._clock() - since < _RUNS_PATIENCE:
                raise
            log.warning("%s: its runs may stay open: %s", job.job_id, error.detail)
            run = None
        self._runs_open_since.pop(job.job_id, None)
        if run is None:
            return {}
        return {"mlflow_experiment_id": run.experiment_id, "mlflow_run_id": run.run_id, "metrics": dict(run.metrics)}

    def _retry(self, lease: Lease, job: Job, action: Retry) -> None:
        self._close(job, lost=action.lost)
        self._ended_runs(job, status_of_runs(action.reason))
        losses = job.infrastructure_losses + (1 if action.lost else 0)
        self._move(
            lease,
            job,
            JobState.QUEUED,
            reason=action.reason,
            message=f"Attempt {job.attempt}: {action.message} Queued again.",
            attempt=job.attempt + 1,
            infrastructure_losses=losses,
            exit_code=action.exit_code,
            usage=action.usage,
        )

    def _finish(self, lease: Lease, job: Job, action: Finish) -> None:
        stopped_at = self._directory(job).stop_requested_at() if job.stop_reason is not None else None
        self._close(job, lost=action.lost)
        shown = self._ended_runs(job, status_of_runs(action.reason), stopped_at)
        self._move(
            lease,
            job,
            action.to,
            reason=action.reason,
            message=action.message,
            exit_code=action.exit_code,
            usage=action.usage,
            **shown,
        )

    def _close(self, job: Job, *, lost: bool = False) -> None:
        """See to it that nothing of the attempt runs, or ever will, before the store says that it is over.

        Whatever Ray still holds back, or a supervisor that lost its lease in the middle of things submits late, finds the stop
        file and starts nothing.

        Raises:
            EngineUnavailable: some of its processes do not end.
        """
        if job.submission_id is None:
            return
        self._directory(job).request_stop()
        if lost:
            end_orphans(job.submission_id)

    def _move(
        self, lease: Lease, job: Job, to: JobState, *, reason: Reason | None = None, message: str | None = None, **changes: Any
    ) -> Job:
        moved = self._store.jobs.move(lease, job, to, now=self._clock(), reason=reason, message=message, **changes)
        if to is not JobState.ENVIRONMENT:
            self._preparation.leave(job.job_id)
        log.info("%s: %s -> %s%s", job.job_id, job.state, to, f" ({reason})" if reason else "")
        return moved

    def _directory(self, job: Job) -> AttemptDirectory:
        return AttemptDirectory(self._settings.attempts_dir, job.submission_id or submission_id(job.job_id, job.attempt))
