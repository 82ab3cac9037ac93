"""A schedule on a real platform: a run now, and a moment that is due, each with its job."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from raylift import Client
from raylift.api.jobs.schedules import ScheduleRunView
from raylift.launcher import LocalPlatform
from raylift.store import Store

SCRIPT = "import os\nprint('told', os.environ['WHO'])\n"


def test_schedule_runs_now_and_when_it_is_due(platform: LocalPlatform, client: Client) -> None:
    name = f"every-minute-{uuid.uuid4().hex[:6]}"
    view = client.schedules.create(
        name, script_content=SCRIPT, cron="* * * * *", timezone="Europe/Berlin", paused=True, overlap="queue",
        env={"WHO": "you"}, autolog=False, cpus=0.5, memory="512MiB",
    )  # fmt: skip
    first = client.schedules.run(name)
    assert first.summary.schedule == name
    first.wait(120)
    _let_a_moment_be_due(platform, view.schedule_id)
    run = _awaited(
        lambda: next(iter(client.schedules.runs(name, limit=1))), lambda run: not run.manual and run.job_id is not None
    )
    assert run.outcome == "submitted"
    # Its minute may be over before the job has ended.
    client.schedules.pause(name)
    second = client.jobs.get(run.job_id or "")
    second.wait(120)
    assert "told you" in second.logs()
    assert {job.job_id for job in client.jobs.list(schedule=name)} >= {first.job_id, second.job_id}
    client.schedules.delete(name)
    assert second.refresh().summary.schedule == name


def _let_a_moment_be_due(platform: LocalPlatform, schedule_id: str) -> None:
    """Resume the schedule as if its last moment were more than a minute ago."""
    store = Store.open(f"sqlite:///{platform.record.state_dir / 'raylift.db'}")
    try:
        schedule, ago = store.schedules.get(schedule_id), datetime.now(UTC) - timedelta(seconds=61)
        due = replace(schedule, considered_until=ago, wakes_at=datetime.now(UTC), paused_at=None)
        store.schedules.update(due, drops_waiting=False)
    finally:
        store.close()


def _awaited(
    read: Callable[[], ScheduleRunView], is_there: Callable[[ScheduleRunView], bool], seconds: float = 60
) -> ScheduleRunView:
    deadline = time.monotonic() + seconds
    while not is_there(found := read()):
        assert time.monotonic() < deadline, found
        time.sleep(0.1)
    return found
