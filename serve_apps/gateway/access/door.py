"""Middleware that finds the caller of each request, and records refused ones in the audit."""

from __future__ import annotations

import base64
import binascii
from typing import Final

from fastapi.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from raylift.api.headers import ADDRESS, CHECKED
from raylift.domain.access import LOCAL, Principal
from raylift.domain.audit import Outcome
from raylift.domain.errors import PlatformError
from raylift.services.access.audit import AuditService
from raylift.services.access.callers import Callers
from raylift.settings import AuthMode, PlatformSettings
from raylift.store import Act, acting, declare
from serve_apps.gateway.access.session_cookie import session_token
from serve_apps.gateway.http.errors import REQUEST_ID
from serve_apps.gateway.http.hosts import Hosts
from serve_apps.gateway.http.visit import Visit, enter

_REFUSED: Final = frozenset({401, 403})


class Door:
    """Puts a Visit into each scope. Permissions of routes decide on it (permissions.py)."""

    def __init__(self, app: ASGIApp, *, settings: PlatformSettings, callers: Callers, audit: AuditService) -> None:
        self._app = app
        self._hosts = Hosts.of(settings)
        self._is_local = settings.auth is AuthMode.LOCAL
        self._behind_ingress = settings.ingress is not None
        self._callers = callers
        self._audit = audit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        visit = await self._visit(scope)
        enter(scope, visit)
        status = 500

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] in {"http.response.start", "websocket.http.response.start"}:
                status = message["status"]
            elif message["type"] == "websocket.accept":
                status = 101
            await send(message)

        with acting(None):
            try:
                await self._app(scope, receive, watch)
            finally:
                # The entry of this request has a transaction of its own.
                declare(None)
                await self._record(scope, visit, status)

    async def _visit(self, scope: Scope) -> Visit:
        headers = Headers(scope=scope)
        address = self._address(scope, headers)
        if self._is_local:
            return Visit(LOCAL, address=address)
        caller: Principal | PlatformError
        try:
            token = token_of(headers) if "authorization" in headers else session_token(scope, headers, self._hosts)
            caller = await self._callers.principal_of(token)
        except PlatformError as error:
            caller = error
        checked = self._behind_ingress and CHECKED in headers
        return Visit(caller, is_checked=checked, is_local=False, address=address)

    def _address(self, scope: Scope, headers: Headers) -> str | None:
        """Address of the client. Behind the ingress, its header; others cannot set it."""
        if self._behind_ingress:
            return headers.get(ADDRESS)
        client = scope.get("client")
        return client[0] if client else None

    async def _record(self, scope: Scope, visit: Visit, status: int) -> None:
        act = visit.act
        if act is None:
            if status not in _REFUSED or visit.is_local:
                return
            route = getattr(scope.get("route"), "path", scope["path"])
            who = visit.caller if isinstance(visit.caller, Principal) else None
            method = scope.get("method", "WEBSOCKET")
            act = Act(
                who.name if who else "",
                "read",
                f"{method} {route}",
                who.key_id if who else None,
                who.workspace if who else None,
                visit.address,
                scope.get(REQUEST_ID),
            )
        if status < 400 and act.is_recorded:
            return
        outcome = Outcome.UNCHANGED if status < 400 else Outcome.REFUSED if status < 500 else Outcome.FAILED
        if self._audit.is_due(act):
            await run_in_threadpool(self._audit.record, act, outcome, visit.error_code if status >= 400 else None)


def token_of(headers: Headers) -> str | None:
    """Return the key in ``Authorization``: a bearer token, or the password of basic authentication, which browsers send."""
    scheme, _, rest = headers.get("authorization", "").partition(" ")
    match scheme.lower():
        case "bearer":
            return rest.strip()
        case "basic":
            try:
                return base64.b64decode(rest.strip(), validate=True).decode().partition(":")[2]
            except (binascii.Error, UnicodeDecodeError):
                return ""
        case _:
            return None
