"""Waits for a job, a sweep or a deployment to end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol, TypeVar

from raylift.client.http.connection import Clock
from raylift.client.http.errors import ConnectionFailed, RayliftError, ServerError, Unavailable
from raylift.domain.job import FINAL_STATES, STATUS_OF

PATIENCE_SECONDS: Final = 60.0
"""Time that a platform may be unavailable before a wait gives up."""
TRANSIENT: Final = (ConnectionFailed, ServerError, Unavailable)
"""Errors of a platform that restarts."""

_FINAL: Final = frozenset(STATUS_OF[state] for state in FINAL_STATES)


class HasStatus(Protocol):
    """A view of a job, a sweep or a deployment."""

    @property
    def status(self) -> str: ...


V = TypeVar("V", bound=HasStatus)


def is_final(view: HasStatus) -> bool:
    return view.status in _FINAL


def check_patience(error: RayliftError, clock: Clock, since: float | None) -> float:
    """The time at which the platform became unavailable. Raises ``error`` after ``PATIENCE_SECONDS``."""
    now = clock.now()
    if since is not None and now - since > PATIENCE_SECONDS:
        raise error
    return now if since is None else since


def wait_until_final(
    clock: Clock,
    fetch: Callable[[], V],
    *,
    timeout: float | None,
    poll: float,
    report: Callable[[V | None, RayliftError | None], None] | None,
    is_final: Callable[[V], bool] = is_final,
) -> tuple[V | None, bool]:
    """Fetch a view every ``poll`` seconds until it is final or ``timeout`` seconds are over.

    Returns:
        The last view, None if the platform never answered; and True if it is final.

    Raises:
        RayliftError: The platform was unavailable for longer than a minute, or refused the request.
    """
    deadline = None if timeout is None else clock.now() + timeout
    unavailable_since: float | None = None
    view: V | None = None
    while True:
        try:
            view, error = fetch(), None
            unavailable_since = None
        except TRANSIENT as caught:
            error = caught
            unavailable_since = check_patience(error, clock, unavailable_since)
        if report is not None:
            report(view if error is None else None, error)
        if error is None and view is not None and is_final(view):
            return view, True
        left = poll if deadline is None else min(poll, deadline - clock.now())
        if left <= 0:
            return view, False
        clock.sleep(left)
