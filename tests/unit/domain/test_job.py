from __future__ import annotations

import pickle

import pytest

from raylift.domain.errors import FieldError, InvalidRequest, StaleJob
from raylift.domain.job import (
    ACTIVE_STATES,
    FINAL_STATES,
    JOB_MOVES,
    STATUS_OF,
    JobSpec,
    JobState,
    JobStatus,
)

S = JobState


def test_every_state_has_its_moves_and_its_status() -> None:
    assert JOB_MOVES.keys() == set(JobState)
    assert STATUS_OF.keys() == set(JobState)
    assert set(STATUS_OF.values()) == set(JobStatus)


def test_moves_lead_to_other_known_states() -> None:
    for state, moves in JOB_MOVES.items():
        assert moves <= set(JobState)
        assert state not in moves


def test_every_state_is_reachable_from_queued() -> None:
    reached = {S.QUEUED}
    while True:
        further = reached.union(*(JOB_MOVES[state] for state in reached))
        if further == reached:
            break
        reached = further
    assert reached == set(JobState)


def test_final_states_have_final_statuses() -> None:
    assert {S.COMPLETED, S.FAILED, S.CANCELLED} == FINAL_STATES
    assert {STATUS_OF[state] for state in FINAL_STATES} == {JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED}
    assert FINAL_STATES | ACTIVE_STATES | {S.QUEUED} == set(JobState)


def test_open_states_can_fail_or_be_cancelled_until_registration() -> None:
    for state in set(JobState) - FINAL_STATES:
        assert S.FAILED in JOB_MOVES[state]
        assert (S.CANCELLED in JOB_MOVES[state]) == (state is not S.REGISTRATION)


def test_spec_does_not_print_environment_values() -> None:
    spec = JobSpec("0" * 64, "train.py", "churn", environment={"TOKEN": "s3cret"})
    assert "s3cret" not in repr(spec)


@pytest.mark.parametrize(
    "error",
    [StaleJob("moved on", job_id="job_1", state=S.FAILED), InvalidRequest("bad", [FieldError("cursor", "no", line=1)], more=1)],
    ids=lambda error: type(error).__name__,
)
def test_errors_are_pickled_whole(error: InvalidRequest | StaleJob) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert (str(copy), copy.facts) == (str(error), error.facts)
