"""Leases: the right of one supervisor at a time to write transitions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import select, update

from raylift.domain.lease import Lease
from raylift.store.engine.tables import LeaseRow
from raylift.store.engine.transactions import Database, insert_into
from raylift.store.statements.lease_guard import is_current, stale
from raylift.store.statements.records import changed, from_row

_LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NOBODY: Final = ""


class LeaseRepository:
    def __init__(self, database: Database) -> None:
        self._database = database

    def held(self, name: str, *, now: datetime) -> Lease | None:
        """Return the lease that is held now; None where it is free."""
        with self._database.read() as session:
            row = session.get(LeaseRow, name)
            return from_row(Lease, row) if row is not None and row.holder != _NOBODY and row.expires_at > now else None

    def acquire(self, name: str, holder: str, *, now: datetime, seconds: float) -> Lease | None:
        """Take or renew the lease. Returns None while another holds it.

        ``holder`` must be unique per process or actor incarnation, because holders with one name share the token.
        A lease that expires more than twice ``seconds`` from now was taken before the clock was set back; it is free.
        """
        if not holder:
            raise ValueError("a lease needs a holder")
        with self._database.write() as session:
            blank = {"name": name, "holder": _NOBODY, "token": 0, "expires_at": _LONG_AGO}
            session.execute(insert_into(session, LeaseRow).on_conflict_do_nothing(), blank)
            row = session.scalars(select(LeaseRow).where(LeaseRow.name == name).with_for_update()).one()
            if row.holder != holder:
                if row.holder != _NOBODY and now < row.expires_at <= now + 2 * timedelta(seconds=seconds):
                    return None
                row.holder = holder
                row.token += 1
            row.expires_at = now + timedelta(seconds=seconds)
            session.flush()
            return from_row(Lease, row)

    def renew(self, lease: Lease, *, now: datetime, seconds: float) -> Lease:
        """Extend the lease. An expired lease still belongs to its holder until another one takes it.

        Raises:
            StaleLease: another has taken it.
        """
        with self._database.write() as session:
            statement = update(LeaseRow).where(is_current(lease)).values(expires_at=now + timedelta(seconds=seconds))
            renewed = changed(session, statement, LeaseRow, Lease)
        if renewed is None:
            raise stale(lease)
        return renewed

    def release(self, lease: Lease) -> None:
        """Release the lease, so that the next holder need not wait for its expiry. No effect if another has it."""
        with self._database.write() as session:
            session.execute(update(LeaseRow).where(is_current(lease)).values(holder=_NOBODY, expires_at=_LONG_AGO))
