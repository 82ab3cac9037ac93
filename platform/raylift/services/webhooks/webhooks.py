"""Creates, shows, changes and deletes webhooks, and delivers again by hand. The supervisor sends."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from ipaddress import ip_address
from urllib.parse import urlsplit

import httpx

from raylift.access_settings import WebhookSettings
from raylift.domain.access import Principal, Role
from raylift.domain.errors import FieldError, Forbidden, InvalidRequest, WebhookNotFound
from raylift.domain.identifiers import new_webhook_id
from raylift.domain.webhooks.addresses import in_allowed_network, is_allowed
from raylift.domain.webhooks.delivery import Delivery, DeliveryStatus
from raylift.domain.webhooks.event import EventType, PlatformEvent
from raylift.domain.webhooks.webhook import (
    WEBHOOK_ID,
    EventFilter,
    Webhook,
    WebhookFormat,
    WebhookTarget,
    filter_errors,
    name_error,
    new_secret,
)
from raylift.services.ports import Clock, utc_now
from raylift.store import DeliveryPage, Store


@dataclass(frozen=True, slots=True)
class WebhookChanges:
    """Changes of a webhook. None keeps the present value."""

    url: str | None = None
    filter: EventFilter | None = None
    paused: bool | None = None


@dataclass(frozen=True, slots=True)
class CreatedWebhook:
    """A webhook with its signing secret, which is shown once. None: its format has no signatures."""

    webhook: Webhook
    secret: str | None


class WebhookService:
    """Writes requests of users to the store. A webhook sees the events of its workspace only."""

    def __init__(self, store: Store, settings: WebhookSettings, *, clock: Clock = utc_now) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock

    def create(
        self, name: str, url: str, wanted: EventFilter, form: WebhookFormat, *, by: str, caller: Principal
    ) -> CreatedWebhook:
        """Store a webhook, which gets the events from now on.

        Raises:
            Forbidden: an address of Apprise, and the caller is no admin.
            InvalidRequest: the name, the address or the filter is wrong.
            WebhookExists: the workspace has one of this name.
            SecretUnreadable: the platform has no key to encrypt with.
        """
        self._require_valid(name, url, wanted, form, caller)
        now, secret = self._clock(), None if form is WebhookFormat.APPRISE else new_secret()
        webhook = Webhook(
            new_webhook_id(now.timestamp()),
            name,
            caller.workspace,
            form,
            shown(url, form),
            wanted,
            created_at=now,
            created_by=by,
            updated_at=now,
            updated_by=by,
        )
        self._store.webhooks.add(webhook, WebhookTarget(url, secret))
        return CreatedWebhook(webhook, secret)

    def check(self, name: str, url: str, wanted: EventFilter, form: WebhookFormat, *, caller: Principal) -> Sequence[EventType]:
        """Check a new webhook, store nothing, and return the types of events that it would get. Raises as ``create``."""
        self._require_valid(name, url, wanted, form, caller)
        if any(each.name == name for each in self._store.webhooks.list(caller.workspace)):
            raise InvalidRequest.of(FieldError("name", f"is {name!r}, which another webhook of the workspace has"))
        return wanted.types()

    def find(self, name: str, caller: Principal) -> Webhook:
        """Return a webhook by its name in the caller's workspace, or by its id. Raises WebhookNotFound."""
        if not WEBHOOK_ID.fullmatch(name):
            return self._store.webhooks.find(caller.workspace, name)
        webhook = self._store.webhooks.get(name)
        if caller.visible_workspace not in (None, webhook.workspace):
            raise WebhookNotFound(f"There is no webhook {name}.", webhook_id=name)
        return webhook

    def list(self, workspace: str | None) -> list[Webhook]:
        """Return the webhooks of a workspace, or of all, by name."""
        return self._store.webhooks.list(workspace)

    def counts(self, webhooks: Collection[Webhook]) -> tuple[dict[str, int], dict[str, int]]:
        """Return the numbers of pending and of dead deliveries, by the id of the webhook."""
        ids, count = [webhook.webhook_id for webhook in webhooks], self._store.webhooks.counts
        return count(ids, DeliveryStatus.PENDING), count(ids, DeliveryStatus.DEAD)

    def change(self, webhook: Webhook, changes: WebhookChanges, *, by: str, caller: Principal) -> Webhook:
        """Change a webhook. Events of a pause are not sent later.

        Raises:
            Forbidden: a webhook of Apprise, and the caller is no admin.
            InvalidRequest: the address or the filter is wrong.
            StaleWebhook: it was changed at the same time.
        """
        self._require_right_to(webhook.format, caller)
        errors = list(filter_errors(changes.filter)) if changes.filter else []
        errors += self._url_errors(changes.url, webhook.format) if changes.url is not None else []
        if errors:
            raise InvalidRequest.of(*errors)
        now = self._clock()
        changed = replace(
            webhook, filter=changes.filter or webhook.filter, message=webhook.message, updated_at=now, updated_by=by
        )
        if changes.paused is not None:
            paused_at = (webhook.paused_at or now) if changes.paused else None
            changed = replace(changed, paused_at=paused_at, message=webhook.message if changes.paused else None)
        if changes.url is None:
            return self._store.webhooks.update(changed)
        target = replace(self._store.webhooks.target(webhook.webhook_id), url=changes.url)
        return self._store.webhooks.update(replace(changed, shown_url=shown(changes.url, webhook.format)), target)

    def rotate(self, webhook: Webhook, *, grace_hours: float, by: str) -> CreatedWebhook:
        """Give a webhook a new secret. For so many hours messages are signed with the former one, too.

        Raises:
            InvalidRequest: its format has no signatures.
            StaleWebhook: it was changed at the same time.
        """
        if webhook.format is WebhookFormat.APPRISE:
            raise InvalidRequest.of(FieldError("format", "is apprise, which has no secret: change its url"))
        now, present, secret = self._clock(), self._store.webhooks.target(webhook.webhook_id), new_secret()
        until = now + timedelta(hours=grace_hours) if grace_hours else None
        target = WebhookTarget(present.url, secret, present.secret if until else None)
        changed = replace(webhook, former_secret_until=until, updated_at=now, updated_by=by)
        return CreatedWebhook(self._store.webhooks.update(changed, target), secret)

    def delete(self, webhook: Webhook) -> None:
        """Delete a webhook with its deliveries: what is pending is not sent any more."""
        self._store.webhooks.delete(webhook)

    def deliveries(
        self, webhook: Webhook, *, status: DeliveryStatus | None, limit: int, cursor: str | None = None
    ) -> DeliveryPage:
        return self._store.webhooks.deliveries(webhook.webhook_id, status=status, limit=limit, cursor=cursor)

    def delivery(self, webhook: Webhook, delivery_id: str) -> Delivery:
        """Raises DeliveryNotFound."""
        return self._store.webhooks.delivery(webhook.webhook_id, delivery_id)

    def test(self, webhook: Webhook, *, by: str) -> Delivery:
        """Enqueue a test event, which is delivered as any other.

        Raises:
            InvalidRequest: the webhook is paused.
        """
        if webhook.paused_at is not None:
            raise InvalidRequest.of(FieldError("paused", "is true: nothing is sent; resume the webhook first"))
        now = self._clock()
        data = {"webhook": webhook.name, "workspace": webhook.workspace, "who": by, "message": "This is a test."}
        event = PlatformEvent(EventType.WEBHOOK_TEST, webhook.webhook_id, now, data)
        return self.delivery(webhook, self._store.webhooks.enqueue(webhook, event))

    def redeliver(self, webhook: Webhook, delivery_id: str) -> Delivery:
        """Deliver again now, with the same ``webhook-id``. Raises DeliveryNotFound."""
        return self._store.webhooks.redeliver(webhook.webhook_id, delivery_id, now=self._clock())

    def redeliver_dead(self, webhook: Webhook) -> int:
        """Deliver all dead letters again, and return their number."""
        return self._store.webhooks.redeliver_dead(webhook.webhook_id, now=self._clock())

    def _require_valid(self, name: str, url: str, wanted: EventFilter, form: WebhookFormat, caller: Principal) -> None:
        self._require_right_to(form, caller)
        problem = name_error(name)
        errors = [FieldError("name", problem)] if problem else []
        errors += [*self._url_errors(url, form), *filter_errors(wanted)]
        if errors:
            raise InvalidRequest.of(*errors)

    def _require_right_to(self, form: WebhookFormat, caller: Principal) -> None:
        if form is WebhookFormat.APPRISE and caller.role is not Role.ADMIN:
            detail = "The format apprise needs the role admin: its requests go past the check of networks."
            raise Forbidden(detail, role=Role.ADMIN)

    def _url_errors(self, url: str, form: WebhookFormat) -> Iterator[FieldError]:
        """Yield what is wrong with an address, as far as it can be said without asking for its name."""
        if form is WebhookFormat.APPRISE:
            service, services = url.partition("://")[0].lower(), self._settings.apprise_services
            if service not in services:
                known = ", ".join(f"{each}://" for each in services)
                yield FieldError("url", f"begins with {service[:30]!r}; write one of {known} (webhooks.apprise_services)")
            return
        problem = self._http_error(url)
        if problem is not None:
            yield FieldError("url", problem)

    def _http_error(self, url: str) -> str | None:
        try:
            httpx.URL(url)
            parts = urlsplit(url)
            _ = parts.port  # Reading it raises for a wrong one.
        except (ValueError, httpx.InvalidURL) as error:
            return f"is no address: {error}"
        if parts.scheme not in ("https", "http") or not parts.hostname or any(each.isspace() for each in url):
            return "must be an address such as https://hooks.example.com/raylift"
        if parts.username is not None or parts.password is not None:
            return "must have no user name and password: receivers check the signature"
        allowed = self._settings.allowed_networks
        if parts.scheme == "http" and not allowed:
            return "must begin with https://; plain http is for networks of webhooks.allowed_networks, and there are none"
        literal = _literal(parts.hostname)
        if literal is not None and not is_allowed(literal, allowed):
            return f"has the address {literal}, which is not public; an administrator can allow it: webhooks.allowed_networks"
        if literal is not None and parts.scheme == "http" and not in_allowed_network(literal, allowed):
            return "must begin with https://: plain http is for networks of webhooks.allowed_networks"
        return None


def shown(url: str, form: WebhookFormat) -> str:
    """Return an address without what may be a secret: all but the service for Apprise, else the query."""
    if form is WebhookFormat.APPRISE:
        return f"{url.partition('://')[0].lower()}://***"
    parts = urlsplit(url)
    return parts._replace(query="***" if parts.query else "", fragment="").geturl()


def _literal(host: str) -> str | None:
    if host.lower() == "localhost" or host.lower().endswith(".localhost"):
        return "127.0.0.1"
    try:
        return str(ip_address(host.partition("%")[0]))
    except ValueError:
        return None  # A name: its addresses are checked at each attempt.
