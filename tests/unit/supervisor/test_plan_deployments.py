from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from raylift.domain.models.deployment import (
    ApplicationSnapshot,
    ApplicationState,
    Deployment,
    DeploymentConfig,
    DeploymentStatus,
)
from raylift.supervisor.deployments.plan import (
    Delete,
    Deploy,
    DeploymentAction,
    LoadCheck,
    Observe,
    RecordFiles,
    ScanModel,
    plan_deployments,
)

NOW = datetime(2026, 1, 2, tzinfo=UTC)
KEY = ("churn", "1")
FILES = {"MLmodel": "5e"}
REGISTERED = Deployment("churn", "1", "models:/churn/1", DeploymentConfig(), DeploymentStatus.PENDING, NOW, NOW, files=FILES)
"""Registered without a job: no client waits for it."""
PENDING = replace(REGISTERED, demanded_at=NOW)
STARTING = replace(PENDING, status=DeploymentStatus.STARTING, applied_generation=1)
READY = replace(STARTING, status=DeploymentStatus.READY, replicas=1, ready_at=NOW)
SCALED_TO_ZERO = replace(READY, status=DeploymentStatus.SCALED_TO_ZERO, replicas=0)
LATER = NOW + timedelta(hours=1)


def app(state: ApplicationState, replicas: int = 0, message: str | None = None) -> ApplicationSnapshot:
    return ApplicationSnapshot(state, replicas, message)


def plan_all(
    rows: list[Deployment],
    seen: dict[tuple[str, str], ApplicationSnapshot],
    now: datetime = NOW,
    *,
    warm: bool = True,
) -> list[DeploymentAction]:
    return plan_deployments(rows, seen, now, max_starting=2, warm=warm)


def plan(
    row: Deployment, seen: ApplicationSnapshot | None, now: datetime = NOW, *, warm: bool = True
) -> list[DeploymentAction]:
    return plan_all([row], {KEY: seen} if seen else {}, now, warm=warm)


def test_requested_version_is_deployed_with_a_load_check() -> None:
    assert plan(PENDING, None) == [Deploy(PENDING, load_check=True)]
    # Also when the supervisor was away for long.
    assert plan(PENDING, None, LATER) == [Deploy(PENDING, load_check=True)]


def test_nothing_is_loaded_before_the_files_are_recorded() -> None:
    for row in (PENDING, READY, SCALED_TO_ZERO, REGISTERED):
        unknown = replace(row, files=None)
        assert plan(unknown, None) == [RecordFiles(unknown)]
    # Unreadable files were reported; only a change makes the supervisor read them again.
    given_up = replace(PENDING, files=None, status=DeploymentStatus.UNHEALTHY, applied_generation=1)
    assert plan(given_up, None) == []
    assert plan(replace(given_up, generation=2), None) == [RecordFiles(replace(given_up, generation=2))]


def test_changed_version_is_scanned_before_it_is_loaded() -> None:
    applied: dict[tuple[str, str], ApplicationSnapshot] = {KEY: app(ApplicationState.RUNNING, 1)}
    nothing: dict[tuple[str, str], ApplicationSnapshot] = {}
    for row, seen in ((PENDING, nothing), (replace(READY, generation=2), applied)):
        actions = plan_deployments([row], seen, NOW, max_starting=2, warm=True, unscanned={KEY})
        assert actions == [ScanModel(row)]
    assert plan_deployments([READY], applied, NOW, max_starting=2, warm=True, unscanned={KEY}) == []


def test_a_version_that_nobody_waits_for_is_proven_without_an_application() -> None:
    assert plan(REGISTERED, None) == [LoadCheck(REGISTERED)]


def test_what_no_warm_process_can_prove_is_deployed_for_that() -> None:
    assert plan(REGISTERED, None, warm=False) == [Deploy(REGISTERED, load_check=True)]
    for row in (
        replace(REGISTERED, environment_lock=("polars==1.0",)),
        replace(REGISTERED, config=DeploymentConfig(memory_bytes=2**33)),
        replace(REGISTERED, config=DeploymentConfig(cpus=2)),
        replace(REGISTERED, config=DeploymentConfig(environment={"OPENBLAS_CORETYPE": "Haswell"})),
    ):
        assert plan(row, None) == [Deploy(row, load_check=True)]


def test_variables_read_late_need_no_process_of_their_own() -> None:
    row = replace(REGISTERED, config=DeploymentConfig(environment={"SCALE": "2"}))
    assert plan(row, None) == [LoadCheck(row)]


def test_version_at_zero_rests_until_it_is_requested() -> None:
    assert plan(SCALED_TO_ZERO, None, LATER) == []
    called = replace(SCALED_TO_ZERO, demanded_at=LATER)
    assert plan(called, None, LATER) == [Deploy(called, load_check=True)]
    assert plan(replace(SCALED_TO_ZERO, demanded_at=None), None) == []


