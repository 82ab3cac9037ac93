"""Session cookies of browsers. A cookie holds a key; scripts of pages cannot read it.

Browsers send cookies unasked. So a cookie counts only for requests of the platform's own pages, in addition to
SameSite=Strict: requests that may change something, and WebSockets, must carry ``Origin``, as all browsers send it, and it must
be the platform's.
The ingress has the same rule for routes that pass the gateway by (ingress/keys.py).
"""

from __future__ import annotations

from http.cookies import CookieError, SimpleCookie
from typing import Final

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Scope

from raylift.api.headers import SESSION_COOKIE
from serve_apps.gateway.http.hosts import Hosts

LOGIN_COOKIE: Final = "raylift_login"
"""Secrets of a sign-in on the provider's page."""
_OWN: Final = frozenset({"same-origin", "none"})
"""``Sec-Fetch-Site`` of requests of own pages, and of addresses that a person enters."""


def session_token(scope: Scope, headers: Headers, hosts: Hosts) -> str | None:
    """Return the key in the session cookie; None where there is none, or a foreign page may have sent it."""
    token = cookie_of(headers, SESSION_COOKIE)
    return token if token is not None and _is_own_page(scope, headers, hosts) else None


def cookie_of(headers: Headers, name: str) -> str | None:
    """Return the value of a cookie."""
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(name)
    except CookieError:
        return None
    return found.value if found is not None else None


def set_session(answer: Response, token: str, *, is_secure: bool, seconds: int | None = None) -> None:
    """Let the browser keep a key, for ``seconds`` or until it is closed."""
    answer.set_cookie(SESSION_COOKIE, token, max_age=seconds, path="/", secure=is_secure, httponly=True, samesite="strict")


def end_session(answer: Response, *, is_secure: bool) -> None:
    answer.delete_cookie(SESSION_COOKIE, path="/", secure=is_secure, httponly=True, samesite="strict")


def _is_own_page(scope: Scope, headers: Headers, hosts: Hosts) -> bool:
    if "origin" in headers:
        return hosts.is_own_origin(scope, headers)
    may_change = scope["type"] == "websocket" or scope["method"] not in {"GET", "HEAD"}
    return not may_change and headers.get("sec-fetch-site", "none") in _OWN
