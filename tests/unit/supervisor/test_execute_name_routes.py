"""The ingress map is updated before applications are deleted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from raylift.domain.errors import EngineUnavailable
from raylift.domain.models.deployment import Deployment, DeploymentConfig, DeploymentStatus
from raylift.ingress.route_map import IngressMap, names_file
from raylift.store import Store
from raylift.supervisor.deployments.plan import Delete, Deploy
from raylift.supervisor.deployments.publish_routes import RoutePublisher
from tests.migrated_store import open_migrated

_NOW = datetime(2026, 1, 2, tzinfo=UTC)
_CHURN = Deployment(
    "churn", "9", "models:/churn/9", DeploymentConfig(), DeploymentStatus.READY, _NOW, _NOW, replicas=1, ready_at=_NOW
)
_IRIS = replace(_CHURN, model_name="iris", version="1")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_migrated(tmp_path / "store.db")
    yield opened
    opened.close()


@pytest.fixture
def ingress(tmp_path: Path) -> IngressMap:
    return IngressMap(tmp_path)


class DeafIngress(IngressMap):
    def put(self, routes: Mapping[str, str]) -> None:
        raise EngineUnavailable("HAProxy did not take the map of names: it is deaf")


def test_map_has_the_routes_of_the_deployments(store: Store, ingress: IngressMap, tmp_path: Path) -> None:
    RoutePublisher(store, ingress).before([], [_CHURN, _IRIS])
    assert names_file(tmp_path).read_text() == "churn /v2/models/churn/versions/9\niris /v2/models/iris/versions/1\n"


def test_version_leaves_the_map_before_its_application_is_deleted(store: Store, ingress: IngressMap, tmp_path: Path) -> None:
    keeper = RoutePublisher(store, ingress)
    keeper.before([], [_CHURN, _IRIS])
    actions: list[Any] = [Delete(("churn", "9")), Deploy(_IRIS, load_check=False)]
    assert keeper.before(actions, [_CHURN, _IRIS]) == actions
    assert names_file(tmp_path).read_text() == "iris /v2/models/iris/versions/1\n"


def test_no_application_is_deleted_while_the_map_is_not_accepted(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keeper = RoutePublisher(store, DeafIngress(tmp_path))
    assert keeper.before([Delete(("churn", "9")), Deploy(_IRIS, load_check=False)], [_CHURN, _IRIS]) == [
        Deploy(_IRIS, load_check=False)
    ]
    assert "it is deaf" in caplog.text


def test_applications_are_deleted_without_an_ingress_of_ours(store: Store) -> None:
    actions: list[Any] = [Delete(("churn", "9")), Deploy(_IRIS, load_check=False)]
    assert RoutePublisher(store, None).before(actions, [_CHURN, _IRIS]) == actions
