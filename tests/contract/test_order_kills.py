"""Two supervisors in processes of their own, one of which is killed again and again while jobs follow each other."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from raylift.domain.job import JobState, JobStatus
from raylift.domain.job_data import DataInput
from raylift.store import Store
from tests.contract.samples import add

KILLS = 2
CHAIN = 3


def test_killed_supervisors_start_each_job_once(open_store: Callable[[], Store], database_url: str, tmp_path: Path) -> None:
    store, jobs, now = open_store(), list[str](), datetime.now(UTC)
    for number in range(CHAIN):
        before = tuple(jobs[-1:])
        data = tuple(DataInput("train", f"made-{number - 1}", 0, "", of_job=job_id) for job_id in before)
        jobs.append(add(store, now=now, after=before, data=data, output_dataset=f"made-{number}").job_id)
    arguments = [database_url, str(tmp_path / "keys"), str(tmp_path)]

    def begin() -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-m", "tests.contract.order_supervisor", *arguments])

    def completed() -> int:
        return store.jobs.count_by_status()[JobStatus.COMPLETED]

    running, deadline, killed_at = [begin(), begin()], time.monotonic() + 400, 0
    try:
        while completed() < CHAIN:
            assert time.monotonic() < deadline, "no job follows"
            if completed() > killed_at and killed_at < KILLS:
                killed_at = completed()
                # The first is the older one: mostly it holds the lease.
                running[0].kill()
                running[0].wait()
                running = [*running[1:], begin()]
            time.sleep(0.005)
    finally:
        for process in running:
            process.kill()
            process.wait()

    ended_at = None
    for number, job_id in enumerate(jobs):
        job, events = store.jobs.get(job_id), store.jobs.events(job_id)
        (started,) = (event for event in events if event.after is JobState.STARTING)
        assert ended_at is None or ended_at <= started.at
        ended_at = job.finished_at
        assert len(store.datasets.versions("default", f"made-{number}")) == 1
        assert [(each.version, each.of_job) for each in job.spec.data] == [(1, before) for before in jobs[:number][-1:]]
