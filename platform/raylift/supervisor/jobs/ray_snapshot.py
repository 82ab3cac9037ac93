"""What is going on in Ray: read once a second at most, and shared by all jobs."""

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
from raylift.engines.attempts.orphan_processes import is_of_attempt
from raylift.engines.attempts.progress import Progress
from raylift.engines.ray.jobs import RayJob, RayJobs
from raylift.settings import PlatformSettings
from raylift.supervisor.jobs.plan import AttemptSeen

log = logging.getLogger(__name__)

_HOST: Final = os.uname().nodename


@dataclass(frozen=True, slots=True)
class RaySnapshot:
    """All submissions Ray knows, by id. ``answers`` is False when it could not be asked."""

    jobs: Mapping[str, RayJob] = field(default_factory=dict[str, RayJob])
    answers: bool = False
    outdated: Collection[str] = frozenset()
    """Jobs (by id) with which something was done while it was taken, or since: it says nothing of them."""

    def speaks_of(self, job_id: str) -> bool:
        return self.answers and job_id not in self.outdated


class RayView:
    """A snapshot of Ray's submissions. Every look costs Ray's dashboard some work, the more the longer the list is."""

    def __init__(
        self,
        ray_jobs: RayJobs,
        monotonic: Callable[[], float],
        *,
        seconds_at_work: float = 1.0,
        seconds_idle: float = 3.0,
    ) -> None:
        self._ray_jobs = ray_jobs
        self._monotonic = monotonic
        self._seconds_at_work = seconds_at_work
        self._seconds_idle = seconds_idle
        self._read_at = float("-inf")
        self._snapshot = RaySnapshot()
        self._touched: set[str] = set()
        self._guard = threading.Lock()

    @property
    def last(self) -> RaySnapshot:
        """The last look, however old."""
        return self._snapshot

    def snapshot(self, *, at_work: bool) -> RaySnapshot:
        """What Ray knew at most a second ago; while no job of ours is ``at_work``, at most three.

        Without any of ours, only what is handed straight to Ray is to be found.
        """
        pause = self._seconds_at_work if at_work else self._seconds_idle
        if self._monotonic() - self._read_at >= pause:
            self._read()
        return self._snapshot

    def touch(self, job_id: str) -> None:
        """Something was just done with the job: what was seen of it before counts no more."""
        with self._guard:
            self._touched.add(job_id)

    def _read(self) -> None:
        self._read_at = self._monotonic()
        with self._guard:
            self._touched = set[str]()
            outdated = self._touched  # Shared on purpose: it grows with every touch from here on.
        try:
            jobs = {job.submission_id: job for job in self._ray_jobs.list()}
        except EngineUnavailable as error:
            log.warning("%s", error)
            self._snapshot = RaySnapshot()
        else:
            self._snapshot = RaySnapshot(jobs, answers=True, outdated=outdated)


def attempt_seen(job: Job, snapshot: RaySnapshot, settings: PlatformSettings) -> AttemptSeen:
    """What is seen of a job's present attempt."""
    if job.submission_id is None:
        return AttemptSeen(ray_answers=snapshot.speaks_of(job.job_id))
    directory = AttemptDirectory(settings.attempts_dir, job.submission_id)
    progress, lives = _progress(directory), None
    if progress is not None and progress.outcome is None and progress.wrapper_pid is not None and progress.host == _HOST:
        lives = is_of_attempt(progress.wrapper_pid, job.submission_id)
        if not lives:
            # It writes its last word before it ends: what is read now is all that it will ever say.
            progress = _progress(directory)
    return AttemptSeen(
        progress=progress,
        ray=snapshot.jobs.get(job.submission_id),
        ray_answers=snapshot.speaks_of(job.job_id),
        stop_sent_at=directory.stop_requested_at(),
        wrapper_lives=lives,
    )


def _progress(directory: AttemptDirectory) -> Progress | None:
    """What the wrapper said; a file that cannot be understood says nothing, and must not keep others from being watched."""
    try:
        return directory.progress()
    except (ValueError, OSError) as error:
        log.warning("%s: progress.json cannot be understood: %s", directory.path.name, error)
        return None
