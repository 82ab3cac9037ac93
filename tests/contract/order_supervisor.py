"""A process that holds the supervisor's lease when it can, lets jobs start that come after others, and completes them.

Arguments: the database's URL, the file of its keys, and the state directory.
"""

from __future__ import annotations

import os
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from raylift.domain.errors import EngineUnavailable, StaleJob, StaleLease
from raylift.domain.job import JobState
from raylift.domain.lease import SUPERVISOR, Lease
from raylift.engines.attempts.directory import AttemptDirectory
from raylift.settings import PlatformSettings
from raylift.store import KeyRing, Store
from raylift.supervisor.order.release import JobReleases
from raylift.supervisor.order.results import JobResults

_LEASE_SECONDS: Final = 0.5


def now() -> datetime:
    return datetime.now(UTC)


class Steps:
    """The steps of jobs, in the order of the supervisor's own. Each may be the last before a kill."""

    def __init__(self, store: Store, settings: PlatformSettings) -> None:
        self._store = store
        self._settings = settings
        self._releases = JobReleases(store, settings, now)
        self._results = JobResults(store, settings)

    def attend(self, lease: Lease) -> None:
        for job in self._store.order.due():
            self._releases.attend(lease, job.job_id)
        for head in self._store.jobs.queue_heads(10):
            job = self._store.jobs.get(head.job_id)
            self._store.jobs.move(lease, job, JobState.STARTING, now=now(), submission_id=f"{job.job_id}-a1")
        for job in self._store.jobs.in_states([JobState.STARTING]):
            folder = AttemptDirectory(self._settings.attempts_dir, job.submission_id or "").result()
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "made.csv").write_text(f"of\n{job.job_id}\n")
            self._store.jobs.move(lease, job, JobState.SCRIPT, now=now(), started_at=now())
        for job in self._store.jobs.in_states([JobState.SCRIPT]):
            self._store.jobs.move(lease, job, JobState.REGISTRATION, now=now())
        for job in self._store.jobs.in_states([JobState.REGISTRATION]):
            output = self._results.keep(job, AttemptDirectory(self._settings.attempts_dir, job.submission_id or ""))
            self._store.jobs.move(lease, job, JobState.COMPLETED, now=now(), output=output)


def main(url: str, keys: str, state_dir: str) -> None:
    nowhere = "http://127.0.0.1:1"
    engines = {"mlflow_url": nowhere, "ray_dashboard_url": nowhere, "gateway_url": nowhere}
    settings = PlatformSettings.model_validate({"state_dir": state_dir, "database_url": url, **engines})
    store = Store.open(url, KeyRing(Path(keys)))
    steps = Steps(store, settings)
    while True:
        lease = store.leases.acquire(SUPERVISOR, str(os.getpid()), now=now(), seconds=_LEASE_SECONDS)
        until = now() + timedelta(seconds=_LEASE_SECONDS / 2)
        try:
            while lease is not None and now() < until:
                steps.attend(lease)
        except (StaleLease, StaleJob, EngineUnavailable):
            pass
        time.sleep(0.02)


if __name__ == "__main__":
    main(*sys.argv[1:])
