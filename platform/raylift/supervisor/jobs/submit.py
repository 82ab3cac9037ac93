"""Submits one attempt to Ray: its directory, its environment and its request."""

from __future__ import annotations

import json
from typing import Any, Final

from job_entrypoints.contract import (
    GATEWAY_VARIABLE,
    GROUP_AMOUNTS_VARIABLE,
    GROUP_VARIABLE,
    JOB_ID_VARIABLE,
    STORAGE_VARIABLE,
    SUBMISSION_ID_VARIABLE,
    WORKER_CPUS_VARIABLE,
    WORKER_GPUS_VARIABLE,
    WORKER_SETUP_HOOK,
    WORKERS_VARIABLE,
    wrapper_command,
)
from raylift.domain.batches.order import BatchOrder
from raylift.domain.identifiers import MLFLOW_PARENT_RUN, TAG_SWEEP_ID, TAG_SWEEP_PARAMETER, submission_id
from raylift.domain.job import Job, Reason
from raylift.domain.models.deployment import DeploymentStatus
from raylift.domain.nodes.labels import CONTROL
from raylift.engines.attempts.directory import AttemptDirectory, is_sandboxed
from raylift.engines.attempts.storage import storage_dir
from raylift.engines.batches.directory import BatchDirectory
from raylift.engines.environments import OVERLAY, RAY_UV, runtime_env_for
from raylift.engines.mlflow_engine.credentials import job_variables
from raylift.engines.ray_engine.groups import Group
from raylift.engines.ray_engine.jobs import RayJobs, SubmissionRefused
from raylift.services.datasets.job_data import JobData
from raylift.settings import PlatformSettings
from raylift.store import Store
from raylift.supervisor.jobs.placement import Placement

_RAY_STOP_MARGIN_SECONDS: Final = 5.0
"""Delay of Ray's SIGKILL after the wrapper's own, so that the wrapper can still report."""


_CREDENTIAL_MARGIN_SECONDS: Final = 60.0


