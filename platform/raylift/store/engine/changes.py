"""Whether anything was written since the last look: the cheapest question that a database answers."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

from raylift.domain.errors import EngineUnavailable
from raylift.store.engine.transactions import Database

_SQLITE: Final = "PRAGMA data_version"
"""Changes with every commit of another connection, of this process or any."""
_POSTGRESQL: Final = "SELECT pg_current_snapshot()::text"
"""A transaction that writes takes a number when it begins, and leaves the list of those under way when it ends."""


class Changes:
    """Not thread-safe: one for each who watches. It keeps a connection of its own, outside of transactions."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._question = _SQLITE if database.is_sqlite else _POSTGRESQL
        self._connection: Any = None
        self.is_free = database.is_sqlite
        """Asking takes some microseconds, and no server's time."""

    def mark(self) -> str:
        """A mark of this moment. Where two are equal, nothing was committed in between.

        Raises:
            EngineUnavailable: The database does not answer.
        """
        try:
            if self._connection is None:
                self._connection = self._database.bare_connection()
            ((mark,),) = self._connection.execute(self._question).fetchall()
        except self._database.driver_error as error:
            self.close()
            raise EngineUnavailable("The database does not answer; try again.") from error
        return str(mark)

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(self._database.driver_error):
                connection.close()
