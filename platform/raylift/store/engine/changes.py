"""Cheap detection of writes by others since the last check."""

from __future__ import annotations

from contextlib import suppress
from threading import Lock
from typing import Any, Final

from raylift.domain.errors import EngineUnavailable
from raylift.store.engine.transactions import Database

_SQLITE: Final = "PRAGMA data_version"
"""Changes with every commit of any other connection."""
_POSTGRESQL: Final = "SELECT pg_current_snapshot()::text"
"""Changes with every writing transaction: it takes a number when it begins and leaves the list when it ends."""


class Changes:
    """Watches for commits. Thread-safe. Keeps its own connection outside of transactions."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._query = _SQLITE if database.is_sqlite else _POSTGRESQL
        self._connection: Any = None
        self._lock = Lock()
        self.is_free = database.is_sqlite
        """True where a check takes microseconds and involves no server."""

    def mark(self) -> str:
        """Return a marker of the present state. Equal markers mean that nothing was committed in between.

        Raises:
            EngineUnavailable: the database does not answer.
        """
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = self._database.bare_connection()
                ((mark,),) = self._connection.execute(self._query).fetchall()
            except self._database.driver_error as error:
                self.close()
                raise EngineUnavailable("The database does not answer; try again.") from error
        return str(mark)

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(self._database.driver_error):
                connection.close()
