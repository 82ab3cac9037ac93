"""Sends a delivery in its webhook's format."""

from __future__ import annotations

from datetime import datetime

from raylift.access_settings import WebhookSettings
from raylift.domain.webhooks.delivery import Answer, Delivery
from raylift.domain.webhooks.webhook import Webhook, WebhookFormat, WebhookTarget
from raylift.engines.webhooks import apprise_sender
from raylift.engines.webhooks.http_sender import HttpSender
from raylift.engines.webhooks.messages import body_of, headers_of


class Outlet:
    def __init__(self, settings: WebhookSettings, http: HttpSender) -> None:
        self._services = frozenset(settings.apprise_services)
        self._http = http

    def send(self, webhook: Webhook, target: WebhookTarget, delivery: Delivery, now: datetime) -> Answer:
        """Make one attempt. Failures are part of the answer."""
        if webhook.format is not WebhookFormat.APPRISE:
            body = body_of(delivery, webhook.format)
            return self._http.post(target.url, headers_of(delivery, body, webhook, target, now), body)
        service = target.url.partition("://")[0].lower()
        if service not in self._services:
            return Answer(error=f"{service}:// is not among webhooks.apprise_services.")
        return apprise_sender.send(target.url, delivery)
