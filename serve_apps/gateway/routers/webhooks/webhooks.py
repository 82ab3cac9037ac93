"""``/mlops/webhooks``: events for other programs and for people."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from raylift.api import paths
from raylift.api.headers import OWNER_HEADER
from raylift.api.webhooks.webhooks import (
    DeliveryPageView,
    DeliveryState,
    DeliveryView,
    NewWebhookView,
    Redelivery,
    WebhookCheck,
    WebhookList,
    WebhookPatch,
    WebhookRequest,
    WebhookRotation,
    WebhookView,
)
from raylift.domain.webhooks.delivery import DeliveryStatus
from raylift.domain.webhooks.event import SELECTABLE
from raylift.domain.webhooks.webhook import EventFilter, Webhook, WebhookFormat
from raylift.services.container import Services
from raylift.services.webhooks.webhooks import WebhookChanges
from serve_apps.gateway.access.permissions import Action, Kind, needs
from serve_apps.gateway.http.bodies import read_model
from serve_apps.gateway.http.responses import header, json_body, json_response, problems
from serve_apps.gateway.http.visit import owner_of, principal_of, visit_of
from serve_apps.gateway.views.webhooks import delivery_view, new_webhook_view, webhook_view

_MAX_BODY_BYTES: Final = 64 * 1024
_MAX_PAGE: Final = 500
_NO_STORE: Final = {"Cache-Control": "no-store"}
_OWNER: Final = header(OWNER_HEADER, "Shown as `updated_by`. It does not authenticate. Absent: local.")


def webhooks_router(services: Services) -> APIRouter:
    router = APIRouter(prefix=paths.WEBHOOKS, tags=["webhooks"])
    webhooks = services.webhooks

    @router.get("", responses={200: {"model": WebhookList}, **problems(503)}, dependencies=[needs(services, Action.READ)])
    def list_webhooks(request: Request) -> Response:
        """List webhooks by name, with the numbers of their deliveries. Admins see those of all workspaces."""
        found = webhooks.list(principal_of(request).visible_workspace)
        pending, dead = webhooks.counts(found)
        views = [
            webhook_view(each, pending=pending.get(each.webhook_id, 0), dead=dead.get(each.webhook_id, 0)) for each in found
        ]
        return json_response(WebhookList(webhooks=views, event_types=list(SELECTABLE)))

    @router.post(
        "",
        status_code=201,
        responses={
            201: {"model": NewWebhookView},
            200: {"model": WebhookCheck, "description": "With dry_run: what it would get."},
            **problems(400, 403, 409, 413, 415, 422, 503),
        },
        openapi_extra={"requestBody": json_body(WebhookRequest), "parameters": [_OWNER]},
        dependencies=[needs(services, Action.SUBMIT, "webhook.create")],
    )
    async def create(
        request: Request,
        dry_run: Annotated[bool, Query(description="Only check the webhook and tell which events it would get.")] = False,
    ) -> Response:
        """Create a webhook, which gets the events of your workspace from now on. The answer has its secret, once."""
        asked = await read_model(request, WebhookRequest, max_bytes=_MAX_BODY_BYTES)
        wanted = EventFilter(tuple(asked.events), tuple(asked.models), tuple(asked.experiments), tuple(asked.owners))
        form, by, caller = WebhookFormat(asked.format), owner_of(request), principal_of(request)
        if dry_run:
            visit_of(request.scope).act = None  # It changes nothing, so the audit has no entry.
            types = await run_in_threadpool(webhooks.check, asked.name, asked.url, wanted, form, caller=caller)
            return json_response(WebhookCheck(event_types=[*types]))
        made = await run_in_threadpool(webhooks.create, asked.name, asked.url, wanted, form, by=by, caller=caller)
        headers = {"Location": paths.webhook(made.webhook.name), **_NO_STORE}
        return json_response(new_webhook_view(made, pending=0, dead=0), 201, headers)

    @router.get(
        "/{webhook_name}",
        responses={200: {"model": WebhookView}, **problems(404, 503)},
        dependencies=[needs(services, Action.READ, of=Kind.WEBHOOK)],
    )
    def webhook(request: Request, webhook_name: str) -> Response:
        """Show one webhook, by its name in your workspace, or by its id."""
        return json_response(_view(services, _found(services, request, webhook_name)))

    @router.patch(
        "/{webhook_name}",
        responses={200: {"model": WebhookView}, **problems(400, 403, 404, 409, 413, 415, 422, 503)},
        openapi_extra={"requestBody": json_body(WebhookPatch), "parameters": [_OWNER]},
        dependencies=[needs(services, Action.SUBMIT, "webhook.update", of=Kind.WEBHOOK)],
    )
    async def update(request: Request, webhook_name: str) -> Response:
        """Change a webhook, pause or resume it. Events of a pause are not sent later."""
        asked = await read_model(request, WebhookPatch, max_bytes=_MAX_BODY_BYTES)
        return json_response(await run_in_threadpool(_update, services, request, webhook_name, asked))

    @router.delete(
        "/{webhook_name}",
        status_code=204,
        response_class=Response,
        responses=problems(404, 503),
        dependencies=[needs(services, Action.SUBMIT, "webhook.delete", of=Kind.WEBHOOK)],
    )
    def delete(request: Request, webhook_name: str) -> Response:
        """Delete a webhook with its deliveries: what is pending is not sent any more."""
        webhooks.delete(_found(services, request, webhook_name))
        return Response(status_code=204)

    @router.post(
        "/{webhook_name}/rotate",
        responses={200: {"model": NewWebhookView}, **problems(400, 404, 409, 413, 415, 422, 503)},
        openapi_extra={"requestBody": json_body(WebhookRotation), "parameters": [_OWNER]},
        dependencies=[needs(services, Action.SUBMIT, "webhook.rotate", of=Kind.WEBHOOK)],
    )
    async def rotate(request: Request, webhook_name: str) -> Response:
        """Make a new secret. For some hours messages are signed with the former one, too."""
        asked = await read_model(request, WebhookRotation, max_bytes=_MAX_BODY_BYTES)
        view = await run_in_threadpool(_rotate, services, request, webhook_name, asked.grace_hours)
        return json_response(view, headers=_NO_STORE)

    return router


def deliveries_router(services: Services) -> APIRouter:
    router = APIRouter(prefix=paths.WEBHOOKS, tags=["webhooks"])
    webhooks = services.webhooks

    @router.post(
        "/{webhook_name}/test",
        status_code=202,
        responses={202: {"model": DeliveryView}, **problems(404, 422, 503)},
        dependencies=[needs(services, Action.SUBMIT, "webhook.test", of=Kind.WEBHOOK)],
    )
    def test(request: Request, webhook_name: str) -> Response:
        """Send a test event. Follow its delivery at Location."""
        found = _found(services, request, webhook_name)
        made = webhooks.test(found, by=owner_of(request))
        headers = {"Location": paths.webhook(found.webhook_id, "deliveries", made.delivery_id)}
        return json_response(delivery_view(made), 202, headers)

    @router.post(
        "/{webhook_name}/redeliver",
        status_code=202,
        responses={202: {"model": Redelivery}, **problems(404, 503)},
        dependencies=[needs(services, Action.SUBMIT, "webhook.redeliver", of=Kind.WEBHOOK)],
    )
    def redeliver_dead(request: Request, webhook_name: str) -> Response:
        """Deliver all dead letters again now, each with its webhook-id."""
        count = webhooks.redeliver_dead(_found(services, request, webhook_name))
        return json_response(Redelivery(redelivered=count), 202)

    @router.get(
        "/{webhook_name}/deliveries",
        responses={200: {"model": DeliveryPageView}, **problems(404, 422, 503)},
        dependencies=[needs(services, Action.READ, of=Kind.WEBHOOK)],
    )
    def deliveries(
        request: Request,
        webhook_name: str,
        status: Annotated[DeliveryState | None, Query(description="Only deliveries of this status.")] = None,
        limit: Annotated[int, Query(ge=1, le=_MAX_PAGE)] = 50,
        cursor: Annotated[str | None, Query(description="next_cursor of the page before.")] = None,
    ) -> Response:
        """List deliveries, newest first, with their attempts and last answers."""
        found = _found(services, request, webhook_name)
        wanted = None if status is None else DeliveryStatus(status)
        page = webhooks.deliveries(found, status=wanted, limit=limit, cursor=cursor or None)
        shown = [delivery_view(each) for each in page.deliveries]
        return json_response(DeliveryPageView(deliveries=shown, next_cursor=page.next_cursor))

    @router.get(
        "/{webhook_name}/deliveries/{delivery_id}",
        responses={200: {"model": DeliveryView}, **problems(404, 503)},
        dependencies=[needs(services, Action.READ, of=Kind.WEBHOOK)],
    )
    def delivery(request: Request, webhook_name: str, delivery_id: str) -> Response:
        """Show one delivery."""
        return json_response(delivery_view(webhooks.delivery(_found(services, request, webhook_name), delivery_id)))

    @router.post(
        "/{webhook_name}/deliveries/{delivery_id}/redeliver",
        status_code=202,
        responses={202: {"model": DeliveryView}, **problems(404, 503)},
        dependencies=[needs(services, Action.SUBMIT, "webhook.redeliver", of=Kind.WEBHOOK)],
    )
    def redeliver(request: Request, webhook_name: str, delivery_id: str) -> Response:
        """Deliver again now, with the same webhook-id."""
        again = webhooks.redeliver(_found(services, request, webhook_name), delivery_id)
        return json_response(delivery_view(again), 202)

    return router


def _found(services: Services, request: Request, name: str) -> Webhook:
    return services.webhooks.find(name, principal_of(request))


def _view(services: Services, webhook: Webhook) -> WebhookView:
    pending, dead = services.webhooks.counts([webhook])
    of_it = webhook.webhook_id
    return webhook_view(webhook, pending=pending.get(of_it, 0), dead=dead.get(of_it, 0))


def _update(services: Services, request: Request, name: str, asked: WebhookPatch) -> WebhookView:
    webhook = _found(services, request, name)
    lists = {field: getattr(asked, field) for field in ("events", "models", "experiments", "owners")}
    given = {field: tuple(value) for field, value in lists.items() if value is not None}
    present = {field: getattr(webhook.filter, field) for field in lists}
    changes = WebhookChanges(asked.url, EventFilter(**present | given) if given else None, asked.paused)
    changed = services.webhooks.change(webhook, changes, by=owner_of(request), caller=principal_of(request))
    return _view(services, changed)


def _rotate(services: Services, request: Request, name: str, grace_hours: float) -> NewWebhookView:
    made = services.webhooks.rotate(_found(services, request, name), grace_hours=grace_hours, by=owner_of(request))
    pending, dead = services.webhooks.counts([made.webhook])
    of_it = made.webhook.webhook_id
    return new_webhook_view(made, pending=pending.get(of_it, 0), dead=dead.get(of_it, 0))
