from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from raylift.domain.job import Reason
from raylift.domain.models.version import TrackedRun
from raylift.supervisor.jobs.end_runs import end_runs, status_of_runs

NOW = datetime(2026, 1, 2, tzinfo=UTC)
STOPPED_AT = NOW + timedelta(minutes=1)


class Tracking:
    def __init__(self) -> None:
        self.ended: list[tuple[str, str]] = []

    def end_run(self, run_id: str, status: str) -> None:
        self.ended.append((run_id, status))


RUNS = [
    TrackedRun("own, over", "1", NOW, status="FINISHED", ended_at=NOW),
    TrackedRun("own, open", "1", NOW, status="RUNNING"),
    TrackedRun("job's", "1", NOW, status="FINISHED", ended_at=NOW, outside=()),
    TrackedRun("ended by the stop", "1", NOW, status="FAILED", ended_at=STOPPED_AT + timedelta(seconds=1)),
]


@pytest.mark.parametrize(
    ("status", "stopped_at", "ended"),
    [
        ("FINISHED", None, ["own, open"]),
        ("FAILED", None, ["own, open", "job's"]),
        ("KILLED", STOPPED_AT, ["own, open", "job's", "ended by the stop"]),
    ],
)
def test_open_runs_end_with_the_status_of_the_job(status: str, stopped_at: datetime | None, ended: list[str]) -> None:
    tracking: Any = Tracking()
    end_runs(tracking, RUNS, status, stopped_at=stopped_at)
    assert tracking.ended == [(name, status) for name in ended]


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        (Reason.CANCELLED_BY_USER, "KILLED"),
        (Reason.TIMEOUT, "KILLED"),
        (Reason.OUT_OF_MEMORY, "KILLED"),
        (Reason.SCRIPT_ERROR, "FAILED"),
        (Reason.NODE_LOST, "FAILED"),
    ],
)
def test_runs_of_a_stopped_script_are_killed(reason: Reason, status: str) -> None:
    assert status_of_runs(reason) == status
