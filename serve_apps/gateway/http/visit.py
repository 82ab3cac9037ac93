"""The access facts of one request, in its ASGI scope."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, cast

from starlette.requests import HTTPConnection
from starlette.types import Scope

from raylift.api.headers import OWNER_HEADER
from raylift.domain.access import LOCAL, Principal
from raylift.domain.errors import FieldError, InvalidRequest, PlatformError
from raylift.domain.identifiers import DEFAULT_OWNER, OWNER, OWNER_FORM
from raylift.store import Act

_KEY: Final = "raylift.visit"


@dataclass(slots=True)
class Visit:
    """Facts that the middleware, the permission of the route and the error handlers share."""

    caller: Principal | PlatformError
    """An error where there is no valid key. Public routes do not mind."""
    is_checked: bool = False
    """The ingress has checked the key and the model already: a prediction."""
    is_local: bool = True
    """True in local mode, where a header names the owner."""
    address: str | None = None
    act: Act | None = None
    """Set by the permission of a route that may change something."""
    error_code: str | None = None


def enter(scope: Scope, visit: Visit) -> None:
    scope[_KEY] = visit


def visit_of(scope: Scope) -> Visit:
    """Return the visit of a request."""
    return cast("Visit", scope[_KEY])


def note_error(scope: Scope, code: str) -> None:
    """Remember the error code of the answer for the audit."""
    visit: Visit | None = scope.get(_KEY)
    if visit is not None:
        visit.error_code = code


def principal_of(request: HTTPConnection) -> Principal:
    """Return the caller. The permission of the route has let it pass."""
    caller = visit_of(request.scope).caller
    if isinstance(caller, PlatformError):
        raise caller
    return caller


def owner_of(request: HTTPConnection) -> str:
    """Return the name for jobs and changes: the caller's. In local mode the header's, and InvalidRequest for an invalid one."""
    visit = visit_of(request.scope)
    if not visit.is_local:
        return principal_of(request).name
    name = request.headers.get(OWNER_HEADER, DEFAULT_OWNER)
    if not OWNER.fullmatch(name):
        raise InvalidRequest.of(FieldError(OWNER_HEADER, f"must be {OWNER_FORM}"))
    return name


def local_visit() -> Visit:
    return Visit(LOCAL)
