"""The console's sign-in with the identity provider: the way to the provider's page and back."""

from __future__ import annotations

import base64
import binascii
import hmac
import html
import json
import re
from typing import Final

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, RedirectResponse

from raylift.api.paths import AUTH, CONSOLE
from raylift.domain.errors import PlatformError, Unauthenticated
from raylift.services.access.logins import Attempt
from raylift.services.container import Services
from serve_apps.gateway.access.login_routes import LOGIN, names
from serve_apps.gateway.access.new_keys import make_known
from serve_apps.gateway.access.permissions import Action, needs
from serve_apps.gateway.access.session_cookie import LOGIN_COOKIE, cookie_of, set_session
from serve_apps.gateway.http.errors import HTTP_STATUS
from serve_apps.gateway.http.hosts import Hosts
from serve_apps.gateway.http.visit import note_error

CALLBACK: Final = f"{AUTH}/callback"
_SECONDS: Final = 600
"""Time for the person on the provider's page."""
_OWN_PAGE: Final = re.compile(re.escape(CONSOLE) + r"[A-Za-z0-9._~%?=&:@+/-]*")
_FAILED: Final = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>Not signed in · Raylift</title>'
    '<body><h1>Not signed in</h1><p>{detail}</p><p><a href="{console}">Back to the console</a></p></body></html>'
)


def login_pages(services: Services) -> APIRouter:
    """Build the two routes. They are for browsers, so their errors are pages."""
    router = APIRouter(prefix=AUTH, include_in_schema=False)
    logins, hosts = services.logins, Hosts.of(services.settings)

    @router.get("/start", dependencies=[needs(services, Action.PUBLIC)])
    async def start(request: Request, to: str = CONSOLE) -> Response:
        """Lead the browser to the provider, and keep the secrets of this sign-in in a cookie."""
        try:
            page, attempt = await run_in_threadpool(logins.begin, _back(request))
        except PlatformError as error:
            return _failed(request, error)
        answer = RedirectResponse(page, 303, {"Cache-Control": "no-store"})
        kept = _sealed(attempt, to if _OWN_PAGE.fullmatch(to) else CONSOLE)
        is_secure = hosts.is_secure(request.scope, request.headers)
        # Lax: the provider's page leads back here, and Strict would keep the cookie from that request.
        answer.set_cookie(LOGIN_COOKIE, kept, max_age=_SECONDS, path=AUTH, secure=is_secure, httponly=True, samesite="lax")
        return answer

    @router.get("/callback", dependencies=[needs(services, Action.PUBLIC, LOGIN)])
    async def callback(request: Request, state: str = "", code: str = "", error: str = "") -> Response:
        """Exchange the provider's code, and give the browser its session."""
        is_secure = hosts.is_secure(request.scope, request.headers)
        try:
            attempt, page = _opened(cookie_of(request.headers, LOGIN_COOKIE), state)
            if not code:
                raise Unauthenticated(f"The provider did not sign you in: {error[:100] or 'it sent no code'}.")
            created = await run_in_threadpool(
                logins.finish,
                code,
                verifier=attempt.verifier,
                redirect_uri=_back(request),
                nonce=attempt.nonce,
                proven=names(request),
            )
        except PlatformError as failure:
            return _failed(request, failure)
        await make_known(services, created.key)
        answer = RedirectResponse(page, 303, {"Cache-Control": "no-store"})
        seconds = int(services.settings.oidc.session_hours * 3600)
        set_session(answer, created.token, is_secure=is_secure, seconds=seconds)
        answer.delete_cookie(LOGIN_COOKIE, path=AUTH, secure=is_secure, httponly=True, samesite="lax")
        return answer

    def _back(request: Request) -> str:
        return hosts.origin(request.scope, request.headers) + CALLBACK

    return router


def _sealed(attempt: Attempt, page: str) -> str:
    content = json.dumps([attempt.state, attempt.nonce, attempt.verifier, page])
    return base64.urlsafe_b64encode(content.encode()).decode()


def _opened(kept: str | None, state: str) -> tuple[Attempt, str]:
    """Return the secrets of the sign-in that this browser began, and the page to go on with."""
    wrong = Unauthenticated("This browser began no such sign-in, or more than ten minutes ago. Sign in again.")
    try:
        content: object = json.loads(base64.urlsafe_b64decode(kept or ""))
    except (binascii.Error, ValueError):
        raise wrong from None
    match content:
        case [str(known), str(nonce), str(verifier), str(page)] if hmac.compare_digest(known.encode(), state.encode()):
            # The cookie is the browser's: what it names must still be a page of the console.
            return Attempt(known, nonce, verifier), page if _OWN_PAGE.fullmatch(page) else CONSOLE
        case _:
            raise wrong


def _failed(request: Request, error: PlatformError) -> Response:
    note_error(request.scope, error.code)
    page = _FAILED.format(detail=html.escape(error.detail), console=CONSOLE)
    status = HTTP_STATUS.get(error.code, 500)
    # 401 would ask the browser for a password.
    return HTMLResponse(page, 400 if status == 401 else status, {"Cache-Control": "no-store"})
