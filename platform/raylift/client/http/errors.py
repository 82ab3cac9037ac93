"""Everything the SDK raises about the platform. What is wrong with an argument itself is a plain ValueError or TypeError.

RayliftError
├── ConnectionFailed        no answer: refused, broken off, or too late (``timed_out``)
├── APIError                says no: ``status``, ``code``, ``detail``, ``errors``, ``problem``, ``method``, ``url``
│   ├── InvalidRequest      400, 422: ``errors`` names each field
│   ├── NotFound            404
│   ├── Conflict            409, e.g. deleting a job that runs
│   ├── TooLarge            413
│   ├── Unavailable         429, 503: worth another try after ``retry_after`` seconds, where it is given
│   └── ServerError         any other 5xx
├── JobFailed               a job that was waited for failed: ``reason``, ``message``, ``log_tail``, ``job`` (jobs/job.py)
├── JobCancelled            … or was cancelled
├── JobWaitTimeout          … or took longer than was waited: ``job``, ``view``
├── SweepFailed             a sweep that was waited for failed, or was cancelled: ``sweep``, ``view`` (jobs/sweeps.py)
└── SweepWaitTimeout        … or took longer than was waited: ``sweep``, ``view``

Any other status (401, 403, a redirect, an answer that is not JSON) is an APIError itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from raylift.api.problems import ProblemField


class RayliftError(Exception):
    """Base of all."""


class ConnectionFailed(RayliftError):
    """The platform gave no answer."""

    def __init__(self, detail: str, *, method: str, url: str, timed_out: bool = False) -> None:
        super().__init__(detail)
        self.detail = detail
        self.method = method
        self.url = url
        self.timed_out = timed_out
        """True when a connection was there, and the answer did not come in time."""


class APIError(RayliftError):
    """The platform answered, and the answer is an error."""

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
        """What is wrong with which field, with line and column where there are any."""
        self.problem = dict(problem or {})
        """The whole problem document: further members are facts, such as the ``versions`` there are."""
        self.retry_after = retry_after
        """Seconds, where the answer named them."""

    def __str__(self) -> str:
        return "\n".join([f"{self.detail} ({self.status} {self.code})", *(f"  {described(error)}" for error in self.errors)])


class InvalidRequest(APIError):
    """Something in the request is wrong."""


class NotFound(APIError):
    """There is no such job, model, version or deployment."""


class Conflict(APIError):
    """It cannot be done to the thing as it is now."""


class TooLarge(APIError):
    """A body, script or file is over its limit."""


class Unavailable(APIError):
    """Not now: no replica is ready, a queue is full, or an engine does not answer."""


class ServerError(APIError):
    """The platform, or something in front of it, broke."""


def described(error: ProblemField) -> str:
    """One field error as one line."""
    if error.line is None:
        return f"{error.field}: {error.detail}"
    column = f", column {error.column}" if error.column is not None else ""
    return f"{error.field}, line {error.line}{column}: {error.detail}"
