"""The decisive cells of the fault table, small: ``tests/e2e/fault_table.py`` runs all of them."""

from __future__ import annotations

import pytest

from raylift.launcher import LocalPlatform
from tests.e2e.faults import Fault, Moment, Victim


@pytest.mark.parametrize(
    ("victim", "moment"),
    [
        # Nobody is left to say how the attempt ended, and its daemons live on.
        (Victim.WRAPPER, Moment.RUNNING),
        # MLflow comes back, and no version is made twice.
        (Victim.MLFLOW, Moment.REGISTERING),
        (Victim.SUPERVISOR, Moment.REGISTERING),
    ],
)
def test_nothing_is_lost_doubled_or_left(platform: LocalPlatform, victim: Victim, moment: Moment) -> None:
    fault = Fault(platform)
    try:
        outcome = fault.run(victim, moment, jobs=5)
    finally:
        fault.store.close()
    assert outcome.killed
    assert not outcome.faults
    assert (outcome.completed, outcome.doubled_runs, outcome.doubled_versions) == (5, 0, 0)
