"""Upgrade of a database's tables by Alembic. A released step is never edited: docs/adr/0002."""

from __future__ import annotations

from threading import Lock
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection

from raylift.store.engine.key_ring import KeyRing
from raylift.store.engine.transactions import Database

_FOLDERS: Final = ("raylift.store:migrations/versions", "raylift.store:migrations/versions/from_0017")

# Alembic keeps the running migration in a global variable.
_ONE_AT_A_TIME: Final = Lock()


def upgrade(database: Database) -> None:
    """Apply all missing migrations, or none. Safe in several processes at once."""
    with _ONE_AT_A_TIME, database.migrating() as connection:
        try:
            command.upgrade(configuration(connection, database.keys), "head")
        except CommandError as error:
            raise RuntimeError(
                f"The database cannot be migrated ({error}). If a newer release has used it, install that release."
            ) from error
    # A migration may have encrypted values whose clear text is still in the log.
    database.empty_log()


def configuration(connection: Connection, keys: KeyRing | None = None) -> Config:
    """Build Alembic's configuration without an alembic.ini. Steps that encrypt values use ``keys``."""
    config = Config()
    config.set_main_option("script_location", "raylift.store:migrations")
    config.set_main_option("path_separator", "newline")
    config.set_main_option("version_locations", "\n".join(_FOLDERS))
    config.attributes["connection"] = connection
    config.attributes["keys"] = keys or KeyRing(None)
    return config
