"""Ray's list of submissions, read at most once a second and shared by all jobs."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from raylift.domain.errors import EngineUnavailable
from raylift.domain.job import Job
from raylift.engines.attempts.directory import AttemptDirectory
from raylift.engines.attempts.mirror import contact_with
from raylift.engines.attempts.orphan_processes import is_of_attempt
from raylift.engines.attempts.progress import Progress
from raylift.engines.ray_engine.jobs import RayJob, RayJobs
from raylift.settings import PlatformSettings
from raylift.supervisor.jobs.plan import ObservedAttempt

log = logging.getLogger(__name__)

_HOST: Final = os.uname().nodename
_BUSY_SECONDS: Final = 1.0
_IDLE_SECONDS: Final = 3.0


@dataclass(frozen=True, slots=True)
class RaySnapshot:
    """All submissions of Ray by id. ``answers`` is False where Ray did not answer."""

    jobs: Mapping[str, RayJob] = field(default_factory=dict[str, RayJob])
    answers: bool = False
    outdated: Collection[str] = frozenset()
    """Ids of jobs that were acted on while it was taken, or since: it is not valid for them."""

    def speaks_of(self, job_id: str) -> bool:
        return self.answers and job_id not in self.outdated


class RayView:
    """Caches the snapshot: every reading costs Ray's dashboard work that grows with the list."""

    def __init__(
        self,
        ray_jobs: RayJobs,
        monotonic: Callable[[], float],
    ) -> None:
        self._ray_jobs = ray_jobs
        self._monotonic = monotonic
        self._read_at = float("-inf")
        self._snapshot = RaySnapshot()
        self._touched: set[str] = set()
        self._guard = threading.Lock()

    @property
    def last(self) -> RaySnapshot:
        """The last snapshot, of any age."""
        return self._snapshot

    def snapshot(self, *, has_jobs: bool) -> RaySnapshot:
        """Return a snapshot at most one second old; at most three while the store has no active job.

        Without such a job, it can only show submissions that were made directly to Ray.
        """
        if self._monotonic() - self._read_at >= (_BUSY_SECONDS if has_jobs else _IDLE_SECONDS):
            self._read()
        return self._snapshot

    def touch(self, job_id: str) -> None:
        """Mark the present snapshot as outdated for a job that was just acted on."""
        with self._guard:
            self._touched.add(job_id)

    def _read(self) -> None:
        self._read_at = self._monotonic()
        with self._guard:
            self._touched = set[str]()
            outdated = self._touched  # Shared: later touches reach the snapshot, too.
        try:
            jobs = {job.submission_id: job for job in self._ray_jobs.list()}
        except EngineUnavailable as error:
            log.warning("%s", error)
            self._snapshot = RaySnapshot()
        else:
            self._snapshot = RaySnapshot(jobs, answers=True, outdated=outdated)


def observe_attempt(job: Job, snapshot: RaySnapshot, settings: PlatformSettings) -> ObservedAttempt:
    """Observe the present attempt of a job."""
    if job.submission_id is None:
        return ObservedAttempt(ray_answers=snapshot.speaks_of(job.job_id))
    directory = AttemptDirectory(settings.attempts_dir, job.submission_id)
    progress, lives = _progress(directory), None
    contact = contact_with(directory.path)
    # Another node may have the same name.
    seen = progress if contact is None and progress is not None and progress.host == _HOST else None
    if seen is not None and seen.outcome is None and seen.wrapper_pid is not None:
        lives = is_of_attempt(seen.wrapper_pid, job.submission_id)
        if not lives:
            # The wrapper reports before it ends: this reading is final.
            progress = _progress(directory)
    return ObservedAttempt(
        progress=progress,
        ray=snapshot.jobs.get(job.submission_id),
        ray_answers=snapshot.speaks_of(job.job_id),
        stop_sent_at=directory.stop_requested_at(),
        wrapper_lives=lives,
        contact=contact,
    )


def _progress(directory: AttemptDirectory) -> Progress | None:
    """Read the wrapper's report; None where the file is invalid: other jobs must still be watched."""
    try:
        return directory.progress()
    except (ValueError, OSError) as error:
        log.warning("%s: progress.json cannot be read: %s", directory.path.name, error)
        return None
