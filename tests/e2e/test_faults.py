"""The most important cells of the fault table, on a small scale. ``tests/e2e/fault_table.py`` runs all of them."""

from __future__ import annotations

import pytest

from raylift.launcher import LocalPlatform
from tests.e2e.faults import Fault, Moment, Victim


@pytest.mark.parametrize(
    ("victim", "moment"),
    [
        # No process is left that could report the end of the attempt, and its daemons live on.
        # In CI, tests of the wrapper kill it in each of its phases.
        pytest.param(Victim.WRAPPER, Moment.RUNNING, marks=pytest.mark.nightly),
        # MLflow restarts, and no version is registered twice.
        pytest.param(Victim.MLFLOW, Moment.REGISTERING, marks=pytest.mark.nightly),
        # Ray restarts none. The gateway does, and `raylift up` waits for it.
        (Victim.SUPERVISOR_FOR_GOOD, Moment.REGISTERING),
        pytest.param(Victim.SUPERVISOR, Moment.REGISTERING, marks=pytest.mark.nightly),
    ],
)
def test_killed_process_loses_doubles_and_leaves_nothing(platform: LocalPlatform, victim: Victim, moment: Moment) -> None:
    fault = Fault(platform)
    try:
        outcome = fault.run(victim, moment, jobs=5)
    finally:
        fault.store.close()
    assert outcome.killed
    assert not outcome.faults
    assert (outcome.completed, outcome.doubled_runs, outcome.doubled_versions) == (5, 0, 0)
