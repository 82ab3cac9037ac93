"""Follows a job's output while it runs, across broken connections."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Final, Protocol

import httpx

from raylift.api import paths
from raylift.api.training import JobView
from raylift.client.http.clock import Clock
from raylift.client.http.connection import Connection
from raylift.client.http.errors import ConnectionFailed, RayliftError, ServerError, Unavailable
from raylift.client.http.event_stream import decode_events
from raylift.domain.job import FINAL_STATES, STATUS_OF

PATIENCE_SECONDS: Final = 60.0
"""How long a platform may be away before following, or waiting, gives up."""
SILENCE_SECONDS: Final = 45.0
"""Seconds without a byte, keep-alives included, after which the connection counts as dead."""

_OUTPUT_EVENTS: Final = frozenset({"message", "log"})
_LAST_EVENT: Final = "end"

PASSING: Final = (ConnectionFailed, ServerError, Unavailable)
"""What a platform that restarts answers with."""


class Ending(Protocol):
    """What has a status that may be final: a job, a sweep."""

    @property
    def status(self) -> str: ...


_FINAL: Final = frozenset(STATUS_OF[state] for state in FINAL_STATES)


def follow_log(connection: Connection, job_id: str) -> Iterator[str]:
    """The lines of a job's output as they come, without their line ends, until the job is finished.

    Raises:
        ConnectionFailed: The platform was away for longer than a minute.
    """
    position: str | None = None
    away_since: float | None = None
    while True:
        try:
            # Asked before the stream is read, so that what a finished job printed last is still read after it.
            final = is_final(connection.view(JobView, "GET", paths.job(job_id)))
            with _open(connection, job_id, position) as response:
                away_since = None
                for event in decode_events(response.iter_bytes()):
                    position = event.id if event.id is not None else position
                    if event.type == _LAST_EVENT:
                        return
                    if event.type in _OUTPUT_EVENTS:
                        yield from event.data.split("\n")
            if final:
                return
        except PASSING as error:
            away_since = still_patient(error, connection.clock, away_since)
        connection.clock.sleep(0.5)


def is_final(view: Ending) -> bool:
    return view.status in _FINAL


def still_patient(error: RayliftError, clock: Clock, since: float | None) -> float:
    """When the platform went away; raises the error once that is too long ago."""
    now = clock.now()
    if since is not None and now - since > PATIENCE_SECONDS:
        raise error
    return now if since is None else since


def _open(connection: Connection, job_id: str, position: str | None) -> AbstractContextManager[httpx.Response]:
    headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": position} if position is not None else {})
    return connection.stream(paths.job(job_id, "logs"), params={"follow": "true"}, headers=headers, silence=SILENCE_SECONDS)
