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
├── JobFailed               a job that was waited for failed: ``reason``, ``message``, ``log_tail``, ``job``
├── JobCancelled            … or was cancelled
├── JobWaitTimeout          … or took longer than was waited: ``job``, ``view``
├── SweepFailed             a sweep that was waited for failed, or was cancelled: ``sweep``, ``view``
└── SweepWaitTimeout        … or took longer than was waited: ``sweep``, ``view``

Any other status (401, 403, a redirect, an answer that is not JSON) is an APIError itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from raylift.api.problems import ProblemField
from raylift.api.sweeps import SweepView
from raylift.api.training import JobView

if TYPE_CHECKING:
    from raylift.client.jobs import Job
    from raylift.client.sweeps import Sweep


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


class JobFailed(RayliftError):
    """A job that was waited for failed."""

    def __init__(self, job: Job, view: JobView) -> None:
        said = f": {view.message}" if view.message else ""
        super().__init__(f"{view.job_id} failed with {view.reason}{said}")
        self.job = job
        self.view = view
        self.reason = view.reason
        self.message = view.message
        self.log_tail = view.logs
        """The last of what the script printed, its traceback included."""

    def __str__(self) -> str:
        tail = "\n".join(self.log_tail.rstrip().splitlines()[-20:])
        return super().__str__() + (f"\n{tail}" if tail else "")


class JobCancelled(RayliftError):
    """A job that was waited for was cancelled."""

    def __init__(self, job: Job, view: JobView) -> None:
        super().__init__(f"{view.job_id} was cancelled")
        self.job = job
        self.view = view
        self.reason = view.reason
        self.message = view.message
        self.log_tail = view.logs


class JobWaitTimeout(RayliftError):
    """A job took longer than was waited for it. It goes on."""

    def __init__(self, job: Job, view: JobView | None, timeout: float) -> None:
        state = f"is still {view.status} ({view.phase})" if view is not None else "has not been seen"
        super().__init__(f"{job.job_id} {state} after {timeout:g} s")
        self.job = job
        self.view = view
        """As it was seen last; None when the platform never answered."""


class SweepFailed(RayliftError):
    """A sweep that was waited for failed or was cancelled."""

    def __init__(self, sweep: Sweep, view: SweepView) -> None:
        super().__init__(f"{view.sweep_id} {view.status}{f': {view.message}' if view.message else ''}")
        self.sweep = sweep
        self.view = view


class SweepWaitTimeout(RayliftError):
    """A sweep took longer than was waited for it. It goes on."""

    def __init__(self, sweep: Sweep, view: SweepView | None, timeout: float) -> None:
        state = f"is still {view.status}" if view is not None else "has not been seen"
        super().__init__(f"{sweep.sweep_id} {state} after {timeout:g} s")
        self.sweep = sweep
        self.view = view
        """As it was seen last; None when the platform never answered."""


def described(error: ProblemField) -> str:
    """One field error as one line."""
    if error.line is None:
        return f"{error.field}: {error.detail}"
    column = f", column {error.column}" if error.column is not None else ""
    return f"{error.field}, line {error.line}{column}: {error.detail}"
