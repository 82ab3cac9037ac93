"""``/mlops/auth``: signing in with the identity provider, and sessions of browsers."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from raylift.api.access import NewKeyView
from raylift.api.paths import AUTH
from raylift.api.security.logins import (
    AuthView,
    DeviceLoginRequest,
    DeviceLoginView,
    LoginPage,
    LoginPageRequest,
    LoginPending,
    LoginRequest,
    ProviderView,
)
from raylift.domain.access import Principal
from raylift.domain.security.login import Person
from raylift.services.access.logins import Proven
from raylift.services.container import Services
from serve_apps.gateway.access.door import token_of
from serve_apps.gateway.access.new_keys import make_known
from serve_apps.gateway.access.permissions import Action, needs
from serve_apps.gateway.access.session_cookie import end_session, set_session
from serve_apps.gateway.http.bodies import read_model
from serve_apps.gateway.http.hosts import Hosts
from serve_apps.gateway.http.responses import json_body, json_response, problems
from serve_apps.gateway.http.visit import visit_of
from serve_apps.gateway.views.keys import new_key_view

_MAX_BODY_BYTES: Final = 64 * 1024
_NO_STORE: Final = {"Cache-Control": "no-store"}
_PAUSE_SECONDS: Final = 5
LOGIN: Final = "login"
"""Action of audit entries."""


def logins_router(services: Services) -> APIRouter:
    router = APIRouter(prefix=AUTH, tags=["access"])
    logins, settings = services.logins, services.settings

    @router.get("", responses={200: {"model": AuthView}}, dependencies=[needs(services, Action.PUBLIC)])
    async def auth() -> Response:
        """Show how to sign in."""
        oidc = settings.oidc
        provider = ProviderView(issuer=str(oidc.issuer), client_id=oidc.client_id, name=oidc.name)
        return json_response(AuthView(auth=settings.auth.value, provider=provider if logins.is_offered else None))

    @router.post(
        "/page",
        responses={200: {"model": LoginPage}, **problems(400, 404, 413, 415, 422, 503)},
        openapi_extra={"requestBody": json_body(LoginPageRequest)},
        dependencies=[needs(services, Action.PUBLIC)],
    )
    async def page(request: Request) -> Response:
        """Return the provider's page for a sign-in of the command line. It sends the browser back to the caller."""
        asked = await read_model(request, LoginPageRequest, max_bytes=_MAX_BODY_BYTES)
        url = await run_in_threadpool(logins.page, asked.redirect_uri, asked.state, asked.nonce, asked.challenge)
        return json_response(LoginPage(url=url), headers=_NO_STORE)

    @router.post(
        "/login",
        status_code=201,
        responses={201: {"model": NewKeyView}, **problems(400, 401, 403, 404, 413, 415, 422, 503)},
        openapi_extra={"requestBody": json_body(LoginRequest)},
        dependencies=[needs(services, Action.PUBLIC, LOGIN)],
    )
    async def login(request: Request) -> Response:
        """Exchange the provider's code for a key of some hours. The answer is the only place that shows it."""
        asked = await read_model(request, LoginRequest, max_bytes=_MAX_BODY_BYTES)
        created = await run_in_threadpool(
            logins.finish,
            asked.code,
            verifier=asked.verifier,
            redirect_uri=asked.redirect_uri,
            nonce=asked.nonce,
            workspace=asked.workspace,
            proven=names(request),
        )
        await make_known(services, created.key)
        return json_response(new_key_view(created), 201, _NO_STORE)

    @router.post(
        "/device",
        responses={200: {"model": DeviceLoginView}, **problems(404, 503)},
        dependencies=[needs(services, Action.PUBLIC)],
    )
    async def device() -> Response:
        """Begin a sign-in that the person confirms on another device."""
        begun = await run_in_threadpool(logins.start_device)
        view = DeviceLoginView(
            device_code=begun.device_code,
            user_code=begun.user_code,
            verification_uri=begun.verification_uri,
            verification_uri_complete=begun.verification_uri_complete,
            expires_in=begun.expires_seconds,
            interval=begun.pause_seconds,
        )
        return json_response(view, headers=_NO_STORE)

    @router.post(
        "/device/login",
        status_code=201,
        responses={
            201: {"model": NewKeyView},
            202: {"model": LoginPending, "description": "The person has not confirmed yet."},
            **problems(400, 401, 403, 404, 413, 415, 422, 503),
        },
        openapi_extra={"requestBody": json_body(DeviceLoginRequest)},
        # A question while the person has not confirmed is no event of the audit.
        dependencies=[needs(services, Action.PUBLIC, LOGIN)],
    )
    async def device_login(request: Request) -> Response:
        """Exchange a confirmed sign-in for a key of some hours; 202 while it is not confirmed."""
        asked = await read_model(request, DeviceLoginRequest, max_bytes=_MAX_BODY_BYTES)
        created = await run_in_threadpool(
            logins.finish_device, asked.device_code, workspace=asked.workspace, proven=names(request)
        )
        if created is None:
            visit_of(request.scope).act = None
            return json_response(LoginPending(interval=_PAUSE_SECONDS), 202, _NO_STORE)
        await make_known(services, created.key)
        return json_response(new_key_view(created), 201, _NO_STORE)

    return router


def sessions_router(services: Services) -> APIRouter:
    router = APIRouter(prefix=AUTH, tags=["access"])
    logins, hosts = services.logins, Hosts.of(services.settings)

    @router.post("/session", status_code=204, responses=problems(401), dependencies=[needs(services, Action.IDENTIFY)])
    async def session(request: Request) -> Response:
        """Let the browser keep the key of this request, in a cookie that scripts cannot read."""
        answer = Response(status_code=204, headers=_NO_STORE)
        token = token_of(request.headers)
        if token is not None:
            set_session(answer, token, is_secure=hosts.is_secure(request.scope, request.headers))
        return answer

    @router.delete(
        "/session", status_code=204, responses=problems(503), dependencies=[needs(services, Action.PUBLIC, "logout")]
    )
    async def sign_out(request: Request) -> Response:
        """End the browser's session. The key of a sign-in is revoked; others stay valid."""
        visit = visit_of(request.scope)
        ended = isinstance(visit.caller, Principal) and await run_in_threadpool(logins.end, visit.caller)
        if ended:
            services.callers.forget()
        else:
            visit.act = None
        answer = Response(status_code=204, headers=_NO_STORE)
        end_session(answer, is_secure=hosts.is_secure(request.scope, request.headers))
        return answer

    return router


def names(request: Request) -> Proven:
    """Return a function that names the person in the audit entry of the request."""

    def named(person: Person) -> None:
        act = visit_of(request.scope).act
        if act is not None:
            act.who = person.name

    return named
