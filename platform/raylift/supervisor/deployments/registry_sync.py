"""Deploys versions that were registered without a job, through MLflow's UI or client."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Final

from packaging.requirements import InvalidRequirement, Requirement

from job_entrypoints.contract import TAG_JOB_ID
from raylift.domain.errors import ModelTaken
from raylift.domain.identifiers import unservable_name
from raylift.domain.job import Job
from raylift.domain.lease import Lease
from raylift.domain.models.deployment import DeploymentStatus
from raylift.domain.models.version import ModelVersion
from raylift.engines.environments import EnvironmentUnresolvable
from raylift.engines.environments.locking.lock_cache import lock_of
from raylift.engines.mlflow_engine.registry import Registry
from raylift.engines.mlflow_engine.tracking import Tracking
from raylift.services.models.lineage import find_job
from raylift.services.requirements.lines import check_requirements
from raylift.settings import PlatformSettings
from raylift.store import Store
from raylift.supervisor.deployments.succession import config_for, watched_like_champion

log = logging.getLogger(__name__)

_RECENT: Final = 20
"""Most recently changed versions that one sync reads first; more if it knows none of them."""
_MOST: Final = 10_000
"""Versions that MLflow lists at once."""

_MODELS_A_SYNC: Final = 4
"""Models whose deployments one sync compares with the registry, in turn: one request to MLflow each."""

_TAKEN: Final = "Another workspace has a model of this name, so this one has no endpoint. Register it by another name."
_PLATFORMS_OWN: Final = frozenset({"mlflow", "mlflow-skinny", "ray"})
"""Packages of every replica. Pins of a model must not replace the platform's."""


class RegistrySync:
    """Compares MLflow's registry with the deployments."""

    def __init__(
        self, settings: PlatformSettings, store: Store, registry: Registry, tracking: Tracking, clock: Callable[[], datetime]
    ) -> None:
        self._settings = settings
        self._store = store
        self._registry = registry
        self._tracking = tracking
        self._clock = clock
        self._known: set[tuple[str, str, str]] = set()
        """Workspace, name and version."""
        self._next_name = ""

    def sync(self, lease: Lease) -> None:
        """Add deployments for recent versions without one, and remove the deployments of deleted versions.

        Raises:
            EngineUnavailable: MLflow does not answer.
        """
        self._withdraw_deleted()
        for workspace in self._store.workspaces.names():
            for version in self._newest(workspace):
                key = (workspace, version.name, version.version)
                if key in self._known or version.status != "READY":
                    continue
                job = self._job_of(version, workspace)
                if job is not None and not job.is_final:
                    continue  # The end of the job decides about its versions.
                if self._is_taken(version, workspace):
                    self._registry.tag_taken(version, workspace, _TAKEN)
                else:
                    self._deploy(lease, version, job, workspace)
                self._known.add(key)

    def _newest(self, workspace: str) -> list[ModelVersion]:
        """Return the newest versions, back to one that is known: more after a start or many registrations."""

        def are_new(versions: list[ModelVersion]) -> bool:
            return not any((workspace, found.name, found.version) in self._known for found in versions)

        limit = _RECENT
        versions = self._registry.newest_versions(limit, workspace)
        while len(versions) == limit < _MOST and are_new(versions):
            limit = min(limit * 5, _MOST)
            versions = self._registry.newest_versions(limit, workspace)
        return versions

    def _is_taken(self, version: ModelVersion, workspace: str) -> bool:
        """Give the model to the workspace. Returns True where another one has a model of that name."""
        try:
            self._store.workspaces.claim_model(version.name, workspace)
        except ModelTaken as error:
            log.warning("%s version %s of workspace %s is not deployed: %s", version.name, version.version, workspace, error)
            return True
        return False

    def _withdraw_deleted(self) -> None:
        """Delete deployments whose version is no longer registered. The next plan takes their applications down."""
        rows = self._store.deployments.list()
        names = sorted({row.model_name for row in rows})
        # A few models each time, in turn, so that a sync stays short.
        turn = ([name for name in names if name >= self._next_name] or names)[:_MODELS_A_SYNC]
        self._next_name = f"{turn[-1]}\0" if turn else ""
        for name in turn:
            there = {version.version for version in self._registry.versions(name)}
            for row in rows:
                if row.model_name == name and row.version not in there:
                    self._store.deployments.delete(name, row.version)
                    self._known.discard((self._store.workspaces.of_model(name), name, row.version))
                    log.info("%s version %s is no longer registered; its deployment was deleted", name, row.version)

    def _job_of(self, version: ModelVersion, workspace: str) -> Job | None:
        """Return the job whose script registered the version, if there is one. Tags may name jobs of other workspaces."""
        job_id = version.tags.get(TAG_JOB_ID)
        if job_id is None and version.run_id:
            job_id = self._tracking.of(workspace).job_of_run(version.run_id)
        job = find_job(self._store, job_id)
        return job if job is not None and job.spec.workspace == workspace else None

    def _deploy(self, lease: Lease, version: ModelVersion, job: Job | None, workspace: str) -> None:
        if any(row.version == version.version for row in self._store.deployments.list(version.name)):
            return
        lock: tuple[str, ...] = ()
        problem = unservable_name(version.name)
        try:
            lock = self._lock(version, workspace) if job is None else job.environment_lock or ()
        except EnvironmentUnresolvable as error:
            problem = problem or error.detail
        config, now = self._settings.serving.default_deployment(), self._clock()
        config = config if job is None else config_for(job, version, self._store, config)
        row = self._store.deployments.ensure(
            version.name,
            version.version,
            model_uri=version.uri,
            config=watched_like_champion(version, self._store, config, now=now),
            now=now,
            wanted=job is None or job.spec.deploy,
            job_id=job.job_id if job else None,
            environment_lock=lock,
        )
        if problem is not None:
            self._store.deployments.observe(
                lease,
                row,
                now=self._clock(),
                status=DeploymentStatus.UNHEALTHY,
                message=problem,
                applied_generation=row.generation,
            )
        log.info("deploying %s version %s, which its job's script or another client registered", version.name, version.version)

    def _lock(self, version: ModelVersion, workspace: str) -> tuple[str, ...]:
        wanted = [line for line in self._tracking.of(workspace).requirements_of(version) if _is_the_models_own(line)]
        _, errors = check_requirements(wanted, self._settings.environments.http_hosts)
        if errors:
            raise EnvironmentUnresolvable(f"The model's requirements.txt: {errors[0].detail}")
        return lock_of(wanted, self._settings.environments_dir, torch_backend=self._settings.environments.torch_backend)


def _is_the_models_own(line: str) -> bool:
    try:
        return Requirement(line).name.lower() not in _PLATFORMS_OWN
    except InvalidRequirement:
        return False  # Options, comments and blank lines.
