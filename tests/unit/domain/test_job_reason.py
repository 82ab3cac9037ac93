from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from raylift.domain.job import Job, JobSpec, JobState, Reason

NOW = datetime(2026, 1, 2, tzinfo=UTC)
JOB = Job("job_A", JobSpec("0" * 64, "train.py", "exp"), JobState.QUEUED, created_at=NOW, entered_at=NOW)


@pytest.mark.parametrize(
    ("state", "reason", "shown"),
    [
        (JobState.QUEUED, None, Reason.WAITING_FOR_CAPACITY),
        (JobState.QUEUED, Reason.NODE_LOST, Reason.NODE_LOST),
        (JobState.SCRIPT, None, None),
        (JobState.FAILED, Reason.TIMEOUT, Reason.TIMEOUT),
    ],
)
def test_waiting_job_has_a_reason(state: JobState, reason: Reason | None, shown: Reason | None) -> None:
    assert replace(JOB, state=state, reason=reason).shown_reason is shown
