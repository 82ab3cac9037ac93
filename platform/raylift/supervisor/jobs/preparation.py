"""Makes the environments that admitted jobs wait for, in the background: resolves, then builds."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from raylift.domain.job import Job
from raylift.engines.environments.inventory import make_room
from raylift.engines.environments.locking.cuda_note import cuda_note
from raylift.engines.environments.locking.lock_cache import lock_of
from raylift.engines.environments.overlays.build_record import write_record
from raylift.engines.environments.overlays.overlay import (
    download_cache,
    ensure_overlay,
    environment_hash,
    is_built,
    overlay_directory,
)
from raylift.engines.environments.shared_work import SharedWork
from raylift.engines.environments.uv.process import Cancelled
from raylift.settings import EnvironmentSettings

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Resolved:
    """The lock of a job, and a sentence for its user."""

    lock: tuple[str, ...]
    note: str | None = None


def known_lock(job: Job) -> tuple[str, ...] | None:
    """The lock of a job whose requirements need not be resolved any more, or that has none."""
    lock = job.spec.environment_lock if job.environment_lock is None else job.environment_lock
    return () if lock is None and not job.spec.requirements else lock


class Preparation:
    """Jobs come again until what they wait for is there; those that want the same share it.

    Args:
        root: the directory of all environments.
        settings: the platform's.
        has_gpus: whether a node of the cluster has one.
    """

    def __init__(self, root: Path, settings: EnvironmentSettings, has_gpus: Callable[[], bool]) -> None:
        self._root = root
        self._settings = settings
        self._has_gpus = has_gpus
        self._resolutions: SharedWork[Resolved] = SharedWork("resolve")
        self._builds: SharedWork[Path] = SharedWork("build")

    def resolve(self, job: Job) -> Resolved | None:
        """The job's lock; None while its requirements are being resolved.

        Raises:
            EnvironmentUnresolvable: no packages meet them, or the index cannot be asked.
        """
        known = known_lock(job)
        if known is not None:
            return Resolved(known)
        backend = self._settings.backend_of(job.spec.torch_backend)
        key = environment_hash([*job.spec.requirements, f"--torch-backend={backend}"])
        return self._resolutions.ask(
            job.job_id, key, lambda cancelled: self._resolved(job.spec.requirements, backend, cancelled)
        )

    def lacks(self, lock: tuple[str, ...]) -> bool:
        """True where the environment of ``lock`` is not there."""
        return bool(lock) and not is_built(overlay_directory(lock, self._root))

    def is_built(self, job: Job, lock: tuple[str, ...]) -> bool:
        """True once the job's environment is there; False while it is being built.

        Raises:
            EnvironmentBuildFailed: a package could not be fetched, built or installed.
        """
        return self._builds.ask(job.job_id, environment_hash(lock), lambda cancelled: self._build(lock, cancelled)) is not None

    def leave(self, job_id: str) -> None:
        """Stop what no other job waits for. Safe to repeat, and for jobs that wait for nothing."""
        self._resolutions.leave(job_id)
        self._builds.leave(job_id)

    def _resolved(self, requirements: tuple[str, ...], backend: str, cancelled: Cancelled) -> Resolved:
        lock = lock_of(requirements, self._root, torch_backend=backend, cancelled=cancelled)
        if not self.lacks(lock) or self._has_gpus():
            return Resolved(lock)
        note = cuda_note(lock, cache_dir=download_cache(self._root), torch_backend=backend, cancelled=cancelled)
        if note is not None:
            write_record(overlay_directory(lock, self._root), lock, note=note)
        return Resolved(lock, note)

    def _build(self, lock: tuple[str, ...], cancelled: Cancelled) -> Path:
        missing = self.lacks(lock)
        python = ensure_overlay(lock, self._root, expected=True, cancelled=cancelled)
        if missing:
            # The job need not wait until others are gone.
            threading.Thread(target=self._make_room, args=(environment_hash(lock),), name="make-room", daemon=True).start()
        return python

    def _make_room(self, keep: str) -> None:
        try:
            make_room(self._root, self._settings.max_bytes, keep=keep)
        except OSError:
            # The environment is there, and that is what was asked for. The next build tries again.
            log.exception("could not make room in %s", self._root)
