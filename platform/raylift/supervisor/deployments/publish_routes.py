"""Publishes routes that name only a model: the ingress' map of names."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from raylift.domain.errors import EngineUnavailable
from raylift.domain.models.deployment import Deployment
from raylift.ingress.plan_routes import by_name_routes
from raylift.ingress.route_map import RouteMap
from raylift.store import Store
from raylift.supervisor.deployments.plan import Delete, DeploymentAction

log = logging.getLogger(__name__)


class RoutePublisher:
    """Writes the map before applications are taken down."""

    def __init__(self, store: Store, ingress: RouteMap | None) -> None:
        self._store = store
        self._ingress = ingress

    def before(self, actions: Sequence[DeploymentAction], rows: Sequence[Deployment]) -> list[DeploymentAction]:
        """Update the map, and return the actions that may be executed then.

        An ingress that does not take the map may still send requests to applications: their deletions wait.
        """
        if self._ingress is None:
            return list(actions)
        leaving = {action.key for action in actions if isinstance(action, Delete)}
        try:
            traffic = self._store.traffic
            self._ingress.put(by_name_routes(rows, tables=traffic.list(), aliases=traffic.aliases(), leaving=leaving))
        except EngineUnavailable as error:
            log.warning("%s", error)
            return [action for action in actions if not isinstance(action, Delete)]
        return list(actions)
