"""Jobs that were handed straight to Ray: taken into the store, and Ray's records of finished jobs: cleared away."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import Final

from job_entrypoints.contract import adopted_job_id
from raylift.domain.errors import JobNotFound
from raylift.domain.job import Job, JobSpec, Origin, Resources
from raylift.engines.attempts.directory import AttemptDirectory
from raylift.engines.ray.jobs import RAY_JOB_ENDED, RayJob, RayJobs
from raylift.settings import PlatformSettings
from raylift.store import Store
from raylift.supervisor.jobs.ray_snapshot import RaySnapshot

log = logging.getLogger(__name__)

_RAY_NOTICES: Final = timedelta(seconds=10)
"""What Ray may take to see that the wrapper of a job that has ended is gone."""
_MANY_RECORDS: Final = 50
"""Records of ended submissions that make Ray's list slow enough to clear them away while jobs start."""


class Adoption:
    """Looks at every submission that no active job of the store accounts for, once."""

    def __init__(self, settings: PlatformSettings, store: Store, ray_jobs: RayJobs, clock: Callable[[], datetime]) -> None:
        self._settings = settings
        self._store = store
        self._ray_jobs = ray_jobs
        self._clock = clock
        self._settled: set[str] = set()
        """Submissions that need no further look, so that a long list costs nothing."""
        self._told: set[str] = set()
        """Submissions that were told to stop. Those that Ray still holds back cannot be stopped, and start nothing later."""
        self._to_forget: set[str] = set()
        """Ended submissions of which the store has everything."""

    def look(self, snapshot: RaySnapshot, active: Collection[str]) -> None:
        """Adopt, stop or find to be forgotten what is not in ``active`` (submission ids). Once for each snapshot."""
        self._settled &= snapshot.jobs.keys()
        self._told &= snapshot.jobs.keys()
        self._to_forget &= snapshot.jobs.keys()
        looked_at = {*active, *self._settled, *self._to_forget}
        for submission_id, ray_job in snapshot.jobs.items():
            if submission_id not in looked_at:
                self._look_at(ray_job)

    def has_much_to_forget(self, *, others_start: bool) -> bool:
        """Whether it is time to clear Ray's records away: each costs Ray some work, which waits while ``others_start``."""
        return len(self._to_forget) >= (_MANY_RECORDS if others_start else 1)

    def forget(self) -> None:
        """Delete Ray's records of what is over and recorded: Ray never does, and its list gets slower with every entry.

        Raises:
            EngineUnavailable: Ray does not answer; the next look finds what is left.
        """
        for submission_id in sorted(self._to_forget):
            self._ray_jobs.delete(submission_id)
            self._to_forget.discard(submission_id)

    def _look_at(self, ray_job: RayJob) -> None:
        job_id = ray_job.metadata.get("raylift.job_id")
        if job_id is None:
            self._adopt(ray_job)
            return
        try:
            job = self._store.jobs.get(job_id)
        except JobNotFound:
            job = None
        if job is not None and not job.is_final and job.submission_id == ray_job.submission_id:
            return
        if ray_job.status in RAY_JOB_ENDED:
            self._to_forget.add(ray_job.submission_id)
        elif ray_job.submission_id not in self._told and not self._has_just_ended(job):
            AttemptDirectory(self._settings.attempts_dir, ray_job.submission_id).request_stop()
            self._ray_jobs.stop(ray_job.submission_id)
            self._told.add(ray_job.submission_id)

    def _has_just_ended(self, job: Job | None) -> bool:
        """Its wrapper has said so and is about to end by itself; Ray notices a moment later."""
        return job is not None and job.finished_at is not None and self._clock() - job.finished_at < _RAY_NOTICES

    def _adopt(self, ray_job: RayJob) -> None:
        try:
            self._adopt_if_ours(ray_job)
        except (ValueError, KeyError, TypeError, OSError):
            # One record that cannot be understood must not keep the others from being looked at, now and each time.
            log.exception("cannot adopt Ray's submission %s", ray_job.submission_id)
            self._settled.add(ray_job.submission_id)

    def _adopt_if_ours(self, ray_job: RayJob) -> None:
        directory = AttemptDirectory(self._settings.attempts_dir, ray_job.submission_id)
        fields = directory.record_from_ray()
        if fields is None:
            if ray_job.status in RAY_JOB_ENDED:
                self._settled.add(ray_job.submission_id)  # Somebody else's job: none of ours.
            return
        script = directory.source(fields["script"], self._settings.jobs.max_script_bytes)
        if script is None:
            raise ValueError("its script is gone")
        spec = JobSpec(
            script_sha256=hashlib.sha256(script).hexdigest(),
            script_name=fields["script"],
            experiment_name=fields["experiment_name"],
            model_name=fields["model_name"],
            args=tuple(fields["args"]),
            environment=fields["environment"],
            resources=Resources(fields["cpus"], fields["memory_bytes"], fields["gpus"]),
            timeout_seconds=0,
            autolog=fields["autolog"],
            deploy=fields.get("deploy", True),
            tags=fields["tags"],
            origin=Origin.RAY,
        )
        job: Job | None = self._store.jobs.adopt(
            spec, script, job_id=adopted_job_id(ray_job.submission_id), submission_id=ray_job.submission_id, now=self._clock()
        )
        # Not before: a store that is away for a moment must not lose the job.
        self._settled.add(ray_job.submission_id)
        if job is not None:
            log.info("adopted Ray's submission %s as %s", ray_job.submission_id, job.job_id)
