"""Bringing a database's tables up to this release."""

from __future__ import annotations

from threading import Lock
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection

from raylift.store.engine.transactions import Database

# Alembic keeps the migration that is under way in a module: one at a time in a process.
_ONE_AT_A_TIME: Final = Lock()


def upgrade(database: Database) -> None:
    """Apply the migrations that are missing, all or none of them. Safe when several processes do it at once."""
    with _ONE_AT_A_TIME, database.migrating() as connection:
        try:
            command.upgrade(configuration(connection), "head")
        except CommandError as error:
            raise RuntimeError(
                f"The database cannot be migrated ({error}): was it used by a newer release? Then install that one."
            ) from error


def configuration(connection: Connection) -> Config:
    """Alembic's configuration, without an alembic.ini."""
    config = Config()
    config.set_main_option("script_location", "raylift.store:migrations")
    config.attributes["connection"] = connection
    return config
