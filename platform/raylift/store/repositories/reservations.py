"""The reservation of a node, for those who look at the queue. Admission itself keeps its own in memory."""

from __future__ import annotations

from sqlalchemy import delete, select

from raylift.domain.lease import Lease
from raylift.domain.nodes.reservation import Reservation
from raylift.store.engine.queue_tables import ReservationRow
from raylift.store.engine.transactions import Database
from raylift.store.statements.lease_guard import guard
from raylift.store.statements.records import columns, from_row


class ReservationRepository:
    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self) -> Reservation | None:
        """Return the reservation of the last decision. Its job may have left the queue since."""
        with self._database.read() as session:
            row = session.scalar(select(ReservationRow))
            return None if row is None else from_row(Reservation, row)

    def put(self, lease: Lease, reservation: Reservation | None) -> None:
        """Replace the reservation. Raises StaleLease."""
        with self._database.write() as session:
            guard(session, lease)
            session.execute(delete(ReservationRow))
            if reservation is not None:
                session.add(ReservationRow(**columns(reservation)))
