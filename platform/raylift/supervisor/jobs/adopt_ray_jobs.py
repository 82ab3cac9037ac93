"""Adopts jobs that were submitted directly to Ray, and deletes Ray's records of ended jobs."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import Final

from job_entrypoints.contract import adopted_job_id
from raylift.domain.job import Isolation, Job, JobSpec, Origin, Resources
from raylift.engines.attempts.directory import AttemptDirectory
from raylift.engines.ray_engine.jobs import RAY_JOB_ENDED, RayJob, RayJobs
from raylift.services.models.lineage import find_job
from raylift.settings import PlatformSettings
from raylift.store import Store
from raylift.supervisor.jobs.ray_snapshot import RaySnapshot

log = logging.getLogger(__name__)

_RAY_NOTICES: Final = timedelta(seconds=10)
"""Time in which Ray notices the end of a wrapper."""
_MANY_RECORDS: Final = 50
"""Number of ended submissions above which Ray's records are deleted also while jobs start: its list is slow then."""


class Adoption:
    """Handles every submission that belongs to no active job in the store, once."""

    def __init__(self, settings: PlatformSettings, store: Store, ray_jobs: RayJobs, clock: Callable[[], datetime]) -> None:
        self._settings = settings
        self._store = store
        self._ray_jobs = ray_jobs
        self._clock = clock
        self._settled: set[str] = set()
        """Submissions that are done with, so that a long list costs nothing."""
        self._stopped: set[str] = set()
        """Submissions whose stop was requested. Ray cannot stop a pending one; it finds the stop file when it starts."""
        self._to_forget: set[str] = set()
        """Ended submissions that the store has recorded."""

    def scan(self, snapshot: RaySnapshot, active: Collection[str]) -> None:
        """Adopt, stop or mark for deletion the submissions that are not ``active`` (submission ids). Once a snapshot."""
        self._settled &= snapshot.jobs.keys()
        self._stopped &= snapshot.jobs.keys()
        self._to_forget &= snapshot.jobs.keys()
        known = {*active, *self._settled, *self._to_forget}
        for submission_id, ray_job in snapshot.jobs.items():
            if submission_id not in known:
                self._handle(ray_job)

    def has_much_to_forget(self, *, others_start: bool) -> bool:
        """Return True when Ray's records should be deleted. While ``others_start``, only many of them are worth Ray's work."""
        return len(self._to_forget) >= (_MANY_RECORDS if others_start else 1)

    def forget(self) -> None:
        """Delete Ray's records of recorded submissions: Ray never does, and its list gets slower with every entry.

        Raises:
            EngineUnavailable: Ray does not answer; the others are deleted next time.
        """
        for submission_id in sorted(self._to_forget):
            self._ray_jobs.delete(submission_id)
            self._to_forget.discard(submission_id)

    def _handle(self, ray_job: RayJob) -> None:
        job_id = ray_job.metadata.get("raylift.job_id")
        if job_id is None:
            self._adopt(ray_job)
            return
        job = find_job(self._store, job_id)
        if job is not None and not job.is_final and job.submission_id == ray_job.submission_id:
            return
        if ray_job.status in RAY_JOB_ENDED:
            self._to_forget.add(ray_job.submission_id)
        elif ray_job.submission_id not in self._stopped and not self._has_just_ended(job):
            AttemptDirectory(self._settings.attempts_dir, ray_job.submission_id).request_stop()
            self._ray_jobs.stop(ray_job.submission_id)
            self._stopped.add(ray_job.submission_id)

    def _has_just_ended(self, job: Job | None) -> bool:
        """Return True while Ray may not have noticed yet that the wrapper has ended."""
        return job is not None and job.finished_at is not None and self._clock() - job.finished_at < _RAY_NOTICES

    def _adopt(self, ray_job: RayJob) -> None:
        try:
            self._adopt_if_ours(ray_job)
        except (ValueError, KeyError, TypeError, OSError):
            # One invalid record must not block the others.
            log.exception("cannot adopt Ray's submission %s", ray_job.submission_id)
            self._settled.add(ray_job.submission_id)

    def _adopt_if_ours(self, ray_job: RayJob) -> None:
        directory = AttemptDirectory(self._settings.attempts_dir, ray_job.submission_id)
        fields = directory.record_from_ray()
        if fields is None:
            if ray_job.status in RAY_JOB_ENDED:
                self._settled.add(ray_job.submission_id)  # Not a job of this platform.
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
            isolation=Isolation.CLUSTER,
        )
        job: Job | None = self._store.jobs.adopt(
            spec, script, job_id=adopted_job_id(ray_job.submission_id), submission_id=ray_job.submission_id, now=self._clock()
        )
        # Not earlier: the job must not be lost while the store does not answer.
        self._settled.add(ray_job.submission_id)
        if job is not None:
            log.info("adopted Ray's submission %s as %s", ray_job.submission_id, job.job_id)
