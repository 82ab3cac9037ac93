from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from raylift.domain.models.deployment import Deployment, DeploymentConfig, DeploymentStatus
from raylift.domain.traffic import AliasRecord, Route, Sticky, Target, TrafficRecord, TrafficTable
from raylift.ingress.plan_routes import by_name_routes

NOW = datetime(2026, 1, 2, tzinfo=UTC)
READY = Deployment(
    "churn", "9", "models:/churn/9", DeploymentConfig(), DeploymentStatus.READY, NOW, NOW, replicas=1, ready_at=NOW
)
ROUTE = {"churn": "/v2/models/churn/versions/9"}


def test_newest_answering_version_gets_the_route() -> None:
    older, newest = replace(READY, version="9"), replace(READY, version="10")
    assert by_name_routes([newest, older]) == {"churn": "/v2/models/churn/versions/10"}


def test_newer_starting_version_changes_no_route() -> None:
    for status in (DeploymentStatus.PENDING, DeploymentStatus.STARTING, DeploymentStatus.UNHEALTHY):
        assert by_name_routes([READY, replace(READY, version="10", status=status, replicas=0, ready_at=None)]) == ROUTE


def test_newer_version_at_zero_is_left_to_the_gateway() -> None:
    asleep = replace(READY, version="10", status=DeploymentStatus.SCALED_TO_ZERO, replicas=0)
    for status in (DeploymentStatus.SCALED_TO_ZERO, DeploymentStatus.PENDING, DeploymentStatus.STARTING):
        assert by_name_routes([READY, replace(asleep, status=status)]) == {}, "the requests went back to the older one"


def test_route_is_kept_while_a_change_is_applied() -> None:
    assert by_name_routes([replace(READY, status=DeploymentStatus.STARTING)]) == ROUTE


@pytest.mark.parametrize(
    "row",
    [
        replace(READY, wanted=False),
        replace(READY, status=DeploymentStatus.STOPPED, wanted=False, replicas=0),
        replace(READY, status=DeploymentStatus.UNHEALTHY),
        replace(READY, replicas=0),
    ],
)
def test_a_version_that_does_not_answer_has_no_route(row: Deployment) -> None:
    assert by_name_routes([row]) == {}


@pytest.mark.parametrize("name", ["a/b", "../x", "%2e", "a b", "ü", "", ".", "x" * 200, "a\nb /v2", "trailing-"])
def test_names_that_could_mean_something_else_have_no_route(name: str) -> None:
    assert by_name_routes([replace(READY, model_name=name)]) == {}


def record(*routes: tuple[Target, float], shadow: tuple[Target, ...] = (), sticky: Sticky | None = None) -> TrafficRecord:
    table = TrafficTable(tuple(Route(target, weight) for target, weight in routes), shadow, sticky)
    return TrafficRecord("churn", 1, table, NOW, "ann")


THIRD, NINTH, CHAMPION = Target("3"), Target("9"), Target(alias="champion")
ROWS = [READY, replace(READY, version="3")]


def test_table_with_one_version_gives_its_route() -> None:
    older = {"churn": "/v2/models/churn/versions/3"}
    assert by_name_routes(ROWS, tables=[record((THIRD, 1.0))]) == older
    assert by_name_routes(ROWS, tables=[record((THIRD, 1.0), (NINTH, 0.0), sticky=Sticky(header="X-User"))]) == older
    assert by_name_routes(ROWS, tables=[replace(record((THIRD, 1.0)), table=None)]) == ROUTE


def test_alias_in_a_table_has_its_last_known_version() -> None:
    table = record((CHAMPION, 1.0))
    for version, routes in (("3", {"churn": "/v2/models/churn/versions/3"}), ("4", {}), (None, {})):
        assert by_name_routes(ROWS, tables=[table], aliases=[AliasRecord("churn", "champion", version, 1)]) == routes
    assert by_name_routes(ROWS, tables=[table]) == {}
    assert by_name_routes(ROWS, tables=[table], aliases=[AliasRecord("fraud", "champion", "3", 1)]) == {}


@pytest.mark.parametrize(
    "table",
    [
        record((THIRD, 1.0), (NINTH, 1.0)),
        record((NINTH, 1.0), shadow=(THIRD,)),
        record((Target("4"), 1.0)),
    ],
    ids=["divided", "copied", "to a version that does not answer"],
)
def test_what_a_table_has_the_gateway_decide_has_no_route(table: TrafficRecord) -> None:
    assert by_name_routes([*ROWS, replace(READY, model_name="fraud")], tables=[table]) == {
        "fraud": "/v2/models/fraud/versions/9"
    }


def test_a_version_whose_application_is_about_to_go_has_no_route() -> None:
    assert by_name_routes([READY], leaving={("churn", "9")}) == {}
