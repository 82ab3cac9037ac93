"""Removes old records of finished jobs, files of their attempts, and expired keys and packages.

Each step may be repeated, and none holds the database for longer than the removal of one job. MLflow's runs and models,
registered versions and their deployments stay.
"""

from __future__ import annotations

import logging
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Final

from job_entrypoints.contract import adopted_job_id
from raylift.domain.errors import JobNotFinished, JobNotFound
from raylift.domain.models.series import MINUTE, MINUTES_KEPT, TEN_MINUTES
from raylift.engines.attempts.directory import AttemptDirectory, attempts_on_disk
from raylift.engines.attempts.storage import storage_dir
from raylift.engines.batches.directory import BatchDirectory, batches_on_disk
from raylift.engines.metrics.counter_files import merge_dead, remove_totals
from raylift.engines.metrics.payload_files import remove_payloads
from raylift.engines.metrics.sketch_settings import sketches_directory
from raylift.settings import PlatformSettings
from raylift.store import Store
from raylift.supervisor.housekeeping.dataset_files import DatasetFiles

log = logging.getLogger(__name__)

_JOBS_AT_ONCE: Final = 500
"""Records that one run removes; the next run goes on."""
_NAMES_AT_ONCE: Final = 200
_ORPHAN_AGE: Final = timedelta(days=1)
"""Age of a directory without a job at which it is removed: a young one may belong to a job that is about to be adopted."""
_COUNTS_AGE: Final = timedelta(days=1)
"""Age at which counts of a version without deployment are removed: it may be about to be registered again."""
_ATTEMPT: Final = re.compile(r"(.+)-a[1-9][0-9]*")


class Retention:
    """Removes a bounded number of records in one run, and all files that are due."""

    def __init__(self, settings: PlatformSettings, store: Store, clock: Callable[[], datetime]) -> None:
        self._platform_settings = settings
        self._settings = settings.retention
        self._attempts_dir = settings.attempts_dir
        self._store = store
        self._clock = clock
        self._data = DatasetFiles(settings, store)

    def remove_expired(self) -> None:
        """Remove once, a bounded number of records."""
        now = self._clock()
        jobs = sum(self._forget(job_id) for job_id in self._due(now))
        if jobs:
            self._store.sweeps.forget_empty()
        self._clear_batches(now)
        directories = sum(self._clear(name, ends, now) for name, ends in self._attempts())
        while self._store.history.forget_keys(now):
            pass
        while self._store.ray_packages.forget_expired(now):
            pass
        if (days := self._settings.audit_days) is not None:
            forget_acts(self._store, now - timedelta(days=days))
        if (days := self._settings.schedule_runs_days) is not None:
            self._store.schedules.forget_runs_before(now - timedelta(days=days))
        if (days := self._settings.webhook_deliveries_days) is not None:
            while self._store.webhooks.forget_before(now - timedelta(days=days)):
                pass
        remove_storage(self._platform_settings, self._store)
        self._data.remove_unused()
        remove_old_metrics(self._platform_settings, self._store, now)
        remove_old_series(self._platform_settings, self._store, now)
        if jobs or directories:
            log.info("removed %d finished jobs, and files of %d attempts", jobs, directories)

    def _due(self, now: datetime) -> Sequence[str]:
        due: list[str] = []
        if (days := self._settings.finished_jobs_days) is not None:
            due = self._store.history.finished_before(now - timedelta(days=days), limit=_JOBS_AT_ONCE)
        if (most := self._settings.max_finished_jobs) is not None and not due:
            due = self._store.history.beyond(most, limit=_JOBS_AT_ONCE)
        return due

    def _forget(self, job_id: str) -> bool:
        submissions = [attempt.submission_id for attempt in self._store.jobs.attempts(job_id)]
        try:
            self._store.jobs.delete(job_id)
        except (JobNotFound, JobNotFinished):
            return False  # A client was first.
        # Afterwards: files without a record are found below, but a record without files would promise a log.
        for submission_id in submissions:
            AttemptDirectory(self._attempts_dir, submission_id).remove()
        BatchDirectory(self._platform_settings.batches_dir, job_id).remove()
        return True

    def _clear_batches(self, now: datetime) -> None:
        """Remove directories of batches that ended long ago, and of those without a job."""
        root, days = self._platform_settings.batches_dir, self._settings.batch_files_days
        names = iter(batches_on_disk(root))
        while part := list(islice(names, _NAMES_AT_ONCE)):
            ends = self._store.history.ends_of(set(part))
            for job_id in part:
                directory, end = BatchDirectory(root, job_id), ends.get(job_id)
                is_orphan = job_id not in ends and directory.age_seconds() > _ORPHAN_AGE.total_seconds()
                if is_orphan or (end is not None and _is_past(end, days, now)):
                    directory.remove()

    def _attempts(self) -> Iterator[tuple[str, Mapping[str, datetime | None]]]:
        """Yield each directory of an attempt with the ends of the jobs that it may belong to; none for an orphan."""
        found = attempts_on_disk(self._attempts_dir)
        while names := list(islice(found, _NAMES_AT_ONCE)):
            candidates = {name: _possible_jobs(name) for name in names}
            ends = self._store.history.ends_of({job_id for ids in candidates.values() for job_id in ids})
            for name, ids in candidates.items():
                yield name, {job_id: ends[job_id] for job_id in ids if job_id in ends}

    def _clear(self, name: str, ends: Mapping[str, datetime | None], now: datetime) -> bool:
        directory = AttemptDirectory(self._attempts_dir, name)
        if not ends:
            if time.time() - directory.changed_at() < _ORPHAN_AGE.total_seconds():
                return False
            log.warning("removing %s: it belongs to no job", name)
            directory.remove()
            return True
        (end, *_) = ends.values()
        if end is None:
            return False
        if _is_past(end, self._settings.logs_days, now):
            directory.remove()
            return True
        return _is_past(end, self._settings.scratch_days, now) and directory.remove_working_files()


