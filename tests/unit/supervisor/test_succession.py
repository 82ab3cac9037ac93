"""The version that answers for a name after a job, on a real store (SQLite)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from raylift.domain.job import Job, JobState
from raylift.domain.models.deployment import Deployment, DeploymentConfig, DeploymentStatus, PayloadLog
from raylift.domain.models.version import ModelVersion
from raylift.domain.monitoring.monitor import MonitorSettings
from raylift.domain.rollouts.gate import Gate
from raylift.domain.traffic import Route, Target, TrafficRecord, TrafficTable
from raylift.ingress.plan_routes import by_name_routes
from raylift.services.traffic.routing import newest_answering
from raylift.store import Store
from raylift.supervisor.jobs.registration import deploy
from tests.migrated_store import open_migrated

NOW = datetime(2026, 1, 2, tzinfo=UTC)
Make = Callable[..., Job]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_migrated(tmp_path / "store.db")
    yield opened
    opened.close()


@pytest.fixture
def job(make_job: Make) -> Job:
    return make_job(JobState.REGISTRATION)


def holding(job: Job) -> Job:
    return replace(job, spec=replace(job.spec, take_traffic=False))


def version(number: str, *aliases: str) -> ModelVersion:
    return ModelVersion("churn", number, NOW, aliases=aliases)


def answer(store: Store, number: str, status: DeploymentStatus = DeploymentStatus.READY) -> None:
    """Mark a version as having answered, with the given ``status``."""
    lease = store.leases.acquire("supervisor", "me", now=NOW, seconds=60)
    row = store.deployments.get("churn", number)
    assert lease
    assert store.deployments.observe(lease, row, now=NOW, status=status, replicas=1, ready_at=NOW)


def test_version_has_the_variables_of_its_job_without_secrets(store: Store, job: Job) -> None:
    environment = {"KERAS_BACKEND": "torch", "API_TOKEN": "hidden"}
    registered(store, replace(job, spec=replace(job.spec, environment=environment)), "1")
    assert store.deployments.get("churn", "1").config.environment == {"KERAS_BACKEND": "torch"}


def registered(store: Store, job: Job, number: str, *aliases: str) -> str:
    return deploy(job, version(number, *aliases), store, DeploymentConfig(), now=NOW)


def answering(store: Store) -> str | None:
    row = newest_answering({row.version: row for row in store.deployments.list("churn")})
    return row.version if row else None


def test_first_version_answers_for_the_name(store: Store, job: Job) -> None:
    said = registered(store, job, "1")
    answer(store, "1")
    assert said == "It answers requests that name only churn once it is ready; no version answered them before."
    assert answering(store) == "1"


def test_new_version_takes_over_and_the_old_one_is_named(store: Store, job: Job) -> None:
    registered(store, job, "9")
    answer(store, "9")
    said = registered(store, job, "10")
    answer(store, "10")
    assert "in place of version 9; `raylift traffic set churn 9=1` sends them back" in said
    assert answering(store) == "10"


def test_held_version_does_not_take_over(store: Store, job: Job) -> None:
    registered(store, job, "9")
    answer(store, "9")
    said = registered(store, holding(job), "10")
    answer(store, "10")
    assert "go on to version 9; `raylift traffic set churn 10=1` sends them to this one" in said
    assert answering(store) == "9"
    assert by_name_routes(store.deployments.list()) == {"churn": "/v2/models/churn/versions/9"}


def test_held_version_does_not_take_over_from_a_stopped_one(store: Store, job: Job) -> None:
    registered(store, job, "9")
    answer(store, "9")
    registered(store, holding(job), "10")
    answer(store, "10")
    store.deployments.want("churn", "9", now=NOW, wanted=False)
    assert answering(store) is None
    assert by_name_routes(store.deployments.list()) == {}


def test_held_version_answers_if_no_other_did_before(store: Store, job: Job) -> None:
    registered(store, job, "9")
    store.deployments.want("churn", "9", now=NOW, wanted=False)
    said = registered(store, holding(job), "10")
    answer(store, "10")
    assert "no version answered them before" in said
    assert answering(store) == "10"


def test_starting_version_counts_as_the_answering_one(store: Store, job: Job) -> None:
    registered(store, job, "9")
    assert "go on to version 9" in registered(store, holding(job), "10")


def test_job_that_ends_after_a_newer_version_does_not_take_over(store: Store, job: Job) -> None:
    registered(store, job, "10")
    answer(store, "10")
    assert "go on to version 10" in registered(store, job, "9")


def test_repeated_step_gives_the_same_message(store: Store, job: Job) -> None:
    registered(store, job, "9")
    answer(store, "9")
    said = registered(store, job, "10")
    answer(store, "10")
    assert registered(store, job, "10") == said


def test_traffic_table_overrides_the_takeover(store: Store, job: Job) -> None:
    registered(store, job, "9")
    store.traffic.put("churn", TrafficTable((Route(Target("9"), 1.0),)), who="ann", now=NOW)
    assert registered(store, job, "10") == (
        "Requests that name only churn follow its traffic table (9=1); this version gets none of them."
    )


@pytest.mark.parametrize("seen_already", [False, True])
def test_alias_of_the_table_moved_by_the_script_is_named(store: Store, job: Job, *, seen_already: bool) -> None:
    registered(store, job, "9")
    store.traffic.observe("churn", "champion", "9", now=NOW, known=None)
    store.traffic.put("churn", TrafficTable((Route(Target(alias="champion"), 1.0),)), who="ann", now=NOW)
    if seen_already:
        store.traffic.observe("churn", "champion", "10", now=NOW, known=store.traffic.aliases("churn")[0])
    assert "its alias 'champion' is this version now, in place of version 9" in registered(store, job, "10", "champion")


def test_undeployed_version_gives_no_message(store: Store, job: Job) -> None:
    assert registered(store, replace(job, spec=replace(job.spec, deploy=False)), "1") == ""


def test_held_version_in_a_table_gets_its_route() -> None:
    config = DeploymentConfig(take_traffic=False)
    row = Deployment("churn", "9", "models:/churn/9", config, DeploymentStatus.READY, NOW, NOW, replicas=1, ready_at=NOW)
    table = TrafficRecord("churn", 1, TrafficTable((Route(Target("9"), 1.0),)), NOW, "ann")
    assert by_name_routes([row]) == {}
    assert by_name_routes([row], tables=[table]) == {"churn": "/v2/models/churn/versions/9"}


EVERY_ANSWER = PayloadLog(1.0)
EACH_QUARTER = MonitorSettings(window_seconds=900)


def watch(store: Store, number: str) -> None:
    """Let a user watch a version otherwise than by default."""
    config = replace(store.deployments.get("churn", number).config, payload_log=EVERY_ANSWER)
    store.deployments.want("churn", number, now=NOW, config=config)
    store.monitors.set("churn", number, EACH_QUARTER, NOW)


def is_watched(store: Store, number: str) -> bool:
    monitor = store.monitors.find("churn", number)
    return (store.deployments.get("churn", number).config.payload_log, monitor and monitor.settings) == (
        EVERY_ANSWER,
        EACH_QUARTER,
    )


def test_new_version_is_watched_like_the_one_that_answers(store: Store, job: Job) -> None:
    registered(store, job, "9")
    answer(store, "9")
    watch(store, "9")
    registered(store, holding(job), "10")
    assert is_watched(store, "10")
    # Again after a kill: a user's change of the new version stays.
    store.monitors.set("churn", "10", MonitorSettings(enabled=False), NOW)
    registered(store, holding(job), "10")
    monitor = store.monitors.find("churn", "10")
    assert monitor is not None
    assert monitor.settings == MonitorSettings(enabled=False)


def test_new_version_is_watched_like_the_champion_of_the_table(store: Store, job: Job) -> None:
    for number in ("8", "9"):
        registered(store, holding(job), number)
        answer(store, number)
    watch(store, "8")
    store.traffic.observe("churn", "champion", "8", now=NOW, known=None)
    table = TrafficTable((Route(Target(alias="champion"), 70.0), Route(Target(version="9"), 30.0)))
    store.traffic.put("churn", table, who="me", now=NOW)
    registered(store, holding(job), "10")
    assert is_watched(store, "10")


def test_first_version_is_watched_by_default(store: Store, job: Job) -> None:
    registered(store, job, "1")
    assert store.deployments.get("churn", "1").config.payload_log is None
    assert store.monitors.find("churn", "1") is None


def test_version_with_a_gate_starts_no_replica_by_itself(store: Store, job: Job) -> None:
    registered(store, job, "1")
    registered(store, replace(job, spec=replace(job.spec, promote=Gate("champion"))), "2")
    demanded = {row.version: row.demanded_at for row in store.deployments.list("churn")}
    assert demanded == {"1": NOW, "2": None}
