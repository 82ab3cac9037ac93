"""What is going on in Ray: read once a second at most, and shared by all jobs of a tick."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from raylift.domain.errors import EngineUnavailable
from raylift.domain.job import Job
from raylift.engines.attempt_directory import AttemptDirectory, Progress
from raylift.engines.leftovers import is_of_attempt
from raylift.engines.ray_jobs import RayJob, RayJobs
from raylift.settings import PlatformSettings
from raylift.supervisor.plan_jobs import AttemptSeen

log = logging.getLogger(__name__)

_HOST: Final = os.uname().nodename


@dataclass(slots=True)
class RaySnapshot:
    """All submissions Ray knows, by id. ``answers`` is False when it could not be asked."""

    jobs: Mapping[str, RayJob] = field(default_factory=dict)
    answers: bool = False


class RayView:
    """A snapshot of Ray's submissions, at most ``max_age_seconds`` old, renewed at once after something was changed."""

    def __init__(self, ray_jobs: RayJobs, monotonic: Callable[[], float], max_age_seconds: float = 1.0) -> None:
        self._ray_jobs = ray_jobs
        self._monotonic = monotonic
        self._max_age = max_age_seconds
        self._read_at = float("-inf")
        self._snapshot = RaySnapshot()

    def snapshot(self) -> RaySnapshot:
        if self._monotonic() - self._read_at >= self._max_age:
            self._read_at = self._monotonic()
            try:
                self._snapshot = RaySnapshot({job.submission_id: job for job in self._ray_jobs.list()}, answers=True)
            except EngineUnavailable as error:
                log.warning("%s", error)
                self._snapshot = RaySnapshot()
        return self._snapshot

    def expire(self) -> None:
        """Read again on the next look: a submission was made, stopped or deleted."""
        self._read_at = float("-inf")


def attempt_seen(job: Job, snapshot: RaySnapshot, settings: PlatformSettings) -> AttemptSeen:
    """What is seen of a job's present attempt."""
    if job.submission_id is None:
        return AttemptSeen(ray_answers=snapshot.answers)
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
        ray_answers=snapshot.answers,
        stop_sent_at=directory.stop_requested_at(),
        wrapper_lives=lives,
    )


def _progress(directory: AttemptDirectory) -> Progress | None:
    """What the wrapper said; a file that cannot be understood says nothing, and must not keep others from being watched."""
    try:
        return directory.progress()
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        log.warning("%s: progress.json cannot be understood: %s", directory.path.name, error)
        return None
