"""Resolves requirements and builds environments in the background, for admitted jobs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from raylift.domain.job import Job
from raylift.engines.environments import OVERLAY
from raylift.engines.environments.inventory import make_room_after_build
from raylift.engines.environments.locking.cuda_note import missing_gpu_note
from raylift.engines.environments.locking.lock_cache import lock_of
from raylift.engines.environments.overlays.build_record import write_record
from raylift.engines.environments.overlays.overlay import (
    ensure_overlay,
    environment_hash,
    is_built,
    overlay_directory,
)
from raylift.engines.environments.shared_work import SharedWork
from raylift.engines.environments.uv.process import Cancelled
from raylift.settings import EnvironmentSettings
from raylift.supervisor.jobs.plan_start import ObservedEnvironment

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Resolved:
    """Lock of a job, and a sentence for its user."""

    lock: tuple[str, ...]
    note: str | None = None


def known_lock(job: Job) -> tuple[str, ...] | None:
    """Return the lock of a job whose requirements are resolved, or that has none; else None."""
    lock = job.spec.environment_lock if job.environment_lock is None else job.environment_lock
    return () if lock is None and not job.spec.requirements else lock


class Preparation:
    """Background work that jobs poll. Jobs that need the same environment share it.

    Args:
        root: the directory of all environments.
        settings: settings of environments.
        has_gpus: returns True where a node of the cluster has a GPU.
    """

    def __init__(self, root: Path, settings: EnvironmentSettings, has_gpus: Callable[[], bool]) -> None:
        self._root = root
        self._settings = settings
        self._has_gpus = has_gpus
        self._resolutions: SharedWork[Resolved] = SharedWork("resolve")
        self._builds: SharedWork[Path] = SharedWork("build")

    def observe(self, job: Job, *, mechanism: str) -> ObservedEnvironment:
        """Observe the environment of a job. With another mechanism than overlays, Ray builds it later."""
        lock = known_lock(job)
        return ObservedEnvironment(lock, is_ready=lock is not None and (mechanism != OVERLAY or not self._lacks(lock)))

    def resolve(self, job: Job) -> Resolved | None:
        """Return the lock of a job; None while its requirements are being resolved.

        Raises:
            EnvironmentUnresolvable: no packages meet them, or the index does not answer.
        """
        known = known_lock(job)
        if known is not None:
            return Resolved(known)
        backend = self._settings.backend_of(job.spec.torch_backend)
        key = environment_hash([*job.spec.requirements, f"--torch-backend={backend}"])
        return self._resolutions.ask(
            job.job_id, key, lambda cancelled: self._resolved(job.spec.requirements, backend, cancelled)
        )

    def build(self, job: Job, lock: tuple[str, ...]) -> bool:
        """Build the environment in the background. Returns True once it is there.

        Raises:
            EnvironmentBuildFailed: a package could not be downloaded, built or installed.
        """
        return self._builds.ask(job.job_id, environment_hash(lock), lambda cancelled: self._build(lock, cancelled)) is not None

    def leave(self, job_id: str) -> None:
        """Stop the work that only this job waits for. Idempotent."""
        self._resolutions.leave(job_id)
        self._builds.leave(job_id)

    def _lacks(self, lock: tuple[str, ...]) -> bool:
        return bool(lock) and not is_built(overlay_directory(lock, self._root))

    def _resolved(self, requirements: tuple[str, ...], backend: str, cancelled: Cancelled) -> Resolved:
        lock = lock_of(requirements, self._root, torch_backend=backend, cancelled=cancelled)
        note = missing_gpu_note(lock, self._root, has_gpus=self._has_gpus, torch_backend=backend, cancelled=cancelled)
        if note is not None:
            write_record(overlay_directory(lock, self._root), lock, note=note)
        return Resolved(lock, note)

    def _build(self, lock: tuple[str, ...], cancelled: Cancelled) -> Path:
        missing = self._lacks(lock)
        python = ensure_overlay(lock, self._root, expected=True, cancelled=cancelled)
        if missing:
            # In a thread of its own: the job need not wait for it.
            room = (self._root, self._settings.max_bytes, lock, log)
            threading.Thread(target=make_room_after_build, args=room, name="make-room", daemon=True).start()
        return python
