"""``/mlops/keys``, ``/mlops/whoami`` and ``/mlops/audit``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from raylift.api.access import (
    AuditEntryView,
    AuditPageView,
    KeyCreation,
    KeyList,
    KeyRotation,
    KeyView,
    NewKeyView,
    WhoAmI,
)
from raylift.api.paths import MLOPS
from raylift.domain.access import may
from raylift.domain.audit import AuditFilter, Outcome
from raylift.services.access.keys import KeyRequest
from raylift.services.container import Services
from serve_apps.gateway.access.new_keys import make_known
from serve_apps.gateway.access.permissions import Action, Kind, needs
from serve_apps.gateway.http.bodies import read_model
from serve_apps.gateway.http.responses import json_body, json_response, problems
from serve_apps.gateway.http.visit import principal_of
from serve_apps.gateway.views.keys import key_view, new_key_view

_MAX_BODY_BYTES: Final = 64 * 1024
_MAX_PAGE: Final = 1000
_JSON_LINES: Final = "application/x-ndjson"
_NO_STORE: Final = {"Cache-Control": "no-store"}


def keys_router(services: Services) -> APIRouter:
    router = APIRouter(prefix=MLOPS, tags=["access"])
    keys = services.keys

    @router.get("/whoami", responses={200: {"model": WhoAmI}}, dependencies=[needs(services, Action.IDENTIFY)])
    async def whoami(request: Request) -> Response:
        """Show the caller: its name, role and workspace."""
        caller = principal_of(request)
        return json_response(
            WhoAmI(
                name=caller.name,
                role=caller.role,
                workspace=caller.workspace,
                key_id=caller.key_id,
                models=None if caller.models is None else sorted(caller.models),
                auth=services.settings.auth.value,
                actions=[action.value for action in Action if may(caller, action)],
            )
        )

    @router.get(
        "/keys", responses={200: {"model": KeyList}, **problems(503)}, dependencies=[needs(services, Action.ADMINISTER)]
    )
    def listed() -> Response:
        """List all keys, revoked ones included, without their secrets."""
        return json_response(KeyList(keys=[key_view(key) for key in keys.list()]))

    @router.post(
        "/keys",
        status_code=201,
        responses={201: {"model": NewKeyView}, **problems(400, 413, 415, 422, 503)},
        openapi_extra={"requestBody": json_body(KeyCreation)},
        dependencies=[needs(services, Action.ADMINISTER, "key.create")],
    )
    async def create(request: Request) -> Response:
        """Create a key. The answer is the only place that shows it, and comes when the key works."""
        asked = await read_model(request, KeyCreation, max_bytes=_MAX_BODY_BYTES)
        wanted = KeyRequest(asked.name, asked.role, asked.workspace, tuple(asked.models), asked.expires_days)
        created = await run_in_threadpool(keys.create, principal_of(request), wanted)
        await make_known(services, created.key)
        return json_response(new_key_view(created), 201, _NO_STORE)

    @router.delete(
        "/keys/{key_id}",
        responses={200: {"model": KeyView}, **problems(404, 503)},
        dependencies=[needs(services, Action.ADMINISTER, "key.revoke", of=Kind.KEY)],
    )
    async def revoke(key_id: str) -> Response:
        """Revoke a key. It stops within five seconds, everywhere. Idempotent."""
        revoked = await run_in_threadpool(keys.revoke, key_id)
        services.callers.forget()
        return json_response(key_view(revoked))

    @router.post(
        "/keys/{key_id}/rotate",
        status_code=201,
        responses={201: {"model": NewKeyView}, **problems(400, 404, 409, 413, 415, 422, 503)},
        openapi_extra={"requestBody": {**json_body(KeyRotation), "required": False}},
        dependencies=[needs(services, Action.ADMINISTER, "key.rotate", of=Kind.KEY)],
    )
    async def rotate(request: Request, key_id: str) -> Response:
        """Create a key of the same rights. The former one works for `grace_hours` more."""
        asked = await read_model(request, KeyRotation, max_bytes=_MAX_BODY_BYTES, optional=True)
        created = await run_in_threadpool(keys.rotate, principal_of(request), key_id, grace_hours=asked.grace_hours)
        await make_known(services, created.key)
        return json_response(new_key_view(created), 201, _NO_STORE)

    return router


def audit_router(services: Services) -> APIRouter:
    router = APIRouter(prefix=MLOPS, tags=["access"])

    @router.get(
        "/audit",
        responses={200: {"model": AuditPageView}, **problems(422, 503)},
        dependencies=[needs(services, Action.ADMINISTER)],
    )
    def page(
        wanted: Annotated[AuditFilter, Depends(_filter)],
        limit: Annotated[int, Query(ge=1, le=_MAX_PAGE)] = 100,
        cursor: Annotated[str | None, Query(description="next_cursor of the page before.")] = None,
    ) -> Response:
        """List entries of the audit, newest first: every write and every refused request."""
        found = services.audit.page(wanted, limit=limit, cursor=cursor or None)
        entries = [AuditEntryView(**asdict(entry)) for entry in found.entries]
        return json_response(AuditPageView(entries=entries, next_cursor=found.next_cursor))

    @router.get(
        "/audit/export",
        responses={200: {"content": {_JSON_LINES: {"schema": {"type": "string"}}}}, **problems(422, 503)},
        dependencies=[needs(services, Action.ADMINISTER)],
    )
    def export(wanted: Annotated[AuditFilter, Depends(_filter)]) -> Response:
        """Return all entries as JSON lines, newest first."""
        return StreamingResponse(_lines(services, wanted), media_type=_JSON_LINES, headers=_NO_STORE)

    return router


def _filter(
    who: str | None = None,
    workspace: str | None = None,
    action: Annotated[str | None, Query(description="An action such as `job.cancel`, or a subject with a dot: `job.`.")] = None,
    target: Annotated[str | None, Query(description="Id of a job, sweep or key, or name of a model.")] = None,
    outcome: Outcome | None = None,
    since: Annotated[datetime | None, Query(description="Entries from this time on.")] = None,
    until: Annotated[datetime | None, Query(description="Entries before this time.")] = None,
) -> AuditFilter:
    return AuditFilter(who, workspace, action, target, outcome, _utc(since), _utc(until))


def _utc(moment: datetime | None) -> datetime | None:
    return moment if moment is None or moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _lines(services: Services, wanted: AuditFilter) -> Iterator[bytes]:
    for entry in services.audit.every(wanted):
        yield AuditEntryView(**asdict(entry)).model_dump_json().encode() + b"\n"
