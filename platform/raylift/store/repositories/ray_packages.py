"""Packages of Ray clients (``gcs://_ray_pkg_….zip``), kept between their upload and the jobs that use them."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import delete, select, update

from raylift.store.engine.tables import RayPackageRow
from raylift.store.engine.transactions import Database, insert_into

_PRUNED_AT_ONCE: Final = 20


class RayPackageRepository:
    """A job has its own copy of a package (``projects``), so packages may expire at any time after it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def keep(self, name: str, content: bytes, *, expires_at: datetime) -> None:
        """Store the package; durable on return."""
        row = {"name": name, "content": content, "expires_at": expires_at}
        with self._database.write() as session:
            insert = insert_into(session, RayPackageRow)
            session.execute(insert.on_conflict_do_update(index_elements=["name"], set_=row), row)

    def forget_expired(self, now: datetime) -> int:
        """Delete a batch of expired packages and return their number; 0 when none are left."""
        with self._database.write() as session:
            expired = (
                select(RayPackageRow.name)
                .where(RayPackageRow.expires_at <= now)
                .limit(_PRUNED_AT_ONCE)
                .with_for_update(skip_locked=True)
            )
            gone = delete(RayPackageRow).where(RayPackageRow.name.in_(expired)).returning(RayPackageRow.name)
            return len(session.scalars(gone.execution_options(synchronize_session=False)).all())

    def extend(self, name: str, *, expires_at: datetime) -> bool:
        """Move the package's expiry. Returns False if it does not exist."""
        with self._database.write() as session:
            extended = update(RayPackageRow).where(RayPackageRow.name == name).values(expires_at=expires_at)
            options = {"synchronize_session": False}
            return session.scalar(extended.returning(RayPackageRow.name).execution_options(**options)) is not None

    def read(self, name: str) -> bytes | None:
        """Return the package's content; None if it does not exist."""
        with self._database.read() as session:
            return session.scalar(select(RayPackageRow.content).where(RayPackageRow.name == name))
