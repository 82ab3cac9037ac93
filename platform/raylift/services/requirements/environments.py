"""Environments on this machine: lists, prewarms and removes them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from raylift.domain.errors import Conflict, InvalidRequest
from raylift.domain.identifiers import DEFAULT_WORKSPACE
from raylift.engines.environments import OVERLAY, EnvironmentBuildFailed, EnvironmentInUse, EnvironmentNotFound
from raylift.engines.environments.inventory import Overlay, list_overlays, make_room, remove_overlay
from raylift.engines.environments.locking.cuda_note import missing_gpu_note
from raylift.engines.environments.locking.lock_cache import lock_of
from raylift.engines.environments.overlays.build_record import write_record
from raylift.engines.environments.overlays.overlay import (
    ensure_overlay,
    environment_hash,
    is_built,
    overlay_directory,
)
from raylift.services.cluster.capacity import Capacity
from raylift.services.requirements.environment_holders import holders_of
from raylift.services.requirements.lines import check_requirements
from raylift.settings import EnvironmentSettings
from raylift.store import Store

_LOG: Final = logging.getLogger(__name__)
_BUILDS_AT_A_TIME: Final = 2
_UNCLAIMED: Final = {DEFAULT_WORKSPACE}
_JOB: Final = "job_"
"""Prefix of a job id. The name of an environment is a hash."""


@dataclass(frozen=True, slots=True)
class Prewarmed:
    """Environment of requirements. ``overlay`` is None where the base environment meets them all."""

    overlay: Overlay | None
    building: bool


class EnvironmentService:
    """Manages the overlays below ``root``. Its methods read the disk and run uv: call them in a thread."""

    def __init__(self, store: Store, capacity: Capacity, root: Path, settings: EnvironmentSettings) -> None:
        self._store = store
        self._capacity = capacity
        self._root = root
        self._settings = settings
        self._slots = threading.BoundedSemaphore(_BUILDS_AT_A_TIME)
        self._lock = threading.Lock()
        self._building: set[str] = set()

    @property
    def max_bytes(self) -> int:
        return self._settings.max_bytes

    def list(self, workspace: str | None = None) -> list[Overlay]:
        """Return the environments of a workspace; None: all."""
        overlays = list_overlays(self._root)
        if workspace is None:
            return overlays
        owners = self._workspaces()
        return [overlay for overlay in overlays if workspace in owners.get(overlay.hash, _UNCLAIMED)]

    def get(self, name: str) -> Overlay | None:
        """Return the environment of a hash or of a job id; None for a job that needs only the base environment.

        Raises:
            JobNotFound: there is no such job.
            EnvironmentNotFound: there is none here, or the job has none yet.
        """
        if name.startswith(_JOB):
            return self._of_job(name)
        found = self._find(name)
        if found is None:
            raise _not_found(name)
        return found

    def require(self, name: str, workspace: str) -> None:
        """Raise EnvironmentNotFound for an environment that the workspace has no part in."""
        if workspace not in self._workspaces().get(name, _UNCLAIMED):
            raise _not_found(name)

    def users(self, name: str, workspace: str | None = None) -> Sequence[str]:
        """Return the jobs and deployments of a workspace that use an environment; None: all, and else other processes."""
        holders = holders_of(name, self._root, self._store)
        if workspace is None:
            return [*holders.jobs, *holders.deployments, *(f"process {each}" for each in holders.processes)]
        models = self._store.workspaces.of_models()
        jobs = [job for job in holders.jobs if self._store.workspaces.of_job(job) == workspace]
        deployments = [
            row for row in holders.deployments if models.get(row.partition(" version ")[0], DEFAULT_WORKSPACE) == workspace
        ]
        return [*jobs, *deployments]

    def prewarm(self, requirements: Sequence[str], torch_backend: str | None = None, *, workspace: str) -> Prewarmed:
        """Resolve requirements now, and build their environment in the background, for a workspace.

        Raises:
            InvalidRequest: a line is no requirement.
            EnvironmentUnresolvable: no packages meet the requirements.
            Conflict: this platform leaves environments to Ray.
        """
        if self._settings.mechanism != OVERLAY:
            raise Conflict(
                f"environments.mechanism is {self._settings.mechanism}: Ray builds environments itself, when a job starts."
            )
        lines, errors = check_requirements(requirements, self._settings.http_hosts)
        if errors:
            raise InvalidRequest.of(*errors)
        # Not from the cache: prewarming is for the newest packages.
        backend = self._settings.backend_of(torch_backend)
        lock = lock_of(lines, self._root, torch_backend=backend, refresh=True)
        if not lock:
            return Prewarmed(None, building=False)
        directory = overlay_directory(lock, self._root)
        self._store.workspaces.claim_environment(directory.name, workspace)
        if is_built(directory):
            ensure_overlay(lock, self._root)
            return Prewarmed(self._find(directory.name) or _unbuilt(lock), building=False)
        note = missing_gpu_note(lock, self._root, has_gpus=self._capacity.has_gpus, torch_backend=backend)
        self._build_in_background(lock, directory, note)
        return Prewarmed(self._find(directory.name) or _unbuilt(lock), building=True)

    def remove(self, name: str, workspace: str | None = None) -> None:
        """Remove an environment, and downloads that no other environment needs.

        Raises:
            EnvironmentNotFound: there is none.
            EnvironmentInUse: it is in use, reserved for a worker, or being built; the detail names the users. With
                ``workspace``: other workspaces need it too.
        """
        if workspace is not None and self._workspaces().get(name, _UNCLAIMED) != {workspace}:
            raise EnvironmentInUse(f"Other workspaces need the environment {name} too. An admin can remove it.")
        try:
            removed = remove_overlay(self._root, name, wait=False)
        except EnvironmentInUse:
            holders = holders_of(name, self._root, self._store)
            raise EnvironmentInUse(
                holders.sentence(name), jobs=holders.jobs, deployments=holders.deployments, processes=holders.processes
            ) from None
        if not removed:
            raise _not_found(name)

    def _workspaces(self) -> dict[str, set[str]]:
        """Return the workspaces that need each environment: those of its jobs, and of models that are served in it."""
        owners = self._store.workspaces.of_environments()
        models = self._store.workspaces.of_models()
        for row in self._store.deployments.list():
            if row.environment_lock:
                served = owners.setdefault(environment_hash(row.environment_lock), set())
                served.add(models.get(row.model_name, DEFAULT_WORKSPACE))
        return owners

    def _find(self, name: str) -> Overlay | None:
        return next((overlay for overlay in self.list() if overlay.hash == name), None)

    def _of_job(self, job_id: str) -> Overlay | None:
        job = self._store.jobs.get(job_id)
        if job.environment_lock is None:
            raise EnvironmentNotFound(f"Job {job_id} has no environment: its requirements have not been resolved.")
        if not job.environment_lock:
            return None
        return self._find(environment_hash(job.environment_lock)) or _unbuilt(job.environment_lock)

    def _build_in_background(self, lock: tuple[str, ...], directory: Path, note: str | None) -> None:
        with self._lock:
            if directory.name in self._building:
                return
            self._building.add(directory.name)
        # Before the answer, so that the next request sees it, also at another replica of the gateway.
        write_record(directory, lock, note=note)
        threading.Thread(target=self._build, args=(lock, directory.name), name=f"build-{directory.name}", daemon=True).start()

    def _build(self, lock: tuple[str, ...], name: str) -> None:
        try:
            with self._slots:
                ensure_overlay(lock, self._root)
                make_room(self._root, self._settings.max_bytes, keep=name)
        except EnvironmentBuildFailed as error:
            _LOG.warning("%s", error.detail)
        except OSError:
            _LOG.exception("could not build the environment %s", name)
        finally:
            with self._lock:
                self._building.discard(name)


def _unbuilt(lock: Sequence[str]) -> Overlay:
    return Overlay(environment_hash(lock), tuple(lock), datetime.now(UTC), built=False)


def _not_found(name: str) -> EnvironmentNotFound:
    return EnvironmentNotFound(f"There is no environment {name} on this machine.")