def remove_storage(settings: PlatformSettings, store: Store) -> None:
    """Remove the folders for Ray Train whose jobs are gone. Those in ``jobs.storage`` are their owner's."""
    if not storage_dir(settings).is_dir():
        return
    names = iter(sorted(path.name for path in storage_dir(settings).iterdir()))
    while portion := list(islice(names, _NAMES_AT_ONCE)):
        for name in set(portion) - store.history.ends_of(portion).keys():
            shutil.rmtree(storage_dir(settings) / name, ignore_errors=True)


def forget_acts(store: Store, before: datetime) -> None:
    """Remove old entries of the audit, and rollouts that ended as long ago. May be repeated, and interrupted anywhere."""
    while store.audit.forget_before(before):
        pass
    while store.rollouts.forget_before(before):
        pass


def remove_old_metrics(settings: PlatformSettings, store: Store, now: datetime) -> None:
    """Remove counts of versions without deployment, old payloads and feedback. May be repeated, and interrupted anywhere."""
    retention = settings.retention
    versions = [(row.model_name, row.version) for row in store.deployments.list()]
    for directory in (settings.counters_dir, sketches_directory(settings.state_dir)):
        merge_dead(directory)
        remove_totals(directory, versions, unchanged_since=now - _COUNTS_AGE)
    before = None if retention.payload_days is None else now - timedelta(days=retention.payload_days)
    removed = remove_payloads(settings.payloads_dir, before=before, max_bytes=retention.payload_max_bytes)
    if removed:
        log.info("removed %d files of payloads", removed)
    if retention.feedback_days is not None:
        while store.feedback.forget_before(now - timedelta(days=retention.feedback_days)):
            pass


def remove_old_series(settings: PlatformSettings, store: Store, now: datetime) -> None:
    """Remove old intervals of versions' time series, and old windows and alerts of their monitors. May be repeated."""
    days = settings.retention.series_days
    ages = {MINUTE: MINUTES_KEPT, TEN_MINUTES: None if days is None else timedelta(days=days)}
    for step_seconds, age in ages.items():
        while age is not None and store.series.forget_before(now - age, step_seconds=step_seconds):
            pass
    while days is not None and store.monitors.forget_before(now - timedelta(days=days)):
        pass


def _possible_jobs(name: str) -> list[str]:
    """Return the ids of the jobs that a directory may belong to, the platform's own or an adopted one."""
    match = _ATTEMPT.fullmatch(name)
    return [match[1], adopted_job_id(name)] if match else [adopted_job_id(name)]


def _is_past(end: datetime, days: float | None, now: datetime) -> bool:
    return days is not None and now - end > timedelta(days=days)
