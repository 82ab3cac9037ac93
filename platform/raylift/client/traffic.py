"""Traffic tables: the versions that answer requests which name only the model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from raylift.api import paths
from raylift.api.headers import IF_MATCH
from raylift.api.traffic import TrafficHistory, TrafficView
from raylift.client.http.part import Part


class Traffic(Part):
    """``client.traffic``."""

    def get(self, model: str) -> TrafficView:
        """The model's table and the share of each version."""
        return self._connection.view(TrafficView, "GET", paths.traffic(model))

    def set(
        self,
        model: str,
        routes: Mapping[str | int, float],
        *,
        shadow: Iterable[str | int] = (),
        sticky_header: str | None = None,
        sticky_field: str | None = None,
        revision: int | None = None,
    ) -> TrafficView:
        """Replace a model's table, e.g. with ``{"3": 90, "4": 10}``.

        Args:
            model: The model.
            routes: Weights by version or by MLflow alias, e.g. ``{"champion": 90, "challenger": 10}``.
            shadow: Versions or aliases that get a copy of each request. Their answers are discarded.
            sticky_header: Requests with the same value of this header go to the same version.
            sticky_field: The same with a field of the body, by its dotted name, e.g. ``params.user``.
            revision: Change the table only if it is still at this revision.

        Raises:
            InvalidRequest: A version is not deployed or does not load, an alias does not exist, or a weight is invalid.
            APIError: With code ``traffic_changed``: the table is no longer at ``revision``.
        """
        body: dict[str, Any] = {
            "routes": [{"version": str(version), "weight": weight} for version, weight in routes.items()],
            "shadow": [str(version) for version in shadow],
        }
        if sticky_header is not None or sticky_field is not None:
            body["sticky"] = {"header": sticky_header, "field": sticky_field}
        headers = {} if revision is None else {IF_MATCH: f'"{revision}"'}
        # With a revision the request is sent once: a first success would make a second one fail.
        return self._connection.view(
            TrafficView, "PUT", paths.traffic(model), json=body, headers=headers, resend=revision is None
        )

    def delete(self, model: str) -> TrafficView:
        """Delete the table: the newest version that answers gets every request again."""
        return self._connection.view(TrafficView, "DELETE", paths.traffic(model), resend=True)

    def history(self, model: str, *, limit: int = 50, before: int | None = None) -> TrafficHistory:
        """Changes of the table and of aliases: author, time, before and after; newest first."""
        params = {"limit": limit, "before": before}
        return self._connection.view(TrafficHistory, "GET", paths.traffic(model) + "/history", params=params)

    def rollback(self, model: str, *, revision: int | None = None, alias: str | None = None) -> TrafficView:
        """Undo the last change of the table or of an alias that it names.

        ``revision`` restores that revision of the table instead, and ``alias`` undoes the last move of that alias.
        """
        body = {"revision": revision, "alias": alias}
        changes = {field: value for field, value in body.items() if value is not None}
        return self._connection.view(TrafficView, "POST", paths.model(model) + "/rollback", json=changes, resend=False)
