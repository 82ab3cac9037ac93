"""Gates after training: what the supervisor does with a registered version, also when it is killed in between."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from raylift.domain.job import Job
from raylift.domain.lease import Lease
from raylift.domain.models.deployment import DeploymentConfig, DeploymentStatus
from raylift.domain.rollouts.gate import First, Gate, GateOutcome, Promotion
from raylift.domain.rollouts.moves import roll_back
from raylift.domain.rollouts.rollout import RolloutPlan, Step, StepKind
from raylift.domain.traffic import Route, Target, TrafficTable
from raylift.services.rollouts.rollouts import RolloutService
from raylift.services.traffic.tables import TrafficService
from raylift.store import Store
from raylift.supervisor.rollouts.gates import GateExecutor
from tests.contract.file_registry import FileRegistry
from tests.contract.samples import NOW, add, finish, start

BETTER = "auc > champion.auc"
PLAN = RolloutPlan((Step(StepKind.WEIGHT, 5), Step(StepKind.WEIGHT, 100)), alias="champion")


@pytest.fixture
def registry(tmp_path: Path) -> FileRegistry:
    """A registry whose versions have the metric ``auc``: a tenth of their numbers."""
    return FileRegistry(tmp_path / "aliases.json")


@pytest.fixture
def attend(store: Store, lease: Lease, registry: FileRegistry) -> Callable[[], None]:
    def attend() -> None:
        found = cast("Any", registry)
        traffic = TrafficService(store, found)
        rollouts = RolloutService(store, found, traffic)
        GateExecutor(store, found, traffic, rollouts, lambda: datetime.now(UTC)).attend(lease)

    return attend


def deploy(store: Store, lease: Lease, version: str, status: DeploymentStatus = DeploymentStatus.READY) -> None:
    config = DeploymentConfig(take_traffic=version == "3")
    row = store.deployments.ensure("churn", version, model_uri=f"models:/churn/{version}", config=config, now=NOW)
    ready_at = NOW if status is DeploymentStatus.READY else None
    assert store.deployments.observe(
        lease, row, now=NOW, status=status, applied_generation=1, ready_at=ready_at, message="no torch"
    )


def trained(store: Store, lease: Lease, version: str, gate: Gate) -> Job:
    """Return a job that has registered a version."""
    job = add(store, promote=gate, model_name="churn", owner="anna")
    job = start(store, lease, job)
    for state in ("script", "registration", "completed"):
        job = store.jobs.move(lease, job, cast("Any", type(job.state)(state)), now=NOW, **_facts(state, version))
    return job


def _facts(state: str, version: str) -> dict[str, Any]:
    return {"model_version": version} if state == "completed" else {"started_at": NOW} if state == "script" else {}


def outcome(store: Store, job: Job) -> Promotion:
    found = store.gates.get(job.job_id)
    assert found is not None
    return found


def test_better_version_gets_the_alias_and_the_traffic(
    store: Store, lease: Lease, registry: FileRegistry, attend: Callable[[], None]
) -> None:
    registry.set_alias("churn", "champion", "3")
    deploy(store, lease, "3")
    deploy(store, lease, "4")
    job = trained(store, lease, "4", Gate("champion", BETTER))
    attend()
    decided = outcome(store, job)
    assert (decided.outcome, decided.champion, decided.version) == (GateOutcome.PROMOTED, "3", "4")
    assert decided.values == {"auc": 0.4, "champion.auc": 0.3}
    assert registry.aliases() == {"champion": "4"}
    record = store.traffic.get("churn")
    assert record is not None
    assert record.table == TrafficTable((Route(Target(alias="champion"), 1.0),))
    # The first move of the alias was made in the registry itself.
    assert [change.who for change in store.traffic.history("churn", limit=9)] == ["anna", "anna", "mlflow"]


def test_worse_version_is_kept(store: Store, lease: Lease, registry: FileRegistry, attend: Callable[[], None]) -> None:
    registry.set_alias("churn", "champion", "9")
    deploy(store, lease, "4")
    job = trained(store, lease, "4", Gate("champion", BETTER))
    attend()
    assert (outcome(store, job).outcome, registry.aliases()) == (GateOutcome.KEPT, {"champion": "9"})
    assert store.traffic.get("churn") is None


def test_gate_waits_for_its_version(store: Store, lease: Lease, attend: Callable[[], None]) -> None:
    deploy(store, lease, "4", DeploymentStatus.STARTING)
    job = trained(store, lease, "4", Gate("champion"))
    attend()
    assert outcome(store, job).outcome is GateOutcome.PENDING
    deploy(store, lease, "4", DeploymentStatus.UNHEALTHY)
    attend()
    assert outcome(store, job).message == "Version 4 does not load: no torch."


def test_first_version(store: Store, lease: Lease, registry: FileRegistry, attend: Callable[[], None]) -> None:
    deploy(store, lease, "4")
    kept = trained(store, lease, "4", Gate("champion", BETTER, First.KEEP))
    attend()
    promoted = trained(store, lease, "4", Gate("champion", BETTER, rollout=PLAN))
    attend()
    assert outcome(store, kept).outcome is GateOutcome.KEPT
    # No other version answers: there is nothing to roll out from.
    assert (outcome(store, promoted).outcome, outcome(store, promoted).rollout_id) == (GateOutcome.PROMOTED, None)
    assert registry.aliases() == {"champion": "4"}


@pytest.mark.parametrize("killed", [False, True])
def test_rollout_begins_once(
    store: Store, lease: Lease, registry: FileRegistry, attend: Callable[[], None], killed: bool
) -> None:
    registry.set_alias("churn", "champion", "3")
    deploy(store, lease, "3")
    deploy(store, lease, "4")
    job = trained(store, lease, "4", Gate("champion", BETTER, rollout=PLAN))
    decide = store.gates.decide
    if killed:

        def dies(*_: Any) -> bool:
            raise SystemExit

        store.gates.decide = dies  # type: ignore[method-assign]
        with suppress(SystemExit):
            attend()
        store.gates.decide = decide  # type: ignore[method-assign]
    attend()
    (rollout,) = store.rollouts.list(limit=9).rollouts
    assert (rollout.champion, rollout.candidate, rollout.plan.alias) == ("3", "4", "champion")
    assert (rollout.job_id, rollout.created_by) == (job.job_id, "anna")
    assert (outcome(store, job).outcome, outcome(store, job).rollout_id) == (GateOutcome.PROMOTED, rollout.rollout_id)
    assert registry.aliases() == {"champion": "3"}
    another = trained(store, lease, "4", Gate("champion", BETTER, rollout=PLAN))
    attend()
    assert outcome(store, another).outcome is GateOutcome.KEPT
    assert "has a rollout that has not ended" in outcome(store, another).message


def test_job_without_a_version_is_kept(store: Store, lease: Lease, attend: Callable[[], None]) -> None:
    job = finish(store, lease, add(store, promote=Gate("champion"), model_name="churn"))
    attend()
    assert (outcome(store, job).outcome, outcome(store, job).message) == (GateOutcome.KEPT, "The job registered no version.")


def test_version_that_is_not_deployed_gets_the_alias_alone(
    store: Store, lease: Lease, registry: FileRegistry, attend: Callable[[], None]
) -> None:
    config = DeploymentConfig()
    store.deployments.ensure("churn", "4", model_uri="models:/churn/4", config=config, now=NOW, wanted=False)
    job = trained(store, lease, "4", Gate("champion"))
    attend()
    assert (outcome(store, job).outcome, registry.aliases()) == (GateOutcome.PROMOTED, {"champion": "4"})
    record = store.traffic.get("churn")
    assert record is not None
    assert record.table is None


def test_traffic_that_a_user_makes_at_the_same_time_stays(
    store: Store, lease: Lease, registry: FileRegistry, attend: Callable[[], None]
) -> None:
    deploy(store, lease, "4")
    job = trained(store, lease, "4", Gate("champion"))
    mine = TrafficTable((Route(Target(version="4"), 1.0),))
    get = store.traffic.get

    def get_before_the_user(name: str) -> Any:
        found = get(name)
        if found is None:
            store.traffic.put(name, mine, who="bob", now=NOW)
        return found

    store.traffic.get = get_before_the_user  # type: ignore[method-assign]
    attend()
    record = get("churn")
    assert record is not None
    assert (outcome(store, job).outcome, record.table) == (GateOutcome.PROMOTED, mine)


def test_rollout_that_ended_before_the_decision_is_not_begun_again(
    store: Store, lease: Lease, registry: FileRegistry, attend: Callable[[], None]
) -> None:
    registry.set_alias("churn", "champion", "3")
    deploy(store, lease, "3")
    deploy(store, lease, "4")
    job = trained(store, lease, "4", Gate("champion", BETTER, rollout=PLAN))
    decide = store.gates.decide
    store.gates.decide = lambda *_: False  # type: ignore[method-assign]
    attend()
    store.gates.decide = decide  # type: ignore[method-assign]
    (rollout,) = store.rollouts.active()
    store.rollouts.apply(roll_back(rollout, "worse", NOW), now=NOW)
    attend()
    assert (outcome(store, job).outcome, outcome(store, job).rollout_id) == (GateOutcome.PROMOTED, rollout.rollout_id)
    assert store.rollouts.active() == []
