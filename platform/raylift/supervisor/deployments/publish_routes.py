"""Keep the ingress' map of names as the store's rows want it."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from raylift.domain.deployment import Deployment
from raylift.domain.errors import EngineUnavailable
from raylift.ingress.plan_routes import by_name_routes
from raylift.ingress.route_map import IngressMap
from raylift.store import Store
from raylift.supervisor.deployments.plan import Delete, DeploymentAction

log = logging.getLogger(__name__)


class RoutePublisher:
    """The supervisor's hand on the ingress."""

    def __init__(self, store: Store, ingress: IngressMap | None) -> None:
        self._store = store
        self._ingress = ingress

    def before(self, actions: Sequence[DeploymentAction], rows: Sequence[Deployment]) -> list[DeploymentAction]:
        """Bring the map up to date, and return what of ``actions`` may be done then.

        No application is taken down while the ingress may still send requests to it: with an ingress that does not take the
        map, that waits.
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
