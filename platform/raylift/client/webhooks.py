"""Webhooks: events for other programs and for people."""

from __future__ import annotations

import builtins
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Literal

from raylift.api import paths
from raylift.api.webhooks.webhooks import (
    DeliveryPageView,
    DeliveryView,
    NewWebhookView,
    Redelivery,
    WebhookList,
    WebhookView,
)
from raylift.client.http.part import Part

Format = Literal["standard", "cloudevents", "apprise"]
_POLL_SECONDS = 0.3


class Webhooks(Part):
    """``client.webhooks``. A webhook is named by its name, or by its id."""

    def create(
        self,
        name: str,
        url: str,
        *,
        events: Sequence[str] = ("*",),
        models: Sequence[str] = (),
        experiments: Sequence[str] = (),
        owners: Sequence[str] = (),
        format: Format = "standard",  # noqa: A002 (its name in the API)
    ) -> NewWebhookView:
        """Create a webhook, which gets the events of your workspace from now on. ``secret`` of the answer is shown once.

        Args:
            name: Name, unique in the workspace.
            url: Address of the receiver, with https; for the format apprise an address of Apprise, which admins may give.
            events: Types of events, with * and ?: ``job.failed``, ``model_version.*``.
            models: Names of models, with * and ?. Empty: no condition.
            experiments: Names of experiments of jobs, with * and ?. Empty: no condition.
            owners: Owners of jobs, with * and ?. Empty: no condition.
            format: "standard", "cloudevents", or "apprise" for messages to people.

        Raises:
            InvalidRequest: E.g. no event has such a type, or the address is not allowed.
            Conflict: The workspace has a webhook of this name.
        """
        body = {
            "name": name,
            "url": url,
            "events": list(events),
            "models": list(models),
            "experiments": list(experiments),
            "owners": list(owners),
            "format": format,
        }
        return self._connection.view(NewWebhookView, "POST", paths.WEBHOOKS, json=body)

    def update(
        self,
        name: str,
        *,
        url: str | None = None,
        events: Sequence[str] | None = None,
        models: Sequence[str] | None = None,
        experiments: Sequence[str] | None = None,
        owners: Sequence[str] | None = None,
        paused: bool | None = None,
    ) -> WebhookView:
        """Change a webhook. Arguments that are None stay as they are. Events of a pause are not sent later.

        Raises:
            NotFound: There is no such webhook.
            Conflict: It was changed at the same time.
        """
        lists = {"events": events, "models": models, "experiments": experiments, "owners": owners}
        given: dict[str, Any] = {field: list(value) for field, value in lists.items() if value is not None}
        given |= {field: value for field, value in (("url", url), ("paused", paused)) if value is not None}
        return self._connection.view(WebhookView, "PATCH", paths.webhook(name), json=given)

    def list(self) -> builtins.list[WebhookView]:
        """All webhooks by name, each with its numbers of pending and dead deliveries."""
        return self._connection.view(WebhookList, "GET", paths.WEBHOOKS).webhooks

    def get(self, name: str) -> WebhookView:
        """One webhook. Raises NotFound."""
        return self._connection.view(WebhookView, "GET", paths.webhook(name))

    def rotate(self, name: str, *, grace_hours: float = 24.0) -> NewWebhookView:
        """Give a webhook a new secret. For ``grace_hours`` messages are signed with the former one, too."""
        return self._connection.view(NewWebhookView, "POST", paths.webhook(name, "rotate"), json={"grace_hours": grace_hours})

    def test(self, name: str, *, wait_seconds: float = 20.0) -> DeliveryView:
        """Send a test event and return its delivery, after its first attempt or ``wait_seconds``."""
        made = self._connection.view(DeliveryView, "POST", paths.webhook(name, "test"))
        clock = self._connection.clock
        deadline = clock.now() + wait_seconds
        while not made.attempts and clock.now() < deadline:
            clock.sleep(_POLL_SECONDS)
            made = self.delivery(name, made.delivery_id)
        return made

    def deliveries(
        self,
        name: str,
        *,
        status: Literal["pending", "delivered", "dead"] | None = None,
        limit: int | None = None,
        page_size: int = 50,
    ) -> Iterator[DeliveryView]:
        """Iterate over the deliveries of a webhook, newest first.

        Args:
            name: The webhook.
            status: Only deliveries of this status.
            limit: Number of deliveries at most. None: all.
            page_size: Deliveries per request.
        """
        size = page_size if limit is None else min(page_size, limit)
        found = self._connection.pages(DeliveryPageView, paths.webhook(name, "deliveries"), {"limit": size, "status": status})
        return islice((each for page in found for each in page.deliveries), limit)

    def delivery(self, name: str, delivery_id: str) -> DeliveryView:
        """One delivery. Raises NotFound."""
        return self._connection.view(DeliveryView, "GET", paths.webhook(name, "deliveries", delivery_id))

    def redeliver(self, name: str, delivery_id: str | None = None) -> int:
        """Deliver again now, with the same ``webhook-id``: one delivery, or all dead ones. Returns their number."""
        if delivery_id is not None:
            self._connection.json("POST", paths.webhook(name, "deliveries", delivery_id, "redeliver"))
            return 1
        return self._connection.view(Redelivery, "POST", paths.webhook(name, "redeliver")).redelivered

    def delete(self, name: str) -> None:
        """Delete a webhook with its deliveries: what is pending is not sent any more. Raises NotFound."""
        self._connection.json("DELETE", paths.webhook(name))
