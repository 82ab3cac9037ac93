"""Two supervisors in processes of their own, one of which is killed again and again while schedules are due every moment."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

from raylift.domain.identifiers import new_schedule_id
from raylift.domain.schedules.schedule import Overlap, RunOutcome, Schedule, TemplateKind, Timetable
from raylift.store import JobFilter, Store
from tests.contract.samples import SCRIPT, spec_of

KILLS = 3
NAMES = ("a", "b", "c")
MINUTE = timedelta(minutes=1)


def schedule_of(name: str, now: datetime) -> Schedule:
    # Each moment makes a job: the one before is cancelled.
    table = Timetable("* * * * *", overlap=Overlap.CANCEL_PREVIOUS)
    return Schedule(
        new_schedule_id(), name, "default", "anna", TemplateKind.TRAIN, table, spec_of(), now, now, "anna",
        considered_until=now, wakes_at=now,
    )  # fmt: skip


def test_killed_supervisors_fire_each_moment_once(open_store: Callable[[], Store], database_url: str, tmp_path: Path) -> None:
    store = open_store()
    began = datetime.now(UTC).replace(microsecond=0)
    for name in NAMES:
        store.schedules.add(schedule_of(name, began), SCRIPT)
    arguments = [database_url, str(tmp_path / "keys"), str(tmp_path), began.isoformat()]

    def begin() -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-m", "tests.contract.schedule_supervisor", *arguments])

    running = [begin(), begin()]
    try:
        for _ in range(KILLS):
            fired = len(store.jobs.list(JobFilter(), limit=500).jobs)
            deadline = time.monotonic() + 120
            while len(store.jobs.list(JobFilter(), limit=500).jobs) < fired + 5:
                assert time.monotonic() < deadline, "nothing fires"
                time.sleep(0.03)
            # The first is the older one: mostly it holds the lease.
            running[0].kill()
            running[0].wait()
            running = [*running[1:], begin()]
    finally:
        for process in running:
            process.kill()
            process.wait()

    jobs = store.jobs.list(JobFilter(), limit=500).jobs
    parts = [job.spec.schedule for job in jobs if job.spec.schedule is not None]
    moments = Counter((part.name, part.due_at) for part in parts)
    assert len(jobs) == len(parts) >= KILLS * 5
    assert set(moments.values()) == {1}
    for name in NAMES:
        schedule = store.schedules.find("default", name)
        runs = store.schedules.runs(schedule.schedule_id, limit=500).runs
        by_job = {run.job_id: run.due_at for run in runs if run.outcome is RunOutcome.SUBMITTED}
        assert by_job == {job.job_id: part.due_at for job, part in zip(jobs, parts, strict=True) if part.name == name}
        # What came while no supervisor ran is missed, and all after it fired: no moment is without a word.
        assert {run.outcome for run in runs} <= {RunOutcome.SUBMITTED, RunOutcome.MISSED}
        told = sorted(run.due_at for run in runs)
        gaps = [later for earlier, later in pairwise(told) if later - earlier > MINUTE]
        missed = {run.due_at for run in runs if run.outcome is RunOutcome.MISSED}
        assert all(any(start < gap for start in missed) for gap in gaps)
