"""Forgets what is old: records of finished jobs, what their attempts left on disk, keys and packages past their time.

Each piece may be repeated, and none takes the database for longer than one job's removal. MLflow's runs and models, the
registry's versions and their deployments are never touched.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Final

from job_entrypoints.contract import adopted_job_id
from raylift.domain.errors import JobNotFinished, JobNotFound
from raylift.engines.attempts.directory import AttemptDirectory, attempts_on_disk
from raylift.settings import PlatformSettings
from raylift.store import Store
from raylift.supervisor.housekeeping.metrics_retention import ObservationUpkeep

log = logging.getLogger(__name__)

_JOBS_AT_ONCE: Final = 500
"""Records removed in one look; the next look goes on."""
_NAMES_AT_ONCE: Final = 200
_ORPHAN_AGE: Final = timedelta(days=1)
"""A directory that no job accounts for may belong to one that is about to be adopted."""
_ATTEMPT: Final = re.compile(r"(.+)-a[1-9][0-9]*")


class Retention:
    """One look removes a bounded number of records, and whatever is due on disk."""

    def __init__(self, settings: PlatformSettings, store: Store, clock: Callable[[], datetime]) -> None:
        self._settings = settings.retention
        self._attempts_dir = settings.attempts_dir
        self._store = store
        self._clock = clock
        self._observations = ObservationUpkeep(settings, store)

    def look(self) -> None:
        now = self._clock()
        jobs = sum(self._forget(job_id) for job_id in self._due(now))
        if jobs:
            self._store.sweeps.forget_empty()
        directories = sum(self._clear(name, ends, now) for name, ends in self._attempts())
        while self._store.history.forget_keys(now):
            pass
        while self._store.ray_packages.forget_expired(now):
            pass
        self._observations.look(now)
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
            return False  # Somebody else was first.
        # Afterwards: files without a record are found again below, a record without files would promise a log.
        for submission_id in submissions:
            AttemptDirectory(self._attempts_dir, submission_id).remove()
        return True

    def _attempts(self) -> Iterator[tuple[str, Mapping[str, datetime | None]]]:
        """Each directory of an attempt, with the ends of the jobs that it may be of; none there are for an orphan."""
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
            log.warning("removing %s: no job accounts for it", name)
            directory.remove()
            return True
        (end, *_) = ends.values()
        if end is None:
            return False
        if _is_past(end, self._settings.logs_days, now):
            directory.remove()
            return True
        return _is_past(end, self._settings.scratch_days, now) and directory.remove_working_files()


def _possible_jobs(name: str) -> list[str]:
    """The jobs that a directory may belong to: by the platform's own name, else by that of a submission made by hand."""
    match = _ATTEMPT.fullmatch(name)
    return [match[1], adopted_job_id(name)] if match else [adopted_job_id(name)]


def _is_past(end: datetime, days: float | None, now: datetime) -> bool:
    return days is not None and now - end > timedelta(days=days)