class JobSubmitter:
    """Prepares attempts and submits them to Ray."""

    def __init__(self, settings: PlatformSettings, store: Store, ray_jobs: RayJobs, placement: Placement) -> None:
        self._settings = settings
        self._store = store
        self._ray_jobs = ray_jobs
        self._placement = placement
        self._data = JobData(store, settings)

    def submit(self, job: Job, group: Group | None = None) -> bool:
        """Submit the present attempt. Returns False, without asking Ray, where the job was cancelled meanwhile.

        ``group`` is its placement group, if its script may use Ray.

        Raises:
            SubmissionRefused: Ray does not take the submission.
            SecretNotFound, SecretUnreadable: the values of a secret or of a variable cannot be had.
            DeploymentNotFound: the version of a batch was deleted.
            DatasetNotFound: a version of its data was deleted.
            EngineUnavailable: Ray does not answer.
        """
        directory = self.directory(job)
        mechanism = self.mechanism(job)
        directory.prepare(
            job,
            self._store.jobs.script(job.spec.script_sha256),
            mlflow_url=self._settings.mlflow_url,
            settings=self._settings.jobs,
            project=self._store.jobs.project(job.spec.project_sha256) if job.spec.project_sha256 else None,
            run_tags=self._sweep_tags(job),
            in_overlay=mechanism == OVERLAY,
            platform=self._settings,
            variables={**self._mlflow_credential(job), **(self._gang_variables(job, group) if group else {})},
            data=self._data.for_attempt(job),
            secrets=self._store.secrets.values(job.spec.workspace, job.spec.secrets).variables,
            batch=self._batch_order(job),
        )
        runtime_env = self._runtime_env(job, directory.path.name, mechanism, group)
        # The last check: the job was read before its requirements were resolved, which may take minutes.
        if self._store.jobs.get(job.job_id).cancel_requested_at is not None:
            return False
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
            on_node=None if group is None or group.place is None else group.place.script,
            # A batch needs its directory, which is on the platform's machine.
            node_labels=CONTROL if job.spec.batch is not None and self._settings.cluster is not None else {},
        )
        return True

    def _batch_order(self, job: Job) -> BatchOrder | None:
        """Return the order of a batch; None for other jobs.

        Raises:
            DeploymentNotFound: its version was deleted.
            SubmissionRefused: ``reports.refuse_models`` refused its version meanwhile.
        """
        spec, settings = job.spec.batch, self._settings
        if spec is None:
            return None
        row = self._store.deployments.get(spec.model_name, spec.version)
        if settings.reports.refuse_models is not None and row.status is DeploymentStatus.UNHEALTHY:
            why = row.message or "Ray Serve does not say why."
            raise SubmissionRefused(f"{spec.model_name} version {spec.version} may not be loaded: {why}")
        BatchDirectory(settings.batches_dir, job.job_id).make()  # That of a schedule or a rerun is not there yet.
        folders = settings.jobs
        return BatchOrder(
            job_id=job.job_id,
            spec=spec,
            directory=str(settings.batches_dir / job.job_id),
            model_uri=row.model_uri,
            mlflow_url=settings.mlflow_url,
            files=row.files,
            readable=tuple(str(path) for path in (*folders.readable_paths, *folders.writable_paths)),
            writable=tuple(str(path) for path in folders.writable_paths),
            processes=max(1, int(job.spec.resources.cpus)),
        )

    def _mlflow_credential(self, job: Job) -> dict[str, str]:
        # From now on: it may wait for Ray, run to its deadline, and log its model while it stops.
        jobs = self._settings.jobs
        seconds = jobs.start_timeout_seconds + job.spec.timeout_seconds + jobs.stop_grace_seconds + _CREDENTIAL_MARGIN_SECONDS
        return job_variables(self._settings.mlflow_secret, job.job_id, job.spec.workspace, seconds=seconds)

    def mechanism(self, job: Job) -> str:
        """Return the mechanism of the job's environment: Ray's own once an attempt came to a node without the plugin."""
        if job.attempt > 1 and any(it.reason is Reason.ENVIRONMENT_ERROR for it in self._store.jobs.attempts(job.job_id)):
            return RAY_UV
        return self._settings.environments.mechanism

    def directory(self, job: Job) -> AttemptDirectory:
        """Return the directory of the present attempt."""
        return AttemptDirectory(self._settings.attempts_dir, job.submission_id or submission_id(job.job_id, job.attempt))

    def _gang_variables(self, job: Job, group: Group) -> dict[str, str]:
        """Return what a script and its Ray workers need to know: their group, and a folder that survives a retry.

        Ray's supervisor of the job must not have them: its processes have limits of their own.
        """
        variables, its = _group_variables(job, group), job.spec.resources.workers
        root = self._settings.jobs.storage or str(storage_dir(self._settings))
        variables[STORAGE_VARIABLE] = f"{root.rstrip('/')}/{job.job_id}"
        if its is not None:
            variables |= {
                WORKERS_VARIABLE: str(its.count),
                WORKER_CPUS_VARIABLE: f"{its.cpus:g}",
                WORKER_GPUS_VARIABLE: f"{its.gpus:g}",
            }
        return variables

    def _runtime_env(self, job: Job, attempt: str, mechanism: str, group: Group | None) -> dict[str, Any]:
        grace = self._settings.jobs.stop_grace_seconds + _RAY_STOP_MARGIN_SECONDS
        return {
            "env_vars": {
                JOB_ID_VARIABLE: job.job_id,
                # Unique to the attempt: Ray remembers a failed environment by its exact content.
                SUBMISSION_ID_VARIABLE: attempt,
                GATEWAY_VARIABLE: self._settings.nodes_gateway_url or self._settings.gateway_url,
                "RAY_JOB_STOP_WAIT_TIME_S": f"{grace:.0f}",
            },
            **({"worker_process_setup_hook": WORKER_SETUP_HOOK} if group else {}),
            **runtime_env_for(
                job.environment_lock or (),
                self._settings.environments_dir,
                mechanism=mechanism,
                max_bytes=self._settings.environments.max_bytes,
                starts_workers=not is_sandboxed(job.spec, self._settings.jobs),
            ),
        }

    def _sweep_tags(self, job: Job) -> dict[str, str]:
        """Return tags that make MLflow nest the job's runs below the run of its sweep."""
        if job.spec.sweep is None:
            return {}
        sweep_id, parameters = job.spec.sweep.sweep_id, job.spec.sweep.parameters
        tags = {TAG_SWEEP_ID: sweep_id, **{f"{TAG_SWEEP_PARAMETER}{name}": value for name, value in parameters.items()}}
        parent = self._store.sweeps.get(sweep_id).parent_run_id
        return tags if parent is None else {**tags, MLFLOW_PARENT_RUN: parent}


def _group_variables(job: Job, group: Group) -> dict[str, str]:
    """Return the group of the script's tasks and actors, and what they may have in it together and each."""
    wanted, its = job.spec.resources, job.spec.resources.workers
    amounts = {
        "cpus": wanted.whole.cpus,
        "part_cpus": max(wanted.cpus, 0.0 if its is None else its.cpus),
        "gpus": 0.0 if its is None else its.count * its.gpus,
        "memory_bytes": max(wanted.memory_bytes, 0 if its is None else its.memory_bytes),
    }
    return {GROUP_VARIABLE: group.group_id, GROUP_AMOUNTS_VARIABLE: json.dumps(amounts)}
