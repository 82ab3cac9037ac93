"""Which versions of a model answer requests that name only the model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from raylift.api import paths
from raylift.api.headers import IF_MATCH
from raylift.api.traffic import TrafficHistory, TrafficView
from raylift.client.http.connection import Connection


class Traffic:
    """``client.traffic``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, model: str) -> TrafficView:
        """The model's table, and the versions that it comes to now."""
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
        """Divide a model's requests, e.g. ``{"3": 90, "4": 10}``, in the place of what is there.

        Args:
            model: The model.
            routes: Weight by version, or by MLflow alias: ``{"champion": 90, "challenger": 10}``.
            shadow: Versions or aliases that get a copy of each request; their answers are thrown away.
            sticky_header: Requests with the same value of this header go to the same version.
            sticky_field: The same for a field of the body, by its dotted name, e.g. ``params.user``.
            revision: Change nothing unless the table is still at this revision.

        Raises:
            InvalidRequest: A version is not deployed or does not load, an alias is not there, a weight is no weight.
            APIError: With code ``traffic_changed``: the table is not at ``revision`` any more.
        """
        body: dict[str, Any] = {
            "routes": [{"version": str(version), "weight": weight} for version, weight in routes.items()],
            "shadow": [str(version) for version in shadow],
        }
        if sticky_header is not None or sticky_field is not None:
            body["sticky"] = {"header": sticky_header, "field": sticky_field}
        headers = {} if revision is None else {IF_MATCH: f'"{revision}"'}
        # With a revision it may not be sent twice: the first one would make the second one too late.
        return self._connection.view(
            TrafficView, "PUT", paths.traffic(model), json=body, headers=headers, resend=revision is None
        )

    def delete(self, model: str) -> TrafficView:
        """Take the table away: the newest version that answers gets every request again."""
        return self._connection.view(TrafficView, "DELETE", paths.traffic(model), resend=True)

    def history(self, model: str, *, limit: int = 50, before: int | None = None) -> TrafficHistory:
        """Who changed the table and the aliases, when, and from what to what; newest first."""
        params = {"limit": limit, "before": before}
        return self._connection.view(TrafficHistory, "GET", paths.traffic(model) + "/history", params=params)

    def rollback(self, model: str, *, revision: int | None = None, alias: str | None = None) -> TrafficView:
        """Undo the last change of the table or of an alias that it names.

        ``revision`` goes back to that revision of the table instead, and ``alias`` undoes the last move of that alias.
        """
        body = {"revision": revision, "alias": alias}
        given = {field: value for field, value in body.items() if value is not None}
        return self._connection.view(TrafficView, "POST", paths.model(model) + "/rollback", json=given, resend=False)
