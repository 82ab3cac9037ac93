"""Streams a job's output while it runs, across broken connections."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Final

import httpx

from raylift.api import paths
from raylift.api.training import JobView
from raylift.client.http.connection import Connection
from raylift.client.http.event_stream import decode_events
from raylift.client.jobs.waiting import TRANSIENT, check_patience, is_final

SILENCE_SECONDS: Final = 45.0
"""Seconds without a byte, keep-alives included, after which the connection counts as dead."""

_OUTPUT_EVENTS: Final = frozenset({"message", "log"})
_LAST_EVENT: Final = "end"


def follow_log(connection: Connection, job_id: str, tail: int | None = None) -> Iterator[str]:
    """The lines of a job's output as they come, without line ends, until the job has ended. Begins with the last ``tail``.

    Raises:
        ConnectionFailed: The platform was unavailable for longer than a minute.
    """
    position: str | None = None
    unavailable_since: float | None = None
    while True:
        try:
            # Asked before the stream is read: the stream then has the last lines of a job that has ended.
            final = is_final(connection.view(JobView, "GET", paths.job(job_id)))
            with _open(connection, job_id, position, tail) as response:
                unavailable_since = None
                for event in decode_events(response.iter_bytes()):
                    position = event.id if event.id is not None else position
                    if event.type == _LAST_EVENT:
                        return
                    if event.type in _OUTPUT_EVENTS:
                        yield from event.data.split("\n")
            if final:
                return
        except TRANSIENT as error:
            unavailable_since = check_patience(error, connection.clock, unavailable_since)
        connection.clock.sleep(0.5)


def _open(
    connection: Connection, job_id: str, position: str | None, tail: int | None
) -> AbstractContextManager[httpx.Response]:
    headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": position} if position is not None else {})
    query = {"follow": "true", "tail": tail if position is None else None}
    return connection.stream(paths.job(job_id, "logs"), params=query, headers=headers, silence=SILENCE_SECONDS)
