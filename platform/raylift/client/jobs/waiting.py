"""Waits for a job or a sweep to end."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from raylift.api import paths
from raylift.api.training import JobView
from raylift.client.http.connection import Connection
from raylift.client.http.errors import RayliftError
from raylift.client.jobs.log_stream import PASSING, Ending, is_final, still_patient

V = TypeVar("V", bound=Ending)
Report = Callable[[JobView | None, RayliftError | None], None]
"""Told of every look at the job: what was seen, or why nothing was."""


def wait_until_final(
    connection: Connection, job_id: str, *, timeout: float | None, poll: float, report: Report
) -> tuple[JobView | None, bool]:
    """Look at a job until it is final or ``timeout`` seconds are over. See ``watch_until_final``."""

    def look() -> JobView:
        return connection.view(JobView, "GET", paths.job(job_id))

    return watch_until_final(connection, look, timeout=timeout, poll=poll, report=report)


def watch_until_final(
    connection: Connection,
    look: Callable[[], V],
    *,
    timeout: float | None,
    poll: float,
    report: Callable[[V | None, RayliftError | None], None],
    ended: Callable[[V], bool] = is_final,
) -> tuple[V | None, bool]:
    """Look until what is seen has ended or ``timeout`` seconds are over.

    Returns:
        What was seen last, and whether it is final.

    Raises:
        RayliftError: The platform was away for longer than a minute, or says no.
    """
    clock = connection.clock
    deadline = None if timeout is None else clock.now() + timeout
    away_since: float | None = None
    view: V | None = None
    while True:
        try:
            view = look()
            away_since = None
            report(view, None)
            if ended(view):
                return view, True
        except PASSING as error:
            away_since = still_patient(error, clock, away_since)
            report(None, error)
        left = poll if deadline is None else min(poll, deadline - clock.now())
        if left <= 0:
            return view, False
        clock.sleep(left)