def test_version_with_a_lost_application_is_scaled_to_zero() -> None:
    """All versions are in that state after the head restarts."""
    assert plan(READY, None, LATER) == [Observe(READY, DeploymentStatus.SCALED_TO_ZERO, 0, None)]


def test_only_requested_or_kept_versions_are_restored() -> None:
    rows = [replace(SCALED_TO_ZERO, version=str(number)) for number in range(300)]
    rows[7] = replace(rows[7], demanded_at=LATER)
    rows[9] = replace(rows[9], config=DeploymentConfig(min_replicas=1))
    assert plan_all(rows, {}, LATER) == [Deploy(rows[7], load_check=True), Deploy(rows[9], load_check=True)]


def test_version_with_min_replicas_is_restored_with_them() -> None:
    row = replace(READY, config=DeploymentConfig(min_replicas=1))
    assert plan(row, None, LATER) == [Deploy(row, load_check=True)]


def test_few_versions_start_at_a_time() -> None:
    rows = [replace(PENDING, version=str(n)) for n in range(5)]
    assert len(plan_all(rows, {})) == 2
    assert len(plan_all([replace(STARTING, version="9"), *rows], {("churn", "9"): app(ApplicationState.STARTING)})) == 1
    assert len(plan_all([replace(REGISTERED, version=str(n)) for n in range(5)], {})) == 2


def test_starting_versions_are_restarted_after_ray_died() -> None:
    rows = [replace(STARTING, version=str(n)) for n in range(3)]
    assert plan_all(rows, {}) == [Deploy(row, load_check=True) for row in rows[:2]]


def test_observation_is_stored_once() -> None:
    assert plan(STARTING, app(ApplicationState.RUNNING, 1)) == [Observe(STARTING, DeploymentStatus.READY, 1, None)]
    assert plan(READY, app(ApplicationState.RUNNING, 1)) == []


def test_version_without_replicas_is_scaled_to_zero_later() -> None:
    assert plan(READY, app(ApplicationState.RUNNING, 0)) == [Observe(READY, DeploymentStatus.SCALED_TO_ZERO, 0, None)]
    assert plan(SCALED_TO_ZERO, app(ApplicationState.RUNNING, 0)) == [Delete(KEY)]


def test_version_with_min_replicas_is_not_scaled_to_zero() -> None:
    row = replace(SCALED_TO_ZERO, config=DeploymentConfig(min_replicas=1))
    assert plan(row, app(ApplicationState.RUNNING, 0)) == []


def test_model_that_does_not_load_is_unhealthy_and_deleted() -> None:
    assert plan(STARTING, app(ApplicationState.FAILED, message="no module named x")) == [
        Observe(STARTING, DeploymentStatus.UNHEALTHY, 0, "no module named x")
    ]
    unhealthy = replace(STARTING, status=DeploymentStatus.UNHEALTHY)
    assert plan(unhealthy, app(ApplicationState.FAILED)) == [Delete(KEY)]
    assert plan(unhealthy, None) == []


def test_version_without_its_overlay_restarts_beyond_the_limit() -> None:
    seen = ApplicationSnapshot(ApplicationState.FAILED, 0, "no plugin", lacks_plugin=True)
    rows = [replace(STARTING, version=version) for version in "12"]
    again = [Deploy(row, load_check=True, leave_environment_to_ray=True) for row in rows]
    assert plan_all(rows, {(row.model_name, row.version): seen for row in rows}) == again


def test_changed_unhealthy_version_is_tried_again() -> None:
    row = replace(STARTING, status=DeploymentStatus.UNHEALTHY, generation=2)
    assert plan(row, None, LATER) == [Deploy(row, load_check=True)]


def test_change_is_applied_to_a_running_version() -> None:
    row = replace(READY, generation=2)
    assert plan(row, app(ApplicationState.RUNNING, 1)) == [Deploy(row, load_check=False)]


def test_recovering_replica_keeps_the_version_ready() -> None:
    assert plan(READY, app(ApplicationState.STARTING, 0)) == []


def test_unwanted_version_is_deleted_and_then_stopped() -> None:
    row = replace(READY, wanted=False, generation=2)
    assert plan(row, app(ApplicationState.RUNNING, 1)) == [Delete(KEY)]
    assert plan(row, app(ApplicationState.DELETING)) == []
    assert plan(row, None) == [Observe(row, DeploymentStatus.STOPPED, 0, None)]


def test_unknown_application_is_deleted() -> None:
    assert plan_all([], {KEY: app(ApplicationState.RUNNING, 1)}) == [Delete(KEY)]
    assert plan_all([], {KEY: app(ApplicationState.DELETING)}) == []


def test_version_wanted_again_waits_until_its_old_application_ends() -> None:
    row = replace(READY, generation=3)
    assert plan(row, app(ApplicationState.DELETING)) == []
