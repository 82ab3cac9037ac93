"""A part of a client: ``client.jobs``, ``client.models``."""

from __future__ import annotations

from raylift.client.http.connection import Connection


class Part:
    """Methods on one subject, over the client's connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
