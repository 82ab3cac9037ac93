from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from raylift.domain.deployment import ApplicationSeen, ApplicationState, Deployment, DeploymentConfig, DeploymentStatus
from raylift.supervisor.plan_deployments import Delete, Deploy, DeploymentAction, Observe, plan_deployments

NOW = datetime(2026, 1, 2, tzinfo=UTC)
KEY = ("churn", "1")
PENDING = Deployment("churn", "1", "models:/churn/1", DeploymentConfig(), DeploymentStatus.PENDING, NOW, NOW)
STARTING = replace(PENDING, status=DeploymentStatus.STARTING, applied_generation=1)
READY = replace(PENDING, status=DeploymentStatus.READY, applied_generation=1, replicas=1, ready_at=NOW)


def app(state: ApplicationState, replicas: int = 0, message: str | None = None) -> ApplicationSeen:
    return ApplicationSeen(state, replicas, message)


def plan(row: Deployment, seen: ApplicationSeen | None) -> list[DeploymentAction]:
    return plan_deployments([row], {KEY: seen} if seen else {}, max_starting=2)


def test_a_new_version_is_deployed_and_proven() -> None:
    assert plan(PENDING, None) == [Deploy(PENDING, prove=True)]


def test_a_version_that_answered_before_is_brought_back_without_starting_a_process() -> None:
    assert plan(READY, None) == [Deploy(READY, prove=False)]


def test_a_version_that_keeps_replicas_is_brought_back_with_them() -> None:
    row = replace(READY, config=DeploymentConfig(min_replicas=1))
    assert plan(row, None) == [Deploy(row, prove=True)]


def test_few_start_at_a_time() -> None:
    rows = [replace(PENDING, version=str(n)) for n in range(5)]
    assert len(plan_deployments(rows, {}, max_starting=2)) == 2
    assert (
        len(
            plan_deployments(
                [replace(STARTING, version="9"), *rows], {("churn", "9"): app(ApplicationState.STARTING)}, max_starting=2
            )
        )
        == 1
    )


def test_versions_that_were_starting_when_ray_died_are_started_again() -> None:
    rows = [replace(STARTING, version=str(n)) for n in range(3)]
    assert plan_deployments(rows, {}, max_starting=2) == [Deploy(row, prove=True) for row in rows[:2]]


def test_what_is_seen_is_written_down_once() -> None:
    assert plan(STARTING, app(ApplicationState.RUNNING, 1)) == [Observe(STARTING, DeploymentStatus.READY, 1, None)]
    assert plan(READY, app(ApplicationState.RUNNING, 1)) == []


def test_without_replicas_it_rests_at_zero() -> None:
    assert plan(READY, app(ApplicationState.RUNNING, 0)) == [Observe(READY, DeploymentStatus.SCALED_TO_ZERO, 0, None)]


def test_a_model_that_does_not_load_is_unhealthy_and_taken_down_and_not_tried_again() -> None:
    assert plan(STARTING, app(ApplicationState.FAILED, message="no module named x")) == [
        Observe(STARTING, DeploymentStatus.UNHEALTHY, 0, "no module named x")
    ]
    unhealthy = replace(STARTING, status=DeploymentStatus.UNHEALTHY)
    assert plan(unhealthy, app(ApplicationState.FAILED)) == [Delete(KEY)]
    assert plan(unhealthy, None) == []


def test_an_unhealthy_version_that_was_changed_is_tried_again() -> None:
    row = replace(STARTING, status=DeploymentStatus.UNHEALTHY, generation=2)
    assert plan(row, None) == [Deploy(row, prove=True)]


def test_a_change_is_applied_to_a_running_version() -> None:
    row = replace(READY, generation=2)
    assert plan(row, app(ApplicationState.RUNNING, 1)) == [Deploy(row, prove=False)]


def test_a_replica_that_recovers_does_not_make_a_version_starting_again() -> None:
    assert plan(READY, app(ApplicationState.STARTING, 0)) == []


def test_what_is_not_wanted_is_taken_down_and_then_stopped() -> None:
    row = replace(READY, wanted=False, generation=2)
    assert plan(row, app(ApplicationState.RUNNING, 1)) == [Delete(KEY)]
    assert plan(row, app(ApplicationState.DELETING)) == []
    assert plan(row, None) == [Observe(row, DeploymentStatus.STOPPED, 0, None)]


def test_an_application_nobody_knows_is_taken_down() -> None:
    assert plan_deployments([], {KEY: app(ApplicationState.RUNNING, 1)}, max_starting=2) == [Delete(KEY)]
    assert plan_deployments([], {KEY: app(ApplicationState.DELETING)}, max_starting=2) == []


def test_a_version_wanted_again_waits_for_its_old_application_to_be_gone() -> None:
    row = replace(READY, generation=3)
    assert plan(row, app(ApplicationState.DELETING)) == []
