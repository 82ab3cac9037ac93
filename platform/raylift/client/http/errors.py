"""Errors that the SDK raises about the platform. Wrong arguments raise a plain ValueError or TypeError.

RayliftError
├── ConnectionFailed        no answer: refused, broken, or too late (``timed_out``)
├── APIError                error answer, also of any other status
│   ├── InvalidRequest      400, 422: ``errors`` names each field
│   ├── Unauthenticated, Forbidden   401: no valid key; 403: its role does not allow it
│   ├── NotFound            404
│   ├── Conflict            409, e.g. deleting a job that runs
│   ├── TooLarge            413
│   ├── Unavailable         429, 503: may succeed after ``retry_after`` seconds, if given
│   └── ServerError         any other 5xx
├── JobFailed, JobCancelled, JobWaitTimeout      raised by ``Job.wait`` (jobs/job.py)
└── SweepFailed, SweepWaitTimeout, RolloutWaitTimeout   raised by ``Sweep.wait`` and ``Rollouts.wait``
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import httpx
from pydantic import ValidationError

from raylift.api.problems import ProblemField


class RayliftError(Exception):
    """Base class of all errors of the platform."""


class ConnectionFailed(RayliftError):
    """The platform gave no answer."""

    def __init__(self, detail: str, *, method: str, url: str, timed_out: bool = False) -> None:
        super().__init__(detail)
        self.detail = detail
        self.method = method
        self.url = url
        self.timed_out = timed_out
        """True when the connection was made and the answer came too late."""


class APIError(RayliftError):
    """The platform answered with an error."""

    def __init__(
        self,
        detail: str,
        *,
        status: int,
        code: str,
        method: str,
        url: str,
        errors: Sequence[ProblemField] = (),
        problem: Mapping[str, Any] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.status = status
        self.code = code
        """Stable, for programs: ``job_not_found``, ``deployment_unhealthy``, …"""
        self.method = method
        self.url = url
        self.errors = tuple(errors)
        """Wrong fields, some with line and column."""
        self.problem = dict(problem or {})
        """The whole problem document. Further members are facts, e.g. the known ``versions``."""
        self.retry_after = retry_after
        """Seconds of the Retry-After header, if any."""

    def __str__(self) -> str:
        return "\n".join([f"{self.detail} ({self.status} {self.code})", *(f"  {described(error)}" for error in self.errors)])


class InvalidRequest(APIError):
    """The request is wrong."""


class Unauthenticated(APIError):
    """The platform asks for a key, and got none that is valid."""


class Forbidden(APIError):
    """The role of the key, or its list of models, does not allow this."""


class NotFound(APIError):
    """The job, model, version or deployment does not exist."""


class Conflict(APIError):
    """The operation is impossible in the present state."""


class TooLarge(APIError):
    """A body, script or file exceeds its limit."""


class Unavailable(APIError):
    """No replica is ready, a queue is full, or an engine does not answer."""


class ServerError(APIError):
    """The platform, or a proxy in front of it, has a defect."""


def described(error: ProblemField) -> str:
    """Text of a field error, one line."""
    if error.line is None:
        return f"{error.field}: {error.detail}"
    column = f", column {error.column}" if error.column is not None else ""
    return f"{error.field}, line {error.line}{column}: {error.detail}"


_ERRORS: Final[Mapping[int, type[APIError]]] = {
    400: InvalidRequest,
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    413: TooLarge,
    422: InvalidRequest,
    429: Unavailable,
    503: Unavailable,
}


def error_of(response: httpx.Response) -> APIError:
    """The error of an answer of 300 or above, as the class of its status."""
    status = response.status_code
    problem = _problem(response)
    kind = _ERRORS.get(status, ServerError if status >= 500 else APIError)
    return kind(
        str(problem.get("detail") or problem.get("error") or _detail(response)),
        status=status,
        code=str(problem.get("code") or f"http_{status}"),
        method=response.request.method,
        url=str(response.request.url),
        errors=[error for item in _list(problem.get("errors")) if (error := _field(item)) is not None],
        problem=problem,
        retry_after=_seconds(response.headers.get("Retry-After")),
    )


def _problem(response: httpx.Response) -> dict[str, Any]:
    try:
        body: object = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}  # pyright: ignore[reportUnknownVariableType] # JSON


def _detail(response: httpx.Response) -> str:
    """Detail of an answer without a problem document: the page of a proxy, or a redirect."""
    if response.is_redirect:
        return f"{response.request.url} redirects to {response.headers.get('Location')}: use that address"
    return " ".join(response.text.split())[:300] or response.reason_phrase or "no explanation was given"


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []  # pyright: ignore[reportUnknownVariableType] # JSON


def _field(item: object) -> ProblemField | None:
    try:
        return ProblemField.model_validate(item)
    except ValidationError:
        return None  # APIError.problem has the whole document.


def _seconds(header: str | None) -> float | None:
    """Retry-After in seconds. The platform never sends a date."""
    try:
        return None if header is None else max(float(header), 0.0)
    except ValueError:
        return None
